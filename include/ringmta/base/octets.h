// SPDX-License-Identifier: GPL-3.0-or-later
// One question to every octet of a short text: is there a control character, a quote, ... in it?
//
// The insight: addresses, command lines and replies have 10 to 100 octets and are nearly always
// harmless. Asked 16 octets at a time, with the last 16 overlapping those before them, the answer
// costs about 8 instructions per 16 octets instead of 6 for each; who finds something walks the
// text octet by octet and can take its time. The vectors are the compiler's own, so there is one
// source for all processors (SSE2 on x86-64).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace ringmta {

// Signed, so that octets above 127 are below 0. A comparison yields -1 (true) or 0 for each.
using Octets16 [[gnu::vector_size(16)]] = signed char;

namespace octets {

inline Octets16 control(Octets16 text) { return ((text >= 0) & (text < 0x20)) | (text == 0x7F); }
inline Octets16 control_or_high(Octets16 text) { return (text < 0x20) | (text == 0x7F); }

inline Octets16 load(const char* at) {
  Octets16 value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// Fewer than 16, in any order and some of them twice; the others are 'x'. (Not by way of memory:
// a load of 16 octets would have to wait for the stores of fewer.)
inline Octets16 load_few(const char* at, size_t count) {
  using Halves [[gnu::vector_size(16)]] = uint64_t;
  constexpr uint64_t kFill = 0x7878787878787878ULL;
  const auto part = [at](size_t offset, auto value) {
    std::memcpy(&value, at + offset, sizeof value);
    return value;
  };
  Halves value = {kFill, kFill};
  if (count >= 8) {
    value[0] = part(0, uint64_t{});
    value[1] = part(count - 8, uint64_t{});
  } else if (count >= 4) {
    value[0] = uint64_t{part(0, uint32_t{})} << 32 | part(count - 4, uint32_t{});
  } else {
    for (size_t i = 0; i < count; ++i) value[0] = value[0] << 8 | static_cast<uint8_t>(at[i]);
  }
  return reinterpret_cast<Octets16>(value);
}

inline bool any(Octets16 found) {
  uint64_t halves[2];
  std::memcpy(halves, &found, sizeof found);
  return (halves[0] | halves[1]) != 0;
}

}  // namespace octets

// Is `test` true of any octet? test: Octets16 -> Octets16.
template <typename Test>
bool any_octet(std::string_view text, Test test) {
  constexpr size_t kStep = sizeof(Octets16);
  if (text.size() < kStep) return octets::any(test(octets::load_few(text.data(), text.size())));
  const char* const last = text.data() + text.size() - kStep;
  Octets16 found = test(octets::load(last));
  for (const char* at = text.data(); at < last; at += kStep) found |= test(octets::load(at));
  return octets::any(found);
}

inline bool is_ascii(std::string_view text) {
  return !any_octet(text, [](Octets16 octets) -> Octets16 { return octets < 0; });
}

inline bool has_control(std::string_view text) { return any_octet(text, octets::control); }

}  // namespace ringmta
