// SPDX-License-Identifier: GPL-3.0-or-later
// A shard that only takes mail in: loop, spool and server on the simulated disk and network, with
// clients that say what the test tells them and write down every octet they are answered.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ringmta/server/server.h"
#include "ringmta/shard/loop.h"
#include "ringmta/sim/world.h"
#include "ringmta/spool/spool.h"

namespace ringmta::server {

inline constexpr const char* kServer = "192.0.2.1:25";
inline constexpr const char* kClient = "198.51.100.7";

class Client final {
 public:
  Client(sim::World& world, const std::string& from, bool reads, const std::string& to);

  void say(std::string_view text);  // in order, as fast as the server takes it
  void finish();                    // QUIT-less goodbye: closes once all was said
  void read();                      // one that did not read so far
  void stop_reading() { io_->pause(stream_); }
  void stays() { stays_ = true; }  // does not end its side when the server has ended its own
  void reset() { io_->close(stream_, ring::CloseMode::abort); }
  size_t unsaid() const { return queued_.size() + sending_.size(); }
  std::vector<std::string> replies() const;  // whole lines
  size_t count(std::string_view beginning) const;

  std::string heard;
  bool connected = false;
  bool ended = false;   // the server finished or tore the connection down
  bool broken = false;  // torn down

 private:
  void turn();

  std::unique_ptr<ring::Io> io_;
  ring::StreamId stream_{};
  std::string queued_, sending_;
  bool reads_ = true, finishes_ = false, finished_ = false, stays_ = false;
};

struct Stored {
  spool::StoredHandle handle{};
  std::string wire;  // trace lines and content, with the closing ".CRLF"
  std::string reverse_path;
  std::vector<std::string> recipients;
  spool::MessageInfo info;
  std::string protocol, tls_version, tls_cipher;
};

// Tests set options and the world, then call start().
struct Station : ::testing::Test {
  Station();
  void start();
  Client& connect(const std::string& from = kClient, bool reads = true,
                  const std::string& to = kServer);
  Client& greeted(const std::string& from = kClient);  // and EHLO was answered
  bool run(const std::function<bool()>& done, Milliseconds limit = seconds(60)) {
    return world.run_until(done, limit);
  }
  bool hears(Client& client, std::string_view text, Milliseconds limit = seconds(60)) {
    const bool heard = run([&] { return client.heard.find(text) != std::string::npos; }, limit);
    EXPECT_TRUE(heard) << "waited for \"" << text << "\", heard:\n" << client.heard;
    return heard;
  }
  bool gone(Client& client, Milliseconds limit = seconds(60)) {
    const bool ended = run([&] { return client.ended; }, limit);
    EXPECT_TRUE(ended) << client.heard;
    return ended;
  }
  void disk_takes(Milliseconds time) {
    world.disk().latency_us_min = world.disk().latency_us_max = time.count * 1000;
  }
  uint64_t memory() const { return spool->counters().memory_octets; }
  void finish_all();  // as if all mail had been delivered
  void TearDown() override;

  sim::World world;
  ServerOptions options;
  spool::SpoolOptions spool_options;
  ClientTable table;
  AuthShared auth{false};  // verifies at once: no thread, no luck
  std::unique_ptr<ring::Io> io;
  std::unique_ptr<shard::Loop> loop;
  std::unique_ptr<spool::Spool> spool;
  std::unique_ptr<Server> server;
  std::vector<Stored> stored;
  std::vector<std::unique_ptr<Client>> clients;

 private:
  void take(spool::StoredHandle message, const Arrival& arrival);
  bool commit();
  ring::Timer flush_timer_;
  std::vector<spool::Done> done_;
};

// MAIL, RCPT and DATA in one piece, up to where the content begins.
std::string opening(const std::string& from = "a@one.example",
                    const std::string& to = "b@two.example");
// The whole of it, content included.
std::string message(const std::string& subject);
// Lines of content of about so many octets, no two alike, some with a dot in front, as a client
// sends them; ends with ".CRLF" on a line of its own.
std::string big_content(size_t octets);

}  // namespace ringmta::server
