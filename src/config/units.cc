// SPDX-License-Identifier: GPL-3.0-or-later
// One table per kind of unit, for both directions.
#include "ringmta/config/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

namespace ringmta::config {
namespace {

struct Unit {
  std::string_view name;
  uint64_t factor;
};

// Largest first: a formatted duration uses each at most once.
constexpr Unit kDurations[] = {
    {"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}, {"ms", 1}};

constexpr Unit kSizes[] = {{"TiB", 1ULL << 40},
                           {"GiB", 1ULL << 30},
                           {"MiB", 1ULL << 20},
                           {"KiB", 1ULL << 10},
                           {"TB", 1'000'000'000'000},
                           {"GB", 1'000'000'000},
                           {"MB", 1'000'000},
                           {"kB", 1000},
                           {"KB", 1000},
                           {"B", 1}};

constexpr uint64_t kDurationMax = std::numeric_limits<int64_t>::max() / 1'000'000;  // fits in ns

struct Part {
  uint64_t number = 0;
  std::string_view unit;
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The number and the letters at the start of `text`, which is cut by them.
std::optional<Part> take_part(std::string_view& text) {
  Part part;
  const char* end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data(), end, part.number);
  if (problem != std::errc{}) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(stop - text.data()));
  const auto letters = std::find_if(text.begin(), text.end(), is_digit) - text.begin();
  part.unit = text.substr(0, static_cast<size_t>(letters));
  text.remove_prefix(static_cast<size_t>(letters));
  return part;
}

template <size_t N>
std::optional<uint64_t> factor_of(const Unit (&units)[N], std::string_view name) {
  const auto found = std::find_if(std::begin(units), std::end(units),
                                  [&](const Unit& unit) { return unit.name == name; });
  return found == std::end(units) ? std::nullopt : std::optional(found->factor);
}

// Whether number * factor + sum is at most `maximum`; then it is in `sum`.
bool add(uint64_t number, uint64_t factor, uint64_t maximum, uint64_t& sum) {
  if (number > (maximum - sum) / factor) return false;
  sum += number * factor;
  return true;
}

std::unexpected<Error> not_a_duration(std::string_view text) {
  return fail(
      fmt::format("\"{}\" is not a duration: write whole numbers with ms, s, m (minutes), "
                  "h or d, such as \"10s\" or \"1h30m\"",
                  text));
}

}  // namespace

Result<Milliseconds> parse_duration(std::string_view text) {
  if (text == "0") return Milliseconds{0};
  uint64_t sum = 0;
  uint64_t last_factor = std::numeric_limits<uint64_t>::max();  // units go from large to small
  std::string_view rest = text;
  do {
    const auto part = take_part(rest);
    const auto factor = part ? factor_of(kDurations, part->unit) : std::nullopt;
    if (!factor || *factor >= last_factor) return not_a_duration(text);
    last_factor = *factor;
    if (!add(part->number, *factor, kDurationMax, sum)) {
      return fail(fmt::format("\"{}\" is longer than any duration can be", text));
    }
  } while (!rest.empty());
  return Milliseconds{static_cast<int64_t>(sum)};
}

std::string format_duration(Milliseconds duration) {
  if (duration.count <= 0) return "0s";
  auto left = static_cast<uint64_t>(duration.count);
  std::string text;
  for (const Unit& unit : kDurations) {
    if (left < unit.factor) continue;
    text += fmt::format("{}{}", left / unit.factor, unit.name);
    left %= unit.factor;
  }
  return text;
}

Result<uint64_t> parse_size(std::string_view text) {
  if (text == "0") return 0;
  std::string_view rest = text;
  const auto part = take_part(rest);
  std::string_view unit = part ? part->unit : std::string_view();
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  if (part && rest.empty() &&
      (unit == "K" || unit == "M" || unit == "G" || unit == "T" || unit == "k" || unit == "m" ||
       unit == "g" || unit == "t")) {
    const char letter = static_cast<char>(unit.front() & ~0x20);
    return fail(
        fmt::format("\"{}\" may mean two things: write \"{}{}iB\" (units of 1024) or "
                    "\"{}{}B\" (units of 1000)",
                    text, part->number, letter, part->number, letter == 'K' ? 'k' : letter));
  }
  const auto factor = part ? factor_of(kSizes, unit) : std::nullopt;
  if (!factor || !rest.empty()) {
    return fail(
        fmt::format("\"{}\" is not a size: write a whole number with B, KiB, MiB, GiB "
                    "(units of 1024) or kB, MB, GB (units of 1000), such as \"64MiB\"",
                    text));
  }
  uint64_t octets = 0;
  if (!add(part->number, *factor, std::numeric_limits<int64_t>::max(), octets)) {
    return fail(fmt::format("\"{}\" is larger than any size can be", text));
  }
  return octets;
}

// In the unit that makes the number smallest: 512MB rather than 500000KiB.
std::string format_size(uint64_t octets) {
  if (octets == 0) return "0";
  const Unit* best = nullptr;
  for (const Unit& unit : kSizes) {
    if (octets % unit.factor != 0) continue;
    if (best == nullptr || unit.factor > best->factor) best = &unit;
  }
  return fmt::format("{}{}", octets / best->factor, best->name);
}

}  // namespace ringmta::config
