// SPDX-License-Identifier: GPL-3.0-or-later
// Sums the threads' tallies and words them.
#include "tools/load/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace ringmta::tools {
namespace {

double per_accepted_us(double seconds, uint64_t accepted) {
  return accepted == 0 ? 0 : seconds * 1e6 / static_cast<double>(accepted);
}

double to_ms(uint64_t ns) { return static_cast<double>(ns) / 1e6; }

struct Bar {
  double up_to_ms;
  uint64_t count;
};

// The histogram in steps of 1, 2, 5, from the first that has a sample to the last.
std::vector<Bar> bars_of(const Histogram& latency) {
  std::vector<Bar> bars;
  uint64_t before = 0;
  for (uint64_t decade_us = 1; before < latency.count(); decade_us *= 10) {
    for (const uint64_t step : {1, 2, 5}) {
      const uint64_t up_to_us = decade_us * step;
      const uint64_t seen = latency.count_up_to(up_to_us * 1000);
      if (seen > 0 && before < latency.count())
        bars.push_back({static_cast<double>(up_to_us) / 1e3, seen - before});
      before = seen;
    }
  }
  return bars;
}

std::string drawing_of(const Histogram& latency) {
  constexpr uint64_t kWidth = 50;
  std::string text;
  for (const Bar& bar : bars_of(latency)) {
    const uint64_t length = (bar.count * kWidth + latency.count() - 1) / latency.count();
    text += fmt::format("  <= {:>9} ms {:>10}  {}\n", bar.up_to_ms, bar.count,
                        std::string(length, '#'));
  }
  return text;
}

double rounded(double value) { return std::round(value * 1000) / 1000; }

}  // namespace

void LoadResult::add(const Tally& tally) {
  accepted += tally.accepted.get();
  rejected += tally.rejected.get();
  unknown += tally.unknown.get();
  final_250s += tally.final_250s.get();
  final_250s_booked += tally.final_250s_booked.get();
  final_250s_empty += tally.final_250s_empty.get();
  accepted_twice += tally.accepted_twice.get();
  recipients_accepted += tally.recipients_accepted.get();
  recipients_rejected += tally.recipients_rejected.get();
  recipients_unknown += tally.recipients_unknown.get();
  octets += tally.octets.get();
  retries += tally.retries.get();
  connections += tally.connections.get();
  connections_lost += tally.connections_lost.get();
  connections_failed += tally.connections_failed.get();
  early_replies += tally.early_replies.get();
  tls_handshakes += tally.tls_handshakes.get();
  tls_resumed += tally.tls_resumed.get();
  last_accepted_ns = std::max(last_accepted_ns, tally.last_accepted_ns.get());
  latency_ns.merge(tally.latency_ns);
  for (size_t i = 0; i < codes.size(); ++i) codes[i] += tally.codes[i];
  code_texts.insert(tally.code_texts.begin(), tally.code_texts.end());
  if (connect_error.empty()) connect_error = tally.connect_error;
  rejected_indexes.insert(rejected_indexes.end(), tally.rejected_indexes.begin(),
                          tally.rejected_indexes.end());
  unknown_indexes.insert(unknown_indexes.end(), tally.unknown_indexes.begin(),
                         tally.unknown_indexes.end());
}

