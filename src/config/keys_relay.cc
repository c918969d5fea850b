// SPDX-License-Identifier: GPL-3.0-or-later
// The rows about the relay as a whole: its name, its shards, DNS, its rings.
#include <fmt/format.h>

#include <algorithm>

#include "key.h"
#include "names.h"
#include "ringmta/shard/pinning.h"
#include "values.h"

namespace ringmta::config {
namespace {

constexpr std::string_view kLogLevels[] = {"debug", "info", "warning", "error"};

Status read_count(Settings& settings, const Value& value) {
  if (const std::string* word = value.as<std::string>(); word != nullptr && *word == "auto") {
    settings.shards = 0;
    return {};
  }
  const int64_t* number = value.as<int64_t>();
  if (number == nullptr || *number < 1 || *number > kShardsMax) {
    return fail(
        fmt::format("expects \"auto\" (one shard per processor) or a number from 1 to {}: "
                    "write count = \"auto\" or count = 2",
                    kShardsMax));
  }
  settings.shards = static_cast<uint32_t>(*number);
  return {};
}

std::string show_count(const Settings& settings) {
  return settings.shards == 0 ? quoted("auto") : std::to_string(settings.shards);
}

Status read_cpus(Settings& settings, const Value& value) {
  const std::string* text = value.as<std::string>();
  if (text == nullptr) {
    return fail("expects a list of processors as a text: write cpus = \"0-3,8\"");
  }
  settings.cpus.clear();
  if (text->empty()) return {};
  auto cpus = shard::parse_cpus(*text);
  if (!cpus) return std::unexpected(cpus.error());
  settings.cpus = std::move(*cpus);
  return {};
}

// As few ranges as there are, in the order the shards take them.
std::string show_cpus(const Settings& settings) {
  std::string text;
  for (size_t i = 0; i < settings.cpus.size();) {
    size_t end = i + 1;
    while (end < settings.cpus.size() && settings.cpus[end] == settings.cpus[end - 1] + 1) ++end;
    if (!text.empty()) text += ',';
    text += std::to_string(settings.cpus[i]);
    if (end > i + 1) text += fmt::format("-{}", settings.cpus[end - 1]);
    i = end;
  }
  return quoted(text);
}

constexpr Key kKeys[] = {
    {.section = "",
     .name = "hostname",
     .kind = Text{RINGMTA_AT(hostname), check_hostname, "domain name"},
     .meaning = "The full name of this host. It stands in the greeting, in EHLO, in `Received:` "
                "lines and in notifications; receiving hosts expect it to have an address record, "
                "and the address a matching PTR record.",
     .example = "\"mail.example.org\"",
     .required = true,
     .at_start = true},
    {.section = "",
     .name = "log_level",
     .kind = Choice{kLogLevels, [](const Settings& s) { return static_cast<uint8_t>(s.log_level); },
                    [](Settings& s, uint8_t word) { s.log_level = static_cast<LogLevel>(word); }},
     .meaning = "What the relay says on stderr (under systemd: in the journal). What becomes of "
                "messages is told by `[events]`, not here."},
    {.section = "",
     .name = "shutdown_max",
     .kind = Duration{RINGMTA_AT(shutdown_max), {0}, hours(1)},
     .meaning = "How long SIGTERM waits for what is in flight. What is not finished then is tried "
                "again after the next start. The unit's `TimeoutStopSec=` must be longer."},

    {.section = "shards",
     .name = "count",
     .kind = Special{read_count, show_count, "\"auto\" or a number, 1 to 256"},
     .meaning = "How many shards. `\"auto\"`: as many as `cpus` names; without `cpus`, one per "
                "processor that the process may use. May change from start to start."},
    {.section = "shards",
     .name = "cpus",
     .kind = Special{read_cpus, show_cpus, "list of processors and ranges"},
     .meaning = "Pins shard 0 to the first, shard 1 to the second, and so on, beginning anew when "
                "there are more shards. Empty: not pinned.",
     .example = "\"0-3,8\""},

    {.section = "dns",
     .name = "resolve_interval",
     .kind = Duration{RINGMTA_AT(resolve_interval), seconds(1), hours(24)},
     .meaning = "How often the names of smart hosts are looked up again. A name that gives no "
                "address any more keeps those it had.",
     .at_start = true},
    {.section = "dns",
     .name = "servers",
     .kind = Addresses{RINGMTA_AT(resolver.servers), dns::kDnsPort},
     .meaning = "Resolvers asked for MX and address records, 8 at most. Empty: those of "
                "`/etc/resolv.conf`. `ringmta reload` reads either anew.",
     .example = "[\"127.0.0.1:53\"]"},
    {.section = "dns",
     .name = "attempt_timeout",
     .kind = Duration{RINGMTA_AT(resolver.attempt_timeout), {10}, minutes(1)},
     .meaning = "Wait for a server's answer before the next one is asked too; doubles with each "
                "round.",
     .at_start = true},
    {.section = "dns",
     .name = "attempt_timeout_max",
     .kind = Duration{RINGMTA_AT(resolver.attempt_timeout_max), {10}, minutes(1)},
     .meaning = "... up to this.",
     .at_start = true},
    {.section = "dns",
     .name = "query_timeout",
     .kind = Duration{RINGMTA_AT(resolver.query_timeout), {10}, minutes(5)},
     .meaning = "For a question, aliases and all; then it has failed for now.",
     .at_start = true},
    {.section = "dns",
     .name = "tcp_timeout",
     .kind = Duration{RINGMTA_AT(resolver.tcp_timeout), {10}, minutes(5)},
     .meaning = "For a question over TCP, connecting included.",
     .at_start = true},
    {.section = "dns",
     .name = "tcp_idle",
     .kind = Duration{RINGMTA_AT(resolver.tcp_idle), {0}, minutes(5)},
     .meaning = "A connection to a server without a question is kept for so long.",
     .at_start = true},
    {.section = "dns",
     .name = "slow_after",
     .kind = Duration{RINGMTA_AT(resolver.slow_after), {10}, minutes(5)},
     .meaning = "When all `queries_max` are in use, a question older than this gives way to a "
                "younger one.",
     .at_start = true},
    {.section = "dns",
     .name = "queries_max",
     .kind = Whole{RINGMTA_AT(resolver.queries_max), 16, 65536},
     .meaning = "Questions under way per shard.",
     .at_start = true},
    {.section = "dns",
     .name = "waiting_max",
     .kind = Whole{RINGMTA_AT(resolver.waiting_max), 16, 1'000'000},
     .meaning = "Questions that wait behind those. Further ones fail for now.",
     .at_start = true},
    {.section = "dns",
     .name = "tcp_connections_max",
     .kind = Whole{RINGMTA_AT(resolver.tcp_connections_max), 1, 4096},
     .meaning = "Connections to servers per shard.",
     .at_start = true},
    {.section = "dns",
     .name = "random_capitals",
     .kind = Flag{RINGMTA_AT(resolver.random_capitals)},
     .meaning = "Vary capitals in questions (0x20): harder to forge an answer, for servers not "
                "reached over a trusted path.",
     .at_start = true},

    {.section = "dns.cache",
     .name = "memory_max",
     .kind = Size{Whole{RINGMTA_AT(resolver.cache.octets_max), 65536, 1ULL << 36}},
     .meaning = "Of each shard. At it the oldest answers give way."},
    {.section = "dns.cache",
     .name = "ttl_min",
     .kind = Duration{RINGMTA_AT(resolver.cache.ttl_min), {0}, hours(24)},
     .meaning = "An answer is kept for so long even if its TTL is shorter."},
    {.section = "dns.cache",
     .name = "ttl_max",
     .kind = Duration{RINGMTA_AT(resolver.cache.ttl_max), seconds(1), hours(24 * 7)},
     .meaning = "An answer is kept no longer than this."},
    {.section = "dns.cache",
     .name = "negative_ttl_max",
     .kind = Duration{RINGMTA_AT(resolver.cache.negative_ttl_max), seconds(1), hours(24)},
     .meaning = "That there is no such name, or no such record, is kept no longer than this "
                "(RFC 2308)."},
    {.section = "dns.cache",
     .name = "failure_ttl",
     .kind = Duration{RINGMTA_AT(resolver.cache.failure_ttl), seconds(1), hours(1)},
     .meaning = "That no server could say is kept for so long."},

    {.section = "ring",
     .name = "entries",
     .kind = Whole{RINGMTA_AT(io.entries), 64, 16384}.power_of_two_only(),
     .meaning = "Operations that one turn of a shard can submit; the completion queue has four "
                "times as many."},
    {.section = "ring",
     .name = "receive_buffers",
     .kind = Whole{RINGMTA_AT(io.receive_buffers), 64, 32768}.power_of_two_only(),
     .meaning = "Receive buffers per shard, at most. They are taken into use as needed, 64 first."},
    {.section = "ring",
     .name = "receive_buffer_size",
     .kind = Size{Whole{RINGMTA_AT(io.receive_buffer_size), 4096, 1 << 20}.power_of_two_only()},
     .meaning = "Of each."},
    {.section = "ring",
     .name = "streams_max",
     .kind = Whole{RINGMTA_AT(io.streams_max), 64, 1 << 20},
     .meaning = "Open sockets per shard. There must be room for `[server] sessions_max` and "
                "`[client] connections_max` together."},
    {.section = "ring",
     .name = "datagrams_max",
     .kind = Whole{RINGMTA_AT(io.datagrams_max), 64, 65536},
     .meaning = "Open datagram sockets per shard: questions to DNS servers."},
    {.section = "ring",
     .name = "linger_max",
     .kind = Duration{RINGMTA_AT(io.linger_max), {0}, minutes(1)},
     .meaning = "How long a closing connection waits for the peer's end, so that the last reply "
                "is not lost to a reset."},
};

}  // namespace

std::span<const Key> relay_keys() { return kKeys; }

}  // namespace ringmta::config
