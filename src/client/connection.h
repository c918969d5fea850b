// SPDX-License-Identifier: GPL-3.0-or-later
// One connection to a next hop as the pool keeps it: the protocol machine, its stream, the jobs it
// works on and the octets on their way out. Plain state; what happens to it is in the .cc files.
#pragma once

#include <sys/uio.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hosts.h"
#include "ringmta/base/hidden_memory.h"
#include "ringmta/base/intrusive_list.h"
#include "ringmta/queue/job.h"
#include "ringmta/ring/timer_wheel.h"
#include "ringmta/sasl/client_exchange.h"
#include "ringmta/smtp/client_session.h"
#include "ringmta/tls/session.h"

namespace ringmta::client {

struct SitePool;

// What a connection has while it speaks TLS.
struct SecureStream {
  explicit SecureStream(tls::Session of) : session(std::move(of)) {}
  tls::Session session;
  std::string sealed;  // records the Io is sending
};

// Small parts of an output put together for one send.
struct Copy {
  static constexpr size_t kOctets = 16'384;
  std::byte octets[kOctets];
};

// What a connection has until the peer knows who we are.
struct Authentication {
  enum class Wants : uint8_t { nothing, secret, keys };
  std::optional<sasl::ClientExchange> exchange;
  uint32_t tried = 0;           // mechanisms, a bit each
  uint64_t secret_number = 0;   // of the one in use; see Credentials
  uint64_t refused_number = 0;  // of the one that was refused here
  uint32_t refusals = 0;        // of a secret
  std::string refusal;          // the peer's last
  SecretText said;              // lines that we sent, which a refusal may quote
  std::string problem;          // why we gave up ourselves
  std::string held_first;       // the initial response, where AUTH's line had no room for it
  Wants wants = Wants::nothing;
};

struct Connection {
  enum class State : uint8_t {
    connecting,  // the stream is not there yet
    opening,     // greeting and EHLO
    ready,       // may take work
    leaving,     // finishes what it has, then QUIT; takes no more
    closing      // given back to the Io; its `closed` is awaited
  };
  using Jobs = IntrusiveList<queue::Job, &queue::Job::link>;

  Connection(const smtp::ClientOptions& options, const smtp::ClientOpening& opening)
      : session(options, opening) {}

  bool is_up() const { return state == State::ready || state == State::leaving; }  // past EHLO

  smtp::ClientSession session;
  ListLink in_site;          // on its site's idle or able list
  ListLink dirty;            // on the list of those run() looks at
  ListLink postponed;        // on the list of those whose handshake goes on in the next turn
  ListLink unauthenticated;  // on the list of those who wait for a secret
  ListLink idle_link;        // on the shard's list of idle ones, the oldest first
  ring::Timer timer;         // armed no later than `deadline`; moved on only when it fires
  Monotonic deadline = Monotonic::never();
  SlotHandle slot{};
  ring::StreamId stream{};
  SitePool* site = nullptr;
  std::shared_ptr<Host> host;
  Jobs jobs;  // begun here, oldest first

  // The first of them, if it expired while the peer may have had it; what it is given to say so.
  const queue::Job* expired_open = nullptr;
  Monotonic expired_until{};

  std::unique_ptr<Authentication> auth;
  std::unique_ptr<SecureStream> secure;  // null: clear text

  // The output in flight: what take_output() gave, in memory that is the session's or a job's.
  // Parts before `output_next` were handed to the Io.
  std::vector<iovec> output;
  size_t output_next = 0;
  std::unique_ptr<Copy> copy;  // or all of it, copied together

  Monotonic opened_at{};
  Monotonic since{};        // the last progress in what is waited for
  uint64_t progress = 0;    // changes whenever the peer answered or took something
  uint64_t sends_done = 0;  // part of it
  uint32_t begun = 0;       // transactions
  uint32_t finished = 0;    // that ended with the peer's replies
  State state = State::connecting;
  uint8_t waits_for = 0;     // what `since` is about
  bool sending = false;      // a send is with the Io
  bool output_open = false;  // take_output() was called, output_sent() not yet
  bool send_failed = false;
  bool reported = false;       // by the watchdog, since the last progress
  bool boarding = false;       // see SitePool
  bool retiring = false;       // makes room for another site
  bool paused = false;         // the Io holds back what it receives
  bool alerted = false;        // the peer is being told why TLS failed
  bool may_fall_back = false;  // to clear text, when TLS fails
  bool passes_on = false;      // a message begun here goes to the site's next host at once
};

}  // namespace ringmta::client
