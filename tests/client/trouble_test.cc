// SPDX-License-Identifier: GPL-3.0-or-later
// Peers that are not there, refuse, fall silent or go away: every recipient gets the one right
// verdict, whatever happens.
#include "relay.h"

namespace ringmta::client {
namespace {

using Answer = std::optional<std::string>;

struct Trouble : Relay {
  Trouble() : peer(world, "192.0.2.1:25") {}

  // One mail, to a peer that does as `peer.script` says.
  void deliver_one(size_t octets = 0) {
    start();
    site = queue().add_site({"192.0.2.1:25"});
    Mail one = mail("one");
    if (octets > 0) one.content = std::string(octets, 'x') + "\r\n";
    queue().add(site, one);
  }
  // The peer says `text` to every command that begins with `verb` ("" is the content).
  void answer(const std::string& verb, const std::string& text) {
    peer.script.answer = [verb, text](uint32_t, std::string_view line) -> Answer {
      if (verb.empty() ? line.empty() : line.starts_with(verb)) return text;
      return {};
    };
  }
  const Result& the_result() {
    EXPECT_TRUE(run_until_results(1));
    static const Result none;
    return queue().results.empty() ? none : queue().results[0];
  }
  void expect_site_failed(const std::string& reason) {
    ASSERT_TRUE(run([&] { return !queue().news.empty(); }));
    EXPECT_NE(queue().news[0].find(reason), std::string::npos) << queue().news[0];
    EXPECT_EQ(queue().news[0].find("failed 0: "), 0U) << queue().news[0];
    EXPECT_TRUE(queue().results.empty());
    EXPECT_GT(queue().held_until[0], world.now());
    EXPECT_EQ(pools().counters().connect_failures, 1U);
    // When the wait is over and the peer is well, the mail gets there.
    peer.script = {};
    world.refuse(*parse_socket_address("192.0.2.1:25", 25), false);
    world.make_unreachable(*parse_socket_address("192.0.2.1:25", 25), false);
    ASSERT_TRUE(run_until_results(1));
    EXPECT_EQ(queue().results[0].verdict, Verdict::delivered);
    EXPECT_EQ(queue().news.back(), "recovered 0");
  }

