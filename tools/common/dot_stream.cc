// SPDX-License-Identifier: GPL-3.0-or-later
// The search for LF '.', which is all that the sink does with most octets of a message: two
// compares and an AND per 16 octets (SSE2, part of every x86-64), and memchr elsewhere.
#include "tools/common/dot_stream.h"

#include <bit>
#include <cstring>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace ringmta::tools {
namespace {

size_t find_from(std::string_view data, size_t from) {
  while (from + 1 < data.size()) {
    const void* found = std::memchr(data.data() + from, '\n', data.size() - 1 - from);
    if (found == nullptr) break;
    const auto at = static_cast<size_t>(static_cast<const char*>(found) - data.data());
    if (data[at + 1] == '.') return at;
    from = at + 1;
  }
  return std::string_view::npos;
}

}  // namespace

#ifdef __SSE2__
size_t find_line_feed_dot(std::string_view data) {
  const __m128i line_feeds = _mm_set1_epi8('\n');
  const __m128i dots = _mm_set1_epi8('.');
  const char* const begin = data.data();
  size_t at = 0;
  const auto load = [&](size_t offset) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(begin + offset));
  };
  const auto hits = [&](size_t offset) {
    return _mm_and_si128(_mm_cmpeq_epi8(load(offset), line_feeds),
                         _mm_cmpeq_epi8(load(offset + 1), dots));
  };
  for (; at + 65 <= data.size(); at += 64) {
    const __m128i a = hits(at);
    const __m128i b = hits(at + 16);
    const __m128i c = hits(at + 32);
    const __m128i d = hits(at + 48);
    if (_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d))) == 0) continue;
    const auto mask = [](__m128i found) {
      return static_cast<uint64_t>(static_cast<uint32_t>(_mm_movemask_epi8(found)));
    };
    const uint64_t all = mask(a) | mask(b) << 16 | mask(c) << 32 | mask(d) << 48;
    return at + static_cast<size_t>(std::countr_zero(all));
  }
  for (; at + 17 <= data.size(); at += 16) {
    const auto mask = static_cast<uint32_t>(_mm_movemask_epi8(hits(at)));
    if (mask != 0) return at + static_cast<size_t>(std::countr_zero(mask));
  }
  return find_from(data, at);
}
#else
size_t find_line_feed_dot(std::string_view data) { return find_from(data, 0); }
#endif

std::string dot_stuffed(std::string_view message) {
  std::string stuffed;
  stuffed.reserve(message.size() + message.size() / 64 + 1);
  if (message.starts_with('.')) stuffed += '.';
  while (true) {
    const size_t hit = find_line_feed_dot(message);
    if (hit == std::string_view::npos) break;
    stuffed.append(message.substr(0, hit + 1));
    // Only a CRLF begins a line for the peer; for a bare LF it would see a dot too many.
    if (stuffed.size() > 1 && stuffed[stuffed.size() - 2] == '\r') stuffed += '.';
    message.remove_prefix(hit + 1);
  }
  stuffed.append(message);
  return stuffed;
}

}  // namespace ringmta::tools
