// SPDX-License-Identifier: GPL-3.0-or-later
// What the queue costs when it is long: memory per recipient, and the time a live message takes
// through add(), next_job() and job_done() while others, up to ten million, wait for dead sites.
// The claim: neither depends on how many wait.
//
// Below the queue stands a spool that keeps nothing but a slot of 64 octets per message, so what is
// measured is the queue. Time is simulated; nothing sleeps.
//
//   bench_queue                                  all
//   bench_queue --benchmark_filter=Memory        octets per recipient at 1e5, 1e6, 1e7
//   bench_queue --benchmark_filter=Live          ns per live message behind a dead queue
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <memory>
#include <string>
#include <vector>

#include "ringmta/base/slot_pool.h"
#include "ringmta/queue/queue.h"
#include "ringmta/sim/world.h"

namespace ringmta::spool {

// ---- the spool that keeps nothing

namespace {

constexpr std::string_view kContent = "Subject: x\r\n\r\ntext\r\n.\r\n";

struct BenchHead {
  MessageHead head;
  std::vector<smtp::RecipientView> recipients;
  std::string sender, address, tenant;
};
std::vector<std::unique_ptr<BenchHead>> heads;  // by the lower 32 bits of a message's id

struct BenchSlot {
  uint64_t id = 0;
  std::byte room[40] = {};  // with the slot's own 12, what the real spool may take
};
static_assert(sizeof(BenchSlot) == 48);

}  // namespace

struct Spool::Impl {
  SlotPool<BenchSlot, 1024> slots{UINT32_MAX};
  SpoolCounters counters;
  uint64_t next = 0;
};

Spool::Spool(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Spool::~Spool() = default;
Result<std::unique_ptr<Spool>> Spool::create(ring::Io&, const SpoolOptions&, Recovery*,
                                             ring::Token) {
  return std::unique_ptr<Spool>(new Spool(std::make_unique<Impl>()));
}
bool Spool::accepting() const { return true; }
bool Spool::memory_exhausted() const { return false; }
MessageId Spool::next_id() { return {++impl_->next << 32}; }
StoredHandle Spool::store(MessageId id, const MessageHead&, std::string_view,
                          std::span<const std::string_view>, uint64_t) {
  StoredHandle handle;
  impl_->slots.take(handle)->id = id.value;
  return handle;
}
void Spool::record_states(StoredHandle, std::span<const RecipientState>) {}
void Spool::finish(StoredHandle message) { impl_->slots.release(message); }
bool Spool::in_memory(StoredHandle) const { return true; }
void Spool::pin(StoredHandle) {}
void Spool::unpin(StoredHandle) {}
void Spool::load(StoredHandle, uint64_t) {}
Bytes Spool::head(StoredHandle message) const {
  return {reinterpret_cast<const std::byte*>(
              heads[static_cast<uint32_t>(impl_->slots.get(message).id)].get()),
          sizeof(BenchHead)};
}
void Spool::parts(StoredHandle, bool, std::vector<iovec>& into) const {
  into.push_back({const_cast<char*>(kContent.data()), kContent.size()});
}
uint64_t Spool::wire_size(StoredHandle) const { return kContent.size(); }
MessageId Spool::id(StoredHandle message) const { return {impl_->slots.get(message).id}; }
std::optional<MessageHead> decode_head(Bytes bytes, std::vector<smtp::RecipientView>& into) {
  const auto& known = *reinterpret_cast<const BenchHead*>(bytes.data());
  into = known.recipients;
  MessageHead head = known.head;
  head.envelope.recipients = into;
  return head;
}

}  // namespace ringmta::spool

namespace ringmta::queue {
namespace {

constexpr uint32_t kDeadSites = 1000;

uint64_t heap_octets() { return mallinfo2().uordblks + mallinfo2().hblkhd; }

// A relay's shard with a live site (route 0), many dead ones, and `waiting` messages for those.
class Backlog {
 public:
  explicit Backlog(uint64_t waiting, uint32_t tenants = 1) {
    begin(dead_routes());
    make_heads(tenants);
    before_ = heap_octets();
    for (uint32_t i = 0; i <= kDeadSites; ++i) {
      queue_->set_route_addresses(i, {{"mx", *parse_socket_address("192.0.2.1", 25)}});
      if (i > 0) queue_->site_failed({i}, "connection refused", loop_->now() + hours(70));
    }
    for (uint64_t i = 0; i < waiting; ++i) add(tenants + static_cast<uint32_t>(i % kDeadSites));
  }
  // No routes: so many domains, each found by MX to be served by a site of its own, each with one
  // message.
  struct ByMx {
    uint32_t domains = 0;
  };
  explicit Backlog(ByMx by_mx) {
    begin({});
    spool::heads.clear();
    for (uint32_t i = 0; i < by_mx.domains; ++i) make_head(domain(i), "bulk");
    before_ = heap_octets();
    for (uint32_t i = 0; i < by_mx.domains; ++i) {
      add(i);
      if (i % 500 == 0) queue_->run();
    }
    while (queue_->run()) {
    }
  }

