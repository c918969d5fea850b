// SPDX-License-Identifier: GPL-3.0-or-later
// Latencies in a log-linear histogram (the idea of Gil Tene's HdrHistogram): every power of two is
// cut into 64 equal parts, so any percentile is exact to 1.6 % of its value, whatever its size, at
// one array increment per sample and 30 KB in all. Percentiles are reported as the upper end of
// their part: never better than what was measured.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace ringmta::tools {

class Histogram final {
 public:
  void add(uint64_t value) {
    ++counts_[slot_of(value)];
    ++count_;
    sum_ += value;
    if (value > max_) max_ = value;
  }
  void merge(const Histogram& other);

  uint64_t count() const { return count_; }
  uint64_t max() const { return max_; }
  double mean() const {
    return count_ == 0 ? 0 : static_cast<double>(sum_) / static_cast<double>(count_);
  }
  // How many samples were not above `value`; exact to the width of a part.
  uint64_t count_up_to(uint64_t value) const;
  // The value that `fraction` (0..1) of all samples do not exceed; 0 when there are none.
  uint64_t quantile(double fraction) const;

 private:
  static constexpr unsigned kPartBits = 6;
  static constexpr uint64_t kParts = uint64_t{1} << kPartBits;
  static constexpr size_t kSlots = (64 - kPartBits + 1) * kParts;

  static size_t slot_of(uint64_t value);
  static uint64_t upper_end(size_t slot);

  std::array<uint64_t, kSlots> counts_{};
  uint64_t count_ = 0;
  uint64_t sum_ = 0;
  uint64_t max_ = 0;
};

inline size_t Histogram::slot_of(uint64_t value) {
  if (value < kParts) return static_cast<size_t>(value);
  const unsigned shift = 63U - static_cast<unsigned>(__builtin_clzll(value)) - kPartBits;
  return static_cast<size_t>((uint64_t{shift} + 1) * kParts + ((value >> shift) - kParts));
}

}  // namespace ringmta::tools
