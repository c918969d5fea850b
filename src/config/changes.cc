// SPDX-License-Identifier: GPL-3.0-or-later
// What a reload would change, by the table of keys.
//
// Elements of a [[section]] that has names are compared when the names are the same in the same
// order: shards and sites know routes by their places. Those without names are compared as a whole.
#include <fmt/format.h>

#include <algorithm>

#include "key.h"
#include "ringmta/config/load.h"
#include "values.h"

namespace ringmta::config {
namespace {

class Comparison final {
 public:
  Comparison(const Settings& from, const Settings& to) : from_(from), to_(to) {}

  std::vector<Change> all() {
    for (const Section& section : sections()) {
      if (section.present != nullptr) continue;
      if (section.repeated()) {
        repeated(section);
      } else {
        keys_of(section, from_, to_, section.name.empty() ? "" : std::string(section.name) + ".");
      }
    }
    return std::move(changes_);
  }

 private:
  void keys_of(const Section& section, const Settings& from, const Settings& to,
               const std::string& prefix) {
    for (const Key& key : keys()) {
      if (key.section != section.name) continue;
      std::string before = show_value(key, from);
      std::string after = show_value(key, to);
      if (before == after) continue;
      changes_.push_back({prefix + std::string(key.name), std::move(before), std::move(after),
                          takes_effect_at_start(key)});
    }
  }

  // Of a section and its parts, as one text.
  static std::string whole(const Section& section, const Settings& settings) {
    std::string text;
    for (const Key& key : keys()) {
      const Section& of = *find_section(key.section);
      const bool part = of.present != nullptr && of.name.starts_with(section.name);
      if (&of != &section && (!part || !of.present(settings))) continue;
      text +=
          fmt::format("{}{} = {}", text.empty() ? "" : ", ", key.name, show_value(key, settings));
    }
    return "{ " + text + " }";
  }

  static std::string names(const Section& section, const Key& name, const Settings& settings) {
    std::string all;
    for (size_t i = 0; i < section.count(settings); ++i) {
      all += (i == 0 ? "" : ", ") + show_value(name, section.only(settings, i));
    }
    return "[" + all + "]";
  }

  void repeated(const Section& section) {
    const Key* name = find_key(section.name, "name");
    if (name == nullptr) return as_a_whole(section);
    std::string before = names(section, *name, from_);
    std::string after = names(section, *name, to_);
    if (before != after) {
      changes_.push_back({std::string(section.name), std::move(before), std::move(after), true});
      return;
    }
    for (size_t i = 0; i < section.count(from_); ++i) {
      const Settings from = section.only(from_, i);
      const Settings to = section.only(to_, i);
      const std::string title = fmt::format("{} {}", section.name, show_value(*name, from));
      keys_of(section, from, to, title + ": ");
      for (const Section& part : sections()) {
        if (part.present == nullptr || !part.name.starts_with(section.name)) continue;
        if (!part.present(from) && !part.present(to)) continue;
        const std::string was = part.present(from) ? whole(part, from) : "none";
        const std::string is = part.present(to) ? whole(part, to) : "none";
        if (was != is) changes_.push_back({title + ": " + std::string(part.name), was, is, false});
      }
    }
  }

  void as_a_whole(const Section& section) {
    const auto text = [&section](const Settings& settings) {
      std::string all;
      for (size_t i = 0; i < section.count(settings); ++i) {
        all += (i == 0 ? "" : ", ") + whole(section, section.only(settings, i));
      }
      return "[" + all + "]";
    };
    std::string before = text(from_);
    std::string after = text(to_);
    if (before == after) return;
    changes_.push_back(
        {std::string(section.name), std::move(before), std::move(after), section.at_start});
  }

  const Settings& from_;
  const Settings& to_;
  std::vector<Change> changes_;
};

}  // namespace

std::vector<Change> changes(const Settings& from, const Settings& to) {
  return Comparison(from, to).all();
}

void keep_until_start(Settings& fresh, const Settings& running) {
  fresh.hostname = running.hostname;
  fresh.server.session.hostname = running.server.session.hostname;
  fresh.client.session.hostname = running.client.session.hostname;
  fresh.queue.hostname = running.queue.hostname;
  fresh.server.listeners = running.server.listeners;
  fresh.server.tls.listeners = running.server.tls.listeners;
  fresh.server.sessions_max = running.server.sessions_max;
  fresh.client.connections_max = running.client.connections_max;
  fresh.client.deliver_to_loopback = running.client.deliver_to_loopback;
  std::vector<queue::Route>& routes = fresh.queue.routes;
  const auto same_name = [](const queue::Route& a, const queue::Route& b) {
    return a.name == b.name;
  };
  if (std::ranges::equal(routes, running.queue.routes, same_name)) {
    for (size_t i = 0; i < routes.size(); ++i) routes[i].lmtp = running.queue.routes[i].lmtp;
  } else {
    routes = running.queue.routes;
    fresh.client.routes = running.client.routes;
  }
  fresh.client.rules = running.client.rules;
  fresh.queue.connection_rules = running.queue.connection_rules;
  fresh.client.tls.broken_max = running.client.tls.broken_max;
  fresh.client.tls.sessions_max = running.client.tls.sessions_max;
  fresh.shards = running.shards;
  fresh.cpus = running.cpus;
  fresh.io = running.io;
  fresh.spool = running.spool;
  // Networks change while a relay runs; all else of the resolver waits.
  std::vector<SocketAddress> servers = std::move(fresh.resolver.servers);
  fresh.resolver = running.resolver;
  fresh.resolver.servers = std::move(servers);
  fresh.mx = running.mx;
  fresh.resolve_interval = running.resolve_interval;
  fresh.events = running.events;
  fresh.control = running.control;
  fresh.metrics = running.metrics;
  fresh.process = running.process;
}

}  // namespace ringmta::config