  void add(uint32_t head) {
    const MessageId id{spool_->next_id().value | head};
    const auto stored = spool_->store(id, {}, {}, {}, 0);
    views_.clear();
    queue_->add(stored, *spool::decode_head(spool_->head(stored), views_), {});
  }
  void add_live(uint32_t tenant = 0) { add(tenant); }

  Job* take(uint32_t site = 0) { return queue_->next_job({site}); }
  void deliver(Job* job) {
    for (JobRecipient& recipient : job->recipients) {
      recipient.verdict = Verdict::delivered;
      recipient.phase = smtp::Phase::content;
      recipient.code = 250;
      recipient.text = "2.0.0 ok";
    }
    queue_->job_done(job);
  }
  void defer(Job* job) {
    for (JobRecipient& recipient : job->recipients) {
      recipient.verdict = Verdict::deferred;
      recipient.phase = smtp::Phase::recipient;
      recipient.code = 450;
      recipient.text = "4.2.1 the mailbox is busy, try again later";
    }
    queue_->job_done(job);
  }
  void advance(Milliseconds by) {
    const Monotonic until = world_.now() + by;
    while (world_.now() < until) {
      world_.advance(until);
      loop_->turn(until);
    }
  }

  uint64_t memory() const { return queue_->counters().memory_octets; }
  uint64_t heap() const { return heap_octets() - before_; }
  const QueueCounters& counters() const { return queue_->counters(); }
  Queue& queue() { return *queue_; }
  shard::Loop& loop() { return *loop_; }

 private:
  static std::string domain(uint32_t number) { return "d" + std::to_string(number) + ".example"; }

  static std::vector<Route> dead_routes() {
    std::vector<Route> routes;
    for (uint32_t i = 0; i <= kDeadSites; ++i) {
      Route route;
      route.name = "site" + std::to_string(i);
      route.domains = {domain(i)};
      routes.push_back(route);
    }
    return routes;
  }

  void begin(std::vector<Route> routes) {
    io_ = std::move(*ring::Io::create({}));
    loop_ = std::make_unique<shard::Loop>(*io_);
    spool_ = std::move(*spool::Spool::create(*io_, {}, nullptr, {}));
    QueueOptions options;
    options.retry.delay_notice_after = hours(60);
    options.routes = std::move(routes);
    QueueHost host;
    host.self = this;
    host.site_has_work = [](void*, SiteId) {};
    host.site_gone = [](void*, SiteId) { return true; };
    host.resolve = [](void* self, std::string_view domain) {
      auto& backlog = *static_cast<Backlog*>(self);
      Resolution found;
      found.kind = Resolution::Kind::hosts;
      found.site = "mx." + std::string(domain);
      found.hosts = {{"mx." + std::string(domain), *parse_socket_address("192.0.2.1", 25)}};
      found.until = backlog.loop_->now() + hours(1);
      backlog.queue_->domain_resolved(domain, found);
    };
    loop_->handle(shard::Owner::queue, this, [](void* self, const ring::Event& event) {
      static_cast<Backlog*>(self)->queue_->on_timer(event);
    });
    loop_->add_stage(this, [](void* self) { return static_cast<Backlog*>(self)->queue_->run(); });
    queue_ = std::make_unique<Queue>(*loop_, *spool_, options, ShardId{0}, 1, host);
  }

  void make_head(const std::string& to, const std::string& tenant) {
    auto made = std::make_unique<spool::BenchHead>();
    made->address = "bob@" + to;
    made->sender = "news@sender.example";
    made->tenant = tenant;
    made->recipients.push_back({made->address, {}, 0});
    made->head.envelope.reverse_path = made->sender;
    made->head.info.tenant = made->tenant;
    made->head.info.arrival = io_->wall();
    made->head.info.expiry = io_->wall() + hours(72);
    spool::heads.push_back(std::move(made));
  }

