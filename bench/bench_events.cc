// SPDX-License-Identifier: GPL-3.0-or-later
// What an event costs the shard that makes it: composing its line, and the whole way through the
// writer into a file (the kernel's share included).
//
// Claim: well under a microsecond for the line, so that two events per message stay small beside
// the 40 microseconds a message may take.
#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <netinet/in.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>

#include "../src/events/line.h"
#include "ringmta/events/writer.h"

namespace ringmta::events {
namespace {

// A delivery as most are.
struct Delivery {
  Delivery() {
    recipient.address = "some.recipient@mail.example.org";
    head.envelope.reverse_path = "bounces+48151623@newsletter.example.com";
    head.envelope.recipients = {&recipient, 1};
    head.info.arrival = {1'795'498'934'007};
    head.info.client = "192.0.2.107";
    head.info.tenant = "newsletter";
    auto& in = reinterpret_cast<sockaddr_in&>(job.peer.storage);
    in.sin_family = AF_INET;
    in.sin_port = htons(25);
    in.sin_addr.s_addr = htonl(0xC0000219);
    job.peer.length = sizeof(in);
    job.attempt = 1;
    job.peer_name = "mx1.mail.example.org";
    job.begun = {5'000'000'000};
    result.phase = smtp::Phase::content;
    result.code = 250;
    result.status = {2, 0, 0};
    result.text = "2.0.0 Ok: queued as 4F1C09AA12";
    outcome = {queue::Outcome::Kind::delivered,
               {0x0123456789ABCDEF},
               &head,
               0,
               &job,
               &result,
               "mail.example.org",
               10'240,
               1,
               {},
               {}};
  }
  smtp::RecipientView recipient;
  spool::MessageHead head;
  queue::Job job;
  queue::JobRecipient result;
  queue::Outcome outcome;
};

void BM_EventLine(benchmark::State& state) {
  const Delivery delivery;
  LineComposer composer("relay1.example.com", ShardId{1});
  std::string buffer(composer.bound(delivery.outcome), '\0');
  size_t octets = 0;
  int64_t ms = 1'795'498'935'007;
  for (auto _ : state) {
    const char* const end =
        composer.compose(buffer.data(), delivery.outcome, {5'250'000'000}, {++ms});
    octets = static_cast<size_t>(end - buffer.data());
    benchmark::DoNotOptimize(buffer.data());
    benchmark::ClobberMemory();
  }
  state.counters["octets"] = static_cast<double>(octets);
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_EventLine);

// 300 events per turn (10 ms at 15,000 messages/s), each written by chunks of 256 KiB.
void BM_EventToFile(benchmark::State& state) {
  constexpr int kPerTurn = 300;
  constexpr int kTurnsPerFile = 2000;
  constexpr uint64_t kBufferMax = 1 << 24;
  std::string directory = (std::filesystem::temp_directory_path() / "events-XXXXXX").string();
  if (mkdtemp(directory.data()) == nullptr) return state.SkipWithError("no temporary directory");
  const std::string path = directory + "/events.jsonl";
  auto io = ring::Io::create({});
  if (!io) return state.SkipWithError(io.error().message.c_str());
  shard::Loop loop(**io);
  const auto writer =
      std::move(*Writer::create(loop, {path, kBufferMax, {20}}, "relay1.example.com", ShardId{1}));
  loop.handle(shard::Owner::events, writer.get(), [](void* self, const ring::Event& event) {
    static_cast<Writer*>(self)->on_event(event);
  });
  loop.add_stage(writer.get(), [](void* self) { return static_cast<Writer*>(self)->flush(); });
  const Delivery delivery;
  int turns = 0;
  for (auto _ : state) {
    for (int i = 0; i < kPerTurn; ++i) writer->record(delivery.outcome);
    loop.turn(loop.now());
    // Events come slower than this in life: the writer is not to be driven into losing them.
    while (writer->counters().memory_octets > kBufferMax / 2) loop.turn(Monotonic::never());
    if (++turns == kTurnsPerFile) {  // the disk is not what is measured: keep the file small
      state.PauseTiming();
      std::filesystem::resize_file(path, 0);
      turns = 0;
      state.ResumeTiming();
    }
  }
  while (!writer->idle()) loop.turn(loop.now() + Milliseconds{10});
  if (writer->counters().lost > 0) state.SkipWithError("lines were lost: figures mean nothing");
  state.SetItemsProcessed(state.iterations() * kPerTurn);
  std::filesystem::remove_all(directory);
}
BENCHMARK(BM_EventToFile)->MeasureProcessCPUTime();

}  // namespace
}  // namespace ringmta::events
BENCHMARK_MAIN();
