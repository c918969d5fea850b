// SPDX-License-Identifier: GPL-3.0-or-later
// The commands of the control socket. A listing walks one shard after the other, a page at a time;
// each page is a task of its own, so mail goes on between two pages.

#include "operator.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>

#include "ringmta/base/log.h"
#include "ringmta/http/metrics.h"
#include "shard_relay.h"
#include "task.h"

namespace ringmta::relay {

namespace {

using Json = nlohmann::json;
using Entry = queue::Queue::Listing::Entry;

constexpr size_t kPage = 200;                     // entries a shard gives at a time
constexpr uint64_t kLimitDefault = 1000;          // entries of a listing without --limit
constexpr Milliseconds kAnswerMax = seconds(20);  // how long a shard may take for one page
constexpr Milliseconds kFreshMax{500};            // and for its counters; then older ones are shown

WallTime wall_now() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return {std::chrono::duration_cast<std::chrono::milliseconds>(since).count()};
}

void refuse(const http::ControlServer::Reply& reply, std::string sentence) {
  reply({{"error", std::move(sentence)}, {"end", true}});
}

std::string text_in(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// The filter of a request; nothing when it names an id that is none.
std::optional<queue::Queue::Filter> filter_of(const Json& request) {
  queue::Queue::Filter filter;
  const auto given = request.find("filter");
  if (given == request.end() || !given->is_object()) return filter;
  filter.domain = text_in(*given, "domain");
  filter.sender = text_in(*given, "sender");
  filter.site = text_in(*given, "site");
  const std::string id = text_in(*given, "id");
  if (id.empty()) return filter;
  filter.id = message_id_from_text(id);
  if (!filter.id) return std::nullopt;
  return filter;
}

bool empty(const queue::Queue::Filter& filter) {
  return filter.domain.empty() && filter.sender.empty() && filter.site.empty() && !filter.id;
}

const char* state_name(queue::Queue::Listing::State state) {
  constexpr const char* kNames[] = {"ready", "held", "deferred", "active", "unresolved"};
  return kNames[static_cast<size_t>(state)];
}

Json to_json(const Entry& entry, uint32_t shard) {
  const MessageIdText id = to_text(entry.id);
  return {{"id", std::string(view(id))},
          {"shard", shard},
          {"recipient_index", entry.recipient},
          {"sender", entry.sender},
          {"recipient", entry.address},
          {"site", entry.site},
          {"state", state_name(entry.state)},
          {"attempts", entry.attempts},
          {"size", entry.size},
          {"arrival_ms", entry.arrival.ms},
          {"next_attempt_ms", entry.next_attempt.ms},
          {"last_reply", entry.last_reply}};
}

}  // namespace

Operator::Operator(const config::Settings& settings, Exchange& exchange,
                   const std::vector<http::SnapshotCell<http::ShardSnapshot>>& snapshots,
                   Reload reload)
    : settings_(settings),
      exchange_(exchange),
      cells_(snapshots),
      reload_(std::move(reload)),
      started_(wall_now()) {}

std::vector<http::ShardSnapshot> Operator::snapshots() const {
  std::vector<http::ShardSnapshot> found;
  for (const auto& cell : cells_) {
    http::ShardSnapshot snapshot;
    if (cell.read(snapshot)) found.push_back(snapshot);
  }
  return found;
}

// Shards publish their counters seldom when they rest: who asks is told what is so now.
void Operator::freshen() const {
  std::vector<std::shared_ptr<Task>> asked;
  for (uint16_t shard = 0; shard < settings_.shards; ++shard) {
    asked.push_back(Task::post(exchange_, ShardId{shard}, [](ShardRelay& relay) {
      relay.publish();
      return true;
    }));
  }
  for (const std::shared_ptr<Task>& task : asked) task->wait(kFreshMax);
}

Json Operator::status() const {
  freshen();
  Json shards = Json::array();
  Json warnings = Json::array();
  for (const http::ShardSnapshot& snapshot : snapshots()) {
    shards.push_back(http::to_json(snapshot));
    if (!snapshot.spool.accepting) {
      warnings.push_back(
          fmt::format("shard {} takes no mail (452 4.3.1): the spool has no room or cannot be "
                      "written; delivery "
                      "goes on",
                      snapshot.shard));
    }
    if (snapshot.queue.full) {
      warnings.push_back(
          fmt::format("shard {} takes no mail (452 4.3.1): {} recipients are queued, and [queue] "
                      "recipients_max allows no more",
                      snapshot.shard, snapshot.queue.recipients));
    }
    if (!snapshot.spool.direct) {
      warnings.push_back(fmt::format(
          "shard {}: the spool's file system refuses O_DIRECT, commits cost more", snapshot.shard));
    }
    if (snapshot.events.lost > 0) {
      warnings.push_back(
          fmt::format("shard {}: {} event lines were lost (the event file could not "
                      "be written)",
                      snapshot.shard, snapshot.events.lost));
    }
  }
  if (settings_.spool.durability == spool::DurabilityMode::relaxed) {
    warnings.push_back("durability is relaxed: a power failure loses accepted mail");
  }
  return {{"hostname", settings_.hostname},
          {"version", kVersion},
          {"pid", getpid()},
          {"uptime_s", (wall_now() - started_).count / 1000},
          {"shards", std::move(shards)},
          {"warnings", std::move(warnings)}};
}

void Operator::answer(const Json& request, const http::ControlServer::Reply& reply) {
  const std::string command = request.at("command").get<std::string>();
  if (command == "status") {
    Json answer = status();
    answer["end"] = true;
    reply(answer);
  } else if (command == "reload") {
    Json answer = reload_();
    answer["end"] = true;
    reply(answer);
  } else if (command == "queue.list") {
    list(request, reply);
  } else if (command == "queue.show") {
    show(request, reply);
  } else if (command == "queue.retry") {
    change(request, reply, true);
  } else if (command == "queue.remove") {
    change(request, reply, false);
  } else {
    refuse(reply,
           fmt::format("'{}' is not a command of this relay (version {})", command, kVersion));
  }
}

// False: it took too long, and the shard does not go on with it.
bool Operator::run_on(ShardId shard, const std::function<bool(ShardRelay&)>& slice) {
  const auto given_up = std::make_shared<std::atomic<bool>>(false);
  const bool answered = Task::run_on(
      exchange_, shard,
      [given_up, slice](ShardRelay& relay) { return given_up->load() || slice(relay); },
      kAnswerMax);
  given_up->store(!answered);
  return answered;
}

void Operator::list(const Json& request, const http::ControlServer::Reply& reply) {
  const auto filter = filter_of(request);
  if (!filter) return refuse(reply, "the id is not a message id (13 characters, 0-9 A-Z)");
  uint64_t left = kLimitDefault;
  if (const auto limit = request.find("limit");
      limit != request.end() && limit->is_number_unsigned()) {
    left = limit->get<uint64_t>();
  }
  uint64_t shown = 0;
  for (uint16_t shard = 0; shard < settings_.shards && left > 0; ++shard) {
    uint64_t cursor = 0;
    do {
      auto page = std::make_shared<queue::Queue::Listing>();
      const size_t wanted = left < kPage ? left : kPage;
      const bool answered =
          run_on(ShardId{shard}, [page, cursor, wanted, filter = *filter](ShardRelay& relay) {
            *page = relay.queue().list(filter, page->waiting ? page->cursor : cursor, wanted);
            return !page->waiting;
          });
      if (!answered) return refuse(reply, fmt::format("shard {} does not answer", shard));
      for (const Entry& entry : page->entries) {
        if (!reply(to_json(entry, shard))) return;
        ++shown;
        if (--left == 0) break;
      }
      cursor = page->cursor;
    } while (cursor != 0 && left > 0);
  }
  reply({{"end", true}, {"entries", shown}, {"limited", left == 0}});
}

void Operator::show(const Json& request, const http::ControlServer::Reply& reply) {
  const auto filter = filter_of(request);
  if (!filter || !filter->id) {
    return refuse(reply, "queue.show needs the id of one message (13 characters, 0-9 A-Z)");
  }
  list(request, reply);
}

// Retry or remove. A filter that names nothing would mean everything: that must be said in words.
void Operator::change(const Json& request, const http::ControlServer::Reply& reply, bool retry) {
  const auto filter = filter_of(request);
  if (!filter) return refuse(reply, "the id is not a message id (13 characters, 0-9 A-Z)");
  const auto all = request.find("all");
  const bool everything = all != request.end() && all->is_boolean() && all->get<bool>();
  if (empty(*filter) && !everything) {
    return refuse(reply, "say which recipients: --id, --domain, --sender or --site, or --all");
  }
  uint64_t changed = 0;
  for (uint16_t shard = 0; shard < settings_.shards; ++shard) {
    uint64_t cursor = 0;
    do {
      auto change = std::make_shared<queue::Queue::Change>();
      const bool answered =
          run_on(ShardId{shard}, [change, cursor, retry, filter = *filter](ShardRelay& relay) {
            const uint64_t from = change->waiting ? change->cursor : cursor;
            const uint64_t before = change->recipients;
            if (retry && from == 0) relay.pools().try_hosts_again();
            *change =
                retry ? relay.queue().retry(filter, from) : relay.queue().remove(filter, from);
            change->recipients += before;
            return !change->waiting;
          });
      if (!answered) return refuse(reply, fmt::format("shard {} does not answer", shard));
      changed += change->recipients;
      cursor = change->cursor;
    } while (cursor != 0);
  }
  reply({{"end", true}, {"recipients", changed}});
}

}  // namespace ringmta::relay
