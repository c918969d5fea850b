// SPDX-License-Identifier: GPL-3.0-or-later
// One shard of the relay: every room's part, wired together. Here is the order of a turn:
//
//   letters from other shards -> answers of the DNS -> what the spool finished (replies, new queue
//   entries) -> due retries -> deliveries begin and go on -> replies leave -> the next group commit
//   -> events -> letters out
//
// Everything a turn did leaves in the one `enter` of the next.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "exchange.h"
#include "mail_domains.h"
#include "ringmta/client/pool.h"
#include "ringmta/config/settings.h"
#include "ringmta/events/writer.h"
#include "ringmta/http/snapshot.h"
#include "ringmta/queue/queue.h"
#include "ringmta/server/server.h"
#include "ringmta/shard/loop.h"
#include "ringmta/spool/spool.h"
#include "task.h"

namespace ringmta::relay {

// What all shards share, owned by the supervisor.
struct Shared {
  const config::Settings& settings;
  Exchange& exchange;
  server::ClientTable& clients;
  server::AuthShared& auth;
  client::Credentials& credentials;
  spool::Recovery* recovery;
  std::vector<http::SnapshotCell<http::ShardSnapshot>>& snapshots;
  const tls::TicketKeys& ticket_keys;  // at the start
};

// Null where nothing is to be signed. Blocks on the key files.
Result<std::shared_ptr<dkim::KeyRing>> load_keys(const dkim::Options& options);

class ShardRelay final {
 public:
  // On the thread that will run it. Recovered messages are queued; nothing listens yet.
  static Result<std::unique_ptr<ShardRelay>> create(const Shared& shared, ShardId id, int cpu);
  ~ShardRelay();

  void run() { loop_->run(); }

  Status listen();
  void begin_stop();  // no new work; what is in flight goes on
  void abort_sessions();
  bool drained() const;  // after begin_stop(): nothing is in flight any more
  void reopen_events();
  void publish();  // the counters as they are now; by itself it does so now and then
  // See config::keep_until_start(). The context was made with this shard's handshake_budget(), the
  // keys by load_keys() for it alone.
  void reload(const config::Settings& fresh, std::shared_ptr<tls::ServerContext> server_tls,
              std::shared_ptr<dkim::KeyRing> keys);

  ShardId id() const { return id_; }
  shard::Loop& loop() { return *loop_; }
  queue::Queue& queue() { return *queue_; }
  client::Pools& pools() { return *pools_; }
  server::Server& server() { return *server_; }
  std::vector<SocketAddress> addresses() const { return server_->addresses(); }

 private:
  ShardRelay(const Shared& shared, ShardId id, int cpu);
  Status set_up();
  void wire();
  void take_over(spool::StoredHandle stored, const server::Arrival& arrival);
  void recovered(spool::StoredHandle stored, const spool::Recovered& message);
  bool letters();
  bool spool_results();
  bool spool_commit();
  bool tasks();
  bool plan_to_publish();
  void return_job(queue::Job* job);

  const Shared shared_;
  const config::Settings& settings_;
  const ShardId id_;
  const int cpu_;
  std::unique_ptr<ring::Io> io_;
  std::unique_ptr<shard::Loop> loop_;
  std::unique_ptr<spool::Spool> spool_;
  std::unique_ptr<events::Writer> events_;
  std::unique_ptr<MailDomains> domains_;
  std::unique_ptr<queue::Queue> queue_;
  std::unique_ptr<client::Pools> pools_;
  std::unique_ptr<server::Server> server_;
  ring::Timer flush_timer_;    // the spool wants to write notes by then
  ring::Timer publish_timer_;  // counters for status and metrics
  Monotonic published_at_{};
  uint64_t published_completions_ = 0;
  std::vector<spool::Done> done_;
  std::vector<smtp::RecipientView> recipients_;
  std::vector<std::shared_ptr<Task>> tasks_;
};

}  // namespace ringmta::relay
