// SPDX-License-Identifier: GPL-3.0-or-later
// TLS and authentication at next hops, beyond single keys: what follows from other settings, what
// does not go together, and the files that certificates and roots come from.
//
// Files are read when the configuration is, so a mistake shows then and not when mail waits.
#include <fmt/format.h>

#include <set>

#include "checks.h"
#include "files.h"
#include "ringmta/dns/name.h"
#include "ringmta/sasl/mechanism.h"
#include "ringmta/tls/context.h"

namespace ringmta::config {
namespace {

using client::AuthOptions;
using client::TlsOptions;
using client::TlsPolicy;

constexpr const char* kSystemRoots[] = {"/etc/ssl/certs/ca-certificates.crt",
                                        "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"};

constexpr size_t kKeyFileMax = 1'048'576;  // octets of a PEM file; more is something else

// Equal for what is equal: it is part of a site's name.
std::string label_of(const TlsOptions& tls) {
  std::string label = fmt::format("tls {}", to_text(tls.policy));
  if (!tls.name.empty()) label += ", name " + tls.name;
  if (!tls.roots_file.empty()) label += ", roots " + tls.roots_file;
  if (!tls.certificate_file.empty()) label += ", certificate " + tls.certificate_file;
  return label;
}

class Files final {
 public:
  explicit Files(Problems& problems) : problems_(problems) {}

  void read_tls(TlsOptions& tls, const char* section, size_t element) {
    section_ = section;
    element_ = element;
    if (tls.policy == TlsPolicy::verified) read_roots(tls);
    if (tls.certificate_file.empty() || tls.key_file.empty()) return;
    tls.certificate.name = tls.certificate_file;
    into(tls.certificate.chain_pem, tls.certificate_file, "certificate");
    if (auto key = read_secret_file(tls.key_file, kKeyFileMax)) {
      tls.certificate.key_pem = std::move(*key);
    } else {
      error("key", key.error().message);
    }
    warn_if_open(tls.key_file, "key");
    if (tls.certificate.chain_pem.empty() || tls.certificate.key_pem.empty()) return;
    tls::ClientOptions how;
    how.certificate = tls.certificate;
    if (auto made = tls::ClientContext::create(how); !made) {
      error("certificate", made.error().message);
    }
  }

  // The secrets themselves are read when they are needed: they change.
  void look_at_secrets(const AuthOptions& auth, size_t element) {
    section_ = "route.auth";
    element_ = element;
    if (!auth.password_file.empty()) warn_if_open(auth.password_file, "password_file");
    if (!auth.token_file.empty()) warn_if_open(auth.token_file, "token_file");
  }

 private:
  void read_roots(TlsOptions& tls) {
    if (!tls.roots_file.empty()) {
      into(tls.roots_pem, tls.roots_file, "roots");
      if (!tls.roots_pem.empty()) check_roots(tls.roots_pem, tls.roots_file);
      return;
    }
    for (const char* path : kSystemRoots) {
      if (auto text = read_file(path)) {
        tls.roots_pem = std::move(*text);
        return;
      }
    }
    error("roots",
          "the system has no file of root certificates (install ca-certificates): write "
          "roots = \"/path/of/roots.pem\"");
  }

  void check_roots(const std::string& pem, const std::string& path) {
    tls::ClientOptions how;
    how.roots_pem = pem;
    if (auto made = tls::ClientContext::create(how); !made) {
      error("roots", path + ": " + made.error().message);
    }
  }

  void into(std::string& text, const std::string& path, const char* key) {
    auto found = read_file(path);
    if (found) {
      text = std::move(*found);
    } else {
      error(key, found.error().message);
    }
  }

  void warn_if_open(const std::string& path, const char* key) {
    if (!is_open_to_all(path)) return;
    const std::string full = fmt::format("{}.{}", section_, key);
    problems_.warning(
        problems_.line_of(full, element_), full,
        fmt::format("everybody on this machine can read {}: chmod o= {}", path, path));
  }

  void error(const char* key, std::string what) {
    const std::string full = fmt::format("{}.{}", section_, key);
    const std::string policy = fmt::format("{}.policy", section_);
    uint32_t line = problems_.line_of(full, element_);
    if (line == 0) line = problems_.line_of(policy, element_);
    problems_.error(line, full, std::move(what));
  }

