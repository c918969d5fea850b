// SPDX-License-Identifier: GPL-3.0-or-later
// The SMTP client session up to its first transaction: greeting, EHLO, STARTTLS (RFC 3207), AUTH
// (RFC 4954).
//
// The insight: nothing said before TLS counts, so the machine goes back to EHLO and forgets, and
// there is one place, after_hello(), that says what comes next whichever time round it is.
//
// Limits: of the mechanisms offered 512 octets are kept; what the peer's challenge may be is the
// reply parser's affair.
#include "client_envelope.h"
#include "ringmta/base/assert.h"
#include "ringmta/smtp/client_session.h"

namespace ringmta::smtp {
namespace {

constexpr uint16_t kClosing = 421;
constexpr uint16_t kChallenge = 334;
constexpr EnhancedStatus kSecurityNotSupported{4, 7, 4};  // RFC 3463 3.8

Reply own_words(EnhancedStatus status, std::string text) {
  Reply reply;
  reply.status = status;
  reply.text = std::move(text);
  return reply;
}

}  // namespace

void ClientSession::on_greeting(const Reply& reply) {
  if (!reply.positive()) {
    close(Phase::greeting, reply);
    return;
  }
  state_ = State::hello;
  if (quit_wanted_) {
    state_ = State::ready;
    send_quit_if_due();
    return;
  }
  send_hello(options_.lmtp ? "LHLO " : "EHLO ");
}

void ClientSession::on_hello(const Reply& reply) {
  if (reply.positive()) {
    if (!helo_) capabilities_ = parse_capabilities(reply.text);
    const std::string_view said = reply.text;
    has_our_name_ =
        equals_ignoring_case(said.substr(0, said.find_first_of(" \n")), options_.hostname);
    pipelining_ = options_.pipelining && capabilities_.pipelining;
    // LMTP leaves open how many replies a refused BDAT has (RFC 2033 4.3): DATA there.
    chunking_ = options_.chunking && capabilities_.chunking && !options_.lmtp;
    after_hello();
    return;
  }
  if (reply.permanent() && !helo_ && !options_.lmtp) {  // RFC 5321 3.2
    helo_ = true;
    send_hello("HELO ");
    return;
  }
  close(Phase::ehlo, reply);
}

void ClientSession::after_hello() {
  if (!quit_wanted_ && !secure_ && opening_.starttls != StartTls::never) {
    if (capabilities_.starttls && !tls_refused_) {
      send_command("STARTTLS\r\n");
      state_ = State::starttls;
      return;
    }
    if (opening_.starttls == StartTls::always) {
      close(Phase::tls,
            own_words(kSecurityNotSupported, "TLS is required here, and it does not offer it"));
      return;
    }
  }
  if (!quit_wanted_ && opening_.authenticate) {
    owners_turn(Action::authenticate);
  } else {
    become_ready();
  }
}

void ClientSession::become_ready() {
  state_ = State::ready;
  if (quit_wanted_) {
    send_quit_if_due();
  } else {
    tell_opening_ = Action::ready;
    news_ = true;
  }
}

void ClientSession::owners_turn(Action action) {
  state_ = State::owner;
  tell_opening_ = action;
  news_ = true;
}

void ClientSession::on_starttls(const Reply& reply) {
  if (reply.intermediate()) {
    close_confused(Phase::tls, "an answer that makes no sense", reply.line());
  } else if (reply.positive()) {
    state_ = State::handshake;
    tell_opening_ = Action::start_tls;
    news_ = true;
  } else if (reply.code == kClosing) {
    close(Phase::tls, reply);
  } else if (opening_.starttls == StartTls::always) {
    close(Phase::tls, own_words(kSecurityNotSupported,
                                "TLS is required here, and it refused STARTTLS: " + reply.line()));
  } else {
    tls_refused_ = true;
    after_hello();
  }
}

void ClientSession::secured() {
  RINGMTA_ASSERT(state_ == State::handshake || (state_ == State::greeting && !parser_.in_reply()));
  secure_ = true;
  if (state_ == State::greeting) return;
  capabilities_ = {};
  helo_ = false;
  state_ = State::hello;
  send_hello(options_.lmtp ? "LHLO " : "EHLO ");
}

void ClientSession::authenticate(std::string_view mechanism,
                                 std::optional<std::string_view> initial) {
  RINGMTA_ASSERT(state_ == State::owner && tell_opening_ == Action::more);
  std::string& line = text();
  const size_t begin = line.size();
  // A text that grows would leave a copy of the secret behind.
  line.reserve(begin + mechanism.size() + (initial ? initial->size() : 0) + 16);
  line += "AUTH ";
  line += mechanism;
  if (initial) {
    line += ' ';
    line += initial->empty() ? std::string_view("=") : *initial;
  }
  line += "\r\n";
  has_secret_[writing_] = true;
  auth_tried_ = true;
  written(begin, 1);
  state_ = State::auth;
}

void ClientSession::answer(std::string_view base64) {
  RINGMTA_ASSERT(state_ == State::owner && tell_opening_ == Action::more);
  std::string& line = text();
  const size_t begin = line.size();
  line.reserve(begin + base64.size() + 2);
  line += base64;
  line += "\r\n";
  has_secret_[writing_] = true;
  written(begin, 1);
  state_ = State::auth;
}

void ClientSession::cancel_authentication() { answer("*"); }

void ClientSession::on_auth(const Reply& reply) {
  if (reply.intermediate()) {
    if (reply.code == kChallenge) {
      owners_turn(Action::challenge);
    } else {
      close_confused(Phase::auth, "an answer that makes no sense", reply.line());
    }
  } else if (reply.positive()) {
    owners_turn(Action::authenticated);
  } else if (reply.code == kClosing) {
    close(Phase::auth, reply);
  } else {
    owners_turn(Action::authenticate);
  }
}

bool ClientSession::opening_news(Step& step) {
  step.action = tell_opening_;
  tell_opening_ = Action::more;
  step.reply = &parser_.reply();
  switch (step.action) {
    case Action::start_tls:
      step.phase = Phase::tls;
      return true;
    case Action::authenticate:
      step.phase = Phase::auth;
      if (!auth_tried_) step.reply = nullptr;
      return true;
    case Action::challenge:
      step.phase = Phase::auth;
      return true;
    case Action::authenticated:
      step.phase = Phase::auth;
      become_ready();
      return true;
    case Action::ready:
      step.phase = Phase::ehlo;
      return true;
    case Action::more:
    case Action::recipient:
    case Action::finished:
    case Action::close:
      break;
  }
  return false;
}

}  // namespace ringmta::smtp
