// SPDX-License-Identifier: GPL-3.0-or-later
// What waits too long, for whom, and what is said then.
#include "station.h"

namespace ringmta::server {
namespace {

class Timeouts : public Station {};

TEST_F(Timeouts, AnIdleClientIsToldAndClosed) {
  options.timeouts.idle = seconds(30);
  start();
  Client& client = greeted();
  world.run_for(seconds(25));
  EXPECT_FALSE(client.ended);
  client.say("NOOP\r\n");  // and so it has another thirty seconds
  world.run_for(seconds(25));
  EXPECT_FALSE(client.ended);
  ASSERT_TRUE(gone(client, seconds(10)));
  EXPECT_EQ(client.count("421 4.4.2 relay.example"), 1U) << client.heard;
  EXPECT_EQ(server->counters().timeouts, 1U);
}

// It says something all the time, but never a whole command.
TEST_F(Timeouts, ACommandThatComesOctetByOctetIsIdleness) {
  options.timeouts.idle = seconds(30);
  start();
  Client& client = greeted();
  const Monotonic begun = world.now();
  for (int i = 0; i < 40 && !client.ended; ++i) {
    client.say("N");
    world.run_for(seconds(5));
  }
  ASSERT_TRUE(gone(client, seconds(1)));
  EXPECT_EQ(client.count("421 4.4.2 relay.example"), 1U) << client.heard;
  EXPECT_LE((world.now() - begun).count, 37'000);
}

TEST_F(Timeouts, ACommandThatComesOctetByOctetInATransactionIsToo) {
  options.timeouts.idle = seconds(30);
  start();
  Client& client = greeted();
  client.say("MAIL FROM:<a@one.example>\r\n");
  const Monotonic begun = world.now();
  for (int i = 0; i < 40 && !client.ended; ++i) {
    client.say("R");
    world.run_for(seconds(5));
  }
  ASSERT_TRUE(gone(client, seconds(1)));
  EXPECT_LE((world.now() - begun).count, 37'000);
}

// A slow line has its time from the line before; a slow content goes on while octets of it come.
TEST_F(Timeouts, SlowLinesAndContentsAreTakenWhileTheyGoOn) {
  options.timeouts.idle = seconds(30);
  start();
  Client& client = greeted();
  const auto dribble = [&](std::string_view text, Milliseconds pause) {
    for (const char octet : text) {
      client.say({&octet, 1});
      world.run_for(pause);
    }
  };
  for (int i = 0; i < 3; ++i) dribble("NOOP\r\n", seconds(4));
  client.say(opening());
  dribble("Subject: slow\r\n\r\nhello\r\n.\r\n", seconds(20));
  ASSERT_TRUE(run([&] { return client.count("250 2.0.0 Ok: queued") == 1; }, seconds(5)))
      << client.heard;
  EXPECT_EQ(stored.size(), 1U);
}

TEST_F(Timeouts, AClientThatNeverSaysAnythingIsIdleToo) {
  options.timeouts.idle = seconds(30);
  start();
  Client& client = connect();
  ASSERT_TRUE(gone(client, seconds(35)));
  EXPECT_EQ(client.replies().size(), 2U);
  EXPECT_EQ(client.count("421 4.4.2"), 1U) << client.heard;
}

TEST_F(Timeouts, AClientThatStopsInItsContentIsToldAndItsContentForgotten) {
  options.timeouts.idle = seconds(30);
  start();
  Client& client = greeted();
  const std::string content = big_content(200'000);
  client.say(opening() + content.substr(0, content.size() - 10));
  ASSERT_TRUE(gone(client));
  EXPECT_EQ(client.count("421 4.4.2"), 1U) << client.heard;
  EXPECT_TRUE(stored.empty());
  ASSERT_TRUE(run([&] { return server->idle(); }, seconds(5)));
  EXPECT_LE(memory(), 262'144U);
}

// However busy it is.
TEST_F(Timeouts, ATransactionHasItsTime) {
  options.timeouts.idle = seconds(30);
  options.timeouts.transaction = seconds(100);
  start();
  Client& client = greeted();
  client.say(opening());
  const Monotonic begun = world.now();
  for (int i = 0; i < 30 && !client.ended; ++i) {
    client.say("a line\r\n");
    world.run_for(seconds(5));
  }
  ASSERT_TRUE(gone(client));
  EXPECT_EQ(client.count("421 4.4.2"), 1U) << client.heard;
  EXPECT_LE((world.now() - begun).count, 110'000);
  EXPECT_GE((world.now() - begun).count, 95'000);
}

// One piece ends a message and begins the next, over and over: none of them takes long.
TEST_F(Timeouts, EachTransactionBeginsItsTimeAnew) {
  options.timeouts.idle = seconds(30);
  options.timeouts.transaction = seconds(60);
  start();
  Client& client = greeted();
  client.say(opening());
  for (size_t i = 0; i < 20; ++i) {
    client.say("Subject: one of many\r\n\r\n.\r\n" + opening());
    world.run_for(seconds(10));
    ASSERT_FALSE(client.ended) << client.heard;
    EXPECT_EQ(stored.size(), i + 1);
  }
}

TEST_F(Timeouts, ATransactionThatWasResetBeginsItsTimeAnew) {
  options.timeouts.idle = seconds(30);
  options.timeouts.transaction = seconds(60);
  start();
  Client& client = greeted();
  client.say("MAIL FROM:<a@one.example>\r\n");
  for (int i = 0; i < 20; ++i) {
    client.say("RSET\r\nMAIL FROM:<a@one.example>\r\n");
    world.run_for(seconds(10));
    ASSERT_FALSE(client.ended) << client.heard;
  }
}

// The time of a transaction that waits for our disk is not the client's.
TEST_F(Timeouts, AFrozenDiskIsNotTheClientsFault) {
  options.timeouts.idle = seconds(30);
  options.timeouts.transaction = seconds(60);
  start();
  Client& client = greeted();
  disk_takes(minutes(5));
  client.say(message("first") + opening());
  ASSERT_TRUE(run([&] { return client.count("354") == 1 && client.unsaid() == 0; }));
  const uint64_t turns = io->counters().turns;
  world.run_for(minutes(4));
  EXPECT_LT(io->counters().turns, turns + 1'000);
  EXPECT_FALSE(client.ended);
  EXPECT_EQ(client.count("354"), 1U) << client.heard;
  EXPECT_TRUE(stored.empty());
  ASSERT_TRUE(run([&] { return client.count("354") == 2; }, minutes(10)));
  client.say("Subject: second\r\n\r\n.\r\n");
  disk_takes(Milliseconds{1});
  ASSERT_TRUE(run([&] { return client.count("250 2.0.0 Ok: queued") == 2; }, minutes(10)));
  EXPECT_EQ(client.count("421"), 0U);
}

// ---- clients that do not take their replies

TEST_F(Timeouts, AClientThatTakesNoRepliesIsDropped) {
  options.timeouts.idle = minutes(10);
  options.timeouts.reply = seconds(40);
  world.network().window_octets = 2'000;
  start();
  Client& client = connect(kClient, false);
  ASSERT_TRUE(run([&] { return client.connected; }));
  world.run_for(seconds(1));
  std::string said = "EHLO client.example\r\n";
  for (int i = 0; i < 100; ++i) said += "HELP\r\n";
  client.say(said);
  world.run_for(seconds(30));
  EXPECT_FALSE(server->idle());
  ASSERT_TRUE(run([&] { return server->idle(); }, seconds(20)));
  EXPECT_EQ(server->counters().timeouts, 1U);
}

// It is not read any more, so what it has said stays with it.
TEST_F(Timeouts, WhoTakesNoRepliesIsNotReadAndGetsAllOfThemLater) {
  world.network().window_octets = 4'096;
  start();
  Client& client = connect(kClient, false);
  ASSERT_TRUE(run([&] { return client.connected; }));
  world.run_for(seconds(1));
  constexpr size_t kCommands = 60'000;
  std::string said = "EHLO client.example\r\n";
  for (size_t i = 0; i < kCommands; ++i) said += "HELP\r\n";
  client.say(said + "QUIT\r\n");
  world.run_for(seconds(60));
  EXPECT_GT(client.unsaid(), 0U);
  EXPECT_LT(io->counters().received_octets, 100'000U);
  const uint64_t turns = io->counters().turns;
  world.run_for(seconds(60));
  EXPECT_LT(io->counters().turns, turns + 100);  // and it costs nothing meanwhile
  client.read();
  ASSERT_TRUE(gone(client, minutes(4)));
  EXPECT_EQ(client.count("214 "), kCommands);
  EXPECT_EQ(client.count("221 "), 1U);
}

}  // namespace
}  // namespace ringmta::server
