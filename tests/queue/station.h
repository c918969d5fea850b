// SPDX-License-Identifier: GPL-3.0-or-later
// A queue in a simulated world, with a spool in memory below it and, in place of connections, a
// function that judges jobs. What tests do: submit mail, say how peers answer, let time pass, look
// at outcomes, at the disk and at the DSNs.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "fake_spool.h"
#include "ringmta/queue/queue.h"
#include "ringmta/sim/world.h"

namespace ringmta::queue {

// An Outcome, kept.
struct Told {
  Outcome::Kind kind{};
  uint64_t id = 0;
  std::string address, reply, site;
  uint16_t code = 0, attempts = 0;
  WallTime next_attempt{}, at{};
  uint64_t dsn = 0;
  bool with_job = false;
};

// A Held, kept.
struct ToldHeld {
  std::string site, domain, text, peer_name;
  uint64_t waiting = 0;
  uint16_t code = 0;
  smtp::EnhancedStatus status{};
  WallTime next_attempt{};
};

struct Mail {
  struct To {
    std::string address;
    uint8_t notify = 0;
    std::string original{};
  };
  std::string from = "news@sender.example";
  std::vector<To> to{};
  std::string tenant{};
  std::string envelope_id{};
  smtp::DsnReturn dsn_return = smtp::DsnReturn::unspecified;
  Milliseconds lifetime = hours(72);
  std::string content =
      "From: news@sender.example\r\nSubject: hello\r\nMessage-ID: <1@sender.example>\r\n\r\n"
      "text\r\n.\r\n";
};

inline void judge(JobRecipient& recipient, Verdict verdict, uint16_t code = 0,
                  std::string text = {}, smtp::Phase phase = smtp::Phase::recipient) {
  recipient.verdict = verdict;
  recipient.code = code;
  recipient.text = std::move(text);
  recipient.phase = phase;
  recipient.status = smtp::parse_enhanced_status(recipient.text);
}
inline void judge_all(Job& job, Verdict verdict, uint16_t code = 0, const std::string& text = {},
                      smtp::Phase phase = smtp::Phase::recipient) {
  for (JobRecipient& recipient : job.recipients) judge(recipient, verdict, code, text, phase);
}
inline void deliver(Job& job) {
  judge_all(job, Verdict::delivered, 250, "2.0.0 ok", smtp::Phase::content);
}

inline ResolvedHost host_at(const char* address) {
  return {address, *parse_socket_address(address, 25)};
}

inline Route route_to(std::string name, std::vector<std::string> domains) {
  Route route;
  route.name = std::move(name);
  route.domains = std::move(domains);
  return route;
}

// One "*" route, no jitter.
inline QueueOptions plain_options() {
  QueueOptions options;
  options.hostname = "relay.example";
  options.retry.jitter = 0;
  options.routes.push_back(route_to("smart", {"*"}));
  return options;
}

class Station {
 public:
  using Peer = std::function<void(Job&)>;

  // `beside`: another station in the same world.
  explicit Station(QueueOptions the_options = plain_options(), uint32_t the_shards = 1,
                   ShardId the_shard = {}, Station* beside = nullptr)
      : options(std::move(the_options)),
        shards(the_shards),
        shard(the_shard),
        own_world(beside == nullptr ? std::make_unique<sim::World>() : nullptr),
        world(beside == nullptr ? *own_world : beside->world) {
    begin();
  }
  ~Station() { end(); }

