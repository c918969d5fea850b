// SPDX-License-Identifier: GPL-3.0-or-later
// A reader per kind of value. Each names the mistake and shows how the key is written.
#include "values.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "ringmta/config/closest.h"
#include "ringmta/config/units.h"

namespace ringmta::config {
namespace {

template <typename... F>
struct Overloaded : F... {
  using F::operator()...;
};

std::string limits_of(const Whole& whole, bool as_size) {
  const auto text = [as_size](uint64_t n) { return as_size ? format_size(n) : std::to_string(n); };
  return fmt::format("{} to {}{}", text(whole.min), text(whole.max),
                     whole.power_of_two ? ", a power of two" : "");
}

bool within(const Whole& whole, uint64_t value) {
  return value >= whole.min && value <= whole.max &&
         (!whole.power_of_two || std::has_single_bit(value));
}

std::string list_text(const std::vector<std::string>& elements) {
  std::string text = "[";
  for (const std::string& element : elements) {
    if (text.size() > 1) text += ", ";
    text += quoted(element);
  }
  return text + "]";
}

// A number that is read back as one with a fraction.
std::string fraction_text(double value) {
  const std::string text = fmt::format("{}", value);
  return text.find_first_of(".e") == std::string::npos ? text + ".0" : text;
}

std::vector<std::string> texts_of(const std::vector<SocketAddress>& addresses) {
  std::vector<std::string> texts;
  for (const SocketAddress& address : addresses) texts.push_back(address.text());
  return texts;
}

std::vector<std::string> texts_of(const std::vector<Network>& networks) {
  std::vector<std::string> texts;
  for (const Network& network : networks) texts.push_back(network.text());
  return texts;
}

Result<SocketAddress> parse_address(std::string_view text, uint16_t default_port) {
  if (text.starts_with('/'))
    return fail(fmt::format("{} is a path: an address is wanted", quoted(text)));
  if (default_port != 0) return parse_socket_address(text, default_port);
  constexpr uint16_t kProbe = 1;
  auto address = parse_socket_address(text, kProbe);
  if (!address) return address;
  // Read again with another default: what changes was not written.
  if (parse_socket_address(text, kProbe + 1)->port() != address->port()) {
    return fail(fmt::format("{} has no port: write it behind the address, such as \"{}\"",
                            quoted(text), "127.0.0.1:9465"));
  }
  return address;
}

class Reader final {
 public:
  Reader(const Key& key, const Value& value, Settings& settings, Problems& problems)
      : key_(key), value_(value), settings_(settings), problems_(problems) {}

  void operator()(const Flag& flag) {
    const bool* given = value_.as<bool>();
    if (given == nullptr) return wrong_type("true or false without quotes");
    flag.ref(settings_) = *given;
  }
  void operator()(const Whole& whole) {
    const int64_t* given = value_.as<int64_t>();
    if (given == nullptr) return wrong_type("a whole number without quotes");
    if (*given < 0 || !within(whole, static_cast<uint64_t>(*given))) {
      return refuse(fmt::format("{} is out of range ({})", *given, limits_of(whole, false)));
    }
    whole.set(settings_, static_cast<uint64_t>(*given));
  }
  void operator()(const Size& size) {
    uint64_t octets = 0;
    if (const int64_t* number = value_.as<int64_t>(); number != nullptr && *number >= 0) {
      octets = static_cast<uint64_t>(*number);
    } else if (const std::string* given = value_.as<std::string>()) {
      const auto parsed = parse_size(*given);
      if (!parsed) return refuse(parsed.error().message);
      octets = *parsed;
    } else {
      return wrong_type("a size with its unit");
    }
    if (!within(size.octets, octets)) {
      return refuse(fmt::format("{} is out of range ({})", format_size(octets),
                                limits_of(size.octets, true)));
    }
    size.octets.set(settings_, octets);
  }
  void operator()(const Fraction& fraction) {
    const double* given = value_.as<double>();
    const int64_t* whole = value_.as<int64_t>();
    if (given == nullptr && whole == nullptr) return wrong_type("a number without quotes");
    const double number = given != nullptr ? *given : static_cast<double>(*whole);
    if (!(number >= fraction.min && number <= fraction.max)) {  // nan too
      return refuse(
          fmt::format("{} is out of range ({} to {})", number, fraction.min, fraction.max));
    }
    fraction.ref(settings_) = number;
  }
  void operator()(const Duration& duration) {
    const std::string* given = value_.as<std::string>();
    const int64_t* number = value_.as<int64_t>();
    if (given == nullptr && !(number != nullptr && *number == 0)) {
      return wrong_type("a duration with its unit");
    }
    const auto parsed = parse_duration(given != nullptr ? *given : "0");
    if (!parsed) return refuse(parsed.error().message);
    if (*parsed < duration.min || *parsed > duration.max) {
      return refuse(fmt::format("{} is out of range ({} to {})", format_duration(*parsed),
                                format_duration(duration.min), format_duration(duration.max)));
    }
    duration.ref(settings_) = *parsed;
  }
  void operator()(const Choice& choice) {
    const std::string* given = value_.as<std::string>();
    if (given == nullptr) return wrong_type("one of some words in quotes");
    const auto found = std::find(choice.words.begin(), choice.words.end(), *given);
    if (found == choice.words.end()) {
      const std::string_view meant = closest(*given, choice.words);
      return refuse(fmt::format("{} is not one of {}{}", quoted(*given), form_of(key_),
                                meant.empty() ? "" : fmt::format("; did you mean \"{}\"?", meant)));
    }
    choice.set(settings_, static_cast<uint8_t>(found - choice.words.begin()));
  }
  void operator()(const Text& text) {
    const std::string* given = value_.as<std::string>();
    if (given == nullptr) return wrong_type("a text in quotes");
    if (!given->empty() || !text.may_be_empty) {
      if (const Status fine = text.check(*given); !fine) return refuse(fine.error().message);
    }
    text.ref(settings_) = *given;
  }
  void operator()(const Texts& texts) {
    read_list<std::string>(texts.ref, [&](const std::string& element) -> Result<std::string> {
      if (const Status fine = texts.check(element); !fine) return std::unexpected(fine.error());
      return element;
    });
  }
  void operator()(const Addresses& addresses) {
    read_list<SocketAddress>(addresses.ref, [&](const std::string& element) {
      return parse_address(element, addresses.default_port);
    });
  }
  void operator()(const Networks& networks) {
    read_list<Network>(networks.ref,
                       [](const std::string& element) { return Network::parse(element); });
  }
  void operator()(const Special& special) {
    if (const Status fine = special.read(settings_, value_); !fine) refuse(fine.error().message);
  }

