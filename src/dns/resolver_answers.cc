// SPDX-License-Identifier: GPL-3.0-or-later
// What an answer means for its question: the end, another server, another name, or TCP.
#include <algorithm>

#include "resolver_impl.h"

namespace ringmta::dns {

void Resolver::Impl::on_answer(Query& query, uint8_t server, bool edns) {
  const bool over_tcp = query.state == Query::State::tcp;
  query.state = Query::State::udp;
  switch (answer.kind) {
    case Answer::Kind::truncated:
      if (over_tcp) {
        ++counters.malformed;
        attempt_failed(query, Failure::malformed);
        return;
      }
      ++counters.truncated;
      ask_over_tcp(query, server);
      return;
    case Answer::Kind::error:
      on_error_answer(query, server, edns);
      return;
    case Answer::Kind::alias:
      follow_alias(query);
      return;
    case Answer::Kind::alias_loop:
      finish(query, Fate::failed, Failure::alias_loop);
      return;
    case Answer::Kind::found:
      finish(query, Fate::found, Failure::none);
      return;
    case Answer::Kind::no_data:
      finish(query, Fate::no_data, Failure::none);
      return;
    case Answer::Kind::no_such_name:
      finish(query, Fate::no_such_name, Failure::none);
      return;
  }
}

void Resolver::Impl::on_error_answer(Query& query, uint8_t server, bool edns) {
  const bool means_edns = answer.rcode == kRcodeFormat || answer.rcode == kRcodeNotImplemented ||
                          answer.rcode == kRcodeBadVersion;
  if (edns && means_edns) {  // RFC 6891 7: again, the old way
    servers.no_edns(server, io.now());
    if (server != Servers::kNone && ask_over_udp(query, server)) return;
  }
  ++counters.errors;
  if (answer.rcode != kRcodeServerFailure) servers.was_useless(server);
  attempt_failed(query, Failure::refused);
}

void Resolver::Impl::follow_alias(Query& query) {
  close_attempts(query);
  query.aliases = static_cast<uint8_t>(query.aliases + answer.aliases);
  query.ttl_s = std::min(query.ttl_s, answer.ttl_s);
  if (query.aliases > kAliasesMax) {
    finish(query, Fate::failed, Failure::alias_loop);
    return;
  }
  query.current = answer.owner;
  query.attempts_used = 0;
  query.tried = 0;
  if (!ask_next(query, false)) finish(query, Fate::failed, Failure::unreachable);
}

void Resolver::Impl::finish(Query& query, Fate fate, Failure failure) {
  RINGMTA_ASSERT(query.state == Query::State::udp || query.state == Query::State::tcp);
  close_attempts(query);
  leave_connection(query);
  query.timer.link.unlink();
  query.tcp_link.unlink();
  query.link.unlink();
  --counters.in_flight;
  forget(query);
  RecordSet& result = query.result;
  result.fate = fate;
  result.failure = failure;
  result.type = query.type;
  Milliseconds ttl{};
  if (fate == Fate::failed) {
    ++counters.failed;
  } else {
    ++counters.answers;
    query.ttl_s = std::min(query.ttl_s, answer.ttl_s);
    ttl = seconds(query.ttl_s);
  }
  if (fate == Fate::found) {
    query.packed = answer.packed;
    result.count = answer.count;
    result.packed = query.packed;
  }
  // A refreshment that failed takes nothing away from what is still good. (Those who wanted to know
  // may have gone on without: the failure of theirs is remembered.)
  const bool refreshing = query.is_refreshment && query.waiters.empty();
  if (fate != Fate::failed || !refreshing) {
    result.expires = cache.store(query.key, result, ttl, io.now());
  }
  query.state = Query::State::finished;
  finished.push_back(query);
}

void Resolver::Impl::hand_out(Query& query) {
  while (Lookup* waiter = query.waiters.pop_front()) {
    waiter->done(waiter->self, *waiter, query.result);
  }
  queries.release(query.slot);
}

}  // namespace ringmta::dns
