// SPDX-License-Identifier: GPL-3.0-or-later
// The ESMTP server as a state machine without I/O (RFC 5321, 1870, 2034, 2920, 3030, 3461, 6152,
// 6531, 9422).
//
// The insight: bytes go in by step(), which stops at each point where somebody else must act, and
// says so. Nothing in here knows sockets, clocks, memory budgets or disks; that makes the machine
// fuzzable, replayable, and fast. Commands are parsed as views into the receive buffer; only a line
// cut by a segment boundary is copied (into a bounded buffer).
//
// Content leaves as views to be stored in order: the wire form of the message (dot-stuffed, lines
// end with CRLF) closed by ".CRLF", whether it came by DATA or BDAT, so that what is stored can be
// sent by DATA as it is.
//
// Replies wait for the disk without stopping the session: after `message_end` the place of its
// reply is kept open while pipelined commands go on, and nothing behind the open place leaves
// before it is filled. At most kPendingMax places are open, then step() answers `blocked`.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ringmta/base/bytes.h"
#include "ringmta/smtp/envelope.h"

namespace ringmta::smtp {

struct ServerOptions {
  std::string hostname = "localhost";      // in the greeting and EHLO reply
  uint64_t message_size_max = 52'428'800;  // octets; SIZE
  uint32_t recipients_max = 1000;          // per message; LIMITS RCPTMAX; more: 452 4.5.3
  uint32_t line_length_max =
      2048;  // command line, CRLF included; longer: 500 5.5.2 (RFC 5321 allows 512 and up)
  uint32_t text_line_length_max =
      0;                      // content line without CRLF; 0: any length passes; longer: 554 5.6.0
  uint32_t commands_max = 0;  // per session, 0 = any; then 421 4.7.0 and close
  uint32_t errors_max = 20;   // 4xx/5xx answers per session; then 421 4.7.0 and close
  uint32_t messages_max = 0;  // per session, 0 = any; LIMITS MAILMAX; then 421
  uint32_t hops_max = 50;     // Received lines; more: 554 5.4.6
  bool pipelining = true;
  bool chunking = true;
  bool smtputf8 = true;
  bool eight_bit = true;
  bool dsn = true;
};

// What the header section of the content said, known at `message_end`.
struct HeaderFacts {
  bool has_date = false;
  bool has_message_id = false;
  bool has_from = false;
  bool has_eight_bit = false;  // any octet above 127, anywhere in the message
  bool has_dot_stuffing =
      false;  // some content line begins with a dot: the wire form differs from the content
  uint32_t received_count = 0;
};

class ServerSession final {
 public:
  static constexpr uint32_t kPendingMax = 8;

  enum class Action : uint8_t {
    more,     // all given octets are consumed; come back with more
    blocked,  // kPendingMax messages wait for their reply: call step() again after message_done()
    message_begin,  // DATA or first BDAT was acceptable: answer by accept_message() or
                    // refuse_message() before step()
    body,           // store `body`; it is valid until the next step()
    message_end,    // complete: commit it, answer by message_done() now or later; envelope() and
                  // header() are valid until the next step()
    message_abort,  // drop what was stored since message_begin (RSET, refused content; the reply is
                    // already written)
    close,          // write the output, then close; no step() after it
  };
  struct Step {
    size_t consumed = 0;  // octets of the input used up by this step
    Action action = Action::more;
    std::string_view body{};
  };

  // `relay_allowed`: the client may send to any recipient; otherwise each RCPT gets 550 5.7.1.
  ServerSession(const ServerOptions& options, bool relay_allowed);

  void greet();                                // writes the 220 banner
  void greet_refused(std::string_view reply);  // e.g. "421 4.3.2 too many sessions"; then only
                                               // QUIT; step() says close
  Step step(Bytes input);

  void accept_message();                        // 354, or silence for BDAT
  void refuse_message(std::string_view reply);  // "452 4.3.1 ..." in place of 354; BDAT: its octets
                                                // are swallowed first
  // Too much memory while content arrives: swallow the rest, then give this reply; step() says
  // message_abort at once.
  void refuse_content(std::string_view reply);
  // Fills the oldest open place: "250 2.0.0 Ok: queued as ..." or "452 4.3.1 ...", without CRLF. In
  // order of message_end.
  void message_done(std::string_view reply);
  // Idle or transaction timeout, shutdown: writes e.g. "421 4.4.2 ..." (behind open places) and
  // ends the session.
  void end(std::string_view reply);

  EnvelopeView envelope() const;
  const HeaderFacts& header() const { return header_; }
  std::string_view helo() const {
    return helo_;
  }                                      // as the client gave it, checked against the grammar
  bool esmtp() const { return esmtp_; }  // EHLO rather than HELO
  uint64_t declared_size() const { return declared_size_; }  // SIZE=, 0 when absent
  bool in_content() const;      // between message_begin and message_end
  bool in_transaction() const;  // between MAIL and its end
  uint32_t pending() const { return pending_count_; }

  // Appends what may leave now to `into` and forgets it.
  void take_output(std::string& into);
  bool has_output() const;

 private:
  // (the engineer of the room completes this part; it stays out of the contract)
  const ServerOptions& options_;
  bool relay_allowed_;
  HeaderFacts header_{};
  std::string helo_;
  bool esmtp_ = false;
  uint64_t declared_size_ = 0;
  uint32_t pending_count_ = 0;
};

}  // namespace ringmta::smtp
