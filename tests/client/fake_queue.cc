// SPDX-License-Identifier: GPL-3.0-or-later
#include "fake_queue.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ringmta::client {

// A job and the memory its views point to.
struct FakeQueue::Entry {
  queue::Job job;
  Mail mail;
  std::string wire;
};

namespace {
FakeQueue* being_made = nullptr;
}  // namespace

FakeQueue::FakeQueue(shard::Loop& loop, ShardId shard) : loop_(loop), shard_(shard) {
  being_made = this;
  alignas(16) static std::byte no_spool[16];  // never looked at
  queue_ = std::make_unique<queue::Queue>(loop, *reinterpret_cast<spool::Spool*>(no_spool),
                                          queue::QueueOptions{}, shard, 1, queue::QueueHost{});
}

FakeQueue::~FakeQueue() = default;

queue::SiteId FakeQueue::add_site(const std::vector<std::string>& hosts, uint32_t connections_max) {
  queue::Site site;
  site.id = {static_cast<uint32_t>(sites.size())};
  site.name = "site" + std::to_string(site.id.value);
  for (const std::string& host : hosts) {
    site.hosts.push_back({host, *parse_socket_address(host, 25), 0});
  }
  site.connections_max = site.local_share = connections_max;
  site.home = shard_;
  sites.push_back(site);
  ready_.emplace_back();
  held_until.emplace_back();
  return site.id;
}

void FakeQueue::add(queue::SiteId site, const Mail& mail) {
  ready_.at(site.value).push_back(mail);
  if (site_has_work != nullptr) site_has_work(pools, site);
  loop_.io().ring_doorbell();  // what happens to a real queue happens within a turn
}

FakeQueue::Entry& FakeQueue::make(queue::SiteId site, const Mail& mail) {
  if (spare_.empty()) {
    all_.push_back(std::make_unique<Entry>());
    spare_.push_back(all_.back().get());
  }
  Entry* entry = spare_.back();
  spare_.pop_back();
  entry->mail = mail;
  entry->wire = mail.content + ".\r\n";
  queue::Job& job = entry->job;
  job.keeper = shard_;
  job.site = site;
  job.attempt = 1;
  job.possible_duplicate = false;
  job.site_failed_until = {};
  job.recipient_views.clear();
  for (const std::string& to : entry->mail.to) job.recipient_views.push_back({to, {}, 0});
  smtp::Transaction& transaction = job.transaction;
  transaction.envelope = {};
  transaction.envelope.reverse_path = entry->mail.from;
  transaction.envelope.utf8 = mail.utf8;
  transaction.envelope.recipients = job.recipient_views;
  transaction.content = {entry->wire.size(), mail.dots, mail.eight_bit};
  job.content.clear();
  const size_t piece = std::max<size_t>(1, entry->wire.size() / std::max<size_t>(1, mail.pieces));
  for (size_t at = 0; at < entry->wire.size();) {
    const bool last = job.content.size() + 1 == mail.pieces;
    const size_t length = last ? entry->wire.size() - at : std::min(piece, entry->wire.size() - at);
    job.content.push_back({entry->wire.data() + at, length});
    at += length;
  }
  job.recipients.resize(mail.to.size());
  for (uint32_t i = 0; i < job.recipients.size(); ++i) {
    job.recipients[i].index = i;
    job.recipients[i].verdict = queue::Verdict::none;
    job.recipients[i].text.clear();
  }
  ++jobs_out;
  return *entry;
}

queue::Job* FakeQueue::make_lent(queue::SiteId site, const Mail& mail, ShardId keeper) {
  queue::Job& job = make(site, mail).job;
  job.keeper = keeper;
  return &job;
}

queue::Job* FakeQueue::next(queue::SiteId site) {
  if (held_until.at(site.value) > loop_.now() || ready_.at(site.value).empty()) return nullptr;
  Entry& entry = make(site, ready_[site.value].front());
  ready_[site.value].pop_front();
  if (lifetime.count > 0) entry.job.expires = loop_.now() + lifetime;
  return &entry.job;
}

