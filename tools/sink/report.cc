// SPDX-License-Identifier: GPL-3.0-or-later
// Sums and words. JSON is for tests (docs/sink.md names every field), the text for people.
#include "tools/sink/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace ringmta::tools {
namespace {

using Json = nlohmann::ordered_json;
using Workers = std::vector<std::unique_ptr<SinkWorker>>;

uint64_t sum(const Workers& workers, Counter SinkCounts::* counter) {
  uint64_t total = 0;
  for (const auto& worker : workers) total += (worker->counts().*counter).get();
  return total;
}

uint64_t most(const Workers& workers, Counter SinkCounts::* counter) {
  uint64_t value = 0;
  for (const auto& worker : workers) value = std::max(value, (worker->counts().*counter).get());
  return value;
}

double rounded(double value) { return std::round(value * 1000) / 1000; }

double active_seconds(const Workers& workers) {
  uint64_t first = UINT64_MAX;
  for (const auto& worker : workers) {
    const uint64_t own = worker->counts().first_delivery_ns.get();
    if (own != 0) first = std::min(first, own);
  }
  const uint64_t last = most(workers, &SinkCounts::last_delivery_ns);
  return last > first ? static_cast<double>(last - first) / 1e9 : 0;
}

struct Verification {
  Json json;
  std::string text;
  bool clean = true;
};

Verification verify(const SinkState& state, const Workers& workers) {
  const uint64_t corrupt = sum(workers, &SinkCounts::corrupt);
  const uint64_t duplicates = sum(workers, &SinkCounts::duplicates);
  const uint64_t unsure = sum(workers, &SinkCounts::duplicates_unsure);
  Verification result;
  Json runs = Json::array();
  uint64_t unique = 0;
  uint64_t missing = 0;
  uint64_t incomplete = 0;
  for (const RunReport& run : state.ledger.report()) {
    unique += run.recipients;
    missing += run.missing;
    incomplete += run.incomplete;
    runs.push_back({{"run", run.run},
                    {"messages", run.messages},
                    {"recipients", run.recipients},
                    {"highest_index", run.highest_index},
                    {"missing", run.missing},
                    {"missing_ranges", run.missing_ranges},
                    {"incomplete", run.incomplete},
                    {"incomplete_recipients", run.incomplete_recipients},
                    {"incomplete_indexes", run.incomplete_indexes}});
  }
  result.clean = corrupt == 0 && duplicates == 0 && unsure == 0 && missing == 0 && incomplete == 0;
  result.json = {{"clean", result.clean},
                 {"good", sum(workers, &SinkCounts::good)},
                 {"corrupt", corrupt},
                 {"unmarked", sum(workers, &SinkCounts::unmarked)},
                 {"deliveries_unique", unique},
                 {"duplicates", duplicates},
                 {"duplicates_unsure", unsure},
                 {"missing", missing},
                 {"incomplete", incomplete},
                 {"corrupt_samples", state.corrupt_samples.get()},
                 {"runs", runs}};
  result.text = fmt::format(
      "verified    {}: {} good, {} corrupt, {} unmarked, {} delivered twice ({} more after a "
      "broken connection), "
      "{} missing, {} incomplete\n",
      result.clean ? "clean" : "NOT CLEAN", sum(workers, &SinkCounts::good), corrupt,
      sum(workers, &SinkCounts::unmarked), duplicates, unsure, missing, incomplete);
  for (const std::string& sample : state.corrupt_samples.get())
    result.text += fmt::format("  corrupt: {}\n", sample);
  return result;
}

Json listener_reports(const SinkState& state, const std::vector<SocketAddress>& listeners) {
  Json list = Json::array();
  for (size_t i = 0; i < listeners.size(); ++i) {
    const ListenerCounts& counts = state.listeners[i];
    list.push_back({{"address", listeners[i].text()},
                    {"connections", counts.connections.load()},
                    {"connections_open", counts.open.load()},
                    {"connections_peak", counts.open_max.load()},
                    {"messages", counts.messages.load()},
                    {"deliveries", counts.deliveries.load()}});
  }
  return list;
}

}  // namespace

uint64_t deliveries_of(const Workers& workers) { return sum(workers, &SinkCounts::deliveries); }

