// SPDX-License-Identifier: GPL-3.0-or-later
// Passwords by the server's own exchanges, tokens by comparison: what is tested is the client.
#include "tools/sink/auth.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "ringmta/base/base64.h"

namespace ringmta::tools {
namespace {

constexpr std::string_view kNonce = "ringmta-sink says so";  // a test server's secret is no secret
constexpr std::string_view kWhy = R"({"status":"400","schemes":"Bearer","scope":"mail"})";

std::string encoded(std::string_view text) {
  std::string into;
  append_base64(as_bytes(text), into);
  return into;
}

}  // namespace

ringmta::Result<SinkAuth> SinkAuth::read(const std::string& text) {
  const size_t first = text.find(':');
  const size_t second = first == std::string::npos ? first : text.find(':', first + 1);
  if (second == std::string::npos) return fail("--auth expects MECHANISM,...:USER:FILE");
  SinkAuth auth;
  auth.mechanisms = text.substr(0, first);
  std::ranges::replace(auth.mechanisms, ',', ' ');
  auth.user = text.substr(first + 1, second - first - 1);
  const std::string path = text.substr(second + 1);
  std::ifstream file(path);
  if (!std::getline(file, auth.secret) || auth.secret.empty()) {
    return fail(path + " has no password in its first line");
  }
  std::vector<sasl::UserFault> faults;
  auth.users = sasl::Users::parse(
      sasl::user_line(auth.user, sasl::make_verifier(auth.secret, "ringmta-sink", 4096)) + "\n",
      faults);
  if (!faults.empty()) return fail("--auth: " + faults.front().message);
  return auth;
}

SinkExchange::Result SinkExchange::begin(const SinkAuth& auth, std::string_view argument) {
  auth_ = &auth;
  const size_t blank = std::min(argument.find(' '), argument.size());
  const auto mechanism = sasl::mechanism_named(argument.substr(0, blank));
  if (!mechanism || !sasl::lists(auth.mechanisms, *mechanism)) return Result::unknown_mechanism;
  mechanism_ = *mechanism;
  if (!sasl::takes_token(mechanism_)) {
    sasl::ServerSide side;
    side.users = auth.users;
    side.nonce = kNonce;
    exchange_ = std::make_unique<sasl::ServerExchange>(mechanism_, side);
  }
  if (blank < argument.size()) {
    const std::string_view initial = argument.substr(blank + 1);
    return go_on(initial == "=" ? std::string_view() : initial);
  }
  challenge_.clear();
  if (sasl::takes_token(mechanism_)) return Result::challenge;
  begun_ = true;
  return step(exchange_->begin(false, {}));
}

SinkExchange::Result SinkExchange::go_on(std::string_view line) {
  if (line == "*") return Result::bad;
  std::string response;
  if (!append_base64_decoded(line, response)) return Result::not_base64;
  if (sasl::takes_token(mechanism_)) return token(response);
  if (begun_) return step(exchange_->respond(response));
  begun_ = true;
  return step(exchange_->begin(true, response));
}

SinkExchange::Result SinkExchange::token(std::string_view response) {
  if (failed_) return Result::bad;
  const std::string bearer = "auth=Bearer " + auth_->secret + "\1";
  const std::string name = mechanism_ == sasl::Mechanism::xoauth2 ? "user=" + auth_->user + "\1"
                                                                  : "n,a=" + auth_->user + ",\1";
  if (response.starts_with(name) && response.find(bearer) != std::string_view::npos) {
    return Result::good;
  }
  failed_ = true;
  challenge_ = encoded(kWhy);
  return Result::challenge;
}

SinkExchange::Result SinkExchange::step(const sasl::ServerExchange::Step& step) {
  using Action = sasl::ServerExchange::Action;
  switch (step.action) {
    case Action::challenge:
      challenge_ = encoded(step.text);
      return Result::challenge;
    case Action::verify:
      return this->step(
          exchange_->verified(sasl::verify_password(exchange_->password(), exchange_->verifier())));
    case Action::succeeded:
      return Result::good;
    case Action::failed:
      break;
  }
  return Result::bad;
}

}  // namespace ringmta::tools
