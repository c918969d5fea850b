// SPDX-License-Identifier: GPL-3.0-or-later
// The DATA form of a message (RFC 5321 4.5.2), both ways: dot-stuffing what is sent, and finding
// the end of what comes.
//
// The insight: a LF followed by a dot is rare in mail and is the only place where anything can
// happen, so the reader looks for that pair 16 octets at a time and hands out everything between
// two of them as one piece. Only the few octets around a pair, or around the edge of a buffer, go
// through the state machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ringmta::tools {

// Index of the first LF that is followed by '.', or npos. The last octet is never a hit.
size_t find_line_feed_dot(std::string_view data);

// `message` (lines ending in CRLF) with a dot put in front of each line that begins with one.
std::string dot_stuffed(std::string_view message);

// Takes the stream of a DATA phase in pieces of any size. Only CRLF.CRLF ends it, and only CRLF
// begins a line: a dot after a bare LF is content.
class DotReader final {
 public:
  void reset() { state_ = State::line_start; }

  // Gives the content (without stuffing) in pieces to `take(std::string_view)`; returns how much of
  // `data` belonged to the message and its end. `ended` says whether the end was in it.
  template <typename Take>
  size_t feed(std::string_view data, bool& ended, Take&& take) {
    size_t at = 0;
    ended = false;
    while (at < data.size()) {
      if (state_ == State::inside) {
        const size_t hit = find_line_feed_dot(data.substr(at));
        if (hit == std::string_view::npos) {
          // No pair in here: all is content, and the last two octets say how the next piece begins.
          take(data.substr(at));
          state_ = state_after(data, at);
          return data.size();
        }
        const size_t dot = at + hit + 1;
        take(data.substr(at, dot - at));
        const bool line_start = hit > 0 ? data[dot - 2] == '\r' : false;
        at = dot;
        if (!line_start) {
          take(data.substr(at, 1));
          ++at;
          continue;
        }
        state_ = State::line_start;
      }
      const char c = data[at];
      switch (state_) {
        case State::inside:
          break;
        case State::carriage_return:
          take(data.substr(at, 1));
          ++at;
          state_ = c == '\n'   ? State::line_start
                   : c == '\r' ? State::carriage_return
                               : State::inside;
          break;
        case State::line_start:
          if (c == '.') {
            ++at;  // stuffing, or the first octet of the end
            state_ = State::dot;
          } else if (c == '\r') {
            take(data.substr(at, 1));
            ++at;
            state_ = State::carriage_return;
          } else {
            state_ = State::inside;
          }
          break;
        case State::dot:
          if (c == '\r') {
            ++at;
            state_ = State::dot_return;
          } else {
            state_ = State::inside;  // the dot was stuffing
          }
          break;
        case State::dot_return:
          if (c == '\n') {
            ended = true;
            state_ = State::line_start;
            return at + 1;
          }
          take("\r");  // a line that began with a dot and a bare CR
          state_ = State::carriage_return;
          break;
      }
    }
    return at;
  }

 private:
  enum class State : uint8_t { line_start, inside, carriage_return, dot, dot_return };

  static State state_after(std::string_view data, size_t from) {
    const std::string_view tail = data.substr(from);
    if (tail.ends_with("\r\n")) return State::line_start;
    return tail.ends_with('\r') ? State::carriage_return : State::inside;
  }

  State state_ = State::line_start;
};

}  // namespace ringmta::tools
