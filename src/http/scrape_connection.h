// SPDX-License-Identifier: GPL-3.0-or-later
// One scrape over HTTP: a request is read, one answer is sent, the connection ends (RFC 9112 9.6).
//
// This is all of HTTP that a scrape needs. It exists because the web server that comes with
// prometheus-cpp has no IPv6 on some distributions, does not say why it cannot listen, and takes
// two seconds to stop.
//
// States: reading the request's head, sending the answer, draining (our side is shut; the client's
// end is awaited, since closing over unread octets would reset the answer away).
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

#include "descriptor.h"

namespace ringmta::http {

class ScrapeConnection final {
 public:
  using Clock = std::chrono::steady_clock;
  using MakeText = std::function<std::string()>;
  static constexpr size_t kHeadMax = 8192;  // octets of a request's head
  static constexpr Clock::duration kTimeMax = std::chrono::seconds(10);  // for the whole of it

  explicit ScrapeConnection(Descriptor descriptor)
      : descriptor_(std::move(descriptor)), deadline_(Clock::now() + kTimeMax) {}

  int descriptor() const { return descriptor_.get(); }
  short wants() const;  // POLLIN or POLLOUT
  // Goes on as far as it can; false: it is over.
  bool go_on(const MakeText& make_text);
  bool late() const { return Clock::now() >= deadline_; }

 private:
  enum class State : uint8_t { reading, sending, draining };

  bool read(const MakeText& make_text);
  bool send();
  bool drain();

  Descriptor descriptor_;
  Clock::time_point deadline_;
  State state_ = State::reading;
  std::string input_;
  std::string output_;
  size_t sent_ = 0;
};

// The whole answer to a request whose head begins with `head`.
std::string answer_to(std::string_view head, const ScrapeConnection::MakeText& make_text);

}  // namespace ringmta::http
