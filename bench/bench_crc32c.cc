// SPDX-License-Identifier: GPL-3.0-or-later
// The spool's checksum at the sizes of a short record, a page, and a large body.
#include <benchmark/benchmark.h>

#include <vector>

#include "ringmta/base/crc32c.h"

namespace {

template <uint32_t (*Sum)(ringmta::Bytes, uint32_t)>
void crc32c_of(benchmark::State& state) {
  const std::vector<std::byte> octets(static_cast<size_t>(state.range(0)), std::byte{0x5A});
  for (auto _ : state) benchmark::DoNotOptimize(Sum(octets, 0));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(crc32c_of<ringmta::crc32c>)->Name("crc32c")->Arg(64)->Arg(1024)->Arg(4096)->Arg(1 << 20);
BENCHMARK(crc32c_of<ringmta::crc32c_portable>)->Name("crc32c_portable")->Arg(1024)->Arg(1 << 20);

}  // namespace

BENCHMARK_MAIN();
