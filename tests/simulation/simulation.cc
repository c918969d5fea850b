// SPDX-License-Identifier: GPL-3.0-or-later
// Making a world from a plan, and its course.
#include "simulation.h"

#include <fmt/format.h>

#include <algorithm>

#include "../dns/script.h"
#include "hosts.h"
#include "ledger.h"
#include "machine.h"
#include "ringmta/ring/disk.h"
#include "ringmta/sim/world.h"
#include "submitters.h"

namespace ringmta::simulation {

namespace {

// An outcome is on disk so soon after it happened: the spool's note_delay_max, a write, and what a
// reply takes through the network.
constexpr Milliseconds kOutcomeWindow{2'000};
constexpr Milliseconds kDrainMax = hours(72);
// In a good world whatever can be delivered is: every wait that the configuration below and the
// hosts impose (retry, a failed host, grey listing, a DNS failure) is a minute or two.
constexpr Milliseconds kSettleMax = minutes(15);
constexpr Milliseconds kLimitSlack = seconds(5);
constexpr const char* kRelay = "10.0.0.1:25";

class Run final {
 public:
  explicit Run(const Plan& plan)
      : plan_(plan),
        random_(plan.seed ^ 0x5EED),
        world_(options_of(plan)),
        machine_(world_),
        hosts_(world_, ledger_, random_.next()) {}

  Outcome go();

 private:
  static sim::WorldOptions options_of(const Plan& plan);
  bool chance(uint32_t one_in) { return random_.below(one_in) == 0; }
  Milliseconds up_to(Milliseconds most) {
    return Milliseconds{static_cast<int64_t>(random_.below(static_cast<uint64_t>(most.count) + 1))};
  }

  void make_dns();
  void make_hosts();
  void make_mails();
  std::string configuration(uint32_t shards) const;
  Manners manners();
  bool dns_fails(const dns::Asked& question);
  void plan_events();
  void happen();
  void start();
  void crash();
  void fault();
  void begin_trouble();
  void end_trouble();
  size_t deliverable() const;
  void close_up();
  void complain(std::string what) { ledger_.oddities.push_back(std::move(what)); }

  enum class What : uint8_t { crash, start, fault, jump };
  struct Coming {
    Monotonic at;
    What what;
  };

  const Plan plan_;
  Prng random_;
  sim::World world_;
  Ledger ledger_;
  Machine machine_;
  Hosts hosts_;
  dns::ScriptedServer dns_[2];
  std::unique_ptr<Submitters> submitters_;
  std::vector<std::string> domains_;
  std::vector<Coming> coming_;            // the last is the next
  dns::ScriptedServer* asked_ = nullptr;  // the one whose script runs
  bool trouble_ = false;
  uint64_t lives_ = 0;
};

sim::WorldOptions Run::options_of(const Plan& plan) {
  sim::WorldOptions options;
  options.seed = plan.seed;
  options.disk.capacity_octets = plan.disk_capacity;
  return options;
}

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
      for (dns::ScriptedServer& server : dns_) {
        server.add(fmt::format("mx{}-{}.sim. {} IN A {}", site, host, 60 + random_.below(600), ip));
      }
    }
    const uint32_t preference = chance(2) ? 0 : 10;
    for (uint32_t number = site; number < plan_.domains; number += plan_.sites) {
      const std::string domain = number == 0 ? "sender.sim" : fmt::format("d{}.sim", number);
      domains_.push_back(domain);
      for (uint32_t host = 0; host < hosts; ++host) {
        for (dns::ScriptedServer& server : dns_) {
          server.add(fmt::format("{}. {} IN MX {} mx{}-{}.sim.", domain, 30 + random_.below(600),
                                 10 + host * preference, site, host));
        }
      }
    }
  }
  hosts_.set_limit(plan_.connections_per_site, kLimitSlack);
  for (dns::ScriptedServer& server : dns_) server.add("null.sim. 300 IN MX 0 .");
  domains_.emplace_back("null.sim");
  domains_.emplace_back("nowhere.sim");
}

