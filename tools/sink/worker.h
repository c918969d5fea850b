// SPDX-License-Identifier: GPL-3.0-or-later
// One thread of the sink: its ring and loop, and the connections that carry the sessions.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ringmta/base/slot_pool.h"
#include "ringmta/ring/io.h"
#include "ringmta/shard/loop.h"
#include "ringmta/tls/session.h"
#include "tools/sink/counts.h"
#include "tools/sink/session.h"

namespace ringmta::tools {

// Shared by all threads.
struct SinkState {
  const SinkOptions& options;
  const RuleSet& rules;
  Ledger ledger{};
  CorruptSamples corrupt_samples{};
  // One for each listener, over all threads.
  std::unique_ptr<ListenerCounts[]> listeners{};
  ListenerCounts all{};  // open connections of all listeners together
  const SinkAuth* auth = nullptr;
  tls::TicketKeys ticket_keys{};  // made before the threads are
};

class SinkWorker final {
 public:
  SinkWorker(SinkState& state, uint32_t thread);
  ~SinkWorker();

  // Opens the ring and listens on `addresses`; call on the thread that will run(). The real
  // addresses (port 0 replaced) come back.
  Result<std::vector<SocketAddress>> listen(const std::vector<SocketAddress>& addresses);
  // Until stop(); then ends sessions between two messages at once and gives the others a moment.
  void run();
  void stop();  // any thread
  const SinkCounts& counts() const { return counts_; }

 private:
  struct Connection {
    Connection(SinkContext& context, std::string_view peer, std::string_view listener_text,
               ListenerCounts& listener)
        : session(context, peer, listener_text, listener), counts(listener) {}
    SinkSession session;
    ListenerCounts& counts;
    ring::StreamId stream{};
    ring::Timer hold_timer{};
    ring::Timer gap_timer{};
    std::unique_ptr<tls::Session> tls;
    std::string unsealed;    // said before TLS began, still to be sent
    std::string flight;      // what is being sent
    size_t flight_sent = 0;  // of it
    SinkSession::Split split{};
    bool sending = false;
    bool gap = false;   // waiting between two pieces
    bool held = false;  // the session's hold is running
    bool paused = false;
    bool closing = false;
  };

  static void on_accept(void* self, const ring::Event& event);
  static void on_stream(void* self, const ring::Event& event);
  void accepted(const ring::Event& event);
  void received(Connection& connection, Bytes data);
  void received_sealed(Connection& connection, Bytes data);
  void begin_tls(Connection& connection);
  static bool has_output(const Connection& connection);
  static void take_output(Connection& connection);
  void timed_out(Connection& connection);
  void settle(Connection& connection);
  void flush(Connection& connection);
  void send_piece(Connection& connection);
  void close(Connection& connection, ring::CloseMode mode);
  void released(Connection& connection, SlotHandle handle);

  SinkState& state_;
  SinkCounts counts_;
  SinkContext context_;
  std::unique_ptr<ring::Io> io_;
  std::unique_ptr<shard::Loop> loop_;
  std::shared_ptr<tls::ServerContext> tls_;
  std::vector<ring::ListenerId> listeners_;
  std::vector<std::string> listener_texts_;
  SlotPool<Connection> connections_;
};

}  // namespace ringmta::tools
