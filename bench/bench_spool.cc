// SPDX-License-Identifier: GPL-3.0-or-later
// The spool on the real disk: log append with group commit, and the restart of a full one.
//
//   bench_spool [--directory DIR] [--octets N] [--messages N] [--concurrent N] [--relaxed]
//   bench_spool --recover N [--cold]
//   bench_spool --compact N
//
// Append: so many messages are always on their way, as that many sessions would have them; each is
// finished as soon as it is committed. Figures: messages/s, writes (each a sync) per message, CPU
// of the process per message, user and system apart. `store()` alone is what a message costs in the
// spool before anything is written.
//
// Recovery: N messages of 1 KB are stored and left; then a new process would start: the time until
// every head was handed out. --cold: nothing of the files is in the page cache.
//
// Compaction: N messages are stored and nine of ten finished at random; what is left moves until
// its segments are free. Figures: CPU and octets written per message that moved. (Compaction waits
// for ten seconds first, in the hope that more will end.)
//
// What the device is given is counted by the kernel (write_bytes in /proc/self/io), file system
// metadata not included.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <string>
#include <vector>

#include "ringmta/base/prng.h"
#include "ringmta/ring/io.h"
#include "ringmta/spool/spool.h"

namespace ringmta::spool {
namespace {

using Clock = std::chrono::steady_clock;

struct Plan {
  std::string directory = ".";
  size_t octets = 1024;
  uint64_t messages = 200'000;
  uint64_t concurrent = 50;
  uint64_t recover = 0;
  uint64_t compact = 0;
  bool cold = false;
  bool relaxed = false;
  bool buffered = false;
};

struct Usage {
  double user_us = 0, system_us = 0;
  Clock::time_point at = Clock::now();
  static Usage now() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto us = [](const timeval& time) {
      return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
    };
    return {us(usage.ru_utime), us(usage.ru_stime), Clock::now()};
  }
};

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

double thread_time_ns() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

uint64_t resident_octets() {
  uint64_t pages = 0;
  uint64_t resident = 0;
  if (FILE* file = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(file, "%lu %lu", &pages, &resident) != 2) resident = 0;
    std::fclose(file);
  }
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

uint64_t device_octets() {
  uint64_t octets = 0;
  if (FILE* file = std::fopen("/proc/self/io", "r")) {
    std::array<char, 64> line{};
    while (std::fgets(line.data(), line.size(), file) != nullptr) {
      if (std::sscanf(line.data(), "write_bytes: %lu", &octets) == 1) break;
    }
    std::fclose(file);
  }
  return octets;
}

void drop_from_cache(const std::string& directory) {
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    const int file = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) continue;
    fdatasync(file);
    posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    close(file);
  }
}

class Shard {
 public:
  explicit Shard(const Plan& plan) : plan_(plan) {
    options_.directory = plan.directory;
    options_.disk_reserve = 0;
    options_.durability = plan.relaxed ? DurabilityMode::relaxed : DurabilityMode::sync;
    options_.write_mode = plan.buffered ? WriteMode::buffered : WriteMode::automatic;
    content_.assign(plan.octets - 3, 'x');
    for (size_t i = 70; i + 1 < content_.size(); i += 72) {
      content_[i] = '\r';
      content_[i + 1] = '\n';
    }
    content_ += ".\r\n";
    recipient_.address = "some.recipient@mail.example.org";
    head_.envelope.reverse_path = "bounces+48151623@newsletter.example.com";
    head_.envelope.recipients = {&recipient_, 1};
    head_.info.client = "192.0.2.107";
    head_.info.tenant = "newsletter";
    auto io = ring::Io::create({});
    if (!io) fatal(io.error().message);
    io_ = std::move(*io);
  }

  void begin(Recovery* recovery) {
    auto spool = Spool::create(*io_, options_, recovery, ring::Token::make(4));
    if (!spool) fatal(spool.error().message);
    spool_ = std::move(*spool);
  }
  void end() { spool_.reset(); }

