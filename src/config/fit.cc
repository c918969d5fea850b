// SPDX-License-Identifier: GPL-3.0-or-later
// What follows from other settings or from the machine, unless the file says it itself.
#include <algorithm>

#include "checks.h"
#include "ringmta/base/bytes.h"
#include "ringmta/dns/name.h"

namespace ringmta::config {
namespace {

bool has_loopback(const Network& network) {
  return network.contains(*parse_socket_address("127.0.0.1", 0)) ||
         network.contains(*parse_socket_address("::1", 0));
}

// A longest wait that nobody wrote gives way to a first one that somebody did.
void fit_schedules(Settings& settings, const Problems& problems) {
  const auto fit = [&](queue::RetryOptions& retry, const char* longest, size_t element) {
    if (!problems.given(longest, element)) retry.longest = std::max(retry.longest, retry.first);
  };
  fit(settings.queue.retry, "retry.longest", 0);
  for (size_t i = 0; i < settings.queue.routes.size(); ++i) {
    auto& own = settings.queue.routes[i].retry;
    if (own) fit(*own, "route.retry.longest", i);
  }
  for (size_t i = 0; i < settings.queue.retry_rules.size(); ++i) {
    fit(settings.queue.retry_rules[i].retry, "retry.rule.longest", i);
  }
  for (size_t i = 0; i < settings.queue.site_retry_rules.size(); ++i) {
    fit(settings.queue.site_retry_rules[i].retry, "retry.site.longest", i);
  }
}

}  // namespace

uint64_t open_files_besides(const Machine& machine) {
  constexpr uint64_t kEnough = 256;
  return std::min(kEnough, machine.open_files_max / 4);
}

void share_out_open_files(Settings& settings, const Machine& machine) {
  if (machine.open_files_max == 0) return;
  const uint64_t shards = settings.shards;
  const uint64_t share = (machine.open_files_max - open_files_besides(machine)) / shards;
  uint32_t& in = settings.server.sessions_max;      // of all shards together
  uint32_t& out = settings.client.connections_max;  // of each
  if (in + out * shards <= share * shards) return;
  // Questions to the DNS are short; connections carry many messages, sessions often one.
  const auto dns = static_cast<uint32_t>(
      std::clamp<uint64_t>(share / 16, std::min<uint64_t>(4, share / 2), share / 2));
  settings.io.datagrams_max = std::min(settings.io.datagrams_max, std::max(1U, dns));
  const uint64_t streams = std::max<uint64_t>(2, share - dns);
  const auto least_out = static_cast<uint32_t>(std::clamp<uint64_t>(streams / 4, 1, out));
  in = static_cast<uint32_t>(std::min<uint64_t>(in, (streams - least_out) * shards));
  out = static_cast<uint32_t>(std::min<uint64_t>(out, streams - (in + shards - 1) / shards));
  // One shard may have all of the sessions.
  settings.io.streams_max = std::min(settings.io.streams_max, in + out);
}

uint64_t memory_at_limits(const Settings& settings) {
  const uint64_t contents =
      settings.spool.memory_max + settings.spool.memory_max / 4;  // hard limit
  const uint64_t buffers = uint64_t{settings.io.receive_buffers} * settings.io.receive_buffer_size;
  return settings.shards *
         (contents + buffers + settings.events.buffer_max + settings.resolver.cache.octets_max);
}

void fit_to_machine(Settings& settings, const Machine& machine, const Problems& problems) {
  if (settings.shards == 0) {
    const size_t processors = settings.cpus.empty() ? machine.cpus.size() : settings.cpus.size();
    settings.shards = static_cast<uint32_t>(std::clamp<size_t>(processors, 1, kShardsMax));
  }
  if (machine.memory != 0 && !problems.given("spool.memory_max")) {
    // As much again is for queue and sessions, the rest for what is counted below and the kernel.
    const uint64_t share = (machine.memory / 4 / settings.shards) >> 20 << 20;
    const uint64_t least = settings.server.session.message_size_max;
    settings.spool.memory_max = std::min(settings.spool.memory_max, std::max(share, least));
  }
  fit_schedules(settings, problems);
  auto& client = settings.client;
  // Nothing waits longer for a host to be tried again than for its own next attempt.
  const queue::RetryOptions& retry = settings.queue.retry;
  if (!problems.given("client.host_retry_after")) {
    client.host_retry_after = std::min(client.host_retry_after, retry.first);
    if (problems.given("client.host_retry_longest")) {
      client.host_retry_after = std::min(client.host_retry_after, client.host_retry_longest);
    }
  }
  if (!problems.given("client.host_retry_longest")) {
    client.host_retry_longest =
        std::max(std::min(client.host_retry_longest, retry.longest), client.host_retry_after);
  }
  auto& resolver = settings.resolver;
  if (!problems.given("dns.attempt_timeout_max")) {
    resolver.attempt_timeout_max = std::max(resolver.attempt_timeout_max, resolver.attempt_timeout);
  }
  settings.server.expire_after = settings.queue.retry.expire_after;
  settings.server.session.hostname = settings.hostname;
  settings.client.session.hostname = settings.hostname;
  settings.queue.hostname = settings.hostname;
  settings.mx.own_names = {settings.hostname};
  if (settings.client.deliver_to_loopback) {
    std::erase_if(settings.mx.refused_addresses, has_loopback);
  }
  for (queue::Route& route : settings.queue.routes) {
    for (std::string& domain : route.domains) domain = dns::domain_key(domain);
  }
  fit_tls_out(settings);
  for (queue::RetryRule& rule : settings.queue.retry_rules) {
    for (std::string& domain : rule.domains) domain = dns::domain_key(domain);
  }
  for (queue::SiteRetryRule& rule : settings.queue.site_retry_rules) {
    for (std::string& host : rule.hosts) host = lower(host);
  }
}

}  // namespace ringmta::config
