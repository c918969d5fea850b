// SPDX-License-Identifier: GPL-3.0-or-later
// The queue's class with a simple inside, linked instead of the real one: mails wait in a row per
// site, verdicts are written down.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "ringmta/queue/queue.h"

namespace ringmta::client {

struct Mail {
  std::string name;
  std::vector<std::string> to = {"b@two.example"};
  std::string content = "Subject: hello\r\n\r\nworld\r\n";  // wire form without the closing ".CRLF"
  std::string from = "a@one.example";
  bool dots = false, eight_bit = false, utf8 = false;
  size_t pieces = 2;  // the content lies in so many
};

// What became of a recipient.
struct Result {
  std::string mail, to;
  queue::Verdict verdict = queue::Verdict::none;
  uint16_t code = 0;
  std::string text;
  smtp::Phase phase = smtp::Phase::connect;
  bool possible_duplicate = false;  // as events tell it (events/line.cc)
  std::string peer, peer_name;
  queue::JobTls tls;
};

class FakeQueue final {
 public:
  FakeQueue(shard::Loop& loop, ShardId shard);
  ~FakeQueue();

  queue::SiteId add_site(const std::vector<std::string>& hosts, uint32_t connections_max = 10);
  queue::Site& site(queue::SiteId id) { return sites.at(id.value); }
  void add(queue::SiteId site, const Mail& mail);
  void drop(queue::SiteId site) { ready_.at(site.value).clear(); }  // what waits, unjudged
  // A job of another shard, to be handed to Pools::lent(); comes back by take_back().
  queue::Job* make_lent(queue::SiteId site, const Mail& mail, ShardId keeper);
  void take_back(queue::Job* job);

  uint32_t count(queue::Verdict verdict) const;
  const Result* result_of(const std::string& mail, const std::string& to = "b@two.example") const;

  queue::Queue& real() { return *queue_; }
  void* pools = nullptr;  // of site_has_work
  void (*site_has_work)(void* pools, queue::SiteId site) = nullptr;

  std::vector<queue::Site> sites;
  std::vector<Result> results;    // retry_now is not among them: the mail waits again
  std::vector<std::string> news;  // "failed 0: REASON", "recovered 0"
  std::vector<Monotonic> held_until;
  smtp::EnhancedStatus failed_status{};  // of the last failure
  bool failed_crowded = false;           // likewise
  uint32_t retries_now = 0;
  Milliseconds lifetime{0};  // of jobs given out from now on; 0: they do not expire
  uint32_t jobs_out = 0;
  Monotonic lent_failed_until{};

 private:
  friend class queue::Queue;
  struct Entry;
  queue::Job* next(queue::SiteId site);
  void done(queue::Job* job);
  Entry& make(queue::SiteId site, const Mail& mail);

  shard::Loop& loop_;
  ShardId shard_;
  std::unique_ptr<queue::Queue> queue_;
  std::vector<std::deque<Mail>> ready_;
  std::vector<std::unique_ptr<Entry>> all_;
  std::vector<Entry*> spare_;
};

}  // namespace ringmta::client
