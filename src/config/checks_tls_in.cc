// SPDX-License-Identifier: GPL-3.0-or-later
// Certificates and keys of [server.tls]: read here, so that `ringmta check` finds what is wrong
// with them, a start does not come to half, and a reload has what the files hold now.
//
// What would leave clients without TLS is an error; what they may still live with (a certificate
// that has ended, a key that others can read) is a warning, since a relay that does not start takes
// no mail at all.
#include <fmt/format.h>

#include "checks.h"
#include "files.h"
#include "ringmta/server/server.h"

namespace ringmta::config {
namespace {

constexpr size_t kFileMax = 1'048'576;  // octets of a PEM file; more is something else

// The text of a file named by key `path` of element `which`.
std::string text_of(const std::string& file, const char* path, size_t which, Problems& problems) {
  auto content = read_file(file, kFileMax);
  if (content) return std::move(*content);
  problems.error(problems.line_of(path, which), path, content.error().message);
  return {};
}

void check_certificate(server::ServerTls& tls, size_t which, Problems& problems) {
  constexpr const char* kCertificate = "server.tls.certificate.certificate";
  constexpr const char* kKey = "server.tls.certificate.key";
  const server::CertificateFiles& files = tls.certificates[which];
  if (files.certificate.empty() || files.key.empty()) return;  // told already
  tls::CertificateText text;
  text.name = files.certificate;
  text.chain_pem = text_of(files.certificate, kCertificate, which, problems);
  if (auto key = read_secret_file(files.key, kFileMax)) {
    text.key_pem = std::move(*key);
  } else {
    problems.error(problems.line_of(kKey, which), kKey, key.error().message);
  }
  if (text.chain_pem.empty() || text.key_pem.empty()) return;
  const uint32_t line = problems.line_of(kCertificate, which);
  if (is_open_to_all(files.key)) {
    problems.warning(problems.line_of(kKey, which), kKey,
                     fmt::format("every user of this machine can read {}: chmod o-rwx {}",
                                 files.key, files.key));
  }
  tls::ServerOptions alone;
  alone.certificates = {text};
  const auto fine = tls::ServerContext::create(alone);
  if (!fine) {
    problems.error(line, kCertificate, fine.error().message);
    return;
  }
  if (const auto concern = tls::concern_about(text)) {
    problems.warning(line, kCertificate, fmt::format("{}: {}", files.certificate, *concern));
  }
  tls.certificate_texts.push_back(std::move(text));
}

}  // namespace

void check_tls_in(Settings& settings, Problems& problems) {
  server::ServerTls& tls = settings.server.tls;
  const auto needs_certificate = [&](const char* path) {
    problems.error(problems.line_of(path), path,
                   "there is no certificate: add a [[server.tls.certificate]]");
  };
  if (!tls.offered()) {
    if (!tls.listeners.empty()) needs_certificate("server.listen_tls");
    if (tls.required) needs_certificate("server.tls.required");
    if (!tls.client_roots.empty()) needs_certificate("server.tls.client_roots");
    if (!tls.client_fingerprints.empty()) needs_certificate("server.tls.client_fingerprints");
    return;
  }
  const size_t before = problems.errors();
  for (size_t i = 0; i < tls.certificates.size(); ++i) check_certificate(tls, i, problems);
  if (!tls.client_roots.empty()) {
    tls.client_roots_pem = text_of(tls.client_roots, "server.tls.client_roots", 0, problems);
  }
  if (problems.errors() != before) return;
  if (const auto made = server::make_tls_context(tls, nullptr); !made) {
    const char* path = "server.tls.client_roots";
    problems.error(problems.line_of(path), path,
                   fmt::format("{}: {}", tls.client_roots, made.error().message));
  }
}

}  // namespace ringmta::config
