// SPDX-License-Identifier: GPL-3.0-or-later
// What the DNS costs a shard: an answer from memory, one from a server over UDP (the time of the
// shard's thread; a thread of its own plays the server), reading answers honest and hostile, and
// the memory of a cache entry. Time is CPU time of the benchmark's thread.
#include <arpa/inet.h>
#include <benchmark/benchmark.h>
#include <malloc.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <thread>

#include "ringmta/dns/message.h"
#include "ringmta/dns/mx.h"
#include "ringmta/dns/resolver.h"

namespace ringmta::dns {
namespace {

// An answer to `question` (a message): one A record, or for MX two hosts.
std::string answer_to(std::string_view question) {
  std::string answer(question.substr(0, 12));
  size_t end = 12;
  while (question[end] != 0) end += 1U + static_cast<uint8_t>(question[end]);
  const bool mx = question[end + 2] == 15;
  const bool aaaa = question[end + 2] == 28;
  answer += question.substr(12, end + 5 - 12);
  answer[2] = static_cast<char>(0x81);
  answer[3] = static_cast<char>(0x80);
  answer[7] = static_cast<char>(mx ? 2 : aaaa ? 0 : 1);
  answer[11] = 0;
  if (mx) {
    for (const char number : {'1', '2'}) {
      answer += std::string("\xC0\x0C\0\x0F\0\1\0\0\x0E\x10\0\x08\0\x0A\3mx", 17);
      answer += number;
      answer += "\xC0\x0C";
    }
  } else if (!aaaa) {
    answer += std::string("\xC0\x0C\0\1\0\1\0\0\x0E\x10\0\4\xC0\0\2\1", 16);
  }
  return answer;
}

// A recursive server that knows everything.
class Server {
 public:
  Server() {
    fd_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    address = *parse_socket_address("127.0.0.1:0", 0);
    const int octets = 8 << 20;
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUFFORCE, &octets, sizeof octets);
    if (::bind(fd_, address.get(), address.length) != 0) std::abort();
    ::getsockname(fd_, address.get(), &address.length);
    thread_ = std::thread([this] { run(); });
  }
  ~Server() {
    stop_ = true;
    thread_.join();
    ::close(fd_);
  }
  SocketAddress address;

 private:
  void run() const {
    char buffer[1500];
    while (!stop_) {
      pollfd wait{fd_, POLLIN, 0};
      if (::poll(&wait, 1, 20) <= 0) continue;
      SocketAddress from;
      for (;;) {
        from.length = sizeof from.storage;
        const ssize_t got =
            ::recvfrom(fd_, buffer, sizeof buffer, MSG_DONTWAIT, from.get(), &from.length);
        if (got < 12) break;
        const std::string answer = answer_to({buffer, static_cast<size_t>(got)});
        ::sendto(fd_, answer.data(), answer.size(), 0, from.get(), from.length);
      }
    }
  }
  int fd_ = -1;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

struct Shard {
  explicit Shard(uint64_t cache_octets = 256ULL << 20) {
    io = std::move(*ring::Io::create({}));
    loop = std::make_unique<shard::Loop>(*io);
    ResolverOptions options;
    options.servers = {server.address};
    options.cache.octets_max = cache_octets;
    resolver = std::make_unique<Resolver>(*loop, options);
    mx = std::make_unique<MxResolver>(*resolver, *io, MxOptions{}, this,
                                      [](void* self, std::unique_ptr<MxQuery> query) {
                                        auto& shard = *static_cast<Shard*>(self);
                                        ++shard.answered;
                                        shard.spare.push_back(std::move(query));
                                      });
    loop->handle(shard::Owner::dns, resolver.get(), [](void* self, const ring::Event& event) {
      static_cast<Resolver*>(self)->on_event(event);
    });
    loop->add_stage(resolver.get(), [](void* self) { return static_cast<Resolver*>(self)->run(); });
    loop->add_stage(mx.get(), [](void* self) { return static_cast<MxResolver*>(self)->run(); });
  }
  ~Shard() {
    mx.reset();
    resolver.reset();
  }
  std::unique_ptr<MxQuery> query(const std::string& domain) {
    std::unique_ptr<MxQuery> made;
    if (spare.empty()) {
      made = std::make_unique<MxQuery>();
    } else {
      made = std::move(spare.back());
      spare.pop_back();
    }
    made->domain = domain;
    return made;
  }

