// SPDX-License-Identifier: GPL-3.0-or-later
// What the simulated network does to datagrams: loss, doubles, order, silence, crashes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "ringmta/ring/io.h"
#include "ringmta/sim/world.h"

namespace ringmta::sim {
namespace {

using ring::Event;
using ring::EventKind;

struct Post {
  explicit Post(World& in) : world(in), io(*ring::Io::create({})) {
    in.drive(*io, this, [](void* self) { static_cast<Post*>(self)->turn(); });
    const SocketAddress any = *parse_socket_address("127.0.0.1:0", 0);
    taker = *io->open_datagram({.local = &any}, ring::Token::make(1));
    address = io->local(taker);
  }
  void turn() {
    for (const Event& event : io->turn(Monotonic::never())) {
      if (event.kind != EventKind::datagram) continue;
      if (event.result < 0) {
        errors.push_back(event.result);
      } else {
        received.push_back(std::stoi(std::string(as_text(event.data))));
      }
    }
  }
  void send(const SocketAddress& to, int from, int count) {
    const ring::DatagramId socket = *io->open_datagram({.peer = &to}, ring::Token::make(2));
    for (int i = 0; i < count; ++i) {
      io->send_datagram(socket, as_bytes(std::to_string(from + i)));
      world.run_for(Milliseconds{0});
    }
  }
  World& world;
  std::unique_ptr<ring::Io> io;
  ring::DatagramId taker;
  SocketAddress address;
  std::vector<int> received;
  std::vector<int32_t> errors;
};

WorldOptions with(uint64_t loss_one_in, uint64_t double_one_in, uint64_t seed = 1) {
  WorldOptions options;
  options.seed = seed;
  options.network.datagram_loss_one_in = loss_one_in;
  options.network.datagram_double_one_in = double_one_in;
  return options;
}

std::vector<int> received_of_1000(const WorldOptions& options) {
  World world(options);
  Post there(world);
  Post here(world);
  for (int i = 0; i < 1000; i += 50) {
    here.send(there.address, i, 50);
    world.run_for(Milliseconds{1});
  }
  world.run_for(seconds(1));
  return there.received;
}

TEST(SimulatedDatagrams, AllArriveButNotInOrder) {
  std::vector<int> received = received_of_1000(with(0, 0));
  EXPECT_EQ(received.size(), 1000U);
  EXPECT_FALSE(std::is_sorted(received.begin(), received.end()));
  std::sort(received.begin(), received.end());
  EXPECT_EQ(std::unique(received.begin(), received.end()), received.end());
}

TEST(SimulatedDatagrams, AreLostAsOftenAsAskedFor) {
  const size_t received = received_of_1000(with(4, 0)).size();
  EXPECT_GT(received, 680U);
  EXPECT_LT(received, 820U);
}

TEST(SimulatedDatagrams, ArriveTwiceAsOftenAsAskedFor) {
  const size_t received = received_of_1000(with(0, 4)).size();
  EXPECT_GT(received, 1180U);
  EXPECT_LT(received, 1320U);
}

TEST(SimulatedDatagrams, RepeatBySeed) {
  EXPECT_EQ(received_of_1000(with(10, 10, 7)), received_of_1000(with(10, 10, 7)));
  EXPECT_NE(received_of_1000(with(10, 10, 7)), received_of_1000(with(10, 10, 8)));
}

TEST(SimulatedDatagrams, ToARefusingHostFailToASilentOneVanish) {
  World world;
  Post there(world);
  Post here(world);
  world.refuse(there.address, true);
  here.send(there.address, 0, 1);
  world.run_for(seconds(1));
  EXPECT_EQ(here.errors, std::vector<int32_t>{-ECONNREFUSED});
  world.refuse(there.address, false);
  world.make_unreachable(there.address, true);
  here.send(there.address, 1, 1);
  world.run_for(seconds(1));
  EXPECT_EQ(here.errors.size(), 1U);
  EXPECT_TRUE(there.received.empty());
}

TEST(SimulatedDatagrams, FindNobodyAfterACrash) {
  World world;
  Post there(world);
  Post here(world);
  ring::Io* dead[] = {there.io.get()};
  world.crash(dead, Crash::process);
  here.send(there.address, 0, 1);
  world.run_for(seconds(1));
  EXPECT_EQ(here.errors, std::vector<int32_t>{-ECONNREFUSED});
}

}  // namespace
}  // namespace ringmta::sim
