// SPDX-License-Identifier: GPL-3.0-or-later
// Messages get there: whole, once, by DATA, BDAT and LMTP, over connections that are used again.
#include <numeric>

#include "relay.h"

namespace ringmta::client {
namespace {

using Delivery = Relay;

TEST_F(Delivery, BringsAMessageToThePeer) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"});
  queue().add(site, mail("one"));
  ASSERT_TRUE(run_until_results(1));
  const Result& result = queue().results[0];
  EXPECT_EQ(result.verdict, Verdict::delivered);
  EXPECT_EQ(result.code, 250);
  EXPECT_EQ(result.text, "2.0.0 taken");
  EXPECT_EQ(result.phase, smtp::Phase::content);
  EXPECT_EQ(result.peer, "192.0.2.1:25");
  EXPECT_EQ(result.peer_name, "192.0.2.1:25");
  EXPECT_FALSE(result.possible_duplicate);
  ASSERT_EQ(peer.mails.size(), 1U);
  EXPECT_EQ(peer.mails[0].from, "a@one.example");
  EXPECT_EQ(peer.mails[0].to, std::vector<std::string>{"b@two.example"});
  EXPECT_EQ(peer.mails[0].content, mail("one").content);
}

std::string big_content(size_t octets) {
  std::string text = "Subject: big\r\n\r\n";
  while (text.size() < octets)
    text += "a line of text, number " + std::to_string(text.size()) + "\r\n";
  return text;
}

TEST_F(Delivery, SendsContentsOfManyPiecesAndAnySizeWhole) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"}, 1);
  std::vector<std::string> contents;
  for (const size_t octets : {0UL, 1UL, 1000UL, 100'000UL, 1'000'000UL}) {
    for (const size_t pieces : {1UL, 3UL, 8UL, 100UL}) {
      Mail one = mail("m");
      one.content = octets == 0 ? "" : big_content(octets);
      one.pieces = pieces;
      contents.push_back(one.content);
      queue().add(site, one);
    }
  }
  ASSERT_TRUE(run_until_results(contents.size()));
  EXPECT_EQ(queue().count(Verdict::delivered), contents.size());
  ASSERT_EQ(peer.mails.size(), contents.size());
  for (size_t i = 0; i < contents.size(); ++i) EXPECT_EQ(peer.mails[i].content, contents[i]) << i;
}

TEST_F(Delivery, UsesBdatWhereThePeerOffersIt) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  peer.script.ehlo = kChunking;
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"}, 1);
  for (const size_t pieces : {1UL, 2UL, 30UL}) {
    Mail one = mail("m");
    one.content = big_content(2000);
    one.pieces = pieces;
    queue().add(site, one);
  }
  ASSERT_TRUE(run_until_results(3));
  EXPECT_EQ(queue().count(Verdict::delivered), 3U);
  ASSERT_EQ(peer.mails.size(), 3U);
  for (const ReceivedMail& one : peer.mails) {
    EXPECT_TRUE(one.chunked);
    EXPECT_EQ(one.content, big_content(2000));
  }
  EXPECT_EQ(pools().counters().bdat_transactions, 3U);
  EXPECT_EQ(pools().counters().transactions, 3U);
}

TEST_F(Delivery, LeavesStuffedDotsOutForBdat) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  peer.script.ehlo = kChunking;
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"}, 1);
  const std::string stuffed = "..begins\r\n\r\n..\r\n....\r\na.b\r\n.. last\r\n";
  const std::string plain = ".begins\r\n\r\n.\r\n...\r\na.b\r\n. last\r\n";
  const size_t whole = stuffed.size() + 3;  // with ".CRLF": then each octet is a piece
  for (size_t pieces = 1; pieces <= whole; ++pieces) {
    Mail one = mail("m");
    one.content = stuffed;
    one.dots = true;
    one.pieces = pieces;
    queue().add(site, one);
  }
  ASSERT_TRUE(run_until_results(whole));
  EXPECT_EQ(queue().count(Verdict::delivered), whole);
  ASSERT_EQ(peer.mails.size(), whole);
  for (const ReceivedMail& one : peer.mails) {
    EXPECT_TRUE(one.chunked);
    EXPECT_EQ(one.content, plain);
  }
  EXPECT_EQ(pools().counters().bdat_transactions, whole);
}

