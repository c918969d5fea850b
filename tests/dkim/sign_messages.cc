// SPDX-License-Identifier: GPL-3.0-or-later
// Signs what verify_test.py hands it, as the relay would: content in wire form, in pieces of random
// size, a trace line in front, one or more signatures.
//
// First a line per signer on stdout: "DOMAIN SELECTOR RECORD", then "end". Then for each request
// "SEED OCTETS SIGNER[,SIGNER...]\n" and the message on stdin, "OCTETS\n" and the signed message.
#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <string>
#include <vector>

#include "ringmta/base/prng.h"
#include "ringmta/dkim/content_hasher.h"
#include "ringmta/dkim/header_fields.h"
#include "ringmta/dkim/signer.h"
#include "test_keys.h"
#include "wire.h"

namespace {

using namespace ringmta;
using namespace ringmta::dkim;

[[noreturn]] void die(std::string_view what) {
  std::cerr << "sign_messages: " << what << '\n';
  std::exit(1);
}

template <typename T>
T take(Result<T> result) {
  if (!result) die(result.error().message);
  return std::move(*result);
}

std::vector<Signer> make_signers() {
  std::vector<std::string> pems = {kRsa1024Pem, kRsa2048Pem, kEd25519Pem};
  pems.push_back(take(Key::generate(KeyType::rsa, 3072)).private_pem());
  pems.push_back(take(Key::generate(KeyType::rsa, 4096)).private_pem());
  std::vector<Signer> signers;
  for (const std::string& pem : pems) {
    for (const auto header : {Canonicalization::relaxed, Canonicalization::simple}) {
      for (const auto body : {Canonicalization::relaxed, Canonicalization::simple}) {
        SignatureOptions options;
        options.domain = "example.com";
        options.selector = fmt::format("s{}", signers.size());
        options.header = header;
        options.body = body;
        options.lifetime = seconds(signers.size() % 3 == 0 ? 0 : 86'400);
        options.timestamp = signers.size() % 4 != 1;
        if (signers.size() % 5 == 2) options.identity = "user@sub.example.com";
        if (signers.size() % 5 == 3) options.identity = "bounce+user=other@example.com";
        signers.push_back(take(Signer::create(options, take(Key::from_pem(pem)))));
      }
    }
  }
  return signers;
}

void hash_in_pieces(ContentHasher& hasher, std::string_view wire, Prng& random) {
  hasher.begin();
  while (!wire.empty()) {
    const size_t most = random.below(4) == 0 ? 16384 : 40;
    const size_t size = std::min<size_t>(wire.size(), 1 + random.below(most));
    hasher.append(wire.substr(0, size));
    wire.remove_prefix(size);
  }
  hasher.finish();
}

}  // namespace

int main() {
  std::vector<Signer> signers = make_signers();
  for (const Signer& signer : signers) {
    std::cout << signer.options().domain << ' ' << signer.options().selector << ' '
              << signer.key().dns_record() << '\n';
  }
  std::cout << "end" << std::endl;

  ContentHasher hasher({.simple = true, .relaxed = true});
  HeaderFields fields;
  Prepared prepared;
  uint64_t seed = 0;
  size_t size = 0;
  std::string which;
  while (std::cin >> seed >> size >> which) {
    std::cin.ignore();
    std::string message(size, 0);
    std::cin.read(message.data(), static_cast<std::streamsize>(size));
    Prng random(seed);
    hash_in_pieces(hasher, wire_form(message), random);
    const std::string trace = fmt::format(
        "Received: from client (client [127.0.0.1])\r\n\tby relay with ESMTP id {}\r\n", seed);
    fields.clear();
    fields.add(trace);
    fields.add(hasher.header());
    std::string out;
    const WallTime now{time(nullptr) * 1000};
    for (size_t at = 0; at < which.size();) {
      const size_t comma = std::min(which.find(',', at), which.size());
      Signer& signer = signers.at(std::stoul(which.substr(at, comma - at)));
      const Digest& body = hasher.body_hash(signer.options().body);
      if (auto status = signer.prepare(fields, body, now, prepared); !status) {
        die(status.error().message);
      }
      if (auto status = signer.sign(prepared, out); !status) die(status.error().message);
      at = comma + 1;
    }
    out += trace + message;
    std::cout << out.size() << '\n' << out << std::flush;
  }
}
