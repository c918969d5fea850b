// SPDX-License-Identifier: GPL-3.0-or-later
// A shard that only delivers: loop, pools and a fake queue, in a simulated world with its peers.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "fake_queue.h"
#include "ringmta/client/pool.h"
#include "ringmta/shard/loop.h"
#include "ringmta/sim/world.h"
#include "scripted_peer.h"

namespace ringmta::client {

using queue::Verdict;

struct Shard {
  Shard(sim::World& world, const ClientPoolOptions& options, ShardId id = {})
      : io(*ring::Io::create({})),
        loop(*io),
        queue(loop, id),
        pools(std::make_unique<Pools>(loop, queue.real(), options, id, this,
                                      [](void* self, queue::Job* job) {
                                        static_cast<Shard*>(self)->returned.push_back(job);
                                      })) {
    loop.handle(shard::Owner::client, pools.get(), [](void* self, const ring::Event& event) {
      static_cast<Pools*>(self)->on_event(event);
    });
    loop.add_stage(pools.get(), [](void* self) { return static_cast<Pools*>(self)->run(); });
    queue.pools = pools.get();
    queue.site_has_work = [](void* self, queue::SiteId site) {
      static_cast<Pools*>(self)->site_has_work(site);
    };
    world.drive(*io, &loop, [](void* self) { static_cast<shard::Loop*>(self)->turn(); });
  }

  std::unique_ptr<ring::Io> io;
  shard::Loop loop;
  FakeQueue queue;
  std::unique_ptr<Pools> pools;
  std::vector<queue::Job*> returned;
};

// Tests set `options` and the world, then call start().
struct Relay : ::testing::Test {
  Relay() { options.session.hostname = "relay.example"; }

  FakeQueue& start() {
    shard = std::make_unique<Shard>(world, options);
    return shard->queue;
  }
  Pools& pools() { return *shard->pools; }
  FakeQueue& queue() { return shard->queue; }
  bool run(const std::function<bool()>& done, Milliseconds limit = minutes(30)) {
    return world.run_until(done, limit);
  }
  bool run_until_results(size_t count, Milliseconds limit = minutes(30)) {
    return run([&] { return queue().results.size() >= count; }, limit);
  }
  // Everything is over and given back.
  void TearDown() override {
    if (shard == nullptr) return;
    pools().stop();
    EXPECT_TRUE(run([&] { return pools().idle(); }, hours(2)));
    EXPECT_EQ(queue().jobs_out, shard->returned.size());
    for (queue::Job* job : shard->returned) queue().take_back(job);
    EXPECT_EQ(pools().counters().connections, 0U);
    EXPECT_EQ(pools().counters().connecting, 0U);
    EXPECT_EQ(pools().counters().idle, 0U);
    shard.reset();
  }

  sim::World world;
  ClientPoolOptions options;
  std::unique_ptr<Shard> shard;
};

inline Mail mail(const std::string& name) {
  Mail made;
  made.name = name;
  return made;
}

inline constexpr const char* kChunking =
    "250-mx.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-CHUNKING\r\n250 SIZE 50000000";
inline constexpr const char* kLockStep = "250 mx.example";

}  // namespace ringmta::client
