// SPDX-License-Identifier: GPL-3.0-or-later
// Writes a tag list (RFC 6376 3.2) as a folded field: lines of at most 76 octets where the tags
// allow it.
#pragma once

#include <string>
#include <string_view>

namespace ringmta::dkim {

class TagWriter final {
 public:
  static constexpr size_t kLineSizeAdvised = 76;  // RFC 5322 2.1.1: 78 with the CRLF

  // Goes on where `text` ends.
  explicit TagWriter(std::string& text) : text_(text) {
    const size_t newline = text.rfind('\n');
    line_begin_ = newline == std::string::npos ? 0 : newline + 1;
  }

  // A tag in up to two pieces ("d=", "example.com"), behind the tags before it.
  void tag(std::string_view name, std::string_view value) {
    text_.push_back(';');
    if (line_size() + 1 + name.size() + value.size() > kLineSizeAdvised) {
      fold();
    } else {
      text_.push_back(' ');
    }
    text_.append(name).append(value);
  }
  // A further element of the list that is the last tag's value.
  void element(std::string_view element) {
    text_.push_back(':');
    if (line_size() + element.size() > kLineSizeAdvised) fold();
    text_.append(element);
  }
  void fold() {
    text_.append("\r\n\t");
    line_begin_ = text_.size() - 1;
  }
  size_t line_size() const { return text_.size() - line_begin_; }

 private:
  std::string& text_;
  size_t line_begin_ = 0;
};

}  // namespace ringmta::dkim
