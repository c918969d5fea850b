// SPDX-License-Identifier: GPL-3.0-or-later
// Faults of the simulated network, between two Ios of one World.
#include <gtest/gtest.h>

#include <cerrno>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ringmta/ring/io.h"
#include "ringmta/sim/world.h"

namespace ringmta::sim {
namespace {

using ring::CloseMode;
using ring::Event;
using ring::EventKind;
using ring::StreamId;

// A host that keeps what happens to it, with at most one connection of interest.
struct Host {
  explicit Host(World& in) : io(*ring::Io::create({})) {
    in.drive(*io, this, [](void* self) { static_cast<Host*>(self)->turn(); });
  }
  void turn() {
    for (const Event& event : io->turn(Monotonic::never())) {
      kinds.push_back(event.kind);
      switch (event.kind) {
        case EventKind::accepted:
          stream = event.stream;
          if (reads) io->read(stream);
          break;
        case EventKind::connected:
          connect_result = event.result;
          is_connected = true;
          if (event.result == 0 && reads) io->read(event.stream);
          break;
        case EventKind::received:
          received += as_text(event.data);
          segments.push_back(event.data.size());
          break;
        case EventKind::ended:
          ended = true;
          end_result = event.result;
          break;
        case EventKind::sent:
          sent = true;
          sent_result = event.result;
          break;
        case EventKind::closed:
          closed = true;
          break;
        default:
          break;
      }
    }
  }
  void connect(const SocketAddress& peer) { stream = *io->connect(peer, {}, {}); }
  void send(const std::string& text) {
    const iovec part{const_cast<char*>(text.data()), text.size()};
    io->send(stream, {&part, 1});
  }

  std::unique_ptr<ring::Io> io;
  bool reads = true;
  std::vector<EventKind> kinds;
  StreamId stream;
  std::string received;
  std::vector<size_t> segments;
  bool is_connected = false;
  bool ended = false;
  bool sent = false;
  bool closed = false;
  int32_t connect_result = 0;
  int32_t end_result = 0;
  int32_t sent_result = 0;
};

SocketAddress address(const char* text) { return *parse_socket_address(text, 25); }

struct Network : ::testing::Test {
  Network() { EXPECT_TRUE(server.io->listen(mx, {}, {}).has_value()); }
  bool run(const std::function<bool()>& done, Milliseconds limit = minutes(10)) {
    return world.run_until(done, limit);
  }
  void connect() {
    client.connect(mx);
    ASSERT_TRUE(run([&] { return client.is_connected && static_cast<bool>(server.stream); }));
    ASSERT_EQ(client.connect_result, 0);
  }

