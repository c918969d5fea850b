// SPDX-License-Identifier: GPL-3.0-or-later
// Clients that vanish, at every point of a dialogue, and the end of the server itself. Whatever was
// theirs is given back (TearDown() looks), and what was answered 250 is kept.
#include <algorithm>

#include "station.h"

namespace ringmta::server {
namespace {

class Leaving : public Station {
 protected:
  // What a client says in one go after the banner: a small message, a big one, one by BDAT, one
  // that is refused, and half of one more.
  static std::string dialogue(std::vector<size_t>* ends = nullptr) {
    const std::string chunk = "Subject: chunk\r\n\r\n" + std::string(90'000, 'c') + "\r\n";
    std::string said = "EHLO client.example\r\n";
    const auto whole = [&](const std::string& one) {
      said += one;
      if (ends != nullptr) ends->push_back(said.size());
    };
    whole(message("small"));
    whole(opening() + big_content(120'000));
    whole("MAIL FROM:<a@one.example>\r\nRCPT TO:<b@two.example>\r\nBDAT " +
          std::to_string(chunk.size()) + "\r\n" + chunk + "BDAT 2 LAST\r\n\r\n");
    return said + opening() + "a bare\nline feed\r\n.\r\n" + opening() +
           big_content(80'000).substr(0, 79'000);
  }
};

TEST_F(Leaving, AResetAtAnyPointLeavesNothingBehind) {
  start();
  const SocketAddress address = options.listeners[0];
  size_t kept = 0;
  const std::string said = dialogue();
  for (size_t octets = 1; octets < said.size(); octets += 1 + world.random() % (said.size() / 60)) {
    if (world.random() % 4 == 0) {
      disk_takes(Milliseconds{200});
    } else {
      disk_takes(Milliseconds{1});
    }
    world.reset_after(address, octets);
    Client& client = connect();
    hears(client, "2", seconds(1));
    client.say(said);
    ASSERT_TRUE(run([&] { return client.ended && server->idle(); }, minutes(6))) << octets;
    ASSERT_TRUE(run([&] { return spool->idle(); }));
    EXPECT_GE(stored.size(), client.count("250 2.0.0 Ok: queued as "));
    EXPECT_LE(stored.size(), 3U);
    EXPECT_LE(memory(), 1'048'576U);
    kept += stored.size();
    finish_all();
    ASSERT_TRUE(run([&] { return memory() <= 262'144U; }, seconds(30))) << octets;
    EXPECT_EQ(server->counters().sessions, 0U);
    clients.clear();
  }
  EXPECT_GT(kept, 50U);
}

TEST_F(Leaving, AnEndAtAnyPointLeavesNothingBehind) {
  start();
  std::vector<size_t> ends;
  const std::string said = dialogue(&ends);
  for (size_t octets = 1; octets < said.size(); octets += 1 + world.random() % (said.size() / 60)) {
    Client& client = connect();
    ASSERT_TRUE(hears(client, "220"));
    client.say(said.substr(0, octets));
    client.finish();
    ASSERT_TRUE(run([&] { return client.ended && server->idle(); }, minutes(1))) << octets;
    ASSERT_TRUE(run([&] { return spool->idle(); }));
    const auto whole = std::ranges::count_if(ends, [&](size_t end) { return end <= octets; });
    EXPECT_EQ(stored.size(), static_cast<size_t>(whole)) << octets;
    EXPECT_GE(stored.size(), client.count("250 2.0.0 Ok: queued as ")) << octets;
    finish_all();
    ASSERT_TRUE(run([&] { return memory() <= 262'144U; }, seconds(30))) << octets;
    clients.clear();
  }
}

TEST_F(Leaving, QuitEndsTheConnectionFromOurSide) {
  start();
  Client& client = greeted();
  client.say("QUIT\r\n");
  ASSERT_TRUE(gone(client, seconds(1)));
  EXPECT_EQ(client.heard, "221 2.0.0 Bye\r\n");
  EXPECT_FALSE(client.broken);
}

// ---- the end of the server

TEST_F(Leaving, StopTellsWhoIsIdleAndLetsContentsEnd) {
  start();
  Client& idle = greeted();
  Client& asking = greeted("198.51.100.8");
  asking.say("MAIL FROM:<a@one.example>\r\n");
  Client& sending = greeted("198.51.100.9");
  const std::string content = big_content(100'000);
  sending.say(opening() + content.substr(0, 50'000));
  Client& waiting = greeted("198.51.100.10");
  disk_takes(seconds(3));
  waiting.say(message("in the commit"));
  ASSERT_TRUE(run([&] { return waiting.count("354") == 1 && sending.count("354") == 1; }));
  ASSERT_TRUE(run([&] { return sending.unsaid() == 0 && asking.count("250") == 1; }));
  ASSERT_TRUE(run([&] { return waiting.unsaid() == 0; }));
  world.run_for(Milliseconds{10});

  server->stop();
  io->ring_doorbell();
  ASSERT_TRUE(gone(idle, seconds(1)));
  EXPECT_EQ(idle.heard, "421 4.3.2 relay.example Service is shutting down\r\n");
  ASSERT_TRUE(gone(asking, seconds(1)));
  EXPECT_EQ(asking.count("421 4.3.2"), 1U);
  EXPECT_FALSE(waiting.ended);
  ASSERT_TRUE(gone(waiting));
  ASSERT_EQ(waiting.replies().size(), 5U) << waiting.heard;
  EXPECT_TRUE(waiting.replies()[3].starts_with("250 2.0.0 Ok: queued as "));
  EXPECT_TRUE(waiting.replies()[4].starts_with("421 4.3.2"));

  EXPECT_FALSE(sending.ended);
  EXPECT_FALSE(server->idle());
  sending.say(content.substr(50'000) + opening());
  ASSERT_TRUE(gone(sending));
  ASSERT_EQ(sending.count("250 2.0.0 Ok: queued as "), 1U) << sending.heard;
  EXPECT_TRUE(sending.replies().back().starts_with("421 4.3.2"));
  ASSERT_TRUE(run([&] { return server->idle(); }, seconds(5)));
  EXPECT_EQ(stored.size(), 2U);
}

TEST_F(Leaving, AfterStopNobodyIsLetIn) {
  start();
  greeted();
  server->stop();
  Client& late = connect();
  ASSERT_TRUE(gone(late, seconds(200)));
  EXPECT_TRUE(late.heard.empty());
  EXPECT_TRUE(late.broken || !late.connected);
}

TEST_F(Leaving, AbortTellsAndEndsWhatDoesNotEndByItself) {
  start();
  Client& sending = greeted();
  sending.say(opening() + big_content(100'000).substr(0, 90'000));
  Client& chunking = greeted("198.51.100.8");
  chunking.say("MAIL FROM:<a@one.example>\r\nRCPT TO:<b@two.example>\r\nBDAT 100\r\nSubject: x");
  Client& between = greeted("198.51.100.9");
  between.say("MAIL FROM:<a@one.example>\r\nRCPT TO:<b@two.example>\r\nBDAT 4\r\na: b");
  ASSERT_TRUE(run([&] { return sending.count("354") == 1 && sending.unsaid() == 0; }));
  ASSERT_TRUE(run([&] { return between.count("250 2.0.0") == 1 && chunking.unsaid() == 0; }));
  server->stop();
  world.run_for(seconds(10));
  EXPECT_FALSE(server->idle());
  server->abort_all();
  ASSERT_TRUE(run([&] { return server->idle(); }, seconds(1)));
  for (Client* client : {&sending, &chunking, &between}) {
    ASSERT_TRUE(gone(*client, seconds(1)));
    EXPECT_EQ(client->count("421 4.3.2 relay.example"), 1U) << client->heard;
    EXPECT_FALSE(client->broken);
  }
  EXPECT_TRUE(stored.empty());
}

// Who does not even take that word is not waited for.
TEST_F(Leaving, AbortIsBoundedForThoseWhoDoNotListen) {
  start();
  Client& deaf = greeted();
  deaf.say(opening() + big_content(100'000).substr(0, 90'000));
  ASSERT_TRUE(run([&] { return deaf.count("354") == 1 && deaf.unsaid() == 0; }));
  deaf.stop_reading();
  deaf.stays();
  server->abort_all();
  ASSERT_TRUE(run([&] { return server->idle(); }, seconds(3)));
}

}  // namespace
}  // namespace ringmta::server