void FakeQueue::done(queue::Job* job) {
  static_assert(offsetof(Entry, job) == 0);
  auto* entry = reinterpret_cast<Entry*>(job);
  EXPECT_FALSE(job->link.linked());
  --jobs_out;
  Mail again = entry->mail;
  again.to.clear();
  for (size_t i = 0; i < job->recipients.size(); ++i) {
    const queue::JobRecipient& one = job->recipients[i];
    EXPECT_NE(one.verdict, queue::Verdict::none);
    if (one.verdict == queue::Verdict::retry_now) {
      again.to.push_back(entry->mail.to[i]);
      ++retries_now;
      continue;
    }
    Result result;
    result.mail = entry->mail.name;
    result.to = entry->mail.to[i];
    result.verdict = one.verdict;
    result.code = one.code;
    result.text = one.text;
    result.phase = one.phase;
    result.possible_duplicate =
        job->possible_duplicate && one.phase == smtp::Phase::content && one.code == 0;
    if (job->peer.length > 0) result.peer = job->peer.text();
    result.peer_name = job->peer_name;
    result.tls = job->tls;
    results.push_back(std::move(result));
  }
  if (!again.to.empty()) {
    ready_.at(job->site.value).push_front(again);
    if (site_has_work != nullptr) site_has_work(pools, job->site);
  }
  // The memory is what a job's sender must not touch any more.
  std::fill(entry->wire.begin(), entry->wire.end(), '#');
  spare_.push_back(entry);
}

void FakeQueue::take_back(queue::Job* job) {
  lent_failed_until = job->site_failed_until;
  done(job);
}

uint32_t FakeQueue::count(queue::Verdict verdict) const {
  return static_cast<uint32_t>(
      std::count_if(results.begin(), results.end(),
                    [&](const Result& result) { return result.verdict == verdict; }));
}

const Result* FakeQueue::result_of(const std::string& mail, const std::string& to) const {
  const auto found = std::find_if(results.begin(), results.end(), [&](const Result& result) {
    return result.mail == mail && result.to == to;
  });
  return found == results.end() ? nullptr : &*found;
}

}  // namespace ringmta::client

namespace ringmta::queue {

struct Queue::Impl {
  client::FakeQueue& fake;
};

Queue::Queue(shard::Loop& /*loop*/, spool::Spool& /*spool*/, const QueueOptions& /*options*/,
             ShardId /*shard*/, uint32_t /*shards*/, QueueHost /*host*/)
    : impl_(new Impl{*client::being_made}) {}
Queue::~Queue() = default;

Job* Queue::next_job(SiteId site) { return impl_->fake.next(site); }
uint32_t Queue::work(SiteId site) const {
  const client::FakeQueue& fake = impl_->fake;
  if (fake.held_until.at(site.value) > fake.loop_.now()) return 0;
  return static_cast<uint32_t>(fake.ready_[site.value].size());
}
void Queue::job_done(Job* job) { impl_->fake.done(job); }
void Queue::site_failed(SiteId site, const SiteTrouble& trouble, Monotonic until, bool crowded) {
  impl_->fake.held_until.at(site.value) = until;
  impl_->fake.failed_status = trouble.status;
  impl_->fake.failed_crowded = crowded;
  std::string news = "failed " + std::to_string(site.value) + ": ";
  if (trouble.code != 0) {
    news += std::string(trouble.host) + ": " + std::to_string(trouble.code) + " ";
  }
  impl_->fake.news.push_back(news + std::string(trouble.text));
}
void Queue::site_recovered(SiteId site) {
  impl_->fake.news.push_back("recovered " + std::to_string(site.value));
}
const Site& Queue::site(SiteId id) const { return impl_->fake.sites.at(id.value); }

}  // namespace ringmta::queue
