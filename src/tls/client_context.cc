// SPDX-License-Identifier: GPL-3.0-or-later
// The client's side of a context: ciphers, roots, and the memory of hosts spoken to.
#include <fmt/format.h>

#include "context_impl.h"
#include "transport.h"

namespace ringmta::tls {
namespace {

// What servers of the world still need comes last: for most mail the alternative is clear text (RFC
// 7435). All have forward secrecy.
constexpr char kCiphers[] =
    "TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384:TLS13-CHACHA20-POLY1305-SHA256:"
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:"
    "DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES128-SHA256:ECDHE-RSA-AES256-SHA384:ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES256-SHA";
constexpr unsigned kSessionLifetime_s = 7200;  // of TLS 1.2 sessions; TLS 1.3 tickets tell theirs

}  // namespace

ClientContext::ClientContext(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ClientContext::~ClientContext() = default;

Result<std::shared_ptr<ClientContext>> ClientContext::create(const ClientOptions& options) {
  start_library();
  auto impl = std::make_unique<Impl>(options.sessions_max);
  impl->budget = options.budget;
  impl->channel_binding = options.channel_binding;
  impl->context.reset(wolfSSL_CTX_new(wolfSSLv23_client_method()));
  WOLFSSL_CTX* raw = impl->context.get();
  if (raw == nullptr) return fail("no memory for a TLS context");
  if (wolfSSL_CTX_SetMinVersion(raw, WOLFSSL_TLSV1_2) != WOLFSSL_SUCCESS ||
      wolfSSL_CTX_set_cipher_list(raw, kCiphers) != WOLFSSL_SUCCESS) {
    return fail("this build of wolfSSL lacks the ciphers of TLS 1.2 and 1.3");
  }
  if (!options.certificate.chain_pem.empty()) {
    if (auto status = use_certificate(raw, options.certificate); !status) {
      return std::unexpected(status.error());
    }
  }
  wolfSSL_CTX_set_session_cache_mode(raw, WOLFSSL_SESS_CACHE_OFF);
  wolfSSL_CTX_UseSessionTicket(raw);
  wolfSSL_CTX_set_timeout(raw, kSessionLifetime_s);
  use_transport(raw);
  impl->roots = use_roots(raw, options.roots_pem);
  if (!options.roots_pem.empty() && impl->roots == 0) {
    return fail("none of the root certificates could be read");
  }
  return std::shared_ptr<ClientContext>(new ClientContext(std::move(impl)));
}

uint32_t ClientContext::roots() const { return impl_->roots; }

}  // namespace ringmta::tls
