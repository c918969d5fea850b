// SPDX-License-Identifier: GPL-3.0-or-later
// STARTTLS (RFC 3207) and the frame of AUTH (RFC 4954): lines, base64, order and replies. What the
// octets of an exchange mean is the owner's affair.
//
// Credentials are in memory of this machine only between their line and the owner's answer, and are
// wiped then. No reply repeats anything of them.
#include "ringmta/base/assert.h"
#include "ringmta/base/base64.h"
#include "ringmta/base/wipe.h"
#include "ringmta/smtp/server_session.h"

namespace ringmta::smtp {
namespace {

constexpr size_t kMechanismMax = 20;  // RFC 4422 3.1
constexpr std::string_view kNotBase64 = "501 5.5.2 That is no base64 (RFC 4648)";

std::string_view take_word(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  const std::string_view word = text.substr(0, text.find(' '));
  text.remove_prefix(word.size());
  return word;
}

bool offered(std::string_view mechanisms, std::string_view name) {
  while (!mechanisms.empty()) {
    if (take_word(mechanisms) == name) return true;
  }
  return false;
}

}  // namespace

// Before EHLO as well: all that was said is forgotten anyway, and there are clients that know what
// they want without asking (GNU gsasl).
void ServerSession::on_starttls(std::string_view arguments) {
  if (!arguments.empty()) return refuse("501 5.5.4 STARTTLS takes no argument");
  if (access_.tls) return refuse("503 5.5.1 TLS is in use already");
  if (!access_.starttls) return refuse("502 5.5.1 STARTTLS was not offered");
  drop_arriving();
  end_transaction();
  state_ = State::tls;
  tls_due_ = true;
}

void ServerSession::tls_started(const ServerAccess& access) {
  RINGMTA_ASSERT(state_ == State::tls && !tls_due_ && access.tls && !access.starttls);
  access_ = access;
  esmtp_ = authenticated_ = false;
  helo_.clear();
  mechanism_.clear();
  state_ = State::command;
}

void ServerSession::on_auth(std::string_view arguments) {
  if (!esmtp_) return refuse("503 5.5.1 EHLO comes first");
  if (authenticated_) return refuse("503 5.5.1 You have authenticated already");
  if (mail_given_) return refuse("503 5.5.1 AUTH does not go into a mail transaction");
  if (access_.mechanisms.empty()) {
    return refuse(access_.auth_after_tls ? "538 5.7.11 Say STARTTLS before AUTH"
                                         : "502 5.5.1 AUTH was not offered");
  }
  const std::string_view name = take_word(arguments);
  const std::string_view initial = take_word(arguments);
  if (name.empty() || name.size() > kMechanismMax || !take_word(arguments).empty()) {
    return refuse("501 5.5.4 Syntax: AUTH mechanism or AUTH mechanism initial-response");
  }
  mechanism_.clear();
  for (const char c : name) mechanism_ += c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  if (!offered(access_.mechanisms, mechanism_)) {
    return refuse("504 5.5.4 There is no such mechanism here");
  }
  wipe(response_);
  has_response_ = !initial.empty();
  if (initial != "=" && !append_base64_decoded(initial, response_)) return refuse(kNotBase64);
  auth_began_ = false;
  auth_due_ = true;
  state_ = State::auth;
}

// A line in answer to a challenge, with its LF; empty: it was too long.
void ServerSession::on_auth_line(std::string_view line) {
  if (line.empty()) return cancel_auth("500 5.5.6 Authentication exchange line is too long");
  if (line.size() < 2 || line[line.size() - 2] != '\r') {
    return cancel_auth("500 5.5.2 A line must end with CR and LF");
  }
  line.remove_suffix(2);
  if (line == "*") return cancel_auth("501 5.7.0 Authentication cancelled");
  wipe(response_);
  if (!append_base64_decoded(line, response_)) return cancel_auth(kNotBase64);
  auth_due_ = true;
  state_ = State::auth;
}

void ServerSession::cancel_auth(std::string_view text) {
  auth_cancel_due_ = true;
  state_ = State::command;
  refuse(text);
}

void ServerSession::auth_challenge(Bytes challenge) {
  RINGMTA_ASSERT(state_ == State::auth && !auth_due_);
  wipe(response_);
  output_ += "334 ";
  append_base64(challenge, output_);
  reply({});
  state_ = State::auth_line;
}

void ServerSession::auth_succeeded(const ServerAccess& access) {
  RINGMTA_ASSERT(state_ == State::auth && !auth_due_);
  wipe(response_);
  access_ = access;
  authenticated_ = true;
  state_ = State::command;
  reply("235 2.7.0 Authentication successful");
}

void ServerSession::auth_failed(std::string_view text) {
  RINGMTA_ASSERT(state_ == State::auth && !auth_due_);
  wipe(response_);
  state_ = State::command;
  if (text.substr(0, 3) == "421") return close_with(text);
  refuse(text);
}

// Of the command line or response in arrival, whose next octets are `piece`.
size_t ServerSession::line_limit(std::string_view piece) const {
  constexpr std::string_view kVerb = "AUTH ";
  if (state_ == State::auth_line) return kAuthLineMax;
  if (access_.mechanisms.empty() || line_.size() + piece.size() <= options_.line_length_max) {
    return options_.line_length_max;
  }
  for (size_t i = 0; i < kVerb.size(); ++i) {
    if (i >= line_.size() + piece.size()) break;
    const char c = i < line_.size() ? line_[i] : piece[i - line_.size()];
    if (ascii_lower(c) != ascii_lower(kVerb[i])) return options_.line_length_max;
  }
  return std::max<size_t>(kAuthLineMax, options_.line_length_max);
}

}  // namespace ringmta::smtp