bool Run::dns_fails(const dns::Asked& question) {
  if (!trouble_ || !plan_.dns_trouble) return false;
  switch (random_.below(8)) {
    case 0:
      return true;  // silence
    case 1: {
      dns::Message answer = asked_->answer_to(question);
      asked_->reply(question, answer.rcode(2));  // SERVFAIL
      return true;
    }
    default:
      return false;
  }
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
[server.timeouts]
idle = "30s"
transaction = "3m"
[spool]
directory = "/spool"
segment_size = "1MiB"
disk_reserve = "0"
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
      shards, kRelay, plan_.memory_max, dns_[0].address.text(), dns_[1].address.text(),
      plan_.connections_per_site, plan_.expire_after.count / 1000);
}

void Run::start() {
  const uint32_t shards =
      lives_ == 0 || !chance(3) ? plan_.shards : 1 + static_cast<uint32_t>(random_.below(4));
  ++lives_;
  if (!machine_.start(configuration(shards))) {
    complain("the relay does not start: " + machine_.why());
  }
  const bool faulty_disk = plan_.disk_faults > 0;
  if (!faulty_disk) {
    for (const std::string& finding : machine_.findings()) {
      const bool torn = finding.find("was being written when") != std::string::npos;
      if (!torn) complain("recovery found: " + finding);
    }
  }
}

void Run::crash() {
  if (!machine_.running()) return;
  ledger_.crashed(world_.now());
  machine_.crash(plan_.power ? sim::Crash::power : sim::Crash::process);
}

void Run::fault() {
  using sim::DiskOperation;
  sim::DiskFault fault;
  constexpr DiskOperation kOperations[] = {DiskOperation::write, DiskOperation::write,
                                           DiskOperation::sync, DiskOperation::allocate};
  fault.operation = kOperations[random_.below(std::size(kOperations))];
  fault.nth = 1 + random_.below(20);
  fault.error = chance(2) ? EIO : ENOSPC;
  if (fault.operation == DiskOperation::write && chance(3)) {
    fault.error = 0;
    fault.short_octets = random_.below(8192);
  }
  fault.path_contains = "/spool";
  world_.inject(fault);
}

void Run::plan_events() {
  const auto sometime = [&](What what) {
    coming_.push_back({world_.now() + up_to(plan_.trouble), what});
  };
  for (uint32_t i = 0; i < plan_.crashes; ++i) sometime(What::crash);
  for (uint32_t i = 0; i < plan_.disk_faults; ++i) sometime(What::fault);
  for (uint32_t i = 0; plan_.clock_jumps && i < 3; ++i) sometime(What::jump);
  std::ranges::sort(coming_, [](const Coming& a, const Coming& b) { return a.at > b.at; });
}

void Run::happen() {
  const What what = coming_.back().what;
  coming_.pop_back();
  switch (what) {
    case What::crash:
      crash();
      coming_.push_back({world_.now() + up_to(seconds(20)), What::start});
      std::ranges::stable_sort(coming_,
                               [](const Coming& a, const Coming& b) { return a.at > b.at; });
      break;
    case What::start:
      if (!machine_.running()) start();
      break;
    case What::fault:
      fault();
      break;
    case What::jump:
      world_.step_wall_clock(
          Milliseconds{static_cast<int64_t>(random_.below(7'200'000)) - 3'600'000});
      break;
  }
}