  // Heads 0 .. tenants - 1 go to the live site, the others to one dead site each.
  void make_heads(uint32_t tenants) {
    spool::heads.clear();
    for (uint32_t i = 0; i < tenants; ++i) make_head(domain(0), "tenant" + std::to_string(i));
    for (uint32_t i = 1; i <= kDeadSites; ++i) make_head(domain(i), "dead");
  }

  sim::World world_;
  std::unique_ptr<ring::Io> io_;
  std::unique_ptr<shard::Loop> loop_;
  std::unique_ptr<spool::Spool> spool_;
  std::unique_ptr<Queue> queue_;
  std::vector<smtp::RecipientView> views_;
  uint64_t before_ = 0;
};

// Octets per queued recipient of one-recipient messages: what the queue says, and what the heap
// says with the spool's slot.
void Memory(benchmark::State& state) {
  const auto waiting = static_cast<uint64_t>(state.range(0));
  for (auto _ : state) {
    Backlog backlog(waiting);
    const double count = static_cast<double>(waiting);
    state.counters["queue_octets"] = static_cast<double>(backlog.memory()) / count;
    state.counters["with_spool_slot"] = static_cast<double>(backlog.heap()) / count;
  }
}
BENCHMARK(Memory)
    ->Arg(100'000)
    ->Arg(1'000'000)
    ->Arg(10'000'000)
    ->Iterations(1)
    ->Unit(benchmark::kMillisecond);

// A live message in, out and done, behind a queue of so many for dead sites. A turn of the loop
// for every 50.
void Live(benchmark::State& state) {
  Backlog backlog(static_cast<uint64_t>(state.range(0)));
  while (backlog.queue().run()) {
  }
  for (auto _ : state) {
    for (int i = 0; i < 50; ++i) backlog.add_live();
    for (int i = 0; i < 50; ++i) backlog.deliver(backlog.take());
    backlog.queue().run();
  }
  state.SetItemsProcessed(state.iterations() * 50);
}
BENCHMARK(Live)->RangeMultiplier(10)->Range(1'000, 10'000'000);

// A live message that is deferred twice before it is delivered, behind the same queue: retries
// come due all the while.
void LiveWithRetries(benchmark::State& state) {
  Backlog backlog(static_cast<uint64_t>(state.range(0)));
  uint64_t delivered = 0;
  for (auto _ : state) {
    for (int i = 0; i < 50; ++i) backlog.add_live();
    while (Job* job = backlog.take()) {
      if (job->attempt < 3) {
        backlog.defer(job);
      } else {
        backlog.deliver(job);
        ++delivered;
      }
    }
    backlog.advance(Milliseconds{100});
  }
  state.SetItemsProcessed(state.iterations() * 50);
  state.counters["delivered"] = static_cast<double>(delivered);
}
BENCHMARK(LiveWithRetries)->Arg(1'000)->Arg(1'000'000);

// Turns shared by so many tenants, each with mail waiting.
void Tenants(benchmark::State& state) {
  const auto tenants = static_cast<uint32_t>(state.range(0));
  Backlog backlog(0, tenants);
  for (uint32_t i = 0; i < tenants * 4; ++i) backlog.add_live(i % tenants);
  uint32_t next = 0;
  for (auto _ : state) {
    backlog.deliver(backlog.take());
    backlog.add_live(next++ % tenants);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(Tenants)->Arg(1)->Arg(10)->Arg(1'000)->Arg(10'000);

// One live site with so many ready: its own length does not matter either.
void Ready(benchmark::State& state) {
  Backlog backlog(0);
  for (int64_t i = 0; i < state.range(0); ++i) backlog.add_live();
  for (auto _ : state) {
    backlog.add_live();
    backlog.deliver(backlog.take());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(Ready)->RangeMultiplier(100)->Range(1'000, 10'000'000);

// So many domains with a site and a message each: memory of all, then a message through each.
void Domains(benchmark::State& state) {
  const auto count = static_cast<uint32_t>(state.range(0));
  Backlog backlog(Backlog::ByMx{count});
  state.counters["octets_per_domain"] = static_cast<double>(backlog.heap()) / count;
  uint32_t site = 0;
  for (auto _ : state) {
    backlog.deliver(backlog.take(site));
    backlog.add(site);
    if (++site == count) site = 0;
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(Domains)->Arg(1'000)->Arg(10'000)->Arg(100'000)->Arg(500'000);

}  // namespace
}  // namespace ringmta::queue

BENCHMARK_MAIN();
