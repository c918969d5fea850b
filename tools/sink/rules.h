// SPDX-License-Identifier: GPL-3.0-or-later
// The sink's replies program: an ordered list of rules from a TOML file, each saying when it
// applies and what the sink then does instead of, or before, its normal reply. The first rule that
// matches decides; docs/sink.md is its manual.
//
// A phase for which there is no rule costs nothing: the session asks has() once at its start.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ringmta/base/prng.h"
#include "ringmta/base/result.h"

namespace ringmta::tools {

enum class Phase : uint8_t {
  connect,  // before the greeting
  hello,    // EHLO or HELO; "ehlo" in the file
  starttls,
  auth,  // the AUTH command
  mail,
  rcpt,
  data,  // before 354
  dot,   // the end of a message, by CRLF.CRLF or by BDAT ... LAST
  bdat,  // each BDAT chunk
  quit,
  count
};
inline constexpr size_t kPhases = static_cast<size_t>(Phase::count);
std::string_view to_text(Phase phase);

enum class Drop : uint8_t { none, before_reply, after_reply };

struct Action {
  std::string reply;  // in wire form; empty: the normal reply
  int code = 0;       // of `reply`
  uint32_t delay_ms = 0;
  uint32_t split = 0;  // send the reply in pieces of so many octets
  uint32_t split_gap_ms = 0;
  Drop drop = Drop::none;
  bool reset = false;  // end the connection with a RST, without a reply
  bool stall = false;  // say nothing more, for ever
};

// What a rule is matched against. `recipients` has one address a line.
struct Situation {
  Phase phase = Phase::connect;
  std::string_view peer;
  std::string_view listener;
  std::string_view sender;
  std::string_view recipients;
};

// '*' any octets, '?' one octet; ASCII case does not matter.
bool glob_matches(std::string_view pattern, std::string_view text);

class Rule final {
 public:
  static constexpr size_t kFirstMax = size_t{1} << 22;  // keys that a rule with `first` remembers

  // Counts a match, too.
  bool matches(const Situation& situation, Prng& prng);
  uint64_t matched() const { return matched_.load(std::memory_order_relaxed); }

  std::string name;  // "rule 3" or what the file calls it
  Phase phase = Phase::connect;
  std::string recipient;
  std::string domain;
  std::string sender;
  std::string listener;
  double share = 1;
  uint32_t first = 0;
  uint64_t limit = 0;
  Action action;

 private:
  bool recipients_match(std::string_view recipients) const;
  bool among_first(const Situation& situation);

  std::mutex mutex_;
  std::unordered_map<uint64_t, uint32_t> seen_;
  std::atomic<uint64_t> matched_{0};
};

class RuleSet final {
 public:
  // `source` names the text in error messages.
  static Result<RuleSet> parse(std::string_view text, std::string_view source);
  static Result<RuleSet> load(const std::string& path);

  bool has(Phase phase) const { return !by_phase_[static_cast<size_t>(phase)].empty(); }
  // Rules of later phases look at the recipients of the transaction, so a session must keep their
  // text.
  bool needs_recipients() const { return needs_recipients_; }
  // The action of the first rule that matches, or null. Thread-safe.
  const Action* match(const Situation& situation, Prng& prng) const;
  const std::vector<std::unique_ptr<Rule>>& rules() const { return rules_; }

 private:
  std::vector<std::unique_ptr<Rule>> rules_;
  std::array<std::vector<Rule*>, kPhases> by_phase_;
  bool needs_recipients_ = false;
};

}  // namespace ringmta::tools
