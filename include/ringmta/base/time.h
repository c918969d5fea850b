// SPDX-License-Identifier: GPL-3.0-or-later
// Two clocks that never mix. Monotonic drives every timer and retry inside the process; WallTime is
// only for what people and other machines read (headers, events) and for schedules that must
// survive a restart. Stepping the wall clock therefore stalls nothing.
#pragma once

#include <compare>
#include <cstdint>

namespace ringmta {

struct Milliseconds {
  int64_t count = 0;
  constexpr auto operator<=>(const Milliseconds&) const = default;
};

constexpr Milliseconds operator+(Milliseconds a, Milliseconds b) { return {a.count + b.count}; }
constexpr Milliseconds operator-(Milliseconds a, Milliseconds b) { return {a.count - b.count}; }
constexpr Milliseconds operator*(Milliseconds a, int64_t factor) { return {a.count * factor}; }
constexpr Milliseconds seconds(int64_t count) { return {count * 1000}; }
constexpr Milliseconds minutes(int64_t count) { return {count * 60'000}; }
constexpr Milliseconds hours(int64_t count) { return {count * 3'600'000}; }

// Since an arbitrary start (CLOCK_MONOTONIC), in nanoseconds.
struct Monotonic {
  int64_t ns = 0;
  constexpr auto operator<=>(const Monotonic&) const = default;
  static constexpr Monotonic never() { return {INT64_MAX}; }
};

constexpr Monotonic operator+(Monotonic a, Milliseconds b) { return {a.ns + b.count * 1'000'000}; }
constexpr Milliseconds operator-(Monotonic a, Monotonic b) { return {(a.ns - b.ns) / 1'000'000}; }

// Since 1970-01-01T00:00:00Z (CLOCK_REALTIME), in milliseconds.
struct WallTime {
  int64_t ms = 0;
  constexpr auto operator<=>(const WallTime&) const = default;
};

constexpr WallTime operator+(WallTime a, Milliseconds b) { return {a.ms + b.count}; }
constexpr Milliseconds operator-(WallTime a, WallTime b) { return {a.ms - b.ms}; }

}  // namespace ringmta
