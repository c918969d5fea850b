// SPDX-License-Identifier: GPL-3.0-or-later
// Does a content begin with a header section? Told by its first line, as it arrives.
//
// The insight: trace lines are put in front of a content, so one that begins with text would run
// into the last of them, or stand in the header section as a field that is none. A first line is a
// field when printable octets other than a colon come before a colon (RFC 5322 2.2), with blanks
// between the two allowed (4.5); anything else is body, and an empty line belongs in front of it.
#pragma once

#include <cstdint>
#include <string_view>

#include "ringmta/smtp/scan.h"

namespace ringmta::smtp {

class FirstLine final {
 public:
  static constexpr uint32_t kNameMax = 997;  // octets before the colon (RFC 5322 2.1.1)

  enum class Verdict : uint8_t {
    undecided,  // all that came may be the beginning of a field's name
    header,     // a field, or the end of an empty header section: trace lines may stand before it
    body        // neither
  };

  // With Framing::dots a dot at the beginning is not of the content (RFC 5321 4.5.2).
  void start(Framing framing) { *this = FirstLine{framing}; }
  // The next octets. After a verdict there is nothing more to be asked.
  Verdict look(std::string_view octets);
  // The content is over.
  Verdict finish() const { return length_ == 0 ? Verdict::header : Verdict::body; }

  FirstLine() = default;

 private:
  explicit FirstLine(Framing framing) : dot_goes_(framing == Framing::dots) {}

  uint32_t length_ = 0;    // octets of the line seen
  bool dot_goes_ = false;  // a dot that is next is stuffing
  bool blank_ = false;     // the name is over
};

}  // namespace ringmta::smtp
