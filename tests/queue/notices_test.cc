// SPDX-License-Identifier: GPL-3.0-or-later
// What the sender is told, and that none of it is lost.
#include "station.h"

namespace ringmta::queue {
namespace {

using Kind = Outcome::Kind;
using smtp::Notify;

bool has(const std::string& text, std::string_view piece) {
  return text.find(piece) != std::string::npos;
}
size_t times(const std::string& text, std::string_view piece) {
  size_t count = 0;
  for (size_t at = text.find(piece); at != std::string::npos; at = text.find(piece, at + 1))
    ++count;
  return count;
}

// Refuses everybody but DSNs.
void refuse(Job& job) {
  if (job.transaction.envelope.reverse_path.empty()) return deliver(job);
  judge_all(job, Verdict::refused, 550, "5.1.1 no such user");
}

Mail mail_to(std::vector<Mail::To> to) {
  Mail mail;
  mail.to = std::move(to);
  return mail;
}

TEST(Notices, ARefusalIsReturnedToTheSender) {
  Station station;
  station.peer = refuse;
  Mail mail = mail_to({{"bob@example.org", 0, "rfc822;bob+2Bx@example.org"}});
  mail.envelope_id = "QQ314";
  const MessageId id = station.submit(mail);
  station.run_for(seconds(1));
  ASSERT_EQ(station.notices.size(), 1U);
  const std::string& dsn = station.notices[0];
  EXPECT_TRUE(has(dsn, "To: <news@sender.example>\r\n"));
  EXPECT_TRUE(has(dsn, "Reporting-MTA: dns; relay.example\r\n"));
  EXPECT_TRUE(has(dsn, "Original-Envelope-Id: QQ314\r\n"));
  EXPECT_TRUE(has(dsn, "Original-Recipient: rfc822; bob+x@example.org\r\n"));
  EXPECT_TRUE(has(dsn, "Final-Recipient: rfc822; bob@example.org\r\n"));
  EXPECT_TRUE(has(dsn, "Action: failed\r\n"));
  EXPECT_TRUE(has(dsn, "Status: 5.1.1\r\n"));
  EXPECT_TRUE(has(dsn, "Remote-MTA: dns; mx.example.net\r\n"));
  EXPECT_TRUE(has(dsn, "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n"));
  EXPECT_TRUE(has(dsn, "Subject: hello\r\n"));
  EXPECT_FALSE(has(dsn, "\r\ntext\r\n"));  // RET=FULL was not asked for
  EXPECT_EQ(station.last(Kind::bounced).dsn, station.last(Kind::received).id);
  EXPECT_EQ(station.addresses_of(Kind::delivered), std::vector{mail.from});
  EXPECT_EQ(station.disk.finished.front(), id.value);
  EXPECT_TRUE(station.disk.messages.empty());
  EXPECT_EQ(station.queue->counters().dsns, 1U);
}

TEST(Notices, RetFullReturnsTheWholeMessage) {
  Station station;
  station.peer = refuse;
  Mail mail = mail_to({{"bob@example.org"}});
  mail.dsn_return = smtp::DsnReturn::full;
  station.submit(mail);
  station.run_for(seconds(1));
  ASSERT_EQ(station.notices.size(), 1U);
  EXPECT_TRUE(has(station.notices[0], "\r\ntext\r\n"));
}

TEST(Notices, OneForAllRecipientsRefusedTogether) {
  Station station;
  station.peer = refuse;
  station.submit_to({"a@example.org", "b@example.org", "c@example.org"});
  station.run_for(seconds(1));
  ASSERT_EQ(station.notices.size(), 1U);
  EXPECT_EQ(times(station.notices[0], "Action: failed"), 3U);
}

TEST(Notices, AnEventNamesOnlyTheDsnThatIsAboutItsRecipient) {
  for (const uint8_t notify : {uint8_t{0}, uint8_t{Notify::kSuccess}}) {
    Station station;
    station.peer = [](Job& job) {
      deliver(job);
      if (job.recipients.size() > 1)
        judge(job.recipients[0], Verdict::refused, 550, "5.1.1 no such user");
    };
    const MessageId id = station.submit(mail_to({{"no@example.org"}, {"ok@example.org", notify}}));
    station.run_for(seconds(1));
    EXPECT_EQ(station.notices.size(), 1U);
    EXPECT_NE(station.last(Kind::bounced).dsn, 0U);
    for (const Told& one : station.told) {
      if (one.kind != Kind::delivered || one.id != id.value) continue;
      EXPECT_EQ(one.dsn, notify == 0 ? 0U : station.last(Kind::bounced).dsn);
    }
  }
}

// Its host lacks what the message needs: it was not asked, so it is not quoted and has reported
// nothing.
TEST(Notices, WhatWeKeptBackIsNotPutIntoThePeersMouth) {
  Station station;
  station.peer = [](Job& job) {
    if (job.transaction.envelope.reverse_path.empty()) return deliver(job);
    job.peer_name = "mx.example.net:2525";
    judge_all(job, Verdict::refused, 0, "the next host does not offer 8BITMIME", smtp::Phase::ehlo);
    job.recipients[0].status = {5, 6, 3};
  };
  station.submit_to({"bob@example.org"});
  station.run_for(seconds(1));
  ASSERT_EQ(station.notices.size(), 1U);
  const std::string& dsn = station.notices[0];
  EXPECT_TRUE(has(dsn,
                  "    This relay could not pass it on to mx.example.net: the next host does\r\n"
                  "    not offer 8BITMIME\r\n"))
      << dsn;
  EXPECT_TRUE(has(dsn, "Status: 5.6.3\r\n"));
  EXPECT_TRUE(has(dsn, "Diagnostic-Code: x-ringmta; the next host does not offer 8BITMIME\r\n"));
  EXPECT_FALSE(has(dsn, "Remote-MTA"));
  EXPECT_FALSE(has(dsn, "refused it"));
}

TEST(Notices, NeverToTheNullReversePath) {
  Station station;
  station.peer = [](Job& job) { judge_all(job, Verdict::refused, 550, "5.1.1 no"); };
  Mail mail = mail_to({{"bob@example.org", Notify::kFailure}});
  mail.from = "";
  station.submit(mail);
  station.run_for(seconds(1));
  EXPECT_TRUE(station.notices.empty());
  EXPECT_EQ(station.last(Kind::bounced).dsn, 0U);
  EXPECT_TRUE(station.disk.messages.empty());
}

TEST(Notices, ADsnThatCannotBeDeliveredMakesNoOther) {
  Station station;
  station.peer = [](Job& job) { judge_all(job, Verdict::refused, 550, "5.1.1 no"); };
  station.submit_to({"bob@example.org"});
  station.run_for(seconds(2));
  EXPECT_EQ(station.notices.size(), 1U);
  EXPECT_EQ(station.count(Kind::bounced), 2U);
  EXPECT_TRUE(station.disk.messages.empty());
}

TEST(Notices, ObeysNotify) {
  struct Case {
    uint8_t notify;
    Verdict verdict;
    bool peer_has_dsn;
    std::string_view action;  // empty: nothing is told
  };
  const Case cases[] = {
      {Notify::kNever, Verdict::refused, false, ""},
      {Notify::kSuccess, Verdict::refused, false, ""},
      {Notify::kFailure, Verdict::refused, true, "Action: failed"},
      {0, Verdict::delivered, false, ""},
      {Notify::kSuccess, Verdict::delivered, true, ""},  // the peer tells
      {Notify::kSuccess, Verdict::delivered, false, "Action: relayed"},
  };
  for (const Case& one : cases) {
    Station station;
    station.peer = [&](Job& job) {
      if (job.transaction.envelope.reverse_path.empty()) return deliver(job);
      judge_all(job, one.verdict, one.verdict == Verdict::delivered ? 250 : 550, "x");
      job.peer_has_dsn = one.peer_has_dsn;
    };
    station.submit(mail_to({{"bob@example.org", one.notify}}));
    station.run_for(seconds(1));
    ASSERT_EQ(station.notices.size(), one.action.empty() ? 0U : 1U) << int{one.notify};
    for (const std::string& dsn : station.notices) EXPECT_TRUE(has(dsn, one.action));
    EXPECT_TRUE(station.disk.messages.empty());
  }
}

TEST(Notices, AnLmtpDeliveryIsDelivered) {
  QueueOptions options = plain_options();
  options.routes[0].lmtp = true;
  Station station(options);
  station.submit(mail_to({{"bob@example.org", Notify::kSuccess}}));
  station.run_for(seconds(1));
  ASSERT_EQ(station.notices.size(), 1U);
  EXPECT_TRUE(has(station.notices[0], "Action: delivered"));
}

TEST(Notices, DelayIsToldOnce) {
  Station station;
  station.peer = [](Job& job) {
    if (job.transaction.envelope.reverse_path.empty()) return deliver(job);
    judge_all(job, Verdict::deferred, 450, "4.2.2 mailbox full");
  };
  station.submit(mail_to({{"bob@example.org", Notify::kDelay | Notify::kFailure}}));
  station.run_for(hours(4) - seconds(2));
  EXPECT_TRUE(station.notices.empty());
  station.run_for(seconds(3));
  ASSERT_EQ(station.notices.size(), 1U);
  EXPECT_TRUE(has(station.notices[0], "Action: delayed"));
  EXPECT_TRUE(has(station.notices[0], "Status: 4.2.2"));
  EXPECT_TRUE(has(station.notices[0], "450 4.2.2 mailbox full"));
  EXPECT_TRUE(has(station.notices[0], "Will-Retry-Until: "));
  station.run_for(hours(60));
  EXPECT_EQ(station.notices.size(), 1U);
}

TEST(Notices, DelayIsToldOnceAcrossARestart) {
  Station station;
  station.peer = [](Job& job) {
    if (job.transaction.envelope.reverse_path.empty()) return deliver(job);
    judge_all(job, Verdict::deferred, 450, "4.2.2 mailbox full");
  };
  station.submit(mail_to({{"bob@example.org", Notify::kDelay}}));
  station.run_for(hours(5));
  ASSERT_EQ(station.notices.size(), 1U);
  station.end();
  station.begin();
  station.run_for(hours(10));
  EXPECT_EQ(station.notices.size(), 1U);
}

TEST(Notices, DelayIsToldOfWhatWaitsBehindAnUnreachableSite) {
  Station station;
  station.queue->site_failed({0}, "connection refused", station.io->now() + hours(20));
  station.peer = nullptr;
  station.submit(mail_to({{"bob@example.org", Notify::kDelay}}));
  station.run_for(hours(5));
  ASSERT_EQ(station.notices.size(), 1U);
  EXPECT_TRUE(has(station.notices[0], "Action: delayed"));
  EXPECT_TRUE(has(station.notices[0], "connection refused"));
}

TEST(Notices, NoDelayWhereItWasNotAskedFor) {
  Station station;
  station.peer = [](Job& job) { judge_all(job, Verdict::deferred, 450, "4.2.2 full"); };
  station.submit(mail_to({{"bob@example.org", Notify::kFailure},
                          {"eve@example.org", Notify::kNever},
                          {"joe@example.org"}}));
  station.run_for(hours(60));
  EXPECT_TRUE(station.notices.empty());
}

// ---- the spool takes nothing

TEST(Notices, TheOriginalEndsOnlyWhenItsDsnIsOnStableStorage) {
  Station station;
  const MessageId id = station.submit_and_wait(mail_to({{"bob@example.org"}}));
  station.disk.holds_commits = true;
  station.let(refuse);
  station.run_for(seconds(10));
  EXPECT_EQ(station.count(Kind::bounced), 1U);
  ASSERT_TRUE(station.disk.messages.contains(id.value));
  EXPECT_TRUE(station.disk.messages.at(id.value).states.empty());
  station.disk.holds_commits = false;
  station.run_for(seconds(1));
  EXPECT_EQ(station.disk.finished.front(), id.value);
}

TEST(Notices, ACrashBeforeTheDsnIsStoredRefusesAgain) {
  Station station;
  station.submit_and_wait(mail_to({{"bob@example.org"}}));
  station.disk.holds_commits = true;
  station.let(refuse);
  station.run_for(seconds(10));
  station.end();
  station.disk.holds_commits = false;
  station.begin();
  station.run_for(seconds(10));
  EXPECT_EQ(station.notices.size(), 1U);
  EXPECT_TRUE(station.disk.messages.empty());
}

TEST(Notices, WaitWhileTheSpoolIsFull) {
  Station station;
  const MessageId id = station.submit_and_wait(mail_to({{"bob@example.org"}}));
  station.disk.accepting = false;
  station.let(refuse);
  station.run_for(hours(1));
  EXPECT_TRUE(station.notices.empty());
  EXPECT_TRUE(station.disk.messages.contains(id.value));
  station.disk.accepting = true;
  station.run_for(seconds(3));
  EXPECT_EQ(station.notices.size(), 1U);
  EXPECT_TRUE(station.disk.messages.empty());
}

TEST(Notices, AreStoredAgainAfterAFailedWrite) {
  Station station;
  station.submit_and_wait(mail_to({{"bob@example.org"}}));
  station.disk.failing_commits = 3;
  station.let(refuse);
  station.run_for(seconds(10));
  EXPECT_EQ(station.disk.failing_commits, 0U);
  EXPECT_EQ(station.notices.size(), 1U);
  EXPECT_TRUE(station.disk.messages.empty());
}

// Many refusals, successes to be told and expiries meet a spool that is full for hours: memory
// stays bounded, and in the end each recipient has had one final fate and one DSN.
TEST(Notices, NothingIsLostAndMemoryIsBoundedWhileTheSpoolIsFull) {
  constexpr size_t kEach = 3000;
  QueueOptions options = plain_options();
  options.retry.longest = minutes(30);
  Station station(options);
  station.peer = nullptr;
  for (size_t i = 0; i < kEach; ++i) {
    const std::string number = std::to_string(i);
    station.submit(mail_to({{"no" + number + "@example.org"}}));
    station.submit(mail_to({{"yes" + number + "@example.org", Notify::kSuccess}}));
    Mail late = mail_to({{"late" + number + "@example.org"}});
    late.lifetime = hours(1);
    station.submit(late);
  }
  station.run_for(seconds(1));
  station.disk.accepting = false;
  station.let([](Job& job) {
    const std::string_view address = job.transaction.envelope.recipients[0].address;
    if (address.starts_with("yes") || address.starts_with("news")) return deliver(job);
    if (address.starts_with("late")) return judge_all(job, Verdict::deferred, 450, "4.2.1 busy");
    judge_all(job, Verdict::refused, 550, "5.1.1 no");
  });
  station.run_for(hours(2));
  EXPECT_LE(
      station.count(Kind::bounced) + station.count(Kind::delivered) + station.count(Kind::expired),
      1025U);
  EXPECT_EQ(station.disk.messages.size(), 3 * kEach);
  station.disk.accepting = true;
  station.run_for(hours(3));
  EXPECT_EQ(station.count(Kind::bounced), kEach);
  EXPECT_EQ(station.count(Kind::delivered), kEach + station.notices.size());
  EXPECT_EQ(station.count(Kind::expired), kEach);
  EXPECT_EQ(station.notices.size(), 3 * kEach);
  EXPECT_TRUE(station.disk.messages.empty());
  EXPECT_EQ(station.disk.pins, 0);
}

}  // namespace
}  // namespace ringmta::queue
