// SPDX-License-Identifier: GPL-3.0-or-later
// When a connection is opened, whereto, and what follows when it cannot be.
//
// The insight: the number of connections a site may have now (its window) begins at one and grows
// by one with each connection that came up and each transaction that went through, so it doubles
// per round trip where all is well. A site that is down sees a single probe, one just back a single
// connection until a transaction has gone through. A peer that refuses more connections while it
// serves others shrinks the window to those and is asked again later.
//
// How it fails: a host that cannot be reached, or is lost before it had the content of its first
// message, is skipped for a growing while and the next one tried, each once and up to
// hosts_tried_max in a row; then, or when none is left, the queue is told (site_failed) and holds
// the site's mail. Trouble of our own (no descriptors, no memory) is not held against a host.
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "pools_impl.h"

namespace ringmta::client {
namespace {

constexpr Milliseconds kShortage = seconds(1);      // of our own: then it is tried again
constexpr Milliseconds kFirstHold = seconds(1);     // after a refusal by a host that serves others
constexpr Milliseconds kNoHostsRetry = seconds(5);  // a site without any address (yet)
constexpr uint32_t kDoublingsMax = 16;

enum class Reach : uint8_t { unicast, unspecified, group };

Reach reach_of(const SocketAddress& address) {
  if (address.family() == AF_INET) {
    sockaddr_in inet{};
    std::memcpy(&inet, &address.storage, sizeof inet);
    const uint32_t value = ntohl(inet.sin_addr.s_addr);
    if (value >> 24 == 0) return Reach::unspecified;
    return value >> 28 == 0xE || value == 0xFFFF'FFFF ? Reach::group : Reach::unicast;
  }
  if (address.family() == AF_INET6) {
    sockaddr_in6 inet{};
    std::memcpy(&inet, &address.storage, sizeof inet);
    if (IN6_IS_ADDR_UNSPECIFIED(&inet.sin6_addr)) return Reach::unspecified;
    if (IN6_IS_ADDR_MULTICAST(&inet.sin6_addr)) return Reach::group;
  }
  return Reach::unicast;
}

bool same_machine(SocketAddress a, SocketAddress b) {
  a.set_port(0);
  b.set_port(0);
  return a == b;
}

}  // namespace

// ---- may it be done

bool Pools::Impl::may_open(SitePool& site) {
  if (stopping || now() < site.held_until) {
    no_longer_waiting(site);  // what it cannot use now must not keep others waiting
    return false;
  }
  uint32_t limit = queue.site(site.id).local_share;
  // Jobs were lent to us as the site's home: it has at least one connection somewhere.
  if (limit == 0 && !site.lent.empty()) limit = 1;
  if (site.connections >= std::min(limit, site.window)) {
    no_longer_waiting(site);
    return false;
  }
  const bool full = connections.size() >= connections.capacity();
  const SitePool* first = waiting.front();
  if (!full && (first == nullptr || first == &site)) return true;
  if (site.connections == 0) wait_for_room(site);
  return false;
}

// The shard has as many connections as it may. A site without any is next to get one.
void Pools::Impl::wait_for_room(SitePool& site) {
  if (!site.waiting.linked()) {
    waiting.push_back(site);
    ++waiting_sites;
  }
  while (retiring < waiting_sites) {
    Connection* oldest = idle.front();
    if (oldest == nullptr) return;  // the next one that ends a transaction makes room
    retire(*oldest);
  }
}

void Pools::Impl::no_longer_waiting(SitePool& site) {
  if (!site.waiting.linked()) return;
  site.waiting.unlink();
  --waiting_sites;
  if (SitePool* next = waiting.front(); next != nullptr) touch(*next);
}

void Pools::Impl::retire(Connection& connection) {
  connection.retiring = true;
  ++retiring;
  leave(connection);
}

bool Pools::Impl::open_more(SitePool& site, uint32_t wanted) {
  if (site.failed && !site.live() && now() < site.held_until) {
    fail_site(site);  // what became ready since is held as well
    return false;
  }
  bool opened_any = false;
  while (wanted-- > 0 && may_open(site) && open(site)) opened_any = true;
  return opened_any;
}

// ---- whereto

bool Pools::Impl::open(SitePool& site) {
  site.hosts.update(queue.site(site.id).hosts, sources);
  // While a connection is up nobody's mail waits for a row to end: who failed is probed in time.
  const Hosts::Among among{.below = preferred_to_ourselves(site),
                           .row = site.ready == 0 ? site.row : 0};
  while (true) {
    const bool enough = site.tried >= options.hosts_tried_max && !site.live();
    const std::shared_ptr<Host> host = site.hosts.choose(now(), random, among);
    if (host == nullptr || enough) {
      if (site.live()) return false;
      if (host == nullptr) site.end_row();  // otherwise the next one begins where this one stops
      if (site.hosts.size() == 0) {
        site.failed_for("no address of a host is known for " + queue.site(site.id).name);
        site.held_until = now() + std::min(kNoHostsRetry, options.host_retry_after);
      } else {
        site.held_until = site.hosts.next_chance();
        if (site.held_until <= now()) site.held_until = now() + options.host_retry_after;
      }
      fail_site(site);
      return false;
    }
    if (std::string reason = why_not(site, *host); !reason.empty()) {
      host_failed(site, *host);
      site.failed_for(std::move(reason));
      continue;
    }
    if (connect(site, host)) return true;
    if (now() < site.held_until) return false;
  }
}

bool Pools::Impl::connect(SitePool& site, const std::shared_ptr<Host>& host) {
  const SocketAddress& source =
      host->address.family() == AF_INET6 ? options.source6 : options.source4;
  ring::ConnectOptions how;
  if (source.length != 0 && host->address.family() != AF_UNIX) how.source = &source;
  const bool lmtp = queue.site(site.id).lmtp;
  SlotHandle slot;
  const smtp::ClientOpening opening = opening_for(security_of(site), *host);
  Connection* made = connections.take(slot, lmtp ? lmtp_session : options.session, opening);
  RINGMTA_ASSERT(made != nullptr && slot.index < kSiteBit);
  const Result<ring::StreamId> stream = loop.io().connect(host->address, how, client_token(slot));
  if (!stream) {
    connections.release(slot);
    ++counters.connect_failures;
    site.failed_for(host->text() + ": " + stream.error().message);
    if (is_our_shortage(stream.error().code)) {
      our_shortage(site, site.problem);
      return false;
    }
    host_failed(site, *host, is_unroutable(stream.error().code));
    return false;
  }
  loop.io().read(*stream);
  no_longer_waiting(site);
  if (site.tried == 0) site.crowded = false;
  made->slot = slot;
  made->stream = *stream;
  made->site = &site;
  made->host = host;
  made->may_fall_back = opening.starttls == smtp::StartTls::offered;
  made->opened_at = made->since = now();
  made->timer.token = client_token(slot);
  ++site.connections;
  ++site.opening;
  ++host->opening;
  ++counters.connecting;
  counters.connections = connections.size();
  set_deadline(*made);
  return true;
}

std::string Pools::Impl::why_not(const SitePool& site, const Host& host) const {
  const SocketAddress& address = host.address;
  if (address.family() == AF_UNIX) return {};
  switch (reach_of(address)) {
    case Reach::unspecified:
      return host.text() + " is not an address that can be delivered to";
    case Reach::group:
      return host.text() + " is a multicast or broadcast address";
    case Reach::unicast:
      break;
  }
  // Who names a loopback address in a route means it; who publishes one in DNS must not reach it.
  const bool found = queue.site(site.id).route == queue::kNoRoute;
  if (found && address.is_loopback() && !options.deliver_to_loopback) {
    return host.text() +
           " is a loopback address, and delivery to this machine itself is not permitted "
           "(deliver_to_loopback)";
  }
  if (is_own(address, {})) return host.text() + " is this relay itself: the mail would loop";
  return {};
}

// Where this relay is itself one of a domain's mail hosts, only those preferred to it may be spoken
// to: the others would send the mail back (RFC 5321 5.1).
uint32_t Pools::Impl::preferred_to_ourselves(SitePool& site) const {
  if (own_addresses.empty() || queue.site(site.id).route != queue::kNoRoute) return UINT32_MAX;
  const Host* ourselves =
      site.hosts.first_that([&](const Host& host) { return is_own(host.address, {}); });
  if (ourselves == nullptr) return UINT32_MAX;
  site.failed_for(ourselves->text() + " is this relay itself: the mail would loop");
  return ourselves->preference;
}

// Spares most connections the question for their own end.
bool Pools::Impl::may_be_own(const SocketAddress& peer) const {
  return std::any_of(own_addresses.begin(), own_addresses.end(), [&](const SocketAddress& own) {
    return own.family() == peer.family() && own.port() == peer.port();
  });
}

// Whether `peer` is where this relay listens. `local`: our end of a connection to it, which has the
// same address as the peer exactly when the peer is this machine; length 0: not connected yet.
bool Pools::Impl::is_own(const SocketAddress& peer, const SocketAddress& local) const {
  for (const SocketAddress& own : own_addresses) {
    if (own == peer) return true;
    if (local.length == 0 || own.port() != peer.port() || !same_machine(local, peer)) continue;
    if (own.family() == peer.family() && reach_of(own) == Reach::unspecified) return true;
  }
  return false;
}

// ---- what came of it

// Greeting, EHLO, TLS and authentication are through.
void Pools::Impl::opened(Connection& connection) {
  SitePool& site = *connection.site;
  const bool same_name =
      connection.session.has_our_name() && options.session.hostname != "localhost";
  // (Test set-ups have several programs of one name on one machine; an LMTP server is no relay.)
  if (same_name && !connection.host->address.is_loopback() && !queue.site(site.id).lmtp) {
    fail_opening(connection, connection.host->text() + " calls itself " + options.session.hostname +
                                 ", which is our own name: the mail would loop");
    return;
  }
  ++counters.opened;
  set_state(connection, Connection::State::ready);
  site.refusals = 0;
  site.held_until = {};
  if (site.failed) {  // its first transaction must show that it works before others follow
    site.failed = false;
    queue.site_recovered(site.id);
  } else if (site.window < UINT32_MAX) {
    ++site.window;
  }
  touch(connection);
  touch(site);
}

void Pools::Impl::our_shortage(SitePool& site, std::string_view reason) {
  warn(reason);
  site.held_until = now() + kShortage;
  touch(site);
}

// A connection could not be made, or ended before it was good for anything. (It is still counted at
// its host and site.)
void Pools::Impl::host_trouble(Connection& connection, std::string reason,
                               smtp::EnhancedStatus status, bool unroutable) {
  SitePool& site = *connection.site;
  site.failed_for(std::move(reason), status);
  if (const uint32_t others = others_served(connection); others > 0) {  // it wants no more of them
    site.window = others;
    const int64_t hold = kFirstHold.count << std::min(site.refusals++, kDoublingsMax);
    site.held_until = now() + std::min(Milliseconds{hold}, options.host_retry_after);
  } else {
    host_failed(site, *connection.host, unroutable);
  }
  touch(site);
}

// Other connections of ours that the host serves: it is well, whatever happens to this one.
uint32_t Pools::Impl::others_served(const Connection& connection) {
  if (!connection.host->proven) return 0;
  return connection.host->established - (connection.is_up() ? 1 : 0);
}

// Connections being made at the same time are one try of it. What is known at once to be
// unroutable cost nothing and is not counted.
void Pools::Impl::host_failed(SitePool& site, Host& host, bool unroutable) {
  host.failed(now(), {options.host_retry_after, options.host_retry_longest}, random);
  if (host.failed_in != site.row && !unroutable) ++site.tried;
  host.failed_in = site.row;
}

// The connection ends before it was good for anything: is there another host to do its work? Where
// there is, host_trouble() follows, so a row comes to its end.
bool Pools::Impl::next_host_left(const Connection& connection) const {
  SitePool& site = *connection.site;
  const Host& failing = *connection.host;
  if (stopping || connection.finished > 0 || others_served(connection) > 0) return false;
  const queue::Job* first = connection.jobs.front();
  if (first->expires.ns != 0 && first->expires <= now()) return false;  // not the host's fault
  const uint32_t tried = site.tried + (failing.failed_in != site.row ? 1 : 0);
  if (tried >= options.hosts_tried_max) return false;
  const uint32_t below = preferred_to_ourselves(site);
  const Host* next = site.hosts.first_that([&](const Host& host) {
    return &host != &failing && host.usable(now()) && host.failed_in != site.row &&
           host.preference < below && why_not(site, host).empty();
  });
  return next != nullptr;
}

// No host is left. The queue holds the site's mail until `held_until`; then one connection probes.
void Pools::Impl::fail_site(SitePool& site) {
  if (!site.failed) ++counters.site_failures;
  site.failed = true;
  site.work = false;
  site.window = 1;
  site.tried = 0;
  site.transaction_ns = INT64_MAX;
  const SitePool::Refusal& said = site.refusal;
  const queue::SiteTrouble trouble =
      said.code != 0 ? queue::SiteTrouble{said.text, said.status, said.code, said.phase, said.host}
                     : queue::SiteTrouble{.text = site.problem, .status = site.problem_status};
  queue.site_failed(site.id, trouble, site.held_until, site.crowded);
  refuse_lent(site, queue::Verdict::deferred, site.problem, site.problem_status);
}

}  // namespace ringmta::client
