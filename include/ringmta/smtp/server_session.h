// SPDX-License-Identifier: GPL-3.0-or-later
// The ESMTP server as a state machine without I/O (RFC 5321, 1870, 2034, 2920, 3030, 3207, 3461,
// 4954, 6152, 6531, 9422).
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
// TLS and credentials are the owner's. STARTTLS stops the machine until tls_started(), which
// forgets all that the client has said (RFC 3207 4.2). AUTH stops it at each response; the owner's
// answer may come much later, from another thread's work: until then step() takes nothing and
// answers `blocked`, so what the client sent behind stays in order and is read as what it then is.
//
// What is stricter than elsewhere, because a next hop might read it otherwise: content with a bare
// CR, a bare LF or a NUL is refused (554 5.6.0) after it was read to its end, and after DATA
// nothing behind that end is read: the client may have meant another end. A command line that ends
// in a bare LF or holds a control character is refused (500 5.5.2). What is done for the content's
// sake: a BDAT message whose last line is not ended gets its CRLF (RFC 3030 2 lets a client leave
// it out, DATA cannot carry such a message); a content that does not begin with a header section
// gets an empty line in front, or its first line would be read as one of our trace lines or the
// continuation of the last (first_line.h). Until that is decided the first octets are held.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "ringmta/base/bytes.h"
#include "ringmta/smtp/envelope.h"
#include "ringmta/smtp/envelope_store.h"
#include "ringmta/smtp/first_line.h"
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
  // Is this domain, which has octets above 127, one that can be asked for? Null: any that is UTF-8.
  bool (*domain_exists_in_idna)(std::string_view domain) = nullptr;
  uint32_t rules = 0;  // number of the rules that ServerAccess came from; when it has changed, the
                       // next MAIL asks the owner (Action::sender) what they say now
};

// What one client may do and is offered, beyond ServerOptions. The owner decides it by listener and
// network, and again when TLS begins and when the client has authenticated.
struct ServerAccess {
  bool tls = false;             // the session runs over TLS
  bool starttls = false;        // STARTTLS is offered (and then there is no TLS yet)
  bool tls_required = false;    // until there is: 530 5.7.0
  bool relay_allowed = false;   // to any recipient; otherwise each RCPT gets 550 5.7.1
  bool auth_required = false;   // until the client has authenticated, MAIL gets 530 5.7.0
  bool auth_after_tls = false;  // AUTH is not offered, but will be over TLS: 538 5.7.11 until then
  bool ask_sender = false;      // tell Action::sender at each MAIL
  uint32_t rules = 0;           // ServerOptions::rules when this was decided
  // What AUTH offers, as EHLO lists it: "PLAIN SCRAM-SHA-256"; empty: no AUTH. Outlives the
  // session.
  std::string_view mechanisms{};
};

class ServerSession final {
 public:
  static constexpr uint32_t kPendingMax = 8;
  static constexpr uint32_t kAuthLineMax = 12'288;  // octets of AUTH and its responses, CRLF
                                                    // included (RFC 4954 4)
  // To whom has sent something before the greeting; the owner may have seen it without step().
  static constexpr std::string_view kSpokeEarly = "554 5.5.1 You spoke before the greeting";

  enum class Action : uint8_t {
    more,     // all given octets are consumed; come back with more
    blocked,  // kPendingMax messages (or as much text as one may hold) wait for a reply before
              // them, or the owner has an answer to give to AUTH: call step() again when blocked()
              // is over
    start_tls,      // send the output, drop what is left of the input, do the handshake, then
                    // tls_started(); step() takes nothing until then
    auth_begin,     // AUTH: the mechanism is auth_mechanism(), its initial response is `body` if
                    // `has_response`; answer by one of auth_...() now or later
    auth_response,  // the response to a challenge, decoded, is `body`; answer likewise
    auth_cancel,    // the client gave up, or sent no base64: drop the exchange, there is nothing to
                    // answer
    sender,         // MAIL was acceptable (only with ServerAccess::ask_sender, or after a change of
                    // rules): envelope() has the reverse-path; answer by accept_sender() or
                    // refuse_sender() before step()
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
    bool has_response = false;  // with auth_begin: `body` is an initial response (maybe empty)
  };

  ServerSession(const ServerOptions& options, const ServerAccess& access);
  ServerSession(const ServerOptions& options, bool relay_allowed)
      : ServerSession(options, ServerAccess{.relay_allowed = relay_allowed}) {}

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

  // After start_tls: the handshake is done. The client begins anew, unauthenticated, with `access`
  // (whose `tls` is set). If the handshake fails there is nobody left to talk to: close.
  void tls_started(const ServerAccess& access);

  // Answers to auth_begin and auth_response, one for each. The views that step() gave are wiped.
  void auth_challenge(Bytes challenge);             // 334 and its base64
  void auth_succeeded(const ServerAccess& access);  // 235 2.7.0; what holds from now on
  void auth_failed(std::string_view reply);         // "535 5.7.8 ...", "454 4.7.0 ..."; 421 closes

