// SPDX-License-Identifier: GPL-3.0-or-later
// What this shard's queue is told about domains without a route: where their mail goes, or why it
// goes nowhere.
//
// The insight: a domain is asked for by one shard only, its home (dns::home_shard), so the DNS sees
// one question and one cache holds the answer. A question for another home travels there as the
// object that will hold its answer (relay/exchange.h) and comes back the same way.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "exchange.h"
#include "ringmta/config/settings.h"
#include "ringmta/dns/mx.h"
#include "ringmta/dns/resolver.h"
#include "ringmta/queue/queue.h"

namespace ringmta::relay {

class MailDomains final {
 public:
  MailDomains(shard::Loop& loop, const config::Settings& settings, Exchange& exchange, ShardId id);
  MailDomains(const MailDomains&) = delete;
  MailDomains& operator=(const MailDomains&) = delete;

  // Whom the answers are for; before the first question.
  void answer_to(queue::Queue& queue) { queue_ = &queue; }

  void resolve(std::string_view domain);                  // the queue's question
  void question(std::unique_ptr<dns::MxQuery> question);  // another shard's, this one is its home
  void answer(const dns::MxQuery& answer);                // to a question of this shard's

  void on_event(const ring::Event& event) { resolver_.on_event(event); }
  bool run();  // stage

  void ask_servers(std::vector<SocketAddress> servers) {
    resolver_.set_servers(std::move(servers));
  }
  const dns::Resolver& resolver() const { return resolver_; }
  const dns::MxResolver& mx() const { return mx_; }

 private:
  void answered(std::unique_ptr<dns::MxQuery> query);

  Exchange& exchange_;
  const ShardId id_;
  const uint32_t shards_;
  queue::Queue* queue_ = nullptr;
  dns::Resolver resolver_;
  dns::MxResolver mx_;
};

// The servers of /etc/resolv.conf where none are configured. What is not understood there is logged
// and handed back, line by line. Blocks on the file.
std::vector<std::string> find_dns_servers(config::Settings& settings);

// Those servers; this machine's addresses, which say
// where connections may come from, and to where mail would come back to us. Blocks on files; for
// start-up.
void complete_dns_settings(config::Settings& settings);

}  // namespace ringmta::relay
