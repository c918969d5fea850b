// SPDX-License-Identifier: GPL-3.0-or-later
// `ringmta queue`: what is asked of the relay, and how its answers are shown.
#include <gtest/gtest.h>

#include <chrono>

#include "console.h"

namespace ringmta::cli {
namespace {

using Json = nlohmann::json;

int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// Ages are far enough from the next unit not to change while the test runs.
Json entry(const std::string& recipient, const std::string& state, int attempts,
           const std::string& reply) {
  return {{"id", "06NZR4S8G0000"},
          {"shard", 1},
          {"recipient_index", 0},
          {"sender", "news@example.org"},
          {"recipient", recipient},
          {"site", "default"},
          {"state", state},
          {"attempts", attempts},
          {"size", 20480},
          {"arrival_ms", now_ms() - 2 * 3'600'000 - 30'000},
          {"next_attempt_ms", now_ms() + 90'000 + 900},
          {"last_reply", reply}};
}

FakeRelay::Lines two_entries(const Json&) {
  return {entry("bob@example.org", "deferred", 2, "450 4.2.0 greylisted"),
          entry("eve@example.net", "ready", 0, ""),
          {{"end", true}, {"entries", 2}, {"limited", false}}};
}

TEST(QueueList, IsATableForPeople) {
  FakeRelay relay(two_entries);
  const Ran ran = run_words({"queue", "list", "--socket", relay.socket()});
  EXPECT_EQ(ran.status, kDone) << ran.err;
  EXPECT_EQ(ran.out,
            "id             recipient        sender            site     age  tries  next         "
            "last reply\n"
            "06NZR4S8G0000  bob@example.org  news@example.org  default  2 h      2  in 1 m 30 s  "
            "450 4.2.0 greylisted\n"
            "06NZR4S8G0000  eve@example.net  news@example.org  default  2 h      0  now\n");
  EXPECT_EQ(ran.err, "");
  EXPECT_EQ(
      relay.requests(),
      (FakeRelay::Lines{{{"command", "queue.list"}, {"filter", Json::object()}, {"limit", 1000}}}));
}

TEST(QueueList, SaysWhatEachWaitsFor) {
  FakeRelay relay([](const Json&) -> FakeRelay::Lines {
    Json asking = entry("c@example.net", "unresolved", 0, "");
    asking["next_attempt_ms"] = 0;
    return {entry("a@example.net", "held", 0, ""),
            entry("b@example.net", "active", 0, ""),
            asking,
            {{"end", true}, {"entries", 3}, {"limited", false}}};
  });
  const Ran ran = run_words({"queue", "list", "--socket", relay.socket()});
  EXPECT_NE(ran.out.find("0  in 1 m 30 s"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("0  under way"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("0  asking DNS"), std::string::npos) << ran.out;
}

TEST(QueueList, IsOneObjectALineForMachines) {
  FakeRelay relay(two_entries);
  const Ran ran = run_words({"queue", "list", "--json", "--socket", relay.socket()});
  EXPECT_EQ(ran.status, kDone) << ran.err;
  std::istringstream lines(ran.out);
  std::vector<Json> objects;
  for (std::string line; std::getline(lines, line);) objects.push_back(Json::parse(line));
  ASSERT_EQ(objects.size(), 2U);
  EXPECT_EQ(objects[0]["recipient"], "bob@example.org");
  EXPECT_EQ(objects[1]["recipient"], "eve@example.net");
}

TEST(QueueList, PassesFiltersAndLimitOn) {
  FakeRelay relay([](const Json&) { return FakeRelay::Lines{{{"end", true}}}; });
  const Ran ran =
      run_words({"queue", "list", "--domain", "example.org", "--sender", "a@b.test", "--site",
                 "default", "--id", "06NZR4S8G0000", "--limit", "5", "--socket", relay.socket()});
  EXPECT_EQ(ran.status, kDone) << ran.err;
  EXPECT_EQ(ran.out, "Nothing waits.\n");
  EXPECT_EQ(relay.requests()[0], (Json{{"command", "queue.list"},
                                       {"filter",
                                        {{"domain", "example.org"},
                                         {"sender", "a@b.test"},
                                         {"site", "default"},
                                         {"id", "06NZR4S8G0000"}}},
                                       {"limit", 5}}));
}

TEST(QueueList, SaysWhenThereMayBeMore) {
  FakeRelay relay([](const Json&) {
    return FakeRelay::Lines{entry("bob@example.org", "ready", 0, ""),
                            {{"end", true}, {"entries", 1}, {"limited", true}}};
  });
  const Ran ran = run_words({"queue", "list", "--limit", "1", "--socket", relay.socket()});
  EXPECT_EQ(ran.status, kDone);
  EXPECT_EQ(ran.err, "The first 1; there may be more (--limit 0 shows all).\n");
}

TEST(QueueList, WithoutLimitAsksForAll) {
  FakeRelay relay([](const Json&) { return FakeRelay::Lines{{{"end", true}}}; });
  run_words({"queue", "list", "--limit", "0", "--socket", relay.socket()});
  EXPECT_GT(relay.requests()[0]["limit"].get<uint64_t>(), 1ULL << 60);
  EXPECT_TRUE(relay.requests()[0]["limit"].is_number_unsigned());
}

TEST(QueueList, ShowsNothingOfPeersThatHarmsTheTerminal) {
  FakeRelay relay([](const Json&) {
    return FakeRelay::Lines{entry("\x1b[2J@example.org", "deferred", 1, "450 a\nb\x07"),
                            {{"end", true}}};
  });
  const Ran ran = run_words({"queue", "list", "--socket", relay.socket()});
  EXPECT_EQ(ran.out.find('\x1b'), std::string::npos);
  EXPECT_NE(ran.out.find("450 a b?"), std::string::npos) << ran.out;
}

TEST(QueueList, OfALongQueueKeepsItsColumns) {
  FakeRelay relay([](const Json&) {
    FakeRelay::Lines lines;
    for (int i = 0; i < 2500; ++i) lines.push_back(entry("bob@example.org", "ready", 0, ""));
    lines.push_back({{"end", true}});
    return lines;
  });
  const Ran ran = run_words({"queue", "list", "--limit", "0", "--socket", relay.socket()});
  EXPECT_EQ(std::count(ran.out.begin(), ran.out.end(), '\n'), 2501);
  EXPECT_EQ(ran.out.find("recipient", 100), std::string::npos) << "the titles come once";
}

TEST(QueueShow, TellsAMessageAndItsRecipients) {
  FakeRelay relay([](const Json&) {
    return FakeRelay::Lines{entry("bob@example.org", "deferred", 2, "450 4.2.0 greylisted"),
                            entry("eve@example.org", "active", 1, ""),
                            {{"end", true}}};
  });
  const Ran ran = run_words({"queue", "show", "06NZR4S8G0000", "--socket", relay.socket()});
  EXPECT_EQ(ran.status, kDone) << ran.err;
  EXPECT_EQ(ran.out,
            "06NZR4S8G0000 from news@example.org, 20 KiB, 2 h old, on shard 1\n"
            "  bob@example.org by default: deferred, 2 attempts, next in 1 m 30 s\n"
            "    450 4.2.0 greylisted\n"
            "  eve@example.org by default: active, 1 attempt, next under way\n");
  EXPECT_EQ(relay.requests()[0]["command"], "queue.show");
  EXPECT_EQ(relay.requests()[0]["filter"], (Json{{"id", "06NZR4S8G0000"}}));
}

TEST(QueueShow, OfAMessageThatIsNotThere) {
  FakeRelay relay([](const Json&) { return FakeRelay::Lines{{{"end", true}}}; });
  const Ran ran = run_words({"queue", "show", "--id", "06NZR4S8G0000", "--socket", relay.socket()});
  EXPECT_EQ(ran.status, kFailed);
  EXPECT_EQ(ran.err,
            "ringmta: 06NZR4S8G0000 is not in the queue: it never was, or all its recipients are "
            "final (the events tell)\n");
}

TEST(QueueChanges, SayHowManyRecipientsTheyConcerned) {
  FakeRelay relay(
      [](const Json&) { return FakeRelay::Lines{{{"end", true}, {"recipients", 1234}}}; });
  Ran ran = run_words({"queue", "retry", "--all", "--socket", relay.socket()});
  EXPECT_EQ(ran.status, kDone) << ran.err;
  EXPECT_EQ(ran.out, "1,234 recipients due now.\n");
  ran = run_words({"queue", "remove", "--domain", "d1.test", "--socket", relay.socket()});
  EXPECT_EQ(ran.status, kDone) << ran.err;
  EXPECT_EQ(ran.out, "1,234 recipients removed.\n");
  ran = run_words({"queue", "remove", "06NZR4S8G0000", "--json", "--socket", relay.socket()});
  EXPECT_EQ(ran.out, "{\"recipients\":1234}\n");
  const auto requests = relay.requests();
  EXPECT_EQ(requests[0]["command"], "queue.retry");
  EXPECT_EQ(requests[0]["all"], true);
  EXPECT_EQ(requests[1]["command"], "queue.remove");
  EXPECT_EQ(requests[1]["filter"], (Json{{"domain", "d1.test"}}));
  EXPECT_FALSE(requests[1].contains("all"));
  EXPECT_EQ(requests[2]["filter"], (Json{{"id", "06NZR4S8G0000"}}));
}

TEST(QueueChanges, NeedAFilterOrAllButNotBoth) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"queue", "remove"},
        {"queue", "retry"},
        {"queue", "remove", "--all", "--domain", "d1.test"}}) {
    const Ran ran = run_words(words);
    EXPECT_EQ(ran.status, kMistake);
    EXPECT_EQ(ran.err,
              "ringmta: say which recipients: --id, --domain, --sender or --site (all given must "
              "match), or --all for the whole queue\n");
  }
}

TEST(QueueCommands, TellWhatTheRelayRefuses) {
  FakeRelay relay([](const Json&) {
    return FakeRelay::Lines{{{"error", "the id is not a message id"}, {"end", true}}};
  });
  const Ran ran = run_words({"queue", "list", "--id", "x", "--socket", relay.socket()});
  EXPECT_EQ(ran.status, kFailed);
  EXPECT_EQ(ran.err, "ringmta: the id is not a message id\n");
}

}  // namespace
}  // namespace ringmta::cli
