// SPDX-License-Identifier: GPL-3.0-or-later
// The SMTP client as a state machine without I/O. It pipelines as far as the peer allows: the whole
// envelope in one write (RFC 2920), the next transaction right behind the last one's final dot, and
// where CHUNKING is offered (RFC 3030) envelope and content together, so that a message costs one
// write and one round trip.
//
// Output is a sequence of parts: command text owned by the session, and "the content of transaction
// N goes here", which the owner replaces by its own memory. Replies are matched to what was asked
// in order; every recipient of every transaction gets exactly one verdict, whatever the peer does.
//
// Why RSET now and then: when the peer refuses every recipient, its transaction is still open, and
// a MAIL pipelined behind is "nested" and refused, while the RCPTs after it are taken, under the
// *previous* reverse-path. After DATA this cannot happen (nothing is sent behind it before 354, and
// the final dot always ends the transaction, RFC 5321 4.1.1.4). Behind a BDAT whose replies are not
// in yet it can, so there the next transaction begins with RSET (RFC 2920 3.1 names "RSET/MAIL
// FROM" as what may stand behind a message).
//
// TLS and authentication stand between EHLO and the first transaction. The session knows neither:
// it says when it is the owner's turn (Action::start_tls, authenticate, challenge) and waits, so a
// handshake may be spread over turns and a password may come from elsewhere. What was learnt before
// TLS is forgotten, and octets that came behind the reply to STARTTLS end the session (RFC 3207 5
// and 6: somebody put them there).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ringmta/base/bytes.h"
#include "ringmta/smtp/envelope.h"
#include "ringmta/smtp/reply.h"

namespace ringmta::smtp {

struct ClientOptions {
  std::string hostname = "localhost";  // for EHLO
  bool pipelining = true;              // use it where offered
  bool chunking = true;                // likewise
  bool lmtp = false;                   // LHLO and a reply per recipient after the dot (RFC 2033)
  uint64_t chunking_size_max =
      262'144;  // contents up to this size go out with the envelope, unasked; larger by DATA
                // (or BDAT after the RCPT replies are in)
};

enum class StartTls : uint8_t {
  never,    // even where it is offered
  offered,  // where it is; a refusal leaves the connection in clear text
  always,   // or the session ends
};

// What is to happen between EHLO and the first transaction.
struct ClientOpening {
  StartTls starttls = StartTls::never;
  bool authenticate = false;
};

struct Capabilities {
  bool esmtp = false, pipelining = false, chunking = false, eight_bit = false, smtputf8 = false,
       dsn = false, enhanced_status = false, starttls = false, size = false;
  uint64_t size_max = 0;        // SIZE, 0: no limit told
  uint32_t recipients_max = 0;  // LIMITS RCPTMAX, 0: not told
  uint32_t messages_max = 0;    // LIMITS MAILMAX, 0: not told
  std::string auth;             // AUTH (RFC 4954): the mechanisms, one blank between two
};

// The content as the owner holds it: wire form with the closing ".CRLF".
struct ContentFacts {
  uint64_t wire_size = 0;         // octets of the wire form, the closing ".CRLF" (3) included
  bool has_dot_stuffing = false;  // then BDAT cannot send it as it is: DATA
  bool has_eight_bit = false;
};

struct Transaction {
  uint64_t tag = 0;       // the owner's name for it
  EnvelopeView envelope;  // copied where needed; views must live through begin() only
  ContentFacts content;
};

// Where a verdict comes from: which command the peer answered, or what went wrong.
enum class Phase : uint8_t {
  connect,
  greeting,
  ehlo,
  tls,
  auth,
  mail,
  recipient,
  data,
  content,
  quit
};
std::string_view to_text(Phase phase);

class ClientSession final {
 public:
  enum class Action : uint8_t {
    more,       // all consumed
    start_tls,  // the peer is ready for TLS: do the handshake, then secured(). No input before that
    authenticate,   // the owner's turn: authenticate(), now or later; `reply`: why the last try was
                    // refused (null: it is the first), then close instead if there is no other way
    challenge,      // `reply` is a 334, its text in base64: answer() or cancel_authentication()
    authenticated,  // the peer says so; `ready` follows unless the owner knows better and closes
    ready,          // greeting, EHLO and all of the above are through (once)
    recipient,  // verdict for recipient `index` of transaction `tag`: `reply`, `phase`; positive
                // only after the content was accepted (so "delivered" may be recorded)
    finished,  // transaction `tag` is over: every recipient has had its verdict; its content memory
               // is free (while it is in an output not yet told by output_sent(), `finished` waits
               // for that)
    close,     // the session is over (peer's 421, refused greeting, protocol error, our QUIT
            // answered): call abandon() for what is left, then close the connection; `reply` is why
  };
  struct Step {
    size_t consumed = 0;
    Action action = Action::more;
    Phase phase = Phase::connect;
    uint64_t tag = 0;
    uint32_t index = 0;
    const Reply* reply = nullptr;  // valid until the next step(); code 0: our own words about a
                                   // connection that ended or a peer that broke the protocol
    // With `recipient`: refused only because the transaction has too many recipients (452 or 552
    // after others were accepted, RFC 5321 4.5.3.1.10, or more than LIMITS RCPTMAX): try it at once
    // in a new transaction, whatever the code.
    bool too_many_recipients = false;
  };

