// SPDX-License-Identifier: GPL-3.0-or-later
// SMTP replies (RFC 5321 4.2) with enhanced status codes (RFC 3463), parsed incrementally from
// whatever pieces arrive, in bounded memory: of an endless reply the first kTextMax octets are kept
// and kLinesMax lines are suffered.
//
// What is forgiven, because servers in the world do it and no meaning is in doubt: a code without
// text ("250"), a continuation without text ("250-"), lines ended by a bare LF, TAB (shown as a
// space), octets above 127 (kept). What is malformed: a line that does not begin with a code of
// 200..599 followed by SP, "-" or its end, and different codes in one reply (RFC 5321 4.2.1 asks
// for the same on every line; guessing which one counts could turn a refusal into a loss).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "ringmta/base/bytes.h"

namespace ringmta::smtp {

struct EnhancedStatus {
  uint8_t klass = 0;  // 2, 4 or 5; 0: the reply had none
  uint16_t subject = 0;
  uint16_t detail = 0;
  constexpr explicit operator bool() const { return klass != 0; }
  constexpr bool operator==(const EnhancedStatus&) const = default;
  std::string text() const;  // "5.1.1"
};

// Parses "5.1.1" at the start of `text`; klass 0 when there is none.
EnhancedStatus parse_enhanced_status(std::string_view text);

struct Reply {
  uint16_t code = 0;  // 200..599; 0: none yet, or nobody sent it
  EnhancedStatus status{};
  std::string text;  // all lines joined by '\n', without reply codes, CRLF and the enhanced status
                     // (where a line repeats it); control characters replaced by '?'
  bool positive() const { return code >= 200 && code < 300; }
  bool intermediate() const { return code >= 300 && code < 400; }
  bool transient() const { return code >= 400 && code < 500; }
  // Words of our own (no code) are as permanent as their status.
  bool permanent() const { return code >= 500 || (code == 0 && status.klass == 5); }
  std::string line() const;  // "550 5.1.1 no such user", one line, for events and DSNs
};

class ReplyParser final {
 public:
  static constexpr size_t kTextMax = 4096;  // octets of text kept
  static constexpr size_t kLineMax = 4096;  // octets in one line; longer: malformed
  static constexpr size_t kLinesMax = 256;  // lines in one reply; more: malformed

  enum class State : uint8_t { more, complete, malformed };
  struct Step {
    size_t consumed = 0;
    State state = State::more;
  };
  // Stops behind the first complete reply; reply() is then valid until the next step(). After
  // `malformed` there is no way to find the next reply: the connection is useless.
  Step step(Bytes input);
  const Reply& reply() const { return reply_; }
  bool in_reply() const {
    return !finished_ && (lines_ > 0 || columns_ > 0);
  }  // part of a reply has arrived
  std::string_view problem() const {
    return problem_;
  }  // after `malformed`: what was wrong, in words

 private:
  void restart();
  bool take(std::string_view piece);  // a piece of one line, without its LF
  bool end_line();
  void keep(std::string_view text);

  Reply reply_;
  std::string_view problem_;
  uint32_t lines_ = 0;       // complete lines of this reply
  uint32_t columns_ = 0;     // octets of the current line so far
  uint32_t line_begin_ = 0;  // where the text of the current line begins in reply_.text
  uint16_t line_code_ = 0;
  bool last_line_ = true;         // the separator was not "-"
  bool carriage_return_ = false;  // the last octet was a CR, which may be the line's end or a stray
  bool finished_ = false;         // the next step() begins a new reply
};

}  // namespace ringmta::smtp
