// SPDX-License-Identifier: GPL-3.0-or-later
// Line by line through the header until the digest line, then only the hash.
#include "tools/sink/checker.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace ringmta::tools {
namespace {

constexpr size_t kHeaderStep = 1024;

template <typename Number>
bool parse_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

void MessageChecker::start() {
  state_ = State::header;
  header_.clear();
  scanned_ = 0;
  id_line_ = 0;
  has_id_ = false;
  index_ = 0;
  recipients_ = 0;
}

void MessageChecker::feed(std::string_view content) {
  while (!content.empty()) {
    if (state_ == State::hashing) {
      digest_.update(content);
      return;
    }
    if (state_ == State::unmarked) return;
    const std::string_view step = content.substr(0, kHeaderStep);
    header_ += step;
    content.remove_prefix(step.size());
    const size_t digest_end = scan_header();
    if (state_ == State::hashing) {
      digest_.update(std::string_view(header_).substr(digest_end));
    } else if (header_.size() > kHeaderMax) {
      state_ = State::unmarked;
    }
  }
}

// Looks at the lines that are whole; where the digest line was found, the offset behind it.
size_t MessageChecker::scan_header() {
  while (true) {
    const void* found = std::memchr(header_.data() + scanned_, '\n', header_.size() - scanned_);
    if (found == nullptr) return 0;
    const auto end = static_cast<size_t>(static_cast<const char*>(found) - header_.data()) + 1;
    const size_t line_start = scanned_;
    std::string_view line(header_.data() + line_start, end - line_start);
    scanned_ = end;
    if (line.ends_with("\r\n")) line.remove_suffix(2);
    if (line.empty()) {  // the header ended without a digest
      state_ = State::unmarked;
      return 0;
    }
    if (line[0] != 'X') continue;
    if (line.starts_with(kIdHeader)) {
      has_id_ = parse_id(line.substr(kIdHeader.size()));
      id_line_ = line_start;
    } else if (line.starts_with(kRecipientsHeader)) {
      parse_number(line.substr(kRecipientsHeader.size()), recipients_);
    } else if (has_id_ && line.starts_with(kDigestHeader)) {
      if (!parse_digest(line.substr(kDigestHeader.size()), expected_)) expected_ = {};
      digest_.reset();
      digest_.update(std::string_view(header_).substr(id_line_, line_start - id_line_));
      state_ = State::hashing;
      return end;
    }
  }
}

bool MessageChecker::parse_id(std::string_view text) {
  const size_t dash = text.rfind('-');
  if (dash == std::string_view::npos || dash > kRunLengthMax) return false;
  run_ = text.substr(0, dash);
  return parse_number(text.substr(dash + 1), index_);
}

Verdict MessageChecker::finish() {
  if (state_ == State::hashing)
    return digest_.value() == expected_ ? Verdict::good : Verdict::corrupt;
  // An id without its digest line is a header that lost or changed a line.
  return has_id_ ? Verdict::corrupt : Verdict::unmarked;
}

}  // namespace ringmta::tools
