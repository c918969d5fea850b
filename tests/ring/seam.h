// SPDX-License-Identifier: GPL-3.0-or-later
// What the tests of the seam need to run against either of its implementations: an Io, a directory,
// and drive(), which turns the Io until something is true and keeps every event.
//
// RINGMTA_SIMULATED is defined when the simulator is linked.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ringmta/ring/disk.h"
#include "ringmta/ring/io.h"

#ifdef RINGMTA_SIMULATED
#include "ringmta/sim/world.h"
#else
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#endif

namespace ringmta::ring {

// An event with its data copied.
struct Seen {
  EventKind kind;
  Token token;
  StreamId stream;
  int32_t result;
  std::string data;
};

struct Pair {
  StreamId client;
  StreamId server;
};

class Seam : public ::testing::TestWithParam<const char*> {
 protected:
  static constexpr Token kListener = Token::make(1, 1);
  static constexpr Token kClient = Token::make(2, 2);
  static constexpr Token kServer = Token::make(3, 3);
  static constexpr Token kFile = Token::make(4, 4);
  static constexpr Token kBell = Token::make(5, 5);

  void SetUp() override {
#ifdef RINGMTA_SIMULATED
    world = std::make_unique<sim::World>();
    directory = "/tmp/seam";
    ASSERT_TRUE(disk::make_directory(directory));
#else
    alarm(60);
    std::string pattern = std::filesystem::temp_directory_path() / "ringmta-seam-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory = pattern;
#endif
    open_io({});
  }

  void TearDown() override {
    io.reset();
#ifndef RINGMTA_SIMULATED
    std::filesystem::remove_all(directory);
    alarm(0);
#endif
  }

  // A new Io in place of the last one.
  void open_io(IoOptions options) {
    io.reset();
    seen.clear();
    if (options.streams_max > 1000) options.streams_max = 1000;
    if (options.receive_buffers == 1024) options.receive_buffers = 64;
    options.doorbell = kBell;
    Result<std::unique_ptr<Io>> made = Io::create(options);
    ASSERT_TRUE(made.has_value()) << made.error().message;
    io = std::move(*made);
  }

  // One turn, not sleeping longer than `time`.
  void turn(Milliseconds time) {
    const std::span<const Event> events = io->turn(io->now() + time);
    for (const Event& event : events) {
      seen.push_back(
          {event.kind, event.token, event.stream, event.result, std::string(as_text(event.data))});
      if (on_event) on_event(event);
    }
#ifdef RINGMTA_SIMULATED
    if (events.empty()) world->advance(world->now() + time);
#endif
  }

  // Turns until `done()`; false when that did not come true in time.
  bool drive(const std::function<bool()>& done, Milliseconds limit = seconds(20)) {
    const Monotonic end = io->now() + limit;
    while (!done()) {
      if (io->now() >= end) return false;
      turn(Milliseconds{20});
    }
    return true;
  }
  // For what must not happen: long enough that it would have.
  void drive_for(Milliseconds time) {
    drive([] { return false; }, time);
  }

  // ---- what was seen

  size_t count(EventKind kind, StreamId stream) const {
    size_t found = 0;
    for (const Seen& event : seen) {
      if (event.kind == kind && event.stream == stream) ++found;
    }
    return found;
  }
  const Seen* find(EventKind kind, StreamId stream) const {
    for (const Seen& event : seen) {
      if (event.kind == kind && event.stream == stream) return &event;
    }
    return nullptr;
  }
  const Seen* find(EventKind kind, Token token) const {
    for (const Seen& event : seen) {
      if (event.kind == kind && event.token == token) return &event;
    }
    return nullptr;
  }
  std::string received(StreamId stream) const {
    std::string data;
    for (const Seen& event : seen) {
      if (event.kind == EventKind::received && event.stream == stream) data += event.data;
    }
    return data;
  }
  size_t received_octets(StreamId stream) const {
    size_t octets = 0;
    for (const Seen& event : seen) {
      if (event.kind == EventKind::received && event.stream == stream) octets += event.data.size();
    }
    return octets;
  }
  bool ended(StreamId stream) const { return find(EventKind::ended, stream) != nullptr; }
  bool closed(StreamId stream) const { return find(EventKind::closed, stream) != nullptr; }

  // ---- streams

  SocketAddress endpoint() const {
    const std::string text = GetParam();
    const std::string where = text == "unix" ? directory + "/socket" : text;
    Result<SocketAddress> address = parse_socket_address(where, 0);
    EXPECT_TRUE(address.has_value());
    return *address;
  }

  void listen() {
    Result<ListenerId> made = io->listen(endpoint(), {}, kListener);
    ASSERT_TRUE(made.has_value()) << made.error().message;
    listener = *made;
  }
  SocketAddress listening() const { return io->listening_on(listener); }

  StreamId connect() {
    Result<StreamId> made = io->connect(listening(), {}, kClient);
    EXPECT_TRUE(made.has_value());
    return made.value_or(StreamId{});
  }
  // The stream of the accept that comes next.
  StreamId accept() {
    const size_t before = accepted;
    EXPECT_TRUE(drive([&] { return accepts_seen() > before; }));
    size_t number = 0;
    for (const Seen& event : seen) {
      if (event.kind != EventKind::accepted || number++ != before) continue;
      ++accepted;
      EXPECT_EQ(event.result, 0);
      EXPECT_EQ(event.token, kListener);
      io->own(event.stream, kServer);
      return event.stream;
    }
    return {};
  }
  Pair connected_pair() {
    const StreamId client = connect();
    const StreamId server = accept();
    EXPECT_TRUE(drive([&] { return find(EventKind::connected, client) != nullptr; }));
    EXPECT_EQ(find(EventKind::connected, client)->result, 0);
    return {client, server};
  }

  void send(StreamId stream, std::string_view text) {
    const iovec part{const_cast<char*>(text.data()), text.size()};
    io->send(stream, {&part, 1});
  }
  bool send_and_wait(StreamId stream, std::string_view text) {
    const size_t before = count(EventKind::sent, stream);
    send(stream, text);
    return drive([&] { return count(EventKind::sent, stream) > before; });
  }

  size_t accepts_seen() const {
    size_t found = 0;
    for (const Seen& event : seen) {
      if (event.kind == EventKind::accepted) ++found;
    }
    return found;
  }

#ifdef RINGMTA_SIMULATED
  std::unique_ptr<sim::World> world;
#endif
  std::string directory;
  std::unique_ptr<Io> io;
  std::vector<Seen> seen;
  std::function<void(const Event&)> on_event;
  ListenerId listener;
  size_t accepted = 0;
};

}  // namespace ringmta::ring
