// SPDX-License-Identifier: GPL-3.0-or-later
// Slots, and the states of recipients in them.
#include "message_table.h"

#include <algorithm>

namespace ringmta::spool {
namespace {

constexpr uint64_t kTimeMask = (1ULL << 48) - 1;

using States = std::vector<RecipientState>;

States* list_of(const Message& message) { return reinterpret_cast<States*>(message.state); }

bool fits_inline(const RecipientState& state) {
  return state.index == 0 && state.next_attempt.ms >= 0 &&
         static_cast<uint64_t>(state.next_attempt.ms) <= kTimeMask;
}

void set_inline(Message& message, const RecipientState& state) {
  message.clear(Message::kDelayReported | 7 << Message::kFateShift);
  message.set(static_cast<uint16_t>(Message::kStateInline |
                                    static_cast<uint16_t>(state.fate) << Message::kFateShift |
                                    (state.delay_reported ? Message::kDelayReported : 0)));
  message.state = uint64_t{state.attempts} << 48 | static_cast<uint64_t>(state.next_attempt.ms);
}

RecipientState inline_state(const Message& message) {
  RecipientState state;
  state.fate = static_cast<Fate>(message.flags >> Message::kFateShift & 7);
  state.delay_reported = message.is(Message::kDelayReported);
  state.attempts = static_cast<uint16_t>(message.state >> 48);
  state.next_attempt = {static_cast<int64_t>(message.state & kTimeMask)};
  return state;
}

}  // namespace

void merge_states(Message& message, std::span<const RecipientState> states) {
  if (states.empty()) return;
  if (!message.is(Message::kStateList) && states.size() == 1 && fits_inline(states[0])) {
    set_inline(message, states[0]);
    return;
  }
  if (!message.is(Message::kStateList)) {
    auto* list = new States;
    if (message.is(Message::kStateInline)) list->push_back(inline_state(message));
    message.clear(Message::kStateInline);
    message.set(Message::kStateList);
    message.state = reinterpret_cast<uint64_t>(list);
  }
  States& list = *list_of(message);
  for (const RecipientState& state : states) {
    const auto at = std::lower_bound(
        list.begin(), list.end(), state.index,
        [](const RecipientState& known, uint32_t index) { return known.index < index; });
    if (at != list.end() && at->index == state.index) {
      *at = state;
    } else {
      list.insert(at, state);
    }
  }
}

void append_states(const Message& message, std::vector<RecipientState>& into) {
  if (message.is(Message::kStateInline)) into.push_back(inline_state(message));
  if (!message.is(Message::kStateList)) return;
  const States& list = *list_of(message);
  into.insert(into.end(), list.begin(), list.end());
}

void drop_states(Message& message) {
  if (message.is(Message::kStateList)) delete list_of(message);
  message.clear(Message::kStateInline | Message::kStateList);
  message.state = 0;
}

MessageTable::~MessageTable() {
  for (const auto& chunk : chunks_) {
    for (uint32_t i = 0; i < kChunk; ++i) {
      if (chunk[i].is(Message::kUsed)) drop_states(chunk[i]);
    }
  }
}

uint32_t MessageTable::take() {
  if (free_ == kNone) grow();
  const uint32_t index = free_;
  Message& message = (*this)[index];
  free_ = message.offset;
  const uint32_t generation = message.generation;
  message = {};
  message.generation = generation;
  message.flags = Message::kUsed;
  return index;
}

void MessageTable::release(uint32_t index) {
  Message& message = (*this)[index];
  RINGMTA_ASSERT(message.is(Message::kUsed) && message.block == kNone && !message.has_states());
  message.flags = 0;
  message.generation = (message.generation + 1) & kGenerationMask;
  message.offset = free_;
  free_ = index;
}

Message* MessageTable::find(StoredHandle handle) {
  if (handle.index / kChunk >= chunks_.size()) return nullptr;
  Message& message = (*this)[handle.index];
  if (!message.is(Message::kUsed) || message.generation != handle.generation) return nullptr;
  return &message;
}

void MessageTable::grow() {
  const auto first = static_cast<uint32_t>(chunks_.size()) * kChunk;
  chunks_.push_back(std::make_unique<Message[]>(kChunk));
  for (uint32_t i = kChunk; i-- > 0;) {
    chunks_.back()[i].offset = free_;
    free_ = first + i;
  }
}

}  // namespace ringmta::spool