TEST_F(Delivery, UsesDataWhereManyDotsAreStuffedOrThePeerHasNoBdat) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  peer.script.ehlo = kChunking;
  ScriptedPeer plain_peer(world, "192.0.2.2:25");
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"}, 1);
  const queue::SiteId plain_site = queue().add_site({"192.0.2.2:25"}, 1);
  const auto send = [&](queue::SiteId to, size_t dots) {
    Mail one = mail("m");
    one.content = "Subject: x\r\n\r\n";
    for (size_t i = 0; i < dots; ++i) one.content += "..dot\r\n";
    one.dots = true;
    queue().add(to, one);
    return one.content;
  };
  send(site, 48);
  const std::string many = send(site, 49);
  const std::string few = send(plain_site, 1);
  ASSERT_TRUE(run_until_results(3));
  EXPECT_EQ(queue().count(Verdict::delivered), 3U);
  ASSERT_EQ(peer.mails.size(), 2U);
  EXPECT_TRUE(peer.mails[0].chunked);
  EXPECT_FALSE(peer.mails[1].chunked);
  EXPECT_EQ(peer.mails[1].content, many);
  ASSERT_EQ(plain_peer.mails.size(), 1U);
  EXPECT_EQ(plain_peer.mails[0].content, few);
  EXPECT_EQ(pools().counters().bdat_transactions, 1U);
}

TEST_F(Delivery, SpeaksLockStepWithPeersWithoutPipelining) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  peer.script.ehlo = kLockStep;
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"}, 1);
  for (int i = 0; i < 5; ++i) queue().add(site, mail("m"));
  ASSERT_TRUE(run_until_results(5));
  EXPECT_EQ(queue().count(Verdict::delivered), 5U);
  EXPECT_EQ(peer.mails.size(), 5U);
  EXPECT_EQ(peer.connections, 1U);
}

TEST_F(Delivery, GivesEachRecipientItsOwnVerdict) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  peer.script.answer = [](uint32_t, std::string_view line) -> std::optional<std::string> {
    if (line == "RCPT TO:<gone@x>") return "550 5.1.1 gone";
    if (line == "RCPT TO:<later@x>") return "450-4.2.0 come\r\n450 4.2.0 later";
    return {};
  };
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"});
  Mail one = mail("one");
  one.to = {"good@x", "gone@x", "later@x"};
  queue().add(site, one);
  ASSERT_TRUE(run_until_results(3));
  EXPECT_EQ(queue().result_of("one", "good@x")->verdict, Verdict::delivered);
  const Result& gone = *queue().result_of("one", "gone@x");
  EXPECT_EQ(gone.verdict, Verdict::refused);
  EXPECT_EQ(gone.code, 550);
  EXPECT_EQ(gone.text, "5.1.1 gone");
  EXPECT_EQ(gone.phase, smtp::Phase::recipient);
  const Result& later = *queue().result_of("one", "later@x");
  EXPECT_EQ(later.verdict, Verdict::deferred);
  EXPECT_EQ(later.text, "4.2.0 come later");
  ASSERT_EQ(peer.mails.size(), 1U);
  EXPECT_EQ(peer.mails[0].to, std::vector<std::string>{"good@x"});
}

TEST_F(Delivery, SpeaksLmtpWithAReplyPerRecipient) {
  ScriptedPeer peer(world, "192.0.2.1:24");
  peer.script.lmtp = true;
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:24"});
  queue().site(site).lmtp = true;
  Mail one = mail("one");
  one.to = {"b@x", "c@x", "d@x"};
  queue().add(site, one);
  ASSERT_TRUE(run_until_results(3));
  EXPECT_EQ(queue().count(Verdict::delivered), 3U);
  EXPECT_EQ(peer.count("LHLO"), 1U);
  EXPECT_EQ(peer.count("EHLO"), 0U);
}

