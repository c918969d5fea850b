// SPDX-License-Identifier: GPL-3.0-or-later
// A site's hosts are tried down the list (RFC 5321 5.1), also where a host fails only after EHLO:
// the message goes to the next one at once, and each has one turn.
#include "relay.h"

namespace ringmta::client {
namespace {

using Answer = std::optional<std::string>;

struct Rows : Relay {
  Rows() {
    options.timeouts.greeting = options.timeouts.mail = options.timeouts.recipient = seconds(20);
    options.timeouts.data = options.timeouts.content_end = seconds(20);
    for (int i = 1; i <= 7; ++i) {
      peers.push_back(std::make_unique<ScriptedPeer>(world, address_of(i) + ":25"));
    }
  }
  static std::string address_of(int number) { return "192.0.2." + std::to_string(number); }
  ScriptedPeer& peer(size_t number) { return *peers.at(number - 1); }
  // From all connections: `text` to every command that begins with `verb` ("" is the content).
  void answer(size_t number, const std::string& verb, const std::string& text) {
    peer(number).script.answer = [verb, text](uint32_t, std::string_view line) -> Answer {
      if (verb.empty() ? line.empty() : line.starts_with(verb)) return text;
      return {};
    };
  }
  // The peers from 1 on, by preference.
  void start_with(int hosts, uint32_t connections_max = 10) {
    start();
    site = queue().add_site({}, connections_max);
    for (int i = 1; i <= hosts; ++i) {
      const auto preference = static_cast<uint16_t>(i * 10);
      queue().site(site).hosts.push_back(
          {"mx" + std::to_string(i), *parse_socket_address(address_of(i), 25), preference});
    }
  }
  // The shard, which slept through it, looks at its clock.
  void wait(Milliseconds time) {
    world.run_for(time);
    shard->io->ring_doorbell();
    world.run_for(Milliseconds{1});
  }
  std::vector<uint32_t> connections(size_t hosts) const {
    std::vector<uint32_t> counts;
    for (size_t i = 0; i < hosts; ++i) counts.push_back(peers[i]->connections);
    return counts;
  }

