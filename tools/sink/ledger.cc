// SPDX-License-Identifier: GPL-3.0-or-later
// Recording costs one lock nobody contends for and two look-ups; the report walks all pages in
// order of their numbers.
#include "tools/sink/ledger.h"

#include <algorithm>

#include "ringmta/base/assert.h"

namespace ringmta::tools {
namespace {

constexpr size_t kFirstSlots = 1024;
constexpr unsigned kRunBits = 16;  // of a page's key
constexpr size_t kRunsMax = (size_t{1} << kRunBits) - 1;

uint64_t mixed(uint64_t z) {
  z = (z ^ (z >> 33)) * 0xFF51AFD7ED558CCDULL;
  z = (z ^ (z >> 33)) * 0xC4CEB9FE1A85EC53ULL;
  return z ^ (z >> 33);
}

}  // namespace

bool HashSet::insert(uint64_t hash) {
  if (hash == 0) hash = 1;  // 0 marks a free slot
  if ((used_ + 1) * 4 > slots_.size() * 3) grow();
  const size_t mask = slots_.size() - 1;
  for (size_t at = hash & mask;; at = (at + 1) & mask) {
    if (slots_[at] == hash) return false;
    if (slots_[at] == 0) {
      slots_[at] = hash;
      ++used_;
      return true;
    }
  }
}

bool HashSet::contains(uint64_t hash) const {
  if (slots_.empty()) return false;
  if (hash == 0) hash = 1;
  const size_t mask = slots_.size() - 1;
  for (size_t at = hash & mask; slots_[at] != 0; at = (at + 1) & mask) {
    if (slots_[at] == hash) return true;
  }
  return false;
}

void HashSet::grow() {
  std::vector<uint64_t> old(std::max(kFirstSlots, slots_.size() * 2));
  old.swap(slots_);
  const size_t mask = slots_.size() - 1;
  for (const uint64_t hash : old) {
    if (hash == 0) continue;
    size_t at = hash & mask;
    while (slots_[at] != 0) at = (at + 1) & mask;
    slots_[at] = hash;
  }
}

uint64_t Ledger::key(uint32_t run, uint64_t index, uint64_t recipient) {
  return mixed(recipient ^ mixed(index * kRunsMax + run + 1));
}

uint32_t Ledger::run_number(std::string_view run) {
  const std::lock_guard guard(runs_mutex_);
  for (size_t i = runs_.size(); i-- > 0;) {
    if (runs_[i] == run) return static_cast<uint32_t>(i);
  }
  RINGMTA_ASSERT(runs_.size() < kRunsMax);
  runs_.emplace_back(run);
  return static_cast<uint32_t>(runs_.size() - 1);
}

Ledger::Duplicates Ledger::record(std::string_view run, uint64_t index,
                                  uint32_t recipients_expected,
                                  std::span<const uint64_t> recipients) {
  const uint32_t number = run_number(run);
  const uint64_t page_number = index / kPageMessages;
  Stripe& stripe = stripes_[page_number % kStripes];
  Duplicates duplicates;
  const std::lock_guard guard(stripe.mutex);
  auto& page = stripe.pages[page_number << kRunBits | number];
  if (!page) page = std::make_unique<Page>();
  Entry& entry = (*page)[index % kPageMessages];
  entry.expected = static_cast<uint16_t>(std::min<uint32_t>(recipients_expected, UINT16_MAX));
  for (const uint64_t recipient : recipients) {
    const uint64_t hash = key(number, index, recipient);
    if (stripe.seen.insert(hash)) {
      if (entry.delivered < UINT16_MAX) ++entry.delivered;
    } else if (stripe.unsure.contains(hash)) {
      ++duplicates.unsure;
    } else {
      ++duplicates.sure;
    }
  }
  return duplicates;
}

void Ledger::mark_unsure(std::string_view run, uint64_t index,
                         std::span<const uint64_t> recipients) {
  const uint32_t number = run_number(run);
  Stripe& stripe = stripes_[index / kPageMessages % kStripes];
  const std::lock_guard guard(stripe.mutex);
  for (const uint64_t recipient : recipients) stripe.unsure.insert(key(number, index, recipient));
}

std::vector<RunReport> Ledger::report() const {
  struct Place {
    uint64_t page_number;
    Page page;
  };
  std::vector<std::string> runs;
  {
    const std::lock_guard guard(runs_mutex_);
    runs = runs_;
  }
  std::vector<std::vector<Place>> places(runs.size());
  for (const Stripe& stripe : stripes_) {
    const std::lock_guard guard(stripe.mutex);
    for (const auto& [key, page] : stripe.pages) {
      const size_t run = key & kRunsMax;
      if (run < places.size()) places[run].push_back({key >> kRunBits, *page});
    }
  }
  std::vector<RunReport> reports;
  for (size_t run = 0; run < runs.size(); ++run) {
    std::sort(places[run].begin(), places[run].end(),
              [](const Place& a, const Place& b) { return a.page_number < b.page_number; });
    RunReport report;
    report.run = runs[run];
    uint64_t next = 0;  // the lowest number not yet looked at
    for (const Place& place : places[run]) {
      for (uint64_t i = 0; i < kPageMessages; ++i) {
        const Entry& entry = place.page[i];
        if (entry.delivered == 0) continue;
        const uint64_t index = place.page_number * kPageMessages + i;
        if (index > next) {
          report.missing += index - next;
          if (report.missing_ranges.size() < RunReport::kListedMax)
            report.missing_ranges.emplace_back(next, index - 1);
        }
        next = index + 1;
        report.highest_index = index;
        ++report.messages;
        report.recipients += entry.delivered;
        if (entry.delivered < entry.expected) {
          ++report.incomplete;
          report.incomplete_recipients += static_cast<uint64_t>(entry.expected - entry.delivered);
          if (report.incomplete_indexes.size() < RunReport::kListedMax)
            report.incomplete_indexes.push_back(index);
        }
      }
    }
    reports.push_back(std::move(report));
  }
  return reports;
}

}  // namespace ringmta::tools
