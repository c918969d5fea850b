// SPDX-License-Identifier: GPL-3.0-or-later
// A server's certificates, each in a library context of its own: which one is chosen is known
// before the library sees the first octet (client_hello.h).
#include <fmt/format.h>

#include <algorithm>

#include "context_impl.h"
#include "transport.h"

namespace ringmta::tls {
namespace {

// In the server's order: AES-128-GCM is the cheapest with AES-NI. All have forward secrecy and
// authenticate what they encrypt (RFC 9325 4.2).
constexpr char kCiphers[] =
    "TLS13-AES128-GCM-SHA256:TLS13-AES256-GCM-SHA384:TLS13-CHACHA20-POLY1305-SHA256:"
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr int kTicketLifetime_s = 7200;  // told to clients; keys rotate at their own pace

Result<LibraryContext> make_context(const ServerOptions& options, const CertificateText& text) {
  LibraryContext context(wolfSSL_CTX_new(wolfSSLv23_server_method()));
  if (!context) return fail("no memory for a TLS context");
  WOLFSSL_CTX* raw = context.get();
  if (wolfSSL_CTX_SetMinVersion(raw, WOLFSSL_TLSV1_2) != WOLFSSL_SUCCESS ||
      wolfSSL_CTX_set_cipher_list(raw, kCiphers) != WOLFSSL_SUCCESS) {
    return fail("this build of wolfSSL lacks the ciphers of TLS 1.2 and 1.3");
  }
  if (auto status = use_certificate(raw, text); !status) return std::unexpected(status.error());
  wolfSSL_CTX_set_session_cache_mode(raw, WOLFSSL_SESS_CACHE_OFF);
  wolfSSL_CTX_set_TicketEncCb(raw, nullptr);
  wolfSSL_CTX_set_TicketHint(raw, kTicketLifetime_s);
  use_transport(raw);
  if (options.ask_client_certificate) {
    const uint32_t roots = use_roots(raw, options.client_roots_pem);
    if (!options.client_roots_pem.empty() && roots == 0) {
      return fail("none of the roots for client certificates could be read");
    }
  }
  return context;
}

}  // namespace

ServerContext::ServerContext(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ServerContext::~ServerContext() = default;

Result<std::shared_ptr<ServerContext>> ServerContext::create(const ServerOptions& options) {
  start_library();
  if (options.certificates.empty()) return fail("TLS needs at least one certificate");
  auto impl = std::make_unique<Impl>();
  impl->ask_client_certificate = options.ask_client_certificate;
  impl->has_client_roots = !options.client_roots_pem.empty();
  impl->channel_binding = options.channel_binding;
  impl->budget = options.budget;
  for (const CertificateText& text : options.certificates) {
    auto certificate = first_certificate(text);
    if (!certificate) return std::unexpected(certificate.error());
    auto context = make_context(options, text);
    if (!context) return std::unexpected(context.error());
    impl->choices.push_back({std::move(*certificate), std::move(*context)});
  }
  return std::shared_ptr<ServerContext>(new ServerContext(std::move(impl)));
}

void ServerContext::set_ticket_keys(const TicketKeys& keys) {
  impl_->tickets.set_keys(keys);
  const bool tickets = !keys.empty() && !impl_->ask_client_certificate;
  for (const Impl::Choice& choice : impl_->choices) {
    wolfSSL_CTX_set_TicketEncCtx(choice.context.get(), &impl_->tickets);
    wolfSSL_CTX_set_TicketEncCb(choice.context.get(), tickets ? TicketSealer::callback : nullptr);
  }
}

WOLFSSL_CTX* ServerContext::Impl::choose(std::string_view server_name, bool ecdsa) const {
  const auto best = [&](auto&& fits) -> WOLFSSL_CTX* {
    WOLFSSL_CTX* fallback = nullptr;
    for (const Choice& choice : choices) {
      if (!fits(choice)) continue;
      if (choice.certificate.is_ecdsa == ecdsa) return choice.context.get();
      // RSA serves everybody; ECDSA only if there is nothing else.
      if (fallback == nullptr) fallback = choice.context.get();
    }
    return fallback;
  };
  if (!server_name.empty()) {
    WOLFSSL_CTX* named =
        best([&](const Choice& choice) { return is_for(choice.certificate, server_name); });
    if (named != nullptr) return named;
  }
  return best([](const Choice&) { return true; });
}

}  // namespace ringmta::tls
