// SPDX-License-Identifier: GPL-3.0-or-later
// Once warm, taking in and signing a message allocates nothing. A program of its own, since it
// counts every operator new.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>
#include <string>

#include "ringmta/dkim/signer.h"
#include "test_keys.h"
#include "wire.h"

namespace {
uint64_t allocations = 0;
}  // namespace

[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  void* memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace ringmta::dkim {
namespace {

TEST(DkimAllocation, WarmSigning) {
  const std::string wire = wire_form(
      "From: A <a@example.com>\r\nTo: b@example.net\r\nSubject: a subject of some length\r\n\r\n" +
      std::string(3000, 'x') + "\r\n  indented\r\n\r\n");
  for (const char* pem : {kEd25519Pem, kRsa2048Pem}) {
    SignatureOptions options;
    options.domain = "example.com";
    options.selector = "s1";
    Signer signer = *Signer::create(options, *Key::from_pem(pem));
    ContentHasher hasher({.simple = true, .relaxed = true});
    HeaderFields fields;
    Prepared prepared;
    std::string author;
    std::string out;
    const auto run = [&] {
      hasher.begin();
      hasher.append(std::string_view(wire).substr(0, 1000));
      hasher.append(std::string_view(wire).substr(1000));
      hasher.finish();
      fields.clear();
      fields.add(hasher.header());
      out.clear();
      EXPECT_TRUE(author_domain(fields, author));
      EXPECT_TRUE(signer.prepare(fields, hasher.body_hash(Canonicalization::relaxed), WallTime{1},
                                 prepared));
      EXPECT_TRUE(signer.sign(prepared, out));
    };
    run();
    const uint64_t before = allocations;
    for (int i = 0; i < 20; ++i) run();
    EXPECT_EQ(allocations, before);
  }
}

}  // namespace
}  // namespace ringmta::dkim
