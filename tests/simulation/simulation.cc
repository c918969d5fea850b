// SPDX-License-Identifier: GPL-3.0-or-later
// The course of a run, and its end.
#include "simulation.h"

#include <fmt/format.h>

#include <algorithm>

#include "accounts.h"
#include "ringmta/ring/disk.h"
#include "run.h"

namespace ringmta::simulation {

namespace {

// An outcome is on disk so soon after it happened: what the reply takes through the network, the
// spool's note_delay_max, the write under way and its own. A disk that stalls makes it longer, and
// so does one whose writes fail: they are made again after pauses.
constexpr Milliseconds kNoteDelay{10};
constexpr Milliseconds kFailureWindow{2'000};
constexpr Milliseconds kDrainMax = hours(72);
// In a good world whatever can be delivered is: every wait that the configuration below and the
// hosts impose (retry, a failed host, grey listing, a DNS failure) is a minute or two, and content
// that could not be read is read again within five.
constexpr Milliseconds kSettleMax = minutes(15);

}  // namespace

sim::WorldOptions Run::options_of(const Plan& plan) {
  sim::WorldOptions options;
  options.seed = plan.seed;
  options.disk.capacity_octets = plan.disk_capacity;
  return options;
}

void Run::start() {
  const uint32_t shards =
      lives_ == 0 || !chance(3) ? plan_.shards : 1 + static_cast<uint32_t>(random_.below(4));
  ++lives_;
  if (!machine_.start(configuration(shards))) {
    complain("the relay does not start: " + machine_.why());
  }
  say_what_was_found();
  const bool faulty_disk = plan_.disk_faults > 0 || plan_.rot > 0;
  if (!faulty_disk) {
    for (const std::string& finding : machine_.findings()) {
      const bool torn = finding.find("was being written when") != std::string::npos;
      if (!torn) complain("recovery found: " + finding);
    }
  }
}

// What start-up says about the spool is a word about what is lost. (A bit that rots in the last
// batch before a crash makes it one that was being written: nobody could tell them apart.)
void Run::say_what_was_found() {
  for (const std::string& finding : machine_.findings()) {
    if (plan_.rot > 0 && finding.find("was being written when") != std::string::npos) {
      ledger_.damage_reported = true;
    }
    if (finding.find("damaged") != std::string::npos ||
        finding.find("no segment") != std::string::npos ||
        finding.find("lost its header") != std::string::npos) {
      ledger_.damage_reported = true;
    }
  }
}

void Run::watch() {
  if (!machine_.running()) return;
  memory_max_ = std::max(memory_max_, machine_.memory_octets());
  const std::string found = machine_.beyond_limits();
  if (!found.empty() && ledger_.oddities.size() < 20) complain("beyond a limit: " + found);
}

// With a look at the limits now and then.
void Run::live_until(Monotonic end) {
  const Milliseconds slice = seconds(plan_.mx_outage.count + plan_.dns_outage.count > 0 ? 30 : 1);
  while (world_.now() < end) {
    world_.run_for(std::min(slice, end - world_.now()));
    watch();
  }
}

namespace {

// Recipients whom a host would take, and whose time ran out.
uint64_t expired_in(std::string_view events) {
  uint64_t count = 0;
  for (size_t at = 0; at < events.size();) {
    const size_t end = std::min(events.find('\n', at), events.size());
    const std::string_view line = events.substr(at, end - at);
    const bool is = line.starts_with("{\"event\":\"expired\"");
    if (is && line.find("\"recipient\":\"r") != std::string_view::npos) ++count;
    at = end + 1;
  }
  return count;
}

}  // namespace

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
    if (plan_.scarce_ring) options.half_close = 10;
  }
  submitters_ = std::make_unique<Submitters>(world_, ledger_, options, random_.next());
  begin_trouble();
  plan_events();
  const Monotonic end = begun + plan_.trouble;
  while (world_.now() < end) {
    const Monotonic next = coming_.empty() ? end : std::min(end, coming_.back().at);
    live_until(next);
    if (!coming_.empty() && coming_.back().at <= world_.now()) happen();
  }
  coming_.clear();
  end_trouble();
  if (!machine_.running()) start();
  close_up();

  Outcome outcome;
  outcome.violations = ledger_.violations(outcome_window());
  outcome.trace = world_.trace();
  outcome.struck = ledger_.struck;
  for (const auto& [what, count] : world_.struck()) outcome.struck[std::string(what)] += count;
  if (const auto events = ring::disk::read("/events.jsonl", 0, UINT32_MAX)) {
    outcome.events.assign(reinterpret_cast<const char*>(events->data()), events->size());
  }
  // A full disk cuts lines, and another shard's may follow at once.
  const bool was_full = outcome.struck.contains("the disk is full");
  if (plan_.rot == 0 && lost_events_ == 0 && !was_full) {
    const size_t crashes = ledger_.crashes.size();
    for (std::string& mistake : mistakes_in(outcome.events, crashes, crashes > 0 && plan_.power)) {
      outcome.violations.push_back(std::move(mistake));
    }
  }
  outcome.crashes = ledger_.crashes.size();
  outcome.starts = lives_;
  outcome.memory_max = memory_max_;
  outcome.expired = expired_in(outcome.events);
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

Milliseconds Run::outcome_window() const {
  // A write fails in the last segment that notes may go to, and the full disk gives no other: they
  // wait in memory until there is room.
  const bool full = plan_.disk_capacity != UINT64_MAX || plan_.disk_max > 0;
  if (full && plan_.disk_faults > 0) return plan_.trouble;
  if (full || plan_.disk_faults > 0) return kFailureWindow + stall_max_;
  const int64_t ways_us = 2 * network_us_max_ + 3 * disk_us_max_;
  return kNoteDelay + Milliseconds{1 + ways_us / 1000} + stall_max_;
}

// Recipients that a host would take, and that nothing has come of yet.
size_t Run::deliverable() const {
  size_t count = 0;
  for (const Mail& mail : ledger_.mails) {
    if (mail.fate != Mail::Fate::kept) continue;
    for (const Recipient& one : mail.recipients) {
      const bool waits = one.copies.empty() && one.notices.empty();
      if (waits && one.address.starts_with("r") && !mail.rotten) ++count;
    }
  }
  return count;
}

// What cannot be read waits for somebody to mend the disk. Nobody does: a start sets it aside.
void Run::set_aside_what_rots() {
  world_.run_for(kSettleMax);
  if (!machine_.stop()) complain("the relay does not stop");
  machine_.crash(sim::Crash::process);
  start();
}

// Everything is good now: what is there comes to its end, and nothing is left.
void Run::close_up() {
  world_.run_until([this] { return submitters_->done(); }, kDrainMax);
  if (plan_.rot > 0) set_aside_what_rots();
  for (const Monotonic end = world_.now() + kSettleMax;
       world_.now() < end && !ledger_.spool_rotten && deliverable() > 0;) {
    world_.run_for(seconds(1));
  }
  if (const size_t late = deliverable(); late > 0 && !ledger_.spool_rotten) {
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
  lost_events_ = machine_.events_lost();
  if (!machine_.stop()) complain("the relay does not stop");
  machine_.crash(sim::Crash::process);
  start();
  if (machine_.recovered() > 0 && plan_.rot == 0) {
    complain(fmt::format("a start after all was done finds {} messages", machine_.recovered()));
  }
}

Outcome run(const Plan& plan) { return Run(plan).go(); }

}  // namespace ringmta::simulation
