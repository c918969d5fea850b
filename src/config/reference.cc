// SPDX-License-Identifier: GPL-3.0-or-later
// The table of keys as a page for people, and as a file with all values in force.
#include <fmt/format.h>

#include "key.h"
#include "ringmta/config/load.h"
#include "values.h"

namespace ringmta::config {
namespace {

constexpr std::string_view kOpening = R"(# Configuration

RingMTA reads one [TOML](https://toml.io/) file, `/etc/ringmta/ringmta.toml` unless `-c FILE` names another.
[ringmta.example.toml](ringmta.example.toml) is one to begin with. Only `hostname` and a `[[route]]` must be given.

`ringmta check -c FILE` says what a file means, or every mistake in it with its line; `ringmta check --effective -c FILE`
prints every key with the value in force. A key that is not below is a mistake. A change takes effect when the relay is
started anew.

This page is written by `ringmta check --reference` from the table that reads the file.

**Durations** are whole numbers with `ms`, `s`, `m` (minutes), `h` or `d`: `"250ms"`, `"10s"`, `"1h30m"`. **Sizes** are
whole numbers with `KiB`, `MiB`, `GiB` (units of 1024) or `kB`, `MB`, `GB` (units of 1000); without quotes and unit they
are octets. **Addresses** are `"192.0.2.1:25"` and `"[2001:db8::1]:25"`, **networks** `"192.0.2.0/24"` and
`"2001:db8::/32"`.
)";

std::string heading(const Section& section) {
  if (section.name.empty()) return "Top of the file";
  return section.repeated ? fmt::format("[[{}]]", section.name) : fmt::format("[{}]", section.name);
}

// Settings whose last elements are those, so that the keys are about them.
Settings about_route(const Settings& from, size_t route) {
  Settings settings = from;
  settings.queue.routes = {from.queue.routes.at(route)};
  return settings;
}
Settings about_rule(const Settings& from, size_t rule) {
  Settings settings = from;
  settings.queue.retry_rules = {from.queue.retry_rules.at(rule)};
  return settings;
}

// An example where the default does not show how the value is written.
std::string form(const Key& key) {
  std::string text = form_of(key);
  if (!key.example.empty()) text += fmt::format(", such as `{}`", key.example);
  return text;
}

std::string default_of(const Key& key, const Settings& defaults) {
  if (key.required) return "must be given";
  if (!key.default_text.empty()) return std::string(key.default_text);
  return fmt::format("`{}`", show_value(key, defaults));
}

void rows(std::string& page, const Section& section, const Settings& defaults) {
  page += "\n| key | value | default | meaning |\n|---|---|---|---|\n";
  for (const Key& key : keys()) {
    if (key.section != section.name) continue;
    page += fmt::format("| `{}` | {} | {} | {} |\n", key.name, form(key), default_of(key, defaults),
                        key.meaning);
  }
}

void values(std::string& file, const Section& section, const Settings& settings) {
  if (!section.name.empty()) file += fmt::format("\n{}\n", heading(section));
  for (const Key& key : keys()) {
    if (key.section != section.name) continue;
    file += fmt::format("{} = {}\n", key.name, show_value(key, settings));
  }
}

}  // namespace

std::string reference() {
  const Settings defaults = one_of_each();
  std::string page(kOpening);
  for (const Section& section : sections()) {
    page += fmt::format("\n## {}\n\n{}\n", heading(section), section.about);
    rows(page, section, defaults);
  }
  return page;
}

std::string effective(const Settings& settings) {
  std::string file;
  for (const Section& section : sections()) {
    if (section.name == "route") {
      for (size_t i = 0; i < settings.queue.routes.size(); ++i) {
        const Settings one = about_route(settings, i);
        values(file, section, one);
        if (one.queue.routes[0].retry) values(file, *find_section("route.retry"), one);
      }
    } else if (section.name == "retry.rule") {
      for (size_t i = 0; i < settings.queue.retry_rules.size(); ++i) {
        values(file, section, about_rule(settings, i));
      }
    } else if (section.name != "route.retry") {
      values(file, section, settings);
    }
  }
  return file;
}

}  // namespace ringmta::config
