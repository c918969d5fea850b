// SPDX-License-Identifier: GPL-3.0-or-later
// The pools of a shard: what their parts share. Handlers of events only record (octets go through
// the protocol machine, verdicts into jobs) and mark what run() must look at; all work on queue and
// output is done there, once per turn.
#pragma once

#include <cerrno>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "connection.h"
#include "ringmta/base/log.h"
#include "ringmta/base/prng.h"
#include "ringmta/base/slot_pool.h"
#include "ringmta/client/pool.h"
#include "site_pool.h"
#include "tls_memory.h"

namespace ringmta::client {

inline constexpr smtp::EnhancedStatus kTlsFailed{4, 7, 5};  // cryptographic failure (RFC 3463 3.8)

// How connections of a route, a rule or all others are protected, ready for use.
struct SecurityState {
  Security options;
  std::shared_ptr<tls::ClientContext> context;  // null: TLS cannot be had, `problem` says why
  std::string problem;
};

struct Pools::Impl {
  Impl(shard::Loop& the_loop, queue::Queue& the_queue, const ClientPoolOptions& the_options,
       ShardId the_shard, void* the_self, void (*the_return_job)(void*, queue::Job*));
  ~Impl();

  // pools.cc: the stage, sites, what is given back.
  bool run();
  SitePool& site_pool(queue::SiteId id);
  SitePool* find_site(queue::SiteId id);
  void touch(Connection& connection);
  void touch(SitePool& site);
  void hand_back();
  void release(queue::Job& job);
  void refuse_lent(SitePool& site, queue::Verdict verdict, std::string_view reason,
                   smtp::EnhancedStatus status = kNoAnswer);
  void retire_site_if_quiet(SitePool& site);
  void learn_sources();
  void arm_site(SitePool& site);
  void on_site_timer(SitePool& site);
  void return_late(SitePool& site);
  Monotonic lent_until(const queue::Job& job) const;
  Monotonic now() const { return loop.now(); }

  // serving.cc: which connection gets which job.
  void settle(Connection& connection);
  void unplace(Connection& connection);
  void serve(SitePool& site);
  bool takes_along_soon(const Connection& connection) const;
  bool wait_for_ride(SitePool& site);
  Connection* pick(SitePool& site, bool pack);
  queue::Job* next_job(SitePool& site);
  queue::Job* next_lent(SitePool& site);
  void begin(Connection& connection, queue::Job& job);
  void begin_session(Connection& connection, queue::Job& job);
  bool used_up(const Connection& connection) const;

  // opening.cc: when and whereto a connection is made, and what a failure means.
  bool open_more(SitePool& site, uint32_t wanted);
  bool may_open(SitePool& site);
  bool open(SitePool& site);
  bool connect(SitePool& site, const std::shared_ptr<Host>& host);
  void wait_for_room(SitePool& site);
  void no_longer_waiting(SitePool& site);
  void retire(Connection& connection);
  void fail_site(SitePool& site);
  std::string why_not(const SitePool& site, const Host& host) const;
  uint32_t preferred_to_ourselves(SitePool& site) const;
  bool may_be_own(const SocketAddress& peer) const;
  bool is_own(const SocketAddress& peer, const SocketAddress& local) const;
  void opened(Connection& connection);
  void our_shortage(SitePool& site, std::string_view reason);
  void host_trouble(Connection& connection, std::string reason,
                    smtp::EnhancedStatus status = kNoAnswer, bool unroutable = false);
  static uint32_t others_served(const Connection& connection);
  void host_failed(SitePool& site, Host& host, bool unroutable = false);
  bool next_host_left(const Connection& connection) const;

  // connection.cc: what happens on a stream.
  void on_connected(Connection& connection, int32_t result);
  void on_received(Connection& connection, Bytes data);
  void feed(Connection& connection, Bytes data);
  void on_session_closed(Connection& connection, const smtp::ClientSession::Step& step);
  void on_ended(Connection& connection, int32_t result);
  void on_closed(Connection& connection);
  void lose(Connection& connection, std::string_view reason, ring::CloseMode mode,
            bool blame_host = true);
  void fail_opening(Connection& connection, std::string reason,
                    smtp::EnhancedStatus status = kNoAnswer, bool unroutable = false);
  void part(Connection& connection);
  void leave(Connection& connection);
  void close(Connection& connection, ring::CloseMode mode);
  void set_state(Connection& connection, Connection::State state);

  // tls.cc
  using Postponed = IntrusiveList<Connection, &Connection::postponed>;
  SecurityState prepare(const Security& security);
  void prepare_all();
  void change_security();
  size_t security_index(const SitePool& site) const;
  const SecurityState& security_of(const SitePool& site) const;
  static bool is_implicit(const SecurityState& security, const Host& host);
  smtp::ClientOpening opening_for(const SecurityState& security, const Host& host);
  void begin_tls(Connection& connection);
  void receive_sealed(Connection& connection, Bytes data);
  void postpone(Connection& connection, Bytes rest);
  void resume_handshakes();
  static bool in_handshake(const Connection& connection);
  static bool turning_to_tls(const Connection& connection);
  void tls_broken(Connection& connection, std::string_view why, bool gone);
  void end_opening(Connection& connection, const std::string& reason, smtp::EnhancedStatus status);
  bool open_otherwise(Connection& connection, smtp::Phase awaited, std::string_view reason);
  void seal_next(Connection& connection);
  void send_sealed(Connection& connection);
  static void sealed_sent(Connection& connection);

