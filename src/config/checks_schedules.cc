// SPDX-License-Identifier: GPL-3.0-or-later
// Whether the waits of each retry schedule follow each other, and whose schedule is whose.
#include <fmt/format.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "checks.h"
#include "ringmta/config/units.h"

namespace ringmta::config {
namespace {

class Schedule final {
 public:
  Schedule(const queue::RetryOptions& retry, std::string section, size_t element,
           Problems& problems)
      : retry_(retry), section_(std::move(section)), element_(element), problems_(problems) {}

  void check() {
    const std::string longest = format_duration(retry_.longest);
    const std::string first = format_duration(retry_.first);
    const std::string expiry = format_duration(retry_.expire_after);
    const bool known = !refused("longest") && !refused("first");
    if (known && retry_.longest < retry_.first) {
      const auto [path, line] = at("longest", "first");
      problems_.error(line, path,
                      fmt::format("longest ({}) is shorter than first ({}): exchange them or leave "
                                  "longest out",
                                  longest, first));
    }
    if (retry_.expire_after < retry_.first && said("expire_after", "first")) {
      const auto [path, line] = at("expire_after", "first");
      problems_.warning(line, path,
                        fmt::format("expire_after ({}) is shorter than first ({}): what fails once "
                                    "is never tried again",
                                    expiry, first));
    }
    if (retry_.delay_notice_after >= retry_.expire_after &&
        said("delay_notice_after", "delay_notice_after")) {
      const auto [path, line] = at("delay_notice_after", "delay_notice_after");
      problems_.warning(
          line, path,
          fmt::format("no delay is ever told: messages expire after {} already", expiry));
    }
  }

 private:
  uint32_t line_of(const char* name) const {
    return problems_.line_of(section_ + "." + name, element_);
  }
  bool said(const char* one, const char* other) const {
    return line_of(one) != 0 || line_of(other) != 0;
  }
  bool refused(const char* name) const {
    return problems_.refused(section_ + "." + name, element_);
  }
  std::pair<std::string, uint32_t> at(const char* one, const char* other) const {
    const char* name = line_of(one) != 0 ? one : other;
    return {section_ + "." + name, line_of(name)};
  }

  const queue::RetryOptions& retry_;
  const std::string section_;
  const size_t element_;
  Problems& problems_;
};

// Whom the schedules of a [[section]] are for: each domain or host has one.
class Patterns final {
 public:
  Patterns(std::string section, std::string_view what, Problems& problems)
      : path_(section + "." + std::string(what)), what_(what), problems_(problems) {}

  void check(const std::vector<std::string>& patterns, size_t element) {
    const uint32_t line = problems_.line_of(path_, element);
    for (const std::string& pattern : patterns) {
      const auto [before, fresh] = lines_.emplace(pattern, line);
      if (fresh) continue;
      problems_.error(line, path_,
                      fmt::format("\"{}\" stands in line {} already: take it out of one of them",
                                  pattern, before->second));
    }
    if (!patterns.empty() || line == 0 || problems_.refused(path_, element)) return;
    problems_.error(
        line, path_,
        fmt::format("is empty: write which {} the schedule is for, or change [retry]", what_));
  }

 private:
  const std::string path_;
  const std::string_view what_;
  Problems& problems_;
  std::map<std::string, uint32_t> lines_;
};

}  // namespace

void check_schedules(const Settings& settings, Problems& problems) {
  Schedule(settings.queue.retry, "retry", 0, problems).check();
  for (size_t i = 0; i < settings.queue.routes.size(); ++i) {
    const auto& own = settings.queue.routes[i].retry;
    if (own) Schedule(*own, "route.retry", i, problems).check();
  }
  Patterns domains("retry.rule", "domains", problems);
  for (size_t i = 0; i < settings.queue.retry_rules.size(); ++i) {
    Schedule(settings.queue.retry_rules[i].retry, "retry.rule", i, problems).check();
    domains.check(settings.queue.retry_rules[i].domains, i);
  }
  Patterns hosts("retry.site", "hosts", problems);
  for (size_t i = 0; i < settings.queue.site_retry_rules.size(); ++i) {
    Schedule(settings.queue.site_retry_rules[i].retry, "retry.site", i, problems).check();
    hosts.check(settings.queue.site_retry_rules[i].hosts, i);
  }
}

}  // namespace ringmta::config
