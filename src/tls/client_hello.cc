// SPDX-License-Identifier: GPL-3.0-or-later
#include "client_hello.h"

#include <vector>

#include "reader.h"

namespace ringmta::tls {
namespace {

constexpr uint32_t kHandshakeRecord = 22;
constexpr uint32_t kClientHello = 1;
constexpr size_t kRecordHeader = 5;
constexpr size_t kMessageHeader = 4;

enum Extension : uint32_t { server_name = 0, signature_algorithms = 13, supported_versions = 43 };

bool is_ecdsa_suite(uint32_t suite) {
  switch (suite) {
    case 0xC02B:  // ECDHE_ECDSA with AES-128-GCM, AES-256-GCM, ChaCha20-Poly1305
    case 0xC02C:
    case 0xCCA9:
      return true;
    default:
      return false;
  }
}

bool is_ecdsa_scheme(uint32_t scheme) { return scheme == 0x0403 || scheme == 0x0503; }

bool lists(Bytes numbers, bool (*wanted)(uint32_t)) {
  for (Reader list(numbers); !list.empty();) {
    if (const uint32_t number = list.number(2); !list.failed() && wanted(number)) return true;
  }
  return false;
}

// The host name of a server_name extension.
std::string host_name(Bytes extension) {
  Reader reader(extension);
  for (Reader names(reader.part(2)); !names.empty();) {
    const uint32_t type = names.number(1);
    const Bytes name = names.part(2);
    if (names.failed() || type != 0) continue;
    std::string lower;
    for (const char c : as_text(name)) lower.push_back(ascii_lower(c));
    return lower;
  }
  return {};
}

void read_hello(Bytes message, ClientHello& into) {
  Reader hello(message);
  hello.take(2 + 32);  // version, random
  hello.part(1);       // session id
  bool ecdsa_suite = lists(hello.part(2), is_ecdsa_suite);
  hello.part(1);  // compression
  bool ecdsa_scheme = false;
  for (Reader extensions(hello.part(2)); !extensions.empty();) {
    const uint32_t type = extensions.number(2);
    Reader extension(extensions.part(2));
    if (type == Extension::server_name) {
      into.server_name = host_name(extension.rest());
    } else if (type == Extension::signature_algorithms) {
      ecdsa_scheme = lists(extension.part(2), is_ecdsa_scheme);
    } else if (type == Extension::supported_versions) {
      // Suites of TLS 1.3 do not name the signature.
      const auto is_tls13 = [](uint32_t version) { return version == 0x0304; };
      ecdsa_suite = ecdsa_suite || lists(extension.part(1), is_tls13);
    }
  }
  into.ecdsa = ecdsa_suite && ecdsa_scheme;
}

}  // namespace

// A message may be spread over records, though hardly any client does it.
HelloState look_at_hello(Bytes octets, ClientHello& into) {
  std::vector<std::byte> gathered;
  Bytes message;
  for (Bytes rest = octets;;) {
    if (!rest.empty() && rest[0] != std::byte{kHandshakeRecord}) return HelloState::other;
    if (rest.size() < kRecordHeader) break;
    Reader header(rest);
    header.take(3);
    const Bytes fragment = header.part(2);
    if (header.failed()) break;
    if (message.empty() && gathered.empty()) {
      message = fragment;
    } else {
      if (gathered.empty()) gathered.assign(message.begin(), message.end());
      gathered.insert(gathered.end(), fragment.begin(), fragment.end());
      message = gathered;
    }
    if (!message.empty() && message[0] != std::byte{kClientHello}) return HelloState::other;
    if (message.size() >= kMessageHeader) {
      Reader body(message);
      body.take(1);
      const Bytes hello = body.part(3);
      if (!body.failed()) {
        read_hello(hello, into);
        return HelloState::complete;
      }
    }
    rest = rest.subspan(kRecordHeader + fragment.size());
  }
  return octets.size() >= kHelloSizeMax ? HelloState::other : HelloState::incomplete;
}

}  // namespace ringmta::tls
