// SPDX-License-Identifier: GPL-3.0-or-later
// What goes wrong in a run, and when; and how all of it ends.
#include <algorithm>
#include <cerrno>

#include "ringmta/base/log.h"
#include "rot.h"
#include "run.h"

namespace ringmta::simulation {

bool Run::dns_fails(const dns::Asked& question) {
  if (dns_gone_) {
    ledger_.note_fault("no name server for long");
    return true;
  }
  if (trouble_ && liar_ != nullptr && chance(3)) {
    ledger_.note_fault("a lie of the DNS");
    return liar_->lie(*asked_, question);
  }
  if (!trouble_ || !plan_.dns_trouble) return false;
  switch (random_.below(8)) {
    case 0:
      ledger_.note_fault("a name server is silent");
      return true;
    case 1: {
      dns::Message answer = asked_->answer_to(question);
      asked_->reply(question, answer.rcode(2));
      ledger_.note_fault("SERVFAIL");
      return true;
    }
    default:
      return false;
  }
}

void Run::crash() {
  if (!machine_.running()) return;
  ledger_.crashed(world_.now());
  ledger_.note_fault(plan_.power ? "the power fails" : "the process dies");
  log(LogLevel::info, "crash at {:.3f} s", static_cast<double>(world_.now().ns) / 1e9);
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
  fault.path_contains = kSpool;
  world_.inject(fault);
}

void Run::read_fault() {
  sim::DiskFault fault;
  fault.operation = sim::DiskOperation::read;
  fault.nth = 1 + random_.below(5);
  fault.path_contains = kSpool;
  if (chance(2)) {
    fault.error = EIO;
  } else {
    fault.short_octets = random_.below(8192);
  }
  world_.inject(fault);
}

void Run::storm() {
  constexpr Storm kStorms[] = {Storm::temporary, Storm::permanent, Storm::shutdown, Storm::none};
  const auto site = static_cast<uint32_t>(random_.below(plan_.sites));
  if (site > 0) hosts_.set_storm(site, kStorms[random_.below(std::size(kStorms))]);
}

// All hosts but the senders', half of them without a word.
void Run::outage(bool begins) {
  for (uint32_t site = 1; site < plan_.sites; ++site) {
    for (uint32_t host = 0; host < 3; ++host) {
      const SocketAddress address = *parse_socket_address(address_of(site, host), 25);
      if (site % 2 == 0) {
        world_.refuse(address, begins);
      } else {
        world_.make_unreachable(address, begins);
      }
    }
  }
}

void Run::plan_events() {
  const auto sometime = [&](What what) {
    coming_.push_back({world_.now() + up_to(plan_.trouble), what});
  };
  for (uint32_t i = 0; i < plan_.crashes; ++i) sometime(What::crash);
  for (uint32_t i = 0; i < plan_.disk_faults; ++i) sometime(What::fault);
  for (uint32_t i = 0; plan_.clock_jumps && i < 3; ++i) sometime(What::jump);
  for (uint32_t i = 0; plan_.read_faults && i < 10; ++i) sometime(What::read_fault);
  for (uint32_t i = 0; i < plan_.rot; ++i) sometime(What::rot);
  for (uint32_t i = 0; i < plan_.storms; ++i) sometime(What::storm);
  const auto gone = [&](Milliseconds time, What begin) {
    if (time.count > 0) coming_.push_back({world_.now() + up_to(plan_.trouble - time), begin});
  };
  gone(plan_.dns_outage, What::dns_gone);
  gone(plan_.mx_outage, What::hosts_gone);
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
    case What::jump: {
      const int64_t far_ms = plan_.far_jumps && chance(2) ? hours(24 * 3650).count : 3'600'000;
      const auto by = static_cast<int64_t>(random_.below(static_cast<uint64_t>(far_ms) * 2));
      world_.step_wall_clock(Milliseconds{by - far_ms});
      ledger_.note_fault(by < far_ms ? "the clock is set back" : "the clock is set forward");
      break;
    }
    case What::read_fault:
      read_fault();
      break;
    case What::rot:
      rot(world_, ledger_, random_, kSpool, plan_.rot_anywhere);
      ledger_.note_fault("a stored bit rots");
      break;
    case What::storm:
      storm();
      break;
    case What::hosts_gone:
      outage(true);
      ledger_.note_fault("no host for long");
      break;
    case What::dns_gone:
      dns_gone_ = true;
      coming_.push_back({world_.now() + plan_.dns_outage, What::dns_back});
      std::ranges::stable_sort(coming_,
                               [](const Coming& a, const Coming& b) { return a.at > b.at; });
      break;
    case What::dns_back:
      dns_gone_ = false;
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
  network_us_max_ = std::max(network_us_max_, network.latency_us_max);
  network.segment_octets_max = chance(4) ? 1 + static_cast<uint32_t>(random_.below(20)) : 16384;
  if (network.segment_octets_max <= 20) ledger_.note_fault("segments of a few octets");
  if (chance(2)) network.reset_one_in = 300 + random_.below(3000);
  if (plan_.dns_trouble) {
    network.datagram_loss_one_in = 5 + random_.below(50);
    network.datagram_double_one_in = 5 + random_.below(50);
  }
  if (chance(3)) world_.disk().latency_us_max = 1000 + static_cast<int64_t>(random_.below(200'000));
  disk_us_max_ = std::max(disk_us_max_, world_.disk().latency_us_max);
  if (plan_.scarce_ring) {
    network.receive_buffers_max = 1 + static_cast<uint32_t>(random_.below(16));
    network.completions_max = 1 + static_cast<uint32_t>(random_.below(16));
    network.cancel_us_max = 1 + static_cast<int64_t>(random_.below(3'000'000));
    network.window_octets = 1 + static_cast<uint32_t>(random_.below(8192));  // short sends
    world_.disk().stall_one_in = 20 + random_.below(200);
    world_.disk().stall_max = stall_max_ = up_to(seconds(60));
  }
  if (plan_.read_faults) world_.disk().flip_one_in = 2 + random_.below(20);
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
  const sim::NetworkOptions good;
  network.receive_buffers_max = good.receive_buffers_max;
  network.completions_max = good.completions_max;
  network.cancel_us_max = good.cancel_us_max;
  network.window_octets = good.window_octets;
  world_.disk() = {};
  dns_gone_ = false;
  outage(false);
  for (uint32_t site = 0; site < plan_.sites; ++site) hosts_.set_storm(site, Storm::none);
  world_.clear_faults();
  for (uint32_t site = 1; site < plan_.sites; ++site) {
    const SocketAddress first = *parse_socket_address(address_of(site, 0), 25);
    world_.refuse(first, false);
    world_.make_unreachable(first, false);
  }
}

}  // namespace ringmta::simulation