  static constexpr uint32_t kDepthMax = 4;  // transactions open at once

  explicit ClientSession(const ClientOptions& options, const ClientOpening& opening = {});

  // Feed what the peer sent; call again with the rest until `more`. Also call with empty input
  // after begin() and output_sent(): verdicts that need no reply (a message the peer cannot take:
  // SMTPUTF8, 8BITMIME, SIZE) and a `finished` that waited for its content to be sent come that
  // way. After `close` everything is ignored.
  Step step(Bytes input);

  // All octets from here on are protected: after start_tls, or before the first octet (port 465).
  void secured();
  bool secure() const { return secure_; }
  // `initial`: the initial response in base64, if the mechanism has one and the line is no longer
  // than kAuthLineMax with it (RFC 4954 4); without one the peer asks for it by an empty challenge.
  static constexpr size_t kAuthLineMax = 512;
  void authenticate(std::string_view mechanism, std::optional<std::string_view> initial);
  void answer(std::string_view base64);
  void cancel_authentication();  // the peer's refusal then comes as `authenticate`

  const Capabilities& capabilities() const { return capabilities_; }
  // The peer greets us (in its reply to EHLO) by the name we have ourselves.
  bool has_our_name() const { return has_our_name_; }
  bool ready() const;
  // Another transaction may be begun now (idle, or pipelined behind one whose content is on its
  // way).
  bool can_begin() const;
  // No further transaction will ever be possible here (LIMITS MAILMAX, quit(), closed): quit() when
  // the rest is done.
  bool exhausted() const;
  void begin(const Transaction& transaction);
  // Whether content of this size goes out by BDAT, as long as it has no stuffed dots.
  bool would_chunk(uint64_t wire_size) const;
  uint32_t transactions_open() const { return used_; }  // begun, not yet `finished`
  void quit();  // QUIT once every transaction is over; the reply gives `close`

  // Output, in order. `content_tag` set: the owner's content of that transaction stands here;
  // `content_dot`: with the closing ".CRLF" (DATA) or without it (BDAT). Text views stay valid
  // until output_sent().
  struct OutputPart {
    std::string_view text;
    bool is_content = false;
    bool content_dot = false;
    uint64_t content_tag = 0;
  };
  // Appends all parts that may leave now; they are then the owner's to send. output_sent() once
  // they were handed over to the kernel and completed, so that the text memory may be reused (two
  // buffers alternate: what is in flight is never touched). One output is in flight at a time: no
  // take_output() between the two.
  void take_output(std::vector<OutputPart>& parts);
  void output_sent();
  bool has_output() const { return !segments_.empty(); }

  // What the session waits for now, so that its owner sets the RFC 5321 4.5.3.2 timeout.
  Phase waiting_for() const;
  bool waiting() const;  // false: nothing is owed by the peer (idle)
  // The transaction's content was taken for output, in part at least.
  bool content_taken(uint64_t tag) const;
  uint64_t replies_seen() const { return replies_seen_; }  // so far: the peer makes progress

  // The connection ended or timed out, or step() said `close`: the recipients without verdict, one
  // per call like step(), each transaction closed by `finished`, until `more`. `phase` tells how
  // far it got: Phase::content means that the content had been taken for output completely and the
  // outcome is unknown (a possible duplicate). `reply` is the closing one (421) or our own words
  // with code 0. Output of the owner's that is still in the kernel is its own affair.
  Step abandon();

 private:
  enum class State : uint8_t {
    greeting,
    hello,
    starttls,   // its reply is owed
    handshake,  // the owner's
    owner,      // its turn to say something of AUTH
    auth,       // a reply to that is owed
    ready,
    quitting,
    closed
  };
  // The reply a transaction is owed next.
  enum class Stage : uint8_t { reset, mail, recipients, data, content, done };
  enum class Place : uint8_t { held, queued, taken, sent };  // where the content is

