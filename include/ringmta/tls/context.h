// SPDX-License-Identifier: GPL-3.0-or-later
// What the TLS sessions of one shard have in common: certificates and keys, roots, session tickets,
// the memory of hosts spoken to.
//
// A context may be made on any thread (reading certificates takes milliseconds) and is then used by
// one. A reload makes a new one; sessions hold the one they began with.
//
// Protocol: TLS 1.2 and 1.3 (RFC 9325), forward secrecy always, no renegotiation, no compression,
// no early data.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ringmta/base/hidden_memory.h"
#include "ringmta/base/result.h"
#include "ringmta/tls/tickets.h"

namespace ringmta::tls {

// How much handshaking a shard does in one turn of its loop. A handshake costs its side 0.1 to 1 ms
// in one or two steps (bench/bench_tls.cc); a thousand clients that come back at once must not stop
// the mail of the others. The shard fills it each turn, sessions take from it, and yield when it is
// empty.
struct HandshakeBudget {
  static constexpr uint32_t kStepsDefault = 4;
  uint32_t left = kStepsDefault;
};

struct CertificateText {
  std::string name;       // for messages: where it is from
  std::string chain_pem;  // the certificate, then its intermediates
  SecretText key_pem;     // RSA or ECDSA, not encrypted
};

// What an operator should know of a certificate that can be used all the same: that it has ended,
// ends within two weeks, or is weak. The certificate must be readable.
std::optional<std::string> concern_about(const CertificateText& certificate);

struct ServerOptions {
  // Chosen by the server name a client asks for, and ECDSA before RSA where the client knows it.
  // The first ones serve clients that ask for no name or an unknown one.
  std::vector<CertificateText> certificates;
  // Ask clients for a certificate (they need not have one). Such sessions get no tickets: a resumed
  // session shows no certificate, and permission must not rest on one that was shown before.
  bool ask_client_certificate = false;
  std::string client_roots_pem;       // those that verify clients; empty: only fingerprints count
  bool channel_binding = true;        // Facts::exporter, for SCRAM-SHA-256-PLUS
  HandshakeBudget* budget = nullptr;  // outlives the context; null: no limit
};

struct ClientOptions {
  std::string roots_pem;         // for Verification::full; empty: nothing can be verified
  CertificateText certificate;   // shown to servers that ask; empty: none
  uint32_t sessions_max = 4096;  // hosts whose session is remembered
  bool channel_binding = false;  // Facts::exporter, for SCRAM-SHA-256-PLUS
  HandshakeBudget* budget = nullptr;
};

enum class Verification : uint8_t {
  none,  // encrypted, to whoever answers: opportunistic TLS (RFC 7435)
  full,  // chain to a root, dates, strength, and name (RFC 9525)
};

class ServerContext final {
 public:
  static Result<std::shared_ptr<ServerContext>> create(const ServerOptions& options);
  ~ServerContext();
  // Without keys, or with an empty set, clients get no tickets.
  void set_ticket_keys(const TicketKeys& keys);

  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  explicit ServerContext(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

class ClientContext final {
 public:
  static Result<std::shared_ptr<ClientContext>> create(const ClientOptions& options);
  ~ClientContext();
  uint32_t roots() const;  // how many were read

  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  explicit ClientContext(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// "wolfSSL 5.7.2", and what an operator should know of it (empty: nothing).
std::string library_name();
std::string library_warning();

}  // namespace ringmta::tls
