// SPDX-License-Identifier: GPL-3.0-or-later
// Merging by sorting. Transient memory: 32 octets a message record, living or not, beyond what the
// scans hold.
#include "merge.h"

#include <algorithm>
#include <map>
#include <numeric>

namespace ringmta::spool {
namespace {

struct Copy {
  uint64_t id;
  uint32_t segment;
  uint32_t message;  // in its scan
};

struct Gone {
  uint64_t id;
  uint32_t segment;  // whose note says so
};

class Merger final {
 public:
  Merger(std::vector<Scan>& scans, RecoveryResult& into) : scans_(scans), into_(into) {}

  void run() {
    into_.segments.resize(scans_.size());
    living_.resize(scans_.size());
    noted_by_.resize(scans_.size());
    for (uint32_t i = 0; i < scans_.size(); ++i) describe(i);
    for (uint32_t i = 0; i < scans_.size(); ++i) tie_to_voids(i);
    gather();
    newest_checkpoints();
    decide();
    for (uint32_t i = 0; i < scans_.size(); ++i) keep_living(i);
    attach_states();
    count();
  }

 private:
  void describe(uint32_t index) {
    const Scan& scan = scans_[index];
    RecoveredSegment& segment = into_.segments[index];
    segment.number = scan.number;
    segment.epoch = scan.epoch;
    segment.size = scan.size;
    segment.end = scan.end;
    segment.last_sequence = scan.last_sequence;
    // (Where a write failed, the note of it would take what is written now for what it left.)
    segment.whole = scan.damaged.empty() && !scan.header_damaged && scan.size == scan.size_made &&
                    scan.unreadable_octets == 0 && scan.void_from == UINT64_MAX;
    segment.use = scan.kind == Scan::Kind::log     ? SegmentUse::open
                  : scan.kind == Scan::Kind::spare ? SegmentUse::spare
                                                   : SegmentUse::retired;
    by_number_[scan.number] = index;
    living_[index].assign(scan.messages.size(), false);
  }

  // Notes of failed writes are needed where what those left could not be erased.
  void tie_to_voids(uint32_t index) {
    for (const ScannedNever& never : scans_[index].nevers) {
      const auto of = by_number_.find(never.number);
      if (of == by_number_.end() || scans_[of->second].epoch != never.epoch) continue;
      if (scans_[of->second].void_end != 0) tie(index, of->second);
    }
  }

  void gather() {
    size_t messages = 0;
    size_t gone = 0;
    for (const Scan& scan : scans_) {
      messages += scan.messages.size();
      gone += scan.gone.size();
    }
    copies_.reserve(messages);
    gone_.reserve(gone);
    for (uint32_t i = 0; i < scans_.size(); ++i) {
      const Scan& scan = scans_[i];
      for (uint32_t m = 0; m < scan.messages.size(); ++m) {
        copies_.push_back({scan.messages[m].id, i, m});
      }
      for (const uint64_t id : scan.gone) gone_.push_back({id, i});
    }
    // Newest copy last.
    std::sort(copies_.begin(), copies_.end(), [this](const Copy& a, const Copy& b) {
      if (a.id != b.id) return a.id < b.id;
      const uint64_t epoch_a = scans_[a.segment].epoch;
      const uint64_t epoch_b = scans_[b.segment].epoch;
      if (epoch_a != epoch_b) return epoch_a < epoch_b;
      return a.segment != b.segment ? a.segment < b.segment : a.message < b.message;
    });
    std::sort(gone_.begin(), gone_.end(), [](const Gone& a, const Gone& b) { return a.id < b.id; });
  }

  // The newest of each segment's life.
  void newest_checkpoints() {
    newest_.assign(scans_.size(), nullptr);
    for (uint32_t i = 0; i < scans_.size(); ++i) {
      for (const ScannedCheckpoint& checkpoint : scans_[i].checkpoints) {
        const auto found = by_number_.find(checkpoint.number);
        if (found == by_number_.end()) continue;
        const uint32_t of = found->second;
        if (scans_[of].epoch != checkpoint.epoch) continue;
        tie(i, of);
        RecoveredSegment& segment = into_.segments[of];
        if (checkpoint.sequence <= segment.checkpoint_sequence) continue;
        segment.checkpoint_sequence = checkpoint.sequence;
        newest_[of] = &checkpoint;
      }
    }
  }

  bool listed(const Copy& copy) const {
    const ScannedCheckpoint* checkpoint = newest_[copy.segment];
    if (checkpoint == nullptr) return true;
    const uint32_t offset = scans_[copy.segment].messages[copy.message].offset;
    return std::binary_search(checkpoint->offsets.begin(), checkpoint->offsets.end(), offset);
  }

  // Copies and notes of one id after the other.
  void decide() {
    size_t gone = 0;
    for (size_t begin = 0; begin < copies_.size();) {
      const uint64_t id = copies_[begin].id;
      size_t end = begin;
      while (end < copies_.size() && copies_[end].id == id) ++end;
      while (gone < gone_.size() && gone_[gone].id < id) ++gone;
      const bool is_gone = gone < gone_.size() && gone_[gone].id == id;
      for (size_t n = gone; n < gone_.size() && gone_[n].id == id; ++n) {
        for (size_t c = begin; c < end; ++c) tie(gone_[n].segment, copies_[c].segment);
      }
      if (!is_gone) decide_living(begin, end);
      begin = end;
    }
  }

  void decide_living(size_t begin, size_t end) {
    bool found = false;
    uint32_t lives_in = 0;
    for (size_t c = end; c-- > begin;) {
      if (!listed(copies_[c])) continue;
      const uint32_t segment = copies_[c].segment;
      if (found) {
        into_.segments[segment].uncovered = true;
        std::vector<uint32_t>& sources = into_.segments[lives_in].sources;
        if (segment != lives_in &&
            std::find(sources.begin(), sources.end(), segment) == sources.end()) {
          sources.push_back(segment);
        }
      } else {
        found = true;
        lives_in = segment;
        living_[segment][copies_[c].message] = true;
      }
    }
  }