  const SocketAddress mx = address("192.0.2.1:25");
  World world;
  Host server{world};
  Host client{world};
};

TEST_F(Network, CutsIntoSingleOctetsIfAsked) {
  world.network().segment_octets_max = 1;
  connect();
  const std::string text = "MAIL FROM:<a@example.com>\r\n";
  client.send(text);
  ASSERT_TRUE(run([&] { return server.received == text; }));
  EXPECT_EQ(server.segments.size(), text.size());
}

TEST_F(Network, TakesItsTime) {
  world.network().latency_us_min = world.network().latency_us_max = 40'000;
  connect();
  const Monotonic start = world.now();
  const std::string text = "x";
  client.send(text);
  ASSERT_TRUE(run([&] { return server.received == text; }));
  EXPECT_EQ((world.now() - start).count, 40);
}

TEST_F(Network, RefusesWhoItShould) {
  world.refuse(mx, true);
  client.connect(mx);
  ASSERT_TRUE(run([&] { return client.is_connected; }));
  EXPECT_EQ(client.connect_result, -ECONNREFUSED);
  world.refuse(mx, false);
  client.is_connected = false;
  client.connect(mx);
  ASSERT_TRUE(run([&] { return client.is_connected; }));
  EXPECT_EQ(client.connect_result, 0);
}

TEST_F(Network, RefusesWhereNobodyListens) {
  client.connect(address("192.0.2.9:25"));
  ASSERT_TRUE(run([&] { return client.is_connected; }));
  EXPECT_EQ(client.connect_result, -ECONNREFUSED);
}

TEST_F(Network, TimesOutWhereNobodyAnswers) {
  world.make_unreachable(mx, true);
  const Monotonic start = world.now();
  client.connect(mx);
  ASSERT_TRUE(run([&] { return client.is_connected; }));
  EXPECT_EQ(client.connect_result, -ETIMEDOUT);
  EXPECT_GE(world.now() - start, seconds(127));
}

TEST_F(Network, ConnectsWhenAHostComesBackInTime) {
  world.make_unreachable(mx, true);
  client.connect(mx);
  world.run_for(seconds(20));
  EXPECT_FALSE(client.is_connected);
  world.make_unreachable(mx, false);
  ASSERT_TRUE(run([&] { return client.is_connected; }));
  EXPECT_EQ(client.connect_result, 0);
}

TEST_F(Network, AbandonsAConnectThatIsClosed) {
  world.make_unreachable(mx, true);
  client.connect(mx);
  world.run_for(seconds(2));
  client.io->close(client.stream, CloseMode::abort);
  ASSERT_TRUE(run([&] { return client.closed; }, seconds(1)));
  world.make_unreachable(mx, false);
  world.run_for(minutes(5));
  EXPECT_FALSE(static_cast<bool>(server.stream));
}

TEST_F(Network, ResetsAfterTheOctetsChosen) {
  world.reset_after(mx, 5);
  connect();
  const std::string text = "0123456789";
  client.send(text);
  ASSERT_TRUE(run([&] { return server.ended && client.ended; }));
  EXPECT_EQ(server.received, "01234");
  EXPECT_EQ(server.end_result, -ECONNRESET);
  EXPECT_EQ(client.end_result, -ECONNRESET);
}

TEST_F(Network, ResetsOneConnectionPerOrder) {
  world.reset_after(mx, 0);
  connect();
  const std::string text = "hello";
  client.send(text);
  ASSERT_TRUE(run([&] { return server.ended && client.ended; }));
  EXPECT_EQ(server.received, "");
  Host second(world);
  second.connect(mx);
  ASSERT_TRUE(run([&] { return second.is_connected; }));
  second.send(text);
  EXPECT_TRUE(run([&] { return server.received == "hello"; }));
}

TEST_F(Network, ResetsAtRandomIfAsked) {
  world.network().reset_one_in = 100;
  world.network().segment_octets_max = 100;
  connect();
  const std::string text(1'000'000, 'x');
  client.send(text);
  ASSERT_TRUE(run([&] { return server.ended && client.ended; }));
  EXPECT_LT(server.received.size(), text.size());
  ASSERT_TRUE(client.sent);
  EXPECT_EQ(client.sent_result, -ECONNRESET);
}

TEST_F(Network, LetsAPeerThatDoesNotReadTakeInItsWindowOnly) {
  world.network().window_octets = 10'000;
  server.reads = false;
  connect();
  const std::string text(10'001, 'x');
  client.send(text);
  world.run_for(seconds(10));
  EXPECT_FALSE(client.sent);
  server.io->read(server.stream);
  ASSERT_TRUE(run([&] { return client.sent; }));
  EXPECT_TRUE(run([&] { return server.received == text; }));
}

TEST_F(Network, TellsThePeersOfAMachineThatCrashed) {
  connect();
  ring::Io* dead[] = {server.io.get()};
  world.crash(dead, Crash::power);
  ASSERT_TRUE(run([&] { return client.ended; }));
  EXPECT_EQ(client.end_result, -ECONNRESET);
  Host second(world);
  second.connect(mx);
  ASSERT_TRUE(run([&] { return second.is_connected; }));
  EXPECT_EQ(second.connect_result, -ECONNREFUSED);
}

TEST_F(Network, ListensOnAllAddressesOfAWildcard) {
  Host everywhere(world);
  ASSERT_TRUE(everywhere.io->listen(address("0.0.0.0:587"), {}, {}).has_value());
  client.connect(address("198.51.100.7:587"));
  ASSERT_TRUE(run([&] { return client.is_connected; }));
  EXPECT_EQ(client.connect_result, 0);
}

TEST_F(Network, SpreadsConnectionsOverTheListenersOfAPort) {
  Host other(world);
  ASSERT_TRUE(other.io->listen(mx, {}, {}).has_value());
  std::vector<StreamId> streams;
  for (int i = 0; i < 50; ++i) streams.push_back(*client.io->connect(mx, {}, {}));
  world.run_for(seconds(1));
  const auto accepts = [](const Host& host) {
    return std::count(host.kinds.begin(), host.kinds.end(), EventKind::accepted);
  };
  EXPECT_GT(accepts(server), 5);
  EXPECT_GT(accepts(other), 5);
  EXPECT_EQ(accepts(server) + accepts(other), 50);
}

TEST_F(Network, MakesAFullBacklogWait) {
  Host busy(world);
  ring::ListenOptions options;
  options.backlog = 1;
  const ring::ListenerId listener = *busy.io->listen(address("192.0.2.2:25"), options, {});
  busy.io->pause_listening(listener);
  client.connect(address("192.0.2.2:25"));
  Host second(world);
  second.connect(address("192.0.2.2:25"));
  world.run_for(seconds(30));
  EXPECT_NE(client.is_connected, second.is_connected);
  busy.io->resume_listening(listener);
  EXPECT_TRUE(run([&] { return client.is_connected && second.is_connected; }));
}

}  // namespace
}  // namespace ringmta::sim
