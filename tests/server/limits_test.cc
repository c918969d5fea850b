// SPDX-License-Identifier: GPL-3.0-or-later
// Every limit and what is said at it.
#include "station.h"

namespace ringmta::server {
namespace {

class Limits : public Station {};

TEST_F(Limits, SessionsBeyondTheLimitAreToldAndClosed) {
  options.sessions_max = 3;
  start();
  for (int i = 0; i < 3; ++i) greeted();
  Client& fourth = connect();
  ASSERT_TRUE(gone(fourth, seconds(1)));
  EXPECT_EQ(fourth.heard, "421 4.3.2 Too many sessions, try again later\r\n");
  EXPECT_EQ(server->counters().sessions, 3U);
  EXPECT_EQ(server->counters().sessions_refused, 1U);
  EXPECT_EQ(server->counters().sessions_total, 4U);
}

// The limit is of all shards: what another has (the table is what they share) leaves fewer here.
TEST_F(Limits, SessionsOfOtherShardsCount) {
  options.sessions_max = 3;
  start();
  const SocketAddress elsewhere = *parse_socket_address("203.0.113.5:1", 0);
  const ClientTable::Limits any{.sessions_max = 1'000, .sessions_per_client_max = 0};
  ASSERT_EQ(table.enter(elsewhere, any), ClientTable::Answer::entered);
  ASSERT_EQ(table.enter(elsewhere, any), ClientTable::Answer::entered);
  Client& first = greeted();
  Client& second = connect();
  ASSERT_TRUE(gone(second, seconds(1)));
  EXPECT_EQ(second.heard, "421 4.3.2 Too many sessions, try again later\r\n");
  table.leave(elsewhere);
  greeted();
  EXPECT_EQ(table.total(), 3U);
  first.say("QUIT\r\n");
  ASSERT_TRUE(run([&] { return table.total() == 2; }, seconds(5)));
  table.leave(elsewhere);
}

// However a session ends, its place is free again.
TEST_F(Limits, EverySessionGivesItsPlaceBack) {
  options.sessions_max = 4;
  options.sessions_per_client_max = 2;
  options.timeouts.idle = seconds(30);
  start();
  Client& quits = greeted("198.51.100.1");
  Client& resets = greeted("198.51.100.2");
  greeted("198.51.100.3");                    // goes to sleep
  Client& sending = greeted("198.51.100.4");  // is cut off in its content
  EXPECT_EQ(table.total(), 4U);
  connect("198.51.100.5").stays();  // one too many
  ASSERT_TRUE(run([&] { return server->counters().sessions_refused == 1; }, seconds(1)));
  EXPECT_EQ(table.total(), 4U);
  quits.say("QUIT\r\n");
  resets.reset();
  ASSERT_TRUE(run([&] { return table.total() == 2; }, seconds(5)));
  greeted("198.51.100.4");
  connect("198.51.100.4").stays();  // one too many of this address
  ASSERT_TRUE(run([&] { return server->counters().sessions_refused == 2; }, seconds(1)));
  EXPECT_EQ(table.total(), 3U);
  sending.say(opening() + "Subject: x\r\n");
  world.run_for(seconds(20));
  sending.say("a line\r\n");
  ASSERT_TRUE(run([&] { return table.total() == 1; }, seconds(20)));
  server->abort_all();
  ASSERT_TRUE(run([&] { return server->idle(); }, seconds(5)));
  EXPECT_EQ(table.total(), 0U);
}

// Those who were refused and do not go do not count.
TEST_F(Limits, RefusedSessionsTakeNobodysPlace) {
  options.sessions_max = 2;
  start();
  greeted();
  Client& second = greeted();
  std::vector<Client*> refused;
  for (int i = 0; i < 50; ++i) {
    refused.push_back(&connect());
    refused.back()->stays();
  }
  ASSERT_TRUE(run([&] { return server->counters().sessions_refused == 50; }, seconds(1)));
  second.say("QUIT\r\n");
  ASSERT_TRUE(gone(second, seconds(1)));
  ASSERT_TRUE(run([&] { return server->counters().sessions == 1; }, seconds(1)));
  EXPECT_FALSE(server->idle());
  greeted();
  EXPECT_EQ(server->counters().sessions, 2U);
}

TEST_F(Limits, MoreThanCanBeToldAreCutOff) {
  options.sessions_max = 1;
  start();
  greeted();
  for (int i = 0; i < 400; ++i) connect().stays();
  ASSERT_TRUE(run([&] { return server->counters().sessions_refused == 400; }, seconds(10)))
      << server->counters().sessions_refused;
  size_t told = 0;
  size_t ended = 0;
  world.run_for(seconds(5));
  for (size_t i = 1; i < clients.size(); ++i) {
    told += clients[i]->count("421 4.3.2");
    ended += clients[i]->ended ? 1 : 0;
  }
  EXPECT_EQ(ended, 400U);
  EXPECT_GE(told, 200U);
  EXPECT_EQ(server->counters().sessions, 1U);
}

TEST_F(Limits, SessionsOfOneAddressHaveALimitOfTheirOwn) {
  options.sessions_per_client_max = 2;
  start();
  greeted("198.51.100.7");
  Client& second = greeted("198.51.100.7");
  Client& third = connect("198.51.100.7");
  ASSERT_TRUE(gone(third, seconds(1)));
  EXPECT_EQ(third.heard, "421 4.7.0 Too many sessions from your address\r\n");
  greeted("198.51.100.8");
  second.say("QUIT\r\n");
  ASSERT_TRUE(gone(second));
  ASSERT_TRUE(run([&] { return server->counters().sessions == 2; }, seconds(5)));
  greeted("198.51.100.7");
}

TEST_F(Limits, WhoMayNotRelayIsRefusedAtEachRecipient) {
  start();
  Client& client = greeted("203.0.113.9");
  client.say("MAIL FROM:<a@one.example>\r\nRCPT TO:<b@two.example>\r\nDATA\r\n");
  ASSERT_TRUE(run([&] { return client.replies().size() == 3; }));
  EXPECT_EQ(client.count("250 2.1.0"), 1U);
  EXPECT_EQ(client.count("550 5.7.1"), 1U);
  EXPECT_EQ(client.count("554 5.5.1"), 1U);
  EXPECT_TRUE(stored.empty());
}

TEST_F(Limits, RecipientsBeyondTheLimitAreForTheNextTransaction) {
  options.session.recipients_max = 3;
  start();
  Client& client = greeted();
  std::string said = "MAIL FROM:<a@one.example>\r\n";
  for (int i = 0; i < 5; ++i) said += "RCPT TO:<r" + std::to_string(i) + "@two.example>\r\n";
  client.say(said + "DATA\r\nSubject: some\r\n\r\n.\r\n");
  ASSERT_TRUE(hears(client, "250 2.0.0 Ok: queued as "));
  EXPECT_EQ(client.count("250 2.1.5"), 3U);
  EXPECT_EQ(client.count("452 4.5.3"), 2U);
  ASSERT_EQ(stored.size(), 1U);
  EXPECT_EQ(stored[0].recipients,
            (std::vector<std::string>{"r0@two.example", "r1@two.example", "r2@two.example"}));
  EXPECT_EQ(server->counters().recipients, 3U);
}

TEST_F(Limits, TheSizeIsRefusedAtMailWhereItIsSaid) {
  options.session.message_size_max = 10'000;
  start();
  Client& client = greeted();
  client.say("MAIL FROM:<a@one.example> SIZE=10001\r\nMAIL FROM:<a@one.example> SIZE=10000\r\n");
  ASSERT_TRUE(run([&] { return client.replies().size() == 2; }));
  EXPECT_TRUE(client.replies()[0].starts_with("552 5.3.4")) << client.heard;
  EXPECT_TRUE(client.replies()[1].starts_with("250 2.1.0")) << client.heard;
}

TEST_F(Limits, TheSizeIsRefusedAfterAContentThatIsTooLarge) {
  options.session.message_size_max = 100'000;
  start();
  Client& client = greeted();
  client.say(opening() + big_content(150'000));
  ASSERT_TRUE(hears(client, "552 5.3.4"));
  EXPECT_TRUE(stored.empty());
  EXPECT_EQ(server->counters().messages_refused, 1U);
  EXPECT_LE(memory(), 262'144U);
  client.say(message("small"));
  ASSERT_TRUE(hears(client, "250 2.0.0 Ok: queued as "));
}

// The largest the client may send, every line of it a dot: a third more is stored, and that does
// not fit.
TEST_F(Limits, AMessageThatOutgrowsASegmentByItsDotsIsRefusedForGood) {
  options.session.message_size_max = spool_options.segment_size - 32'768;
  start();
  Client& client = greeted();
  const std::string lines = "..\r\n";
  std::string content = "Subject: dots\r\n\r\n";
  const size_t dots = (options.session.message_size_max - content.size()) / 3;
  for (size_t i = 0; i < dots; ++i) content += lines;
  client.say(opening() + content + ".\r\nNOOP\r\n");
  ASSERT_TRUE(run([&] { return client.count("250 2.0.0") == 1; })) << client.heard;
  EXPECT_EQ(client.count("552 5.3.4"), 1U) << client.heard;
  EXPECT_TRUE(stored.empty());
}

// And one that nearly does: whatever its size, it is stored or refused for good, and nothing
// breaks.
TEST_F(Limits, AroundTheSizeOfASegmentMessagesAreStoredOrRefused) {
  options.session.message_size_max = 0;
  spool_options.segment_size = 262'144;
  start();
  size_t accepted = 0;
  size_t refused = 0;
  for (size_t octets = 230'000; octets < 264'000; octets += 173) {
    Client& client = greeted();
    client.say(opening() + big_content(octets));
    ASSERT_TRUE(run([&] { return client.count("250 2.0.0") + client.count("552 5.3.4") == 1; }))
        << octets << client.heard;
    accepted += client.count("250 2.0.0");
    refused += client.count("552");
    EXPECT_EQ(client.count("452"), 0U);
    EXPECT_TRUE(refused == 0 || client.count("552") == 1) << octets;  // no hole in between
    client.say("QUIT\r\n");
    ASSERT_TRUE(gone(client));
    finish_all();
    ASSERT_TRUE(run([&] { return spool->counters().segments_free >= 2; }));
  }
  EXPECT_GT(accepted, 3U);
  EXPECT_GT(refused, 3U);
}

TEST_F(Limits, TooManyCommandsEndTheSession) {
  options.session.commands_max = 10;
  start();
  Client& client = greeted();  // EHLO was the first
  for (int i = 0; i < 12; ++i) client.say("NOOP\r\n");
  ASSERT_TRUE(gone(client));
  EXPECT_EQ(client.count("250 2.0.0"), 9U) << client.heard;
  EXPECT_EQ(client.count("421 4.7.0"), 1U);
}

TEST_F(Limits, TooManyErrorsEndTheSession) {
  options.session.errors_max = 5;
  start();
  Client& client = greeted();
  for (int i = 0; i < 12; ++i) client.say("HUH\r\n");
  ASSERT_TRUE(gone(client));
  EXPECT_EQ(client.count("500 5.5.2"), 5U) << client.heard;
  EXPECT_EQ(client.count("421 4.7.0"), 1U);
}

TEST_F(Limits, TooManyTransactionsEndTheSession) {
  options.session.messages_max = 2;
  start();
  Client& client = greeted();
  client.say(message("one") + message("two") + "MAIL FROM:<a@one.example>\r\n");
  ASSERT_TRUE(gone(client));
  EXPECT_EQ(client.count("250 2.0.0 Ok: queued"), 2U);
  EXPECT_TRUE(client.replies().back().starts_with("421")) << client.heard;
}

TEST_F(Limits, WhoTalksBeforeTheBannerIsRefused) {
  options.timeouts.greeting_delay = seconds(3);
  start();
  Client& early = connect();
  early.say("EHLO spam.example\r\n");
  Client& patient = connect();
  ASSERT_TRUE(gone(early, seconds(2)));
  EXPECT_TRUE(early.heard.starts_with("554 5.5.1")) << early.heard;
  EXPECT_TRUE(patient.heard.empty());
  const Monotonic begun = world.now();
  ASSERT_TRUE(hears(patient, "220 relay.example"));
  EXPECT_GE((world.now() - begun).count, 2'500);
}

// However the ring tells of it: the octets are there before the relay knows of the connection.
TEST_F(Limits, WhoHasTalkedBeforeHeIsAcceptedIsRefusedWithoutADelayToo) {
  start();
  for (int i = 0; i < 20; ++i) {
    io->pause_listening(ring::ListenerId{0});
    Client& early = connect();
    early.say("EHLO spam.example\r\nNOOP\r\n");
    ASSERT_TRUE(run([&] { return early.connected && early.unsaid() == 0; }));
    world.run_for(seconds(1));
    io->resume_listening(ring::ListenerId{0});
    ASSERT_TRUE(gone(early, seconds(5)));
    ASSERT_EQ(early.heard, "554 5.5.1 You spoke before the greeting\r\n");
  }
  ASSERT_TRUE(run([&] { return server->idle(); }, seconds(5)));
  EXPECT_EQ(server->counters().sessions_total, 20U);
  greeted();
}

// ---- memory

TEST_F(Limits, WithoutMemoryNoMessageBegins) {
  spool_options.memory_max = 2 * 1'048'576;
  options.session.message_size_max = 1'000'000;
  start();
  disk_takes(seconds(20));
  size_t refused = 0;
  for (int i = 0; i < 12; ++i) {
    Client& client = greeted();
    client.say(opening());
    ASSERT_TRUE(run([&] { return client.count("354") + client.count("452 4.3.1") == 1; }));
    refused += client.count("452");
    if (client.count("354") == 1) client.say(big_content(400'000));
    ASSERT_TRUE(run([&] { return client.unsaid() == 0; }));
    world.run_for(Milliseconds{50});
  }
  EXPECT_GE(refused, 4U);
  EXPECT_LE(refused, 8U);
  EXPECT_LT(memory(), 3 * 1'048'576U);
  disk_takes(Milliseconds{1});
  ASSERT_TRUE(run([&] { return stored.size() == 12 - refused; }, minutes(10)));
  Client& later = greeted();
  later.say(message("later"));
  ASSERT_TRUE(hears(later, "250 2.0.0 Ok: queued as "));
}

// Many at once that all began while there was memory.
TEST_F(Limits, WhenMemoryRunsOutContentsInArrivalAreRefusedAndForgotten) {
  spool_options.memory_max = 1'048'576;
  options.session.message_size_max = 1'000'000;
  start();
  std::vector<Client*> senders;
  for (int i = 0; i < 8; ++i) {
    senders.push_back(&greeted());
    senders.back()->say(opening());
  }
  ASSERT_TRUE(run([&] {
    size_t invited = 0;
    for (const Client* sender : senders) invited += sender->count("354");
    return invited == senders.size();
  }));
  for (Client* sender : senders) sender->say(big_content(600'000) + "NOOP\r\n");
  ASSERT_TRUE(run([&] {
    size_t answered = 0;
    for (const Client* sender : senders) {
      answered += sender->replies().back().starts_with("250 2.0.0 Ok") ? 1 : 0;
      EXPECT_LT(memory(), 2'000'000U);
    }
    return answered == senders.size();
  }));
  size_t refused = 0;
  for (const Client* sender : senders) refused += sender->count("452 4.3.1");
  EXPECT_GE(refused, 4U);
  EXPECT_EQ(stored.size(), senders.size() - refused);
}

}  // namespace
}  // namespace ringmta::server
