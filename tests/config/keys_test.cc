// SPDX-License-Identifier: GPL-3.0-or-later
// Every key is turned: a file that sets it to something else than its default gives just that
// setting and changes no other; values beyond its limits and of a wrong type are refused at its
// line. The rows here are written apart from the table they test, so a key bound to the wrong
// setting is seen.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>

#include "../../src/config/key.h"
#include "../../src/config/values.h"
#include "machine.h"

namespace ringmta::config {
namespace {

using S = const Settings&;

struct Row {
  const char* path;
  const char* value;
  bool (*holds)(S);
  const char* changes_too = "";
};

const queue::Route& route(S s) { return s.queue.routes.back(); }
const dkim::KeyOptions& signing(S s) { return s.server.dkim.keys.back(); }
const client::TlsOptions& tls_of_route(S s) { return s.client.routes.back().tls; }
const client::TlsOptions& tls_of_rule(S s) { return s.client.rules.back().security.tls; }
const client::AuthOptions& auth(S s) { return *s.client.routes.back().auth; }
const queue::RetryRule& rule(S s) { return s.queue.retry_rules.back(); }
const queue::SiteRetryRule& site_rule(S s) { return s.queue.site_retry_rules.back(); }

template <typename T>
std::vector<std::string> texts(const std::vector<T>& elements) {
  std::vector<std::string> all;
  for (const T& element : elements) all.push_back(element.text());
  return all;
}

using Texts = std::vector<std::string>;

// clang-format off
const Row kRows[] = {
    {"hostname", "\"other.example.org\"", [](S s) { return s.hostname == "other.example.org" && s.server.session.hostname == s.hostname && s.client.session.hostname == s.hostname && s.queue.hostname == s.hostname; }},
    {"log_level", "\"warning\"", [](S s) { return s.log_level == LogLevel::warning; }},
    {"shutdown_max", "\"45s\"", [](S s) { return s.shutdown_max == seconds(45); }},

    {"server.listen", "[\"192.0.2.1:2525\", \"[2001:db8::1]\"]", [](S s) { return texts(s.server.listeners) == Texts{"192.0.2.1:2525", "[2001:db8::1]:25"}; }},
    {"server.relay_networks", "[\"192.0.2.0/24\", \"2001:db8::/32\"]", [](S s) { return texts(s.server.relay_networks) == Texts{"192.0.2.0/24", "2001:db8::/32"}; }},
    {"server.sessions_max", "30000", [](S s) { return s.server.sessions_max == 30000; }},
    {"server.sessions_per_client_max", "50", [](S s) { return s.server.sessions_per_client_max == 50; }},
    {"server.message_size_max", "\"10MB\"", [](S s) { return s.server.session.message_size_max == 10'000'000; }},
    {"server.recipients_max", "200", [](S s) { return s.server.session.recipients_max == 200; }},
    {"server.messages_max", "77", [](S s) { return s.server.session.messages_max == 77; }},
    {"server.line_length_max", "512", [](S s) { return s.server.session.line_length_max == 512; }},
    {"server.text_line_length_max", "998", [](S s) { return s.server.session.text_line_length_max == 998; }},
    {"server.hops_max", "25", [](S s) { return s.server.session.hops_max == 25; }},
    {"server.commands_max", "1000", [](S s) { return s.server.session.commands_max == 1000; }},
    {"server.errors_max", "5", [](S s) { return s.server.session.errors_max == 5; }},
    {"server.greeting_delay", "\"250ms\"", [](S s) { return s.server.timeouts.greeting_delay == Milliseconds{250}; }},
    {"auth.users", "\"/etc/ringmta/users\"", [](S s) { return s.server.auth.users_file == "/etc/ringmta/users"; }},
    {"auth.mechanisms", "[\"login\", \"SCRAM-SHA-256\"]", [](S s) { return s.server.auth.mechanisms == std::vector{sasl::Mechanism::login, sasl::Mechanism::scram_sha_256}; }},
    {"auth.clear_networks", "[\"192.0.2.0/24\"]", [](S s) { return texts(s.server.auth.clear_networks) == Texts{"192.0.2.0/24"}; }},
    {"auth.failures_max", "3", [](S s) { return s.server.auth.failures_max == 3; }},
    {"auth.network_failures_max", "33", [](S s) { return s.server.auth.network_failures_max == 33; }},
    {"auth.block_for", "\"1h\"", [](S s) { return s.server.auth.block_for == hours(1); }},
    {"auth.delay_max", "\"0s\"", [](S s) { return s.server.auth.delay_max == Milliseconds{0}; }},
    {"server.add_missing_headers", "false", [](S s) { return !s.server.add_missing_headers; }},
    {"server.tenant_default", "\"newsletter\"", [](S s) { return s.server.tenant_default == "newsletter"; }},
    {"server.pipelining", "false", [](S s) { return !s.server.session.pipelining; }},
    {"server.chunking", "false", [](S s) { return !s.server.session.chunking; }},
    {"server.eight_bit", "false", [](S s) { return !s.server.session.eight_bit; }},
    {"server.smtputf8", "false", [](S s) { return !s.server.session.smtputf8; }},
    {"server.dsn", "false", [](S s) { return !s.server.session.dsn; }},
    {"server.timeouts.idle", "\"90s\"", [](S s) { return s.server.timeouts.idle == seconds(90); }},
    {"server.timeouts.transaction", "\"2h\"", [](S s) { return s.server.timeouts.transaction == hours(2); }},
    {"server.listen_tls", "[\"192.0.2.1\", \"[2001:db8::1]:466\"]", [](S s) { return texts(s.server.tls.listeners) == Texts{"192.0.2.1:465", "[2001:db8::1]:466"}; }},
    {"server.tls.required", "true", [](S s) { return s.server.tls.required; }},
    {"server.tls.client_roots", "\"/tls/roots.pem\"", [](S s) { return s.server.tls.client_roots == "/tls/roots.pem"; }},
    {"server.tls.client_fingerprints", "[\"00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF\"]", [](S s) { return s.server.tls.client_fingerprints.size() == 1; }},
    {"server.tls.ticket_rotation", "\"1h\"", [](S s) { return s.server.tls.ticket_rotation == hours(1); }},
    {"server.tls.handshakes_per_turn", "5", [](S s) { return s.server.tls.handshakes_per_turn == 5; }},
    {"server.tls.certificate.certificate", "\"/tls/a.pem\"", [](S s) { return s.server.tls.certificates.back().certificate == "/tls/a.pem"; }},
    {"server.tls.certificate.key", "\"/tls/a.key\"", [](S s) { return s.server.tls.certificates.back().key == "/tls/a.key"; }},
    {"server.timeouts.handshake", "\"9s\"", [](S s) { return s.server.timeouts.handshake == seconds(9); }},
    {"server.timeouts.reply", "\"7s\"", [](S s) { return s.server.timeouts.reply == seconds(7); }},

    {"dkim.on_failure", "\"send_unsigned\"", [](S s) { return s.server.dkim.on_failure == dkim::OnFailure::send_unsigned; }},
    {"dkim.slice", "\"7ms\"", [](S s) { return s.server.dkim.slice == Milliseconds{7}; }},
    {"dkim.waiting_max", "\"128MiB\"", [](S s) { return s.server.dkim.waiting_max == 128 << 20; }},
    {"dkim.keys.domain", "\"example.org\"", [](S s) { return signing(s).signature.domain == "example.org"; }},
    {"dkim.keys.selector", "\"other\"", [](S s) { return signing(s).signature.selector == "other"; }},
    {"dkim.keys.key_file", "\"/etc/other.pem\"", [](S s) { return signing(s).key_file == "/etc/other.pem"; }},
    {"dkim.keys.from", "[\"example.org\", \".example.org\", \"*\"]", [](S s) { return signing(s).from == Texts{"example.org", ".example.org", "*"}; }},
    {"dkim.keys.tenants", "[\"a\", \"b\"]", [](S s) { return signing(s).tenants == Texts{"a", "b"}; }},
    {"dkim.keys.header", "\"simple\"", [](S s) { return signing(s).signature.header == dkim::Canonicalization::simple; }},
    {"dkim.keys.body", "\"simple\"", [](S s) { return signing(s).signature.body == dkim::Canonicalization::simple; }},
    {"dkim.keys.oversigned", "[\"from\"]", [](S s) { return signing(s).signature.oversigned_fields == Texts{"from"}; }},
    {"dkim.keys.signed", "[\"x-campaign\"]", [](S s) { return signing(s).signature.signed_fields == Texts{"x-campaign"}; }},
    {"dkim.keys.identity", "\"@news.example.com\"", [](S s) { return signing(s).signature.identity == "@news.example.com"; }},
    {"dkim.keys.timestamp", "false", [](S s) { return !signing(s).signature.timestamp; }},
    {"dkim.keys.lifetime", "\"14d\"", [](S s) { return signing(s).signature.lifetime == hours(14 * 24); }},
    {"route.name", "\"other\"", [](S s) { return route(s).name == "other"; }},
    {"route.domains", "[\"Example.ORG\", \".example.org\", \"*\"]", [](S s) { return route(s).domains == Texts{"example.org", ".example.org", "*"}; }},
    {"route.hosts", "[\"smtp.example.net\", \"smtp.example.net:587\", \"[2001:db8::1]:2525\"]", [](S s) { return route(s).hosts == Texts{"smtp.example.net", "smtp.example.net:587", "[2001:db8::1]:2525"}; }},
    {"route.connections_max", "7", [](S s) { return route(s).connections_max == 7; }},
    {"route.messages_per_connection_max", "20", [](S s) { return route(s).messages_per_connection_max == 20; }},
    {"route.recipients_per_message_max", "50", [](S s) { return route(s).recipients_per_message_max == 50; }},
    {"route.lmtp", "true", [](S s) { return route(s).lmtp; }},
    {"route.tls.policy", "\"verified\"", [](S s) { return tls_of_route(s).policy == client::TlsPolicy::verified; }},
    {"route.tls.mode", "\"implicit\"", [](S s) { return tls_of_route(s).mode == client::TlsMode::implicit; }},
    {"route.tls.roots", "\"/x/roots.pem\"", [](S s) { return tls_of_route(s).roots_file == "/x/roots.pem"; }},
    {"route.tls.verify_name", "\"mail.example.net\"", [](S s) { return tls_of_route(s).name == "mail.example.net"; }},
    {"route.tls.certificate", "\"/x/c.pem\"", [](S s) { return tls_of_route(s).certificate_file == "/x/c.pem"; }},
    {"route.tls.key", "\"/x/c.key\"", [](S s) { return tls_of_route(s).key_file == "/x/c.key"; }},
    {"route.auth.user", "\"ann\"", [](S s) { return auth(s).user == "ann"; }},
    {"route.auth.password_file", "\"/x/password\"", [](S s) { return auth(s).password_file == "/x/password"; }},
    {"route.auth.token_file", "\"/x/token\"", [](S s) { return auth(s).token_file == "/x/token"; }},
    {"route.auth.token_command", "[\"/x/token\", \"mail\"]", [](S s) { return auth(s).token_command == Texts{"/x/token", "mail"}; }},
    {"route.auth.token_lifetime", "\"10m\"", [](S s) { return auth(s).token_lifetime == minutes(10); }},
    {"route.auth.mechanisms", "[\"PLAIN\", \"login\"]", [](S s) { return auth(s).mechanisms == Texts{"PLAIN", "login"}; }},
    {"route.auth.without_tls", "true", [](S s) { return auth(s).without_tls; }},
    {"client.tls.policy", "\"required\"", [](S s) { return s.client.mx.tls.policy == client::TlsPolicy::required; }},
    {"client.tls.roots", "\"/x/roots.pem\"", [](S s) { return s.client.mx.tls.roots_file == "/x/roots.pem"; }},
    {"client.tls.verify_name", "\"mail.example.net\"", [](S s) { return s.client.mx.tls.name == "mail.example.net"; }},
    {"client.tls.certificate", "\"/x/c.pem\"", [](S s) { return s.client.mx.tls.certificate_file == "/x/c.pem"; }},
    {"client.tls.key", "\"/x/c.key\"", [](S s) { return s.client.mx.tls.key_file == "/x/c.key"; }},
    {"client.tls.broken_for", "\"10m\"", [](S s) { return s.client.tls.broken_for == minutes(10); }},
    {"client.tls.broken_max", "10", [](S s) { return s.client.tls.broken_max == 10; }},
    {"client.tls.sessions_max", "10", [](S s) { return s.client.tls.sessions_max == 10; }},
    {"client.tls.handshake_steps_per_turn", "3", [](S s) { return s.client.tls.handshake_steps_per_turn == 3; }},
    {"client.tls.rule.domains", "[\"Example.NET\"]", [](S s) { return s.client.rules.back().domains == Texts{"example.net"} && s.queue.connection_rules.back().domains == Texts{"example.net"}; }},
    {"client.tls.rule.hosts", "[\".MX.Example.NET\"]", [](S s) { return s.client.rules.back().hosts == Texts{".mx.example.net"} && s.queue.connection_rules.back().hosts == Texts{".mx.example.net"}; }},
    {"client.tls.rule.policy", "\"verified\"", [](S s) { return tls_of_rule(s).policy == client::TlsPolicy::verified && s.queue.connection_rules.back().label == "tls verified"; }},
    {"client.tls.rule.roots", "\"/x/roots.pem\"", [](S s) { return tls_of_rule(s).roots_file == "/x/roots.pem"; }},
    {"client.tls.rule.verify_name", "\"mail.example.net\"", [](S s) { return tls_of_rule(s).name == "mail.example.net"; }},
    {"client.tls.rule.certificate", "\"/x/c.pem\"", [](S s) { return tls_of_rule(s).certificate_file == "/x/c.pem"; }},
    {"client.tls.rule.key", "\"/x/c.key\"", [](S s) { return tls_of_rule(s).key_file == "/x/c.key"; }},
    {"client.timeouts.tls", "\"7s\"", [](S s) { return s.client.timeouts.tls == seconds(7); }},
    {"client.timeouts.auth", "\"7s\"", [](S s) { return s.client.timeouts.auth == seconds(7); }},
    {"retry.first", "\"1s\"", [](S s) { return s.queue.retry.first == seconds(1); }, "client.host_retry_after"},
    {"retry.factor", "1.5", [](S s) { return s.queue.retry.factor == 1.5; }},
    {"retry.longest", "\"2h\"", [](S s) { return s.queue.retry.longest == hours(2); }},
    {"retry.jitter", "0", [](S s) { return s.queue.retry.jitter == 0.0; }},
    {"retry.expire_after", "\"5d\"", [](S s) { return s.queue.retry.expire_after == hours(120) && s.server.expire_after == hours(120); }},
    {"retry.delay_notice_after", "\"1h\"", [](S s) { return s.queue.retry.delay_notice_after == hours(1); }},
    {"route.retry.first", "\"1s\"", [](S s) { return route(s).retry->first == seconds(1); }},
    {"route.retry.factor", "1.5", [](S s) { return route(s).retry->factor == 1.5; }},
    {"route.retry.longest", "\"2h\"", [](S s) { return route(s).retry->longest == hours(2); }},
    {"route.retry.jitter", "0", [](S s) { return route(s).retry->jitter == 0.0; }},
    {"route.retry.expire_after", "\"5d\"", [](S s) { return route(s).retry->expire_after == hours(120); }},
    {"route.retry.delay_notice_after", "\"1h\"", [](S s) { return route(s).retry->delay_notice_after == hours(1); }},
    {"retry.rule.first", "\"1s\"", [](S s) { return rule(s).retry.first == seconds(1); }},
    {"retry.rule.factor", "1.5", [](S s) { return rule(s).retry.factor == 1.5; }},
    {"retry.rule.longest", "\"2h\"", [](S s) { return rule(s).retry.longest == hours(2); }},
    {"retry.rule.jitter", "0", [](S s) { return rule(s).retry.jitter == 0.0; }},
    {"retry.rule.expire_after", "\"5d\"", [](S s) { return rule(s).retry.expire_after == hours(120); }},
    {"retry.rule.delay_notice_after", "\"1h\"", [](S s) { return rule(s).retry.delay_notice_after == hours(1); }},
    {"retry.rule.domains", "[\"Example.org\"]", [](S s) { return rule(s).domains == Texts{"example.org"}; }},
    {"retry.site.first", "\"1s\"", [](S s) { return site_rule(s).retry.first == seconds(1); }},
    {"retry.site.factor", "1.5", [](S s) { return site_rule(s).retry.factor == 1.5; }},
    {"retry.site.longest", "\"2h\"", [](S s) { return site_rule(s).retry.longest == hours(2); }},
    {"retry.site.jitter", "0", [](S s) { return site_rule(s).retry.jitter == 0.0; }},
    {"retry.site.expire_after", "\"5d\"", [](S s) { return site_rule(s).retry.expire_after == hours(120); }},
    {"retry.site.delay_notice_after", "\"1h\"", [](S s) { return site_rule(s).retry.delay_notice_after == hours(1); }},
    {"retry.site.hosts", "[\".MX.example.net\"]", [](S s) { return site_rule(s).hosts == Texts{".mx.example.net"}; }},
    {"mx.connections_max", "5", [](S s) { return s.queue.mx.connections_max == 5; }},
    {"mx.messages_per_connection_max", "50", [](S s) { return s.queue.mx.messages_per_connection_max == 50; }},
    {"mx.recipients_per_message_max", "20", [](S s) { return s.queue.mx.recipients_per_message_max == 20; }},
    {"mx.port", "2525", [](S s) { return s.mx.port == 2525; }},
    {"mx.inet4", "false", [](S s) { return !s.mx.inet4; }},
    {"mx.inet6", "false", [](S s) { return !s.mx.inet6; }},
    {"mx.hosts_max", "4", [](S s) { return s.mx.hosts_max == 4; }},
    {"mx.addresses_per_host_max", "3", [](S s) { return s.mx.addresses_per_host_max == 3; }},
    {"queue.postmaster", "\"postmaster@example.org\"", [](S s) { return s.queue.postmaster == "postmaster@example.org"; }},
    {"queue.dsn_return_max", "\"1MiB\"", [](S s) { return s.queue.dsn_return_max == 1 << 20; }},
    {"queue.recipients_max", "5000", [](S s) { return s.queue.recipients_max == 5000; }},

    {"spool.directory", "\"/srv/spool\"", [](S s) { return s.spool.directory == "/srv/spool"; }},
    {"spool.durability", "\"relaxed\"", [](S s) { return s.spool.durability == spool::DurabilityMode::relaxed; }},
    {"spool.write_mode", "\"buffered\"", [](S s) { return s.spool.write_mode == spool::WriteMode::buffered; }},
    {"spool.segment_size", "\"128MiB\"", [](S s) { return s.spool.segment_size == 128 << 20; }},
    {"spool.segments_ready", "3", [](S s) { return s.spool.segments_ready == 3; }},
    {"spool.disk_max", "\"10GiB\"", [](S s) { return s.spool.disk_max == 10ULL << 30; }},
    {"spool.disk_reserve", "\"1GiB\"", [](S s) { return s.spool.disk_reserve == 1ULL << 30; }},
    {"spool.memory_max", "\"256MiB\"", [](S s) { return s.spool.memory_max == 256 << 20; }},
    {"spool.batch_max", "\"2MiB\"", [](S s) { return s.spool.batch_max == 2 << 20; }},
    {"spool.note_delay_max", "\"5ms\"", [](S s) { return s.spool.note_delay_max == Milliseconds{5}; }},
    {"spool.compact_below_percent", "40", [](S s) { return s.spool.compact_below_percent == 40; }},

    {"client.connections_max", "1000", [](S s) { return s.client.connections_max == 1000; }},
    {"client.host_retry_after", "\"20s\"", [](S s) { return s.client.host_retry_after == seconds(20); }},
    {"client.host_retry_longest", "\"1h\"", [](S s) { return s.client.host_retry_longest == hours(1); }},
    {"client.hosts_tried_max", "3", [](S s) { return s.client.hosts_tried_max == 3; }},
    {"client.connection_age_max", "\"1m\"", [](S s) { return s.client.connection_age_max == minutes(1); }},
    {"client.lent_wait_max", "\"30s\"", [](S s) { return s.client.lent_wait_max == seconds(30); }},
    {"client.stalled_after", "\"1m\"", [](S s) { return s.client.stalled_after == minutes(1); }},
    {"client.deliver_to_loopback", "true", [](S s) { return s.client.deliver_to_loopback && s.mx.refused_addresses.size() + 2 == dns::never_mail_hosts().size(); }},
    {"client.warm_for", "\"25s\"", [](S s) { return s.client.warm_for == seconds(25); }},
    {"client.source4", "\"192.0.2.7\"", [](S s) { return s.client.source4.text() == "192.0.2.7:0" && s.client.source6.length == 0; }},
    {"client.source6", "\"2001:db8::7\"", [](S s) { return s.client.source6.text() == "[2001:db8::7]:0" && s.client.source4.length == 0; }},
    {"client.pipelining", "false", [](S s) { return !s.client.session.pipelining; }},
    {"client.chunking", "false", [](S s) { return !s.client.session.chunking; }},
    {"client.chunking_size_max", "\"1MiB\"", [](S s) { return s.client.session.chunking_size_max == 1 << 20; }},
    {"client.timeouts.connect", "\"1s\"", [](S s) { return s.client.timeouts.connect == seconds(1); }},
    {"client.timeouts.greeting", "\"2s\"", [](S s) { return s.client.timeouts.greeting == seconds(2); }},
    {"client.timeouts.ehlo", "\"3s\"", [](S s) { return s.client.timeouts.ehlo == seconds(3); }},
    {"client.timeouts.mail", "\"4s\"", [](S s) { return s.client.timeouts.mail == seconds(4); }},
    {"client.timeouts.recipient", "\"6s\"", [](S s) { return s.client.timeouts.recipient == seconds(6); }},
    {"client.timeouts.data", "\"7s\"", [](S s) { return s.client.timeouts.data == seconds(7); }},
    {"client.timeouts.content_block", "\"8s\"", [](S s) { return s.client.timeouts.content_block == seconds(8); }},
    {"client.timeouts.content_end", "\"9s\"", [](S s) { return s.client.timeouts.content_end == seconds(9); }},
    {"client.timeouts.quit", "\"11s\"", [](S s) { return s.client.timeouts.quit == seconds(11); }},
    {"client.timeouts.idle", "\"12s\"", [](S s) { return s.client.timeouts.idle == seconds(12); }},

    {"events.file", "\"/var/log/events.jsonl\"", [](S s) { return s.events.file == "/var/log/events.jsonl"; }},
    {"events.buffer_max", "\"32MiB\"", [](S s) { return s.events.buffer_max == 32 << 20; }},
    {"events.flush_after", "\"100ms\"", [](S s) { return s.events.flush_after == Milliseconds{100}; }},
    {"control.socket", "\"/tmp/control.sock\"", [](S s) { return s.control.socket == "/tmp/control.sock"; }},
    {"process.user", "\"mail\"", [](S s) { return s.process.user == "mail"; }},
    {"process.group", "\"mail\"", [](S s) { return s.process.group == "mail"; }},
    {"process.seccomp", "false", [](S s) { return !s.process.seccomp; }},
    {"process.landlock", "false", [](S s) { return !s.process.landlock; }},
    {"process.readable", "[\"/srv/keys\", \"/opt\"]", [](S s) { return s.process.readable == Texts{"/srv/keys", "/opt"}; }},
    {"process.core_dumps", "true", [](S s) { return s.process.core_dumps; }},
    {"control.mode", "\"0660\"", [](S s) { return s.control.mode == 0660; }},
    {"metrics.listen", "[\"127.0.0.1:9465\"]", [](S s) { return texts(s.metrics.listen) == Texts{"127.0.0.1:9465"}; }},

    {"shards.count", "3", [](S s) { return s.shards == 3; }},
    {"shards.cpus", "\"3,0-1\"", [](S s) { return s.cpus == std::vector<int>{3, 0, 1}; }, "shards.count"},
    {"dns.resolve_interval", "\"1m\"", [](S s) { return s.resolve_interval == minutes(1); }},
    {"dns.servers", "[\"127.0.0.1:5353\", \"192.0.2.53\"]", [](S s) { return texts(s.resolver.servers) == Texts{"127.0.0.1:5353", "192.0.2.53:53"}; }},
    {"dns.attempt_timeout", "\"250ms\"", [](S s) { return s.resolver.attempt_timeout == Milliseconds{250}; }},
    {"dns.attempt_timeout_max", "\"3s\"", [](S s) { return s.resolver.attempt_timeout_max == seconds(3); }},
    {"dns.query_timeout", "\"20s\"", [](S s) { return s.resolver.query_timeout == seconds(20); }},
    {"dns.tcp_timeout", "\"7s\"", [](S s) { return s.resolver.tcp_timeout == seconds(7); }},
    {"dns.tcp_idle", "\"8s\"", [](S s) { return s.resolver.tcp_idle == seconds(8); }},
    {"dns.slow_after", "\"2s\"", [](S s) { return s.resolver.slow_after == seconds(2); }},
    {"dns.queries_max", "100", [](S s) { return s.resolver.queries_max == 100; }},
    {"dns.waiting_max", "200", [](S s) { return s.resolver.waiting_max == 200; }},
    {"dns.tcp_connections_max", "10", [](S s) { return s.resolver.tcp_connections_max == 10; }},
    {"dns.random_capitals", "true", [](S s) { return s.resolver.random_capitals; }},
    {"dns.cache.memory_max", "\"8MiB\"", [](S s) { return s.resolver.cache.octets_max == 8 << 20; }},
    {"dns.cache.ttl_min", "\"1m\"", [](S s) { return s.resolver.cache.ttl_min == minutes(1); }},
    {"dns.cache.ttl_max", "\"12h\"", [](S s) { return s.resolver.cache.ttl_max == hours(12); }},
    {"dns.cache.negative_ttl_max", "\"10m\"", [](S s) { return s.resolver.cache.negative_ttl_max == minutes(10); }},
    {"dns.cache.failure_ttl", "\"45s\"", [](S s) { return s.resolver.cache.failure_ttl == seconds(45); }},
    {"ring.entries", "1024", [](S s) { return s.io.entries == 1024; }},
    {"ring.receive_buffers", "256", [](S s) { return s.io.receive_buffers == 256; }},
    {"ring.receive_buffer_size", "\"32KiB\"", [](S s) { return s.io.receive_buffer_size == 32768; }},
    {"ring.streams_max", "100000", [](S s) { return s.io.streams_max == 100000; }},
    {"ring.datagrams_max", "1000", [](S s) { return s.io.datagrams_max == 1000; }},
    {"ring.linger_max", "\"1s\"", [](S s) { return s.io.linger_max == seconds(1); }},
};
// clang-format on

struct Placed {
  std::string file;
  uint32_t line;  // of the key
};

// A whole file in which `key` has `value`. Keys of the top come first, as TOML wants it.
Placed placed(const Key& key, std::string_view value) {
  const std::string line = fmt::format("{} = {}\n", key.name, value);
  const auto normal = [&](const char* path, const char* assignment) {
    return key.path() == path ? std::string() : std::string(assignment) + "\n";
  };
  const std::string top = normal("hostname", "hostname = \"relay.example.org\"");
  const std::string route = normal("route.name", "name = \"all\"") +
                            normal("route.domains", "domains = [\"*\"]") +
                            normal("route.hosts", "hosts = [\"192.0.2.25:25\"]");
  if (key.section.empty()) return {line + top + "[[route]]\n" + route, 1};
  if (key.section == "route") return {top + "[[route]]\n" + line + route, 3};
  if (key.section == "route.retry" || key.section == "route.tls") {
    return {top + fmt::format("[[route]]\n{}[{}]\n{}", route, key.section, line), 7};
  }
  if (key.section == "route.auth") {
    const std::string user = normal("route.auth.user", "user = \"bob\"");
    return {top + "[[route]]\n" + route + "[route.auth]\n" + line + user, 7};
  }
  if (key.section == "client.tls.rule") {
    const std::string domains =
        key.name == "hosts" ? "" : normal("client.tls.rule.domains", "domains = [\"a.test\"]");
    return {top + "[[client.tls.rule]]\n" + line + domains + "[[route]]\n" + route, 3};
  }
  if (key.section == "retry.rule") {
    const std::string domains = normal("retry.rule.domains", "domains = [\"a.test\"]");
    return {top + "[[retry.rule]]\n" + line + domains + "[[route]]\n" + route, 3};
  }
  if (key.section == "retry.site") {
    const std::string hosts = normal("retry.site.hosts", "hosts = [\"mx.a.test\"]");
    return {top + "[[retry.site]]\n" + line + hosts + "[[route]]\n" + route, 3};
  }
  if (key.section == "server.tls.certificate") {
    const std::string others =
        normal("server.tls.certificate.certificate", "certificate = \"/etc/mail.pem\"") +
        normal("server.tls.certificate.key", "key = \"/etc/mail.key\"");
    return {top + "[[server.tls.certificate]]\n" + line + others + "[[route]]\n" + route, 3};
  }
  if (key.section == "dkim.keys") {
    const std::string others = normal("dkim.keys.domain", "domain = \"example.com\"") +
                               normal("dkim.keys.selector", "selector = \"rsa1\"") +
                               normal("dkim.keys.key_file", "key_file = \"/etc/rsa1.pem\"");
    return {top + "[[dkim.keys]]\n" + line + others + "[[route]]\n" + route, 3};
  }
  return {top + fmt::format("[{}]\n", key.section) + line + "[[route]]\n" + route, 3};
}

const Key& key_of(const Row& row) {
  for (const Key& key : keys()) {
    if (key.path() == row.path) return key;
  }
  throw std::runtime_error(std::string("no such key: ") + row.path);
}

Loaded parse_row(const Row& row) {
  return parse(placed(key_of(row), row.value).file, "test.toml", a_machine());
}

TEST(Keys, EachHasItsRowHere) {
  std::set<std::string> rows;
  for (const Row& row : kRows) EXPECT_TRUE(rows.insert(row.path).second) << row.path;
  for (const Key& key : keys()) {
    EXPECT_EQ(rows.erase(key.path()), 1U) << key.path() << " has no row in this test";
  }
  EXPECT_TRUE(rows.empty()) << *rows.begin() << " is not a key";
}

class EachKey : public testing::TestWithParam<Row> {};

// With a schedule of its own for the route and for a domain where the file has none.
Settings with_elements(Settings settings) {
  auto& route_schedule = settings.queue.routes.back().retry;
  if (!route_schedule) route_schedule = settings.queue.retry;
  if (settings.queue.retry_rules.empty()) {
    settings.queue.retry_rules.push_back({{}, settings.queue.retry});
  }
  if (settings.queue.site_retry_rules.empty()) {
    settings.queue.site_retry_rules.push_back({{}, settings.queue.retry});
  }
  if (settings.server.dkim.keys.empty()) {  // that of placed()
    dkim::KeyOptions& key = settings.server.dkim.keys.emplace_back();
    key.signature.domain = "example.com";
    key.signature.selector = "rsa1";
    key.key_file = "/etc/rsa1.pem";
  }
  if (settings.server.tls.certificates.empty()) {  // likewise
    settings.server.tls.certificates.push_back({"/etc/mail.pem", "/etc/mail.key"});
  }
  if (!settings.client.routes.back().auth) settings.client.routes.back().auth.emplace();
  if (settings.client.rules.empty()) settings.client.rules.push_back({{}, settings.client.mx});
  return settings;
}

TEST_P(EachKey, SetsItsSettingAndNoOther) {
  const Loaded before = parse_with("");
  const Loaded after = parse_row(GetParam());
  ASSERT_TRUE(before.errors.empty()) << all_texts(before);
  ASSERT_TRUE(after.errors.empty()) << all_texts(after);
  EXPECT_FALSE(GetParam().holds(with_elements(before.settings))) << "the value is the default";
  EXPECT_TRUE(GetParam().holds(after.settings));
  const Settings then = with_elements(before.settings);
  const Settings now = with_elements(after.settings);
  for (const Key& key : keys()) {
    const bool same_in_schedules = key.default_text == "as in [retry]" &&
                                   std::string(GetParam().path) == "retry." + std::string(key.name);
    const bool same_in_tls = key.default_text == "as in [client.tls]" &&
                             std::string(GetParam().path) == "client.tls." + std::string(key.name);
    const bool of_the_rule =
        key.path() == "retry.rule.domains" || key.path() == "retry.site.hosts" ||
        key.path() == "client.tls.rule.domains" || key.path() == "route.auth.user" ||
        key.section == "server.tls.certificate";
    if (same_in_tls) continue;
    if (key.path() == GetParam().path || key.path() == GetParam().changes_too) continue;
    if (same_in_schedules || of_the_rule) continue;
    EXPECT_EQ(show_value(key, now), show_value(key, then)) << key.path();
  }
}

TEST_P(EachKey, IsShownAsItCanBeReadAgain) {
  const Loaded first = parse_row(GetParam());
  const std::string shown = effective(first.settings);
  const Loaded again = parse(shown, "effective.toml", a_machine());
  EXPECT_TRUE(again.errors.empty()) << all_texts(again) << shown;
  EXPECT_EQ(effective(again.settings), shown);
  EXPECT_TRUE(GetParam().holds(again.settings)) << shown;
}

// A reload tells it, and obeys it at once or leaves it for the next start, as its row says.
TEST_P(EachKey, IsToldAsAChange) {
  const Key& key = key_of(GetParam());
  const Settings before = parse_with("").settings;
  const Settings after = parse_row(GetParam()).settings;
  const std::vector<Change> told = changes(before, after);
  ASSERT_FALSE(told.empty()) << key.path();
  const bool at_start = takes_effect_at_start(key) || key.path() == "route.name";
  if (!key.section.ends_with(".rule") && key.section != "server.tls.certificate") {
    EXPECT_TRUE(std::ranges::any_of(told, [&](const Change& change) {
      return change.at_start == at_start && change.from != change.to &&
             (key.section.starts_with("route") ? change.key.starts_with("route")
              : key.section == "dkim.keys" || key.section == "retry.site"
                  ? change.key == key.section
                  : change.key == key.path());
    })) << key.path();
  }
  Settings kept = after;
  keep_until_start(kept, before);
  for (const Change& change : changes(before, kept)) EXPECT_FALSE(change.at_start) << change.key;
  EXPECT_EQ(GetParam().holds(with_elements(kept)), !at_start) << key.path();
  EXPECT_TRUE(changes(after, after).empty());
}

TEST_P(EachKey, RefusesAnotherTypeAtItsLine) {
  const Key& key = key_of(GetParam());
  const auto [file, line] = placed(key, "2026-11-24");  // a date, which no key takes
  const Loaded loaded = parse(file, "test.toml", a_machine());
  ASSERT_EQ(loaded.errors.size(), 1U) << all_texts(loaded);
  const std::string told = text(loaded, loaded.errors[0]);
  EXPECT_TRUE(told.starts_with(fmt::format("test.toml:{}: {}: expects ", line, key.path())))
      << told;
  EXPECT_NE(told.find(fmt::format("write {} = ", key.name)), std::string::npos) << told;
}

// One step beyond each end of what a key with limits takes.
std::vector<std::string> beyond(const Key& key) {
  std::vector<std::string> values;
  if (const auto* whole = std::get_if<Whole>(&key.kind)) {
    values.push_back(fmt::format("{}", static_cast<int64_t>(whole->min) - 1));
    values.push_back(fmt::format("{}", whole->max + 1));
    if (whole->power_of_two) values.push_back(fmt::format("{}", whole->min + 1));
  } else if (const auto* size = std::get_if<Size>(&key.kind)) {
    if (size->octets.min > 0) values.push_back(fmt::format("\"{}B\"", size->octets.min - 1));
    values.push_back(fmt::format("\"{}B\"", size->octets.max + 1));
    if (size->octets.power_of_two) values.push_back(fmt::format("{}", size->octets.min + 1));
  } else if (const auto* fraction = std::get_if<Fraction>(&key.kind)) {
    values = {fmt::format("{}", fraction->min - 0.001), fmt::format("{}", fraction->max + 0.001),
              "nan"};
  } else if (const auto* duration = std::get_if<Duration>(&key.kind)) {
    if (duration->min.count > 0) values.push_back(fmt::format("\"{}ms\"", duration->min.count - 1));
    values.push_back(fmt::format("\"{}ms\"", duration->max.count + 1));
  }
  return values;
}

TEST_P(EachKey, RefusesWhatIsBeyondItsLimits) {
  const Key& key = key_of(GetParam());
  for (const std::string& value : beyond(key)) {
    const auto [file, line] = placed(key, value);
    const Loaded loaded = parse(file, "test.toml", a_machine());
    ASSERT_FALSE(loaded.errors.empty()) << key.path() << " = " << value;
    const std::string told = text(loaded, loaded.errors[0]);
    EXPECT_TRUE(told.starts_with(fmt::format("test.toml:{}: {}: ", line, key.path()))) << told;
    EXPECT_NE(told.find("out of range"), std::string::npos) << told;
  }
}

// The limits themselves are within them (other keys may then disagree, which is told elsewhere).
TEST_P(EachKey, TakesItsLimits) {
  const Key& key = key_of(GetParam());
  std::vector<std::string> values;
  if (const auto* whole = std::get_if<Whole>(&key.kind)) {
    values = {std::to_string(whole->min), std::to_string(whole->max)};
  } else if (const auto* size = std::get_if<Size>(&key.kind)) {
    values = {std::to_string(size->octets.min), std::to_string(size->octets.max)};
  } else if (const auto* duration = std::get_if<Duration>(&key.kind)) {
    values = {fmt::format("\"{}ms\"", duration->min.count),
              fmt::format("\"{}ms\"", duration->max.count)};
  }
  for (const std::string& value : values) {
    const Loaded loaded = parse(placed(key, value).file, "test.toml", a_machine());
    EXPECT_EQ(all_texts(loaded).find("out of range"), std::string::npos) << all_texts(loaded);
  }
}

std::string name_of(const testing::TestParamInfo<Row>& info) {
  std::string name = info.param.path;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Config, EachKey, testing::ValuesIn(kRows), name_of);

}  // namespace
}  // namespace ringmta::config
