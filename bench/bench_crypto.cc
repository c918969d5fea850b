// SPDX-License-Identifier: GPL-3.0-or-later
// What the cryptography library does per second on one core: the ceiling for DKIM and TLS. A
// library built without CPU acceleration shows at once: it signs RSA-2048 less than 600 times a
// second.
#include <benchmark/benchmark.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/ed25519.h>
#include <wolfssl/wolfcrypt/random.h>
#include <wolfssl/wolfcrypt/rsa.h>
#include <wolfssl/wolfcrypt/sha256.h>

#include <array>
#include <cstdlib>
#include <vector>

namespace {

using Octets = std::vector<unsigned char>;

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "bench_crypto: %s failed\n", what);
  std::abort();
}

struct Random final {
  WC_RNG rng{};
  Random() { require(wc_InitRng(&rng) == 0, "wc_InitRng"); }
  ~Random() { wc_FreeRng(&rng); }
};

void rsa_sign(benchmark::State& state) {
  Random random;
  const int bits = static_cast<int>(state.range(0));
  RsaKey key;
  wc_InitRsaKey(&key, nullptr);
  require(wc_MakeRsaKey(&key, bits, WC_RSA_EXPONENT, &random.rng) == 0, "wc_MakeRsaKey");
  wc_RsaSetRNG(&key, &random.rng);
  const Octets digest_info(51, 0x42);
  Octets signature(static_cast<size_t>(bits) / 8);
  for (auto _ : state) {
    const int size =
        wc_RsaSSL_Sign(digest_info.data(), static_cast<word32>(digest_info.size()),
                       signature.data(), static_cast<word32>(signature.size()), &key, &random.rng);
    require(size == bits / 8, "wc_RsaSSL_Sign");
  }
  state.SetItemsProcessed(state.iterations());
  wc_FreeRsaKey(&key);
}
BENCHMARK(rsa_sign)->Arg(1024)->Arg(2048)->Arg(3072)->Arg(4096)->Unit(benchmark::kMicrosecond);

void rsa_verify(benchmark::State& state) {
  Random random;
  RsaKey key;
  wc_InitRsaKey(&key, nullptr);
  require(wc_MakeRsaKey(&key, 2048, WC_RSA_EXPONENT, &random.rng) == 0, "wc_MakeRsaKey");
  wc_RsaSetRNG(&key, &random.rng);
  const Octets digest_info(51, 0x42);
  Octets signature(256);
  Octets out(256);
  require(wc_RsaSSL_Sign(digest_info.data(), 51, signature.data(), 256, &key, &random.rng) == 256,
          "wc_RsaSSL_Sign");
  for (auto _ : state) {
    require(wc_RsaSSL_Verify(signature.data(), 256, out.data(), 256, &key) == 51,
            "wc_RsaSSL_Verify");
  }
  state.SetItemsProcessed(state.iterations());
  wc_FreeRsaKey(&key);
}
BENCHMARK(rsa_verify)->Unit(benchmark::kMicrosecond);

void ed25519_sign(benchmark::State& state) {
  Random random;
  ed25519_key key;
  wc_ed25519_init(&key);
  require(wc_ed25519_make_key(&random.rng, ED25519_KEY_SIZE, &key) == 0, "wc_ed25519_make_key");
  const Octets digest(32, 0x42);
  Octets signature(ED25519_SIG_SIZE);
  for (auto _ : state) {
    word32 size = ED25519_SIG_SIZE;
    require(wc_ed25519_sign_msg(digest.data(), 32, signature.data(), &size, &key) == 0,
            "wc_ed25519_sign_msg");
  }
  state.SetItemsProcessed(state.iterations());
  wc_ed25519_free(&key);
}
BENCHMARK(ed25519_sign)->Unit(benchmark::kMicrosecond);

void ecdsa_p256_sign(benchmark::State& state) {
  Random random;
  ecc_key key;
  wc_ecc_init(&key);
  require(wc_ecc_make_key(&random.rng, 32, &key) == 0, "wc_ecc_make_key");
  const Octets digest(32, 0x42);
  Octets signature(80);
  for (auto _ : state) {
    word32 size = 80;
    require(wc_ecc_sign_hash(digest.data(), 32, signature.data(), &size, &random.rng, &key) == 0,
            "wc_ecc_sign_hash");
  }
  state.SetItemsProcessed(state.iterations());
  wc_ecc_free(&key);
}
BENCHMARK(ecdsa_p256_sign)->Unit(benchmark::kMicrosecond);

void sha256(benchmark::State& state) {
  const Octets octets(static_cast<size_t>(state.range(0)), 0x5A);
  std::array<unsigned char, 32> digest;
  wc_Sha256 hash;
  wc_InitSha256(&hash);
  for (auto _ : state) {
    wc_Sha256Update(&hash, octets.data(), static_cast<word32>(octets.size()));
    wc_Sha256Final(&hash, digest.data());
    benchmark::DoNotOptimize(digest);
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
  wc_Sha256Free(&hash);
}
BENCHMARK(sha256)->Arg(256)->Arg(1024)->Arg(16384);

void aes_gcm_seal(benchmark::State& state) {
  const Octets plain(static_cast<size_t>(state.range(1)), 0x5A);
  Octets sealed(plain.size());
  const Octets key(static_cast<size_t>(state.range(0)) / 8, 0x11);
  const Octets nonce(12, 0x22);
  std::array<unsigned char, 16> tag;
  Aes aes;
  wc_AesInit(&aes, nullptr, INVALID_DEVID);
  require(wc_AesGcmSetKey(&aes, key.data(), static_cast<word32>(key.size())) == 0,
          "wc_AesGcmSetKey");
  for (auto _ : state) {
    wc_AesGcmEncrypt(&aes, sealed.data(), plain.data(), static_cast<word32>(plain.size()),
                     nonce.data(), 12, tag.data(), 16, nullptr, 0);
    benchmark::DoNotOptimize(tag);
  }
  state.SetBytesProcessed(state.iterations() * state.range(1));
  wc_AesFree(&aes);
}
BENCHMARK(aes_gcm_seal)->Args({128, 1024})->Args({128, 16384})->Args({256, 16384});

}  // namespace

BENCHMARK_MAIN();
