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

Settings with_one_route(const Settings& from, size_t route) {
  Settings settings = from;
  settings.queue.routes = {from.queue.routes.at(route)};
  return settings;
}

// An example where the default does not show how the value is written.
std::string form(const Key& key) {
  std::string text = form_of(key);
  if (!key.example.empty()) text += fmt::format(", such as `{}`", key.example);
  return text;
}

void rows(std::string& page, const Section& section, const Settings& defaults) {
  page += "\n| key | value | default | meaning |\n|---|---|---|---|\n";
  for (const Key& key : keys()) {
    if (key.section != section.name) continue;
    page +=
        fmt::format("| `{}` | {} | {} | {} |\n", key.name, form(key),
                    key.required ? "must be given" : fmt::format("`{}`", show_value(key, defaults)),
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
  Settings defaults = default_settings();
  defaults.queue.routes.emplace_back();
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
    if (!section.repeated) {
      values(file, section, settings);
      continue;
    }
    for (size_t i = 0; i < settings.queue.routes.size(); ++i) {
      values(file, section, with_one_route(settings, i));
    }
  }
  return file;
}

}  // namespace ringmta::config
