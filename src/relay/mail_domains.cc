// SPDX-License-Identifier: GPL-3.0-or-later
// Questions and answers about mail domains, between this shard's queue, its resolver, and the home
// shards of domains.

#include "mail_domains.h"

#include "ringmta/base/interfaces.h"
#include "ringmta/base/log.h"
#include "ringmta/dns/resolv_conf.h"

namespace ringmta::relay {

namespace {

queue::Resolution resolution_of(const dns::MailRoute& route) {
  queue::Resolution found;
  found.until = route.valid_until;
  found.refresh_from = route.refresh_from;
  switch (route.kind) {
    case dns::MailRoute::Kind::hosts:
      found.kind = queue::Resolution::Kind::hosts;
      found.site = route.site_key;
      for (const dns::MailHost& host : route.hosts) {
        for (const SocketAddress& address : host.addresses) {
          found.hosts.push_back({host.name, address, host.preference});
        }
      }
      return found;
    case dns::MailRoute::Kind::deferred:
      found.kind = queue::Resolution::Kind::temporary;
      break;
    case dns::MailRoute::Kind::refused:
      found.kind = queue::Resolution::Kind::permanent;
      break;
  }
  // No SMTP reply is behind these: `code` stays 0, the enhanced status says what it is.
  found.status = route.status;
  found.text = route.reason;
  return found;
}

bool listens_on(const config::Settings& settings, uint32_t port) {
  for (const SocketAddress& listener : settings.server.listeners) {
    if (listener.port() == port) return true;
  }
  return false;
}

}  // namespace

MailDomains::MailDomains(shard::Loop& loop, const config::Settings& settings, Exchange& exchange,
                         ShardId id)
    : exchange_(exchange),
      id_(id),
      shards_(settings.shards),
      resolver_(loop, settings.resolver),
      mx_(resolver_, loop.io(), settings.mx, this,
          [](void* self, std::unique_ptr<dns::MxQuery> query) {
            static_cast<MailDomains*>(self)->answered(std::move(query));
          }) {}

void MailDomains::resolve(std::string_view domain) {
  auto query = std::make_unique<dns::MxQuery>();
  query->domain = domain;
  query->asker = id_;
  const ShardId home = dns::home_shard(domain, shards_);
  if (home == id_) {
    mx_.ask(std::move(query));
  } else {
    exchange_.post(id_, home, {Letter::Kind::question, query.release()});
  }
}

void MailDomains::question(std::unique_ptr<dns::MxQuery> question) { mx_.ask(std::move(question)); }

void MailDomains::answered(std::unique_ptr<dns::MxQuery> query) {
  if (query->asker == id_) {
    answer(*query);
  } else {
    const ShardId asker = query->asker;
    exchange_.post(id_, asker, {Letter::Kind::answer, query.release()});
  }
}

void MailDomains::answer(const dns::MxQuery& answer) {
  queue_->domain_resolved(answer.domain, resolution_of(answer.route));
}

bool MailDomains::run() {
  const bool more = resolver_.run();
  return mx_.run() || more;
}

std::vector<std::string> find_dns_servers(config::Settings& settings) {
  std::vector<SocketAddress>& servers = settings.resolver.servers;
  std::vector<std::string> ignored;
  if (!servers.empty()) return ignored;
  dns::ResolvConf conf = dns::system_resolv_conf();
  for (const std::string& line : conf.ignored) {
    log(LogLevel::warning, "{}", ignored.emplace_back(fmt::format("/etc/resolv.conf: {}", line)));
  }
  servers = std::move(conf.servers);
  return ignored;
}

void complete_dns_settings(config::Settings& settings) {
  find_dns_servers(settings);
  settings.client.machine_addresses = interface_addresses();
  dns::MxOptions& mx = settings.mx;
  if (listens_on(settings, mx.port)) mx.own_addresses = dns::addresses_of_this_machine();
}

}  // namespace ringmta::relay
