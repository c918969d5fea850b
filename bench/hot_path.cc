// SPDX-License-Identifier: GPL-3.0-or-later
// The hot path as a deterministic program: one whole shard of the relay in the simulated world,
// with clients on one side and a good next hop on the other. bench/budget runs it under callgrind,
// which counts the shard's instructions; same seed, same count, however busy the machine is.
//
// The insight: callgrind counts only inside turn_measured(), and the simulator's part of that can
// be told apart by its names. What remains is what the same code executes on io_uring.
//
//   hot_path --messages 2000 --size 1024 [--pipelining]       run under callgrind
//            [--sessions N] [--domains N]        so many are open; recipients are in so many
//            [--waiting N]                       so many recipients wait for a dead host meanwhile
//   hot_path --messages 2000 --allocations                    where the shard allocates once warm
#include <dlfcn.h>
#include <execinfo.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "../tests/simulation/machine.h"
#include "ringmta/sim/world.h"

namespace {

// Stacks of operator new, while counting. Fixed memory: a counter that allocates would count
// itself.
constexpr size_t kStacksMax = 256, kDepth = 24;
struct Stack {
  void* frames[kDepth];
  int depth;
  uint64_t count;
};
Stack stacks[kStacksMax];
size_t stacks_used = 0;
bool asked = false, counting = false, within = false;

void count_allocation() {
  if (!counting || within) return;
  within = true;
  Stack now{};
  now.depth = backtrace(now.frames, kDepth);
  size_t at = 0;
  while (at < stacks_used && std::memcmp(stacks[at].frames, now.frames, sizeof now.frames) != 0)
    ++at;
  if (at == stacks_used && at < kStacksMax) stacks[stacks_used++] = now;
  if (at < kStacksMax) ++stacks[at].count;
  within = false;
}

}  // namespace

[[gnu::noinline]] void* operator new(std::size_t size) {
  count_allocation();
  void* memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

using namespace ringmta;

struct Options {
  uint64_t messages = 2000, warm = 500, sessions = 50, domains = 1, waiting = 0;
  size_t size = 1024;
  bool pipelining = false, allocations = false;
};

constexpr const char* kConfiguration = R"(
hostname = "relay.sim"
[shards]
count = 1
[server]
listen = ["127.0.0.1:2525"]
message_size_max = "2MiB"
[spool]
directory = "/spool"
segment_size = "8MiB"
disk_reserve = "1MiB"
[[route]]
name = "next"
domains = ["*"]
hosts = ["127.0.0.1:2526"]
connections_max = 50
[events]
file = "/events.jsonl"
[control]
socket = "/control"
)";

// For --waiting: nothing listens there, and it is not tried again.
constexpr const char* kDeadRoute = R"(
[[route]]
name = "dead"
domains = ["dead.example"]
hosts = ["127.0.0.1:2599"]
[client]
host_retry_after = "1d"
host_retry_longest = "1d"
)";
constexpr uint32_t kRecipientsWhenFilling = 100;

std::string content(size_t octets) {
  std::string text =
      "From: News <news@sender.example>\r\nTo: somebody@customer.example\r\nSubject: What is "
      "new\r\n"
      "Date: Tue, 01 Jul 2025 12:00:05 +0000\r\nMessage-ID: <1234567890@sender.example>\r\n\r\n";
  while (text.size() + 74 < octets) text += std::string(72, 'x') + "\r\n";
  text += std::string(octets > text.size() + 2 ? octets - text.size() - 2 : 0, 'y') + "\r\n";
  return text + ".\r\n";
}

// Both ends talk by lines; what a line is answered with differs.
struct Talk {
  ring::StreamId stream{};
  std::string input, output, sending;
  uint32_t step = 0, recipients_left = 0;
  bool is_sending = false, in_data = false;
};

class Ends final {
 public:
  Ends(sim::World& world, const Options& options)
      : options_(options), content_(content(options.size)), io_(*ring::Io::create({})) {
    const auto address = parse_socket_address("127.0.0.1:2526", 0);
    RINGMTA_ASSERT(address && io_->listen(*address, {}, ring::Token::make(1)));
    world.drive(*io_, this, [](void* self) { static_cast<Ends*>(self)->turn(); });
  }

  void connect() {
    const auto relay = parse_socket_address("127.0.0.1:2525", 0);
    for (uint64_t i = 0; i < options_.sessions; ++i) {
      clients_.push_back(std::make_unique<Talk>());
      clients_.back()->stream = *io_->connect(*relay, {}, ring::Token::make(2, as_index(i)));
    }
  }
  void allow(uint64_t messages) {
    allowed_ += messages;
    for (auto& one : clients_) {
      if (one->step == kIdle) begin(*one);
      pump(*one);
    }
  }
  // Messages for the dead host, so many recipients in all.
  void fill(uint64_t recipients) {
    filling_ = true;
    allow((recipients + kRecipientsWhenFilling - 1) / kRecipientsWhenFilling);
  }
  void filled() { filling_ = false; }
  uint64_t delivered = 0, accepted = 0;

