// SPDX-License-Identifier: GPL-3.0-or-later
// Datagrams where only the kernel can show something: buffers that run out, addresses it refuses.
#include <cerrno>
#include <set>
#include <string>

#include "seam.h"

namespace ringmta::ring {
namespace {

class KernelDatagrams : public Seam {};
INSTANTIATE_TEST_SUITE_P(Over, KernelDatagrams, ::testing::Values("127.0.0.1:0"),
                         [](const auto&) { return "inet"; });

TEST_P(KernelDatagrams, WaitForBuffersThatRanOut) {
  IoOptions options;
  options.receive_buffers = 2;
  options.receive_buffer_size = 512;
  open_io(options);
  const SocketAddress local = endpoint();
  std::vector<DatagramId> takers;
  for (uint32_t i = 0; i < 10; ++i) {
    takers.push_back(*io->open_datagram({.local = &local}, Token::make(6, i)));
  }
  const DatagramId giver = *io->open_datagram({.local = &local}, Token::make(7));
  turn(Milliseconds{0});
  std::multiset<std::string> sent;
  for (int round = 0; round < 20; ++round) {
    for (const DatagramId taker : takers) {
      const SocketAddress to = io->local(taker);
      const std::string text = to.text() + " " + std::to_string(round);
      sent.insert(text);
      io->send_datagram(giver, as_bytes(text), &to);
    }
  }
  ASSERT_TRUE(drive([&] { return seen.size() >= 200; }));
  std::multiset<std::string> received;
  for (const Seen& event : seen) received.insert(event.data);
  EXPECT_TRUE(received == sent);
  EXPECT_GT(io->counters().receive_buffers_exhausted, 0U);
}

TEST_P(KernelDatagrams, CloseWhileBuffersAreShort) {
  IoOptions options;
  options.receive_buffers = 2;
  options.receive_buffer_size = 512;
  open_io(options);
  const SocketAddress local = endpoint();
  std::vector<DatagramId> takers;
  for (uint32_t i = 0; i < 10; ++i) {
    takers.push_back(*io->open_datagram({.local = &local}, Token::make(6, i)));
  }
  const DatagramId giver = *io->open_datagram({.local = &local}, Token::make(7));
  for (int round = 0; round < 5; ++round) {
    for (const DatagramId taker : takers) {
      const SocketAddress to = io->local(taker);
      io->send_datagram(giver, as_bytes("x"), &to);
    }
  }
  turn(Milliseconds{20});
  for (const DatagramId taker : takers) io->close_datagram(taker);
  ASSERT_TRUE(drive([&] { return io->datagrams_open() == 1; }));
}

TEST_P(KernelDatagrams, RefuseALocalAddressThatIsNotOfThisMachine) {
  const SocketAddress local = *parse_socket_address("192.0.2.1:0", 0);
  const Result<DatagramId> made = io->open_datagram({.local = &local}, Token::make(6));
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().code, EADDRNOTAVAIL);
  EXPECT_EQ(io->datagrams_open(), 0U);
}

TEST_P(KernelDatagrams, WithoutADestinationFailByAnEvent) {
  const SocketAddress local = endpoint();
  const DatagramId socket = *io->open_datagram({.local = &local}, Token::make(6));
  io->send_datagram(socket, as_bytes("to nobody in particular"));  // neither a peer nor an address
  ASSERT_TRUE(drive([&] { return find(EventKind::datagram, Token::make(6)) != nullptr; }));
  EXPECT_EQ(find(EventKind::datagram, Token::make(6))->result, -EDESTADDRREQ);
}

}  // namespace
}  // namespace ringmta::ring
