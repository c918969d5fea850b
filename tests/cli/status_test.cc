// SPDX-License-Identifier: GPL-3.0-or-later
// What `ringmta status` and `ringmta top` make of the relay's answers.
#include <gtest/gtest.h>

#include "../../src/cli/status_view.h"
#include "console.h"
#include "ringmta/http/metrics.h"

namespace ringmta::cli {
namespace {

using Json = nlohmann::json;

// As the relay makes it; `n` scales everything that counts.
Json shard_at(uint32_t number, uint64_t n, uint64_t time_ms) {
  http::ShardSnapshot snapshot;
  snapshot.shard = number;
  snapshot.cpu = number == 0 ? 2 : -1;
  snapshot.server.sessions = 12;
  snapshot.server.messages = 1000 * n;
  snapshot.server.recipients = 1500 * n;
  snapshot.server.octets = 1'048'576 * n;
  snapshot.queue.messages = 40;
  snapshot.queue.recipients = 60;
  snapshot.queue.ready = 10;
  snapshot.queue.active = 20;
  snapshot.queue.deferred = 30;
  snapshot.queue.delivered = 1400 * n;
  snapshot.queue.deferrals = 20 * n;
  snapshot.queue.bounced = n;
  snapshot.queue.possible_duplicates = 3;
  snapshot.client.connections = 50;
  snapshot.spool.batches = 100 * n;
  snapshot.spool.batch_messages = 1000 * n;
  snapshot.spool.disk_octets = 256 << 20;
  snapshot.ring.turns = 2000 * n;
  snapshot.ring.submissions = 9000 * n;
  snapshot.streams_open = 62;
  snapshot.cpu_time_us = 370'000 * n;
  snapshot.memory_octets = 3 << 20;
  snapshot.stats_time_ms = time_ms;
  return http::to_json(snapshot);
}

Json status_at(uint64_t n, uint64_t time_ms, size_t shards = 2) {
  Json list = Json::array();
  for (uint32_t i = 0; i < shards; ++i) list.push_back(shard_at(i, n, time_ms));
  return {{"hostname", "relay.test"}, {"version", "0.1.0"}, {"pid", 4711},
          {"uptime_s", 8000},         {"shards", list},     {"warnings", Json::array()}};
}

TEST(Status, ShowsRatesBetweenTwoLooks) {
  const Json before = status_at(1, 1'000'000);
  const Json now = status_at(2, 1'000'500);  // half a second later
  EXPECT_EQ(
      status_text(now, &before),
      "relay.test: RingMTA 0.1.0, pid 4711, up 2 h 13 m, 2 shards\n"
      "\n"
      "shard  cpu  busy  sessions  messages in/s  delivered/s  deferred/s  bounced/s  "
      "connections\n"
      "    0    2   74%        12          2,000        2,800        40.0        2.0           "
      "50\n"
      "    1    -   74%        12          2,000        2,800        40.0        2.0           "
      "50\n"
      "  all       148%        24          4,000        5,600        80.0        4.0          "
      "100\n"
      "\n"
      "shard  messages  recipients  ready  active  deferred   memory  spool disk\n"
      "    0        40          60     10      20        30  3.0 MiB     256 MiB\n"
      "    1        40          60     10      20        30  3.0 MiB     256 MiB\n"
      "  all        80         120     20      40        60  6.0 MiB     512 MiB\n"
      "\n"
      "shard  sockets  turns/s  operations/s  commits/s  messages/commit  buffers exhausted  "
      "overflows\n"
      "    0       62    4,000        18,000        200             10.0                  0    "
      "      0\n"
      "    1       62    4,000        18,000        200             10.0                  0    "
      "      0\n"
      "  all      124    8,000        36,000        400             10.0                  0    "
      "      0\n"
      "\n"
      "Since start: 4,000 messages in with 6,000 recipients (4.0 MiB); 5,600 recipients "
      "delivered, 4 bounced, 0 expired,\n"
      "0 removed; 80 attempts deferred, 0 notifications made, 6 possible duplicates.\n");
}

TEST(Status, OfOneShardAndWithoutRates) {
  EXPECT_EQ(status_text(status_at(1, 1'000'000, 1), nullptr),
            "relay.test: RingMTA 0.1.0, pid 4711, up 2 h 13 m, 1 shard\n"
            "\n"
            "shard  cpu  sessions  connections\n"
            "    0    2        12           50\n"
            "\n"
            "shard  messages  recipients  ready  active  deferred   memory  spool disk\n"
            "    0        40          60     10      20        30  3.0 MiB     256 MiB\n"
            "\n"
            "shard  sockets  buffers exhausted  overflows\n"
            "    0       62                  0          0\n"
            "\n"
            "Since start: 1,000 messages in with 1,500 recipients (1.0 MiB); 1,400 recipients "
            "delivered, 1 bounced, 0 expired,\n"
            "0 removed; 20 attempts deferred, 0 notifications made, 3 possible duplicates.\n");
}

TEST(Status, OfARelayThatWasStartedAnewMakesUpNoRates) {
  Json before = status_at(5, 1'000'000, 1);
  const Json now = status_at(1, 1'001'000, 1);
  before["pid"] = 1;
  const std::string text = status_text(now, &before);
  EXPECT_NE(text.find("    0    2    0%        12              0            0           0"),
            std::string::npos)
      << text;
}

TEST(Status, WarningsStandOutAndCannotHarmTheTerminal) {
  Json now = status_at(1, 1'000'000, 1);
  now["warnings"] = {"durability is relaxed", "odd \x1b[31m"};
  now["hostname"] = "re\x07lay";
  const std::string text = status_text(now, nullptr);
  EXPECT_NE(text.find("\nWARNING: durability is relaxed\nWARNING: odd ?[31m\n"), std::string::npos)
      << text;
  EXPECT_TRUE(text.starts_with("re?lay: ")) << text;
}

TEST(Status, OfAnOlderOrNewerRelayIsShownAsFarAsItGoes) {
  const std::string text = status_text({{"shards", {Json::object(), {{"server", 7}}}}}, nullptr);
  EXPECT_TRUE(text.starts_with("?: RingMTA ?, pid 0, up 0 ms, 2 shards\n")) << text;
  EXPECT_TRUE(status_text(Json::object(), nullptr).starts_with("?: ")) << text;
}

TEST(StatusCommand, AsksTwiceForPeople) {
  int asked = 0;
  FakeRelay relay([&](const Json&) {
    ++asked;
    Json answer =
        status_at(static_cast<uint64_t>(asked), 1'000'000 + 1000U * static_cast<unsigned>(asked));
    answer["end"] = true;
    return FakeRelay::Lines{answer};
  });
  const Ran ran = run_words({"status", "--interval", "1ms", "--socket", relay.socket()});
  EXPECT_EQ(ran.status, kDone) << ran.err;
  EXPECT_EQ(relay.requests(), (FakeRelay::Lines{{{"command", "status"}}, {{"command", "status"}}}));
  EXPECT_NE(ran.out.find("messages in/s"), std::string::npos) << ran.out;
}

TEST(StatusCommand, GivesMachinesTheAnswerAsItIs) {
  FakeRelay relay([](const Json&) {
    Json answer = status_at(1, 1'000'000);
    answer["end"] = true;
    return FakeRelay::Lines{answer};
  });
  const Ran ran = run_words({"status", "--json", "--socket", relay.socket()});
  EXPECT_EQ(ran.status, kDone) << ran.err;
  EXPECT_EQ(Json::parse(ran.out), status_at(1, 1'000'000));
  EXPECT_EQ(relay.requests().size(), 1U);
}

TEST(StatusCommand, GivesMachinesRatesWhenTheyNameAnInterval) {
  uint64_t asked = 0;
  FakeRelay relay([&](const Json&) {
    ++asked;
    Json answer = status_at(asked, 1'000'000 + 1000 * asked);
    answer["end"] = true;
    return FakeRelay::Lines{answer};
  });
  const Ran ran = run_words({"status", "--json", "--interval", "1ms", "--socket", relay.socket()});
  EXPECT_EQ(ran.status, kDone) << ran.err;
  const Json answer = Json::parse(ran.out);
  Json first = status_at(1, 1'001'000), second = status_at(2, 1'002'000);
  ASSERT_EQ(answer.at("shards").size(), second.at("shards").size());
  const Json& rates = answer.at("shards")[0].at("rates");
  const auto gain = [&](const char* group, const char* name) {
    return second["shards"][0][group][name].get<double>() -
           first["shards"][0][group][name].get<double>();
  };
  EXPECT_GT(rates.at("messages_in"), 0);
  EXPECT_DOUBLE_EQ(rates.at("messages_in"), gain("server", "messages"));  // a second lies between
  EXPECT_DOUBLE_EQ(rates.at("delivered"), gain("queue", "delivered"));
  EXPECT_DOUBLE_EQ(rates.at("cpu_time_us"), gain("shard", "cpu_time_us"));
}

TEST(TopCommand, ShowsAsManyAsAreAskedForAndClearsATerminal) {
  uint64_t asked = 0;
  FakeRelay relay([&](const Json&) {
    ++asked;
    Json answer = status_at(asked, 1'000'000 + 1000 * asked, 1);
    answer["end"] = true;
    return FakeRelay::Lines{answer};
  });
  const Ran ran =
      run_words({"top", "--interval", "100ms", "--count", "2", "--socket", relay.socket()}, "",
                no_relay, true);
  EXPECT_EQ(ran.status, kDone) << ran.err;
  EXPECT_EQ(relay.requests().size(), 3U);
  size_t screens = 0;
  for (size_t at = 0; (at = ran.out.find("\033[H\033[2J", at)) != std::string::npos; ++at)
    ++screens;
  EXPECT_EQ(screens, 2U);
}

}  // namespace
}  // namespace ringmta::cli
