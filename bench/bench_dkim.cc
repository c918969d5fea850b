// SPDX-License-Identifier: GPL-3.0-or-later
// What DKIM costs a message: body hash and header taken in as the content arrives, signature
// prepared, signed. `library` is the private-key operation alone; `message` may cost 15 % more at
// most.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "ringmta/dkim/content_hasher.h"
#include "ringmta/dkim/header_fields.h"
#include "ringmta/dkim/signer.h"

namespace {

using namespace ringmta;
using namespace ringmta::dkim;

enum Body : int64_t { text, base64, html };

std::string line_of(Body kind, size_t number) {
  switch (kind) {
    case base64:
      return std::string(76, static_cast<char>('A' + number % 26)) + "\r\n";
    case html:
      return "        <td class=\"cell\" style=\"padding: 0\">value</td>\r\n";
    case text:
      break;
  }
  return number % 12 == 0
             ? "\r\n"
             : "The quick brown fox jumps over the lazy dog, and it does so again.\r\n";
}

std::string content(size_t body_size, Body kind) {
  std::string wire =
      "From: Newsletter <news@example.com>\r\nTo: somebody@example.net\r\n"
      "Subject: What happened in November\r\nDate: Tue, 24 Nov 2026 11:00:00 +0000\r\n"
      "Message-ID: <20261124110000.1234@example.com>\r\nMIME-Version: 1.0\r\n"
      "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"
      "List-Unsubscribe: <https://example.com/u/1234>\r\n"
      "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n\r\n";
  const size_t end = wire.size() + body_size;
  for (size_t i = 1; wire.size() < end; ++i) wire += line_of(kind, i);
  return wire + ".\r\n";
}

Key key_of(int64_t kind) {
  auto key = kind == 0 ? Key::generate(KeyType::ed25519)
                       : Key::generate(KeyType::rsa, static_cast<uint32_t>(kind));
  if (!key) std::abort();
  return std::move(*key);
}

Signer signer_of(int64_t kind) {
  SignatureOptions options;
  options.domain = "example.com";
  options.selector = "november2026";
  auto signer = Signer::create(options, key_of(kind));
  if (!signer) std::abort();
  return std::move(*signer);
}

constexpr std::string_view kTrace =
    "Received: from app (app.example.com [192.0.2.7])\r\n\tby relay.example.com (RingMTA) with "
    "ESMTP "
    "id 0123456789ABC\r\n\tfor <somebody@example.net>; Tue, 24 Nov 2026 11:00:00 +0000\r\n";

// The private-key operation alone. 0: Ed25519.
void library(benchmark::State& state) {
  Key key = key_of(state.range(0));
  std::vector<std::byte> signature(key.signature_size());
  for (auto _ : state) {
    if (!key.sign(Digest{}, signature)) std::abort();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(library)->Arg(0)->Arg(1024)->Arg(2048)->Unit(benchmark::kMicrosecond);

// Everything for one message of `body` octets.
void message(benchmark::State& state) {
  Signer signer = signer_of(state.range(0));
  const std::string wire = content(static_cast<size_t>(state.range(1)), text);
  ContentHasher hasher({});
  HeaderFields fields;
  Prepared prepared;
  std::string out;
  for (auto _ : state) {
    hasher.begin();
    hasher.append(wire);
    hasher.finish();
    fields.clear();
    fields.add(kTrace);
    fields.add(hasher.header());
    out.clear();
    if (!signer.prepare(fields, hasher.body_hash(Canonicalization::relaxed), WallTime{1},
                        prepared) ||
        !signer.sign(prepared, out)) {
      std::abort();
    }
    benchmark::DoNotOptimize(out);
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(message)
    ->Args({0, 1024})
    ->Args({1024, 1024})
    ->Args({2048, 1024})
    ->Args({2048, 10'240})
    ->Args({2048, 102'400})
    ->Unit(benchmark::kMicrosecond);

// All but the private-key operation.
void prepare(benchmark::State& state) {
  Signer signer = signer_of(0);
  const std::string wire = content(1024, text);
  ContentHasher hasher({});
  hasher.begin();
  hasher.append(wire);
  hasher.finish();
  HeaderFields fields;
  Prepared prepared;
  for (auto _ : state) {
    fields.clear();
    fields.add(kTrace);
    fields.add(hasher.header());
    if (!signer.prepare(fields, hasher.body_hash(Canonicalization::relaxed), WallTime{1},
                        prepared)) {
      std::abort();
    }
  }
}
BENCHMARK(prepare)->Unit(benchmark::kNanosecond);

// Header and body as they arrive: bytes per second of content.
void body_hash(benchmark::State& state) {
  const std::string wire =
      content(static_cast<size_t>(state.range(1)), static_cast<Body>(state.range(0)));
  ContentHasher hasher({.simple = state.range(2) == 0, .relaxed = state.range(2) != 0});
  for (auto _ : state) {
    hasher.begin();
    hasher.append(wire);
    hasher.finish();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(wire.size()));
}
BENCHMARK(body_hash)
    ->ArgNames({"kind", "octets", "relaxed"})
    ->ArgsProduct({{text, base64, html}, {1024, 102'400}, {0, 1}});

}  // namespace

BENCHMARK_MAIN();
