// SPDX-License-Identifier: GPL-3.0-or-later
// Throughput of the content scanner, per kernel: generated mail (header section and lines of 60 to
// 76 octets) of 1 KB, 10 KB and 1 MB; mail in which every line begins with a dot; and, beside it,
// memchr for LF, which looks at one octet value only.
#include <benchmark/benchmark.h>

#include <cstring>
#include <string>

#include "ringmta/base/prng.h"
#include "ringmta/smtp/scan.h"

namespace ringmta::smtp {
namespace {

std::string mail(size_t size, bool dots) {
  Prng random(1);
  std::string text =
      "Received: from client.example ([192.0.2.1])\r\n\tby relay.example with ESMTP id 1;\r\n"
      "\tTue, 01 Jul 2025 12:00:05 +0000\r\nFrom: News <news@sender.example>\r\n"
      "To: somebody@customer.example\r\nSubject: What is new this week\r\n"
      "Date: Tue, 01 Jul 2025 12:00:05 +0000\r\nMessage-ID: <1234567890@sender.example>\r\n"
      "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n";
  while (text.size() < size) {
    if (dots) text += "..";
    const uint64_t length = 60 + random.below(17);
    for (uint64_t i = 0; i < length; ++i) text += static_cast<char>('a' + random.below(26));
    text += "\r\n";
  }
  return text + ".\r\n";
}

void scan(benchmark::State& state, ScanKernel kernel, bool dots) {
  if (!supported(kernel)) {
    state.SkipWithError("this processor has no such instructions");
    return;
  }
  const std::string text = mail(static_cast<size_t>(state.range(0)), dots);
  ContentScanner scanner(kernel);
  for (auto _ : state) {
    scanner.start(Framing::dots);
    benchmark::DoNotOptimize(scanner.scan(text));
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}
BENCHMARK_CAPTURE(scan, avx512, ScanKernel::avx512, false)->Arg(1024)->Arg(10'240)->Arg(1 << 20);
BENCHMARK_CAPTURE(scan, avx2, ScanKernel::avx2, false)->Arg(1024)->Arg(10'240)->Arg(1 << 20);
BENCHMARK_CAPTURE(scan, portable, ScanKernel::portable, false)
    ->Arg(1024)
    ->Arg(10'240)
    ->Arg(1 << 20);
BENCHMARK_CAPTURE(scan, avx512_dots, ScanKernel::avx512, true)->Arg(10'240);

void scan_with_line_limit(benchmark::State& state) {
  const std::string text = mail(10'240, false);
  ContentScanner scanner;
  for (auto _ : state) {
    scanner.start(Framing::dots, 998);
    benchmark::DoNotOptimize(scanner.scan(text));
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}
BENCHMARK(scan_with_line_limit);

void lines_by_memchr(benchmark::State& state) {
  const std::string text = mail(static_cast<size_t>(state.range(0)), false);
  for (auto _ : state) {
    const char* at = text.data();
    const char* const end = at + text.size();
    while (at != nullptr && at != end) {
      at = static_cast<const char*>(std::memchr(at, '\n', static_cast<size_t>(end - at)));
      if (at != nullptr) ++at;
    }
    benchmark::DoNotOptimize(at);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * text.size()));
}
BENCHMARK(lines_by_memchr)->Arg(1024)->Arg(1 << 20);

}  // namespace
}  // namespace ringmta::smtp

BENCHMARK_MAIN();
