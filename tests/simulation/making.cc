// SPDX-License-Identifier: GPL-3.0-or-later
// The world that a plan begins with: hosts, DNS, mail to hand in, the relay's configuration.
#include <fmt/format.h>

#include "run.h"

namespace ringmta::simulation {

std::string address_of(uint32_t site, uint32_t host) {
  return fmt::format("10.1.{}.{}", site, host + 1);
}

Manners Run::manners() {
  Manners made;
  made.esmtp = !chance(8);
  made.pipelining = !chance(3);
  made.chunking = chance(2);
  made.size = !chance(4);
  made.enhanced = !chance(4);
  if (chance(6)) made.greylists = true;
  if (chance(6)) made.content_delay = up_to(seconds(5));
  if (plan_.trouble_level == 0) return made;
  const auto one_in = [this](uint32_t often) {
    return chance(2) ? 0 : static_cast<uint32_t>(often + random_.below(often * 10));
  };
  const uint32_t often = 40 / plan_.trouble_level;
  made.temporary = one_in(often);
  if (plan_.storms > 0) made.permanent = one_in(often * 4);
  if (plan_.storms > 0) made.drop_late = often * 2;
  if (plan_.scarce_ring) made.half_close = one_in(often * 2);
  made.shutdown = one_in(often);
  made.drop = one_in(often);
  made.lost_reply = one_in(often);
  made.silent = one_in(often * 3);
  if (chance(3)) made.delay_max = up_to(seconds(chance(5) ? 400 : 10));
  if (chance(4)) made.connections_max = 1;
  return made;
}

// Site 0 is the senders': always there, and as good as the trouble leaves it. The last domain has
// no mail (null MX), the one before does not exist.
void Run::make_hosts() {
  for (uint32_t site = 0; site < plan_.sites; ++site) {
    const uint32_t hosts = 1 + static_cast<uint32_t>(random_.below(3));
    for (uint32_t host = 0; host < hosts; ++host) {
      const std::string ip = address_of(site, host);
      hosts_.add(*parse_socket_address(ip, 25), site, site == 0 ? Manners{} : manners());
      publish(fmt::format("mx{}-{}.sim.", site, host), dns::RecordType::a, 60 + random_.below(600),
              ip);
    }
    const uint32_t preference = chance(2) ? 0 : 10;
    for (uint32_t number = site; number < plan_.domains; number += plan_.sites) {
      const std::string domain = number == 0 ? "sender.sim" : fmt::format("d{}.sim", number);
      domains_.push_back(domain);
      for (uint32_t host = 0; host < hosts; ++host) {
        publish(domain + ".", dns::RecordType::mx, 30 + random_.below(600),
                fmt::format("{} mx{}-{}.sim.", 10 + host * preference, site, host));
      }
    }
  }
  hosts_.set_limit(plan_.connections_per_site, kLimitSlack);
  hosts_.add(*parse_socket_address(Liar::kTrap, 25), plan_.sites, {.trap = true});
  for (dns::ScriptedServer& server : dns_) {
    server.add("null.sim. 300 IN MX 0 .");
    server.add(fmt::format("trap.sim. 300 IN A {}", Liar::kTrap));
  }
  domains_.emplace_back("null.sim");
  domains_.emplace_back("nowhere.sim");
}

void Run::publish(const std::string& name, dns::RecordType type, uint32_t ttl_s,
                  const std::string& data) {
  const std::string record = std::string(to_text(type)) + " " + data;
  for (dns::ScriptedServer& server : dns_) {
    server.add(fmt::format("{} {} IN {}", name, ttl_s, record));
  }
  if (liar_ != nullptr) liar_->learn(name, type, record);
}

void Run::make_mails() {
  const uint64_t seed = random_.next();
  for (uint32_t number = 0; number < plan_.mails; ++number) {
    Mail mail;
    mail.number = number;
    mail.sender = fmt::format("s{}@sender.sim", random_.below(5));
    const auto count = static_cast<uint32_t>(chance(3) ? 1 + random_.below(20) : 1);
    for (uint32_t i = 0; i < count; ++i) {
      const char* kind = chance(20) ? "no" : chance(30) ? "full" : "r";
      mail.recipients.push_back(
          {fmt::format("{}{}-{}@{}", kind, number, i, domains_[random_.below(domains_.size())]),
           {},
           {}});
    }
    const size_t size = chance(20) ? 200'000 : chance(3) ? 20'000 : 1'000;
    mail.content = Ledger::make_content(number, random_.below(size), seed);
    mail.chunked = chance(3);
    mail.pipelined = chance(2);
    ledger_.mails.push_back(std::move(mail));
  }
}

std::string Run::configuration(uint32_t shards) const {
  return fmt::format(
      R"(hostname = "relay.sim"
[shards]
count = {}
[server]
listen = ["{}"]
relay_networks = ["0.0.0.0/0"]
message_size_max = "400KiB"
recipients_max = 100
sessions_max = {}
sessions_per_client_max = {}
[server.timeouts]
idle = "30s"
transaction = "3m"
[queue]
recipients_max = {}
[spool]
directory = "/spool"
write_mode = "{}"
segment_size = "1MiB"
disk_reserve = "0"
disk_max = {}
memory_max = {}
[dns]
servers = ["{}", "{}"]
[mx]
inet6 = false
connections_max = {}
[retry]
first = "5s"
longest = "60s"
expire_after = "{}s"
[client]
host_retry_after = "10s"
host_retry_longest = "60s"
[client.timeouts]
connect = "10s"
greeting = "30s"
ehlo = "30s"
mail = "30s"
recipient = "30s"
data = "30s"
content_block = "30s"
content_end = "60s"
[events]
file = "/events.jsonl"
[control]
socket = ""
)",
      shards, kRelay, plan_.sessions_max == 0 ? 20'000 : plan_.sessions_max,
      plan_.sessions_per_client, plan_.recipients_max == 0 ? 20'000'000 : plan_.recipients_max,
      plan_.buffered ? "buffered" : "automatic", plan_.disk_max, plan_.memory_max,
      dns_[0].address.text(), dns_[1].address.text(), plan_.connections_per_site,
      plan_.expire_after.count / 1000);
}

}  // namespace ringmta::simulation