  Server server;
  std::unique_ptr<ring::Io> io;
  std::unique_ptr<shard::Loop> loop;
  std::unique_ptr<Resolver> resolver;
  std::unique_ptr<MxResolver> mx;
  std::deque<std::unique_ptr<MxQuery>> spare;
  size_t answered = 0;
};

struct Wish {
  Lookup lookup;
  size_t* answered = nullptr;
};
void on_answer(void* self, Lookup&, const RecordSet& records) {
  if (records.fate != Fate::found) std::abort();
  ++*static_cast<Wish*>(self)->answered;
}

void LookupFromMemory(benchmark::State& state) {
  Shard shard;
  constexpr size_t kNames = 10'000;
  std::vector<Name> names;
  std::deque<Wish> wishes(kNames);
  size_t answered = 0;
  for (size_t i = 0; i < kNames; ++i) {
    names.push_back(*Name::parse("domain" + std::to_string(i) + ".example"));
    Wish& wish = wishes[i];
    wish.answered = &answered;
    wish.lookup.self = &wish;
    wish.lookup.done = on_answer;
    shard.resolver->lookup(names[i], RecordType::mx, wish.lookup);
    while (i % 200 == 0 && answered < i) shard.loop->turn();
  }
  while (answered < kNames) shard.loop->turn();
  size_t next = 0;
  Lookup lookup;
  for (auto _ : state) {
    next = (next + 7919) % kNames;
    benchmark::DoNotOptimize(shard.resolver->lookup(names[next], RecordType::mx, lookup));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(LookupFromMemory);

// A whole domain from memory: MX, two hosts, A and AAAA of each; 100 a turn.
void DomainFromMemory(benchmark::State& state) {
  Shard shard;
  constexpr size_t kBatch = 100;
  std::vector<std::string> domains;
  for (size_t i = 0; i < kBatch; ++i) domains.push_back("domain" + std::to_string(i) + ".example");
  const auto ask_all = [&] {
    shard.answered = 0;
    for (const std::string& domain : domains) shard.mx->ask(shard.query(domain));
    while (shard.answered < kBatch) shard.loop->turn(shard.loop->now());
  };
  ask_all();
  for (auto _ : state) ask_all();
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kBatch));
}
BENCHMARK(DomainFromMemory);

// Names never asked for before, `range` of them in flight at once.
void LookupFromServer(benchmark::State& state) {
  Shard shard;
  const auto batch = static_cast<size_t>(state.range(0));
  std::deque<Wish> wishes(batch);
  size_t answered = 0;
  uint64_t number = 0;
  for (Wish& wish : wishes) {
    wish.answered = &answered;
    wish.lookup.self = &wish;
    wish.lookup.done = on_answer;
  }
  for (auto _ : state) {
    answered = 0;
    for (Wish& wish : wishes) {
      const Name name = *Name::parse("n" + std::to_string(number++) + ".example");
      shard.resolver->lookup(name, RecordType::a, wish.lookup);
    }
    while (answered < batch) shard.loop->turn();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
  state.counters["repeated"] = static_cast<double>(shard.resolver->counters().timeouts);
}
BENCHMARK(LookupFromServer)->Arg(1)->Arg(64)->Arg(256);

// ---- messages

void WriteQuestion(benchmark::State& state) {
  const Question question{7, RecordType::mx, *Name::parse("mail.example.org"), 0, true};
  std::array<std::byte, kQueryOctetsMax> buffer;
  for (auto _ : state) benchmark::DoNotOptimize(write_query(question, buffer));
}
BENCHMARK(WriteQuestion);

void ReadAnswer(benchmark::State& state) {
  const Question question{7, RecordType::mx, *Name::parse("mail.example.org"), 0, false};
  std::array<std::byte, kQueryOctetsMax> buffer;
  const size_t length = write_query(question, buffer);
  const std::string message = answer_to(as_text(Bytes(buffer).first(length)));
  Answer answer;
  for (auto _ : state) {
    if (read_answer(as_bytes(message), question, false, answer) != Verdict::good) std::abort();
  }
}
BENCHMARK(ReadAnswer);

// 64 KB of records: of no interest (walked over), of interest (256 are decoded, then it is over),
// or of no interest with as many pointers in each name as are followed.
enum HostileKind { no_interest, of_interest, pointers };
void ReadHostileAnswer(benchmark::State& state) {
  const Question question{7, RecordType::mx, *Name::parse("a"), 0, false};
  std::array<std::byte, kQueryOctetsMax> buffer;
  const size_t length = write_query(question, buffer);
  std::string message(as_text(Bytes(buffer).first(length)));
  message[2] = static_cast<char>(0x81);
  std::string name("\xC0\x0C", 2);
  uint16_t count = 0;
  if (state.range(0) == pointers) {  // a ladder of them, in a record's data
    message += name + std::string("\0\2\0\1\0\0\1\0\0\x3E", 10) + name;
    for (int i = 1; i < 31; ++i) {
      message += {static_cast<char>(0xC0), static_cast<char>(message.size() - 2)};
    }
    name = {static_cast<char>(0xC0), static_cast<char>(message.size() - 2)};
    ++count;
  }
  while (message.size() < 65'000) {
    message += name + (state.range(0) == of_interest
                           ? std::string("\0\x0F\0\1\0\0\1\0\0\4\0\1\xC0\x0C", 14)
                           : std::string("\0\2\0\1\0\0\1\0\0\0", 10));
    ++count;
  }
  message[6] = static_cast<char>(count >> 8);
  message[7] = static_cast<char>(count);
  const Verdict expected = state.range(0) == of_interest ? Verdict::malformed : Verdict::good;
  Answer answer;
  for (auto _ : state) {
    if (read_answer(as_bytes(message), question, false, answer) != expected) std::abort();
  }
}
BENCHMARK(ReadHostileAnswer)->Arg(no_interest)->Arg(of_interest)->Arg(pointers);

// ---- memory

void CacheEntry(benchmark::State& state) {
  constexpr size_t kEntries = 200'000;
  const bool negative = state.range(0) != 0;
  std::string packed;
  for (const char number : {'1', '2'}) {
    const Name host = *Name::parse(std::string("mx") + number + ".domain123456.example");
    const auto size = static_cast<uint16_t>(2 + host.wire().size());
    packed += std::string(reinterpret_cast<const char*>(&size), 2) + std::string("\x0A\0", 2) +
              std::string(as_text(host.wire()));
  }
  RecordSet records;
  records.fate = negative ? Fate::no_such_name : Fate::found;
  records.type = RecordType::mx;
  records.count = negative ? 0 : 2;
  if (!negative) records.packed = as_bytes(packed);
  CacheOptions options;
  options.octets_max = 64ULL << 20;
  double counted = 0;
  double allocated = 0;
  for (auto _ : state) {
    Cache cache(options);
    const uint64_t empty = cache.counters().octets;
    const size_t before = mallinfo2().uordblks;
    for (size_t i = 0; i < kEntries; ++i) {
      cache.store(*Name::parse("domain" + std::to_string(100'000 + i) + ".example"), records,
                  seconds(3600), {});
    }
    const size_t after = mallinfo2().uordblks;
    allocated = static_cast<double>(after - before) / kEntries;
    counted = static_cast<double>(cache.counters().octets - empty) / kEntries;
    if (cache.counters().entries != kEntries) std::abort();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(kEntries));
  state.counters["octets_counted"] = counted;
  state.counters["octets_allocated"] = allocated;
}
BENCHMARK(CacheEntry)->Arg(0)->Arg(1)->Iterations(3);

}  // namespace
}  // namespace ringmta::dns

BENCHMARK_MAIN();
