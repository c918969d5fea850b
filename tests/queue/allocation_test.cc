// SPDX-License-Identifier: GPL-3.0-or-later
// A message's way through the queue allocates nothing once the pools are warm. Every operator new
// of this process is counted.
#include <cstdlib>
#include <new>

#include "station.h"

namespace {
uint64_t allocations = 0;

void* counted(std::size_t size) {
  ++allocations;
  void* memory = std::malloc(size);
  if (memory == nullptr) std::abort();
  return memory;
}
}  // namespace

void* operator new(std::size_t size) { return counted(size); }
void* operator new[](std::size_t size) { return counted(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace ringmta::queue {
namespace {

constexpr uint64_t kMessages = 2000;

// Stores so many messages of `tenants` tenants and gives their handles; the spool's own
// allocations happen here.
std::vector<spool::StoredHandle> store(Station& station, uint64_t tenants) {
  std::vector<spool::StoredHandle> handles;
  const smtp::RecipientView recipient{
      "a.rather.long.local.part@a.rather.long.domain.example", {}, 0};
  for (uint64_t i = 0; i < kMessages; ++i) {
    const std::string tenant = "a rather long tenant number " + std::to_string(i % tenants);
    spool::MessageHead head;
    head.envelope.reverse_path = "a.rather.long.sender@a.rather.long.sender.example";
    head.envelope.recipients = {&recipient, 1};
    head.info.tenant = tenant;
    head.info.arrival = station.world.wall();
    head.info.expiry = station.world.wall() + hours(72);
    const std::string_view content = "Subject: x\r\n\r\n.\r\n";
    handles.push_back(station.spool->store(station.spool->next_id(), head, {}, {&content, 1}, 1));
  }
  station.spool->flush();
  std::vector<spool::Done> done;
  station.spool->take_done(done);
  return handles;
}

// Everything in, then everything out. Counts what the queue allocates.
uint64_t through(Station& station, const std::vector<spool::StoredHandle>& handles,
                 bool deferred_first) {
  std::vector<smtp::RecipientView> views;
  uint64_t count = 0;
  for (const spool::StoredHandle handle : handles) {
    views.clear();
    const auto head = spool::decode_head(station.spool->head(handle), views);
    const uint64_t before = allocations;
    station.queue->add(handle, *head, {});
    count += allocations - before;
  }
  std::vector<Job*> jobs;
  for (int round = deferred_first ? 0 : 1; round < 2; ++round) {
    const uint64_t before = allocations;
    while (Job* job = station.take()) {
      job->peer_name = "a.rather.long.name.of.a.host.example";
      for (JobRecipient& result : job->recipients) {
        result.verdict = round == 0 ? Verdict::deferred : Verdict::delivered;
        result.phase = smtp::Phase::content;
        result.code = 450;
        result.text = "4.2.1 the mailbox is rather busy now";
      }
      station.queue->job_done(job);
    }
    // What is deferred is recorded by the spool, which allocates here; only the last round counts.
    if (round == 1) count += allocations - before;
    if (round == 0) {
      const sim::World& world = station.world;
      const Monotonic later = world.now() + minutes(3);
      station.sites_with_work.clear();
      while (station.world.step(later)) {
      }
    }
  }
  return count;
}

struct Allocation : ::testing::TestWithParam<uint64_t> {
  Allocation() {
    station.peer = nullptr;
    station.takes_notes = false;
    station.disk.finished.reserve(100 * kMessages);
  }
  Station station;
};

TEST_P(Allocation, ADeliveryAllocatesNothing) {
  for (int warm = 0; warm < 2; ++warm) through(station, store(station, GetParam()), false);
  EXPECT_EQ(through(station, store(station, GetParam()), false), 0U);
  EXPECT_EQ(station.disk.messages.size(), 0U);
}

TEST_P(Allocation, NorDoesARetry) {
  for (int warm = 0; warm < 2; ++warm) through(station, store(station, GetParam()), true);
  EXPECT_EQ(through(station, store(station, GetParam()), true), 0U);
  EXPECT_EQ(station.disk.messages.size(), 0U);
}

INSTANTIATE_TEST_SUITE_P(ByTenants, Allocation, ::testing::Values(1, 100));

}  // namespace
}  // namespace ringmta::queue