  Problems& problems_;
  std::string section_;
  size_t element_ = 0;
};

void check_pair(const TlsOptions& tls, const char* section, size_t element, Problems& problems) {
  if (tls.certificate_file.empty() == tls.key_file.empty()) return;
  const std::string given =
      fmt::format("{}.{}", section, tls.key_file.empty() ? "certificate" : "key");
  problems.error(problems.line_of(given, element), given,
                 fmt::format("needs its {} too", tls.key_file.empty() ? "key" : "certificate"));
}

void check_patterns(const std::vector<std::string>& patterns, std::set<std::string>& before,
                    const char* key, size_t rule, Problems& problems) {
  for (const std::string& pattern : patterns) {
    if (before.insert(pattern).second) continue;
    problems.error(problems.line_of(key, rule), key,
                   fmt::format("\"{}\" has a rule already: take it out of one of them", pattern));
  }
}

// Both at once could be meant as "either" or as "these domains, at these hosts", and the wrong
// guess would be mail in clear text.
void check_whom(const client::SecurityRule& rule, size_t element, Problems& problems) {
  constexpr const char* kDomains = "client.tls.rule.domains";
  constexpr const char* kHosts = "client.tls.rule.hosts";
  if (problems.refused(kDomains, element) || problems.refused(kHosts, element)) return;
  if (!rule.domains.empty() && !rule.hosts.empty()) {
    problems.error(problems.line_of(kHosts, element), kHosts,
                   "stands beside domains: make two rules of it, one for the domains and one for "
                   "the MX hosts");
  } else if (rule.domains.empty() && rule.hosts.empty()) {
    uint32_t line = 0;
    for (const char* key : {"domains", "hosts", "policy", "roots", "verify_name", "certificate"}) {
      if (line == 0) line = problems.line_of(fmt::format("client.tls.rule.{}", key), element);
    }
    problems.error(line, "client.tls.rule",
                   "is for nobody: write domains = [...], or hosts = [...] for MX hosts");
  }
}

void check_auth(const AuthOptions& auth, size_t route, Problems& problems) {
  const size_t sources = (auth.password_file.empty() ? 0U : 1U) +
                         (auth.token_file.empty() ? 0U : 1U) +
                         (auth.token_command.empty() ? 0U : 1U);
  const uint32_t line = problems.line_of("route.auth.user", route);
  if (sources != 1) {
    problems.error(line, "route.auth",
                   "needs one of password_file, token_file and token_command, and only one");
    return;
  }
  for (const std::string& name : auth.mechanisms) {
    const auto mechanism = sasl::mechanism_named(name);
    if (!mechanism || sasl::takes_token(*mechanism) == auth.has_token()) continue;
    problems.error(
        problems.line_of("route.auth.mechanisms", route), "route.auth.mechanisms",
        fmt::format("{} needs a {}", name, sasl::takes_token(*mechanism) ? "token" : "password"));
  }
}

}  // namespace

void fit_tls_out(Settings& settings) {
  client::ClientPoolOptions& client = settings.client;
  client.routes.resize(settings.queue.routes.size(), client.mx);
  for (client::Security& route : client.routes) {
    if (!route.own_tls) route.tls = client.mx.tls;
  }
  settings.queue.connection_rules.clear();
  for (client::SecurityRule& rule : client.rules) {
    for (std::string& domain : rule.domains) domain = dns::domain_key(domain);
    for (std::string& host : rule.hosts) host = lower(host);
    settings.queue.connection_rules.push_back(
        {rule.domains, label_of(rule.security.tls), rule.hosts});
  }
}

void check_tls_rules(const Settings& settings, Problems& problems) {
  std::set<std::string> domains, hosts;
  for (size_t i = 0; i < settings.client.rules.size(); ++i) {
    const client::SecurityRule& rule = settings.client.rules[i];
    check_patterns(rule.domains, domains, "client.tls.rule.domains", i, problems);
    check_patterns(rule.hosts, hosts, "client.tls.rule.hosts", i, problems);
    check_whom(rule, i, problems);
  }
}

void check_tls_out(const Settings& settings, Problems& problems) {
  const client::ClientPoolOptions& client = settings.client;
  check_pair(client.mx.tls, "client.tls", 0, problems);
  for (size_t i = 0; i < client.rules.size(); ++i) {
    check_pair(client.rules[i].security.tls, "client.tls.rule", i, problems);
  }
  for (size_t i = 0; i < client.routes.size(); ++i) {
    if (client.routes[i].own_tls) check_pair(client.routes[i].tls, "route.tls", i, problems);
    if (client.routes[i].auth) check_auth(*client.routes[i].auth, i, problems);
  }
}

void read_tls_out_files(Settings& settings, Problems& problems) {
  Files files(problems);
  client::ClientPoolOptions& client = settings.client;
  files.read_tls(client.mx.tls, "client.tls", 0);
  for (size_t i = 0; i < client.rules.size(); ++i) {
    files.read_tls(client.rules[i].security.tls, "client.tls.rule", i);
  }
  for (size_t i = 0; i < client.routes.size(); ++i) {
    client::Security& route = client.routes[i];
    if (route.own_tls) {
      files.read_tls(route.tls, "route.tls", i);
    } else {
      route.tls = client.mx.tls;
    }
    if (route.auth) files.look_at_secrets(*route.auth, i);
  }
}

}  // namespace ringmta::config