std::string summary_text(const LoadResult& result) {
  std::string text = fmt::format("messages   {} accepted of {}", result.accepted, result.messages);
  if (result.rejected > 0) text += fmt::format(", {} rejected", result.rejected);
  if (result.unknown > 0) text += fmt::format(", {} with unknown outcome", result.unknown);
  if (result.unsent() > 0) text += fmt::format(", {} not sent", result.unsent());
  text += fmt::format("\nrecipients {} accepted, {} rejected", result.recipients_accepted,
                      result.recipients_rejected);
  if (result.recipients_unknown > 0) text += fmt::format(", {} unknown", result.recipients_unknown);
  text += fmt::format(
      "\ntime       {:.2f} s, {:.0f} messages/s, {:.1f} MB/s\n", result.seconds, result.rate(),
      result.seconds > 0 ? static_cast<double>(result.octets) / 1e6 / result.seconds : 0);
  const Histogram& latency = result.latency_ns;
  text += fmt::format(
      "latency    p50 {:.2f} ms, p90 {:.2f}, p99 {:.2f}, p99.9 {:.2f}, max {:.2f} (data sent to "
      "250)\n",
      to_ms(latency.quantile(0.5)), to_ms(latency.quantile(0.9)), to_ms(latency.quantile(0.99)),
      to_ms(latency.quantile(0.999)), to_ms(latency.max()));
  text += drawing_of(latency);
  text += fmt::format("load's CPU {:.1f} us per message (user {:.1f}, system {:.1f})\n",
                      per_accepted_us(result.cpu.user_s + result.cpu.system_s, result.accepted),
                      per_accepted_us(result.cpu.user_s, result.accepted),
                      per_accepted_us(result.cpu.system_s, result.accepted));
  text += fmt::format("connections {}, lost {}, failed {}; retries {}\n", result.connections,
                      result.connections_lost, result.connections_failed, result.retries);
  if (result.tls_handshakes > 0) {
    text += fmt::format("TLS        {} handshakes, {} of them resumed\n", result.tls_handshakes,
                        result.tls_resumed);
  }
  for (size_t code = 0; code < result.codes.size(); ++code) {
    if (result.codes[code] == 0) continue;
    const auto found = result.code_texts.find(static_cast<int>(code));
    text += fmt::format("reply {:03}: {} times, first: {}\n", code, result.codes[code],
                        found == result.code_texts.end() ? std::string() : found->second);
  }
  if (!result.books_balance()) {
    text += fmt::format(
        "THE BOOKS DO NOT BALANCE: {} replies of 250 to an end of data, {} booked to messages, {} "
        "to empty transactions, {} messages twice\n",
        result.final_250s, result.final_250s_booked, result.final_250s_empty,
        result.accepted_twice);
  }
  if (!result.connect_error.empty()) text += fmt::format("connecting: {}\n", result.connect_error);
  return text;
}

std::string summary_json(const LoadResult& result, const LoadOptions& options,
                         const std::string& run) {
  nlohmann::ordered_json json;
  json["run"] = run;
  json["messages"] = result.messages;
  json["recipients"] =
      result.recipients_accepted + result.recipients_rejected + result.recipients_unknown;
  json["accepted"] = result.accepted;
  json["rejected"] = result.rejected;
  json["unknown"] = result.unknown;
  json["unsent"] = result.unsent();
  json["recipients_accepted"] = result.recipients_accepted;
  json["recipients_rejected"] = result.recipients_rejected;
  json["recipients_unknown"] = result.recipients_unknown;
  json["octets"] = result.octets;
  json["seconds"] = rounded(result.seconds);
  json["messages_per_s"] = rounded(result.rate());
  const Histogram& latency = result.latency_ns;
  json["latency_ms"] = {{"p50", rounded(to_ms(latency.quantile(0.5)))},
                        {"p90", rounded(to_ms(latency.quantile(0.9)))},
                        {"p99", rounded(to_ms(latency.quantile(0.99)))},
                        {"p999", rounded(to_ms(latency.quantile(0.999)))},
                        {"max", rounded(to_ms(latency.max()))},
                        {"mean", rounded(latency.mean() / 1e6)}};
  auto& histogram = json["latency_histogram"] = nlohmann::ordered_json::array();
  for (const Bar& bar : bars_of(latency))
    histogram.push_back({{"up_to_ms", bar.up_to_ms}, {"count", bar.count}});
  json["books"] = {{"replies_250", result.final_250s},
                   {"booked", result.final_250s_booked},
                   {"empty", result.final_250s_empty},
                   {"twice", result.accepted_twice},
                   {"balance", result.books_balance()}};
  json["cpu_us_per_message"] = {
      {"user", rounded(per_accepted_us(result.cpu.user_s, result.accepted))},
      {"system", rounded(per_accepted_us(result.cpu.system_s, result.accepted))}};
  json["connections"] = result.connections;
  json["connections_lost"] = result.connections_lost;
  json["connections_failed"] = result.connections_failed;
  json["early_replies"] = result.early_replies;
  json["tls_handshakes"] = result.tls_handshakes;
  json["tls_resumed"] = result.tls_resumed;
  json["retries"] = result.retries;
  json["sessions"] = options.sessions;
  json["threads"] = options.threads;
  auto& replies = json["refusals"] = nlohmann::ordered_json::object();
  for (size_t code = 0; code < result.codes.size(); ++code) {
    if (result.codes[code] == 0) continue;
    const auto found = result.code_texts.find(static_cast<int>(code));
    replies[fmt::format("{:03}", code)] = {
        {"count", result.codes[code]},
        {"text", found == result.code_texts.end() ? "" : found->second}};
  }
  if (!result.connect_error.empty()) json["connect_error"] = result.connect_error;
  json["accepted_ranges"] = result.accepted_ranges;
  json["rejected_indexes"] = result.rejected_indexes;
  json["unknown_indexes"] = result.unknown_indexes;
  json["complete"] = result.complete();
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace ringmta::tools