  void decide_anew(const ServerAccess& access);  // before either of the two: what holds from now on
  void accept_sender();
  void refuse_sender(std::string_view reply);  // "553 5.7.1 ..."

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
  bool reading_content() const;                  // the next octets are content, be it a refused one
  uint32_t lines() const { return commands_; }   // command lines (and responses) taken as a whole
  bool in_transaction() const;                   // between MAIL and its end
  uint32_t transactions() const { return transactions_; }  // MAIL commands that were accepted
  uint32_t pending() const { return pending_count_; }
  // step() has something to tell that needs no input: call it with none.
  bool has_news() const;
  bool blocked() const;  // step() would answer `blocked` (or take nothing before tls_started())
  const ServerAccess& access() const { return access_; }
  bool authenticated() const { return authenticated_; }
  std::string_view auth_mechanism() const { return mechanism_; }  // in upper case; the last tried

  // Appends what may leave now to `into` and forgets it.
  void take_output(std::string& into);
  bool has_output() const;

 private:
  enum class State : uint8_t {
    silent,           // before greet()
    turned_away,      // greet_refused(): QUIT or nothing
    command,          // a command line is next
    deciding,         // message_begin was told, the owner has not answered
    data,             // content by DATA; read to its end even when refused
    chunk,            // octets of a BDAT; likewise
    chunk_swallowed,  // octets of a BDAT that was refused before they came
    sender,           // sender was told, the owner has not answered
    tls,              // STARTTLS was answered: nothing until tls_started()
    auth,             // the owner owes an answer to AUTH
    auth_line,        // the client owes a response to a challenge
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

  // server_security.cc
  void on_starttls(std::string_view arguments);
  void on_auth(std::string_view arguments);
  void on_auth_line(std::string_view line);
  void cancel_auth(std::string_view reply);
  bool decode_response(std::string_view text);
  void wipe_credentials();
  size_t line_limit(std::string_view piece) const;

  // server_envelope.cc
  void on_mail(std::string_view arguments);
  void on_recipient(std::string_view arguments);

  // server_content.cc; take_...: true: the step is to be returned
  void on_data(std::string_view arguments);
  void on_chunk(std::string_view arguments);
  void begin_message(bool chunked);
  bool take_content(std::string_view& input, Step& step);
  bool hold_opening(std::string_view& input, Step& step);
  bool take_held(Step& step);
  bool take_data(std::string_view& input, Step& step);
  bool take_chunk(std::string_view& input, Step& step);
  bool take_swallowed(std::string_view& input, Step& step);
  bool end_of_chunk(Step& step);
  std::string_view verdict() const;  // on the content so far; empty: nothing is wrong with it
  void refuse_chunk(std::string_view text);
  void refuse_arrived();  // the reply to content read to its end

  const ServerOptions& options_;
  ServerAccess access_;
  State state_ = State::silent;

  // What step() has to tell next; several may be due, in this order.
  bool abort_due_ = false, sender_due_ = false, begin_due_ = false, end_due_ = false,
       tls_due_ = false, auth_due_ = false, auth_cancel_due_ = false, close_due_ = false;
  bool end_told_ = false;  // message_end was the last step: the envelope goes with the next

  bool esmtp_ = false;
  bool authenticated_ = false;
  bool has_response_ = false;      // AUTH came with an initial response
  bool auth_began_ = false;        // auth_begin was told (the next is auth_response)
  bool mail_given_ = false;        // a transaction is open
  bool recipients_tried_ = false;  // RCPT was said in it
  bool arriving_ = false;          // between message_begin and message_end or message_abort
  bool chunked_ = false;           // the message in arrival comes by BDAT
  bool chunk_last_ = false;
  bool chunks_failed_ = false;  // a BDAT was refused, and so are the others of its message
  bool opening_known_ = false;  // whether the content in arrival begins with a header section
  bool dot_again_ = false;      // the next octet of the chunk is a dot already told once
  bool line_too_long_ = false;  // the line in arrival; it is not kept

  HeaderFacts header_{};
  ContentScanner scanner_;
  FirstLine first_line_;
  std::string opening_;  // of the content, held until that was known
  size_t opening_taken_ = 0;
  EnvelopeStore envelope_;
  std::string helo_;
  std::string line_;  // the beginning of a line that was cut
  std::string mechanism_;
  std::string response_;  // decoded; wiped when it has been answered
  std::string refusal_;   // of the message in arrival, to be given when it has been read
  uint64_t declared_size_ = 0;
  uint64_t chunk_size_ = 0, chunk_left_ = 0;
  uint64_t line_octets_ = 0;  // of a line that is too long
  uint32_t commands_ = 0, errors_ = 0, transactions_ = 0;

  std::string output_;
  uint32_t pending_count_ = 0;
  std::array<size_t, kPendingMax> places_{};  // where in output_ a reply is still missing
};

}  // namespace ringmta::smtp
