// SPDX-License-Identifier: GPL-3.0-or-later
// Making a shard and its turn. No decision about mail is taken here: this file only hands things
// from one room to the next.

#include "shard_relay.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "own_addresses.h"
#include "ringmta/base/log.h"

namespace ringmta::relay {

namespace {

constexpr Milliseconds kPublishEvery{200};    // while something happens
constexpr Milliseconds kPublishAtRest{2000};  // to show that the shard is well

// Tokens of Owner::loop, which this file handles.
enum : uint32_t { kFlushTimer = 1, kPublishTimer = 2, kDoorbell = 3 };

ring::Token own_token(uint32_t number) {
  return ring::Token::make(shard::kind(shard::Owner::loop), number);
}

}  // namespace

ShardRelay::ShardRelay(const Shared& shared, ShardId id, int cpu)
    : shared_(shared), settings_(shared.settings), id_(id), cpu_(cpu) {}

ShardRelay::~ShardRelay() {
  if (loop_ == nullptr) return;
  loop_->timers().cancel(flush_timer_);
  loop_->timers().cancel(publish_timer_);
}

Result<std::unique_ptr<ShardRelay>> ShardRelay::create(const Shared& shared, ShardId id, int cpu) {
  std::unique_ptr<ShardRelay> made(new ShardRelay(shared, id, cpu));
  if (Status fine = made->set_up(); !fine) return std::unexpected(fine.error());
  return made;
}

Result<std::shared_ptr<dkim::KeyRing>> load_keys(const dkim::Options& options) {
  if (options.keys.empty()) return nullptr;
  auto keys = dkim::KeyRing::load(options);
  if (!keys) return std::unexpected(keys.error());
  return std::shared_ptr<dkim::KeyRing>(std::move(*keys));
}

Status ShardRelay::set_up() {
  ring::IoOptions io = settings_.io;
  io.shard = id_;
  io.doorbell = own_token(kDoorbell);
  auto made_io = ring::Io::create(io);
  if (!made_io) return std::unexpected(made_io.error());
  io_ = std::move(*made_io);
  loop_ = std::make_unique<shard::Loop>(*io_);

  spool::SpoolOptions spool = settings_.spool;
  spool.shard = id_;
  auto made_spool = spool::Spool::create(*io_, spool, shared_.recovery,
                                         ring::Token::make(shard::kind(shard::Owner::spool)));
  if (!made_spool) return std::unexpected(made_spool.error());
  spool_ = std::move(*made_spool);

  auto made_events = events::Writer::create(*loop_, settings_.events, settings_.hostname, id_);
  if (!made_events) return std::unexpected(made_events.error());
  events_ = std::move(*made_events);

  queue::QueueHost host;
  host.self = this;
  host.outcome = [](void* self, const queue::Outcome& outcome) {
    static_cast<ShardRelay*>(self)->events_->record(outcome);
  };
  host.held = [](void* self, const queue::Held& held) {
    static_cast<ShardRelay*>(self)->events_->record(held);
  };
  host.site_has_work = [](void* self, queue::SiteId site) {
    auto& relay = *static_cast<ShardRelay*>(self);
    if (relay.pools_ != nullptr) relay.pools_->site_has_work(site);
  };
  host.lend = [](void* self, ShardId home, queue::Job* job) {
    auto& relay = *static_cast<ShardRelay*>(self);
    relay.shared_.exchange.post(relay.id_, home, {Letter::Kind::lent, job});
  };
  host.site_gone = [](void* self, queue::SiteId site) {
    return !static_cast<ShardRelay*>(self)->pools_->knows(site);
  };
  host.resolve = [](void* self, std::string_view domain) {
    static_cast<ShardRelay*>(self)->domains_->resolve(domain);
  };
  host.sign = [](void* self, MessageId id, const spool::MessageHead& head, std::string_view content,
                 uint64_t tag) {
    using Signing = queue::QueueHost::Signing;
    auto& relay = *static_cast<ShardRelay*>(self);
    if (relay.server_ == nullptr) return Signing::unneeded;
    const server::Server::Own own = relay.server_->sign_own(id, head, content, tag);
    if (own == server::Server::Own::not_signed) return Signing::unneeded;
    return own == server::Server::Own::taken ? Signing::taken : Signing::busy;
  };
  domains_ = std::make_unique<MailDomains>(*loop_, settings_, shared_.exchange, id_);
  queue_ =
      std::make_unique<queue::Queue>(*loop_, *spool_, settings_.queue, id_, settings_.shards, host);
  domains_->answer_to(*queue_);
  pools_ = std::make_unique<client::Pools>(
      *loop_, *queue_, settings_.client, id_, this,
      [](void* self, queue::Job* job) { static_cast<ShardRelay*>(self)->return_job(job); });
  pools_->use_credentials(shared_.credentials);
  server_ = std::make_unique<server::Server>(*loop_, *spool_, settings_.server, shared_.clients);
  server_->authenticate_with(shared_.auth);
  server_->on_committed(
      this, [](void* self, spool::StoredHandle message, const server::Arrival& arrival) {
        static_cast<ShardRelay*>(self)->take_over(message, arrival);
      });
  server_->refuse_while(this,
                        [](void* self) { return static_cast<ShardRelay*>(self)->queue_->full(); });
  server_->on_own_failed(this, [](void* self, uint64_t tag) {
    auto& relay = *static_cast<ShardRelay*>(self);
    relay.queue_->on_spool_done({.what = spool::Done::What::failed, .tag = tag});
  });
  auto tls = server::make_tls_context(settings_.server.tls, server_->handshake_budget());
  if (!tls) return std::unexpected(tls.error());
  server_->use_ticket_keys(shared_.ticket_keys);
  server_->use_tls(std::move(*tls));
  auto keys = load_keys(settings_.server.dkim);
  if (!keys) return std::unexpected(keys.error());
  server_->sign_with(std::move(*keys));
  wire();
  spool_->for_each_recovered([this](spool::StoredHandle stored, const spool::Recovered& message) {
    recovered(stored, message);
  });
  return {};
}

void ShardRelay::wire() {
  using shard::Owner;
  loop_->handle(Owner::loop, this, [](void* self, const ring::Event& event) {
    auto& relay = *static_cast<ShardRelay*>(self);
    if (event.token.index() == kPublishTimer) relay.publish();
  });
  loop_->handle(Owner::listener, server_.get(), [](void* self, const ring::Event& event) {
    static_cast<server::Server*>(self)->on_event(event);
  });
  loop_->handle(Owner::server, server_.get(), [](void* self, const ring::Event& event) {
    static_cast<server::Server*>(self)->on_event(event);
  });
  loop_->handle(Owner::client, pools_.get(), [](void* self, const ring::Event& event) {
    static_cast<client::Pools*>(self)->on_event(event);
  });
  loop_->handle(Owner::spool, spool_.get(), [](void* self, const ring::Event& event) {
    static_cast<spool::Spool*>(self)->on_event(event);
  });
  loop_->handle(Owner::queue, queue_.get(), [](void* self, const ring::Event& event) {
    static_cast<queue::Queue*>(self)->on_timer(event);
  });
  loop_->handle(Owner::dns, domains_.get(), [](void* self, const ring::Event& event) {
    static_cast<MailDomains*>(self)->on_event(event);
  });
  loop_->handle(Owner::events, events_.get(), [](void* self, const ring::Event& event) {
    static_cast<events::Writer*>(self)->on_event(event);
  });

  const auto stage = [this](shard::Loop::Stage work) { loop_->add_stage(this, work); };
  stage([](void* self) { return static_cast<ShardRelay*>(self)->letters(); });
  stage([](void* self) { return static_cast<ShardRelay*>(self)->domains_->run(); });
  stage([](void* self) { return static_cast<ShardRelay*>(self)->spool_results(); });
  stage([](void* self) { return static_cast<ShardRelay*>(self)->queue_->run(); });
  stage([](void* self) { return static_cast<ShardRelay*>(self)->pools_->run(); });
  stage([](void* self) { return static_cast<ShardRelay*>(self)->server_->flush(); });
  stage([](void* self) { return static_cast<ShardRelay*>(self)->spool_commit(); });
  stage([](void* self) { return static_cast<ShardRelay*>(self)->events_->flush(); });
  stage([](void* self) { return static_cast<ShardRelay*>(self)->tasks(); });
  stage([](void* self) { return static_cast<ShardRelay*>(self)->plan_to_publish(); });

  flush_timer_.token = own_token(kFlushTimer);
  publish_timer_.token = own_token(kPublishTimer);
  publish();
}

Status ShardRelay::listen() {
  if (Status fine = server_->listen(); !fine) return fine;
  pools_->set_own_addresses(own_addresses(server_->addresses()));
  return {};
}

// A message that has just been committed: it is the queue's from here.
void ShardRelay::take_over(spool::StoredHandle stored, const server::Arrival& arrival) {
  recipients_.clear();
  const auto head = spool::decode_head(spool_->head(stored), recipients_);
  RINGMTA_ASSERT(head.has_value());
  queue::Outcome outcome;
  outcome.kind = queue::Outcome::Kind::received;
  outcome.id = spool_->id(stored);
  outcome.head = &*head;
  outcome.size = spool_->wire_size(stored);
  outcome.protocol = arrival.protocol;
  outcome.tls_version = arrival.tls_version;
  outcome.tls_cipher = arrival.tls_cipher;
  for (uint32_t i = 0; i < head->envelope.recipients.size(); ++i) {
    outcome.recipient = i;
    events_->record(outcome);
  }
  queue_->add(stored, *head, {});
}

void ShardRelay::recovered(spool::StoredHandle stored, const spool::Recovered& message) {
  recipients_.clear();
  const auto head = spool::decode_head(message.head, recipients_);
  RINGMTA_ASSERT(head.has_value());  // recovery has checked it
  queue_->add(stored, *head, message.states);
}

bool ShardRelay::letters() {
  Letter letter;
  while (shared_.exchange.take(id_, letter)) {
    switch (letter.kind) {
      case Letter::Kind::lent:
        queue_->borrow(static_cast<queue::Job*>(letter.what));
        pools_->lent(static_cast<queue::Job*>(letter.what));
        break;
      case Letter::Kind::returned:
        queue_->job_done(static_cast<queue::Job*>(letter.what));
        break;
      case Letter::Kind::question:
        domains_->question(std::unique_ptr<dns::MxQuery>(static_cast<dns::MxQuery*>(letter.what)));
        break;
      case Letter::Kind::answer:
        domains_->answer(*std::unique_ptr<dns::MxQuery>(static_cast<dns::MxQuery*>(letter.what)));
        break;
      case Letter::Kind::task:
        tasks_.push_back(Task::from_letter(letter.what));
        break;
    }
  }
  return shared_.exchange.retry(id_);
}

void ShardRelay::return_job(queue::Job* job) {
  shared_.exchange.post(id_, job->keeper, {Letter::Kind::returned, job});
}

bool ShardRelay::spool_results() {
  done_.clear();
  spool_->take_done(done_);
  for (const spool::Done& done : done_) {
    if ((done.tag & queue::kQueueTag) != 0) {
      queue_->on_spool_done(done);
    } else {
      server_->on_spool_done(done);
    }
  }
  return false;
}

bool ShardRelay::spool_commit() {
  const bool more = spool_->flush();
  const Monotonic wanted = spool_->wants_flush_at();
  if (wanted == Monotonic::never()) {
    loop_->timers().cancel(flush_timer_);
  } else if (!flush_timer_.armed() || wanted < flush_timer_.due) {
    loop_->timers().arm(flush_timer_, wanted);
  }
  return more;
}

// One slice of each task a turn; what takes long never stalls the shard.
bool ShardRelay::tasks() {
  std::erase_if(tasks_, [this](const std::shared_ptr<Task>& task) { return task->run(*this); });
  return !tasks_.empty();
}

void ShardRelay::begin_stop() {
  server_->stop();
  queue_->stop();
  pools_->stop();
}

void ShardRelay::abort_sessions() {
  server_->abort_all();
  pools_->abort();
}

// Nothing of what is counted changes for long without a completion: who has had none sleeps on.
bool ShardRelay::plan_to_publish() {
  const Monotonic soon = published_at_ + kPublishEvery;
  if (publish_timer_.due > soon && io_->counters().completions != published_completions_) {
    loop_->timers().arm(publish_timer_, soon);
  }
  return false;
}

// Counters for the readers outside.
void ShardRelay::publish() {
  http::ShardSnapshot snapshot;
  snapshot.shard = id_.value;
  snapshot.cpu = cpu_;
  snapshot.server = server_->counters();
  snapshot.queue = queue_->counters();
  snapshot.client = pools_->counters();
  snapshot.spool = spool_->counters();
  snapshot.ring = io_->counters();
  snapshot.events = events_->counters();
  snapshot.dns = domains_->resolver().counters();
  snapshot.dns_cache = domains_->resolver().cache_counters();
  snapshot.mx = domains_->mx().counters();
  snapshot.streams_open = io_->streams_open();
  timespec cpu_time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu_time);
  snapshot.cpu_time_us = static_cast<uint64_t>(cpu_time.tv_sec) * 1'000'000 +
                         static_cast<uint64_t>(cpu_time.tv_nsec) / 1000;
  snapshot.memory_octets =
      snapshot.spool.memory_octets + snapshot.queue.memory_octets + snapshot.events.memory_octets;
  snapshot.stats_time_ms = static_cast<uint64_t>(io_->wall().ms);
  shared_.snapshots[id_.value].publish(snapshot);
  published_at_ = loop_->now();
  published_completions_ = snapshot.ring.completions;
  loop_->timers().arm(publish_timer_, published_at_ + kPublishAtRest);
}

bool ShardRelay::drained() const {
  return server_->idle() && pools_->idle() && spool_->idle() && events_->idle();
}

void ShardRelay::reload(const config::Settings& fresh,
                        std::shared_ptr<tls::ServerContext> server_tls,
                        std::shared_ptr<dkim::KeyRing> keys) {
  server_->reload(fresh.server);
  server_->use_tls(std::move(server_tls));
  server_->sign_with(std::move(keys));
  queue_->reload(fresh.queue);
  pools_->reload(fresh.client);
  domains_->ask_servers(fresh.resolver.servers);
}

void ShardRelay::reopen_events() { events_->reopen(); }

}  // namespace ringmta::relay
