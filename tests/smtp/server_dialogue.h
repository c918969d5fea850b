// SPDX-License-Identifier: GPL-3.0-or-later
// A server session and a scripted client, played without sockets. Replies and what the owner was
// told come out as plain text to be compared; the client's octets can be cut anywhere, which must
// change nothing.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "ringmta/base/prng.h"
#include "ringmta/smtp/server_session.h"

namespace ringmta::smtp {

// How the client's octets are cut.
enum class Cut { whole, octets, random, once };

class Talk final {
 public:
  explicit Talk(const ServerOptions& options = {}, bool relay_allowed = true, Cut cut = Cut::whole,
                uint64_t seed = 0)
      : options_(options), session_(options_, relay_allowed), cut_(cut), random_(seed) {}
  Talk(const ServerOptions& options, const ServerAccess& access, Cut cut = Cut::whole,
       uint64_t seed = 0)
      : options_(options), session_(options_, access), cut_(cut), random_(seed) {}

  // Greeted, and EHLO said; what was replied so far is forgotten.
  Talk& ready() {
    session_.greet();
    say("EHLO client.example\r\n");
    replies();
    told.clear();
    return *this;
  }

  void say(std::string_view input) {
    if (cut_ == Cut::once) {
      const size_t first = std::min<size_t>(cut_at, input.size());
      piece(input.substr(0, first));
      piece(input.substr(first));
      return;
    }
    if (input.empty()) piece(input);
    while (!input.empty()) {
      size_t length = input.size();
      if (cut_ == Cut::octets) length = 1;
      if (cut_ == Cut::random) length = 1 + random_.below(input.size());
      piece(input.substr(0, length));
      input.remove_prefix(length);
    }
  }

  // Says it and gives the replies to it, one per line.
  std::string ask(std::string_view input) {
    say(input);
    return replies();
  }

  // What has left since the last call, without CRs.
  std::string replies() {
    std::string taken;
    const bool has_output = session_.has_output();
    session_.take_output(taken);
    EXPECT_EQ(has_output, !taken.empty());
    std::string text;
    for (const char c : taken) {
      if (c != '\r') text += c;
    }
    return text;
  }

  // Fills the oldest open place.
  void answer(std::string_view text = "250 2.0.0 Ok") {
    --unanswered;
    session_.message_done(text);
  }

  // Answers what AUTH asked, in the owner's way of `on_auth`, when it was held.
  void answer_auth() {
    const std::string asked = std::move(auth_asked_);
    auth_asked_.clear();
    on_auth(session_, asked);
    piece({});
  }

  ServerSession& session() { return session_; }

  ServerAccess access_after_tls{.tls = true, .relay_allowed = true};
  bool hold_tls = false;       // tls_started() is not called
  bool hold_auth = false;      // on_auth only by answer_auth()
  std::string sender_refusal;  // in place of accept_sender()
  // Given "MECHANISM initial", "MECHANISM" or a response; answers by one of auth_...().
  std::function<void(ServerSession&, const std::string&)> on_auth;

  bool hold_answers = false;     // message_done() only by answer()
  std::string refuse_message;    // in place of accept_message()
  size_t refuse_content_at = 0;  // not 0: refuse_content() once this many octets have been told
  size_t cut_at = 0;             // for Cut::once
  uint32_t unanswered = 0;

  // What the owner was told, a line each; the content of a message only once it is complete.
  std::string told;
  std::vector<std::string> contents;
  std::string discarded;  // behind STARTTLS
  bool closed = false, blocked = false;

  static std::string shown(const EnvelopeView& envelope) {
    std::string text = "<" + std::string(envelope.reverse_path) + ">";
    if (!envelope.envelope_id.empty()) text += " ENVID=" + std::string(envelope.envelope_id);
    if (envelope.dsn_return == DsnReturn::full) text += " RET=FULL";
    if (envelope.dsn_return == DsnReturn::headers) text += " RET=HDRS";
    if (envelope.eight_bit) text += " 8BITMIME";
    if (envelope.utf8) text += " SMTPUTF8";
    for (const RecipientView& recipient : envelope.recipients) {
      text += " <" + std::string(recipient.address) + ">";
      if (!recipient.original_recipient.empty()) {
        text += "/" + std::string(recipient.original_recipient);
      }
      if (recipient.notify != 0) text += "/" + std::to_string(recipient.notify);
    }
    return text;
  }

