// SPDX-License-Identifier: GPL-3.0-or-later
// Checks of names by their grammar; nothing is looked up.
#include "names.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "ringmta/base/address.h"

namespace ringmta::config {
namespace {

constexpr size_t kNameMax = 253;  // RFC 1035 2.3.4: 255 octets on the wire
constexpr size_t kLabelMax = 63;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

enum class Alphabet { hostname, any_domain };  // the latter with "_" and what is not ASCII

bool allowed(char c, Alphabet alphabet) {
  if (is_letter(c) || is_digit(c) || c == '-') return true;
  return alphabet == Alphabet::any_domain && (c == '_' || static_cast<unsigned char>(c) > 127);
}

// What is wrong with it, in words; empty: nothing.
std::string fault_of_domain(std::string_view name, Alphabet alphabet) {
  if (name.empty()) return "is empty";
  if (name.size() > kNameMax) return fmt::format("is longer than {} octets", kNameMax);
  if (name.back() == '.') return "must not end with a dot";
  std::string_view label;
  for (std::string_view rest = name;;) {
    const size_t dot = rest.find('.');
    label = rest.substr(0, dot);
    if (label.empty()) return "has an empty part between dots";
    if (label.size() > kLabelMax) return fmt::format("has a part longer than {} octets", kLabelMax);
    if (label.front() == '-' || label.back() == '-') {
      return fmt::format("has a part, \"{}\", that begins or ends with a hyphen", label);
    }
    const auto odd =
        std::find_if(label.begin(), label.end(), [&](char c) { return !allowed(c, alphabet); });
    if (odd != label.end()) {
      if (static_cast<unsigned char>(*odd) > 127) {
        return "must be written in its ASCII form (labels that begin with xn--)";
      }
      return fmt::format("may have letters, digits, hyphens and dots only, not \"{}\"", *odd);
    }
    if (dot == std::string_view::npos) break;
    rest.remove_prefix(dot + 1);
  }
  if (std::all_of(label.begin(), label.end(), is_digit)) {
    return "looks like an address, not like a name";
  }
  return {};
}

bool is_port(std::string_view text) {
  unsigned value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data(), end, value);
  return problem == std::errc{} && stop == end && value >= 1 && value <= 65535;
}

}  // namespace

Status check_hostname(std::string_view text) {
  const std::string fault = fault_of_domain(text, Alphabet::hostname);
  if (fault.empty()) return {};
  return fail(
      fmt::format("\"{}\" is not a domain name, it {}: write the full name of this host, "
                  "such as \"mail.example.org\"",
                  text, fault));
}

Status check_route_domain(std::string_view text) {
  if (text == "*") return {};
  const std::string_view name = text.starts_with('.') ? text.substr(1) : text;
  const std::string fault = fault_of_domain(name, Alphabet::any_domain);
  if (fault.empty()) return {};
  return fail(
      fmt::format("\"{}\" is not a domain, it {}: write \"example.org\", \".example.org\" "
                  "(its subdomains) or \"*\" (all others)",
                  text, fault));
}

Status check_host(std::string_view text) {
  constexpr uint16_t kAnyPort = 25;
  if (const auto literal = parse_socket_address(text, kAnyPort); literal) {
    if (literal->family() == AF_UNIX || literal->port() != 0) return {};
    return fail(
        fmt::format("\"{}\" has port 0, which nobody listens on: write a port from 1 to "
                    "65535",
                    text));
  }
  const size_t colon = text.rfind(':');
  const std::string_view name = text.substr(0, colon);
  if (colon != std::string_view::npos && !is_port(text.substr(colon + 1))) {
    return fail(
        fmt::format("\"{}\" has no valid port: write a number from 1 to 65535 behind the "
                    "colon; an IPv6 address stands in brackets, such as "
                    "\"[2001:db8::1]:25\"",
                    text));
  }
  const std::string fault = fault_of_domain(name, Alphabet::hostname);
  if (fault.empty()) return {};
  return fail(
      fmt::format("\"{}\" is not a host, its name {}: write \"smtp.example.net:587\", "
                  "\"192.0.2.1:25\" or \"[2001:db8::1]:25\"",
                  text, fault));
}

Status check_mailbox(std::string_view text) {
  const size_t at = text.rfind('@');
  const auto plain = [](char c) {
    return is_letter(c) || is_digit(c) ||
           std::string_view("!#$%&'*+-/=?^_`{|}~.").find(c) != std::string_view::npos;
  };
  const std::string_view local = text.substr(0, at == std::string_view::npos ? 0 : at);
  if (!local.empty() && std::all_of(local.begin(), local.end(), plain) && local.front() != '.' &&
      local.back() != '.' && fault_of_domain(text.substr(at + 1), Alphabet::hostname).empty()) {
    return {};
  }
  return fail(
      fmt::format("\"{}\" is not a mail address: write it like \"postmaster@example.org\"", text));
}

Status check_path(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) return fail("a path cannot hold a NUL");
  if (text.starts_with('/')) return {};
  return fail(
      fmt::format("\"{}\" is not an absolute path: where it lies would depend on the "
                  "directory the relay is started in; write it with a leading /",
                  text));
}

Status check_label(std::string_view text) {
  const bool printable =
      std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 127; });
  if (printable && !text.empty() && text.size() <= kLabelMax) return {};
  return fail(
      fmt::format("\"{}\" is not a name: write one word of at most {} printable ASCII "
                  "characters",
                  text, kLabelMax));
}

}  // namespace ringmta::config
