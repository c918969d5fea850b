// SPDX-License-Identifier: GPL-3.0-or-later
// Every file that a configuration names for reading, in one list: what the relay's user must be
// able to read, and what its confinement must leave in reach.
#include <fmt/format.h>

#include "ringmta/config/settings.h"

namespace ringmta::config {

std::vector<NamedFile> files_read(const Settings& settings, const std::string& configuration) {
  std::vector<NamedFile> files;
  const auto add = [&files](const char* key, const std::string& path) {
    if (!path.empty()) files.push_back({key, path});
  };
  const auto add_tls = [&add](const client::TlsOptions& tls) {
    add("client.tls.roots", tls.roots_file);
    add("client.tls.certificate", tls.certificate_file);
    add("client.tls.key", tls.key_file);
  };
  const auto add_security = [&](const client::Security& security) {
    add_tls(security.tls);
    if (!security.auth) return;
    add("route.auth.password_file", security.auth->password_file);
    add("route.auth.token_file", security.auth->token_file);
  };
  add("", configuration);
  add("", "/etc/resolv.conf");
  for (const server::CertificateFiles& pair : settings.server.tls.certificates) {
    add("server.tls.certificate.certificate", pair.certificate);
    add("server.tls.certificate.key", pair.key);
  }
  add("server.tls.client_roots", settings.server.tls.client_roots);
  add("auth.users", settings.server.auth.users_file);
  for (const dkim::KeyOptions& key : settings.server.dkim.keys) {
    add("dkim.keys.key_file", key.key_file);
  }
  add_security(settings.client.mx);
  for (const client::Security& route : settings.client.routes) add_security(route);
  for (const auto& rule : settings.client.rules) add_security(rule.security);
  return files;
}

std::string unreadable_text(const NamedFile& file, const std::string& user, uint32_t group) {
  return fmt::format(
      "{}{}{} cannot be read by the relay's user, {}: {} would fail. 'chgrp {} {} && chmod g+r "
      "{}', and let the user pass through the directories above it",
      file.key, file.key.empty() ? "" : ": ", file.path, user,
      file.key.starts_with("route.auth") ? "logging in at the next hop" : "a reload", group,
      file.path, file.path);
}

}  // namespace ringmta::config
