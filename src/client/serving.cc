// SPDX-License-Identifier: GPL-3.0-or-later
// Which connection gets which job.
//
// The insight: what a message costs is mostly its writes and reads, and a transaction begun while
// its connection has unsent output (the content after a 354, or another envelope) leaves with that
// write: it rides along. So for peers that answer fast such connections come first, a job even
// waits a moment for one that is about to get its 354, and few connections carry the traffic, with
// one write per message instead of two. For slow peers idle connections come first, then new ones,
// and pipelines get deep only when no more may be opened.
#include <algorithm>

#include "pools_impl.h"
#include "stuffed_dots.h"

namespace ringmta::client {

void Pools::Impl::unplace(Connection& connection) {
  connection.in_site.unlink();
  if (connection.boarding) --connection.site->boarding;
  connection.boarding = false;
  if (!connection.idle_link.linked()) return;
  connection.idle_link.unlink();
  --counters.idle;
}

// Finds its place after something happened to it.
void Pools::Impl::settle(Connection& connection) {
  if (connection.state != Connection::State::ready) return;
  SitePool& site = *connection.site;
  if (used_up(connection)) {
    leave(connection);
    return;
  }
  // Another site has no connection at all and there is no room: who has had a turn makes some.
  if (connection.finished > 0 && retiring < waiting_sites) {
    retire(connection);
    return;
  }
  if (!connection.session.can_begin()) {
    unplace(connection);
    connection.boarding = takes_along_soon(connection);
    if (connection.boarding) ++site.boarding;
    return;
  }
  if (connection.jobs.empty()) {
    if (!connection.idle_link.linked()) {
      unplace(connection);
      site.idle.push_front(connection);
      idle.push_back(connection);
      ++counters.idle;
    }
  } else {
    unplace(connection);
    if (connection.session.has_output()) {
      site.able.push_front(connection);
    } else {
      site.able.push_back(connection);
    }
  }
  if (site.wants_connections()) touch(site);
}

bool Pools::Impl::used_up(const Connection& connection) const {
  if (connection.session.exhausted()) return true;
  return connection.begun > 0 && options.connection_age_max.count > 0 &&
         connection.opened_at + options.connection_age_max <= now();
}

// An envelope is with the peer; when its 354 comes, another one may leave with the content.
bool Pools::Impl::takes_along_soon(const Connection& connection) const {
  const smtp::ClientSession& session = connection.session;
  const uint32_t open = session.transactions_open();
  return options.session.pipelining && session.capabilities().pipelining && open > 0 &&
         open < smtp::ClientSession::kDepthMax;
}

// Are all jobs there are better off waiting for such connections than beginning elsewhere?
bool Pools::Impl::wait_for_ride(SitePool& site) {
  if (site.boarding == 0) return false;
  const uint32_t jobs = (site.work ? queue.work(site.id) : 0) + site.lent_count;
  if (jobs == 0 || jobs > site.boarding) return false;
  if (site.ride_until.ns == 0) site.ride_until = now() + kRideWait;
  return now() < site.ride_until;
}

Connection* Pools::Impl::pick(SitePool& site, bool pack) {
  while (Connection* free = site.idle.front()) {
    if (!used_up(*free)) return free;
    leave(*free);  // it has grown too old while it waited
  }
  return pack ? site.able.front() : nullptr;
}

// Our own work and that of other shards in turn.
queue::Job* Pools::Impl::next_job(SitePool& site) {
  site.lent_first = !site.lent_first;
  if (site.lent_first || !site.work) {
    if (queue::Job* job = next_lent(site); job != nullptr) return job;
  }
  if (site.work) {
    if (queue::Job* job = queue.next_job(site.id); job != nullptr) return job;
    site.work = false;
  }
  return next_lent(site);
}

queue::Job* Pools::Impl::next_lent(SitePool& site) {
  if (site.lent_due <= now()) return_late(site);
  queue::Job* job = site.lent.pop_front();
  if (job != nullptr) --site.lent_count;
  return job;
}

void Pools::Impl::serve(SitePool& site) {
  if (!stopping) {
    bool pack = site.fast();
    uint32_t taken = 0;
    while (site.wants_connections()) {
      Connection* connection = pack ? site.able.front() : nullptr;
      if (connection == nullptr || !connection->session.has_output()) {
        if (pack && wait_for_ride(site)) break;
        connection = pick(site, pack);
      }
      if (connection == nullptr) {
        const uint32_t mine = site.work ? queue.work(site.id) : 0;
        site.work = mine > 0;
        if (!site.wants_connections()) break;
        const uint32_t jobs = mine + site.lent_count;
        const uint32_t useful = jobs - std::min(jobs, site.opening);
        const bool opened = open_more(site, std::min(useful, 1 + taken));
        if (pack || opened || site.opening > 0) break;
        pack = true;
        continue;
      }
      queue::Job* job = next_job(site);
      if (job == nullptr) break;
      site.ride_until = {};
      begin(*connection, *job);
      ++taken;
    }
  }
  if (!site.wants_connections()) {
    no_longer_waiting(site);
    site.ride_until = {};
  }
  arm_site(site);
  retire_site_if_quiet(site);
}

// Once per job, so the parts may be changed; the facts are for the events and stay.
void Pools::Impl::begin_session(Connection& connection, queue::Job& job) {
  const smtp::ContentFacts& content = job.transaction.content;
  if (content.has_dot_stuffing && content.wire_size <= Copy::kOctets &&
      connection.session.would_chunk(content.wire_size)) {
    const size_t dots = leave_out_stuffed_dots(job.content, content.wire_size, unstuffed);
    if (dots > 0) {
      job.content.swap(unstuffed);
      smtp::Transaction transaction = job.transaction;
      transaction.content.wire_size -= dots;
      transaction.content.has_dot_stuffing = false;
      connection.session.begin(transaction);
      return;
    }
  }
  connection.session.begin(job.transaction);
}

void Pools::Impl::begin(Connection& connection, queue::Job& job) {
  unplace(connection);
  job.begun = now();
  job.peer = connection.host->address;
  job.peer_name = connection.host->name;
  job.peer_has_dsn = connection.session.capabilities().dsn;
  job.possible_duplicate = false;
  job.tls = {};
  if (connection.secure != nullptr) {
    const tls::Facts& facts = connection.secure->session.facts();
    job.tls = {facts.version, facts.cipher, facts.verified, facts.resumed};
    ++counters.tls_transactions;
  }
  job.transaction.tag = reinterpret_cast<uintptr_t>(&job);
  connection.jobs.push_back(job);
  begin_session(connection, job);
  ++connection.begun;
  ++counters.transactions;
  const uint32_t most = queue.site(connection.site->id).messages_per_connection_max;
  if (most != 0 && connection.begun >= most) leave(connection);
  feed(connection, {});  // verdicts that need no reply
  touch(connection);
  settle(connection);
}

}  // namespace ringmta::client
