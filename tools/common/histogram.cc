// SPDX-License-Identifier: GPL-3.0-or-later
// The reading side of the histogram; adding is inline in the header.
#include "tools/common/histogram.h"

#include <algorithm>
#include <cmath>

namespace ringmta::tools {

void Histogram::merge(const Histogram& other) {
  for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
  sum_ += other.sum_;
  max_ = std::max(max_, other.max_);
}

uint64_t Histogram::upper_end(size_t slot) {
  if (slot < kParts) return slot;
  const uint64_t shift = slot / kParts - 1;
  const uint64_t first = (slot % kParts + kParts) << shift;
  return first + ((uint64_t{1} << shift) - 1);
}

uint64_t Histogram::count_up_to(uint64_t value) const {
  if (value >= max_) return count_;
  uint64_t seen = 0;
  for (size_t i = 0; i < counts_.size() && upper_end(i) <= value; ++i) seen += counts_[i];
  return seen;
}

uint64_t Histogram::quantile(double fraction) const {
  if (count_ == 0) return 0;
  const double wanted = std::ceil(std::clamp(fraction, 0.0, 1.0) * static_cast<double>(count_));
  const uint64_t rank = std::max<uint64_t>(1, static_cast<uint64_t>(wanted));
  uint64_t seen = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    seen += counts_[i];
    if (seen >= rank) return std::min(upper_end(i), max_);
  }
  return max_;
}

}  // namespace ringmta::tools
