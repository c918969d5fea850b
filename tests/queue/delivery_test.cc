// SPDX-License-Identifier: GPL-3.0-or-later
// A message through the queue: jobs, verdicts, outcomes, what the disk keeps.
#include "station.h"

namespace ringmta::queue {
namespace {

using Kind = Outcome::Kind;
using Addresses = std::vector<std::string>;

TEST(Delivery, EndsTheMessageWhenDelivered) {
  Station station;
  const MessageId id = station.submit_to({"bob@example.org"});
  station.run_for(seconds(1));
  EXPECT_EQ(station.addresses_of(Kind::delivered), Addresses{"bob@example.org"});
  EXPECT_EQ(station.disk.finished, std::vector<uint64_t>{id.value});
  const QueueCounters& counters = station.queue->counters();
  EXPECT_EQ(counters.messages, 0U);
  EXPECT_EQ(counters.recipients, 0U);
  EXPECT_EQ(counters.ready + counters.deferred + counters.active, 0U);
  EXPECT_EQ(counters.delivered, 1U);
  EXPECT_EQ(station.disk.pins, 0);
}

TEST(Delivery, JobCarriesTheTransaction) {
  Station station;
  station.peer = nullptr;
  Mail mail;
  mail.to = {{"a@example.org", smtp::Notify::kFailure, "rfc822;orig@example.org"},
             {"b@example.org"}};
  mail.envelope_id = "QQ1";
  mail.dsn_return = smtp::DsnReturn::headers;
  const MessageId id = station.submit(mail);
  station.run_for(seconds(1));
  Job* job = station.take();
  ASSERT_NE(job, nullptr);
  EXPECT_EQ(job->id, id);
  EXPECT_EQ(job->attempt, 1);
  EXPECT_EQ(job->keeper, ShardId{0});
  EXPECT_EQ(job->transaction.tag, reinterpret_cast<uint64_t>(job));
  const smtp::EnvelopeView& envelope = job->transaction.envelope;
  EXPECT_EQ(envelope.reverse_path, "news@sender.example");
  EXPECT_EQ(envelope.envelope_id, "QQ1");
  EXPECT_EQ(envelope.dsn_return, smtp::DsnReturn::headers);
  ASSERT_EQ(envelope.recipients.size(), 2U);
  EXPECT_EQ(envelope.recipients[0].address, "a@example.org");
  EXPECT_EQ(envelope.recipients[0].original_recipient, "rfc822;orig@example.org");
  EXPECT_EQ(envelope.recipients[0].notify, smtp::Notify::kFailure);
  EXPECT_EQ(job->transaction.content.wire_size, mail.content.size());
  ASSERT_EQ(job->content.size(), 1U);
  EXPECT_EQ(std::string_view(static_cast<char*>(job->content[0].iov_base), job->content[0].iov_len),
            mail.content);
  EXPECT_EQ(station.take(), nullptr);
  EXPECT_EQ(station.queue->counters().active, 1U);
  deliver(*job);
  station.queue->job_done(job);
  EXPECT_EQ(station.disk.finished.size(), 1U);
}

TEST(Delivery, MixedRepliesEndEachRecipientInItsOwnState) {
  Station station;
  int attempt = 0;
  station.peer = [&](Job& job) {
    ++attempt;
    for (JobRecipient& recipient : job.recipients) {
      const std::string_view address =
          job.transaction.envelope.recipients[&recipient - job.recipients.data()].address;
      if (address == "ok@example.org") judge(recipient, Verdict::delivered, 250, "2.0.0 ok");
      if (address == "no@example.org") judge(recipient, Verdict::refused, 550, "5.1.1 unknown");
      if (address == "later@example.org") {
        judge(recipient, attempt == 1 ? Verdict::deferred : Verdict::delivered, 450, "4.2.1 busy");
      }
    }
    if (job.transaction.envelope.reverse_path.empty()) deliver(job);
  };
  const MessageId id = station.submit_to({"ok@example.org", "no@example.org", "later@example.org"});
  station.run_for(seconds(10));
  EXPECT_EQ(station.addresses_of(Kind::delivered),
            (Addresses{"ok@example.org", "news@sender.example"}));
  EXPECT_EQ(station.addresses_of(Kind::bounced), Addresses{"no@example.org"});
  EXPECT_EQ(station.addresses_of(Kind::deferred), Addresses{"later@example.org"});
  const auto& states = station.disk.messages.at(id.value).states;
  EXPECT_EQ(states.at(0).fate, spool::Fate::delivered);
  EXPECT_EQ(states.at(1).fate, spool::Fate::bounced);
  EXPECT_EQ(states.at(2).fate, spool::Fate::pending);
  EXPECT_EQ(states.at(2).attempts, 1);
  EXPECT_EQ(station.queue->counters().recipients, 1U);
  station.run_for(minutes(2));
  EXPECT_EQ(station.addresses_of(Kind::delivered).back(), "later@example.org");
  EXPECT_EQ(station.queue->counters().messages, 0U);
}

TEST(Delivery, TooManyRecipientsGoAgainAtOnceWithoutPenalty) {
  Station station;
  std::vector<size_t> sizes;
  station.peer = [&](Job& job) {
    sizes.push_back(job.recipients.size());
    EXPECT_EQ(job.attempt, 1);
    for (size_t i = 0; i < job.recipients.size(); ++i) {
      if (i < 3) {
        judge(job.recipients[i], Verdict::delivered, 250, "ok");
      } else {
        judge(job.recipients[i], Verdict::retry_now, 452, "too many recipients");
      }
    }
  };
  std::vector<std::string> to;
  for (int i = 0; i < 8; ++i) to.push_back("r" + std::to_string(i) + "@example.org");
  station.submit_to(to);
  station.run_for(seconds(1));
  EXPECT_EQ(sizes, (std::vector<size_t>{8, 5, 2}));
  EXPECT_EQ(station.count(Kind::delivered), 8U);
  EXPECT_EQ(station.count(Kind::deferred), 0U);
}

TEST(Delivery, APeerThatNeverJudgesIsDeferredInTheEnd) {
  Station station;
  station.peer = [](Job& job) { judge_all(job, Verdict::retry_now, 0, "connection used up"); };
  station.submit_to({"bob@example.org"});
  station.run_for(seconds(5));
  EXPECT_EQ(station.count(Kind::deferred), 1U);
  EXPECT_LE(station.jobs, 20U);
}

TEST(Delivery, KeepsToTheRoutesRecipientLimit) {
  QueueOptions options = plain_options();
  options.routes[0].recipients_per_message_max = 4;
  Station station(options);
  std::vector<size_t> sizes;
  station.peer = [&](Job& job) {
    sizes.push_back(job.recipients.size());
    deliver(job);
  };
  std::vector<std::string> to;
  for (int i = 0; i < 10; ++i) to.push_back("r" + std::to_string(i) + "@example.org");
  station.submit_to(to);
  station.run_for(seconds(1));
  EXPECT_EQ(sizes, (std::vector<size_t>{4, 4, 2}));
  EXPECT_EQ(station.addresses_of(Kind::delivered), to);
}

TEST(Delivery, RoutesByExactNameThenLongestSuffixThenRest) {
  QueueOptions options = plain_options();
  options.routes = {route_to("rest", {"*"}), route_to("org", {".example.org"}),
                    route_to("deep", {".b.example.org"}), route_to("exact", {"a.b.example.org"})};
  Station station(options);
  std::map<std::string, std::string> went;
  station.peer = [&](Job& job) {
    for (const smtp::RecipientView& recipient : job.transaction.envelope.recipients)
      went[std::string(recipient.address)] = station.queue->site(job.site).name;
    deliver(job);
  };
  station.submit_to({"x@example.org", "x@c.example.org", "x@b.example.org", "x@c.b.example.org",
                     "x@A.b.EXAMPLE.org", "\"odd@a.b.example.org\"@other.example"});
  station.run_for(seconds(1));
  EXPECT_EQ(went["x@example.org"], "rest");
  EXPECT_EQ(went["x@c.example.org"], "org");
  EXPECT_EQ(went["x@b.example.org"], "org");
  EXPECT_EQ(went["x@c.b.example.org"], "deep");
  EXPECT_EQ(went["x@A.b.EXAMPLE.org"], "exact");
  EXPECT_EQ(went["\"odd@a.b.example.org\"@other.example"], "rest");
}

TEST(Delivery, WaitsForTheRoutesAddresses) {
  Station station;
  station.end();
  station.addresses = false;
  station.begin();
  station.submit_to({"bob@example.org"});
  station.run_for(hours(1));
  EXPECT_EQ(station.jobs, 0U);
  EXPECT_FALSE(station.queue->has_work({0}));
  station.queue->set_route_addresses(0, {host_at("192.0.2.1:25")});
  station.run_for(seconds(1));
  EXPECT_EQ(station.count(Kind::delivered), 1U);
}

TEST(Delivery, CountsPossibleDuplicates) {
  Station station;
  station.peer = [](Job& job) {
    judge_all(job, Verdict::deferred, 0, "connection lost after the final dot",
              smtp::Phase::content);
    job.possible_duplicate = true;
  };
  station.submit_to({"bob@example.org"});
  station.run_for(seconds(5));
  EXPECT_EQ(station.queue->counters().possible_duplicates, 1U);
  EXPECT_EQ(station.count(Kind::deferred), 1U);
}

TEST(Delivery, BeginsNothingAfterStop) {
  Station station;
  station.peer = nullptr;
  station.submit_to({"bob@example.org"});
  station.run_for(seconds(1));
  EXPECT_TRUE(station.queue->has_work({0}));
  station.queue->stop();
  EXPECT_FALSE(station.queue->has_work({0}));
  EXPECT_EQ(station.take(), nullptr);
  station.run_for(hours(100));
  EXPECT_EQ(station.disk.messages.size(), 1U);
}

}  // namespace
}  // namespace ringmta::queue
