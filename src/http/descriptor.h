// SPDX-License-Identifier: GPL-3.0-or-later
// A file descriptor that is closed with its owner, and how to wake a thread by one.
#pragma once

#include <unistd.h>

#include <utility>

namespace ringmta::http {

class Descriptor final {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int get() const { return number_; }
  explicit operator bool() const { return number_ >= 0; }

 private:
  int number_ = -1;
};

// Makes an eventfd readable, for good.
inline void wake_up(const Descriptor& event) {
  const unsigned long long one = 1;
  if (::write(event.get(), &one, sizeof(one)) < 0) {
    // Cannot be: a counter of 64 bits that is written once.
  }
}

}  // namespace ringmta::http
