// SPDX-License-Identifier: GPL-3.0-or-later
// Submission sessions of one shard: bytes from the ring into the protocol machine, content into the
// spool, replies back.
//
// The insight: a message that is whole in one receive never exists as an object of its own. Its
// views go straight from the receive buffer into the spool's open batch; only a bigger one gathers
// in chunks first. Replies wait for the disk inside the protocol machine, so a session holds
// nothing but its slot while the commit is under way.
//
// TLS lies between the two like another kind of socket (src/server/security.cc): records are opened
// in memory that all sessions share, and what the machine makes of them is the same.
//
// Where mail is signed (DKIM), it takes a detour between its end and the spool:
// src/server/signing.h.
//
// Limits, each with its own answer: sessions (421 4.3.2), sessions per client (421 4.7.0), idle and
// transaction time (421 4.4.2), a client that does not take its replies (dropped), memory
// (452 4.3.1), spool not accepting (452 4.3.1), and whatever the queue behind it has
// (refuse_while(), 452 4.3.1).
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include "ringmta/dkim/key_ring.h"
#include "ringmta/server/options.h"
#include "ringmta/shard/loop.h"
#include "ringmta/spool/spool.h"

namespace ringmta::server {

struct ServerCounters {
  uint64_t sessions = 0;  // now
  uint64_t sessions_total = 0;
  uint64_t sessions_refused = 0;  // by a limit
  uint64_t messages = 0;          // answered 250
  uint64_t messages_refused = 0;  // content refused or not stored
  uint64_t recipients = 0;        // of the accepted messages
  uint64_t octets = 0;            // of the accepted contents
  uint64_t timeouts = 0;
  uint64_t tls_sessions = 0;     // now
  uint64_t tls_handshakes = 0;   // that succeeded
  uint64_t tls_resumed = 0;      // of these
  uint64_t tls_failures = 0;     // handshakes and sessions that failed
  uint64_t tls_timeouts = 0;     // handshakes that took too long
  uint64_t auth_attempts = 0;    // AUTH commands that began an exchange
  uint64_t auth_successes = 0;   // 235
  uint64_t auth_failures = 0;    // 535: wrong name, password or proof
  uint64_t auth_blocked = 0;     // 454: after too many failures
  uint64_t auth_deferred = 0;    // 454: too many sessions of the user, or log-ins at once
  uint64_t senders_refused = 0;  // at MAIL: not the user's to use, too many messages this hour, or
                                 // the session's rights went with a reload
  uint64_t dkim_messages = 0;    // signed
  uint64_t dkim_signatures = 0;  // made; more than one a message where several keys are for it
  uint64_t dkim_failures = 0;    // messages, or signatures, that could not be made
  uint64_t dkim_waiting = 0;     // messages that wait for their signatures, now
};

// How a message came. The views hold during the call they are given to.
struct Arrival {
  std::string_view protocol;     // "ESMTPS"; empty: the client has gone, nobody knows any more
  std::string_view tls_version;  // "TLSv1.3"; empty: clear text
  std::string_view tls_cipher;
};

// Sessions in all and per client address over all shards: a fixed table of atomic counters shared
// by them. Two addresses that meet in a bucket share its count, so the limit may bite early for
// them (1 in 65,536 per pair), never late. Which ones meet depends on a secret, so nobody can
// choose addresses that take another's sessions away. IPv6 clients are counted by their /64, of
// which a single host may use every address.
class ClientTable final {
 public:
  static constexpr size_t kBuckets = 65536;

  ClientTable();  // with a secret of its own
  explicit ClientTable(uint64_t secret) : secret_(secret) {}

  enum class Answer : uint8_t { entered, too_many, too_many_of_client };
  // Nothing is counted unless it was entered.
  struct Limits {
    uint32_t sessions_max = 0;             // all clients together
    uint32_t sessions_per_client_max = 0;  // 0: any number
  };
  Answer enter(const SocketAddress& client, const Limits& limits);
  void leave(const SocketAddress& client);
  uint32_t total() const { return total_.load(std::memory_order_relaxed); }

 private:
  static bool count(std::atomic<uint32_t>& counter, uint32_t limit);
  size_t bucket(const SocketAddress& client) const;

  const uint64_t secret_;
  std::atomic<uint32_t> total_ = 0;
  std::array<std::atomic<uint32_t>, kBuckets> counts_{};
};

// What a shard needs to speak TLS, out of what the configuration has read. Takes milliseconds.
Result<std::shared_ptr<tls::ServerContext>> make_tls_context(const ServerTls& options,
                                                             tls::HandshakeBudget* budget);

class Server final {
 public:
  Server(shard::Loop& loop, spool::Spool& spool, const ServerOptions& options,
         ClientTable& clients);
  ~Server();

  // Before listen(): with it, users may log in as options.auth says. Outlives the server.
  void authenticate_with(AuthShared& shared);
  Status listen();                              // on every configured address
  void on_event(const ring::Event& event);      // Owner::listener and Owner::server
  void on_spool_done(const spool::Done& done);  // messages whose tag is ours (no top bit)
  bool flush();                                 // stage: replies leave
  // Other options from now on, for sessions under way as well; listeners and sessions_max stay.
  void reload(const ServerOptions& options);
  // Messages that begin from now on are signed with these keys, as options.dkim says; null: not.
  void sign_with(std::shared_ptr<dkim::KeyRing> keys);
  // A message of the relay itself, to be signed like mail that comes in. Taken: it goes into the
  // spool with that tag as soon as it is signed; where the spool does not take it, `failed` says
  // so.
  enum class Own : uint8_t { not_signed, taken, busy };
  Own sign_own(MessageId id, const spool::MessageHead& head, std::string_view content,
               uint64_t tag);
  void on_own_failed(void* self, void (*failed)(void* self, uint64_t tag));
  // No new sessions or transactions; messages in arrival may finish until abort_all().
  void stop();
  void abort_all();   // ends them, too: 421 4.3.2 where that can be said
  bool idle() const;  // no sessions are left

  // Called for each message that was committed, before its 250: the queue takes it over.
  void on_committed(void* self,
                    void (*take)(void* self, spool::StoredHandle message, const Arrival& arrival));

  // Asked as a message begins: true refuses it (452 4.3.1), since what comes after the spool is
  // full.
  void refuse_while(void* self, bool (*full)(void* self));

  // TLS for sessions and handshakes from now on; null: it is not offered. A context is made on
  // whatever thread has the time, with this shard's budget, which lives as long as the server.
  void use_tls(std::shared_ptr<tls::ServerContext> context);
  void use_ticket_keys(const tls::TicketKeys& keys);
  tls::HandshakeBudget* handshake_budget();

  std::vector<SocketAddress> addresses() const;      // of all listeners
  std::vector<SocketAddress> tls_addresses() const;  // of those with TLS from the first octet
  const ServerCounters& counters() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ringmta::server
