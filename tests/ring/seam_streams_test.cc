// SPDX-License-Identifier: GPL-3.0-or-later
// Streams as ring/io.h promises them, over TCP and Unix sockets, kernel and simulator alike.
#include <cerrno>
#include <set>
#include <string>

#include "ringmta/base/prng.h"
#include "seam.h"

namespace ringmta::ring {
namespace {

std::string random_text(size_t octets, uint64_t seed) {
  Prng prng(seed);
  std::string text(octets, '\0');
  for (char& c : text) c = static_cast<char>(prng.next());
  return text;
}

class Streams : public Seam {};

INSTANTIATE_TEST_SUITE_P(Over, Streams, ::testing::Values("127.0.0.1:0", "unix"),
                         [](const auto& suite) {
                           return std::string(suite.param) == "unix" ? "unix" : "tcp";
                         });

TEST_P(Streams, AreConnectedAndAccepted) {
  listen();
  const Pair pair = connected_pair();
  EXPECT_NE(pair.client, pair.server);
  EXPECT_EQ(find(EventKind::connected, pair.client)->token, kClient);
  EXPECT_EQ(io->streams_open(), 2U);
}

TEST_P(Streams, KnowTheirAddresses) {
  listen();
  const Pair pair = connected_pair();
  EXPECT_EQ(io->peer(pair.client), listening());
  EXPECT_EQ(io->local(pair.server), listening());
  EXPECT_EQ(io->peer(pair.server), io->local(pair.client));
  if (listening().family() == AF_INET) {
    EXPECT_NE(listening().port(), 0);
    EXPECT_TRUE(io->peer(pair.server).is_loopback());
  }
}

TEST_P(Streams, AreRefusedWhereNobodyListens) {
  listen();
  const SocketAddress address = listening();
  io->stop_listening(listener);
  Result<StreamId> made = io->connect(address, {}, kClient);
  ASSERT_TRUE(made.has_value());
  ASSERT_TRUE(drive([&] { return find(EventKind::connected, *made) != nullptr; }));
  EXPECT_EQ(find(EventKind::connected, *made)->result, -ECONNREFUSED);
  io->close(*made, CloseMode::graceful);
  ASSERT_TRUE(drive([&] { return closed(*made); }));
  EXPECT_EQ(count(EventKind::ended, *made), 0U);
  EXPECT_EQ(io->streams_open(), 0U);
}

TEST_P(Streams, CarryOctetsBothWays) {
  listen();
  const Pair pair = connected_pair();
  io->read(pair.client);
  io->read(pair.server);
  ASSERT_TRUE(send_and_wait(pair.client, "EHLO here\r\n"));
  EXPECT_EQ(find(EventKind::sent, pair.client)->result, 0);
  ASSERT_TRUE(drive([&] { return received(pair.server) == "EHLO here\r\n"; }));
  ASSERT_TRUE(send_and_wait(pair.server, "250 there\r\n"));
  ASSERT_TRUE(drive([&] { return received(pair.client) == "250 there\r\n"; }));
  EXPECT_EQ(find(EventKind::received, pair.server)->token, kServer);
  EXPECT_EQ(find(EventKind::received, pair.client)->token, kClient);
}

TEST_P(Streams, YieldNothingBeforeRead) {
  listen();
  const Pair pair = connected_pair();
  ASSERT_TRUE(send_and_wait(pair.client, "early"));
  drive_for(Milliseconds{50});
  EXPECT_EQ(count(EventKind::received, pair.server), 0U);
  io->read(pair.server);
  EXPECT_TRUE(drive([&] { return received(pair.server) == "early"; }));
}

TEST_P(Streams, KnowWhetherOctetsWaitBeforeRead) {
  listen();
  io->pause_listening(listener);
  drive_for(Milliseconds{20});
  const StreamId early = connect();
  ASSERT_TRUE(drive([&] { return find(EventKind::connected, early) != nullptr; }));
  ASSERT_TRUE(send_and_wait(early, "early"));
  drive_for(Milliseconds{50});
  io->resume_listening(listener);
  const StreamId spoken_to = accept();
  EXPECT_TRUE(io->has_unread(spoken_to));
  io->read(spoken_to);  // nothing of it was taken
  EXPECT_TRUE(drive([&] { return received(spoken_to) == "early"; }));

  connect();
  EXPECT_FALSE(io->has_unread(accept()));
  const StreamId leaving = connect();
  const StreamId left = accept();
  io->close(leaving, CloseMode::graceful);
  drive_for(Milliseconds{50});
  EXPECT_FALSE(io->has_unread(left));  // its end is no octet
}

TEST_P(Streams, SendSeveralPartsInOrder) {
  listen();
  const Pair pair = connected_pair();
  io->read(pair.server);
  std::string texts[Io::kSendPartsMax];
  std::string whole;
  std::vector<iovec> parts;
  for (size_t i = 0; i < Io::kSendPartsMax; ++i) {
    texts[i] = random_text(i == 3 ? 0 : 1 + i * 1000, i);
    whole += texts[i];
    parts.push_back({texts[i].data(), texts[i].size()});
  }
  io->send(pair.client, parts);
  parts.clear();  // the array itself is the caller's at once
  ASSERT_TRUE(drive([&] { return received_octets(pair.server) >= whole.size(); }));
  EXPECT_EQ(received(pair.server), whole);
  EXPECT_EQ(count(EventKind::sent, pair.client), 1U);
}

TEST_P(Streams, SendEightMegabytesWhole) {
  listen();
  const Pair pair = connected_pair();
  io->read(pair.server);
  const std::string head = random_text(1000, 1);
  const std::string body = random_text(8 << 20, 2);
  const iovec parts[] = {{const_cast<char*>(head.data()), head.size()},
                         {const_cast<char*>(body.data()), body.size()}};
  io->send(pair.client, parts);
  ASSERT_TRUE(drive([&] { return received_octets(pair.server) >= head.size() + body.size(); }));
  EXPECT_TRUE(received(pair.server) == head + body);
  ASSERT_TRUE(drive([&] { return count(EventKind::sent, pair.client) == 1; }));
  EXPECT_EQ(find(EventKind::sent, pair.client)->result, 0);
}

TEST_P(Streams, WaitWithASendForAPeerThatDoesNotRead) {
  listen();
  const Pair pair = connected_pair();
  const std::string body = random_text(16 << 20, 3);
  send(pair.client, body);
  drive_for(Milliseconds{100});
  EXPECT_EQ(count(EventKind::sent, pair.client), 0U);
  io->read(pair.server);
  ASSERT_TRUE(drive([&] { return received_octets(pair.server) == body.size(); }));
  EXPECT_TRUE(drive([&] { return count(EventKind::sent, pair.client) == 1; }));
}

TEST_P(Streams, KeepWhatAPausedOwnerGivesBack) {
  listen();
  const Pair pair = connected_pair();
  const std::string text = random_text(300'000, 4);
  std::string taken;
  Prng prng(5);
  bool paused = false;
  on_event = [&](const Event& event) {
    if (event.kind != EventKind::received) return;
    // Some of it is taken, the rest given back; what the turn still holds is given back whole.
    const size_t length = paused ? 0 : prng.below(event.data.size() + 1);
    taken += as_text(event.data.first(length));
    if (length < event.data.size()) {
      io->pause(event.stream, event.data.subspan(length));
      paused = true;
    }
  };
  io->read(pair.server);
  send(pair.client, text);
  ASSERT_TRUE(drive([&] {
    if (paused) {
      paused = false;
      io->read(pair.server);
    }
    return taken.size() >= text.size();
  }));
  EXPECT_TRUE(taken == text);
}

TEST_P(Streams, YieldNothingWhilePaused) {
  listen();
  const Pair pair = connected_pair();
  io->read(pair.server);
  ASSERT_TRUE(send_and_wait(pair.client, "one"));
  ASSERT_TRUE(drive([&] { return received(pair.server) == "one"; }));
  io->pause(pair.server);
  drive_for(Milliseconds{30});
  ASSERT_TRUE(send_and_wait(pair.client, "two"));
  drive_for(Milliseconds{50});
  EXPECT_EQ(received(pair.server), "one");
  io->read(pair.server);
  EXPECT_TRUE(drive([&] { return received(pair.server) == "onetwo"; }));
}

TEST_P(Streams, SurvivePauseAndReadWithinOneTurn) {
  listen();
  const Pair pair = connected_pair();
  io->read(pair.server);
  ASSERT_TRUE(send_and_wait(pair.client, "one"));
  ASSERT_TRUE(drive([&] { return received(pair.server) == "one"; }));
  for (int i = 0; i < 10; ++i) {
    io->pause(pair.server);
    io->read(pair.server);
  }
  ASSERT_TRUE(send_and_wait(pair.client, "two"));
  EXPECT_TRUE(drive([&] { return received(pair.server) == "onetwo"; }));
}

TEST_P(Streams, TellTheEndOnceAfterAllOctets) {
  listen();
  const Pair pair = connected_pair();
  io->read(pair.server);
  const std::string text = random_text(500'000, 6);
  send(pair.client, text);
  io->close(pair.client, CloseMode::graceful);
  ASSERT_TRUE(drive([&] { return ended(pair.server); }));
  EXPECT_TRUE(received(pair.server) == text);
  EXPECT_EQ(find(EventKind::ended, pair.server)->result, 0);
  drive_for(Milliseconds{50});
  EXPECT_EQ(count(EventKind::ended, pair.server), 1U);
}

TEST_P(Streams, TellTheEndOnlyWhenReadAgain) {
  listen();
  const Pair pair = connected_pair();
  ASSERT_TRUE(send_and_wait(pair.client, "last words"));
  io->close(pair.client, CloseMode::graceful);
  drive_for(Milliseconds{50});
  EXPECT_FALSE(ended(pair.server));
  io->read(pair.server);
  ASSERT_TRUE(drive([&] { return ended(pair.server); }));
  EXPECT_EQ(received(pair.server), "last words");
}

TEST_P(Streams, MaySendAfterThePeerHasFinished) {
  listen();
  const Pair pair = connected_pair();
  io->read(pair.server);
  io->close(pair.client, CloseMode::graceful);
  ASSERT_TRUE(drive([&] { return ended(pair.server); }));
  ASSERT_TRUE(send_and_wait(pair.server, "221 bye\r\n"));
  EXPECT_EQ(find(EventKind::sent, pair.server)->result, 0);
  io->close(pair.server, CloseMode::graceful);
  EXPECT_TRUE(drive([&] { return closed(pair.client) && closed(pair.server); }));
}

TEST_P(Streams, CloseGracefullyAfterTheSendInFlight) {
  listen();
  const Pair pair = connected_pair();
  io->read(pair.client);
  io->read(pair.server);
  const std::string body = random_text(4 << 20, 7);
  ASSERT_TRUE(send_and_wait(pair.client, "unread by the closer"));
  send(pair.server, body);
  io->close(pair.server, CloseMode::graceful);
  ASSERT_TRUE(drive([&] { return ended(pair.client); }));
  EXPECT_TRUE(received(pair.client) == body);
  EXPECT_EQ(find(EventKind::ended, pair.client)->result, 0);
  EXPECT_EQ(find(EventKind::sent, pair.server)->result, 0);
  io->close(pair.client, CloseMode::graceful);
  EXPECT_TRUE(drive([&] { return closed(pair.client) && closed(pair.server); }));
}

TEST_P(Streams, LingerNoLongerThanTheyMay) {
  IoOptions options;
  options.linger_max = Milliseconds{100};
  open_io(options);
  listen();
  const Pair pair = connected_pair();
  const Monotonic start = io->now();
  io->close(pair.server, CloseMode::graceful);
  ASSERT_TRUE(drive([&] { return closed(pair.server); }));
  EXPECT_GE(io->now() - start, Milliseconds{99});
  EXPECT_LE(io->now() - start, seconds(5));
}

TEST_P(Streams, LingerNoLongerThanTheyMayWithASendInFlight) {
  IoOptions options;
  options.linger_max = Milliseconds{100};
  open_io(options);
  listen();
  const Pair pair = connected_pair();
  const std::string body = random_text(16 << 20, 8);
  send(pair.server, body);
  io->close(pair.server, CloseMode::graceful);
  ASSERT_TRUE(drive([&] { return closed(pair.server); }));
  ASSERT_EQ(count(EventKind::sent, pair.server), 1U);
  EXPECT_LT(find(EventKind::sent, pair.server)->result, 0);
}

TEST_P(Streams, AbortAtOnce) {
  listen();
  const Pair pair = connected_pair();
  io->read(pair.client);
  io->read(pair.server);
  io->close(pair.server, CloseMode::abort);
  ASSERT_TRUE(drive([&] { return closed(pair.server) && ended(pair.client); }));
  EXPECT_EQ(count(EventKind::ended, pair.server), 0U);
}

TEST_P(Streams, CancelTheSendInFlightWhenAborted) {
  listen();
  const Pair pair = connected_pair();
  const std::string body = random_text(16 << 20, 9);
  send(pair.client, body);
  drive_for(Milliseconds{20});
  io->close(pair.client, CloseMode::abort);
  ASSERT_TRUE(drive([&] { return closed(pair.client); }));
  ASSERT_EQ(count(EventKind::sent, pair.client), 1U);
  EXPECT_LT(find(EventKind::sent, pair.client)->result, 0);
}

TEST_P(Streams, AbortAfterAGracefulCloseHasBegun) {
  listen();
  const Pair pair = connected_pair();
  const std::string body = random_text(16 << 20, 10);
  send(pair.client, body);
  io->close(pair.client, CloseMode::graceful);
  drive_for(Milliseconds{20});
  const Monotonic start = io->now();
  io->close(pair.client, CloseMode::abort);
  ASSERT_TRUE(drive([&] { return closed(pair.client); }));
  EXPECT_LT(io->now() - start, seconds(1));
}

TEST_P(Streams, MayBeClosedWhileConnecting) {
  listen();
  const StreamId client = connect();
  io->close(client, CloseMode::graceful);
  ASSERT_TRUE(drive([&] { return closed(client); }));
  EXPECT_EQ(count(EventKind::connected, client), 0U);
}

TEST_P(Streams, TellOfAnAbortOverUnreadOctets) {
  listen();
  const Pair pair = connected_pair();
  io->read(pair.client);
  ASSERT_TRUE(send_and_wait(pair.client, "never read"));
  drive_for(Milliseconds{20});
  io->close(pair.server, CloseMode::abort);
  ASSERT_TRUE(drive([&] { return ended(pair.client); }));
  EXPECT_EQ(find(EventKind::ended, pair.client)->result, -ECONNRESET);
}

TEST_P(Streams, FailSendsAfterTheConnectionBroke) {
  listen();
  const Pair pair = connected_pair();
  ASSERT_TRUE(send_and_wait(pair.client, "never read"));
  drive_for(Milliseconds{20});
  io->close(pair.server, CloseMode::abort);
  ASSERT_TRUE(drive([&] { return closed(pair.server); }));
  int32_t result = 0;
  for (int i = 0; i < 10 && result == 0; ++i) {
    const size_t before = seen.size();
    ASSERT_TRUE(send_and_wait(pair.client, "anybody?"));
    for (size_t at = before; at < seen.size(); ++at) {
      if (seen[at].kind == EventKind::sent) result = seen[at].result;
    }
    drive_for(Milliseconds{20});
  }
  EXPECT_TRUE(result == -EPIPE || result == -ECONNRESET) << result;
}

TEST_P(Streams, AreClosedExactlyOnceAndNothingFollows) {
  listen();
  for (int round = 0; round < 30; ++round) {
    const Pair pair = connected_pair();
    io->read(pair.client);
    io->read(pair.server);
    send(pair.client, "hello");
    send(pair.server, "hello");
    const CloseMode mode = round % 2 == 0 ? CloseMode::graceful : CloseMode::abort;
    io->close(pair.client, mode);
    io->close(pair.client, CloseMode::graceful);
    io->close(pair.server, round % 3 == 0 ? CloseMode::graceful : CloseMode::abort);
    ASSERT_TRUE(drive([&] { return closed(pair.client) && closed(pair.server); }));
    for (const StreamId stream : {pair.client, pair.server}) {
      io->close(stream, mode);
      EXPECT_EQ(count(EventKind::closed, stream), 1U);
    }
  }
  drive_for(Milliseconds{50});
  for (size_t at = 0; at < seen.size(); ++at) {
    if (seen[at].kind != EventKind::closed) continue;
    for (size_t after = at + 1; after < seen.size(); ++after) {
      ASSERT_FALSE(seen[after].stream == seen[at].stream) << "event after closed";
    }
  }
  EXPECT_EQ(io->streams_open(), 0U);
}

TEST_P(Streams, IgnoreStaleIds) {
  listen();
  const Pair old = connected_pair();
  io->close(old.client, CloseMode::abort);
  io->close(old.server, CloseMode::abort);
  ASSERT_TRUE(drive([&] { return closed(old.client) && closed(old.server); }));
  const Pair fresh = connected_pair();
  io->read(fresh.server);
  for (const StreamId stale : {old.client, old.server, StreamId{}}) {
    io->read(stale);
    send(stale, "to nobody");
    io->pause(stale);
    io->own(stale, Token::make(9, 9));
    io->close(stale, CloseMode::abort);
    EXPECT_EQ(io->peer(stale).length, 0U);
  }
  ASSERT_TRUE(send_and_wait(fresh.client, "to somebody"));
  EXPECT_TRUE(drive([&] { return received(fresh.server) == "to somebody"; }));
  EXPECT_EQ(find(EventKind::received, Token::make(9, 9)), nullptr);
}

TEST_P(Streams, GoToTheirNewOwner) {
  listen();
  const Pair pair = connected_pair();
  io->own(pair.server, Token::make(7, 7));
  io->read(pair.server);
  ASSERT_TRUE(send_and_wait(pair.client, "x"));
  ASSERT_TRUE(drive([&] { return count(EventKind::received, pair.server) == 1; }));
  EXPECT_EQ(find(EventKind::received, pair.server)->token, Token::make(7, 7));
}

TEST_P(Streams, AreLimited) {
  IoOptions options;
  options.streams_max = 4;
  open_io(options);
  listen();
  std::vector<StreamId> clients;
  for (int i = 0; i < 4; ++i) {
    Result<StreamId> made = io->connect(listening(), {}, kClient);
    ASSERT_TRUE(made.has_value());
    clients.push_back(*made);
  }
  EXPECT_FALSE(io->connect(listening(), {}, kClient).has_value());
  EXPECT_EQ(io->connect(listening(), {}, kClient).error().code, EMFILE);
  for (const StreamId client : clients) {
    ASSERT_TRUE(drive([&] { return find(EventKind::connected, client) != nullptr; }));
  }
}

TEST_P(Streams, SendAndReceiveIndependently) {
  listen();
  const Pair pair = connected_pair();
  io->read(pair.client);
  io->read(pair.server);
  const std::string up = random_text(3 << 20, 11);
  const std::string down = random_text(3 << 20, 12);
  send(pair.client, up);
  send(pair.server, down);
  ASSERT_TRUE(drive([&] {
    return received_octets(pair.server) == up.size() && received_octets(pair.client) == down.size();
  }));
  EXPECT_TRUE(received(pair.server) == up);
  EXPECT_TRUE(received(pair.client) == down);
}

TEST_P(Streams, ManyAtOnceAreKeptApart) {
  listen();
  std::vector<Pair> pairs;
  for (int i = 0; i < 50; ++i) pairs.push_back(connected_pair());
  std::vector<std::string> texts;
  for (size_t i = 0; i < pairs.size(); ++i) texts.push_back(random_text(20'000, 100 + i));
  for (size_t i = 0; i < pairs.size(); ++i) {
    io->read(pairs[i].server);
    send(pairs[i].client, texts[i]);
  }
  for (size_t i = 0; i < pairs.size(); ++i) {
    ASSERT_TRUE(drive([&] { return received_octets(pairs[i].server) == texts[i].size(); }));
    ASSERT_TRUE(received(pairs[i].server) == texts[i]) << i;
  }
}

TEST_P(Streams, DieWhenTwoSendsAreInFlight) {
  GTEST_FLAG_SET(death_test_style, "fast");
  listen();
  const Pair pair = connected_pair();
  send(pair.client, "first");
  EXPECT_DEATH(send(pair.client, "second"), "assertion failed");
}

class Listeners : public Seam {};

INSTANTIATE_TEST_SUITE_P(Over, Listeners, ::testing::Values("127.0.0.1:0", "unix"),
                         [](const auto& suite) {
                           return std::string(suite.param) == "unix" ? "unix" : "tcp";
                         });

TEST_P(Listeners, AcceptManyConnections) {
  listen();
  for (int i = 0; i < 20; ++i) connect();
  ASSERT_TRUE(drive([&] { return accepts_seen() == 20; }));
  std::set<uint32_t> indices;
  for (const Seen& event : seen) {
    if (event.kind == EventKind::accepted) indices.insert(event.stream.index);
  }
  EXPECT_EQ(indices.size(), 20U);
}

TEST_P(Listeners, LetNewcomersWaitWhilePaused) {
  listen();
  connected_pair();
  io->pause_listening(listener);
  drive_for(Milliseconds{30});
  const StreamId client = connect();
  ASSERT_TRUE(drive([&] { return find(EventKind::connected, client) != nullptr; }));
  ASSERT_TRUE(send_and_wait(client, "patience"));
  drive_for(Milliseconds{50});
  EXPECT_EQ(accepts_seen(), 1U);
  io->resume_listening(listener);
  const StreamId server = accept();
  io->read(server);
  EXPECT_TRUE(drive([&] { return received(server) == "patience"; }));
}

TEST_P(Listeners, SurviveResumingAtOnce) {
  listen();
  for (int i = 0; i < 5; ++i) {
    io->pause_listening(listener);
    io->resume_listening(listener);
    turn(Milliseconds{1});
  }
  io->pause_listening(listener);
  io->resume_listening(listener);
  connected_pair();
}

TEST_P(Listeners, ResetWhoIsWaitingWhenTheyStop) {
  listen();
  io->pause_listening(listener);
  const StreamId client = connect();
  ASSERT_TRUE(drive([&] { return find(EventKind::connected, client) != nullptr; }));
  io->read(client);
  io->stop_listening(listener);
  EXPECT_TRUE(drive([&] { return ended(client); }));
  EXPECT_EQ(accepts_seen(), 0U);
}

TEST_P(Listeners, AcceptAgainWhenAStreamIsFree) {
  IoOptions options;
  options.streams_max = 3;
  open_io(options);
  listen();
  const Pair first = connected_pair();
  const StreamId waiting = connect();
  ASSERT_TRUE(drive([&] { return find(EventKind::connected, waiting) != nullptr; }));
  drive_for(Milliseconds{50});
  if (accepts_seen() > 1) GTEST_SKIP() << "a slot was free when the connection came";
  io->close(first.client, CloseMode::abort);
  io->close(first.server, CloseMode::abort);
  ASSERT_TRUE(drive([&] { return closed(first.client) && closed(first.server); }));
  accept();
}

TEST_P(Listeners, TellWhenTheAddressIsTaken) {
  ListenOptions alone;
  alone.reuse_port = false;
  Result<ListenerId> first = io->listen(endpoint(), alone, kListener);
  ASSERT_TRUE(first.has_value());
  const Result<ListenerId> second = io->listen(io->listening_on(*first), alone, kListener);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code, EADDRINUSE);
}

}  // namespace
}  // namespace ringmta::ring
