// SPDX-License-Identifier: GPL-3.0-or-later
// The promise of a 250: it comes after the disk has the message, in order, or not at all.
#include <algorithm>
#include <cerrno>

#include "station.h"

namespace ringmta::server {
namespace {

class Commit : public Station {};

// What the first messages are written to; the spool makes spare segments meanwhile.
constexpr const char* kHead = "segment-000-000001";

TEST_F(Commit, Comes250OnlyAfterTheWrite) {
  start();
  Client& client = greeted();
  disk_takes(seconds(10));
  client.say(message("slow"));
  ASSERT_TRUE(run([&] { return client.count("354") == 1 && client.unsaid() == 0; }));
  world.run_for(Milliseconds{9'900});
  EXPECT_EQ(client.count("250 2.0.0 Ok: queued"), 0U) << client.heard;
  EXPECT_TRUE(stored.empty());
  EXPECT_EQ(server->counters().messages, 0U);
  ASSERT_TRUE(hears(client, "250 2.0.0 Ok: queued as ", seconds(20)));
  ASSERT_EQ(stored.size(), 1U);
  EXPECT_EQ(server->counters().messages, 1U);
  EXPECT_EQ(server->counters().recipients, 1U);
}

TEST_F(Commit, IsAnsweredLaterThanTheIdleTimeoutWhenTheDiskIsFrozen) {
  options.timeouts.idle = seconds(20);
  start();
  Client& client = greeted();
  disk_takes(minutes(3));
  client.say(message("frozen"));
  ASSERT_TRUE(hears(client, "250 2.0.0 Ok: queued as ", minutes(10)));
  EXPECT_EQ(client.count("421"), 0U);
}

TEST_F(Commit, TheIdleTimeBeginsWithTheReply) {
  options.timeouts.idle = seconds(20);
  start();
  Client& client = greeted();
  disk_takes(seconds(19));
  client.say(message("slow"));
  ASSERT_TRUE(hears(client, "250 2.0.0 Ok: queued as "));
  world.run_for(seconds(10));
  client.say("NOOP\r\n");
  ASSERT_TRUE(run([&] { return client.count("250 2.0.0") == 2; }, seconds(5))) << client.heard;
  EXPECT_EQ(client.count("421"), 0U);
}

TEST_F(Commit, AFailedWriteIs452AndTheMessageIsGone) {
  start();
  Client& client = greeted();
  world.inject({.operation = sim::DiskOperation::write, .error = EIO, .path_contains = kHead});
  client.say(message("lost"));
  ASSERT_TRUE(hears(client, "452 4.3.1"));
  EXPECT_TRUE(stored.empty());
  EXPECT_EQ(spool->counters().messages, 0U);
  EXPECT_EQ(server->counters().messages, 0U);
  EXPECT_EQ(server->counters().messages_refused, 1U);
  world.run_for(seconds(30));
  client.say(message("kept"));
  ASSERT_TRUE(hears(client, "250 2.0.0 Ok: queued as "));
  ASSERT_EQ(stored.size(), 1U);
  EXPECT_NE(stored[0].wire.find("Subject: kept"), std::string::npos);
}

TEST_F(Commit, AFullSpoolRefusesAtDataAndRecovers) {
  spool_options.segment_size = 262'144;
  spool_options.disk_max = 4 * 262'144;
  start();
  Client& client = greeted();
  const std::string content = big_content(20'000);
  size_t accepted = 0;
  while (accepted < 200) {
    client.heard.clear();
    client.say(opening());
    ASSERT_TRUE(run([&] { return client.count("354") + client.count("452") == 1; }));
    if (client.count("452") == 1) break;
    client.say(content);
    ASSERT_TRUE(run([&] { return client.count("250 2.0.0") + client.count("452") == 1; }));
    if (client.count("452") == 0) ++accepted;
  }
  EXPECT_GT(accepted, 20U);
  EXPECT_LT(accepted, 60U);
  EXPECT_EQ(client.count("452 4.3.1"), 1U) << client.heard;
  EXPECT_EQ(client.count("354"), 0U);
  EXPECT_EQ(stored.size(), accepted);

  finish_all();
  ASSERT_TRUE(run([&] { return spool->accepting(); }, minutes(5)));
  client.heard.clear();
  client.say(message("again"));
  EXPECT_TRUE(hears(client, "250 2.0.0 Ok: queued as "));
}

TEST_F(Commit, RepliesKeepTheOrderOfWhatWasPipelined) {
  start();
  Client& client = greeted();
  disk_takes(Milliseconds{50});
  std::string said;
  for (int i = 0; i < 30; ++i) {
    said +=
        message("number " + std::to_string(i)) + "VRFY <v" + std::to_string(i) + "@x.example>\r\n";
  }
  client.say(said + "QUIT\r\n");
  ASSERT_TRUE(gone(client));
  const std::vector<std::string> lines = client.replies();
  ASSERT_EQ(lines.size(), 30U * 5 + 1) << client.heard;
  for (size_t i = 0; i < 30; ++i) {
    EXPECT_TRUE(lines[i * 5].starts_with("250 2.1.0")) << lines[i * 5];
    EXPECT_TRUE(lines[i * 5 + 1].starts_with("250 2.1.5")) << lines[i * 5 + 1];
    EXPECT_TRUE(lines[i * 5 + 2].starts_with("354")) << lines[i * 5 + 2];
    EXPECT_TRUE(lines[i * 5 + 3].starts_with("250 2.0.0 Ok: queued as ")) << lines[i * 5 + 3];
    EXPECT_TRUE(lines[i * 5 + 4].starts_with("252")) << lines[i * 5 + 4];
  }
  EXPECT_TRUE(lines.back().starts_with("221"));
  ASSERT_EQ(stored.size(), 30U);
  for (size_t i = 0; i < 30; ++i) {  // the id in a reply is that of its message
    EXPECT_NE(stored[i].wire.find("Subject: number " + std::to_string(i) + "\r\n"),
              std::string::npos);
    const std::string id = lines[i * 5 + 3].substr(std::string("250 2.0.0 Ok: queued as ").size());
    EXPECT_NE(stored[i].wire.find(id), std::string::npos);
  }
}

TEST_F(Commit, AFailedMessageAmongOthersIsTheOneThatIsRefused) {
  start();
  Client& client = greeted();
  disk_takes(Milliseconds{50});
  client.say(message("first"));
  ASSERT_TRUE(run([&] { return client.count("354") == 1 && client.unsaid() == 0; }));
  world.inject({.operation = sim::DiskOperation::write, .error = EIO, .path_contains = kHead});
  world.run_for(Milliseconds{10});
  client.say(message("second") + "NOOP\r\n");
  ASSERT_TRUE(run([&] { return client.count("452 4.3.1") == 1 && client.count("250 2.0.0") == 2; }))
      << client.heard;
  ASSERT_EQ(stored.size(), 1U);
  EXPECT_EQ(spool->counters().messages, 1U);
}

// Many replies behind one that waits for the disk: the session waits too, without turning in place.
TEST_F(Commit, ManyCommandsBehindASlowCommitAreAnsweredAfterIt) {
  start();
  Client& client = greeted();
  disk_takes(seconds(5));
  std::string said = message("slow");
  for (int i = 0; i < 5'000; ++i) said += "NOOP\r\n";
  client.say(said + "QUIT\r\n");
  ASSERT_TRUE(run([&] { return client.count("354") == 1; }));
  const uint64_t turns = io->counters().turns;
  while (stored.empty() && io->counters().turns < turns + 10'000) ASSERT_TRUE(world.step());
  EXPECT_LT(io->counters().turns, turns + 1'000);
  ASSERT_TRUE(gone(client));
  EXPECT_EQ(client.count("250 2.0.0"), 5'001U);
  EXPECT_EQ(client.count("221"), 1U);
}

TEST_F(Commit, AClientThatLeavesBeforeIts250HasItsMessageStored) {
  start();
  Client& client = greeted();
  disk_takes(seconds(5));
  client.say(message("left"));
  ASSERT_TRUE(run([&] { return client.count("354") == 1 && client.unsaid() == 0; }));
  world.run_for(Milliseconds{100});
  client.reset();
  world.run_for(seconds(2));
  EXPECT_TRUE(stored.empty());
  ASSERT_TRUE(run([&] { return server->idle(); }));
  EXPECT_EQ(stored.size(), 1U);
}

}  // namespace
}  // namespace ringmta::server