  struct Slot {
    uint64_t tag = 0;
    uint64_t wire_size = 0;
    std::vector<uint8_t> recipients;  // flags per recipient
    std::string script;               // lock-step: the commands still to be sent
    size_t script_sent = 0;
    uint32_t next = 0;        // the recipient whose reply is owed next
    uint32_t unanswered = 0;  // RCPT commands without reply
    uint32_t accepted = 0;
    Stage stage = Stage::done;
    Place place = Place::held;
    bool chunked = false;
    bool mail_accepted = false;
    bool local_verdicts = false;  // some recipients wait for a verdict of our own
    bool finished = false;        // told; the slot is freed when it is the oldest
  };
  struct Segment {
    size_t begin = 0, end = 0;  // in the text being written
    uint64_t tag = 0;
    uint32_t slot = 0;
    bool is_content = false, dot = false;
  };
  struct Inspection {
    uint32_t sent = 0;       // recipients the peer will be told
    bool eight_bit = false;  // an address among those, or the reverse-path, is not ASCII
  };
  // Recipients [next, end) of a slot that all get the same reply.
  struct Verdicts {
    uint32_t slot = kDepthMax, next = 0, end = 0;
    Phase phase = Phase::connect;
    bool too_many = false;
    const Reply* reply = nullptr;
  };

  bool news(Step& step);  // what is to be told before more input is looked at
  bool next_verdict(Step& step);
  bool local_verdict(Step& step);
  bool next_finished(Step& step);
  void tell_recipient(Step& step, Slot& slot, uint32_t index, Phase phase, const Reply* reply);
  void tell_finished(Step& step, Slot& slot);

  void on_reply(const Reply& reply);
  void on_greeting(const Reply& reply);
  void on_hello(const Reply& reply);
  void on_starttls(const Reply& reply);
  void on_auth(const Reply& reply);
  void after_hello();
  void become_ready();
  void owners_turn(Action action);
  bool opening_news(Step& step);
  void on_transaction(Slot& slot, const Reply& reply);
  void on_mail(Slot& slot, const Reply& reply);
  void on_recipient(Slot& slot, const Reply& reply);
  void on_data(Slot& slot, const Reply& reply);
  void on_content(Slot& slot, const Reply& reply);
  void judge_all(const Slot& slot, const Reply& reply, Phase phase);
  void judge_one(const Slot& slot, uint32_t index, const Reply& reply, Phase phase, bool too_many);
  void end_transaction(Slot& slot, bool peer_clean);
  void close(Phase phase, const Reply& reply);
  void close_confused(Phase phase, std::string_view what, std::string_view reply_line);

  Inspection inspect(const Transaction& transaction, Slot& slot);
  void write_envelope(const Transaction& transaction, Slot& slot, Inspection found);
  void send_hello(std::string_view keyword);
  void send_command(std::string_view line);
  void send_script_line(Slot& slot);
  void send_chunk(Slot& slot);
  void queue_content(Slot& slot);
  void written(size_t begin, uint32_t replies);
  void send_quit_if_due();
  void set_own_reply(uint8_t reason);

  std::string& text() { return text_[writing_]; }
  Slot& at(uint32_t position) { return slots_[(head_ + position) % kDepthMax]; }
  const Slot& at(uint32_t position) const { return slots_[(head_ + position) % kDepthMax]; }
  uint32_t index_of(const Slot& slot) const { return static_cast<uint32_t>(&slot - slots_.data()); }
  const Slot* answering() const;  // the slot whose reply is owed next; null: none
  Phase progress_of(const Slot& slot) const;
  static Phase phase_of(const Slot& slot);

  ClientOptions options_;
  ClientOpening opening_;
  Capabilities capabilities_{};
  State state_ = State::greeting;
  bool pipelining_ = false, chunking_ = false;  // offered and wanted
  bool helo_ = false;                           // EHLO was refused, HELO is what we said last
  bool quit_wanted_ = false;
  bool in_flight_ = false;    // between take_output() and output_sent()
  bool secure_ = false;       // TLS protects what is said
  bool tls_refused_ = false;  // STARTTLS was, and we may go on without
  bool auth_tried_ = false;
  bool has_our_name_ = false;
  bool has_secret_[2] = {false, false};  // the text has what must not stay in memory
  bool news_ = false, tell_close_ = false;
  Action tell_opening_ = Action::more;  // start_tls ... ready: to be told
  bool content_out_ = true;             // the content of the last transaction sent is in the output
  bool last_chunked_ = false;           // it went by BDAT
  bool peer_clean_ = true;              // no transaction is open at the peer
  bool unprocessed_behind_ =
      false;                      // the peer closed by 421: it did not look at what stands behind
  uint8_t writing_ = 0;           // which text is being written; the other may be in flight
  uint32_t head_ = 0, used_ = 0;  // the ring of slots
  uint32_t outstanding_ = 0;      // transactions that are owed replies
  uint32_t mails_written_ = 0;    // for MAILMAX
  uint64_t commands_written_ = 0, commands_taken_ = 0,
           replies_seen_ = 0;  // counted in owed replies
  ReplyParser parser_;
  Verdicts verdicts_{};
  Phase close_phase_ = Phase::connect;
  Reply close_reply_;
  Reply own_reply_;
  std::array<Slot, kDepthMax> slots_{};
  std::array<std::string, 2> text_;
  std::vector<Segment> segments_;
};

}  // namespace ringmta::smtp
