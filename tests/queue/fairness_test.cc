// SPDX-License-Identifier: GPL-3.0-or-later
// Tenants share a site's turns, by octets.
#include "station.h"

namespace ringmta::queue {
namespace {

// Mail of one tenant, `octets` each.
void flood(Station& station, const std::string& tenant, int count, size_t octets,
           const std::string& from = "x@campaign.example") {
  Mail mail;
  mail.from = from;
  mail.tenant = tenant;
  mail.to = {{"bob@example.org"}};
  mail.content = "Subject: x\r\n\r\n" + std::string(octets, 'x') + "\r\n.\r\n";
  for (int i = 0; i < count; ++i) station.submit(mail);
}

// Takes `count` jobs and gives the octets each sender got.
std::map<std::string, uint64_t> served(Station& station, int count) {
  std::map<std::string, uint64_t> octets;
  for (int i = 0; i < count; ++i) {
    Job* job = station.take();
    if (job == nullptr) {
      ADD_FAILURE() << "nothing is ready";
      break;
    }
    octets[std::string(job->transaction.envelope.reverse_path)] +=
        job->transaction.content.wire_size;
    deliver(*job);
    station.queue->job_done(job);
  }
  return octets;
}

struct Fairness : ::testing::Test {
  Fairness() { station.peer = nullptr; }
  Station station;
};

TEST_F(Fairness, ASmallTenantIsNotStarvedByAFlood) {
  flood(station, "big", 20'000, 1000, "big@x.example");
  station.run_for(seconds(1));
  flood(station, "small", 10, 1000, "small@x.example");
  station.run_for(seconds(1));
  const auto octets = served(station, 40);
  EXPECT_EQ(octets.at("small@x.example"), 10U * 1019);
}

TEST_F(Fairness, ShareIsByOctetsNotByMessages) {
  flood(station, "letters", 2000, 200'000, "letters@x.example");
  flood(station, "notes", 20'000, 1000, "notes@x.example");
  station.run_for(seconds(1));
  auto octets = served(station, 4000);
  // Each message also costs a transaction (2048 octets), which the small ones feel most.
  const double letters = static_cast<double>(octets["letters@x.example"]) * (202'067.0 / 200'019);
  const double notes = static_cast<double>(octets["notes@x.example"]) * (3067.0 / 1019);
  EXPECT_NEAR(letters / notes, 1.0, 0.05);
}

TEST_F(Fairness, ManyTenantsEachGetTheirTurn) {
  for (int i = 0; i < 50; ++i)
    flood(station, "t" + std::to_string(i), i == 0 ? 5000 : 20, 1000,
          "t" + std::to_string(i) + "@x.example");
  station.run_for(seconds(1));
  const auto octets = served(station, 50 * 20);
  EXPECT_EQ(octets.size(), 50U);
  for (const auto& [sender, sum] : octets) EXPECT_EQ(sum, 20U * 1019) << sender;
}

TEST_F(Fairness, WithoutATenantTheSendersDomainCounts) {
  flood(station, "", 5000, 1000, "a@big.example");
  flood(station, "", 5000, 1000, "b@BIG.example");
  station.run_for(seconds(1));
  flood(station, "", 10, 1000, "c@small.example");
  station.run_for(seconds(1));
  const auto octets = served(station, 60);
  EXPECT_EQ(octets.at("c@small.example"), 10U * 1019);
}

TEST_F(Fairness, AHugeMessageDelaysOthersByABoundedNumber) {
  flood(station, "huge", 5, 50'000'000, "huge@x.example");
  flood(station, "small", 2000, 1000, "small@x.example");
  station.run_for(seconds(1));
  const auto octets = served(station, 1000);
  EXPECT_GE(octets.at("huge@x.example"), 50'000'000U);  // and it is not starved itself
}

TEST_F(Fairness, ATenantAloneHasAllTurns) {
  flood(station, "only", 500, 100'000);
  station.run_for(seconds(1));
  EXPECT_EQ(served(station, 500).size(), 1U);
}

}  // namespace
}  // namespace ringmta::queue