SinkReport make_report(const SinkState& state, const Workers& workers,
                       const std::vector<SocketAddress>& listeners, const CpuTimes& cpu_at_start) {
  const uint64_t messages = sum(workers, &SinkCounts::messages);
  const uint64_t connections = sum(workers, &SinkCounts::connections);
  const double seconds = active_seconds(workers);
  const CpuTimes cpu = process_cpu_times();
  const double per_message = messages == 0 ? 0 : 1e6 / static_cast<double>(messages);
  const double user_us = (cpu.user_s - cpu_at_start.user_s) * per_message;
  const double system_us = (cpu.system_s - cpu_at_start.system_s) * per_message;
  const double rate = seconds > 0 ? static_cast<double>(messages) / seconds : 0;
  const double mean =
      connections == 0 ? 0 : static_cast<double>(messages) / static_cast<double>(connections);

  Json json;
  json["messages"] = messages;
  json["deliveries"] = sum(workers, &SinkCounts::deliveries);
  json["octets"] = sum(workers, &SinkCounts::octets);
  json["messages_refused"] = sum(workers, &SinkCounts::messages_refused);
  json["messages_dropped"] = sum(workers, &SinkCounts::messages_dropped);
  json["seconds"] = rounded(seconds);
  json["messages_per_s"] = rounded(rate);
  json["cpu_us_per_message"] = {{"user", rounded(user_us)}, {"system", rounded(system_us)}};
  json["connections"] = connections;
  json["connections_peak"] = state.all.open_max.load();
  json["connections_open"] = state.all.open.load();
  json["connections_broken"] = sum(workers, &SinkCounts::connections_broken);
  json["messages_per_connection"] = {
      {"mean", rounded(mean)}, {"max", most(workers, &SinkCounts::messages_per_connection_max)}};
  json["transactions"] = sum(workers, &SinkCounts::transactions);
  json["recipients_per_transaction_max"] =
      most(workers, &SinkCounts::recipients_per_transaction_max);
  json["early_input"] = sum(workers, &SinkCounts::early_input);
  json["bad_commands"] = sum(workers, &SinkCounts::bad_commands);
  json["bare_line_ends"] = sum(workers, &SinkCounts::bare_line_ends);
  json["tls_sessions"] = sum(workers, &SinkCounts::tls_sessions);
  json["tls_resumed"] = sum(workers, &SinkCounts::tls_resumed);
  json["authenticated"] = sum(workers, &SinkCounts::authenticated);
  json["auth_refused"] = sum(workers, &SinkCounts::auth_refused);
  json["record_failures"] = sum(workers, &SinkCounts::record_failures);
  Json replies = Json::object();
  for (size_t code = 0; code < std::tuple_size_v<decltype(SinkCounts::replies)>; ++code) {
    uint64_t count = 0;
    for (const auto& worker : workers) count += worker->counts().replies[code].get();
    if (count > 0) replies[std::to_string(code)] = count;
  }
  json["replies"] = replies;
  Json rules = Json::array();
  for (const auto& rule : state.rules.rules()) {
    rules.push_back(
        {{"name", rule->name}, {"phase", to_text(rule->phase)}, {"matched", rule->matched()}});
  }
  json["rules"] = rules;
  json["listeners"] = listener_reports(state, listeners);

  SinkReport report;
  report.text = fmt::format(
      "messages    {} with {} deliveries, {:.1f} MB; {} refused, {} dropped\n"
      "time        {:.2f} s, {:.0f} messages/s; sink's CPU {:.1f} us per message (user {:.1f}, "
      "system {:.1f})\n"
      "connections {}, at most {} at once, {} broken; at most {} messages on one, {} recipients in "
      "one transaction\n",
      messages, sum(workers, &SinkCounts::deliveries),
      static_cast<double>(sum(workers, &SinkCounts::octets)) / 1e6,
      sum(workers, &SinkCounts::messages_refused), sum(workers, &SinkCounts::messages_dropped),
      seconds, rate, user_us + system_us, user_us, system_us, connections,
      state.all.open_max.load(), sum(workers, &SinkCounts::connections_broken),
      most(workers, &SinkCounts::messages_per_connection_max),
      most(workers, &SinkCounts::recipients_per_transaction_max));
  if (state.options.verify) {
    const Verification verification = verify(state, workers);
    json["verify"] = verification.json;
    report.text += verification.text;
    report.clean = verification.clean;
  }
  report.clean = report.clean && sum(workers, &SinkCounts::record_failures) == 0;
  report.json = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  return report;
}

}  // namespace ringmta::tools
