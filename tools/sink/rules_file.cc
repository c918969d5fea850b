// SPDX-License-Identifier: GPL-3.0-or-later
// From the TOML file to rules. Every key is checked, an unknown one is an error: a typing mistake
// in a test's program must not turn into a test that checks nothing.
#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "tools/common/process.h"
#include "tools/sink/rules.h"

namespace ringmta::tools {
namespace {

constexpr int64_t kDelayMaxMs = 24 * 3600 * 1000;

// One rule's table, read key by key; the first mistake is kept.
class RuleReader final {
 public:
  RuleReader(const toml::table& table, std::string_view source) : table_(table), source_(source) {}

  std::optional<std::string> text(std::string_view key) {
    const toml::node* node = find(key);
    if (node == nullptr) return std::nullopt;
    if (const auto value = node->value_exact<std::string>()) return value;
    mistake(*node, key, "must be a string");
    return std::nullopt;
  }
  int64_t integer(std::string_view key, int64_t low, int64_t high) {
    const toml::node* node = find(key);
    if (node == nullptr) return 0;
    const auto value = node->value_exact<int64_t>();
    if (value && *value >= low && *value <= high) return *value;
    mistake(*node, key, fmt::format("must be a whole number from {} to {}", low, high));
    return 0;
  }
  double fraction(std::string_view key) {
    const toml::node* node = find(key);
    if (node == nullptr) return 1;
    const auto value = node->value<double>();
    if (value && *value >= 0 && *value <= 1) return *value;
    mistake(*node, key, "must be a number from 0 to 1");
    return 1;
  }
  bool flag(std::string_view key) {
    const toml::node* node = find(key);
    if (node == nullptr) return false;
    if (const auto value = node->value_exact<bool>()) return *value;
    mistake(*node, key, "must be true or false");
    return false;
  }
  void finish() {
    for (const auto& [key, node] : table_) {
      if (std::find(known_.begin(), known_.end(), key.str()) == known_.end()) {
        mistake(node, key.str(), "is not known here; the keys are listed in docs/sink.md");
      }
    }
  }
  void mistake(std::string_view key, std::string_view what) {
    const toml::node* node = table_.get(key);
    mistake(node != nullptr ? *node : static_cast<const toml::node&>(table_), key, what);
  }
  const std::string& error() const { return error_; }

 private:
  const toml::node* find(std::string_view key) {
    known_.push_back(key);
    return table_.get(key);
  }
  void mistake(const toml::node& node, std::string_view key, std::string_view what) {
    if (!error_.empty()) return;
    error_ = fmt::format("{}:{}: '{}' {}", source_, node.source().begin.line, key, what);
  }

  const toml::table& table_;
  std::string_view source_;
  std::vector<std::string_view> known_;
  std::string error_;
};

// "451 4.7.1 come back" or several lines to wire form; the code may be repeated on the further
// lines or left out.
bool parse_reply(std::string_view text, Action& action) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (text.size() < 3 || text[0] < '2' || text[0] > '5' || !digit(text[1]) || !digit(text[2]))
    return false;
  const std::string_view code = text.substr(0, 3);
  action.code = (text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
  while (true) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.starts_with(code) && (line.size() == 3 || line[3] == ' ' || line[3] == '-')) {
      line.remove_prefix(std::min<size_t>(4, line.size()));
    }
    action.reply += code;
    action.reply += end == std::string_view::npos ? ' ' : '-';
    action.reply += line;
    action.reply += "\r\n";
    if (end == std::string_view::npos) return true;
    text.remove_prefix(end + 1);
  }
}

void read_action(RuleReader& reader, Action& action) {
  if (const auto reply = reader.text("reply"); reply && !parse_reply(*reply, action)) {
    reader.mistake("reply",
                   "must begin with a reply code from 200 to 599, such as \"451 4.7.1 come back\"");
  }
  action.delay_ms = static_cast<uint32_t>(reader.integer("delay", 1, kDelayMaxMs));
  action.split = static_cast<uint32_t>(reader.integer("split", 1, 4096));
  action.split_gap_ms = static_cast<uint32_t>(reader.integer("split_gap", 1, 60'000));
  action.reset = reader.flag("reset");
  action.stall = reader.flag("stall");
  if (const auto drop = reader.text("drop")) {
    if (*drop == "before") action.drop = Drop::before_reply;
    if (*drop == "after") action.drop = Drop::after_reply;
    if (action.drop == Drop::none)
      reader.mistake("drop", "must be \"before\" or \"after\" (the reply)");
  }
}

std::unique_ptr<Rule> read_rule(RuleReader& reader, size_t number) {
  auto rule = std::make_unique<Rule>();
  rule->name = reader.text("name").value_or(fmt::format("rule {}", number));
  const std::string phase = reader.text("phase").value_or("");
  size_t index = 0;
  while (index < kPhases && to_text(static_cast<Phase>(index)) != phase) ++index;
  if (index == kPhases) {
    reader.mistake("phase", "must be one of connect, ehlo, mail, rcpt, data, dot, bdat, quit");
    index = 0;
  }
  rule->phase = static_cast<Phase>(index);
  rule->recipient = reader.text("recipient").value_or("");
  rule->domain = reader.text("domain").value_or("");
  rule->sender = reader.text("sender").value_or("");
  rule->listener = reader.text("listener").value_or("");
  rule->share = reader.fraction("share");
  rule->first = static_cast<uint32_t>(reader.integer("first", 1, 1'000'000));
  rule->limit = static_cast<uint64_t>(reader.integer("limit", 1, INT64_MAX));
  read_action(reader, rule->action);
  const bool early =
      rule->phase == Phase::connect || rule->phase == Phase::hello || rule->phase == Phase::quit;
  if (early && !(rule->recipient.empty() && rule->domain.empty() && rule->sender.empty())) {
    reader.mistake("phase",
                   "has no sender or recipient yet: match by listener, share, first or limit");
  }
  if (rule->phase == Phase::mail && !(rule->recipient.empty() && rule->domain.empty())) {
    reader.mistake("phase",
                   "has no recipient yet: match by sender, listener, share, first or limit");
  }
  reader.finish();
  return rule;
}

}  // namespace

Result<RuleSet> RuleSet::parse(std::string_view text, std::string_view source) {
  toml::table table;
  try {
    table = toml::parse(text, source);
  } catch (const toml::parse_error& error) {
    return fail(fmt::format("{}:{}: {}", source, error.source().begin.line, error.description()));
  }
  for (const auto& [key, node] : table) {
    if (key != "rule" || !node.is_array_of_tables()) {
      return fail(fmt::format("{}:{}: '{}': a replies program has only [[rule]] tables", source,
                              node.source().begin.line, key.str()));
    }
  }
  RuleSet set;
  if (const toml::array* rules = table["rule"].as_array()) {
    for (const auto& node : *rules) {
      RuleReader reader(*node.as_table(), source);
      auto rule = read_rule(reader, set.rules_.size() + 1);
      if (!reader.error().empty()) return fail(reader.error());
      set.by_phase_[static_cast<size_t>(rule->phase)].push_back(rule.get());
      const bool by_recipient =
          !rule->recipient.empty() || !rule->domain.empty() || rule->first > 0;
      set.needs_recipients_ = set.needs_recipients_ || by_recipient;
      set.rules_.push_back(std::move(rule));
    }
  }
  return set;
}

Result<RuleSet> RuleSet::load(const std::string& path) {
  const auto text = read_whole_file(path);
  if (!text) return std::unexpected(text.error());
  return parse(*text, path);
}

}  // namespace ringmta::tools