  // A queue on what the disk has. After the first, end() comes before.
  void begin() {
    spool::Disk::current() = &disk;
    auto made = ring::Io::create({});
    EXPECT_TRUE(made.has_value());
    io = std::move(*made);
    loop = std::make_unique<shard::Loop>(*io);
    spool = std::move(*spool::Spool::create(*io, {}, nullptr, {}));
    loop->handle(shard::Owner::queue, this, [](void* self, const ring::Event& event) {
      static_cast<Station*>(self)->queue->on_timer(event);
    });
    loop->add_stage(this, [](void* self) { return static_cast<Station*>(self)->turn(); });
    queue = std::make_unique<Queue>(*loop, *spool, options, shard, shards, host());
    spool->for_each_recovered([this](spool::StoredHandle stored, const spool::Recovered& found) {
      std::vector<smtp::RecipientView> views;
      const auto head = spool::decode_head(found.head, views);
      queue->add(stored, *head, found.states);
    });
    if (addresses) {
      for (uint32_t i = 0; i < options.routes.size(); ++i)
        queue->set_route_addresses(i, {host_at("192.0.2.1:25")});
    }
    world.drive(*io, loop.get(), [](void* self) { static_cast<shard::Loop*>(self)->turn(); });
  }
  void end() {
    held.clear();
    if (io == nullptr) return;
    ring::Io* dead[] = {io.get()};
    world.crash(dead, sim::Crash::process);
    queue.reset();
    spool.reset();
    loop.reset();
    io.reset();
    disk.evict_all = nullptr;
  }

  // Stored at the next turn.
  MessageId submit(const Mail& mail) {
    std::vector<smtp::RecipientView> recipients;
    for (const Mail::To& to : mail.to) recipients.push_back({to.address, to.original, to.notify});
    spool::MessageHead head;
    head.envelope.reverse_path = mail.from;
    head.envelope.envelope_id = mail.envelope_id;
    head.envelope.dsn_return = mail.dsn_return;
    head.envelope.recipients = recipients;
    head.info.arrival = world.wall();
    head.info.expiry = world.wall() + mail.lifetime;
    head.info.tenant = mail.tenant;
    const std::string_view content = mail.content;
    const MessageId id = spool->next_id();
    spool->store(id, head, {}, {&content, 1}, 0);
    loop->io().ring_doorbell();
    return id;
  }
  MessageId submit_to(std::vector<std::string> to) {
    Mail mail;
    for (std::string& address : to) mail.to.push_back({std::move(address)});
    return submit(mail);
  }

  void run_for(Milliseconds time) {
    io->ring_doorbell();
    world.run_for(time);
  }
  template <typename Predicate>
  bool run_until(Predicate done, Milliseconds limit = hours(1000)) {
    io->ring_doorbell();
    return world.run_until(done, limit);
  }

  // Outcomes of a kind, addresses in order.
  std::vector<std::string> addresses_of(Outcome::Kind kind) const {
    std::vector<std::string> result;
    for (const Told& one : told) {
      if (one.kind == kind && (kind != Outcome::Kind::received)) result.push_back(one.address);
    }
    return result;
  }
  size_t count(Outcome::Kind kind) const { return addresses_of(kind).size(); }
  const Told& last(Outcome::Kind kind) const {
    for (size_t i = told.size(); i-- > 0;) {
      if (told[i].kind == kind) return told[i];
    }
    ADD_FAILURE() << "no such outcome";
    static const Told none;
    return none;
  }
  // Contents of the DSNs told as received.
  std::vector<std::string> dsns() const { return notices; }

  // The message is queued and nothing has been tried yet; let() begins.
  MessageId submit_and_wait(const Mail& mail) {
    peer = nullptr;
    const MessageId id = submit(mail);
    run_for(seconds(1));
    return id;
  }
  void let(Peer the_peer) {
    peer = std::move(the_peer);
    for (uint32_t site = 0; site < options.routes.size(); ++site) sites_with_work.insert(site);
  }

  // A job as a connection would take it; null: none.
  Job* take(SiteId site = {0}) {
    Job* job = queue->next_job(site);
    if (job != nullptr) touch(*job);
    return job;
  }
  // What a connection notes when it begins.
  void touch(Job& job) {
    job.begun = io->now();
    job.peer = *parse_socket_address("192.0.2.1", 25);
    job.peer_name = "mx.example.net";
  }

  QueueOptions options;
  const uint32_t shards;
  const ShardId shard;
  bool addresses = true;  // routes get one
  const std::unique_ptr<sim::World> own_world;
  sim::World& world;
  spool::Disk disk;
  std::unique_ptr<ring::Io> io;
  std::unique_ptr<shard::Loop> loop;
  std::unique_ptr<spool::Spool> spool;
  std::unique_ptr<Queue> queue;