TEST_F(Delivery, PutsRecipientsBeyondThePeersLimitIntoAnotherTransaction) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  uint32_t taken = 0;
  peer.script.answer = [&](uint32_t, std::string_view line) -> std::optional<std::string> {
    if (line.starts_with("MAIL")) taken = 0;
    if (line.starts_with("RCPT") && ++taken > 2) return "452 4.5.3 too many recipients";
    return {};
  };
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"});
  Mail one = mail("one");
  one.to = {"1@x", "2@x", "3@x", "4@x", "5@x"};
  queue().add(site, one);
  ASSERT_TRUE(run_until_results(5));
  EXPECT_EQ(queue().count(Verdict::delivered), 5U);
  EXPECT_EQ(queue().retries_now, 3U + 1U);
  ASSERT_EQ(peer.mails.size(), 3U);
  EXPECT_EQ(peer.mails[2].to, std::vector<std::string>{"5@x"});
  EXPECT_EQ(peer.connections, 1U);
}

TEST_F(Delivery, RefusesItselfWhatThePeerCannotTake) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  peer.script.ehlo = "250-mx.example\r\n250-PIPELINING\r\n250 SIZE 100";
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"});
  Mail eight = mail("eight");
  eight.eight_bit = true;
  Mail large = mail("large");
  large.content = big_content(1000);
  Mail utf8 = mail("utf8");
  utf8.to = {"j\xC3\xBCrgen@x"};
  for (int i = 0; i < 100; ++i) queue().add(site, eight);
  queue().add(site, large);
  queue().add(site, utf8);
  queue().add(site, mail("plain"));
  ASSERT_TRUE(run_until_results(103));
  EXPECT_EQ(queue().result_of("eight")->verdict, Verdict::refused);
  EXPECT_NE(queue().result_of("eight")->text.find("8BITMIME"), std::string::npos);
  EXPECT_EQ(queue().result_of("large")->verdict, Verdict::refused);
  EXPECT_EQ(queue().result_of("large")->code, 0);  // the peer said nothing
  EXPECT_EQ(queue().result_of("utf8", "j\xC3\xBCrgen@x")->verdict, Verdict::refused);
  EXPECT_EQ(queue().result_of("plain")->verdict, Verdict::delivered);
  EXPECT_EQ(peer.mails.size(), 1U);
}

TEST_F(Delivery, FindsItsWayThroughOneOctetSegments) {
  world.network().segment_octets_max = 1;
  for (const char* ehlo : {"250-mx.example\r\n250 PIPELINING", kChunking, kLockStep}) {
    ScriptedPeer peer(world, "192.0.2.1:25");
    peer.script.ehlo = ehlo;
    Shard own(world, options);
    const queue::SiteId site = own.queue.add_site({"192.0.2.1:25"}, 2);
    for (int i = 0; i < 10; ++i) {
      Mail one = mail("m" + std::to_string(i));
      one.content = big_content(300);
      one.to = {"b@x", "c@x"};
      own.queue.add(site, one);
    }
    EXPECT_TRUE(run([&] { return own.queue.results.size() == 20; }));
    EXPECT_EQ(own.queue.count(Verdict::delivered), 20U);
    EXPECT_EQ(peer.mails.size(), 10U);
    for (const ReceivedMail& one : peer.mails) EXPECT_EQ(one.content, big_content(300));
    own.pools->stop();
    EXPECT_TRUE(run([&] { return own.pools->idle(); }));
  }
}

TEST_F(Delivery, SendsAnEnvelopeBehindTheLastContentInOneWrite) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"}, 1);
  for (int i = 0; i < 100; ++i) queue().add(site, mail("m"));
  ASSERT_TRUE(run_until_results(100));
  EXPECT_EQ(peer.mails.size(), 100U);
  // EHLO, the first envelope, then a write per message.
  EXPECT_LE(pools().counters().sends, 104U);
}

TEST_F(Delivery, SendsSeveralSmallMessagesByBdatInOneWrite) {
  ScriptedPeer peer(world, "192.0.2.1:25");
  peer.script.ehlo = kChunking;
  start();
  const queue::SiteId site = queue().add_site({"192.0.2.1:25"}, 1);
  for (int i = 0; i < 400; ++i) {
    Mail one = mail("m");
    one.pieces = 1;
    queue().add(site, one);
  }
  ASSERT_TRUE(run_until_results(400));
  EXPECT_EQ(peer.mails.size(), 400U);
  EXPECT_LE(pools().counters().sends, 400U / 2);
}

}  // namespace
}  // namespace ringmta::client
