// SPDX-License-Identifier: GPL-3.0-or-later
// The sink's one user, and an exchange with somebody who says to be that user.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "ringmta/base/result.h"
#include "ringmta/sasl/server_exchange.h"

namespace ringmta::tools {

class SinkAuth final {
 public:
  // "PLAIN,LOGIN:USER:FILE": mechanisms, the user, a file whose first line is the password or
  // token.
  static Result<SinkAuth> read(const std::string& text);

  std::string mechanisms;  // as EHLO says them
  std::string user, secret;
  std::shared_ptr<const sasl::Users> users;
};

class SinkExchange final {
 public:
  enum class Result : uint8_t { challenge, good, bad, unknown_mechanism, not_base64 };

  // `argument` of AUTH.
  Result begin(const SinkAuth& auth, std::string_view argument);
  Result go_on(std::string_view line);
  const std::string& challenge() const { return challenge_; }  // in base64

 private:
  Result step(const sasl::ServerExchange::Step& step);
  Result token(std::string_view response);

  const SinkAuth* auth_ = nullptr;
  sasl::Mechanism mechanism_ = sasl::Mechanism::plain;
  std::unique_ptr<sasl::ServerExchange> exchange_;
  std::string challenge_;
  bool begun_ = false;   // the first response was there
  bool failed_ = false;  // a token was refused, the client is being told why
};

}  // namespace ringmta::tools
