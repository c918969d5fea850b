// SPDX-License-Identifier: GPL-3.0-or-later
// One TLS connection as a state machine without I/O: what the peer sent goes in, what to send comes
// out, and plaintext likewise. It knows no socket and no clock.
//
// The insight: the plaintext of a record lives in memory of the context, not of the session. step()
// hands out one record at a time, the owner uses it up before the next call, and an idle session
// holds no buffer. What an owner cannot use up it gives back by unread().
//
// A handshake goes in steps, each the work between two flights; a session whose context's budget is
// used up answers `yielded` and takes nothing, and goes on when it is called again.
//
// Failure is final: `failed`, error() says why in a sentence for an operator, and the output holds
// the alert for the peer. Secrets never reach an error, a log or Facts.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "ringmta/base/bytes.h"
#include "ringmta/tls/context.h"

namespace ringmta::tls {

// What became known by the handshake. Views live as long as the session.
struct Facts {
  std::string_view version;  // "TLSv1.3"; this and the cipher are names that live for ever
  std::string_view cipher;   // "TLS_AES_128_GCM_SHA256"
  bool resumed = false;
  // The peer's certificate chain led to a root (client: and its name was right).
  bool verified = false;
  std::string_view server_name;  // server: what the client asked for, in lower case; else empty
  // Server that asks: SHA-256 of the client's certificate, in hexadecimal; empty: it showed none.
  std::string_view peer_fingerprint;
  bool has_exporter = false;             // with channel_binding, TLS 1.3
  std::array<std::byte, 32> exporter{};  // "tls-exporter" (RFC 9266)
};

// Whom a client session speaks to.
struct Peer {
  // For the server name extension and the name check: a host name in A-labels, or an address, which
  // is not sent but checked.
  std::string_view name;
  Verification verification = Verification::none;
  // Sessions are resumed among peers of one name and scope (e.g. the site). Empty name: never.
  std::string_view scope;
};

class Session final {
 public:
  enum class Action : uint8_t {
    more,        // all input is used up
    handshaken,  // once: facts() are there
    plaintext,  // `plaintext` arrived; it is valid until the next call of a session of this context
    yielded,    // the budget is empty: come again with the same input in a later turn
    closed,     // the peer said that it sends no more (close_notify)
    failed,     // error() says why; send the output and close
  };
  struct Step {
    size_t consumed = 0;
    Action action = Action::more;
    Bytes plaintext{};
  };

  explicit Session(std::shared_ptr<ServerContext> context);
  Session(std::shared_ptr<ClientContext> context, const Peer& peer);
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  ~Session();

  // Call again with the rest until `more`. A client begins with empty input. After `closed` only
  // write() and close() have an effect, after `failed` nothing has.
  Step step(Bytes input);
  // The tail of the last plaintext: the next step() hands it out again, before anything else.
  void unread(Bytes rest);

  // Seals plaintext into the output; small pieces share a record. False: the session has failed.
  bool write(std::span<const iovec> plaintext);
  bool write(Bytes plaintext);
  // Says that nothing more will be sent (close_notify). Once; later calls do nothing.
  void close();

  bool has_output() const;
  void take_output(std::string& into);  // appends what is to be sent

  // Client: it rests on an earlier session of the peer, or has offered that and had no answer yet.
  bool resumes() const;
  // Client: the next session with this peer begins with a full handshake. For owners who see it
  // fail where the library sees no fault (a peer that closes on what it has resumed).
  void forget();

  bool handshaken() const;
  const Facts& facts() const;
  const std::string& error() const;
  // The transport ended: was it the end the peer meant? False: what came may be cut short (RFC 8446
  // 6.1).
  bool ended_cleanly() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ringmta::tls
