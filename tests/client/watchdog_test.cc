// SPDX-License-Identifier: GPL-3.0-or-later
// The watchdog tells of connections that make no progress, once each, and leaves the others alone.
#include "relay.h"

namespace ringmta::client {
namespace {

using Watchdog = Relay;

TEST_F(Watchdog, TellsOfAConnectionWithoutProgressOnce) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  peer.script.answer = [](uint32_t, std::string_view line) -> std::optional<std::string> {
    if (line.empty()) return "!deaf";
    return {};
  };
  options.stalled_after = seconds(60);
  start();
  queue().add(queue().add_site({"192.0.2.1:25"}), mail("one"));
  world.run_for(seconds(59));
  EXPECT_EQ(pools().counters().stalled, 0U);
  world.run_for(seconds(10));
  EXPECT_EQ(pools().counters().stalled, 1U);
  world.run_for(minutes(5));
  EXPECT_EQ(pools().counters().stalled, 1U);
}

TEST_F(Watchdog, TellsOfEachOfMany) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  peer.script.greeting = "!deaf";
  options.stalled_after = seconds(60);
  start();
  for (int i = 0; i < 700; ++i) {
    queue().add(queue().add_site({"192.0.2.1:25"}), mail("one"));
  }
  world.run_for(seconds(100));
  EXPECT_EQ(pools().counters().stalled, 700U);
}

TEST_F(Watchdog, LeavesIdleAndSlowOnesAlone) {
  ScriptedPeer slow(world, "192.0.2.1:25"), idle(world, "192.0.2.2:25");
  slow.script.delay = seconds(50);
  options.stalled_after = seconds(60);
  options.timeouts.idle = hours(1);
  start();
  const queue::SiteId slow_site = queue().add_site({"192.0.2.1:25"}, 1);
  for (int i = 0; i < 20; ++i) queue().add(slow_site, mail("slow"));
  queue().add(queue().add_site({"192.0.2.2:25"}), mail("idle"));
  world.run_for(minutes(20));
  EXPECT_GT(queue().count(Verdict::delivered), 5U);
  EXPECT_EQ(pools().counters().stalled, 0U);
}

}  // namespace
}  // namespace ringmta::client
