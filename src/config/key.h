// SPDX-License-Identifier: GPL-3.0-or-later
// The table of keys: one row says under which name a setting stands in the file, where it goes,
// what it may be, and what it means.
//
// The insight: whatever is done with keys (reading, showing, checking limits, suggesting a name,
// writing the reference) is a walk over this table, so a new knob is one row, and its default is
// the one its room declares.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "ringmta/config/settings.h"
#include "value.h"

namespace ringmta::config {

// Where a value goes. Keys of a [[section]] are about the last of its elements.
template <typename T>
using Ref = T& (*)(Settings&);

// NOLINTNEXTLINE(bugprone-macro-parentheses): a member's name cannot stand in parentheses
#define RINGMTA_AT(member) [](Settings& s) -> auto& { return s.member; }

struct Flag {
  Ref<bool> ref;
};

// A whole number, of 16, 32 or 64 bits.
struct Whole {
  constexpr Whole(Ref<uint16_t> where, uint64_t low, uint64_t high)
      : port(where), min(low), max(high) {}
  constexpr Whole(Ref<uint32_t> where, uint64_t low, uint64_t high)
      : narrow(where), min(low), max(high) {}
  constexpr Whole(Ref<uint64_t> where, uint64_t low, uint64_t high)
      : wide(where), min(low), max(high) {}
  constexpr Whole power_of_two_only() const {
    Whole copy = *this;
    copy.power_of_two = true;
    return copy;
  }
  uint64_t get(Settings& s) const {
    return port != nullptr ? port(s) : narrow != nullptr ? narrow(s) : wide(s);
  }
  void set(Settings& s, uint64_t value) const {
    if (port != nullptr) port(s) = static_cast<uint16_t>(value);
    if (narrow != nullptr) narrow(s) = static_cast<uint32_t>(value);
    if (wide != nullptr) wide(s) = value;
  }

  Ref<uint16_t> port = nullptr;
  Ref<uint32_t> narrow = nullptr;
  Ref<uint64_t> wide = nullptr;
  uint64_t min, max;
  bool power_of_two = false;
};

// Octets with a unit.
struct Size {
  Whole octets;
};

struct Fraction {
  Ref<double> ref;
  double min, max;
};

struct Duration {
  Ref<Milliseconds> ref;
  Milliseconds min, max;
};

// One of some words, in the order of the enumeration behind them.
struct Choice {
  std::span<const std::string_view> words;
  uint8_t (*get)(const Settings&);
  void (*set)(Settings&, uint8_t);
};

struct Text {
  Ref<std::string> ref;
  Status (*check)(std::string_view);  // not asked about the empty text
  std::string_view form;
  bool may_be_empty = false;
};

struct Texts {
  Ref<std::vector<std::string>> ref;
  Status (*check)(std::string_view);
  std::string_view form;
};

// default_port 0: the port must be written.
struct Addresses {
  Ref<std::vector<SocketAddress>> ref;
  uint16_t default_port;
};

struct Networks {
  Ref<std::vector<Network>> ref;
};

// What no other kind fits.
struct Special {
  Status (*read)(Settings&, const Value&);
  std::string (*show)(const Settings&);  // as TOML
  std::string_view form;
};

using Kind = std::variant<Flag, Whole, Size, Fraction, Duration, Choice, Text, Texts, Addresses,
                          Networks, Special>;

struct Key {
  std::string_view section;  // "server.timeouts"; empty: the top of the file
  std::string_view name;
  Kind kind;
  std::string_view meaning;       // for the reference; Markdown
  std::string_view example = {};  // as TOML, where the default would not show how it is written
  bool required = false;
  std::string_view default_text = {};  // where the default is another key's value
  bool at_start = false;               // a reload leaves it as it is; see also Section::at_start

  std::string path() const;
};

struct Section {
  std::string_view name;
  std::string_view about;  // for the reference; Markdown
  // Makes what the section's keys are about; null: it is there already.
  void (*begin)(Settings&) = nullptr;
  // [[name]]: how many there are, and settings in which keys are about that one (as the last).
  size_t (*count)(const Settings&) = nullptr;
  Settings (*only)(const Settings&, size_t) = nullptr;
  // A part of the section above it that need not be there.
  bool (*present)(const Settings&) = nullptr;
  bool at_start = false;  // a reload leaves all of it as it is

  bool repeated() const { return count != nullptr; }
};

std::span<const Section> sections();  // in the order of the reference
std::span<const Key> keys();          // section by section, in the same order

// Null when there is none.
const Section* find_section(std::string_view name);
const Key* find_key(std::string_view section, std::string_view name);

bool takes_effect_at_start(const Key& key);

// The defaults, with an element in every [[section]].
Settings one_of_each();

// Its parts, one file each.
std::span<const Key> relay_keys();
std::span<const Key> server_keys();
std::span<const Key> tls_in_keys();
std::span<const Key> auth_keys();
std::span<const Key> dkim_keys();
std::span<const Key> queue_keys();
std::span<const Key> route_keys();
std::span<const Key> client_keys();
std::span<const Key> tls_out_keys();
std::span<const Key> operator_keys();
std::span<const Key> process_keys();

}  // namespace ringmta::config
