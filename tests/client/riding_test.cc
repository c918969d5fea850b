// SPDX-License-Identifier: GPL-3.0-or-later
// Envelopes that leave together with another message's content, and what happens when the ride does
// not come.
#include "relay.h"

namespace ringmta::client {
namespace {

struct Riding : Relay {
  Riding() { world.network().latency_us_min = world.network().latency_us_max = 100; }

  // Always `at_once` mails under way, `count` in all: a new one for each that ends.
  void deliver_in_a_closed_loop(queue::SiteId site, size_t at_once, size_t count) {
    const size_t before = queue().results.size();
    size_t added = 0;
    ASSERT_TRUE(run([&] {
      while (added < count && added < queue().results.size() - before + at_once) {
        queue().add(site, mail("m"));
        ++added;
      }
      return queue().results.size() - before == count;
    }));
  }
};

TEST_F(Riding, AFastPeerGetsAWritePerMessage) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"}, 50);
  deliver_in_a_closed_loop(site, 20, 200);
  const uint64_t before = pools().counters().sends;
  deliver_in_a_closed_loop(site, 20, 1000);
  EXPECT_LE(pools().counters().sends - before, 1200U);
}

TEST_F(Riding, AJobDoesNotWaitLongForARideThatDoesNotCome) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  bool silent = false;
  peer.script.answer = [&](uint32_t, std::string_view line) -> std::optional<std::string> {
    if (silent && line.starts_with("DATA")) {
      silent = false;
      return "!deaf";
    }
    return {};
  };
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"}, 50);
  deliver_in_a_closed_loop(site, 20, 200);
  silent = true;
  queue().add(site, mail("stuck"));
  world.run_for(Milliseconds{1});
  const Monotonic begun = world.now();
  queue().add(site, mail("free"));
  ASSERT_TRUE(run([&] { return queue().result_of("free") != nullptr; }));
  EXPECT_LE((world.now() - begun).count, 20);
  EXPECT_EQ(queue().result_of("stuck"), nullptr);
}

TEST_F(Riding, OneMessageAtATimeNeverWaits) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"}, 50);
  deliver_in_a_closed_loop(site, 20, 200);
  const Monotonic begun = world.now();
  deliver_in_a_closed_loop(site, 1, 100);
  // A round trip for the envelope and one for the content, 0.2 ms each, and the turns between.
  EXPECT_LE((world.now() - begun).count, 60);
}

}  // namespace
}  // namespace ringmta::client
