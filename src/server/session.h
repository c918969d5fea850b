// SPDX-License-Identifier: GPL-3.0-or-later
// One submission session as the server room keeps it: the protocol machine, its stream, and what is
// under way between the client, the spool and the socket.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "ringmta/base/intrusive_list.h"
#include "ringmta/ring/timer_wheel.h"
#include "ringmta/sasl/server_exchange.h"
#include "ringmta/server/options.h"
#include "ringmta/smtp/server_session.h"
#include "ringmta/spool/spool.h"
#include "ringmta/tls/session.h"
#include "signing.h"

namespace ringmta::server {

// What a session knows of AUTH.
struct Login {
  std::unique_ptr<sasl::ServerExchange> exchange;  // while one is going on
  std::optional<sasl::CredentialCache::Key> verifying;
  std::shared_ptr<const sasl::Users> users;  // keeps `user` alive
  const sasl::User* user = nullptr;          // who has logged in, counted in its usage
  std::string_view late_reply;               // to a failure, not before reply_at
  Monotonic reply_at = Monotonic::never();
  uint32_t failures = 0;
};

struct Session {
  Session(const smtp::ServerOptions& options, const smtp::ServerAccess& access)
      : machine(options, access) {}

  smtp::ServerSession machine;
  ListLink dirty;     // on the list of those whose output or state must be looked at in flush()
  ListLink waiting;   // on the list of those not greeted yet
  ListLink yielding;  // on the list of those whose handshake goes on in a later turn
  ring::Timer timer;
  ring::StreamId stream{};
  SlotHandle slot{};
  SocketAddress peer{};
  std::string client;          // "192.0.2.7"
  std::string client_literal;  // "IPv6:2001:db8::1", as RFC 5321 4.1.3 writes it

  Login login;
  // "tls-exporter" octets of the connection (RFC 9266); empty: none.
  std::string_view channel_binding() const {
    if (tls == nullptr || !tls->facts().has_exporter) return {};
    return as_text(tls->facts().exporter);
  }

  spool::Gathering* gathering = nullptr;    // content of the message in arrival, once it is big
  std::unique_ptr<SigningArrival> arrival;  // and what its signatures will need; null: unsigned
  uint64_t signing_round = 0;               // signing.h

  // Messages whose commit is under way, oldest first; their replies keep this order.
  struct Pending {
    enum class State : uint8_t { waiting, committed, failed, too_large, sign_failed, unsignable };
    MessageId id{};
    uint64_t octets = 0;
    uint32_t recipients = 0;
    std::string_view protocol;  // "ESMTPS"
    State state = State::waiting;
  };
  std::array<Pending, smtp::ServerSession::kPendingMax> pending{};
  uint32_t pending_first = 0;  // sequence numbers: pending[n % kPendingMax]
  uint32_t pending_next = 0;

  std::string output;   // taken from the machine, not yet sent (nor sealed)
  std::string sending;  // with the kernel
  bool send_in_flight = false;

  bool reading = false;  // in clear text: octets of it can arrive by now
  bool greeted = false;
  bool refused = false;        // by a limit on sessions: not counted at the client table
  bool blocked = false;        // the machine waits for message_done(); reading is paused
  bool backlogged = false;     // the client does not take its replies; reading is paused
  bool yielded = false;        // the handshake waits for another turn; reading is paused
  bool closing = false;        // the machine said close: the stream ends when the output is out
  bool input_ended = false;    // the client has finished sending
  bool stream_closed = false;  // close() was called on the stream
  bool timed_out = false;

  std::unique_ptr<tls::Session> tls;  // null: clear text, so far
  bool tls_first = false;             // TLS from the first octet
  uint32_t roots = 0;                 // Impl::client_roots when TLS began
  bool goodbye_said = false;          // close_notify

  Monotonic active_at{};  // a whole command or some content arrived, or a reply left
  uint64_t accepted_turn = 0;
  uint32_t transaction = 0;    // the machine's number of the one that transaction_at is about
  Monotonic transaction_at{};  // MAIL; never(): none open
  Monotonic send_at{};         // the send in flight was given to the kernel

  Monotonic handshake_at{};  // when it began

  bool paused() const { return blocked || backlogged || yielded; }
  bool handshaking() const { return tls != nullptr && !tls->handshaken(); }
};

}  // namespace ringmta::server
