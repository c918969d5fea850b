// SPDX-License-Identifier: GPL-3.0-or-later
// The other end of http/control_server.h: asks the running relay, waits for its answer.
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "arguments.h"
#include "ringmta/base/result.h"
#include "ringmta/base/time.h"

namespace ringmta::cli {

// The socket named by --socket, else by the configuration. A configuration with mistakes is good
// enough for that as long as its socket can be read: the relay may be running on an older one.
Result<std::string> find_socket(const ControlPlace& place);

// Words for a control socket that does not let us in.
Error explain_connect_failure(const std::string& path, int code);

class ControlClient final {
 public:
  // An answer that does not come within `patience` (of its next line) is given up.
  static Result<ControlClient> connect(const std::string& path, Milliseconds patience);
  ~ControlClient();
  ControlClient(ControlClient&& other) noexcept;
  ControlClient& operator=(ControlClient&&) = delete;

  // Calls `each` with every line of the answer but an error, the one with "end" included; it
  // returns false to stop listening. An error of the relay's is ours, with code 0.
  Status ask(const nlohmann::json& request,
             const std::function<bool(const nlohmann::json& line)>& each);

 private:
  ControlClient(int descriptor, Milliseconds patience)
      : descriptor_(descriptor), patience_(patience) {}
  Status write(std::string_view text);
  Result<std::string> read_line();
  Status wait(short events);

  int descriptor_;
  Milliseconds patience_;
  std::string input_;
};

}  // namespace ringmta::cli