  void tie(uint32_t from, uint32_t to) {
    if (from == to) return;
    std::vector<bool>& row = noted_by_[from];
    if (row.empty()) row.resize(scans_.size());
    if (row[to]) return;
    row[to] = true;
    into_.segments[from].about.push_back(to);
  }

  void keep_living(uint32_t index) {
    std::vector<RecoveredMessage>& found = scans_[index].messages;
    std::vector<RecoveredMessage>& kept = into_.segments[index].messages;
    const auto living = std::count(living_[index].begin(), living_[index].end(), true);
    kept.reserve(static_cast<size_t>(living));
    for (size_t m = 0; m < found.size(); ++m) {
      if (living_[index][m]) kept.push_back(found[m]);
    }
    found = {};
    // Records found by searching may be out of order.
    const auto by_offset = [](const RecoveredMessage& a, const RecoveredMessage& b) {
      return a.offset < b.offset;
    };
    if (!std::is_sorted(kept.begin(), kept.end(), by_offset)) {
      std::sort(kept.begin(), kept.end(), by_offset);
    }
  }

  struct Known {
    uint64_t id;
    uint64_t sequence;
    uint32_t from;  // the segment that says so
    RecipientState state;
  };

  void attach_states() {
    std::vector<Known> known;
    for (uint32_t i = 0; i < scans_.size(); ++i) {
      for (const ScannedState& state : scans_[i].states) {
        known.push_back({state.id, state.sequence, i, state.state});
      }
      scans_[i].states = {};
    }
    add_checkpointed(known);
    if (known.empty()) return;
    std::stable_sort(known.begin(), known.end(), [](const Known& a, const Known& b) {
      return a.id != b.id ? a.id < b.id : a.sequence < b.sequence;
    });
    for (uint32_t i = 0; i < into_.segments.size(); ++i) {
      std::vector<RecoveredMessage>& messages = into_.segments[i].messages;
      for (uint32_t m = 0; m < messages.size(); ++m) {
        auto state = std::lower_bound(known.begin(), known.end(), messages[m].id,
                                      [](const Known& a, uint64_t id) { return a.id < id; });
        for (; state != known.end() && state->id == messages[m].id; ++state) {
          if (state->state.index >= messages[m].recipients) continue;
          into_.segments[i].states.push_back({m, state->state});
          tie(state->from, i);
        }
      }
    }
  }

  void add_checkpointed(std::vector<Known>& known) {
    for (uint32_t i = 0; i < scans_.size(); ++i) {
      const ScannedCheckpoint* checkpoint = newest_[i];
      if (checkpoint == nullptr) continue;
      const std::vector<RecoveredMessage>& messages = into_.segments[i].messages;
      for (const RecoveredState& state : checkpoint->states) {
        const uint32_t offset = checkpoint->offsets[state.message];
        const auto at = std::lower_bound(
            messages.begin(), messages.end(), offset,
            [](const RecoveredMessage& message, uint32_t o) { return message.offset < o; });
        if (at == messages.end() || at->offset != offset) continue;
        known.push_back({at->id, checkpoint->sequence, i, state.state});
      }
    }
  }

  void count() {
    for (const RecoveredSegment& segment : into_.segments) {
      into_.result.messages += segment.messages.size();
      for (const RecoveredMessage& message : segment.messages) {
        into_.result.recipients_pending += message.recipients;
      }
      // The last word on each recipient counts.
      for (size_t s = 0; s < segment.states.size(); ++s) {
        const RecoveredState& state = segment.states[s];
        bool is_last = true;
        for (size_t later = s + 1;
             later < segment.states.size() && segment.states[later].message == state.message;
             ++later) {
          if (segment.states[later].state.index == state.state.index) is_last = false;
        }
        if (is_last && final(state.state.fate)) --into_.result.recipients_pending;
      }
    }
  }

  std::vector<Scan>& scans_;
  RecoveryResult& into_;
  std::map<uint32_t, uint32_t> by_number_;
  std::vector<Copy> copies_;
  std::vector<Gone> gone_;
  std::vector<const ScannedCheckpoint*> newest_;
  std::vector<std::vector<bool>> living_;
  std::vector<std::vector<bool>> noted_by_;
};

}  // namespace

void merge(std::vector<Scan>& scans, RecoveryResult& into) { Merger(scans, into).run(); }

void assign_shards(const std::vector<Scan>& scans, RecoveryResult& into) {
  uint32_t wrote = 0;
  for (const Scan& scan : scans) {
    if (scan.kind == Scan::Kind::log) wrote = std::max(wrote, uint32_t{scan.shard} + 1);
  }
  const bool as_before = wrote <= into.shards;
  std::vector<uint64_t> load(into.shards);
  std::vector<uint32_t> order(scans.size());
  std::iota(order.begin(), order.end(), 0U);
  std::stable_sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return into.segments[a].messages.size() > into.segments[b].messages.size();
  });
  for (const uint32_t index : order) {
    RecoveredSegment& segment = into.segments[index];
    const uint32_t made_by = segment.number & 0xFF;
    auto shard = static_cast<uint16_t>(made_by % into.shards);
    if (segment.use == SegmentUse::open) {
      const auto least = std::min_element(load.begin(), load.end()) - load.begin();
      shard = as_before && wrote == into.shards ? scans[index].shard : static_cast<uint16_t>(least);
      load[shard] += segment.messages.size() + 1;
    }
    segment.shard = shard;
  }
}

}  // namespace ringmta::spool
