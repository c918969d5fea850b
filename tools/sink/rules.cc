// SPDX-License-Identifier: GPL-3.0-or-later
// Matching. Only a rule with `first` takes a lock, and only after everything else about it matched.
#include "tools/sink/rules.h"

#include "ringmta/base/bytes.h"
#include "tools/common/digest.h"

namespace ringmta::tools {

std::string_view to_text(Phase phase) {
  constexpr std::array<std::string_view, kPhases> kNames{
      "connect", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "dot", "bdat", "quit"};
  return kNames[static_cast<size_t>(phase)];
}

bool glob_matches(std::string_view pattern, std::string_view text) {
  size_t p = 0;
  size_t t = 0;
  size_t star = std::string_view::npos;
  size_t star_text = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
    } else if (p < pattern.size() &&
               (pattern[p] == '?' || ascii_lower(pattern[p]) == ascii_lower(text[t]))) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {  // let the last star take one octet more
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool Rule::recipients_match(std::string_view recipients) const {
  while (true) {
    const size_t end = recipients.find('\n');
    const std::string_view address = recipients.substr(0, end);
    const size_t at = address.rfind('@');
    const std::string_view address_domain =
        at == std::string_view::npos ? std::string_view{} : address.substr(at + 1);
    if ((recipient.empty() || glob_matches(recipient, address)) &&
        (domain.empty() || glob_matches(domain, address_domain))) {
      return true;
    }
    if (end == std::string_view::npos) return false;
    recipients.remove_prefix(end + 1);
  }
}

// The first N times per (sender, recipient); before there is a recipient, per sender; before that,
// per peer host.
bool Rule::among_first(const Situation& situation) {
  uint64_t key = 0;
  if (phase == Phase::connect || phase == Phase::hello || phase == Phase::quit) {
    key = hash_text(situation.peer.substr(0, situation.peer.rfind(':')), 1);
  } else {
    key = hash_text(situation.sender, 2);
    if (phase != Phase::mail)
      key = hash_text(situation.recipients.substr(0, situation.recipients.find('\n')), key);
  }
  const std::lock_guard guard(mutex_);
  const auto found = seen_.find(key);
  if (found != seen_.end()) return found->second < first ? (++found->second, true) : false;
  if (seen_.size() >= kFirstMax) return false;
  seen_.emplace(key, 1);
  return true;
}

bool Rule::matches(const Situation& situation, Prng& prng) {
  if (!sender.empty() && !glob_matches(sender, situation.sender)) return false;
  if (!listener.empty() && !glob_matches(listener, situation.listener)) return false;
  if ((!recipient.empty() || !domain.empty()) && !recipients_match(situation.recipients))
    return false;
  if (share < 1 && static_cast<double>(prng.next() >> 11) * 0x1.0p-53 >= share) return false;
  if (first > 0 && !among_first(situation)) return false;
  const uint64_t number = matched_.fetch_add(1, std::memory_order_relaxed);
  if (limit > 0 && number >= limit) {
    matched_.store(limit, std::memory_order_relaxed);
    return false;
  }
  return true;
}

const Action* RuleSet::match(const Situation& situation, Prng& prng) const {
  for (Rule* rule : by_phase_[static_cast<size_t>(situation.phase)]) {
    if (rule->matches(situation, prng)) return &rule->action;
  }
  return nullptr;
}

}  // namespace ringmta::tools
