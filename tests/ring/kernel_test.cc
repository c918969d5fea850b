// SPDX-License-Identifier: GPL-3.0-or-later
// What only the kernel's implementation can show: other threads, real clocks, buffers that run out.
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>

#include "ringmta/base/prng.h"
#include "seam.h"

namespace ringmta::ring {
namespace {

class Kernel : public Seam {};
INSTANTIATE_TEST_SUITE_P(Over, Kernel, ::testing::Values("127.0.0.1:0"),
                         [](const auto&) { return "tcp"; });

TEST_P(Kernel, IsWokenFromAnotherThread) {
  std::thread other([&] { io->ring_doorbell(); });
  const std::span<const Event> events = io->turn(Monotonic::never());
  other.join();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].kind, EventKind::mail);
  EXPECT_EQ(events[0].token, kBell);
}

TEST_P(Kernel, HearsEveryRingOfABusyBell) {
  constexpr int kRings = 10'000;
  std::atomic<int> heard{0};
  std::thread other([&] {
    for (int ring = 0; ring < kRings; ++ring) {
      io->ring_doorbell();
      for (int seen_rings = heard.load(); seen_rings <= ring; seen_rings = heard.load()) {
        heard.wait(seen_rings);
      }
    }
  });
  while (heard.load() < kRings) {
    for (const Event& event : io->turn(Monotonic::never())) {
      if (event.kind != EventKind::mail) continue;
      heard.fetch_add(1);
      heard.notify_one();
    }
  }
  other.join();
  EXPECT_EQ(heard.load(), kRings);
}

TEST_P(Kernel, MayBeMadeByOneThreadAndRunByAnother) {
  io->ring_doorbell();
  size_t events = 0;
  std::thread shard([&] { events = io->turn(Monotonic::never()).size(); });
  shard.join();
  EXPECT_EQ(events, 1U);
}

TEST_P(Kernel, SleepsUntilTheTimeGiven) {
  turn(Milliseconds{0});
  const Monotonic start = io->now();
  const Monotonic until = start + Milliseconds{30};
  while (io->now() < until) io->turn(until);
  EXPECT_GE(io->now().ns, until.ns);
  EXPECT_LE(io->now() - start, seconds(5));
}