  StoredHandle store(uint64_t tag) {
    const std::string_view content = content_;
    head_.info.arrival = io_->wall();
    head_.info.expiry = io_->wall() + hours(120);
    if (content.size() <= 16'384) {
      return spool_->store(spool_->next_id(), head_, kTrace, {&content, 1}, tag);
    }
    Gathering* gathering = spool_->gather();
    if (gathering == nullptr) return {UINT32_MAX, 0};
    for (size_t at = 0; at < content.size(); at += 16'384) {
      spool_->gather_append(*gathering, content.substr(at, 16'384));
    }
    return spool_->store_gathered(spool_->next_id(), head_, kTrace, gathering, tag);
  }

  void turn(Milliseconds at_most = hours(1)) {
    spool_->flush();
    const Monotonic until = std::min(spool_->wants_flush_at(), io_->now() + at_most);
    for (const ring::Event& event : io_->turn(until)) spool_->on_event(event);
    done.clear();
    spool_->take_done(done);
  }

  // Keeps `concurrent` messages under way until `messages` were committed.
  void run(uint64_t messages, bool finish) {
    uint64_t stored = 0;
    uint64_t committed = 0;
    while (committed < messages) {
      while (stored < messages && stored - committed < plan_.concurrent) {
        if (store(stored).index == UINT32_MAX) break;
        ++stored;
      }
      turn();
      for (const Done& one : done) {
        if (one.what != Done::What::committed) continue;
        ++committed;
        if (finish) {
          spool_->finish(one.message);
        } else {
          spool_->evict(one.message);
          kept.push_back(one.message);
        }
      }
    }
    while (!spool_->idle()) turn();
  }

  Spool& spool() { return *spool_; }
  [[noreturn]] static void fatal(const std::string& why) {
    fmt::print(stderr, "bench_spool: {}\n", why);
    std::exit(1);
  }
  std::vector<Done> done;
  std::vector<StoredHandle> kept;

 private:
  static constexpr std::string_view kTrace =
      "Received: from client.example.com ([192.0.2.107])\r\n\tby relay1.example.net with ESMTP id "
      "0P1GWY0140001\r\n\tfor <some.recipient@mail.example.org>;\r\n\tTue, 24 Nov 2026 11:12:13 "
      "+0000\r\n";
  const Plan& plan_;
  SpoolOptions options_;
  std::string content_;
  smtp::RecipientView recipient_;
  MessageHead head_;
  std::unique_ptr<ring::Io> io_;
  std::unique_ptr<Spool> spool_;
};

void append(const Plan& plan) {
  Shard shard(plan);
  shard.begin(nullptr);
  shard.run(plan.messages / 10, true);  // segments are made and recycled by then
  const SpoolCounters before = shard.spool().counters();
  const uint64_t device_before = device_octets();
  const Usage begin = Usage::now();
  shard.run(plan.messages, true);
  const Usage end = Usage::now();
  const SpoolCounters after = shard.spool().counters();
  const auto count = static_cast<double>(plan.messages);
  const double time = seconds_between(begin.at, end.at);
  fmt::print(
      "{{\"octets\": {}, \"concurrent\": {}, \"mode\": \"{}\", \"messages_per_s\": {:.0f}, "
      "\"writes_per_message\": {:.4f}, \"octets_written_per_message\": {:.0f}, \"user_us\": "
      "{:.2f}, \"system_us\": {:.2f}, \"recycled\": {}, \"memory_octets\": {}, "
      "\"device_octets_per_message\": {:.0f}}}\n",
      plan.octets, plan.concurrent,
      plan.relaxed ? "relaxed" : (after.direct ? "direct" : "buffered"), count / time,
      static_cast<double>(after.batches - before.batches) / count,
      static_cast<double>(after.batch_octets - before.batch_octets) / count,
      (end.user_us - begin.user_us) / count, (end.system_us - begin.system_us) / count,
      after.recycled_segments - before.recycled_segments, after.memory_octets,
      static_cast<double>(device_octets() - device_before) / count);
}

// A message's way into the open batch, without the disk.
void store_alone(const Plan& plan) {
  Shard shard(plan);
  shard.begin(nullptr);
  while (shard.spool().counters().segments == 0) shard.turn();
  double spent_ns = 0;
  uint64_t stored = 0;
  while (stored < plan.messages / 4) {
    const double begin_ns = thread_time_ns();
    for (int i = 0; i < 64; ++i) shard.store(stored++);
    spent_ns += thread_time_ns() - begin_ns;
    uint64_t committed = 0;
    while (committed < 64) {
      shard.turn();
      for (const Done& one : shard.done) {
        if (one.what != Done::What::committed) continue;
        ++committed;
        shard.spool().finish(one.message);
      }
    }
  }
  fmt::print("{{\"octets\": {}, \"store_ns\": {:.0f}}}\n", plan.octets,
             spent_ns / static_cast<double>(stored));
}

void recover_many(const Plan& plan) {
  {
    Shard shard(plan);
    shard.begin(nullptr);
    shard.run(plan.recover, false);
    fmt::print("{{\"stored\": {}, \"memory_octets\": {}, \"resident_octets\": {}}}\n", plan.recover,
               shard.spool().counters().memory_octets, resident_octets());
    shard.end();
  }
  if (plan.cold) drop_from_cache(plan.directory);
  const uint64_t resident_before = resident_octets();
  const auto begin = Clock::now();
  const Usage usage = Usage::now();
  auto recovery = recover(plan.directory, 1, 2);
  if (!recovery) Shard::fatal(recovery.error().message);
  const auto scanned = Clock::now();
  Shard shard(plan);
  shard.begin(recovery->get());
  uint64_t found = 0;
  std::vector<smtp::RecipientView> recipients;
  shard.spool().for_each_recovered([&](StoredHandle, const Recovered& message) {
    if (decode_head(message.head, recipients)) ++found;
  });
  const auto end = Clock::now();
  const Usage used = Usage::now();
  fmt::print(
      "{{\"recovered\": {}, \"scan_s\": {:.2f}, \"heads_s\": {:.2f}, \"cpu_s\": {:.2f}, "
      "\"resident_growth_octets\": {}}}\n",
      found, seconds_between(begin, scanned), seconds_between(scanned, end),
      (used.user_us + used.system_us - usage.user_us - usage.system_us) / 1e6,
      resident_octets() - resident_before);
}

void compact(const Plan& plan) {
  Shard shard(plan);
  shard.begin(nullptr);
  shard.run(plan.compact, false);
  Spool& spool = shard.spool();
  Prng random(1);
  for (const StoredHandle message : shard.kept) {
    if (random.below(10) != 0) spool.finish(message);
  }
  while (!spool.idle()) shard.turn();
  const uint64_t living = spool.counters().messages;
  const SpoolCounters before = spool.counters();
  while (spool.counters().compacted_messages == before.compacted_messages) {
    shard.turn(Milliseconds{20});
  }
  const Usage begin = Usage::now();
  const uint64_t device_before = device_octets();
  while (spool.counters().compacted_messages + living / 20 <
         before.compacted_messages + living) {  // those in the head stay
    shard.turn(Milliseconds{20});
  }
  const Usage end = Usage::now();
  const SpoolCounters after = spool.counters();
  const auto moved = static_cast<double>(after.compacted_messages - before.compacted_messages);
  fmt::print(
      "{{\"stored\": {}, \"living\": {}, \"moved\": {:.0f}, \"moved_per_s\": {:.0f}, "
      "\"user_us\": {:.2f}, \"system_us\": {:.2f}, \"device_octets_per_moved\": {:.0f}, "
      "\"segments_before\": {}, \"segments_free_after\": {}}}\n",
      plan.compact, living, moved, moved / seconds_between(begin.at, end.at),
      (end.user_us - begin.user_us) / moved, (end.system_us - begin.system_us) / moved,
      static_cast<double>(device_octets() - device_before) / moved, before.segments,
      after.segments_free);
}

int run(int count, char** arguments) {
  Plan plan;
  for (int i = 1; i < count; ++i) {
    const std::string_view name = arguments[i];
    const auto number = [&] {
      return i + 1 < count ? std::strtoull(arguments[++i], nullptr, 10) : 0;
    };
    if (name == "--directory" && i + 1 < count) plan.directory = arguments[++i];
    if (name == "--octets") plan.octets = number();
    if (name == "--messages") plan.messages = number();
    if (name == "--concurrent") plan.concurrent = number();
    if (name == "--recover") plan.recover = number();
    if (name == "--compact") plan.compact = number();
    if (name == "--cold") plan.cold = true;
    if (name == "--relaxed") plan.relaxed = true;
    if (name == "--buffered") plan.buffered = true;
  }
  std::string directory = plan.directory + "/bench-spool-XXXXXX";
  if (mkdtemp(directory.data()) == nullptr) Shard::fatal("cannot make a directory " + directory);
  plan.directory = directory;
  if (plan.recover > 0) {
    plan.concurrent = 1000;
    recover_many(plan);
  } else if (plan.compact > 0) {
    plan.concurrent = 1000;
    compact(plan);
  } else {
    append(plan);
    std::filesystem::remove_all(directory);
    store_alone(plan);
  }
  std::filesystem::remove_all(directory);
  return 0;
}

}  // namespace
}  // namespace ringmta::spool

int main(int count, char** arguments) { return ringmta::spool::run(count, arguments); }
