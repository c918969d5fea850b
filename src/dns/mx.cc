// SPDX-License-Identifier: GPL-3.0-or-later
// Domains being resolved: first the MX records, then all hosts' A and AAAA at once. Each domain is
// one Resolution; what it waits for is counted down, and with the last answer it is settled.
//
// Or a little after the last answer that matters: some name servers never answer questions for AAAA
// (RFC 4074), and a host whose IPv4 addresses are known does not wait for that (the Resolution
// Delay of RFC 8305 3). Only this way round: a relay without IPv4 is rare, one without IPv6 is not,
// and to it a host with only an AAAA is none.
#include "ringmta/dns/mx.h"

#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <utility>

#include "mx_route.h"
#include "ringmta/base/interfaces.h"
#include "ringmta/base/slot_pool.h"
#include "siphash.h"

namespace ringmta::dns {
namespace {

constexpr int kHandedOutPerRun = 1024;
constexpr Milliseconds kSettledWithoutDns = hours(1);  // literals and names that need no question
constexpr Milliseconds kOverloadedFor = seconds(5);
// After a resolution that did not wait for an AAAA: by then most that are merely late have come.
constexpr Milliseconds kLateAgain = seconds(3);

struct Resolution;

struct HostLookup {
  Lookup lookup;
  Resolution* resolution = nullptr;
  uint32_t host = 0;
  bool answered = false;
  Monotonic failed_until = Monotonic::never();  // the answer was that nobody could say
};

struct Resolution {
  std::unique_ptr<MxQuery> query;
  SlotHandle slot{};
  void* resolver = nullptr;
  Name domain;
  Lookup mx;
  std::vector<FoundHost> hosts;
  std::vector<HostLookup> lookups;  // never resized once they are under way
  uint32_t pending = 0;
  bool implicit = false;
  Failure failure = Failure::none;
  Monotonic expires = Monotonic::never();  // the first of what is known
  ListLink late;                           // on the list of those that wait no more than ...
  Monotonic settle_at{};                   // ... until then
};

// RFC 6761 6.3, 6.4 and RFC 7686: names the DNS is not to be asked for.
bool is_under(const Name& name, std::string_view top) { return name.is_within(*Name::parse(top)); }

}  // namespace

struct MxResolver::Impl {
  void admit(std::unique_ptr<MxQuery> query, const Name& domain);
  void on_mx(Resolution& resolution, const RecordSet& mx);
  void look_up_hosts(Resolution& resolution);
  void on_host(HostLookup& lookup, const RecordSet& records);
  bool only_late_ones_pending(const Resolution& resolution) const;
  void settle_late_ones();
  void complete(Resolution& resolution);
  void finish(std::unique_ptr<MxQuery> query, Monotonic expires,
              Monotonic again = Monotonic::never());
  void settle_localhost(MailRoute& route) const;