 private:
  static constexpr uint32_t kGreeting = 0, kHello = 1, kMail = 2, kRecipient = 3, kData = 4,
                            kDot = 5, kIdle = 6;
  static uint32_t as_index(uint64_t number) { return static_cast<uint32_t>(number); }

  void turn() {
    for (const ring::Event& event : io_->turn(Monotonic::never())) on_event(event);
    for (auto& one : clients_) pump(*one);
    for (auto& one : servers_) pump(*one);
  }

  void on_event(const ring::Event& event) {
    if (event.kind == ring::EventKind::accepted) {
      servers_.push_back(std::make_unique<Talk>());
      servers_.back()->stream = event.stream;
      io_->own(event.stream, ring::Token::make(3, as_index(servers_.size() - 1)));
      io_->read(event.stream);
      servers_.back()->output = "220 sink.sim ESMTP\r\n";
      return;
    }
    const bool is_client = event.token.kind() == 2;
    if (!is_client && event.token.kind() != 3) return;
    Talk& talk = is_client ? *clients_[event.token.index()] : *servers_[event.token.index()];
    if (event.kind == ring::EventKind::connected) io_->read(talk.stream);
    if (event.kind == ring::EventKind::sent) talk.is_sending = false;
    if (event.kind == ring::EventKind::received) {
      talk.input += as_text(event.data);
      is_client ? replies(talk) : commands(talk);
    }
  }

  void begin(Talk& talk) {
    if (started_ == allowed_) {
      talk.step = kIdle;
      return;
    }
    ++started_;
    talk.step = kMail;
    talk.recipients_left = filling_ ? kRecipientsWhenFilling : 1;
    talk.output += "MAIL FROM:<bounces+1234567890@sender.example>\r\n";
    if (lock_step()) return;
    for (uint32_t i = 0; i < talk.recipients_left; ++i) talk.output += recipient();
    talk.output += "DATA\r\n";
  }

  bool lock_step() const { return !options_.pipelining && !filling_; }
  std::string recipient() {
    if (filling_) return "RCPT TO:<somebody" + std::to_string(++named_) + "@dead.example>\r\n";
    if (options_.domains == 1) return "RCPT TO:<somebody@customer.example>\r\n";
    return "RCPT TO:<somebody@d" + std::to_string(++named_ % options_.domains) +
           ".customer.example>\r\n";
  }

  void replies(Talk& talk) {
    for (size_t end; (end = talk.input.find("\r\n")) != std::string::npos;) {
      const std::string line = talk.input.substr(0, end);
      talk.input.erase(0, end + 2);
      if (line.size() > 3 && line[3] == '-') continue;
      if (line[0] != '2' && line[0] != '3') {
        std::fprintf(
            stderr,
            "hot_path: the relay says: %s (step %u, started %zu, accepted %zu, delivered %zu)\n",
            line.c_str(), talk.step, started_, accepted, delivered);
        std::abort();
      }
      switch (talk.step++) {
        case kGreeting:
          talk.output += "EHLO client.sim\r\n";
          break;
        case kHello:
          begin(talk);
          break;
        case kMail:
          if (lock_step()) talk.output += recipient();
          break;
        case kRecipient:
          if (--talk.recipients_left > 0) talk.step = kRecipient;
          if (lock_step()) talk.output += "DATA\r\n";
          break;
        case kData:
          talk.output += content_;
          break;
        case kDot:
          ++accepted;
          begin(talk);
          break;
        default:
          RINGMTA_ASSERT(false);
      }
    }
  }

  void commands(Talk& talk) {
    while (true) {
      const std::string_view until = talk.in_data ? "\r\n.\r\n" : "\r\n";
      const size_t end = talk.input.find(until);
      if (end == std::string::npos) return;
      const std::string line = talk.input.substr(0, 4);
      talk.input.erase(0, end + until.size());
      if (talk.in_data) {
        talk.in_data = false;
        ++delivered;
        talk.output += "250 2.0.0 Ok: 4C1VQJ2ZXXZ9S\r\n";
      } else if (line == "DATA") {
        talk.in_data = true;
        talk.output += "354 Go on\r\n";
      } else if (line == "EHLO") {
        talk.output += "250-sink.sim\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250 8BITMIME\r\n";
      } else {
        talk.output += "250 2.1.0 Ok\r\n";
      }
    }
  }

  void pump(Talk& talk) {
    if (talk.is_sending || talk.output.empty()) return;
    talk.sending.swap(talk.output);
    talk.output.clear();
    const iovec part{talk.sending.data(), talk.sending.size()};
    talk.is_sending = true;
    io_->send(talk.stream, {&part, 1});
  }