  std::vector<std::unique_ptr<ScriptedPeer>> peers;
  queue::SiteId site;
};

using Counts = std::vector<uint32_t>;

// ---- failing after EHLO

struct Failing {
  const char* verb;
  const char* text;
  const char* name;
};

struct EachFailure : Rows, ::testing::WithParamInterface<Failing> {};

TEST_P(EachFailure, IsPassedOverAtOnce) {
  answer(1, GetParam().verb, GetParam().text);
  start_with(2);
  queue().add(site, mail("one"));
  const Monotonic begun = world.now();
  ASSERT_TRUE(run_until_results(1));
  EXPECT_EQ(queue().results[0].verdict, Verdict::delivered);
  EXPECT_EQ(queue().results[0].peer_name, "mx2");
  EXPECT_EQ(connections(2), (Counts{1, 1}));
  EXPECT_TRUE(queue().news.empty());
  EXPECT_LE((world.now() - begun).count, 21'000);  // those that say nothing: their timeout
}

INSTANTIATE_TEST_SUITE_P(
    AfterEhlo, EachFailure,
    ::testing::Values(Failing{"MAIL", "421 4.3.2 shutting down!drop", "MailClosing"},
                      Failing{"MAIL", "!drop", "MailDrop"}, Failing{"MAIL", "!reset", "MailReset"},
                      Failing{"MAIL", "!deaf", "MailSilence"},
                      Failing{"MAIL", "HTTP/1.1 400 Bad Request", "MailNonsense"},
                      Failing{"RCPT", "421 4.3.2 shutting down!drop", "RecipientClosing"},
                      Failing{"RCPT", "!drop", "RecipientDrop"},
                      Failing{"RCPT", "!deaf", "RecipientSilence"},
                      Failing{"DATA", "421 4.3.2 shutting down!drop", "DataClosing"},
                      Failing{"DATA", "!drop", "DataDrop"},
                      Failing{"DATA", "!deaf", "DataSilence"}),
    [](const auto& param) { return std::string(param.param.name); });

// As the queue tries a message again: the preferred host is usable each time, and fails each time.
TEST_F(Rows, SparseMailGetsToTheSecondHost) {
  answer(1, "MAIL", "421 4.3.2 shutting down!drop");
  start_with(2);
  for (size_t i = 1; i <= 4; ++i) {
    queue().add(site, mail("m"));
    ASSERT_TRUE(run_until_results(i, seconds(5)));
    wait(minutes(3));
  }
  EXPECT_EQ(queue().count(Verdict::delivered), 4U);
  EXPECT_EQ(peer(2).mails.size(), 4U);
  EXPECT_GT(peer(1).connections, 1U);
}

TEST_F(Rows, MuchMailSparesTheFailingHost) {
  answer(1, "MAIL", "!drop");
  start_with(2);
  for (int i = 0; i < 200; ++i) queue().add(site, mail("m"));
  ASSERT_TRUE(run_until_results(200, seconds(10)));
  EXPECT_EQ(queue().count(Verdict::delivered), 200U);
  EXPECT_EQ(peer(2).mails.size(), 200U);
  EXPECT_LE(peer(1).connections, 3U);
}

TEST_F(Rows, OnlyRecipientsWithoutAnAnswerGoOn) {
  peer(1).script.answer = [](uint32_t, std::string_view line) -> Answer {
    if (line.starts_with("RCPT TO:<bad@x>")) return "550 5.1.1 no such user";
    if (line.starts_with("RCPT TO:<last@x>")) return "421 4.3.2 shutting down!drop";
    return {};
  };
  start_with(2);
  Mail one = mail("one");
  one.to = {"good@x", "bad@x", "last@x"};
  queue().add(site, one);
  ASSERT_TRUE(run_until_results(3));
  EXPECT_EQ(queue().result_of("one", "bad@x")->verdict, Verdict::refused);
  EXPECT_EQ(queue().result_of("one", "bad@x")->peer_name, "mx1");
  ASSERT_EQ(peer(2).mails.size(), 1U);
  EXPECT_EQ(peer(2).mails[0].to, (std::vector<std::string>{"good@x", "last@x"}));
}

TEST_F(Rows, ALentJobGoesBackToBeTriedAtOnce) {
  answer(1, "MAIL", "!drop");
  start_with(2);
  pools().lent(queue().make_lent(site, mail("lent"), ShardId{3}));
  ASSERT_TRUE(run([&] { return shard->returned.size() == 1; }));
  EXPECT_EQ(shard->returned[0]->recipients[0].verdict, Verdict::retry_now);
  pools().lent(queue().make_lent(site, mail("lent"), ShardId{3}));
  ASSERT_TRUE(run([&] { return shard->returned.size() == 2; }));
  EXPECT_EQ(shard->returned[1]->recipients[0].verdict, Verdict::delivered);
  EXPECT_EQ(connections(2), (Counts{1, 1}));
}

// ---- where it is not passed on

TEST_F(Rows, AContentThatMayHaveArrivedIsNot) {
  for (const bool chunking : {false, true}) {
    for (const char* text : {"!drop", "421 4.3.2 shutting down!drop"}) {
      peer(1).script.ehlo = chunking ? kChunking : kLockStep;
      answer(1, "", text);
      start_with(2);
      queue().add(site, mail("one"));
      ASSERT_TRUE(run_until_results(1));
      EXPECT_EQ(queue().results[0].verdict, Verdict::deferred);
      EXPECT_EQ(queue().results[0].phase, smtp::Phase::content);
      EXPECT_EQ(peer(2).connections, 0U);
      TearDown();
    }
  }
}

// The peer says that it did not look at the content that came along.
TEST_F(Rows, AContentBehindARefusedMailIs) {
  peer(1).script.ehlo = kChunking;
  answer(1, "MAIL", "421 4.3.2 shutting down!drop");
  start_with(2);
  queue().add(site, mail("one"));
  ASSERT_TRUE(run_until_results(1));
  EXPECT_EQ(queue().results[0].verdict, Verdict::delivered);
  EXPECT_EQ(connections(2), (Counts{1, 1}));
}

TEST_F(Rows, WhatIsSaidAboutUsIsNot) {
  answer(1, "MAIL", "421 4.7.28 too much of yours!drop");
  start_with(2);
  queue().add(site, mail("one"));
  ASSERT_TRUE(run_until_results(1));
  EXPECT_EQ(queue().results[0].verdict, Verdict::deferred);
  EXPECT_EQ(queue().results[0].code, 421);
  EXPECT_EQ(peer(2).connections, 0U);
}

// Nor is what the peer had begun to answer there tried again at once.
TEST_F(Rows, AUsedConnectionsEndInTheMiddleOfAnEnvelopeDefers) {
  peer(1).script.answer = [count = 0](uint32_t, std::string_view line) mutable -> Answer {
    if (line.starts_with("RCPT") && ++count == 2) return "421 4.3.2 shutting down!drop";
    return {};
  };
  start_with(2);
  for (size_t i = 1; i <= 2; ++i) {
    queue().add(site, mail("m"));
    ASSERT_TRUE(run_until_results(i));
  }
  EXPECT_EQ(queue().results[1].verdict, Verdict::deferred);
  EXPECT_EQ(connections(2), (Counts{1, 0}));
}

// An ordinary end of a connection that was good for something.
TEST_F(Rows, AUsedConnectionsEndIsNoReasonToChangeTheHost) {
  peer(1).script.answer = [count = 0](uint32_t connection,
                                      std::string_view line) mutable -> Answer {
    if (line.starts_with("MAIL") && connection == 1 && ++count == 2) {
      return "421 4.4.2 idle for too long!drop";
    }
    return {};
  };
  start_with(2);
  for (size_t i = 1; i <= 2; ++i) {
    queue().add(site, mail("m"));
    ASSERT_TRUE(run_until_results(i));
  }
  EXPECT_EQ(queue().count(Verdict::delivered), 2U);
  EXPECT_EQ(connections(2), (Counts{2, 0}));
}

// A host that serves other connections is well, and gets no further one for a while.
TEST_F(Rows, AHostThatServesOthersIsNotLeft) {
  peer(1).script.delay = Milliseconds{100};
  peer(1).script.answer = [](uint32_t connection, std::string_view line) -> Answer {
    if (line.starts_with("MAIL") && connection > 1) return "421 4.3.2 too many connections!drop";
    return {};
  };
  start_with(2, 2);
  for (int i = 0; i < 10; ++i) queue().add(site, mail("m"));
  ASSERT_TRUE(run_until_results(10));
  EXPECT_GT(peer(1).connections, 1U);
  EXPECT_GT(queue().count(Verdict::deferred), 0U);
  EXPECT_EQ(peer(2).connections, 0U);
}

TEST_F(Rows, AMessageThatHasExpiredIsNot) {
  answer(1, "MAIL", "!deaf");
  start_with(2);
  queue().lifetime = seconds(7);
  queue().add(site, mail("one"));
  ASSERT_TRUE(run_until_results(1));
  EXPECT_EQ(queue().results[0].verdict, Verdict::deferred);
  EXPECT_EQ(peer(2).connections, 0U);
}

TEST_F(Rows, NorWhatIsCutOffByOurOwnEnd) {
  answer(1, "MAIL", "!deaf");
  start_with(2);
  queue().add(site, mail("one"));
  ASSERT_TRUE(run([&] { return peer(1).count("MAIL") == 1; }));
  pools().abort();
  ASSERT_TRUE(run_until_results(1, seconds(5)));
  EXPECT_EQ(queue().results[0].verdict, Verdict::deferred);
}

// ---- a row comes to its end

TEST_F(Rows, EachHostHasOneTurnHoweverLongTheOthersTake) {
  options.host_retry_after = options.host_retry_longest = seconds(1);  // over before the next fails
  for (size_t i = 1; i <= 3; ++i) answer(i, "MAIL", "!deaf");
  start_with(3);
  queue().add(site, mail("one"));
  ASSERT_TRUE(run_until_results(1));
  EXPECT_EQ(queue().results[0].verdict, Verdict::deferred);
  EXPECT_EQ(queue().results[0].peer_name, "mx3");
  EXPECT_EQ(queue().retries_now, 2U);
  EXPECT_EQ(connections(3), (Counts{1, 1, 1}));
  // The next attempt is not held up, and begins at the top.
  wait(minutes(1));
  peer(1).script = {};
  queue().add(site, mail("two"));
  ASSERT_TRUE(run_until_results(2, seconds(1)));
  EXPECT_EQ(queue().results[1].peer_name, "mx1");
  EXPECT_TRUE(queue().news.empty());
}

// A host that was dead a moment ago is none to go on to: an attempt ends with an answer.
TEST_F(Rows, AHostThatIsLeftAloneIsNoneToGoOnTo) {
  options.host_retry_after = seconds(60);
  answer(1, "MAIL", "!drop");
  world.refuse(*parse_socket_address("192.0.2.2:25", 25), true);
  start_with(2);
  queue().add(site, mail("one"));
  ASSERT_TRUE(run_until_results(1, seconds(70)));
  EXPECT_EQ(queue().results[0].verdict, Verdict::deferred);
  EXPECT_EQ(queue().results[0].peer_name, "mx1");
  EXPECT_EQ(queue().retries_now, 1U);  // before that was known
}

TEST_F(Rows, NoMoreHostsThanMayBeTried) {
  options.hosts_tried_max = 2;
  for (size_t i = 1; i <= 3; ++i) answer(i, "MAIL", "!drop");
  start_with(3);
  queue().add(site, mail("one"));
  ASSERT_TRUE(run_until_results(1));
  EXPECT_EQ(queue().results[0].verdict, Verdict::deferred);
  EXPECT_EQ(connections(3), (Counts{1, 1, 0}));
}

TEST_F(Rows, SlowDeadHostsAreNotTriedTwiceBeforeALivingOne) {
  options.timeouts.greeting = seconds(2);
  options.host_retry_after = options.host_retry_longest = seconds(1);
  peer(1).script.greeting = peer(2).script.greeting = "!deaf";
  start_with(3);
  queue().add(site, mail("one"));
  ASSERT_TRUE(run_until_results(1));
  EXPECT_EQ(queue().results[0].verdict, Verdict::delivered);
  EXPECT_EQ(connections(3), (Counts{1, 1, 1}));
  EXPECT_TRUE(queue().news.empty());
}

TEST_F(Rows, TheNextRowBeginsWhereALongOneStopped) {
  options.host_retry_after = options.host_retry_longest = seconds(1);
  for (size_t i = 1; i <= 6; ++i) peer(i).script.greeting = "!deaf";
  start_with(7);
  queue().add(site, mail("one"));
  ASSERT_TRUE(run([&] { return !queue().news.empty(); }));
  EXPECT_EQ(connections(7), (Counts{1, 1, 1, 1, 1, 0, 0}));
  ASSERT_TRUE(run_until_results(1));
  EXPECT_EQ(connections(7), (Counts{1, 1, 1, 1, 1, 1, 1}));
}

TEST_F(Rows, TheOperatorsRetryBeginsAtTheTop) {
  for (size_t i = 1; i <= 6; ++i) peer(i).script.greeting = "!deaf";
  start_with(7);
  queue().add(site, mail("one"));
  ASSERT_TRUE(run([&] { return !queue().news.empty(); }));
  peer(1).script = {};
  queue().held_until[site.value] = {};
  pools().try_hosts_again();
  pools().site_has_work(site);
  ASSERT_TRUE(run_until_results(1, seconds(1)));
  EXPECT_EQ(queue().results[0].peer_name, "mx1");
}

// Connections that were being made at the same time are one turn of their host.
TEST_F(Rows, AHostTakesOneTurnWithManyConnections) {
  world.network().latency_us_min = world.network().latency_us_max = 100;  // all fail in one turn
  peer(1).script.delay = Milliseconds{100};
  options.hosts_tried_max = 2;
  start_with(2, 20);
  for (int i = 0; i < 500; ++i) queue().add(site, mail("m"));
  ASSERT_TRUE(run([&] { return peer(1).open == 20; }));
  world.refuse(*parse_socket_address("192.0.2.1:25", 25), true);
  peer(1).close_all("421 4.3.2 shutting down");
  ASSERT_TRUE(run_until_results(500));
  EXPECT_GT(pools().counters().connect_failures, 2U);
  EXPECT_GT(peer(2).mails.size(), 300U);
  EXPECT_TRUE(queue().news.empty());
}

TEST_F(Rows, AllHaveTheirTurnAgainWhenNoneWasAlive) {
  options.host_retry_after = options.host_retry_longest = seconds(1);
  for (size_t i = 1; i <= 3; ++i) peer(i).script.greeting = "!deaf";
  start_with(3);
  queue().add(site, mail("one"));
  ASSERT_TRUE(run([&] { return !queue().news.empty(); }));
  EXPECT_EQ(connections(3), (Counts{1, 1, 1}));
  peer(1).script = {};
  ASSERT_TRUE(run_until_results(1, seconds(3)));
  EXPECT_EQ(queue().results[0].peer_name, "mx1");
}

// While the second host serves us the first is probed in its time, whatever it did before.
TEST_F(Rows, AFailedHostComesBackWhileAnotherServes) {
  world.refuse(*parse_socket_address("192.0.2.1:25", 25), true);
  options.host_retry_after = seconds(5);
  start_with(2, 4);
  peer(2).script.delay = seconds(8);  // no transaction ends before the first host's time has come
  queue().add(site, mail("one"));
  ASSERT_TRUE(run([&] { return queue().jobs_out == 1; }));
  world.refuse(*parse_socket_address("192.0.2.1:25", 25), false);
  wait(seconds(6));
  ASSERT_TRUE(queue().results.empty());
  queue().add(site, mail("two"));
  ASSERT_TRUE(run_until_results(1));
  EXPECT_EQ(queue().results[0].mail, "two");
  EXPECT_EQ(queue().results[0].peer_name, "mx1");
}

}  // namespace
}  // namespace ringmta::client