 private:
  void piece(std::string_view input) {
    // Memory of exactly this size, so that a read beyond it is seen by the sanitizer.
    std::vector<char> memory(waiting_.begin(), waiting_.end());
    memory.insert(memory.end(), input.begin(), input.end());
    waiting_.clear();
    std::string_view rest(memory.data(), memory.size());
    while (!closed) {
      const ServerSession::Step step = session_.step(as_bytes(rest));
      ASSERT_LE(step.consumed, rest.size());
      rest.remove_prefix(step.consumed);
      blocked = step.action == ServerSession::Action::blocked;
      if (step.action == ServerSession::Action::more) {
        EXPECT_TRUE(rest.empty());
        return;
      }
      if (blocked) {
        EXPECT_TRUE(session_.blocked());
        waiting_ = rest;
        return;
      }
      act(step);
      if (step.action == ServerSession::Action::start_tls) {  // what came with it is no TLS
        discarded += rest;
        return;
      }
    }
  }

  void act(const ServerSession::Step& step) {
    using Action = ServerSession::Action;
    switch (step.action) {
      case Action::more:
      case Action::blocked:
        break;
      case Action::message_begin:
        told += "begin " + shown(session_.envelope()) + "\n";
        EXPECT_TRUE(session_.in_content());
        body_.clear();
        if (refuse_message.empty()) {
          session_.accept_message();
        } else {
          session_.refuse_message(refuse_message);
        }
        break;
      case Action::body:
        EXPECT_TRUE(session_.in_content());
        body_ += step.body;
        if (refuse_content_at != 0 && body_.size() >= refuse_content_at) {
          session_.refuse_content("452 4.3.1 No room");
        }
        break;
      case Action::message_end:
        EXPECT_FALSE(session_.in_content());
        EXPECT_FALSE(session_.in_transaction());
        told += "end " + shown(session_.envelope()) + "\n";
        contents.push_back(body_);
        body_.clear();
        ++unanswered;
        EXPECT_EQ(session_.pending(), unanswered);
        if (!hold_answers) answer();
        break;
      case Action::message_abort:
        EXPECT_FALSE(session_.in_content());
        told += "abort\n";
        body_.clear();
        break;
      case Action::close:
        told += "close\n";
        closed = true;
        break;
      case Action::start_tls:
        told += "tls\n";
        if (!hold_tls) session_.tls_started(access_after_tls);
        break;
      case Action::auth_begin:
        auth_asked_ = std::string(session_.auth_mechanism());
        if (step.has_response) auth_asked_ += " " + std::string(step.body);
        told += "auth " + auth_asked_ + "\n";
        if (!hold_auth) on_auth(session_, auth_asked_);
        break;
      case Action::auth_response:
        auth_asked_ = step.body;
        told += "response " + auth_asked_ + "\n";
        if (!hold_auth) on_auth(session_, auth_asked_);
        break;
      case Action::auth_cancel:
        told += "cancel\n";
        break;
      case Action::sender:
        told += "sender <" + std::string(session_.envelope().reverse_path) + ">\n";
        if (sender_refusal.empty()) {
          session_.accept_sender();
        } else {
          session_.refuse_sender(sender_refusal);
        }
        break;
    }
  }

  ServerOptions options_;
  ServerSession session_;
  Cut cut_;
  Prng random_;
  std::string body_;
  std::string auth_asked_;
  std::string waiting_;  // not taken while blocked
};

inline const std::string kEnvelope = "MAIL FROM:<a@one.example>\r\nRCPT TO:<b@two.example>\r\n";
inline const std::string kEnvelopeReplies = "250 2.1.0 Ok\n250 2.1.5 Ok\n";
inline const std::string kGo = "354 End data with <CR><LF>.<CR><LF>\n";

}  // namespace ringmta::smtp
