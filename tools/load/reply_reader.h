// SPDX-License-Identifier: GPL-3.0-or-later
// Cuts the peer's octets into reply lines (RFC 5321 4.2), whatever pieces they come in. Lines that
// lie whole in the receive buffer are given as views into it; only a line across two buffers is
// copied.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace ringmta::tools {

struct ReplyLine {
  int code = 0;  // 0: not a reply at all
  bool last = true;
  std::string_view text;  // behind "250-" or "250 "
};

class ReplyReader final {
 public:
  static constexpr size_t kLineMax = 4096;

  void reset() { partial_.clear(); }

  // `take(const ReplyLine&)` for each line; it answers false to stop (the rest is then dropped).
  // False when the peer sends a line without end.
  template <typename Take>
  bool feed(std::string_view data, Take&& take) {
    while (!data.empty()) {
      const void* found = std::memchr(data.data(), '\n', data.size());
      if (found == nullptr) {
        partial_ += data;
        return partial_.size() <= kLineMax;
      }
      const auto length = static_cast<size_t>(static_cast<const char*>(found) - data.data());
      std::string_view line = data.substr(0, length);
      data.remove_prefix(length + 1);
      bool more;
      if (partial_.empty()) {
        more = take(parse(line));
      } else {
        partial_ += line;
        more = take(parse(partial_));
        partial_.clear();
      }
      if (!more) return true;
    }
    return true;
  }

  static ReplyLine parse(std::string_view line) {
    if (line.ends_with('\r')) line.remove_suffix(1);
    ReplyLine reply;
    if (line.size() < 3) return reply;
    int code = 0;
    for (size_t i = 0; i < 3; ++i) {
      if (line[i] < '0' || line[i] > '9') return reply;
      code = code * 10 + (line[i] - '0');
    }
    if (line.size() > 3 && line[3] != ' ' && line[3] != '-') return reply;
    reply.code = code;
    reply.last = line.size() == 3 || line[3] == ' ';
    reply.text = line.substr(line.size() > 4 ? 4 : line.size());
    return reply;
  }

 private:
  std::string partial_;
};

}  // namespace ringmta::tools
