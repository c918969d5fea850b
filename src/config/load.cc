// SPDX-License-Identifier: GPL-3.0-or-later
// The walk over a TOML file: each key is looked up in the table, what is not there is a mistake
// with a guess at what was meant. A file that is not TOML ends the walk before it begins; then
// there is one mistake only, since nothing behind it could be trusted.
#include "ringmta/config/load.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "checks.h"
#include "files.h"
#include "key.h"
#include "problems.h"
#include "ringmta/config/closest.h"
#include "values.h"

namespace ringmta::config {
namespace {

uint32_t line_of(const toml::node& node) { return node.source().begin.line; }

Value value_of(const toml::node& node) {
  Value value;
  value.line = line_of(node);
  if (const auto* boolean = node.as_boolean()) {
    value.what = boolean->get();
  } else if (const auto* integer = node.as_integer()) {
    value.what = integer->get();
  } else if (const auto* real = node.as_floating_point()) {
    value.what = real->get();
  } else if (const auto* text = node.as_string()) {
    value.what = text->get();
  } else if (const auto* array = node.as_array()) {
    std::vector<Value> elements;
    for (const toml::node& element : *array) {
      Value inner;
      inner.line = line_of(element);
      if (const auto* word = element.as_string()) inner.what = word->get();
      elements.push_back(std::move(inner));
    }
    value.what = std::move(elements);
  }
  return value;
}

std::string dotted(std::string_view section, std::string_view name) {
  return section.empty() ? std::string(name) : fmt::format("{}.{}", section, name);
}

std::string place(std::string_view section) {
  if (section.empty()) return "at the top of the file";
  const Section* known = find_section(section);
  return known != nullptr && known->repeated() ? fmt::format("in [[{}]]", section)
                                               : fmt::format("in [{}]", section);
}

std::string unreadable(const Error& error) {
  std::string text = fail_errno("cannot be read", error.code).error().message;
  if (error.code == ENOENT) text += "; name the configuration with -c FILE";
  if (error.code == EACCES) text += "; run this as root or as the relay's user";
  return text;
}

class Walk final {
 public:
  Walk(Settings& settings, Problems& problems) : settings_(settings), problems_(problems) {}

  // What stands in a section itself is read before the sections within it, and those that may be
  // there once before those that may be repeated: the latter build on the former ([retry]).
  void section(const toml::table& table, std::string_view name, uint32_t line) {
    const size_t element = element_of(name);
    for (const auto& [key, node] : table) {
      const std::string path = dotted(name, key.str());
      if (const Key* known = find_key(name, key.str())) {
        const size_t before = problems_.errors();
        read_value(*known, value_of(node), settings_, problems_);
        problems_.seen(path, key.source().begin.line, problems_.errors() == before, element);
      } else if (find_section(path) == nullptr) {
        unknown(name, key.str(), key.source().begin.line,
                node.is_table() || node.is_array_of_tables());
      }
    }
    for (const Key& key : keys()) {
      if (key.section == name && key.required && !table.contains(key.name)) {
        problems_.error(line, key.path(),
                        fmt::format("is missing: write {} {}", example_of(key), place(name)));
      }
    }
    for (const bool repeated : {false, true}) {
      for (const auto& [key, node] : table) {
        const Section* inner = find_section(dotted(name, key.str()));
        if (inner == nullptr || inner->repeated() != repeated) continue;
        enter(*inner, key.source().begin.line, node);
      }
    }
  }

 private:
  // Which of its likes the section being read is.
  size_t element_of(std::string_view name) const {
    const Section* of = find_section(name.substr(0, name.find('.')));
    if (const Section* exact = find_section(name); exact->repeated()) of = exact;
    const size_t count = of->repeated() ? of->count(settings_) : 0;
    return count == 0 ? 0 : count - 1;
  }