  Peer peer = deliver;          // judges each job at once; empty: jobs are left to the test
  size_t jobs_per_turn = 1000;  // of each site
  std::vector<Job*> held;       // the test's own
  bool takes_notes = true;
  std::vector<Told> told;
  std::vector<ToldHeld> told_held;
  std::vector<std::string> notices;
  std::vector<std::pair<ShardId, Job*>> lent;
  std::vector<std::string> asked;                   // domains
  std::function<bool(SiteId)> site_gone;            // likewise
  std::function<void(const std::string&)> resolve;  // set before begin() counts
  std::set<uint32_t> sites_with_work;
  std::set<uint64_t> committed;  // submitted messages that got their 250
  uint64_t jobs = 0;

 private:
  QueueHost host() {
    QueueHost host;
    host.self = this;
    host.outcome = [](void* self, const Outcome& outcome) {
      static_cast<Station*>(self)->note(outcome);
    };
    host.held = [](void* self, const Held& one) {
      static_cast<Station*>(self)->told_held.push_back(
          {std::string(one.site), std::string(one.domain), std::string(one.text),
           std::string(one.peer_name), one.waiting, one.code, one.status, one.next_attempt});
    };
    host.site_has_work = [](void* self, SiteId site) {
      static_cast<Station*>(self)->sites_with_work.insert(site.value);
    };
    host.lend = [](void* self, ShardId home, Job* job) {
      static_cast<Station*>(self)->lent.emplace_back(home, job);
    };
    if (resolve) {
      host.resolve = [](void* self, std::string_view domain) {
        auto& station = *static_cast<Station*>(self);
        station.asked.emplace_back(domain);
        station.resolve(std::string(domain));
      };
    }
    if (site_gone) {
      host.site_gone = [](void* self, SiteId site) {
        return static_cast<Station*>(self)->site_gone(site);
      };
    }
    return host;
  }

  void note(const Outcome& outcome) {
    if (!takes_notes) return;
    Told one;
    one.kind = outcome.kind;
    one.id = outcome.id.value;
    one.address = outcome.head->envelope.recipients[outcome.recipient].address;
    one.site = outcome.site;
    one.attempts = outcome.attempts;
    one.next_attempt = outcome.next_attempt;
    one.at = world.wall();
    one.dsn = outcome.dsn.value;
    one.with_job = outcome.job != nullptr;
    if (outcome.result != nullptr) {
      one.reply = outcome.result->text;
      one.code = outcome.result->code;
    }
    if (outcome.kind == Outcome::Kind::received && outcome.head->info.is_dsn) {
      EXPECT_TRUE(outcome.head->envelope.reverse_path.empty());
      notices.push_back(disk.messages.at(one.id).content);
    }
    told.push_back(std::move(one));
  }

  bool turn() {
    done_.clear();
    spool->take_done(done_);
    for (const spool::Done& done : done_) {
      if ((done.tag & kQueueTag) != 0) {
        queue->on_spool_done(done);
        continue;
      }
      std::vector<smtp::RecipientView> views;
      const auto head = spool::decode_head(spool->head(done.message), views);
      committed.insert(spool->id(done.message).value);
      queue->add(done.message, *head, {});
    }
    bool more = queue->run();
    if (peer) {
      std::set<uint32_t> now_working;
      now_working.swap(sites_with_work);
      for (const uint32_t site : now_working) {
        size_t count = 0;
        while (count < jobs_per_turn) {
          Job* job = queue->next_job({site});
          if (job == nullptr) break;
          ++count;
          ++jobs;
          touch(*job);
          peer(*job);
          queue->job_done(job);
        }
        if (count == jobs_per_turn) {
          sites_with_work.insert(site);
          more = true;
        }
      }
    }
    return spool->flush() || more;
  }

  std::vector<spool::Done> done_;
};

}  // namespace ringmta::queue
