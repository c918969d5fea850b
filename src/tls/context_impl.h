// SPDX-License-Identifier: GPL-3.0-or-later
// What contexts are made of.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "certificate.h"
#include "library.h"
#include "ringmta/base/hidden_memory.h"
#include "ringmta/tls/context.h"
#include "session_cache.h"
#include "ticket_sealer.h"

namespace ringmta::tls {

inline constexpr size_t kRecordSizeMax = 16'384;  // plaintext of one record (RFC 8446 5.1)

struct ContextDeleter {
  void operator()(WOLFSSL_CTX* context) const { wolfSSL_CTX_free(context); }
};
using LibraryContext = std::unique_ptr<WOLFSSL_CTX, ContextDeleter>;

// Plaintext of the record just opened, or of small pieces about to be sealed together.
struct HiddenDeleter {
  void operator()(std::byte* memory) const { hidden_free(memory); }
};
using RecordMemory = std::unique_ptr<std::byte[], HiddenDeleter>;
RecordMemory new_record();

struct ServerContext::Impl final : Hidden {
  struct Choice {
    Certificate certificate;
    LibraryContext context;  // a certificate each
  };
  std::vector<Choice> choices;
  TicketSealer tickets;
  bool ask_client_certificate = false;
  bool has_client_roots = false;
  bool channel_binding = false;
  HandshakeBudget* budget = nullptr;
  RecordMemory record = new_record();

  // For a client that asks for `server_name` (or not) and can verify ECDSA (or not).
  WOLFSSL_CTX* choose(std::string_view server_name, bool ecdsa) const;
};

struct ClientContext::Impl final : Hidden {
  explicit Impl(uint32_t sessions_max) : sessions(sessions_max) {}
  LibraryContext context;
  uint32_t roots = 0;
  bool channel_binding = false;
  HandshakeBudget* budget = nullptr;
  SessionCache sessions;
  RecordMemory record = new_record();
};

// Reading of configured material, for both sides. Errors name `text.name`.
Status use_certificate(WOLFSSL_CTX* context, const CertificateText& text);
Result<Certificate> first_certificate(const CertificateText& text);
// How many roots were read; those that cannot be are passed over.
uint32_t use_roots(WOLFSSL_CTX* context, std::string_view pem);

}  // namespace ringmta::tls
