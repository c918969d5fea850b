// SPDX-License-Identifier: GPL-3.0-or-later
// Questions, from the wish to know to the answer handed out: the table in which equal ones meet,
// who is asked when, what an answer means.
#include "ringmta/dns/resolver.h"

#include <algorithm>
#include <bit>

#include "resolver_impl.h"
#include "siphash.h"

namespace ringmta::dns {
namespace {

constexpr uint32_t kNobody = UINT32_MAX;
constexpr int kHandedOutPerRun = 1024;
constexpr Milliseconds kOverloadedFor = seconds(5);
constexpr int kPartShift = 30;

CacheOptions with_secret(CacheOptions options, ring::Io& io) {
  for (uint64_t& word : options.hash_seed) word = io.secure_random();
  return options;
}

}  // namespace

ring::Token dns_token(Part part, SlotHandle slot) {
  RINGMTA_ASSERT(slot.index >> kPartShift == 0);
  slot.index |= static_cast<uint32_t>(part) << kPartShift;
  return ring::Token::make(shard::kind(shard::Owner::dns), slot);
}
Part part_of(ring::Token token) { return static_cast<Part>(token.index() >> kPartShift); }
SlotHandle slot_of(ring::Token token) {
  SlotHandle slot = token.slot();
  slot.index &= (uint32_t{1} << kPartShift) - 1;
  return slot;
}

Resolver::Impl::Impl(shard::Loop& on, const ResolverOptions& chosen)
    : loop(on),
      io(on.io()),
      options(chosen),
      cache(with_secret(chosen.cache, on.io())),
      queries(chosen.queries_max + chosen.waiting_max),
      buckets(std::bit_ceil(std::max<uint32_t>(chosen.queries_max, 64)) * 2, kNobody),
      sockets(UINT32_MAX),
      connections(chosen.tcp_connections_max) {
  servers.set(chosen.servers);
  pool.resize(servers.size());
  admission.token = dns_token(Part::turn, SlotHandle{});
  alarm.token = dns_token(Part::turn, SlotHandle{});
}

Resolver::Impl::~Impl() {
  admission.link.unlink();
  alarm.link.unlink();
  queries.for_each([](Query& query, SlotHandle) {
    query.timer.link.unlink();
    while (query.waiters.pop_front() != nullptr) {
    }
  });
  sockets.for_each([&](UdpSocket& socket, SlotHandle) { io.close_datagram(socket.id); });
  connections.for_each([&](TcpConnection& connection, SlotHandle) {
    connection.idle.link.unlink();
    io.close(connection.stream, ring::CloseMode::abort);
  });
}

// ---- the table

Query* Resolver::Impl::find_query(const Name& name, RecordType type, uint64_t hash) {
  for (uint32_t i = buckets[hash & (buckets.size() - 1)]; i != kNobody;) {
    Query& query = *queries.at_index(i);
    if (query.hash == hash && query.type == type && query.key == name) return &query;
    i = query.next_in_bucket;
  }
  return nullptr;
}

Query* Resolver::Impl::new_query(const Name& name, RecordType type, uint64_t hash) {
  SlotHandle slot;
  Query* query = queries.take(slot, name, type);
  if (query == nullptr) return nullptr;
  ++counters.questions;
  query->slot = slot;
  query->hash = hash;
  query->timer.token = dns_token(Part::query, slot);
  uint32_t& head = buckets[hash & (buckets.size() - 1)];
  query->next_in_bucket = head;
  head = slot.index;
  return query;
}

void Resolver::Impl::forget(Query& query) {
  uint32_t* place = &buckets[query.hash & (buckets.size() - 1)];
  while (*place != query.slot.index) place = &queries.at_index(*place)->next_in_bucket;
  *place = query.next_in_bucket;
}

// ---- asking

// May another question be asked now?
bool Resolver::Impl::admits() { return pace.admits(io.now()) && make_way(); }

// Room among those under way, by the oldest giving way if it has had its time.
bool Resolver::Impl::make_way() {
  if (counters.in_flight < options.queries_max) return true;
  Query* oldest = in_flight.front();
  if (io.now() - oldest->started < options.slow_after) return false;
  ++counters.gave_way;
  finish(*oldest, Fate::failed, Failure::timed_out);
  return true;
}

void Resolver::Impl::start(Query& query) {
  if (waiting.empty() && admits()) {
    begin(query);
    return;
  }
  waiting.push_back(query);
  ++counters.waiting;
}

void Resolver::Impl::begin(Query& query) {
  in_flight.push_back(query);
  ++counters.in_flight;
  query.state = Query::State::udp;
  query.started = io.now();
  query.deadline = query.started + options.query_timeout;
  pace.asked();
  if (!ask_next(query, false)) finish(query, Fate::failed, Failure::unreachable);
}

// The next attempt over UDP, at a server not tried yet, or, if that may be, at any. False: there is
// nobody left to ask.
bool Resolver::Impl::ask_next(Query& query, bool may_repeat) {
  if (query.attempts_used >= kAttemptsMax) return false;
  for (;;) {
    uint8_t server = servers.choose(query.tried, io.now());
    if (server == Servers::kNone && may_repeat) {
      may_repeat = false;
      query.tried = 0;
      server = servers.choose(0, io.now());
    }
    if (server == Servers::kNone) return false;
    query.tried |= 1U << server;
    if (ask_over_udp(query, server)) return true;
    servers.was_silent(server, io.now());
    query.failure = Failure::unreachable;
  }
}

// An attempt came to nothing before its time: the next server, or wait for those still open.
void Resolver::Impl::attempt_failed(Query& query, Failure failure) {
  query.failure = failure;
  if (ask_next(query, false) || has_open_attempts(query)) return;
  finish(query, Fate::failed, failure);
}

void Resolver::Impl::on_timer(Query& query) {
  const Monotonic now = io.now();
  if (query.state == Query::State::tcp) {
    if (query.has_connection) servers.was_silent(query.tcp_server, now);
    ++counters.timeouts;
    leave_connection(query);
    query.state = Query::State::udp;
    if (now < query.deadline && ask_next(query, false)) return;
    finish(query, Fate::failed, Failure::timed_out);
    return;
  }
  ++counters.timeouts;
  if (query.attempts_used > 0) {
    const Attempt& last = query.attempts[query.attempts_used - 1U];
    if (last.open) servers.was_silent(last.server, now);
  }
  if (now < query.deadline && ask_next(query, true)) return;
  const bool told = query.failure == Failure::refused || query.failure == Failure::malformed;
  finish(query, Fate::failed, told ? query.failure : Failure::timed_out);
}

bool Resolver::Impl::run() {
  for (int count = 0; count < kHandedOutPerRun; ++count) {
    Query* query = finished.pop_front();
    if (query == nullptr) break;
    hand_out(*query);
  }
  while (!waiting.empty() && admits()) {
    Query& query = *waiting.pop_front();
    --counters.waiting;
    begin(query);
  }
  if (!waiting.empty()) {
    const bool full = counters.in_flight >= options.queries_max;
    loop.timers().arm(admission,
                      full ? in_flight.front()->started + options.slow_after : pace.next());
  }
  return !finished.empty();
}

// ---- what others see

Resolver::Resolver(shard::Loop& loop, const ResolverOptions& options)
    : impl_(std::make_unique<Impl>(loop, options)) {}
Resolver::~Resolver() = default;

std::optional<RecordSet> Resolver::lookup(const Name& name, RecordType type, Lookup& lookup) {
  Impl& impl = *impl_;
  ++impl.counters.lookups;
  const uint64_t hash = impl.cache.hash(name, type);
  const std::optional<Cache::Hit> hit = impl.cache.find(name, type, hash, impl.io.now());
  if (hit) {
    const bool room = impl.counters.in_flight < impl.options.queries_max / 2;
    if (hit->prefetch && room && impl.find_query(name, type, hash) == nullptr) {
      if (Query* query = impl.new_query(name, type, hash); query != nullptr) {
        query->is_refreshment = true;
        impl.start(*query);
      }
    }
    return hit->records;
  }
  Query* query = impl.find_query(name, type, hash);
  if (query != nullptr) {
    ++impl.counters.coalesced;
    query->waiters.push_back(lookup);
    return std::nullopt;
  }
  query =
      impl.counters.waiting < impl.options.waiting_max ? impl.new_query(name, type, hash) : nullptr;
  if (query == nullptr) {
    ++impl.counters.overloaded;
    return RecordSet{Fate::failed, Failure::overloaded,           type, 0,
                     {},           impl.io.now() + kOverloadedFor};
  }
  query->waiters.push_back(lookup);
  impl.start(*query);
  return std::nullopt;
}

void Resolver::on_event(const ring::Event& event) {
  const SlotHandle slot = slot_of(event.token);
  switch (part_of(event.token)) {
    case Part::turn:
      return;
    case Part::query:
      if (Query* query = impl_->queries.find(slot)) impl_->on_timer(*query);
      return;
    case Part::socket:
      if (UdpSocket* socket = impl_->sockets.find(slot)) impl_->on_datagram(*socket, event);
      return;
    case Part::connection:
      if (TcpConnection* connection = impl_->connections.find(slot)) {
        impl_->on_stream(*connection, event);
      }
      return;
  }
}

bool Resolver::run() { return impl_->run(); }

void Resolver::wake_at(Monotonic time) {
  ring::Timer& alarm = impl_->alarm;
  if (!alarm.armed() || time < alarm.due) impl_->loop.timers().arm(alarm, time);
}

void Resolver::set_servers(const std::vector<SocketAddress>& servers) {
  Impl& impl = *impl_;
  impl.queries.for_each([](Query& query, SlotHandle) {
    query.tried = 0;
    query.tcp_server = Servers::kNone;
    for (Attempt& attempt : query.attempts) attempt.server = Servers::kNone;
  });
  impl.sockets.for_each([&](UdpSocket& socket, SlotHandle) {
    socket.server = Servers::kNone;
    if (!socket.retired) impl.retire(socket);
  });
  impl.connections.for_each([&](TcpConnection& connection, SlotHandle) {
    connection.server = Servers::kNone;
    if (!connection.busy) impl.close(connection, ring::CloseMode::graceful);
  });
  impl.servers.set(servers);
  impl.pool.assign(impl.servers.size(), {});
}

std::vector<Resolver::ServerState> Resolver::servers() const {
  std::vector<ServerState> states;
  for (const Server& server : impl_->servers.all()) {
    states.push_back({server.address, static_cast<double>(server.round_trip_us) / 1000,
                      server.down_until > impl_->io.now(), server.sent, server.answered,
                      server.timeouts});
  }
  return states;
}

const ResolverCounters& Resolver::counters() const { return impl_->counters; }
const CacheCounters& Resolver::cache_counters() const { return impl_->cache.counters(); }

}  // namespace ringmta::dns
