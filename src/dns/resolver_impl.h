// SPDX-License-Identifier: GPL-3.0-or-later
// What a resolver consists of. A question (Query) is waiting, under way over UDP (up to four
// attempts, any of which may be answered), under way over TCP, or finished and about to be handed
// out; it is on exactly one list accordingly.
#pragma once

#include <array>
#include <vector>

#include "pace.h"
#include "ringmta/base/slot_pool.h"
#include "ringmta/dns/message.h"
#include "ringmta/dns/resolver.h"
#include "servers.h"

namespace ringmta::dns {

inline constexpr size_t kAttemptsMax = 4;  // per question and alias
inline constexpr size_t kSocketsPerServer = 16;
inline constexpr uint32_t kUsesPerSocket = 64;              // questions asked from one port ...
inline constexpr Milliseconds kSocketAgeMax = seconds(10);  // ... and for how long
inline constexpr uint32_t kStrayMax = 16;  // datagrams on one socket that answer nothing

struct Attempt {
  SlotHandle socket{};
  uint64_t capitals = 0;
  Monotonic sent{};
  uint16_t id = 0;
  uint8_t server = Servers::kNone;
  bool edns = true;
  bool open = false;  // may still be answered
};

struct Query {
  Query(const Name& asked, RecordType wanted) : key(asked), current(asked), type(wanted) {}

  enum class State : uint8_t { waiting, udp, tcp, finished };

  Name key;
  Name current;       // where the aliases led so far
  ListLink link;      // on waiting, in_flight or finished
  ListLink tcp_link;  // on tcp_waiting
  IntrusiveList<Lookup, &Lookup::link> waiters;
  ring::Timer timer;
  SlotHandle slot{};
  uint64_t hash = 0;
  uint32_t next_in_bucket = UINT32_MAX;
  State state = State::waiting;
  RecordType type;
  Failure failure = Failure::timed_out;  // what went wrong last
  uint8_t attempts_used = 0;
  uint8_t aliases = 0;
  uint32_t ttl_s = UINT32_MAX;  // least along the aliases
  uint32_t tried = 0;           // servers, as bits
  Monotonic started{};
  Monotonic deadline{};
  std::array<Attempt, kAttemptsMax> attempts{};
  SlotHandle connection{};
  bool has_connection = false;
  bool is_refreshment = false;  // begun by a hit of what is still good, not by who waits
  uint8_t tcp_server = Servers::kNone;

  // finished
  RecordSet result{};
  std::vector<std::byte> packed;
};

struct UdpSocket {
  struct Outstanding {
    SlotHandle query{};
    uint16_t id = 0;
    uint8_t attempt = 0;
  };
  ring::DatagramId id{};
  SlotHandle slot{};
  Monotonic opened{};
  uint32_t uses = 0;
  uint32_t stray = 0;
  uint8_t server = Servers::kNone;
  bool retired = false;  // asked no more; closed when nothing is outstanding
  std::vector<Outstanding> outstanding;
};

struct TcpConnection {
  ring::StreamId stream{};
  SlotHandle slot{};
  SlotHandle query{};
  ring::Timer idle;
  uint8_t server = Servers::kNone;
  uint16_t id = 0;
  bool busy = false;  // `query` waits for its answer
  bool connected = false;
  bool sending = false;
  bool closing = false;
  bool edns = true;
  bool used_before =
      false;  // it has answered: a failure now may only mean that it was kept too long
  std::vector<std::byte> out;
  std::vector<std::byte> in;
};

struct Resolver::Impl {
  Impl(shard::Loop& on, const ResolverOptions& chosen);
  ~Impl();

  // Questions (resolver.cc).
  Query* find_query(const Name& name, RecordType type, uint64_t hash);
  Query* new_query(const Name& name, RecordType type, uint64_t hash);
  void forget(Query& query);  // out of the table
  void start(Query& query);
  void begin(Query& query);
  bool admits();
  bool make_way();
  bool ask_next(Query& query, bool may_repeat);
  void attempt_failed(Query& query, Failure failure);
  void on_timer(Query& query);
  bool run();

  // Answers (resolver_answers.cc).
  void on_answer(Query& query, uint8_t server, bool edns);  // `answer` is it
  void on_error_answer(Query& query, uint8_t server, bool edns);
  void follow_alias(Query& query);
  void finish(Query& query, Fate fate, Failure failure);
  void hand_out(Query& query);

  // UDP (resolver_udp.cc).
  bool ask_over_udp(Query& query, uint8_t server);
  UdpSocket* socket_for(uint8_t server);
  UdpSocket* open_socket(uint8_t server);
  void retire(UdpSocket& socket);
  void close_if_done(UdpSocket& socket);
  void close_attempt(Query& query, uint8_t attempt);
  void close_attempts(Query& query);
  bool has_open_attempts(const Query& query) const;
  void on_datagram(UdpSocket& socket, const ring::Event& event);
  void mind_pace(const Query& query, uint8_t answered, uint8_t server);
  void on_socket_error(UdpSocket& socket);
  void on_stray(UdpSocket& socket);

  // TCP (resolver_tcp.cc).
  void ask_over_tcp(Query& query, uint8_t server);
  TcpConnection* free_connection(uint8_t server);
  TcpConnection* open_connection(uint8_t server);
  void assign(TcpConnection& connection, Query& query);
  void send_question(TcpConnection& connection);
  void leave_connection(Query& query);  // the question goes on without it
  void on_stream(TcpConnection& connection, const ring::Event& event);
  void on_octets(TcpConnection& connection, Bytes data);
  void on_tcp_message(TcpConnection& connection, Bytes message);
  void offer(TcpConnection& connection);
  void lose(TcpConnection& connection);
  void close(TcpConnection& connection, ring::CloseMode mode);
  void serve_tcp_waiting();

  Question question_of(const Query& query, uint16_t id, uint64_t capitals, bool edns) const {
    return {id, query.type, query.current, capitals, edns};
  }

  shard::Loop& loop;
  ring::Io& io;
  const ResolverOptions options;
  ResolverCounters counters;
  Cache cache;
  Servers servers;
  Answer answer;  // read last; its memory is used again and again
  SlotPool<Query, 64> queries;
  std::vector<uint32_t> buckets;  // heads: indices of queries
  IntrusiveList<Query, &Query::link> waiting;
  IntrusiveList<Query, &Query::link> in_flight;  // the oldest first
  IntrusiveList<Query, &Query::link> finished;
  Pace pace;
  ring::Timer admission;  // more may be asked though nothing happens
  ring::Timer alarm;      // somebody wants a turn
  IntrusiveList<Query, &Query::tcp_link> tcp_waiting;
  SlotPool<UdpSocket, 64> sockets;
  struct Place {
    SlotHandle handle{UINT32_MAX, 0};  // a stale one: nothing is open there
  };
  std::vector<std::array<Place, kSocketsPerServer>> pool;  // by server
  SlotPool<TcpConnection, 16> connections;
};

// The parts of Owner::dns tokens: the top two bits of the index. `turn`: run() sees to it.
enum class Part : uint8_t { query, socket, connection, turn };
ring::Token dns_token(Part part, SlotHandle slot);
Part part_of(ring::Token token);
SlotHandle slot_of(ring::Token token);

}  // namespace ringmta::dns
