// SPDX-License-Identifier: GPL-3.0-or-later
// What a Session is made of.
#pragma once

#include <memory>
#include <string>

#include "context_impl.h"
#include "ringmta/tls/session.h"
#include "transport.h"

namespace ringmta::tls {

struct LibrarySessionDeleter {
  void operator()(WOLFSSL* session) const { wolfSSL_free(session); }
};

struct Session::Impl final : Hidden {
  enum class State : uint8_t {
    hello,  // server: the ClientHello is coming in, there is no library session yet
    handshake,
    open,
    peer_done,  // close_notify came
    failed,
  };

  State state = State::handshake;
  bool close_sent = false;
  bool has_new_ticket = false;
  bool offered_session = false;  // client: a remembered session was offered
  bool peer_unverified = false;  // server: the client's certificate did not verify
  Verification verification = Verification::none;
  std::shared_ptr<ServerContext> server;
  std::shared_ptr<ClientContext> client;
  std::unique_ptr<WOLFSSL, LibrarySessionDeleter> library;
  Transport transport;
  uint64_t plaintext_read = 0;  // octets
  uint64_t taken_for_it = 0;    // octets from the transport since the handshake
  uint64_t answered = 0;        // records that reading put out
  using Plaintext = std::basic_string<char, std::char_traits<char>, HiddenAllocator<char>>;
  Plaintext kept;         // given back by unread()
  Plaintext handed;       // the same, handed out again
  std::string name;       // client: of the peer; server: what the client asked for
  std::string cache_key;  // client; empty: this session is not remembered
  std::string peer_fingerprint;
  std::string verify_error;  // why the peer's certificate was refused
  std::string error;
  Facts facts;

  HandshakeBudget* budget() const;
  std::byte* record() const;
  void begin_server(WOLFSSL_CTX* context);
  void begin_client(const Peer& peer);
  void attach(WOLFSSL_CTX* context);
  void take_hello();
  Action handshake();
  Action read(Bytes& plaintext);
  bool demands_too_much() const;
  void note_facts();
  void remember();
  // The library's question whether a certificate is acceptable (wolfSSL's VerifyCallback).
  static int verify(int fine, WOLFSSL_X509_STORE_CTX* store);
  void judge(Bytes der, int code);
  Action fail_with(std::string why);
  Action fail_library(std::string_view doing, int code);
};

}  // namespace ringmta::tls
