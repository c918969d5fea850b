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
[ringmta.example.toml](ringmta.example.toml) is one to begin with. Only `hostname` must be given.

`ringmta check -c FILE` says what a file means, or every mistake in it with its line; `ringmta check --effective -c FILE`
prints every key with the value in force. A key that is not below is a mistake.

`ringmta reload` (or SIGHUP) makes a running relay read its file anew: it takes all of it or, if there is a mistake, nothing,
and says what changed. Where a key or section says so, a change takes effect at the next start only.

This page is written by `ringmta check --reference` from the table that reads the file.

**Durations** are whole numbers with `ms`, `s`, `m` (minutes), `h` or `d`: `"250ms"`, `"10s"`, `"1h30m"`. **Sizes** are
whole numbers with `KiB`, `MiB`, `GiB` (units of 1024) or `kB`, `MB`, `GB` (units of 1000); without quotes and unit they
are octets. **Addresses** are `"192.0.2.1:25"` and `"[2001:db8::1]:25"`, **networks** `"192.0.2.0/24"` and
`"2001:db8::/32"`.
)";

std::string heading(const Section& section) {
  if (section.name.empty()) return "Top of the file";
  return section.repeated() ? fmt::format("[[{}]]", section.name)
                            : fmt::format("[{}]", section.name);
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
    page +=
        fmt::format("| `{}` | {} | {} | {}{} |\n", key.name, form(key), default_of(key, defaults),
                    key.meaning, key.at_start ? " Changes at the next start." : "");
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
    page += fmt::format(
        "\n## {}\n\n{}{}\n", heading(section), section.about,
        section.at_start ? " What is changed here takes effect at the next start." : "");
    rows(page, section, defaults);
  }
  return page;
}

std::string effective(const Settings& settings) {
  std::string file;
  for (const Section& section : sections()) {
    if (section.present != nullptr) continue;  // stands below what it is a part of
    for (size_t i = 0; i < (section.repeated() ? section.count(settings) : 1); ++i) {
      const Settings one = section.repeated() ? section.only(settings, i) : settings;
      values(file, section, one);
      for (const Section& part : sections()) {
        if (part.present != nullptr && part.name.starts_with(section.name) &&
            part.name.size() > section.name.size() && part.name[section.name.size()] == '.' &&
            part.present(one)) {
          values(file, part, one);
        }
      }
    }
  }
  return file;
}

}  // namespace ringmta::config
