// SPDX-License-Identifier: GPL-3.0-or-later
#include "scram_messages.h"

#include <algorithm>
#include <charconv>

#include "ringmta/base/base64.h"

namespace ringmta::sasl {
namespace {

// The message as "a=value" pieces between commas, taken off one after the other.
class Attributes final {
 public:
  explicit Attributes(std::string_view text) : rest_(text) {}
  // The next piece must be `name=`...
  bool take(char name, std::string_view& value) {
    if (ended_ || rest_.size() < 2 || rest_[0] != name || rest_[1] != '=') return false;
    const std::string_view piece = next();
    value = piece.substr(2);
    return true;
  }
  std::string_view next() {
    const size_t comma = rest_.find(',');
    const std::string_view piece = rest_.substr(0, comma);
    ended_ = comma == std::string_view::npos;
    rest_.remove_prefix(ended_ ? rest_.size() : comma + 1);
    return piece;
  }
  bool ended() const { return ended_; }
  bool is_next(char name) const {
    return !ended_ && rest_.size() >= 2 && rest_[0] == name && rest_[1] == '=';
  }
  // Extensions up to the end, or up to the attribute `until`: letter "=" value each.
  bool skip_extensions(char until = '\0') {
    while (!ended_ && !(until != '\0' && is_next(until))) {
      const std::string_view piece = next();
      const bool letter = !piece.empty() && ((piece[0] >= 'a' && piece[0] <= 'z') ||
                                             (piece[0] >= 'A' && piece[0] <= 'Z'));
      if (!letter || piece.size() < 3 || piece[1] != '=' || piece[0] == 'm') return false;
    }
    return true;
  }
  std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
  bool ended_ = false;
};

bool plausible(std::string_view message) {
  return message.size() <= kScramMessageMax && message.find('\0') == std::string_view::npos;
}

bool is_binding_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-';
  });
}

}  // namespace

bool is_scram_nonce(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(),
                                      [](char c) { return c > 0x20 && c < 0x7F && c != ','; });
}

std::string escape_saslname(std::string_view name) {
  std::string text;
  for (const char c : name) {
    if (c == ',') {
      text += "=2C";
    } else if (c == '=') {
      text += "=3D";
    } else {
      text += c;
    }
  }
  return text;
}

std::optional<std::string> unescape_saslname(std::string_view text) {
  std::string name;
  while (!text.empty()) {
    if (text.front() != '=') {
      name += text.front();
      text.remove_prefix(1);
      continue;
    }
    if (text.starts_with("=2C")) {
      name += ',';
    } else if (text.starts_with("=3D")) {
      name += '=';
    } else {
      return std::nullopt;
    }
    text.remove_prefix(3);
  }
  if (name.empty()) return std::nullopt;
  return name;
}

std::optional<ScramClientFirst> parse_client_first(std::string_view message) {
  if (!plausible(message)) return std::nullopt;
  ScramClientFirst first;
  Attributes parts(message);
  const std::string_view flag = parts.next();
  if (flag == "n") {
    first.flag = BindingFlag::none;
  } else if (flag == "y") {
    first.flag = BindingFlag::declined;
  } else if (flag.starts_with("p=") && is_binding_name(flag.substr(2))) {
    first.flag = BindingFlag::used;
    first.binding_name = flag.substr(2);
  } else {
    return std::nullopt;
  }
  if (parts.ended()) return std::nullopt;
  if (parts.is_next('a')) {
    // "a=" without a name is no saslname; GNU SASL sends it and means nobody.
    if (!parts.take('a', first.authorization)) return std::nullopt;
  } else if (!parts.next().empty()) {
    return std::nullopt;
  }
  if (parts.ended()) return std::nullopt;
  first.bare = parts.rest();
  first.gs2_header = message.substr(0, message.size() - first.bare.size());
  if (!parts.take('n', first.user) || first.user.empty()) return std::nullopt;
  if (!parts.take('r', first.nonce) || !is_scram_nonce(first.nonce)) return std::nullopt;
  if (!parts.skip_extensions()) return std::nullopt;
  return first;
}

std::optional<ScramServerFirst> parse_server_first(std::string_view message) {
  if (!plausible(message)) return std::nullopt;
  ScramServerFirst first;
  Attributes parts(message);
  std::string_view salt, iterations;
  if (!parts.take('r', first.nonce) || !is_scram_nonce(first.nonce)) return std::nullopt;
  if (!parts.take('s', salt) || salt.empty() || !append_base64_decoded(salt, first.salt)) {
    return std::nullopt;
  }
  if (!parts.take('i', iterations) || iterations.empty() || iterations.front() == '0') {
    return std::nullopt;
  }
  const auto [end, error] =
      std::from_chars(iterations.data(), iterations.data() + iterations.size(), first.iterations);
  if (error != std::errc{} || end != iterations.data() + iterations.size()) return std::nullopt;
  if (!parts.skip_extensions()) return std::nullopt;
  return first;
}

std::optional<ScramClientFinal> parse_client_final(std::string_view message) {
  if (!plausible(message)) return std::nullopt;
  ScramClientFinal last;
  Attributes parts(message);
  std::string_view binding, proof;
  if (!parts.take('c', binding) || binding.empty()) return std::nullopt;
  if (!append_base64_decoded(binding, last.binding)) return std::nullopt;
  if (!parts.take('r', last.nonce) || !is_scram_nonce(last.nonce)) return std::nullopt;
  if (!parts.skip_extensions('p') || parts.ended()) return std::nullopt;
  last.without_proof = message.substr(0, message.size() - parts.rest().size() - 1);
  if (!parts.take('p', proof) || !parts.ended()) return std::nullopt;
  if (!append_base64_decoded(proof, last.proof) || last.proof.size() != 32) return std::nullopt;
  return last;
}

std::optional<ScramServerFinal> parse_server_final(std::string_view message) {
  if (!plausible(message)) return std::nullopt;
  ScramServerFinal last;
  Attributes parts(message);
  std::string_view signature;
  if (parts.is_next('e')) {
    if (!parts.take('e', last.error) || last.error.empty()) return std::nullopt;
  } else {
    if (!parts.take('v', signature) || !append_base64_decoded(signature, last.signature) ||
        last.signature.empty()) {
      return std::nullopt;
    }
  }
  if (!parts.skip_extensions()) return std::nullopt;
  return last;
}

}  // namespace ringmta::sasl
