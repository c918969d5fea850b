// SPDX-License-Identifier: GPL-3.0-or-later
// Datagrams as ring/io.h promises them, kernel and simulator alike.
#include <cerrno>
#include <set>
#include <string>

#include "seam.h"

namespace ringmta::ring {
namespace {

class Datagrams : public Seam {
 protected:
  static constexpr Token kAsker = Token::make(6, 6);
  static constexpr Token kAnswerer = Token::make(7, 7);

  DatagramId open_answerer() {
    const SocketAddress local = endpoint();
    Result<DatagramId> made = io->open_datagram({.local = &local}, kAnswerer);
    EXPECT_TRUE(made.has_value()) << made.error().message;
    return made.value_or(DatagramId{});
  }
  DatagramId open_asker(const SocketAddress& peer, Token token = kAsker) {
    Result<DatagramId> made = io->open_datagram({.peer = &peer}, token);
    EXPECT_TRUE(made.has_value()) << made.error().message;
    return made.value_or(DatagramId{});
  }
  void send_text(DatagramId socket, std::string_view text, const SocketAddress* to = nullptr) {
    io->send_datagram(socket, as_bytes(text), to);
  }
  // How many datagrams (or errors) the socket of `token` was told of.
  size_t told(Token token) const {
    size_t found = 0;
    for (const Seen& event : seen) {
      if (event.kind == EventKind::datagram && event.token == token) ++found;
    }
    return found;
  }
  bool wait_told(Token token, size_t count) {
    return drive([&] { return told(token) >= count; });
  }
};

INSTANTIATE_TEST_SUITE_P(Over, Datagrams, ::testing::Values("127.0.0.1:0", "[::1]:0"),
                         [](const auto& suite) {
                           return std::string(suite.param) == "[::1]:0" ? "inet6" : "inet";
                         });

TEST_P(Datagrams, GoThereAndBack) {
  const DatagramId answerer = open_answerer();
  const SocketAddress there = io->local(answerer);
  EXPECT_NE(there.port(), 0);
  const DatagramId asker = open_asker(there);
  on_event = [&](const Event& event) {
    if (event.token != kAnswerer) return;
    const SocketAddress from = io->sender(event);
    EXPECT_EQ(from, io->local(asker)) << from.text();
    send_text(answerer, "answer to " + std::string(as_text(event.data)), &from);
  };
  send_text(asker, "question");
  ASSERT_TRUE(wait_told(kAsker, 1));
  EXPECT_EQ(find(EventKind::datagram, kAsker)->data, "answer to question");
  EXPECT_EQ(find(EventKind::datagram, kAsker)->result, 18);
}

TEST_P(Datagrams, AreTheCallersAgainAsSoonAsTheyWereSent) {
  const DatagramId answerer = open_answerer();
  const DatagramId asker = open_asker(io->local(answerer));
  std::string text = "as it was";
  send_text(asker, text);
  text.assign(text.size(), '!');
  ASSERT_TRUE(wait_told(kAnswerer, 1));
  EXPECT_EQ(find(EventKind::datagram, kAnswerer)->data, "as it was");
}

TEST_P(Datagrams, KeepTheirBoundaries) {
  const DatagramId answerer = open_answerer();
  const DatagramId asker = open_asker(io->local(answerer));
  std::multiset<std::string> sent;
  for (size_t i = 0; i < 50; ++i) {
    const std::string text(i * 20, static_cast<char>('a' + i % 26));  // the first is empty
    sent.insert(text);
    send_text(asker, text);
  }
  ASSERT_TRUE(wait_told(kAnswerer, 50));
  std::multiset<std::string> received;
  for (const Seen& event : seen) {
    EXPECT_EQ(static_cast<size_t>(event.result), event.data.size());
    received.insert(event.data);
  }
  EXPECT_TRUE(received == sent);
  EXPECT_EQ(io->counters().datagrams_sent, 50U);
  EXPECT_EQ(io->counters().datagrams_received, 50U);
}

TEST_P(Datagrams, AreCutToABufferAndSaySo) {
  IoOptions options;
  options.receive_buffer_size = 512;
  open_io(options);
  const DatagramId answerer = open_answerer();
  const DatagramId asker = open_asker(io->local(answerer));
  const std::string text(2000, 'x');
  send_text(asker, text);
  ASSERT_TRUE(wait_told(kAnswerer, 1));
  const Seen* cut = find(EventKind::datagram, kAnswerer);
  EXPECT_EQ(cut->result, 2000);
  EXPECT_GE(cut->data.size(), 400U);
  EXPECT_LE(cut->data.size(), 512U);
}

TEST_P(Datagrams, OfStrangersDoNotReachASocketWithAPeer) {
  const DatagramId answerer = open_answerer();
  const DatagramId asker = open_asker(io->local(answerer));
  const SocketAddress any = endpoint();
  const DatagramId stranger = *io->open_datagram({.local = &any}, Token::make(8, 8));
  const SocketAddress to = io->local(asker);
  send_text(stranger, "forged", &to);
  drive_for(Milliseconds{30});
  send_text(answerer, "genuine", &to);
  ASSERT_TRUE(wait_told(kAsker, 1));
  EXPECT_EQ(find(EventKind::datagram, kAsker)->data, "genuine");
  EXPECT_EQ(told(kAsker), 1U);
}

TEST_P(Datagrams, ToNobodyFailAndLeaveTheSocketUsable) {
  const DatagramId answerer = open_answerer();
  const SocketAddress there = io->local(answerer);
  io->close_datagram(answerer);
  turn(Milliseconds{0});
  const DatagramId asker = open_asker(there);
  send_text(asker, "anybody?");
  ASSERT_TRUE(wait_told(kAsker, 1));
  EXPECT_EQ(find(EventKind::datagram, kAsker)->result, -ECONNREFUSED);
  EXPECT_GE(io->counters().datagrams_failed, 1U);
  Result<DatagramId> again = io->open_datagram({.local = &there}, kAnswerer);
  ASSERT_TRUE(again.has_value()) << again.error().message;
  seen.clear();
  send_text(asker, "and now?");
  ASSERT_TRUE(wait_told(kAnswerer, 1));
  const SocketAddress back = io->local(asker);
  send_text(*again, "yes", &back);
  ASSERT_TRUE(wait_told(kAsker, 1));
  EXPECT_EQ(find(EventKind::datagram, kAsker)->data, "yes");
}

TEST_P(Datagrams, TellNothingOnceClosed) {
  const DatagramId answerer = open_answerer();
  const DatagramId asker = open_asker(io->local(answerer));
  send_text(asker, "too late");
  io->close_datagram(answerer);
  drive_for(Milliseconds{30});
  EXPECT_EQ(told(kAnswerer), 0U);
  io->close_datagram(asker);
  drive_for(Milliseconds{30});
  EXPECT_EQ(io->datagrams_open(), 0U);
  seen.clear();
  send_text(asker, "stale ids are ignored");
  io->close_datagram(asker);
  drive_for(Milliseconds{10});
  EXPECT_EQ(told(kAsker), 0U);
}

TEST_P(Datagrams, HaveALimitWithAName) {
  IoOptions options;
  options.datagrams_max = 3;
  open_io(options);
  const SocketAddress local = endpoint();
  std::vector<DatagramId> sockets;
  for (int i = 0; i < 3; ++i) sockets.push_back(*io->open_datagram({.local = &local}, kAsker));
  const Result<DatagramId> fourth = io->open_datagram({.local = &local}, kAsker);
  ASSERT_FALSE(fourth.has_value());
  EXPECT_EQ(fourth.error().code, EMFILE);
  EXPECT_NE(fourth.error().message.find("datagrams_max"), std::string::npos);
  io->close_datagram(sockets[0]);
  ASSERT_TRUE(drive([&] { return io->datagrams_open() == 2; }));
  EXPECT_TRUE(io->open_datagram({.local = &local}, kAsker).has_value());
}

TEST_P(Datagrams, GetPortsNobodyCanForetell) {
  const DatagramId answerer = open_answerer();
  const SocketAddress there = io->local(answerer);
  std::set<uint16_t> ports;
  std::set<int> steps;
  int last = 0;
  for (int i = 0; i < 100; ++i) {
    const DatagramId asker = open_asker(there);
    const int port = io->local(asker).port();
    EXPECT_GE(port, 1024);
    ports.insert(static_cast<uint16_t>(port));
    steps.insert(port - last);
    last = port;
  }
  EXPECT_GE(ports.size(), 95U);
  EXPECT_GE(steps.size(), 90U);  // neither one after the other nor at a fixed distance
}

TEST_P(Datagrams, RandomNumbersForSecretsDiffer) {
  std::set<uint64_t> numbers;
  for (int i = 0; i < 1000; ++i) numbers.insert(io->secure_random());
  EXPECT_EQ(numbers.size(), 1000U);
}

}  // namespace
}  // namespace ringmta::ring