  Resolver& resolver;
  ring::Io& io;
  const MxOptions options;
  void* self;
  Done done;
  MxCounters counters;
  SlotPool<Resolution, 64> resolutions;
  IntrusiveList<MxQuery, &MxQuery::link> waiting;     // owned
  IntrusiveList<MxQuery, &MxQuery::link> finished;    // owned
  IntrusiveList<Resolution, &Resolution::late> late;  // the first to be settled first
};

MxResolver::MxResolver(Resolver& resolver, ring::Io& io, const MxOptions& options, void* self,
                       Done done)
    : impl_(new Impl{resolver,
                     io,
                     options,
                     self,
                     done,
                     {},
                     SlotPool<Resolution, 64>(options.active_max),
                     {},
                     {},
                     {}}) {}

MxResolver::~MxResolver() {
  impl_->resolutions.for_each([](Resolution& resolution, SlotHandle) {
    resolution.late.unlink();
    Resolver::cancel(resolution.mx);
    for (HostLookup& one : resolution.lookups) Resolver::cancel(one.lookup);
  });
  while (MxQuery* query = impl_->waiting.pop_front()) delete query;
  while (MxQuery* query = impl_->finished.pop_front()) delete query;
}

const MxCounters& MxResolver::counters() const { return impl_->counters; }

void MxResolver::ask(std::unique_ptr<MxQuery> query) {
  Impl& impl = *impl_;
  ++impl.counters.asked;
  MailRoute& route = query->route;
  route = {};
  const Monotonic later = impl.io.now() + kSettledWithoutDns;
  if (query->domain.starts_with('[')) {
    settle_literal(route, query->domain, impl.options);
    impl.finish(std::move(query), later);
    return;
  }
  const Result<Name> domain = mail_domain(query->domain);
  if (!domain) {
    refuse(route, kBadDomain, domain.error().message);
    impl.finish(std::move(query), later);
    return;
  }
  route.domain = domain->text();
  if (is_under(*domain, "invalid") || is_under(*domain, "onion")) {
    refuse(route, kNoSuchDomain, fmt::format("there is no domain {}", route.domain));
    impl.finish(std::move(query), later);
    return;
  }
  if (is_under(*domain, "localhost")) {
    impl.settle_localhost(route);
    impl.finish(std::move(query), later);
    return;
  }
  if (impl.resolutions.size() < impl.resolutions.capacity()) {
    impl.admit(std::move(query), *domain);
  } else if (impl.counters.waiting < impl.options.waiting_max) {
    impl.waiting.push_back(*query.release());
    ++impl.counters.waiting;
  } else {
    defer(route, Failure::overloaded);
    impl.finish(std::move(query), impl.io.now() + kOverloadedFor);
  }
}

void MxResolver::Impl::settle_localhost(MailRoute& route) const {
  FoundHost host{*Name::parse(route.domain), 0, {}};
  if (options.inet6) host.addresses.push_back(*parse_socket_address("::1", options.port));
  if (options.inet4) host.addresses.push_back(*parse_socket_address("127.0.0.1", options.port));
  settle(route, {std::move(host)}, true, Failure::none, options);
}

void MxResolver::Impl::admit(std::unique_ptr<MxQuery> query, const Name& domain) {
  SlotHandle slot;
  Resolution* resolution = resolutions.take(slot);
  RINGMTA_ASSERT(resolution != nullptr);
  counters.active = resolutions.size();
  resolution->slot = slot;
  resolution->query = std::move(query);
  resolution->resolver = this;
  resolution->domain = domain;
  resolution->mx.self = resolution;
  resolution->mx.done = [](void* to, Lookup&, const RecordSet& records) {
    auto& of = *static_cast<Resolution*>(to);
    static_cast<Impl*>(of.resolver)->on_mx(of, records);
  };
  const std::optional<RecordSet> known = resolver.lookup(domain, RecordType::mx, resolution->mx);
  if (known) on_mx(*resolution, *known);
}

void MxResolver::Impl::on_mx(Resolution& resolution, const RecordSet& mx) {
  MailRoute& route = resolution.query->route;
  resolution.expires = mx.expires;
  switch (mx.fate) {
    case Fate::failed:
      defer(route, mx.failure);
      break;
    case Fate::no_such_name:
      refuse(route, kNoSuchDomain, fmt::format("there is no domain {}", route.domain));
      break;
    case Fate::no_data:
      resolution.implicit = true;
      resolution.hosts.push_back({resolution.domain, 0, {}});
      look_up_hosts(resolution);
      return;
    case Fate::found:
      resolution.hosts = usable_hosts(mx, options);
      if (!resolution.hosts.empty()) {
        look_up_hosts(resolution);
        return;
      }
      if (is_null_mx(mx)) {
        refuse(route, kNullMx,
               fmt::format("{} says that it takes no mail (null MX)", route.domain));
      } else {
        refuse(route, kNoRoute,
               fmt::format("{} names no mail host that could exist", route.domain));
      }
      break;
  }
  const SlotHandle slot = resolution.slot;
  finish(std::move(resolution.query), resolution.expires);
  resolutions.release(slot);
}

void MxResolver::Impl::look_up_hosts(Resolution& resolution) {
  const size_t families = (options.inet4 ? 1U : 0U) + (options.inet6 ? 1U : 0U);
  resolution.lookups = std::vector<HostLookup>(resolution.hosts.size() * families);
  resolution.pending = static_cast<uint32_t>(resolution.lookups.size()) + 1;  // one for ourselves
  size_t next = 0;
  for (uint32_t host = 0; host < resolution.hosts.size(); ++host) {
    for (const RecordType type : {RecordType::aaaa, RecordType::a}) {
      if (type == RecordType::aaaa ? !options.inet6 : !options.inet4) continue;
      HostLookup& one = resolution.lookups[next++];
      one.resolution = &resolution;
      one.host = host;
      one.lookup.self = &one;
      one.lookup.done = [](void* to, Lookup&, const RecordSet& records) {
        auto& of = *static_cast<HostLookup*>(to);
        static_cast<Impl*>(of.resolution->resolver)->on_host(of, records);
      };
      const std::optional<RecordSet> known =
          resolver.lookup(resolution.hosts[host].name, type, one.lookup);
      if (known) on_host(one, *known);
    }
  }
  if (--resolution.pending == 0) complete(resolution);
}

void MxResolver::Impl::on_host(HostLookup& lookup, const RecordSet& records) {
  Resolution& resolution = *lookup.resolution;
  lookup.answered = true;
  if (records.fate == Fate::failed) {
    resolution.failure = records.failure;
    lookup.failed_until = records.expires;
  } else {
    resolution.expires = std::min(resolution.expires, records.expires);
  }
  FoundHost& host = resolution.hosts[lookup.host];
  RecordReader reader(records.packed);
  for (uint32_t count = 0; count < options.addresses_per_host_max; ++count) {
    const std::optional<Bytes> data = reader.next();
    if (!data) break;
    host.addresses.push_back(read_address(records.type, *data, options.port));
  }
  if (--resolution.pending == 0) {
    complete(resolution);
  } else if (!resolution.late.linked() && only_late_ones_pending(resolution)) {
    resolution.settle_at = io.now() + kLateFamilyWait;
    late.push_back(resolution);
    resolver.wake_at(late.front()->settle_at);
  }
}

// Each host has an IPv4 address that may be used, or nothing of it is awaited.
bool MxResolver::Impl::only_late_ones_pending(const Resolution& resolution) const {
  return std::ranges::all_of(resolution.lookups, [&](const HostLookup& one) {
    return one.answered || has_inet4(resolution.hosts[one.host], options);
  });
}

// Whose time has come. What they did not wait for goes into the cache when it comes.
void MxResolver::Impl::settle_late_ones() {
  while (Resolution* first = late.front()) {
    if (first->settle_at > io.now()) {
      resolver.wake_at(first->settle_at);
      return;
    }
    complete(*first);
  }
}

// A family that is missing does not shorten the time for which the host's other addresses are
// known, it is only asked for again ahead of it. A host of which nothing is known does: mail must
// not stay with the less preferred ones.
void MxResolver::Impl::complete(Resolution& resolution) {
  resolution.late.unlink();
  Monotonic again = Monotonic::never();
  for (HostLookup& one : resolution.lookups) {
    if (!one.answered) {
      Resolver::cancel(one.lookup);
      resolution.failure = Failure::timed_out;
      again = std::min(again, io.now() + kLateAgain);
    } else if (resolution.hosts[one.host].addresses.empty()) {
      resolution.expires = std::min(resolution.expires, one.failed_until);
    } else {
      again = std::min(again, one.failed_until);
    }
  }
  settle(resolution.query->route, std::move(resolution.hosts), resolution.implicit,
         resolution.failure, options);
  if (resolution.query->route.kind != MailRoute::Kind::hosts) {
    resolution.expires = std::min(resolution.expires, again);
  }
  const SlotHandle slot = resolution.slot;
  finish(std::move(resolution.query), resolution.expires, again);
  resolutions.release(slot);
}

// `again`: something is missing that may be there by then.
void MxResolver::Impl::finish(std::unique_ptr<MxQuery> query, Monotonic expires, Monotonic again) {
  MailRoute& route = query->route;
  switch (route.kind) {
    case MailRoute::Kind::hosts:
      ++counters.hosts;
      break;
    case MailRoute::Kind::deferred:
      ++counters.deferred;
      break;
    case MailRoute::Kind::refused:
      ++counters.refused;
      break;
  }
  route.valid_until = expires;
  // The cache's own rule: the last tenth.
  const Milliseconds left = expires - io.now();
  route.refresh_from = std::min(expires + Milliseconds{-(left.count / 10)}, again);
  finished.push_back(*query.release());
}

bool MxResolver::run() {
  Impl& impl = *impl_;
  while (!impl.waiting.empty() && impl.resolutions.size() < impl.resolutions.capacity()) {
    std::unique_ptr<MxQuery> query(impl.waiting.pop_front());
    --impl.counters.waiting;
    const Name domain = *Name::parse(query->route.domain);
    impl.admit(std::move(query), domain);
  }
  impl.settle_late_ones();
  impl.counters.active = impl.resolutions.size();
  for (int count = 0; count < kHandedOutPerRun; ++count) {
    MxQuery* query = impl.finished.pop_front();
    if (query == nullptr) break;
    impl.done(impl.self, std::unique_ptr<MxQuery>(query));
  }
  return !impl.finished.empty();
}

ShardId home_shard(std::string_view domain, uint32_t shards) {
  RINGMTA_ASSERT(shards > 0);
  char lower[Name::kOctetsMax];
  const size_t length = std::min(domain.size(), sizeof lower);
  std::transform(domain.begin(), domain.begin() + static_cast<ptrdiff_t>(length), lower,
                 ascii_lower);
  return {static_cast<uint16_t>(siphash({1, 2}, as_bytes({lower, length})) % shards)};
}

std::vector<Network> never_mail_hosts() {
  std::vector<Network> networks;
  for (const char* text :
       {"0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3",  // 224/4 and 240/4
        "::/128", "::1/128", "fe80::/10", "ff00::/8"}) {
    networks.push_back(*Network::parse(text));
  }
  return networks;
}

std::vector<Network> addresses_of_this_machine() {
  std::vector<Network> networks;
  for (const SocketAddress& address : interface_addresses()) {
    if (auto network = Network::parse(address.host_text())) networks.push_back(*network);
  }
  return networks;
}

}  // namespace ringmta::dns
