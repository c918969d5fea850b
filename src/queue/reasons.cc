// SPDX-License-Identifier: GPL-3.0-or-later
// Interning of reasons, by a hash of all their parts.
#include "reasons.h"

#include <fmt/format.h>

namespace ringmta::queue {
namespace {

uint64_t hash_reason(const ReasonView& reason) {
  const auto phase = static_cast<uint64_t>(reason.phase);
  const uint64_t status = static_cast<uint64_t>(reason.status.klass) << 32 |
                          static_cast<uint64_t>(reason.status.subject) << 16 | reason.status.detail;
  const uint64_t numbers = mix(status + 1) ^ (phase << 16 | reason.code);
  return mix(hash_text(reason.text) ^ mix(hash_text(reason.peer) + numbers));
}

}  // namespace

uint32_t Reasons::use(const ReasonView& reason, bool always) {
  ReasonView kept = reason;
  kept.text = kept.text.substr(0, kReasonTextMax);
  const uint64_t hash = hash_reason(kept);
  const uint32_t found = table_.find(hash, [&](uint32_t index) {
    const Reason& there = *pool_.at_index(index);
    return there.hash == hash && there.text == kept.text && there.peer == kept.peer &&
           there.phase == kept.phase && there.code == kept.code && there.status == kept.status;
  });
  if (found != kNone) return use_again(found);
  if (!always && pool_.size() >= kReasonsMax) return kNone;
  SlotHandle handle;
  Reason& made = *pool_.take(handle);
  made.text = kept.text;
  made.peer = kept.peer;
  made.hash = hash;
  made.uses = 1;
  made.phase = kept.phase;
  made.code = kept.code;
  made.status = kept.status;
  octets_ += made.text.size() + made.peer.size();
  table_.insert(hash, handle.index);
  return handle.index;
}

uint32_t Reasons::use_again(uint32_t index) {
  if (index != kNone) ++pool_.at_index(index)->uses;
  return index;
}

void Reasons::drop(uint32_t index) {
  if (index == kNone) return;
  Reason& reason = *pool_.at_index(index);
  if (--reason.uses > 0) return;
  octets_ -= reason.text.size() + reason.peer.size();
  table_.erase(reason.hash, index);
  pool_.release(pool_.handle_at(index));
}

ReasonView Reasons::view(uint32_t index) const {
  if (index == kNone) return {};
  const Reason& reason = *pool_.at_index(index);
  return {reason.text, reason.peer, reason.phase, reason.code, reason.status};
}

std::string reply_line(const ReasonView& reason) {
  if (reason.code == 0) return std::string(reason.text);
  const std::string status = reason.status ? reason.status.text() : std::string();
  if (status.empty() || reason.text.starts_with(status))
    return fmt::format("{} {}", reason.code, reason.text);
  return fmt::format("{} {} {}", reason.code, status, reason.text);
}

}  // namespace ringmta::queue
