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
//
// What is stricter than elsewhere, because a next hop might read it otherwise: content with a bare
// CR, a bare LF or a NUL is refused (554 5.6.0) after it was read to its end; a command line that
// ends in a bare LF or holds a control character is refused (500 5.5.2). What is done for the
// content's sake: a BDAT message whose last line is not ended gets its CRLF (RFC 3030 2 lets a
// client leave it out, DATA cannot carry such a message); a content that begins with white space
// gets an empty line in front, or its first line would continue the last of our trace lines.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "ringmta/base/bytes.h"
#include "ringmta/smtp/envelope.h"
#include "ringmta/smtp/envelope_store.h"
#include "ringmta/smtp/scan.h"

namespace ringmta::smtp {

struct ServerOptions {
  std::string hostname = "localhost";      // in the greeting and EHLO reply
  uint64_t message_size_max = 52'428'800;  // octets; SIZE
  uint32_t recipients_max = 1000;          // per message; LIMITS RCPTMAX; more: 452 4.5.3
                                           // (which is not counted as an error)
  uint32_t line_length_max =
      2048;  // command line, CRLF included; longer: 500 5.5.2 (RFC 5321 allows 512 and up)
  uint32_t text_line_length_max =
      0;                      // content line without CRLF; 0: any length passes; longer: 554 5.6.0
  uint32_t commands_max = 0;  // per session, 0 = any; then 421 4.7.0 and close
  uint32_t errors_max = 20;   // refusals the client is to blame for since its last message was
                              // accepted, 0 = any; then 421 4.7.0 and close
  uint32_t messages_max = 0;  // transactions per session, 0 = any; LIMITS MAILMAX; then 421
  uint32_t hops_max = 50;     // Received lines; more: 554 5.4.6
  bool pipelining = true;
  bool chunking = true;
  bool smtputf8 = true;
  bool eight_bit = true;
  bool dsn = true;
};

class ServerSession final {
 public:
  static constexpr uint32_t kPendingMax = 8;

  enum class Action : uint8_t {
    more,     // all given octets are consumed; come back with more
    blocked,  // kPendingMax messages (or as much text as one may hold) wait for a reply before
              // them: call step() again after message_done()
    message_begin,  // DATA or first BDAT was acceptable: answer by accept_message() or
                    // refuse_message() before step()
    body,           // store `body`; it is valid until the next step()
    message_end,    // complete: commit it, answer by message_done() now or later; envelope() and
                    // header() are valid until the next step()
    message_abort,  // drop what was stored since message_begin (RSET, refused content); the reply
                    // is the machine's affair, and for refused content comes when all of it was
                    // read
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

  EnvelopeView envelope() const { return envelope_.view(); }
  const HeaderFacts& header() const { return header_; }
  std::string_view helo() const {
    return helo_;
  }  // as the client gave it, checked against the grammar
  bool esmtp() const { return esmtp_; }                      // EHLO rather than HELO
  uint64_t declared_size() const { return declared_size_; }  // SIZE=, 0 when absent
  bool in_content() const { return arriving_; }  // between message_begin and its end or abort
  bool in_transaction() const;                   // between MAIL and its end
  uint32_t transactions() const { return transactions_; }  // MAIL commands that were accepted
  uint32_t pending() const { return pending_count_; }

  // Appends what may leave now to `into` and forgets it.
  void take_output(std::string& into);
  bool has_output() const;

 private:
  // STARTTLS and AUTH belong among these (src/smtp/server_commands.cc): AUTH brings a state that
  // reads lines of another kind, STARTTLS an action for the owner, after which all that the client
  // has said is forgotten.
  enum class State : uint8_t {
    silent,           // before greet()
    turned_away,      // greet_refused(): QUIT or nothing
    command,          // a command line is next
    deciding,         // message_begin was told, the owner has not answered
    data,             // content by DATA; read to its end even when refused
    chunk,            // octets of a BDAT; likewise
    chunk_swallowed,  // octets of a BDAT that was refused before they came
    closed
  };

  // server_session.cc: the machine, its lines and its output
  bool tell_due(Step& step);
  bool take_line(std::string_view& input, Step& step);  // false: there is no whole one
  void on_line(std::string_view line);                  // with its LF
  bool must_wait() const;
  void reply(std::string_view text);       // without CRLF
  void refuse(std::string_view text);      // likewise; counted as the client's error
  void close_with(std::string_view text);  // likewise; the last one
  void end_transaction();
  void drop_arriving();  // what the owner has stored of the message in arrival is void

  // server_commands.cc; `arguments` are the line behind the verb
  void on_command(std::string_view line);
  void on_hello(std::string_view arguments, bool esmtp);
  void write_capabilities();
  void on_reset(std::string_view arguments);
  void on_verify(std::string_view arguments);
  void on_quit(std::string_view arguments);

  // server_envelope.cc
  void on_mail(std::string_view arguments);
  void on_recipient(std::string_view arguments);

  // server_content.cc; take_...: true: the step is to be returned
  void on_data(std::string_view arguments);
  void on_chunk(std::string_view arguments);
  void begin_message(bool chunked);
  bool take_data(std::string_view& input, Step& step);
  bool take_chunk(std::string_view& input, Step& step);
  bool take_swallowed(std::string_view& input, Step& step);
  bool end_of_chunk(Step& step);
  bool separated_from_trace(std::string_view input, Step& step);
  std::string_view verdict() const;  // on the content so far; empty: nothing is wrong with it
  void refuse_chunk(std::string_view text);
  void refuse_arrived();  // the reply to content read to its end

  const ServerOptions& options_;
  bool relay_allowed_;
  State state_ = State::silent;

  // What step() has to tell next; several may be due, in this order.
  bool abort_due_ = false, begin_due_ = false, end_due_ = false, close_due_ = false;
  bool end_told_ = false;  // message_end was the last step: the envelope goes with the next

  bool esmtp_ = false;
  bool mail_given_ = false;        // a transaction is open
  bool recipients_tried_ = false;  // RCPT was said in it
  bool arriving_ = false;          // between message_begin and message_end or message_abort
  bool chunked_ = false;           // the message in arrival comes by BDAT
  bool chunk_last_ = false;
  bool chunks_failed_ = false;  // a BDAT was refused, and so are the others of its message
  bool first_octet_ = false;    // of the content is next
  bool dot_again_ = false;      // the next octet of the chunk is a dot already told once
  bool line_too_long_ = false;  // the line in arrival; it is not kept

  HeaderFacts header_{};
  ContentScanner scanner_;
  EnvelopeStore envelope_;
  std::string helo_;
  std::string line_;     // the beginning of a line that was cut
  std::string refusal_;  // of the message in arrival, to be given when it has been read
  uint64_t declared_size_ = 0;
  uint64_t chunk_size_ = 0, chunk_left_ = 0;
  uint64_t line_octets_ = 0;  // of a line that is too long
  uint32_t commands_ = 0, errors_ = 0, transactions_ = 0;

  std::string output_;
  uint32_t pending_count_ = 0;
  std::array<size_t, kPendingMax> places_{};  // where in output_ a reply is still missing
};

}  // namespace ringmta::smtp