  ScriptedPeer peer;
  queue::SiteId site;
};

// ---- before a job is taken: the site fails, the mail waits

TEST_F(Trouble, ConnectionRefused) {
  world.refuse(*parse_socket_address("192.0.2.1:25", 25), true);
  deliver_one();
  expect_site_failed("192.0.2.1:25: Connection refused");
}

TEST_F(Trouble, NobodyAnswersTheConnection) {
  world.make_unreachable(*parse_socket_address("192.0.2.1:25", 25), true);
  options.timeouts.connect = seconds(7);
  deliver_one();
  const Monotonic begun = world.now();
  expect_site_failed("no connection within 7 s");
  EXPECT_GE((queue().held_until[0] - begun).count, 7000);
}

TEST_F(Trouble, TransientGreeting) {
  peer.script.greeting = "450 4.3.2 not now";
  deliver_one();
  expect_site_failed("192.0.2.1:25: 450 4.3.2 not now");
  EXPECT_GE(peer.quits, 1U);  // it was told goodbye
}

TEST_F(Trouble, PermanentGreeting) {
  peer.script.greeting = "554 5.7.1 you are listed";
  deliver_one();
  expect_site_failed("554 5.7.1 you are listed");
  EXPECT_EQ(queue().failed_status, (smtp::EnhancedStatus{5, 7, 1}));  // its own, for the sender
}

TEST_F(Trouble, ClosingGreeting) {
  peer.script.greeting = "421 4.3.2 too many connections!drop";
  deliver_one();
  expect_site_failed("421 4.3.2 too many connections");
}

// Whether the host is there and takes no connection now, or nobody answers: other shards are asked
// in the one case only.
TEST_F(Trouble, TellsAHostThatIsFullFromOneThatIsGone) {
  const auto next_failure = [this] {
    const size_t before = queue().news.size();
    EXPECT_TRUE(run([&] { return queue().news.size() > before; }));
    return queue().failed_crowded;
  };
  peer.script.greeting = "421 4.3.2 too many connections!drop";
  deliver_one();
  EXPECT_TRUE(next_failure());
  world.refuse(*parse_socket_address("192.0.2.1:25", 25), true);
  EXPECT_FALSE(next_failure());
  world.refuse(*parse_socket_address("192.0.2.1:25", 25), false);
  EXPECT_TRUE(next_failure());
  peer.script.greeting = "554 5.7.1 you are listed";
  EXPECT_FALSE(next_failure());
}

TEST_F(Trouble, SenselessGreeting) {
  peer.script.greeting = "HTTP/1.1 400 Bad Request";
  deliver_one();
  expect_site_failed("the peer broke the protocol");
}

TEST_F(Trouble, SilentGreeting) {
  peer.script.greeting = "!deaf";
  options.timeouts.greeting = seconds(90);
  deliver_one();
  expect_site_failed("no reply to greeting within 90 s");
  EXPECT_EQ(pools().counters().timeouts, 1U);
}

TEST_F(Trouble, ClosedBeforeTheGreeting) {
  peer.script.greeting = "!drop";
  deliver_one();
  expect_site_failed("the peer closed the connection before the reply to greeting");
}

TEST_F(Trouble, ResetBeforeTheGreeting) {
  peer.script.greeting = "!reset";
  deliver_one();
  ASSERT_TRUE(run([&] { return !queue().news.empty(); }));
  EXPECT_TRUE(queue().results.empty());
}

TEST_F(Trouble, EhloRefusedForNow) {
  answer("EHLO", "451 4.3.0 trouble here");
  deliver_one();
  expect_site_failed("451 4.3.0 trouble here");
}

TEST_F(Trouble, EhloAndHeloRefused) {
  peer.script.answer = [](uint32_t, std::string_view line) -> Answer {
    if (line.starts_with("EHLO")) return "502 5.5.1 what?";
    if (line.starts_with("HELO")) return "550 5.7.1 go away";
    return {};
  };
  deliver_one();
  expect_site_failed("550 5.7.1 go away");
}

TEST_F(Trouble, EhloUnknownHeloTaken) {
  answer("EHLO", "502 5.5.1 what?");
  deliver_one();
  EXPECT_EQ(the_result().verdict, Verdict::delivered);
  EXPECT_EQ(peer.count("HELO relay.example"), 1U);
}

TEST_F(Trouble, SilenceAfterEhlo) {
  answer("EHLO", "");
  options.timeouts.ehlo = seconds(33);
  deliver_one();
  expect_site_failed("no reply to ehlo within 33 s");
}

TEST_F(Trouble, TheWaitOfADeadHostDoubles) {
  world.refuse(*parse_socket_address("192.0.2.1:25", 25), true);
  options.host_retry_after = seconds(10);
  options.host_retry_longest = seconds(60);
  deliver_one();
  std::vector<Monotonic> at;
  for (int i = 0; i < 6; ++i) {
    const size_t before = queue().news.size();
    ASSERT_TRUE(run([&] { return queue().news.size() > before; }, hours(2)));
    at.push_back(world.now());
  }
  const int64_t waits_ms[] = {10'000, 20'000, 40'000, 60'000, 60'000};
  for (size_t i = 0; i + 1 < at.size(); ++i) {
    const int64_t waited = (at[i + 1] - at[i]).count;
    EXPECT_LE(waited, waits_ms[i] + 100) << i;
    EXPECT_GE(waited, waits_ms[i] * 7 / 8 - 100) << i;
  }
  EXPECT_EQ(pools().counters().connect_failures, 6U);  // one probe each
}

// ---- a job is under way

struct PhaseCase {
  const char* verb;
  smtp::Phase phase;
  const char* word;
};

struct EachPhase : Trouble, ::testing::WithParamInterface<PhaseCase> {};

TEST_P(EachPhase, ClosingReplyDefers) {
  answer(GetParam().verb, "421 4.3.2 shutting down!drop");
  deliver_one();
  const Result& result = the_result();
  EXPECT_EQ(result.verdict, Verdict::deferred);
  EXPECT_EQ(result.code, 421);
  EXPECT_EQ(result.text, "4.3.2 shutting down");
  EXPECT_EQ(result.phase, GetParam().phase);
  EXPECT_FALSE(result.possible_duplicate);
}

TEST_P(EachPhase, TransientReplyDefers) {
  answer(GetParam().verb, "451 4.3.0 later");
  deliver_one();
  const Result& result = the_result();
  EXPECT_EQ(result.verdict, Verdict::deferred);
  EXPECT_EQ(result.code, 451);
  EXPECT_EQ(result.phase, GetParam().phase);
  EXPECT_FALSE(result.possible_duplicate);
}

TEST_P(EachPhase, PermanentReplyRefuses) {
  answer(GetParam().verb, "554 5.7.1 no");
  deliver_one();
  const Result& result = the_result();
  EXPECT_EQ(result.verdict, Verdict::refused);
  EXPECT_EQ(result.code, 554);
  EXPECT_EQ(result.phase, GetParam().phase);
}

TEST_P(EachPhase, DropDefers) {
  answer(GetParam().verb, "!drop");
  deliver_one();
  const Result& result = the_result();
  EXPECT_EQ(result.verdict, Verdict::deferred);
  EXPECT_EQ(result.code, 0);
  EXPECT_NE(result.text.find(GetParam().word), std::string::npos) << result.text;
  EXPECT_EQ(result.possible_duplicate, GetParam().phase == smtp::Phase::content);
  EXPECT_EQ(pools().counters().lost, 1U);
  ASSERT_EQ(queue().news.size(), 0U);
}

TEST_P(EachPhase, ResetDefers) {
  answer(GetParam().verb, "!reset");
  deliver_one();
  const Result& result = the_result();
  EXPECT_EQ(result.verdict, Verdict::deferred);
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.possible_duplicate, GetParam().phase == smtp::Phase::content);
}

TEST_P(EachPhase, SilenceDefersInItsTime) {
  answer(GetParam().verb, "!deaf");
  options.timeouts.mail = options.timeouts.recipient = seconds(20);
  options.timeouts.data = seconds(20);
  options.timeouts.content_end = seconds(20);
  deliver_one();
  const Monotonic begun = world.now();
  const Result& result = the_result();
  EXPECT_EQ(result.verdict, Verdict::deferred);
  EXPECT_NE(result.text.find("within 20 s"), std::string::npos) << result.text;
  EXPECT_EQ(result.phase, GetParam().phase);
  EXPECT_EQ(result.possible_duplicate, GetParam().phase == smtp::Phase::content);
  EXPECT_GE((world.now() - begun).count, 20'000);
  EXPECT_LE((world.now() - begun).count, 20'200);
  EXPECT_EQ(pools().counters().timeouts, 1U);
}

INSTANTIATE_TEST_SUITE_P(Phases, EachPhase,
                         ::testing::Values(PhaseCase{"MAIL", smtp::Phase::mail, "mail"},
                                           PhaseCase{"RCPT", smtp::Phase::recipient, "recipient"},
                                           PhaseCase{"DATA", smtp::Phase::data, "data"},
                                           PhaseCase{"", smtp::Phase::content, "content"}),
                         [](const auto& param) { return std::string(param.param.word); });

TEST_F(Trouble, AReplyInDripsGainsNoTime) {
  peer.script.drip = seconds(15);
  options.timeouts.ehlo = seconds(20);
  deliver_one();
  const Monotonic begun = world.now();
  ASSERT_TRUE(run([&] { return !queue().news.empty(); }));
  EXPECT_NE(queue().news[0].find("no reply to ehlo within 20 s"), std::string::npos);
  EXPECT_LE((world.now() - begun).count, 20'200);
}

TEST_F(Trouble, APeerThatNeverReadsIsGivenUp) {
  answer("DATA", "354 go on!deaf");
  world.network().window_octets = 10'000;
  options.timeouts.content_block = seconds(30);
  deliver_one(1'000'000);
  const Monotonic begun = world.now();
  const Result& result = the_result();
  EXPECT_EQ(result.verdict, Verdict::deferred);
  EXPECT_FALSE(result.possible_duplicate);
  EXPECT_NE(result.text.find("took nothing for 30 s"), std::string::npos) << result.text;
  EXPECT_LE((world.now() - begun).count, 31'000);
}

TEST_F(Trouble, APeerThatReadsSlowlyIsNot) {
  world.network().window_octets = 300'000;
  options.timeouts.content_block = seconds(30);
  options.timeouts.content_end = seconds(30);
  deliver_one(3'000'000);
  // 40 octets a segment at half a second each would take hours; a third of the block's time each is
  // fine.
  world.network().latency_us_min = world.network().latency_us_max = 10'000'000;
  const Monotonic begun = world.now();
  const Result& result = the_result();
  EXPECT_EQ(result.verdict, Verdict::delivered);
  EXPECT_GT((world.now() - begun).count, 60'000);
}

TEST_F(Trouble, ALostConnectionInMidContentIsNoDuplicate) {
  world.reset_after(*parse_socket_address("192.0.2.1:25", 25), 100'000);
  world.network().window_octets = 10'000;
  deliver_one(1'000'000);
  const Result& result = the_result();
  EXPECT_EQ(result.verdict, Verdict::deferred);
  EXPECT_FALSE(result.possible_duplicate);
  EXPECT_TRUE(peer.mails.empty());
}

TEST_F(Trouble, WhatAPeerSaysBeforeItBreaksOffCounts) {
  peer.script.too_big = 50'000;
  world.network().window_octets = 10'000;
  deliver_one(1'000'000);
  const Result& result = the_result();
  EXPECT_EQ(result.verdict, Verdict::refused);
  EXPECT_EQ(result.code, 552);
}

TEST_F(Trouble, AlsoWhenTheBreakIsSeenFirst) {
  // The reset ends our send before we have read the 552 that came ahead of it.
  peer.script.too_big = 50'000;
  peer.script.too_big_end = "!break";
  world.network().window_octets = 10'000;
  world.network().latency_us_min = world.network().latency_us_max = 100;  // both come at once
  deliver_one(1'000'000);
  const Result& result = the_result();
  EXPECT_EQ(result.verdict, Verdict::refused);
  EXPECT_EQ(result.code, 552);
}

TEST_F(Trouble, AJobStaysUntilTheSystemHasLetGoOfItsContent) {
  answer("DATA", "354 go on!deaf");
  world.network().window_octets = 10'000;
  options.timeouts.content_block = seconds(30);
  deliver_one(1'000'000);
  ASSERT_TRUE(run([&] { return pools().counters().timeouts == 1; }));
  EXPECT_TRUE(queue().results.empty());  // the send was cancelled, but has not ended yet
  ASSERT_TRUE(run_until_results(1));
}

TEST_F(Trouble, MessagesBehindALostOneByBdatMayBeDuplicates) {
  peer.script.ehlo = kChunking;
  answer("", "!drop");
  start();
  site = queue().add_site({"192.0.2.1:25"}, 1);
  for (int i = 0; i < 3; ++i) queue().add(site, mail("m"));
  ASSERT_TRUE(run_until_results(1));
  for (const Result& result : queue().results) {
    EXPECT_EQ(result.verdict, Verdict::deferred);
    EXPECT_TRUE(result.possible_duplicate);
  }
}

// Who has had an answer is none, whatever becomes of the others.
TEST_F(Trouble, OnlyRecipientsWithoutAReplyMayBeDuplicates) {
  peer.script.lmtp = true;
  answer("", "250 2.0.0 first\r\n550 5.1.1 second!drop");
  start();
  site = queue().add_site({"192.0.2.1:25"});
  queue().site(site).lmtp = true;
  Mail one = mail("lmtp");
  one.to = {"a@x", "b@x", "c@x"};
  queue().add(site, one);
  ASSERT_TRUE(run_until_results(3));
  EXPECT_EQ(queue().result_of("lmtp", "a@x")->verdict, Verdict::delivered);
  EXPECT_FALSE(queue().result_of("lmtp", "a@x")->possible_duplicate);
  EXPECT_EQ(queue().result_of("lmtp", "b@x")->verdict, Verdict::refused);
  EXPECT_FALSE(queue().result_of("lmtp", "b@x")->possible_duplicate);
  EXPECT_EQ(queue().result_of("lmtp", "c@x")->verdict, Verdict::deferred);
  EXPECT_TRUE(queue().result_of("lmtp", "c@x")->possible_duplicate);
}

TEST_F(Trouble, ARecipientRefusedBeforeALostContentIsNoDuplicate) {
  peer.script.answer = [](uint32_t, std::string_view line) -> Answer {
    if (line.starts_with("RCPT TO:<bad@x>")) return "550 5.1.1 no such user";
    if (line.empty()) return "!drop";
    return {};
  };
  for (const bool chunking : {false, true}) {
    peer.script.ehlo = chunking ? kChunking : kLockStep;
    start();
    site = queue().add_site({"192.0.2.1:25"});
    Mail one = mail("one");
    one.to = {"bad@x", "good@x"};
    queue().add(site, one);
    ASSERT_TRUE(run_until_results(2));
    EXPECT_EQ(queue().result_of("one", "bad@x")->verdict, Verdict::refused);
    EXPECT_FALSE(queue().result_of("one", "bad@x")->possible_duplicate);
    EXPECT_EQ(queue().result_of("one", "good@x")->verdict, Verdict::deferred);
    EXPECT_TRUE(queue().result_of("one", "good@x")->possible_duplicate);
    TearDown();
  }
}

// ---- a connection used again

TEST_F(Trouble, ATransactionNobodyLookedAtIsRepeatedAtOnce) {
  // The second MAIL of the first connection meets a peer that has had enough.
  uint32_t mails = 0;
  peer.script.answer = [&](uint32_t connection, std::string_view line) -> Answer {
    if (line.starts_with("MAIL") && connection == 1 && ++mails == 2) {
      return "421 4.4.2 idle for too long!drop";
    }
    return {};
  };
  start();
  site = queue().add_site({"192.0.2.1:25"}, 1);
  queue().add(site, mail("one"));
  ASSERT_TRUE(run_until_results(1));
  queue().add(site, mail("two"));
  ASSERT_TRUE(run_until_results(2));
  EXPECT_EQ(queue().count(Verdict::delivered), 2U);
  EXPECT_EQ(queue().retries_now, 1U);
  EXPECT_EQ(peer.connections, 2U);
  EXPECT_TRUE(queue().news.empty());
}

TEST_F(Trouble, APolicyReplyIsNot) {
  uint32_t mails = 0;
  peer.script.answer = [&](uint32_t connection, std::string_view line) -> Answer {
    if (line.starts_with("MAIL") && connection == 1 && ++mails == 2) {
      return "421 4.7.28 too much of yours!drop";
    }
    return {};
  };
  start();
  site = queue().add_site({"192.0.2.1:25"}, 1);
  queue().add(site, mail("one"));
  ASSERT_TRUE(run_until_results(1));
  queue().add(site, mail("two"));
  ASSERT_TRUE(run_until_results(2));
  EXPECT_EQ(queue().result_of("two")->verdict, Verdict::deferred);
  EXPECT_EQ(queue().result_of("two")->code, 421);
}

TEST_F(Trouble, AConnectionClosedInIdlenessHarmsNobody) {
  options.timeouts.idle = minutes(10);
  start();
  site = queue().add_site({"192.0.2.1:25"}, 1);
  queue().add(site, mail("one"));
  ASSERT_TRUE(run_until_results(1));
  world.reset_after(*parse_socket_address("192.0.2.1:25", 25), 1'000'000);
  // The peer says goodbye unasked, as those with a shorter patience do.
  peer.script.delay = {};
  peer.close_all("421 4.4.2 idle for too long");
  ASSERT_TRUE(run([&] { return pools().counters().connections == 0; }, seconds(10)));
  EXPECT_EQ(pools().counters().lost, 0U);
  queue().add(site, mail("two"));
  ASSERT_TRUE(run_until_results(2));
  EXPECT_EQ(queue().count(Verdict::delivered), 2U);
  EXPECT_TRUE(queue().news.empty());
}

// ---- a message's own time

TEST_F(Trouble, AMessageExpiresOnAStuckConnection) {
  for (const char* verb : {"MAIL", "RCPT", "DATA"}) {
    answer(verb, "!deaf");
    start();
    site = queue().add_site({"192.0.2.1:25"});
    queue().lifetime = seconds(7);
    queue().add(site, mail("one"));
    const Monotonic begun = world.now();
    ASSERT_TRUE(run_until_results(1));
    EXPECT_EQ(queue().results[0].verdict, Verdict::deferred) << verb;
    EXPECT_NE(queue().results[0].text.find("expired while the peer owed a reply"),
              std::string::npos)
        << queue().results[0].text;
    EXPECT_FALSE(queue().results[0].possible_duplicate);
    EXPECT_GE((world.now() - begun).count, 7000);
    EXPECT_LE((world.now() - begun).count, 7200);
    EXPECT_TRUE(queue().news.empty());  // not the host's fault
    TearDown();
  }
}

// It may have been taken: its reply has ten seconds more.
TEST_F(Trouble, AMessageThePeerMayHaveIsGivenUpALittleLater) {
  for (const bool chunking : {false, true}) {
    peer.script.ehlo = chunking ? kChunking : kLockStep;
    answer("", "!deaf");
    start();
    site = queue().add_site({"192.0.2.1:25"});
    queue().lifetime = seconds(7);
    queue().add(site, mail("one"));
    const Monotonic begun = world.now();
    ASSERT_TRUE(run_until_results(1));
    EXPECT_TRUE(queue().results[0].possible_duplicate);
    EXPECT_GE((world.now() - begun).count, 17'000);
    EXPECT_LE((world.now() - begun).count, 17'300);
    EXPECT_TRUE(queue().news.empty());
    TearDown();
  }
}

TEST_F(Trouble, AReplyThatComesJustAfterExpiryCounts) {
  answer("", "250 2.0.0 ok");
  peer.script.delay = seconds(3);
  start();
  site = queue().add_site({"192.0.2.1:25"});
  queue().lifetime = seconds(10);  // greeting, EHLO, envelope, content: 12 s and more
  queue().add(site, mail("one"));
  ASSERT_TRUE(run_until_results(1));
  EXPECT_EQ(queue().results[0].verdict, Verdict::delivered);
}

// Giving the connection up for one message must not make another one be delivered twice.
TEST_F(Trouble, AnExpiredMessageDoesNotEndAConnectionThatMayHaveTakenAnother) {
  peer.script.ehlo = kChunking;
  answer("", "!deaf");
  options.timeouts.content_end = options.timeouts.mail = seconds(60);
  start();
  site = queue().add_site({"192.0.2.1:25"}, 1);
  queue().lifetime = seconds(7);
  queue().add(site, mail("short"));
  queue().add(site, mail("short too"));
  ASSERT_TRUE(run([&] { return queue().jobs_out == 2; }));
  const Monotonic begun = world.now();
  ASSERT_TRUE(run_until_results(2));
  EXPECT_LE((world.now() - begun).count, 17'300);  // both have expired
  TearDown();
  start();
  site = queue().add_site({"192.0.2.1:25"}, 1);
  queue().lifetime = seconds(7);
  queue().add(site, mail("short"));
  ASSERT_TRUE(run([&] { return queue().jobs_out == 1; }));
  queue().lifetime = minutes(7);
  queue().add(site, mail("long"));
  ASSERT_TRUE(run([&] { return queue().jobs_out == 2; }));
  const Monotonic then = world.now();
  ASSERT_TRUE(run_until_results(1));
  EXPECT_GE((world.now() - then).count, 50'000);
  EXPECT_TRUE(queue().results[0].possible_duplicate);
}

TEST_F(Trouble, APeerThatDropsEveryFirstTransactionCountsAsDown) {
  answer("MAIL", "!drop");
  options.host_retry_after = seconds(30);
  start();
  site = queue().add_site({"192.0.2.1:25"});
  for (int i = 0; i < 50; ++i) queue().add(site, mail("m"));
  ASSERT_TRUE(run([&] { return !queue().news.empty(); }));
  EXPECT_NE(queue().news[0].find("failed 0: 192.0.2.1:25: "), std::string::npos);
  const size_t first = queue().results.size();
  EXPECT_LE(first, 3U);
  world.run_for(seconds(20));
  EXPECT_EQ(queue().results.size(), first);
  // Then one of them for each try.
  ASSERT_TRUE(run([&] { return queue().news.size() > 2; }));
  EXPECT_EQ(queue().results.size(), first + 1);
}

}  // namespace
}  // namespace ringmta::client