  void enter(const Section& inner, uint32_t line, const toml::node& node) {
    if (!inner.repeated()) {
      if (const toml::table* table = node.as_table()) {
        if (inner.begin != nullptr) inner.begin(settings_);
        return section(*table, inner.name, line_of(node));
      }
      problems_.error(
          line, std::string(inner.name),
          fmt::format("is a section: write [{}] once, on a line of its own", inner.name));
      return;
    }
    if (!node.is_array_of_tables()) {
      problems_.seen(std::string(inner.name), line, false);
      problems_.error(line, std::string(inner.name),
                      fmt::format("may stand in a file several times: write [[{}]] with two "
                                  "brackets, on a line of its own",
                                  inner.name));
      return;
    }
    for (const toml::node& element : *node.as_array()) {
      inner.begin(settings_);
      section(*element.as_table(), inner.name, line_of(element));
    }
  }

  void unknown(std::string_view section, std::string_view name, uint32_t line, bool is_section) {
    std::vector<std::string_view> near;  // what may stand here
    std::string elsewhere;               // the same name in other sections
    for (const Key& key : keys()) {
      if (key.section == section && !is_section) near.push_back(key.name);
      if (key.name != name) continue;
      if (!elsewhere.empty()) elsewhere += " or ";
      elsewhere += fmt::format("{} {}", key.name, place(key.section));
    }
    if (is_section) {
      for (const Section& one : sections()) {
        if (!one.name.empty()) near.push_back(one.name);
      }
    }
    const std::string_view meant = closest(is_section ? dotted(section, name) : name, near);
    std::string advice;
    if (!meant.empty()) {
      advice = is_section ? fmt::format("did you mean {}?", place(meant).substr(3))
                          : fmt::format("did you mean \"{}\"?", meant);
    } else if (!elsewhere.empty() && !is_section) {
      advice = fmt::format("did you mean {}?", elsewhere);
    } else {
      advice = "docs/configuration.md lists all there are";
    }
    problems_.error(line, dotted(section, name),
                    is_section
                        ? fmt::format("there is no such section; {}", advice)
                        : fmt::format("there is no such key {}; {}", place(section), advice));
  }

  Settings& settings_;
  Problems& problems_;
};

}  // namespace

void Problems::hand_over(Loaded& loaded) {
  const auto by_line = [](const Problem& a, const Problem& b) { return a.line < b.line; };
  std::stable_sort(errors_.begin(), errors_.end(), by_line);
  std::stable_sort(warnings_.begin(), warnings_.end(), by_line);
  loaded.errors = std::move(errors_);
  loaded.warnings = std::move(warnings_);
}

std::string text(const Loaded& loaded, const Problem& problem) {
  std::string where = loaded.file;
  if (problem.line != 0) where += fmt::format(":{}", problem.line);
  if (!problem.key.empty()) where += ": " + problem.key;
  return where + ": " + problem.what;
}

namespace {

enum class Files : bool { leave, look_into };

Loaded read(std::string_view toml_text, std::string file, const Machine& machine, Files files) {
  Loaded loaded;
  loaded.file = std::move(file);
  loaded.settings = default_settings();
  toml::table table;
  try {
    table = toml::parse(toml_text, loaded.file);
  } catch (const toml::parse_error& error) {
    loaded.errors.push_back({error.source().begin.line, "",
                             fmt::format("this is not TOML: {}; see https://toml.io/ for what is",
                                         error.description())});
    return loaded;
  }
  Problems problems;
  Walk(loaded.settings, problems).section(table, "", 1);
  fit_to_machine(loaded.settings, machine, problems);
  check_together(loaded.settings, machine, problems);
  check_tls_rules(loaded.settings, problems);
  if (files == Files::look_into) {
    check_tls_in(loaded.settings, problems);
    read_users(loaded.settings, problems);
    check_dkim_files(loaded.settings, problems);
    check_tls_out(loaded.settings, problems);
    if (problems.errors() == 0) read_tls_out_files(loaded.settings, problems);
  }
  share_out_open_files(loaded.settings, machine);
  problems.hand_over(loaded);
  return loaded;
}

}  // namespace

Loaded parse(std::string_view toml_text, std::string file, const Machine& machine) {
  return read(toml_text, std::move(file), machine, Files::leave);
}

Loaded load(const std::string& file, const Machine& machine) {
  Result<std::string> content = read_file(file);
  if (content) return read(*content, file, machine, Files::look_into);
  Loaded loaded;
  loaded.file = file;
  loaded.settings = default_settings();
  loaded.errors.push_back({0, "", unreadable(content.error())});
  return loaded;
}

}  // namespace ringmta::config