  // auth.cc
  static std::optional<sasl::Mechanism> choose_mechanism(const Connection& connection,
                                                         const AuthOptions& how);
  static std::string why_no_mechanism(const Connection& connection, const AuthOptions& how);
  static std::string line_to_show(const Connection& connection, const smtp::Reply& reply);
  void authenticate(Connection& connection, const smtp::Reply* refusal);
  void begin_exchange(Connection& connection);
  void start_exchange(Connection& connection, sasl::Mechanism mechanism, std::string_view secret);
  void on_challenge(Connection& connection, const smtp::Reply& reply);
  void answer_challenge(Connection& connection, const sasl::ClientExchange::Step& step);
  bool on_authenticated(Connection& connection);
  void auth_failed(Connection& connection, std::string_view why, smtp::EnhancedStatus status);
  void wait_for_credentials(Connection& connection, Authentication::Wants what);
  void look_for_credentials();

  // timeouts.cc
  static smtp::Phase awaited(const Connection& connection);
  void set_deadline(Connection& connection);
  void on_timer(Connection& connection);
  void timed_out(Connection& connection);
  void first_job_expired(Connection& connection);
  bool keep_warm(Connection& connection);
  Milliseconds timeout_of(uint8_t waits_for) const;

  // verdicts.cc
  void judge(Connection& connection, const smtp::ClientSession::Step& step, bool lost,
             std::string_view reason);
  void judge_all(queue::Job& job, queue::Verdict verdict, std::string_view reason,
                 smtp::EnhancedStatus status = kNoAnswer);
  void finish(Connection& connection, queue::Job& job);

  // sending.cc
  void flush(Connection& connection);
  void gather(Connection& connection);
  void put_together(Connection& connection);
  void keep_copy(Connection& connection);
  void send_next(Connection& connection);
  void transmit(Connection& connection, std::span<const iovec> octets);
  void on_sent(Connection& connection, int32_t result);
  static bool handed_over(const Connection& connection, const queue::Job& job);

  // watchdog.cc
  void watch();
  void watch(Connection& connection);
  void watch(SitePool& site);
  void warn(std::string_view what);

  shard::Loop& loop;
  queue::Queue& queue;
  ClientPoolOptions options;
  smtp::ClientOptions lmtp_session;
  const ShardId shard;
  void* const self;
  void (*const return_job)(void* self, queue::Job* job);
  Prng random;

  tls::HandshakeBudget handshakes;        // what is left of this turn's
  std::vector<SecurityState> securities;  // the default, rules, routes
  TlsMemory tls_memory;
  Postponed postponed;
  std::vector<iovec> sealing;  // scratch of seal_next()

  std::unique_ptr<Credentials> own_credentials;
  Credentials* credentials = nullptr;
  IntrusiveList<Connection, &Connection::unauthenticated> unauthenticated;
  ring::Timer auth_timer;

  SlotPool<Connection, 64> connections;
  SlotPool<SitePool, 64> sites;
  std::vector<uint32_t> site_slots;  // by SiteId: slot in `sites`, or kNoSlot
  IntrusiveList<Connection, &Connection::dirty> dirty;
  IntrusiveList<SitePool, &SitePool::dirty> dirty_sites;
  IntrusiveList<Connection, &Connection::idle_link> idle;  // of all sites, the oldest first
  IntrusiveList<SitePool, &SitePool::waiting> waiting;     // for room
  Connection::Jobs done;                                   // judged, to be given back
  std::vector<smtp::ClientSession::OutputPart> parts;      // scratch of gather()
  std::vector<iovec> unstuffed;                            // scratch of begin_session()
  std::vector<std::unique_ptr<Copy>> spare_copies;
  std::vector<SocketAddress> own_addresses;
  std::vector<SocketAddress> sources;  // what address_rank() is told
  uint32_t waiting_sites = 0;          // on `waiting`
  uint32_t retiring = 0;               // connections that end to make room

  ring::Timer watch_timer;
  uint32_t watched_connections = 0, watched_sites = 0;  // where the next slice begins
  Monotonic warned_at{};
  uint64_t unsaid = 0;  // warnings swallowed since

  ClientCounters counters;
  bool stopping = false;
};

inline constexpr uint32_t kNoSlot = UINT32_MAX;
inline constexpr uint32_t kSiteBit = 0x8000'0000;        // in the slot of a site's timer token
inline constexpr uint32_t kWatchNumber = UINT32_MAX;     // the watchdog's timer token
inline constexpr uint32_t kAuthNumber = UINT32_MAX - 1;  // that of auth.cc

// No descriptors or memory: trouble of our own, not held against a host.
inline bool is_our_shortage(int code) {
  return code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM;
}
// Known at once from our own routing table (a machine without IPv6, say).
inline bool is_unroutable(int code) {
  return code == ENETUNREACH || code == EAFNOSUPPORT || code == EADDRNOTAVAIL;
}

inline ring::Token client_token(SlotHandle slot) {
  return ring::Token::make(shard::kind(shard::Owner::client), slot);
}

}  // namespace ringmta::client
