// SPDX-License-Identifier: GPL-3.0-or-later
// How sessions begin: the library session, the peer's certificate, what is known when it is done,
// and the memory of client sessions.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <wolfssl/error-ssl.h>

#include "ringmta/base/assert.h"
#include "ringmta/base/wipe_stack.h"
#include "session_impl.h"

namespace ringmta::tls {
namespace {

constexpr char kExporterLabel[] = "EXPORTER-Channel-Binding";  // RFC 9266 2
constexpr short kVerifiedRsaBitsMin = 2048;
constexpr short kVerifiedEccBitsMin = 256;
constexpr unsigned short kVerifiedDhBitsMin = 2048;

bool is_address(const std::string& name) {
  char octets[16];
  return inet_pton(AF_INET, name.c_str(), octets) == 1 ||
         inet_pton(AF_INET6, name.c_str(), octets) == 1;
}

// What is asked of servers by begin_client() and judge(). The library's own limits would be for the
// key of this relay, too, and let nobody in where that is weak.
bool is_strong(const WOLFSSL_X509_STORE_CTX& store) {
  for (int i = 0; i < store.totalCerts; ++i) {
    const WOLFSSL_BUFFER_INFO& one = store.certs[i];
    const auto certificate =
        read_certificate({reinterpret_cast<const std::byte*>(one.buffer), one.length});
    if (!certificate || certificate->weak_key) return false;
    if (i == 0 && certificate->weak_signature) return false;
  }
  return true;
}

int new_ticket(WOLFSSL*, const unsigned char*, int, void* flag) {
  *static_cast<bool*>(flag) = true;
  return 0;
}

}  // namespace

void Session::Impl::attach(WOLFSSL_CTX* context) {
  library.reset(wolfSSL_new(context));
  if (!library) {
    fail_with("TLS: no memory for a session");
    return;
  }
  wolfSSL_SetIOReadCtx(library.get(), &transport);
  wolfSSL_SetIOWriteCtx(library.get(), &transport);
  wolfSSL_SetCertCbCtx(library.get(), this);
  state = State::handshake;
}

void Session::Impl::begin_server(WOLFSSL_CTX* context) {
  attach(context);
  if (state == State::failed) return;
  const ServerContext::Impl& mine = server->impl();
  // The callback admits certificates that do not verify, and notes it.
  wolfSSL_set_verify(library.get(),
                     mine.ask_client_certificate ? WOLFSSL_VERIFY_PEER : WOLFSSL_VERIFY_NONE,
                     mine.ask_client_certificate ? verify : nullptr);
  if (mine.channel_binding) wolfSSL_KeepArrays(library.get());
}

void Session::Impl::begin_client(const Peer& peer) {
  name = peer.name;
  if (name.ends_with('.')) name.pop_back();
  verification = peer.verification;
  ClientContext::Impl& mine = client->impl();
  attach(mine.context.get());
  if (state == State::failed) return;
  WOLFSSL* session = library.get();
  if (mine.channel_binding) wolfSSL_KeepArrays(session);
  if (verification == Verification::full) {
    if (mine.roots == 0) {
      fail_with("TLS: there are no root certificates to verify the peer with");
      return;
    }
    wolfSSL_set_verify(session, WOLFSSL_VERIFY_PEER, verify);
    wolfSSL_SetMinRsaKey_Sz(session, kVerifiedRsaBitsMin);
    wolfSSL_SetMinEccKey_Sz(session, kVerifiedEccBitsMin);
    wolfSSL_SetMinDhKey_Sz(session, kVerifiedDhBitsMin);
  } else {
    wolfSSL_set_verify(session, WOLFSSL_VERIFY_NONE, nullptr);
  }
  if (name.empty()) return;
  if (!is_address(name) &&
      wolfSSL_UseSNI(session, WOLFSSL_SNI_HOST_NAME, name.data(),
                     static_cast<unsigned short>(name.size())) != WOLFSSL_SUCCESS) {
    fail_with(fmt::format("TLS: '{}' cannot be sent as server name", name));
    return;
  }
  // What was not verified then must not count as verified now.
  cache_key = fmt::format("{}\n{}\n{}", verification == Verification::full ? "full" : "none", name,
                          peer.scope);
  wolfSSL_set_SessionTicket_cb(session, new_ticket, &has_new_ticket);
  if (WOLFSSL_SESSION* known = mine.sessions.find(cache_key)) {
    offered_session = wolfSSL_set_session(session, known) == WOLFSSL_SUCCESS;
  }
}

Session::Action Session::Impl::handshake() {
  HandshakeBudget* steps = budget();
  if (steps != nullptr && steps->left == 0) return Action::yielded;
  const size_t output_before = transport.output.size();
  const int code = server ? wolfSSL_accept(library.get()) : wolfSSL_connect(library.get());
  // A step is what made a flight, or ended it all; a call for the next few octets costs nothing.
  const bool worked = code == WOLFSSL_SUCCESS || transport.output.size() != output_before;
  if (steps != nullptr && worked) --steps->left;
  if (worked) wipe_stack();
  if (code == WOLFSSL_SUCCESS) {
    state = State::open;
    note_facts();
    if (has_new_ticket) remember();
    return Action::handshaken;
  }
  if (wolfSSL_get_error(library.get(), code) == WOLFSSL_ERROR_WANT_READ) return Action::more;
  return fail_library("handshake", code);
}

void Session::Impl::note_facts() {
  WOLFSSL* session = library.get();
  facts.version = wolfSSL_get_version(session);
  facts.cipher = wolfSSL_get_cipher(session);
  facts.resumed = wolfSSL_session_reused(session) != 0;
  if (client) {
    facts.verified = verification == Verification::full;
  } else {
    facts.server_name = name;
    facts.peer_fingerprint = peer_fingerprint;
    facts.verified =
        !peer_fingerprint.empty() && server->impl().has_client_roots && !peer_unverified;
  }
  if (!(client ? client->impl().channel_binding : server->impl().channel_binding)) return;
  if (facts.version == "TLSv1.3") {
    facts.has_exporter =
        wolfSSL_export_keying_material(
            session, reinterpret_cast<unsigned char*>(facts.exporter.data()), facts.exporter.size(),
            kExporterLabel, sizeof kExporterLabel - 1, nullptr, 0, 0) == WOLFSSL_SUCCESS;
  }
  wolfSSL_FreeArrays(session);
}

void Session::Impl::remember() {
  has_new_ticket = false;
  if (cache_key.empty() || state != State::open) return;
  if (WOLFSSL_SESSION* session = wolfSSL_get1_session(library.get())) {
    client->impl().sessions.put(cache_key, session);
  }
}

// Called for every fault in the chain, and for the peer's own certificate (depth 0) when there was
// none. The answer 1 accepts.
//
// A server accepts any certificate of a client and notes whether it verified, and is strong. But it
// never accepts a faulty issuer: the library would take that into its roots, and the next client
// could use it.
int Session::Impl::verify(int fine, WOLFSSL_X509_STORE_CTX* store) {
  auto& session = *static_cast<Impl*>(store->userCtx);
  if (store->error_depth != 0 || store->totalCerts < 1) {
    if (fine == 0 && session.verify_error.empty()) session.verify_error = words_for(store->error);
    return fine;
  }
  const Bytes der(reinterpret_cast<const std::byte*>(store->certs[0].buffer),
                  store->certs[0].length);
  if (session.server) {
    session.peer_fingerprint = fingerprint(der);
    if (fine == 0 || !is_strong(*store)) session.peer_unverified = true;
    return 1;
  }
  session.judge(der, fine != 0 ? 0 : store->error);
  return session.verify_error.empty() ? 1 : 0;
}

// The server's own certificate, which the library judged with `code` (0: good).
void Session::Impl::judge(Bytes der, int code) {
  const auto certificate = read_certificate(der);
  if (!certificate) {
    verify_error = certificate.error().message;
  } else if (code == ASN_NO_SIGNER_E && certificate->self_issued) {
    verify_error = words_for(ASN_SELF_SIGNED_E);
  } else if (code != 0) {
    verify_error = words_for(code);
  } else if (certificate->weak_signature) {
    verify_error = "its certificate is signed with a broken hash (MD5 or SHA-1)";
  } else if (!is_for(*certificate, name)) {
    verify_error = fmt::format("its certificate is not for the name '{}'", name);
  }
}

}  // namespace ringmta::tls