void Run::begin_trouble() {
  trouble_ = plan_.trouble_level > 0;
  hosts_.set_trouble(trouble_);
  submitters_->set_trouble(trouble_);
  if (!trouble_) return;
  sim::NetworkOptions& network = world_.network();
  network.latency_us_max = 200 + static_cast<int64_t>(random_.below(50'000));
  network.segment_octets_max = chance(4) ? 1 + static_cast<uint32_t>(random_.below(20)) : 16384;
  if (chance(2)) network.reset_one_in = 300 + random_.below(3000);
  if (plan_.dns_trouble) {
    network.datagram_loss_one_in = 5 + random_.below(50);
    network.datagram_double_one_in = 5 + random_.below(50);
  }
  if (chance(3)) world_.disk().latency_us_max = 1000 + static_cast<int64_t>(random_.below(200'000));
  for (uint32_t site = 1; site < plan_.sites; ++site) {
    const SocketAddress first = *parse_socket_address(address_of(site, 0), 25);
    if (chance(6)) world_.refuse(first, true);
    if (chance(8)) world_.make_unreachable(first, true);
  }
}

void Run::end_trouble() {
  trouble_ = false;
  hosts_.set_trouble(false);
  submitters_->set_trouble(false);
  sim::NetworkOptions& network = world_.network();
  network.reset_one_in = network.datagram_loss_one_in = network.datagram_double_one_in = 0;
  network.latency_us_max = 500;
  network.segment_octets_max = 16384;
  world_.disk() = {};
  world_.clear_faults();
  for (uint32_t site = 1; site < plan_.sites; ++site) {
    const SocketAddress first = *parse_socket_address(address_of(site, 0), 25);
    world_.refuse(first, false);
    world_.make_unreachable(first, false);
  }
}

Outcome Run::go() {
  for (dns::ScriptedServer& server : dns_) {
    server.script = [this, &server](const dns::Asked& question) {
      asked_ = &server;
      return dns_fails(question);
    };
    world_.drive(*server.io, &server, [](void* self) {
      static_cast<dns::ScriptedServer*>(self)->turn(Monotonic::never());
    });
  }
  make_hosts();
  make_mails();
  const Monotonic begun = world_.now();
  start();
  SubmitterOptions options;
  options.relay = *parse_socket_address(kRelay, 25);
  options.sessions = plan_.sessions;
  options.over = plan_.over;
  if (plan_.trouble_level > 0) {
    options.vanish = 20;
    options.linger = 50;
  }
  submitters_ = std::make_unique<Submitters>(world_, ledger_, options, random_.next());
  begin_trouble();
  plan_events();
  const Monotonic end = begun + plan_.trouble;
  while (world_.now() < end) {
    const Monotonic next = coming_.empty() ? end : std::min(end, coming_.back().at);
    if (world_.now() < next) world_.run_for(next - world_.now());
    if (!coming_.empty() && coming_.back().at <= world_.now()) happen();
  }
  coming_.clear();
  end_trouble();
  if (!machine_.running()) start();
  close_up();

  Outcome outcome;
  outcome.violations = ledger_.violations(kOutcomeWindow);
  outcome.trace = world_.trace();
  if (const auto events = ring::disk::read("/events.jsonl", 0, UINT32_MAX)) {
    outcome.events.assign(reinterpret_cast<const char*>(events->data()), events->size());
  }
  outcome.crashes = ledger_.crashes.size();
  outcome.starts = lives_;
  outcome.simulated = world_.now() - begun;
  for (const Mail& mail : ledger_.mails) {
    outcome.kept += mail.fate == Mail::Fate::kept;
    outcome.refused += mail.fate == Mail::Fate::refused;
    if (mail.fate == Mail::Fate::refused && !mail.reply.empty()) ++outcome.refusals[mail.reply];
    outcome.unknown += mail.fate == Mail::Fate::unknown;
    for (const Recipient& recipient : mail.recipients) {
      outcome.copies += recipient.copies.size();
      outcome.notices += recipient.notices.size();
    }
  }
  return outcome;
}

// Recipients that a host would take, and that nothing has come of yet.
size_t Run::deliverable() const {
  size_t count = 0;
  for (const Mail& mail : ledger_.mails) {
    if (mail.fate != Mail::Fate::kept) continue;
    for (const Recipient& one : mail.recipients) {
      const bool waits = one.copies.empty() && one.notices.empty();
      if (waits && one.address.starts_with("r")) ++count;
    }
  }
  return count;
}

// Everything is good now: what is there comes to its end, and nothing is left.
void Run::close_up() {
  world_.run_until([this] { return submitters_->done(); }, kDrainMax);
  world_.run_until([this] { return deliverable() == 0; }, kSettleMax);
  if (const size_t late = deliverable(); late > 0) {
    complain(fmt::format("{} recipients wait after {} minutes of a good world", late,
                         kSettleMax.count / 60'000));
  }
  if (!world_.run_until([this] { return submitters_->done() && machine_.queued() == 0; },
                        kDrainMax)) {
    complain(
        fmt::format("after {} h of a good world {} mails are not handed in and {} recipients "
                    "are queued",
                    kDrainMax.count / 3'600'000, submitters_->waiting(), machine_.queued()));
    return;
  }
  world_.run_for(minutes(10));
  if (const std::string left = machine_.leftovers(); !left.empty()) {
    complain("when all is done: " + left);
  }
  if (!machine_.stop()) complain("the relay does not stop");
  machine_.crash(sim::Crash::process);
  start();
  if (machine_.recovered() > 0) {
    complain(fmt::format("a start after all was done finds {} messages", machine_.recovered()));
  }
}

}  // namespace

Plan Plan::of(uint64_t seed) {
  Prng random(seed * 0x9E3779B97F4A7C15ULL + 1);
  const auto between = [&](uint64_t low, uint64_t high) {
    return static_cast<uint32_t>(low + random.below(high - low + 1));
  };
  const auto seconds_between = [&](uint64_t low, uint64_t high) {
    return seconds(static_cast<int64_t>(between(low, high)));
  };
  Plan plan;
  plan.seed = seed;
  plan.shards = between(1, 4);
  plan.sites = between(2, 8);
  plan.domains = plan.sites + between(0, 12);
  plan.mails = between(20, random.below(4) == 0 ? 400 : 120);
  plan.sessions = between(1, 12);
  plan.connections_per_site = between(1, 6);
  plan.over = seconds_between(1, 120);
  plan.trouble = plan.over + seconds_between(1, 300);
  plan.trouble_level = between(0, 3);
  plan.expire_after = seconds_between(300, 3600);
  if (random.below(3) == 0) plan.memory_max = 1 << 20;
  if (plan.trouble_level == 0) return plan;
  plan.crashes = random.below(2) == 0 ? 0 : between(1, 5);
  plan.power = random.below(2) == 0;
  plan.disk_faults = random.below(3) > 0 ? 0 : between(1, 6);
  if (random.below(6) == 0) plan.disk_capacity = between(6, 30) * 1'048'576ULL;
  plan.clock_jumps = random.below(4) == 0;
  plan.dns_trouble = random.below(2) == 0;
  return plan;
}

std::string text(const Plan& plan) {
  return fmt::format(
      "seed {}: {} shards, {} domains at {} sites, {} mails by {} sessions in {} s, {} connections "
      "a site, trouble {} for {} s, {} crashes{}, {} disk faults, disk {}, expiry {} s{}{}",
      plan.seed, plan.shards, plan.domains, plan.sites, plan.mails, plan.sessions,
      plan.over.count / 1000, plan.connections_per_site, plan.trouble_level,
      plan.trouble.count / 1000, plan.crashes, plan.power ? " of the power" : "", plan.disk_faults,
      plan.disk_capacity == UINT64_MAX ? "unlimited"
                                       : fmt::format("{} MiB", plan.disk_capacity >> 20),
      plan.expire_after.count / 1000, plan.dns_trouble ? ", DNS trouble" : "",
      plan.clock_jumps ? ", clock jumps" : "");
}

Outcome run(const Plan& plan) { return Run(plan).go(); }

}  // namespace ringmta::simulation