  const Options options_;
  const std::string content_;
  std::unique_ptr<ring::Io> io_;
  std::vector<std::unique_ptr<Talk>> clients_, servers_;
  uint64_t started_ = 0, allowed_ = 0, named_ = 0;
  bool filling_ = false;
};

// The two differ in name only, and must not be folded into one: callgrind counts inside the second.
[[gnu::noinline]] void turn_warming(void* loop) {
  static_cast<shard::Loop*>(loop)->turn();
  asm volatile("" ::: "memory");
}
[[gnu::noinline]] void turn_measured(void* loop) {
  counting = asked;
  static_cast<shard::Loop*>(loop)->turn();
  counting = false;
}

void run(const Options& options) {
  sim::WorldOptions world_options;
  world_options.network.latency_us_min = world_options.network.latency_us_max = 50;
  world_options.network.segment_octets_max = 1 << 20;
  world_options.network.window_octets = 1 << 20;
  world_options.disk.latency_us_min = world_options.disk.latency_us_max = 250;
  sim::World world(world_options);
  simulation::Machine machine(world);
  const std::string configuration =
      std::string(kConfiguration) + (options.waiting > 0 ? kDeadRoute : "");
  if (!machine.start(configuration)) {
    std::fprintf(stderr, "hot_path: %s\n", machine.why().c_str());
    std::abort();
  }
  relay::ShardRelay& relay = machine.shard(0);
  world.drive(relay.loop().io(), &relay.loop(), turn_warming);
  relay.queue().set_route_addresses(
      0, {{"127.0.0.1:2526", *parse_socket_address("127.0.0.1:2526", 0)}});

  if (options.waiting > 0) {
    relay.queue().set_route_addresses(
        1, {{"127.0.0.1:2599", *parse_socket_address("127.0.0.1:2599", 0)}});
  }

  Ends ends(world, options);
  ends.connect();
  const auto through = [&](uint64_t messages) {
    const uint64_t wanted = ends.delivered + messages;
    ends.allow(messages);
    RINGMTA_ASSERT(world.run_until([&] { return ends.delivered == wanted; }, minutes(10)));
    world.run_for(Milliseconds{100});  // what a message leaves to do
  };
  if (options.waiting > 0) {
    ends.fill(options.waiting);
    RINGMTA_ASSERT(world.run_until(
        [&] { return relay.queue().counters().recipients >= options.waiting; }, minutes(60)));
    world.run_for(seconds(2));
    ends.filled();
    ends.accepted = 0;
  }
  through(options.warm);
  asked = options.allocations;
  world.drive(relay.loop().io(), &relay.loop(), turn_measured);
  const ring::IoCounters before = relay.loop().io().counters();
  through(options.messages);
  const ring::IoCounters& after = relay.loop().io().counters();
  world.drive(relay.loop().io(), &relay.loop(), turn_warming);
  RINGMTA_ASSERT(ends.accepted == options.warm + options.messages);
  std::printf("messages %llu turns %llu sends %llu receives %llu file_operations %llu\n",
              static_cast<unsigned long long>(options.messages),
              static_cast<unsigned long long>(after.turns - before.turns),
              static_cast<unsigned long long>(after.sends - before.sends),
              static_cast<unsigned long long>(after.receives - before.receives),
              static_cast<unsigned long long>(after.file_operations - before.file_operations));
  if (!options.allocations) return;
  Dl_info self{};
  dladdr(reinterpret_cast<void*>(&turn_warming), &self);
  const auto base = reinterpret_cast<uintptr_t>(self.dli_fbase);
  for (size_t i = 0; i < stacks_used; ++i) {
    std::printf("allocated %llu", static_cast<unsigned long long>(stacks[i].count));
    for (int frame = 0; frame < stacks[i].depth; ++frame) {
      std::printf(" %zx", reinterpret_cast<uintptr_t>(stacks[i].frames[frame]) - base);
    }
    std::printf("\n");
  }
}

}  // namespace

int main(int count, char** words) {
  Options options;
  const auto number = [&](int at) {
    uint64_t value = 0;
    if (at < count) std::from_chars(words[at], words[at] + std::strlen(words[at]), value);
    return value;
  };
  for (int i = 1; i < count; ++i) {
    const std::string_view word = words[i];
    if (word == "--messages") {
      options.messages = number(++i);
    } else if (word == "--warm") {
      options.warm = number(++i);
    } else if (word == "--sessions") {
      options.sessions = number(++i);
    } else if (word == "--domains") {
      options.domains = number(++i);
    } else if (word == "--waiting") {
      options.waiting = number(++i);
    } else if (word == "--size") {
      options.size = number(++i);
    } else if (word == "--pipelining") {
      options.pipelining = true;
    } else if (word == "--allocations") {
      options.allocations = true;
    } else {
      std::fprintf(stderr, "hot_path: '%s' is not an option; see the top of bench/hot_path.cc\n",
                   words[i]);
      return 2;
    }
  }
  run(options);
}
