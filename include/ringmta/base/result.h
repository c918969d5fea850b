// SPDX-License-Identifier: GPL-3.0-or-later
// Errors are values. An Error carries a sentence an operator can act on; `code` is the errno behind
// it where there is one (0 otherwise), so that callers can tell "disk full" from "no such file"
// without reading prose.
#pragma once

#include <expected>
#include <string>
#include <utility>

namespace ringmta {

struct Error {
  std::string message;  // what failed, on what, and what to do about it
  int code = 0;         // errno, or 0
};

template <typename T>
using Result = std::expected<T, Error>;

using Status = Result<void>;

inline std::unexpected<Error> fail(std::string message, int code = 0) {
  return std::unexpected<Error>(Error{std::move(message), code});
}

// `what` + ": " + the system's text for `code` (a positive errno).
std::unexpected<Error> fail_errno(std::string what, int code);

}  // namespace ringmta
