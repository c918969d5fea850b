// SPDX-License-Identifier: GPL-3.0-or-later
// Rates are differences of counters over the time between the snapshots they come from, not between
// the questions: a shard publishes a few times a second while something happens, whoever asks.
#include "status_view.h"

#include <fmt/format.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>
#include <vector>

#include "table.h"
#include "text.h"

namespace ringmta::cli {
namespace {

using Json = nlohmann::json;

// 0 when it is not there: an older relay may not have it.
uint64_t number(const Json& shard, const char* group, const char* name) {
  const auto in = shard.find(group);
  if (in == shard.end()) return 0;
  const auto found = in->find(name);
  return found != in->end() && found->is_number_integer() ? found->get<uint64_t>() : 0;
}

std::string name_of(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? harmless(found->get<std::string>()) : "?";
}

struct Shard {
  const Json* now;
  const Json* before;  // null: no rates

  uint64_t value(const char* group, const char* name) const { return number(*now, group, name); }
  uint64_t gain(const char* group, const char* name) const {
    if (before == nullptr) return 0;
    const uint64_t then = number(*before, group, name);
    const uint64_t last = number(*now, group, name);
    return last > then ? last - then : 0;
  }
  double seconds() const { return static_cast<double>(gain("shard", "stats_time_ms")) / 1000; }
  double rate(const char* group, const char* name) const {
    return seconds() > 0 ? static_cast<double>(gain(group, name)) / seconds() : 0;
  }
};

std::vector<Shard> shards_of(const Json& now, const Json* before) {
  std::vector<Shard> shards;
  const auto found = now.find("shards");
  if (found == now.end() || !found->is_array()) return shards;
  for (size_t i = 0; i < found->size(); ++i) {
    const bool same = before != nullptr && before->value("pid", 0) == now.value("pid", 0) &&
                      before->contains("shards") && i < before->at("shards").size();
    shards.push_back({&(*found)[i], same ? &before->at("shards")[i] : nullptr});
  }
  return shards;
}

class View final {
 public:
  View(const Json& now, const Json* before)
      : now_(now), rates_(before != nullptr), shards_(shards_of(now, before)) {}

  std::string text() {
    heading();
    traffic();
    queue();
    machine();
    since_start();
    warnings();
    return out_.str();
  }

 private:
  uint64_t sum(const char* group, const char* name) const {
    uint64_t total = 0;
    for (const Shard& shard : shards_) total += shard.value(group, name);
    return total;
  }
  double rate_sum(const char* group, const char* name) const {
    double total = 0;
    for (const Shard& shard : shards_) total += shard.rate(group, name);
    return total;
  }

  void heading() {
    const auto uptime = now_.value("uptime_s", int64_t{0});
    out_ << fmt::format("{}: RingMTA {}, pid {}, up {}, {} shard{}\n", name_of(now_, "hostname"),
                        name_of(now_, "version"), now_.value("pid", 0), span_text({uptime * 1000}),
                        shards_.size(), shards_.size() == 1 ? "" : "s");
  }

  // A table with a row per shard, and one for all of them where there are several. A cell's text
  // comes from one shard or, with null, from all.
  struct Cell {
    const char* title;
    std::function<std::string(const Shard*)> text;
  };
  void table(const std::vector<Cell>& cells) {
    std::vector<Column> columns{{"shard"}};
    for (const Cell& cell : cells) columns.push_back({cell.title});
    Table rows(std::move(columns));
    const auto add = [&](std::string first, const Shard* shard) {
      std::vector<std::string> row{std::move(first)};
      for (const Cell& cell : cells) row.push_back(cell.text(shard));
      rows.add(std::move(row));
    };
    for (const Shard& shard : shards_) {
      add(std::to_string(shard.value("shard", "number")), &shard);
    }
    if (shards_.size() > 1) add("all", nullptr);
    out_ << '\n';
    rows.print(out_);
  }
  Cell count(const char* title, const char* group, const char* name) const {
    return {title, [=, this](const Shard* shard) {
              return count_text(shard != nullptr ? shard->value(group, name) : sum(group, name));
            }};
  }
  Cell octets(const char* title, const char* group, const char* name) const {
    return {title, [=, this](const Shard* shard) {
              return octets_text(shard != nullptr ? shard->value(group, name) : sum(group, name));
            }};
  }
  void add_rate(std::vector<Cell>& cells, const char* title, const char* group,
                const char* name) const {
    if (!rates_) return;
    cells.push_back({title, [=, this](const Shard* shard) {
                       return rate_text(shard != nullptr ? shard->rate(group, name)
                                                         : rate_sum(group, name));
                     }});
  }

