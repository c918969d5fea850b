// SPDX-License-Identifier: GPL-3.0-or-later
// One operator's connection: request lines in, answer lines out.
//
// Reading never waits; writing does, because a handler produces its answer in one go. What it may
// wait is a budget per request, and it ends at once when `wake` becomes readable (the server is
// being taken down).
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "descriptor.h"

namespace ringmta::http {

using Clock = std::chrono::steady_clock;

class ControlConnection final {
 public:
  explicit ControlConnection(Descriptor descriptor)
      : descriptor_(std::move(descriptor)), last_active_(Clock::now()) {}

  int descriptor() const { return descriptor_.get(); }
  bool broken() const { return broken_; }
  void give_up() { broken_ = true; }
  Clock::time_point last_active() const { return last_active_; }

  // Takes what has arrived; false: the client is gone.
  bool receive();
  // A whole request line is here; without one, too_long() tells that there will never be one.
  bool has_line() const;
  bool too_long() const;
  std::string take_line();  // without its line feed; has_line()

  // A new answer: the client may take `wait_max` in all for it.
  void begin_answer(Clock::duration wait_max) { wait_left_ = wait_max; }
  // Sends it all; false: the client does not take it or is gone, or `wake` is readable.
  bool send(std::string_view text, int wake);

 private:
  bool wait_writable(int wake);

  Descriptor descriptor_;
  std::string input_;
  Clock::time_point last_active_;
  Clock::duration wait_left_{};
  bool broken_ = false;
};

}  // namespace ringmta::http