 private:
  // Each bad element is told with its own line.
  template <typename T, typename Parse>
  void read_list(Ref<std::vector<T>> ref, Parse&& parse) {
    const std::vector<Value>* given = value_.as<std::vector<Value>>();
    if (given == nullptr) return wrong_type("a list of texts in brackets");
    std::vector<T> list;
    for (const Value& element : *given) {
      const std::string* text = element.as<std::string>();
      if (text == nullptr) {
        refuse_at(element.line,
                  fmt::format("each element is a text in quotes: write {}", example_of(key_)));
        continue;
      }
      auto parsed = parse(*text);
      if (!parsed) {
        refuse_at(element.line, parsed.error().message);
      } else {
        list.push_back(std::move(*parsed));
      }
    }
    ref(settings_) = std::move(list);
  }
  void wrong_type(std::string_view wanted) {
    refuse(fmt::format("expects {}: write {}", wanted, example_of(key_)));
  }
  void refuse(std::string what) { refuse_at(value_.line, std::move(what)); }
  void refuse_at(uint32_t line, std::string what) {
    problems_.error(line, key_.path(), std::move(what));
  }

  const Key& key_;
  const Value& value_;
  Settings& settings_;
  Problems& problems_;
};

}  // namespace

std::string quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    if (static_cast<unsigned char>(c) < ' ' || c == 127) {
      result += fmt::format("\\u{:04X}", static_cast<unsigned char>(c));
    } else {
      result += c;
    }
  }
  return result + "\"";
}

void read_value(const Key& key, const Value& value, Settings& settings, Problems& problems) {
  std::visit(Reader(key, value, settings, problems), key.kind);
}

std::string show_value(const Key& key, const Settings& settings) {
  // Refs are for reading and writing; here nothing is written.
  auto& s = const_cast<Settings&>(settings);
  return std::visit(
      Overloaded{[&](const Flag& flag) -> std::string { return flag.ref(s) ? "true" : "false"; },
                 [&](const Whole& whole) { return std::to_string(whole.get(s)); },
                 [&](const Size& size) { return quoted(format_size(size.octets.get(s))); },
                 [&](const Fraction& fraction) { return fraction_text(fraction.ref(s)); },
                 [&](const Duration& duration) { return quoted(format_duration(duration.ref(s))); },
                 [&](const Choice& choice) { return quoted(choice.words[choice.get(s)]); },
                 [&](const Text& text) { return quoted(text.ref(s)); },
                 [&](const Texts& texts) { return list_text(texts.ref(s)); },
                 [&](const Addresses& addresses) { return list_text(texts_of(addresses.ref(s))); },
                 [&](const Networks& networks) { return list_text(texts_of(networks.ref(s))); },
                 [&](const Special& special) { return special.show(s); }},
      key.kind);
}

std::string form_of(const Key& key) {
  return std::visit(
      Overloaded{[](const Flag&) -> std::string { return "true or false"; },
                 [](const Whole& whole) { return "number, " + limits_of(whole, false); },
                 [](const Size& size) { return "size, " + limits_of(size.octets, true); },
                 [](const Fraction& fraction) {
                   return fmt::format("number, {} to {}", fraction.min, fraction.max);
                 },
                 [](const Duration& duration) {
                   return fmt::format("duration, {} to {}", format_duration(duration.min),
                                      format_duration(duration.max));
                 },
                 [](const Choice& choice) {
                   std::string text;
                   for (size_t i = 0; i < choice.words.size(); ++i) {
                     if (i > 0) text += i + 1 == choice.words.size() ? " or " : ", ";
                     text += quoted(choice.words[i]);
                   }
                   return text;
                 },
                 [](const Text& text) { return std::string(text.form); },
                 [](const Texts& texts) { return "list of " + std::string(texts.form); },
                 [](const Addresses& addresses) {
                   return addresses.default_port == 0
                              ? std::string("list of addresses with port")
                              : fmt::format("list of addresses (port {} where none is written)",
                                            addresses.default_port);
                 },
                 [](const Networks&) -> std::string { return "list of networks"; },
                 [](const Special& special) { return std::string(special.form); }},
      key.kind);
}

std::string example_of(const Key& key) {
  if (!key.example.empty()) return fmt::format("{} = {}", key.name, key.example);
  return fmt::format("{} = {}", key.name, show_value(key, one_of_each()));
}

}  // namespace ringmta::config