  void traffic() {
    std::vector<Cell> cells{{"cpu", [](const Shard* shard) {
                               if (shard == nullptr) return std::string();
                               const auto group = shard->now->find("shard");
                               const int cpu =
                                   group != shard->now->end() ? group->value("cpu", -1) : -1;
                               return cpu < 0 ? std::string("-") : std::to_string(cpu);
                             }}};
    if (rates_) {
      cells.push_back({"busy", [this](const Shard* shard) {
                         const double used = shard != nullptr ? shard->rate("shard", "cpu_time_us")
                                                              : rate_sum("shard", "cpu_time_us");
                         return percent_text(used / 1e6);
                       }});
    }
    cells.push_back(count("sessions", "server", "sessions"));
    add_rate(cells, "messages in/s", "server", "messages");
    add_rate(cells, "delivered/s", "queue", "delivered");
    add_rate(cells, "deferred/s", "queue", "deferrals");
    add_rate(cells, "bounced/s", "queue", "bounced");
    cells.push_back(count("connections", "client", "connections"));
    table(cells);
  }

  void queue() {
    table({count("messages", "queue", "messages"), count("recipients", "queue", "recipients"),
           count("ready", "queue", "ready"), count("active", "queue", "active"),
           count("deferred", "queue", "deferred"), octets("memory", "shard", "memory_octets"),
           octets("spool disk", "spool", "disk_octets")});
  }

  void machine() {
    std::vector<Cell> cells{count("sockets", "shard", "streams_open")};
    add_rate(cells, "turns/s", "ring", "turns");
    add_rate(cells, "operations/s", "ring", "submissions");
    add_rate(cells, "commits/s", "spool", "batches");
    if (rates_) {
      cells.push_back({"messages/commit", [this](const Shard* shard) {
                         const double commits = shard != nullptr ? shard->rate("spool", "batches")
                                                                 : rate_sum("spool", "batches");
                         const double messages = shard != nullptr
                                                     ? shard->rate("spool", "batch_messages")
                                                     : rate_sum("spool", "batch_messages");
                         return rate_text(commits > 0 ? messages / commits : 0);
                       }});
    }
    cells.push_back(count("buffers exhausted", "ring", "receive_buffers_exhausted"));
    cells.push_back(count("overflows", "ring", "completion_overflows"));
    table(cells);
  }

  void since_start() {
    const auto total = [this](const char* group, const char* name) {
      return count_text(sum(group, name));
    };
    out_ << fmt::format(
        "\nSince start: {} messages in with {} recipients ({}); {} recipients delivered, {} "
        "bounced, {} expired,\n{} removed; {} attempts deferred, {} notifications made, {} "
        "possible "
        "duplicates.\n",
        total("server", "messages"), total("server", "recipients"),
        octets_text(sum("server", "octets")), total("queue", "delivered"),
        total("queue", "bounced"), total("queue", "expired"), total("queue", "removed"),
        total("queue", "deferrals"), total("queue", "dsns"), total("queue", "possible_duplicates"));
  }

  void warnings() {
    const auto found = now_.find("warnings");
    if (found == now_.end() || !found->is_array()) return;
    for (const Json& warning : *found) {
      if (warning.is_string()) out_ << "WARNING: " << harmless(warning.get<std::string>()) << '\n';
    }
  }

  const Json& now_;
  bool rates_;
  std::vector<Shard> shards_;
  std::ostringstream out_;
};

}  // namespace

std::string status_text(const Json& now, const Json* before) { return View(now, before).text(); }

void add_rates(Json& now, const Json& before) {
  constexpr struct {
    const char *name, *group, *counter;
  } kRates[] = {{"messages_in", "server", "messages"},  {"delivered", "queue", "delivered"},
                {"deferred", "queue", "deferrals"},     {"bounced", "queue", "bounced"},
                {"commits", "spool", "batches"},        {"turns", "ring", "turns"},
                {"cpu_time_us", "shard", "cpu_time_us"}};
  const std::vector<Shard> shards = shards_of(now, &before);
  for (size_t i = 0; i < shards.size(); ++i) {
    Json rates = Json::object();
    for (const auto& rate : kRates) rates[rate.name] = shards[i].rate(rate.group, rate.counter);
    now["shards"][i]["rates"] = std::move(rates);
  }
}

}  // namespace ringmta::cli
