// SPDX-License-Identifier: GPL-3.0-or-later
// Everything at once, from a seed: peers that refuse, stall, drop and reset at random, tiny
// segments, connections that break anywhere. Whatever happens, every recipient gets exactly one
// verdict, no job is kept, what was delivered arrived, and what was not said to be a possible
// duplicate did not arrive twice.
#include <map>

#include "relay.h"
#include "ringmta/base/prng.h"

namespace ringmta::client {
namespace {

using Answer = std::optional<std::string>;

class Chaos : public Relay, public ::testing::WithParamInterface<uint64_t> {};

Answer mischief(Prng& random, std::string_view line) {
  if (line.starts_with("QUIT")) return {};
  switch (random.below(40)) {
    case 0:
      return "421 4.3.2 bye!drop";
    case 1:
      return "!drop";
    case 2:
      return "!reset";
    case 3:
      return "!deaf";
    case 4:
    case 5:
      return "450 4.2.1 later";
    case 6:
    case 7:
      return "550 5.1.1 never";
    case 8:
      return line.starts_with("RCPT") ? Answer("452 4.5.3 too many") : Answer();
    default:
      return {};
  }
}

TEST_P(Chaos, EveryRecipientGetsOneVerdict) {
  Prng random(GetParam());
  world.network().segment_octets_max = random.below(2) == 0 ? 1 : 2000;
  world.network().reset_one_in = random.below(2) == 0 ? 0 : 3000;
  options.host_retry_after = seconds(1);
  options.host_retry_longest = seconds(20);
  options.timeouts.mail = options.timeouts.recipient = options.timeouts.data = seconds(9);
  options.timeouts.content_end = options.timeouts.content_block = seconds(9);
  options.timeouts.greeting = options.timeouts.ehlo = seconds(9);
  options.connections_max = 2 + static_cast<uint32_t>(random.below(20));
  std::vector<std::unique_ptr<ScriptedPeer>> peers;
  const char* const offers[] = {kChunking, kLockStep, "250-mx.example\r\n250 PIPELINING"};
  for (int i = 1; i <= 4; ++i) {
    peers.push_back(std::make_unique<ScriptedPeer>(world, "192.0.2." + std::to_string(i) + ":25"));
    ScriptedPeer& peer = *peers.back();
    peer.script.ehlo = offers[random.below(3)];
    peer.script.delay = Milliseconds{static_cast<int64_t>(random.below(50))};
    peer.script.connections_max = 1 + static_cast<uint32_t>(random.below(10));
    peer.script.answer = [&](uint32_t, std::string_view line) { return mischief(random, line); };
  }
  start();
  std::vector<queue::SiteId> sites;
  for (int i = 0; i < 6; ++i) {
    std::vector<std::string> hosts = {"192.0.2." + std::to_string(1 + random.below(4)) + ":25"};
    for (uint64_t k = random.below(3); k > 0; --k) {
      hosts.push_back("192.0.2." + std::to_string(1 + random.below(5)) + ":25");  // .5 is nobody
    }
    sites.push_back(queue().add_site(hosts, 1 + static_cast<uint32_t>(random.below(8))));
    queue().site(sites.back()).messages_per_connection_max =
        random.below(2) == 0 ? 0 : 1 + static_cast<uint32_t>(random.below(5));
  }
  size_t recipients = 0;
  uint32_t lent = 0;
  std::map<std::string, uint32_t> expected;  // recipient -> how often it may arrive
  for (int i = 0; i < 200; ++i) {
    Mail one = mail(std::to_string(i));
    one.content =
        "Subject: " + one.name + "\r\n\r\n" + std::string(random.below(1500), 'x') + "\r\n";
    one.pieces = 1 + random.below(12);
    one.to.clear();
    for (uint64_t k = 1 + random.below(4); k > 0; --k) {
      one.to.push_back(one.name + "." + std::to_string(k) + "@x");
    }
    const queue::SiteId site = sites[random.below(sites.size())];
    if (random.below(10) == 0) {
      pools().lent(queue().make_lent(site, one, ShardId{2}));
      ++lent;
    } else {
      queue().add(site, one);
      recipients += one.to.size();
    }
    if (random.below(3) == 0) world.run_for(Milliseconds{static_cast<int64_t>(random.below(200))});
  }
  ASSERT_TRUE(
      run([&] { return queue().results.size() >= recipients && shard->returned.size() >= lent; },
          hours(100)))
      << queue().results.size() << " of " << recipients << ", lent " << shard->returned.size()
      << " of " << lent << ", " << queue().news.size() << " " << queue().news.back()
      << ", connections " << pools().counters().connections << ", idle " << pools().counters().idle
      << ", stalled " << pools().counters().stalled << ", jobs " << queue().jobs_out;
  EXPECT_EQ(queue().results.size(), recipients);
  EXPECT_EQ(shard->returned.size(), lent);
  EXPECT_EQ(pools().counters().stalled, 0U);  // no work was left unattended
  std::map<std::string, uint32_t> arrived;
  for (const auto& peer : peers) {
    for (const ReceivedMail& one : peer->mails) {
      for (const std::string& to : one.to) ++arrived[to];
      EXPECT_EQ(one.content.find("Subject: " + one.to.at(0).substr(0, one.to[0].find('.'))), 0U);
    }
  }
  for (const Result& result : queue().results) {
    const uint32_t times = arrived[result.to];
    EXPECT_LE(times, 1U) << result.to;
    if (result.verdict == Verdict::delivered) {
      EXPECT_EQ(times, 1U) << result.to;
    } else if (!result.possible_duplicate) {
      EXPECT_EQ(times, 0U) << result.to << " " << result.text;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Chaos, ::testing::Range<uint64_t>(1, 31));

}  // namespace
}  // namespace ringmta::client