// Two buffers of 512 octets for twenty streams: every receive runs out of them.
TEST_P(Kernel, LosesNothingWhenReceiveBuffersRunOut) {
  IoOptions options;
  options.receive_buffers = 2;
  options.receive_buffer_size = 512;
  open_io(options);
  listen();
  std::vector<Pair> pairs;
  for (int i = 0; i < 20; ++i) pairs.push_back(connected_pair());
  Prng prng(1);
  std::vector<std::string> texts(pairs.size());
  for (std::string& text : texts) {
    text.resize(20'000);
    for (char& c : text) c = static_cast<char>(prng.next());
  }
  for (size_t i = 0; i < pairs.size(); ++i) {
    io->read(pairs[i].server);
    send(pairs[i].client, texts[i]);
    io->close(pairs[i].client, CloseMode::graceful);
  }
  for (size_t i = 0; i < pairs.size(); ++i) {
    ASSERT_TRUE(drive([&] { return ended(pairs[i].server); })) << i;
    ASSERT_TRUE(received(pairs[i].server) == texts[i]) << i;
  }
  EXPECT_GT(io->counters().receive_buffers_exhausted, 0U);
}

TEST_P(Kernel, PausesAndClosesWhileStarved) {
  IoOptions options;
  options.receive_buffers = 2;
  options.receive_buffer_size = 512;
  open_io(options);
  listen();
  std::vector<Pair> pairs;
  for (int i = 0; i < 20; ++i) pairs.push_back(connected_pair());
  const std::string text(20'000, 'x');
  Prng prng(2);
  for (const Pair& pair : pairs) {
    io->read(pair.server);
    send(pair.client, text);
  }
  for (int round = 0; round < 200; ++round) {
    turn(Milliseconds{0});
    const Pair& pair = pairs[prng.below(pairs.size())];
    prng.below(2) == 0 ? io->pause(pair.server) : io->read(pair.server);
  }
  for (size_t i = 0; i < pairs.size(); i += 2) io->close(pairs[i].server, CloseMode::abort);
  for (size_t i = 1; i < pairs.size(); i += 2) {
    io->read(pairs[i].server);
    ASSERT_TRUE(drive([&] { return received_octets(pairs[i].server) == text.size(); })) << i;
  }
  for (size_t i = 0; i < pairs.size(); i += 2) {
    ASSERT_TRUE(drive([&] { return closed(pairs[i].server); })) << i;
  }
}

// A multishot accept takes the whole backlog at once, more than there are slots for.
TEST_P(Kernel, ServesWhoCameWhileFullInTheirOrder) {
  constexpr char kClients = 10;
  IoOptions options;
  options.streams_max = 2;
  open_io(options);
  listen();
  const SocketAddress address = listening();
  std::vector<int> clients;
  for (char i = 0; i < kClients; ++i) {
    clients.push_back(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::connect(clients.back(), address.get(), address.length), 0);
    ASSERT_EQ(::send(clients.back(), &i, 1, MSG_NOSIGNAL), 1);
  }
  for (char i = 0; i < kClients; ++i) {
    const StreamId server = accept();
    io->read(server);
    ASSERT_TRUE(drive([&] { return !received(server).empty(); }));
    EXPECT_EQ(received(server)[0], i);
    EXPECT_LE(io->streams_open(), 2U);
    io->close(server, CloseMode::abort);
  }
  for (const int client : clients) ::close(client);
}

// A peer that answers our goodbye with a flood costs some megabytes, however long we would wait.
TEST_P(Kernel, APeerThatNeverStopsSendingIsNotDrainedForLong) {
  constexpr uint64_t kMebibyte = 1 << 20;
  IoOptions options;
  options.linger_max = hours(1);
  open_io(options);
  listen();
  const SocketAddress address = listening();
  const int client = ::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(::connect(client, address.get(), address.length), 0);
  const StreamId server = accept();
  io->close(server, CloseMode::graceful);
  std::atomic<uint64_t> sent{0};
  std::thread flood([&] {
    const std::string block(64 * 1024, 'x');
    while (sent.load() < 1024 * kMebibyte) {
      const ssize_t count = ::send(client, block.data(), block.size(), MSG_NOSIGNAL);
      if (count <= 0) return;
      sent.fetch_add(static_cast<uint64_t>(count));
    }
  });
  EXPECT_TRUE(drive([&] { return closed(server); }));
  ::shutdown(client, SHUT_RDWR);
  flood.join();
  ::close(client);
  EXPECT_GT(sent.load(), 16 * kMebibyte);
  EXPECT_LT(sent.load(), 100 * kMebibyte);
}

TEST_P(Kernel, SharesAPortBetweenListeners) {
  listen();
  Result<ListenerId> second = io->listen(listening(), {}, Token::make(1, 99));
  ASSERT_TRUE(second.has_value()) << second.error().message;
  for (int i = 0; i < 40; ++i) connect();
  ASSERT_TRUE(drive([&] { return accepts_seen() == 40; }));
  EXPECT_NE(find(EventKind::accepted, kListener), nullptr);
  EXPECT_NE(find(EventKind::accepted, Token::make(1, 99)), nullptr);
}

TEST_P(Kernel, ConnectsFromTheAddressAskedFor) {
  listen();
  const SocketAddress source = *parse_socket_address("127.0.0.5:0", 0);
  Result<StreamId> client = io->connect(listening(), {.source = &source}, kClient);
  ASSERT_TRUE(client.has_value());
  const StreamId server = accept();
  EXPECT_EQ(io->peer(server).host_text(), "127.0.0.5");
}

TEST_P(Kernel, RefusesASourceThatIsNotOfThisMachine) {
  listen();
  const SocketAddress source = *parse_socket_address("192.0.2.1:0", 0);
  const Result<StreamId> client = io->connect(listening(), {.source = &source}, kClient);
  ASSERT_FALSE(client.has_value());
  EXPECT_EQ(client.error().code, EADDRNOTAVAIL);
  EXPECT_EQ(io->streams_open(), 0U);
}

TEST_P(Kernel, MoreOperationsThanEntriesAreAllDone) {
  IoOptions options;
  options.entries = 8;
  open_io(options);
  Result<FileId> file = io->open_file(directory + "/f", OpenMode::write);
  ASSERT_TRUE(file.has_value());
  std::string text(200, 'x');
  for (uint32_t i = 0; i < 200; ++i) {
    const iovec part{&text[i], 1};
    io->write_file(*file, {&part, 1}, i, Durability::none, Token::make(4, i));
  }
  ASSERT_TRUE(drive([&] { return seen.size() == 200; }));
  EXPECT_EQ(*io->file_size(*file), 200U);
}

}  // namespace
}  // namespace ringmta::ring
