// SPDX-License-Identifier: GPL-3.0-or-later
// Keys: what is read, what is refused and in which words, and the record that belongs to a key.
#include "ringmta/dkim/key.h"

#include <gtest/gtest.h>

#include <vector>

#include "test_keys.h"

namespace ringmta::dkim {
namespace {

Key read(const char* pem) {
  auto key = Key::from_pem(pem);
  EXPECT_TRUE(key.has_value()) << (key ? "" : key.error().message);
  return std::move(*key);
}

std::string refusal(std::string_view pem) {
  auto key = Key::from_pem(pem);
  EXPECT_FALSE(key.has_value());
  return key ? "" : key.error().message;
}

void expect_signs(Key& key) {
  Digest digest;
  digest.fill(std::byte{7});
  std::vector<std::byte> signature(key.signature_size());
  ASSERT_TRUE(key.sign(digest, signature));
  EXPECT_TRUE(key.verify(digest, signature));
  signature[5] ^= std::byte{1};
  EXPECT_FALSE(key.verify(digest, signature));
  signature[5] ^= std::byte{1};
  digest[0] ^= std::byte{1};
  EXPECT_FALSE(key.verify(digest, signature));
}

TEST(Key, RsaOfPkcs1) {
  Key key = read(kRsa1024Pem);
  EXPECT_EQ(key.type(), KeyType::rsa);
  EXPECT_EQ(key.bits(), 1024u);
  EXPECT_EQ(key.signature_size(), 128u);
  EXPECT_NE(key.warning().find("1024 bits is weak"), std::string::npos);
  expect_signs(key);
}

TEST(Key, RsaOfPkcs8) {
  Key key = read(kRsa2048Pem);
  EXPECT_EQ(key.bits(), 2048u);
  EXPECT_EQ(key.warning(), "");
  expect_signs(key);
}

TEST(Key, Ed25519OfRfc8463) {
  Key key = read(kEd25519Pem);
  EXPECT_EQ(key.type(), KeyType::ed25519);
  EXPECT_EQ(key.signature_size(), 64u);
  EXPECT_EQ(key.dns_record(), std::string("v=DKIM1; k=ed25519; p=") + kEd25519PublicBase64);
  expect_signs(key);
}

TEST(Key, TextAroundTheKeyDoesNotMatter) {
  std::string text = std::string("Bag attributes\n-----BEGIN CERTIFICATE-----\nAAAA\n") +
                     "-----END CERTIFICATE-----\n" + kRsa2048Pem + "more";
  EXPECT_TRUE(Key::from_pem(text));
  std::string with_returns;
  for (const char c : std::string(kRsa2048Pem)) {
    if (c == '\n') with_returns.push_back('\r');
    with_returns.push_back(c);
  }
  EXPECT_TRUE(Key::from_pem(with_returns));
}

TEST(Key, RefusalsSayWhatIsWrong) {
  EXPECT_NE(refusal("").find("no private key"), std::string::npos);
  EXPECT_NE(refusal("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
                .find("no private key"),
            std::string::npos);
  EXPECT_NE(
      refusal("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
          .find("pass phrase"),
      std::string::npos);
  EXPECT_NE(refusal("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n"
                    "-----END RSA PRIVATE KEY-----\n")
                .find("pass phrase"),
            std::string::npos);
  EXPECT_NE(refusal("-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n")
                .find("RSA and Ed25519"),
            std::string::npos);
  EXPECT_NE(
      refusal("-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n").find("base64"),
      std::string::npos);
  EXPECT_NE(refusal("-----BEGIN PRIVATE KEY-----\nAAAA\n").find("whole"), std::string::npos);
  EXPECT_NE(refusal("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
                .find("cannot be read"),
            std::string::npos);
}

// A key cut short or with an octet changed is refused or still works; it never crashes.
TEST(Key, DamagedKeys) {
  const std::string pem = kRsa1024Pem;
  size_t refused = 0;
  for (size_t i = 32; i + 32 < pem.size(); i += 7) {
    std::string damaged = pem;
    damaged[i] = damaged[i] == 'A' ? 'B' : 'A';
    auto key = Key::from_pem(damaged);
    if (key) {
      expect_signs(*key);
    } else {
      ++refused;
    }
  }
  EXPECT_GT(refused, 50u);
}

TEST(Key, WhatAnOperatorShouldKnowIsTold) {
  EXPECT_NE(Key::generate(KeyType::rsa, 1024)->warning().find("1024 bits is weak"),
            std::string::npos);
  EXPECT_EQ(Key::generate(KeyType::rsa, 2048)->warning(), "");
  EXPECT_NE(Key::generate(KeyType::ed25519, 0)->warning().find("an RSA key as well"),
            std::string::npos);
}

TEST(Key, GeneratedKeysComeBackFromTheirPem) {
  for (const KeyType type : {KeyType::rsa, KeyType::ed25519}) {
    auto made = Key::generate(type, 1024);
    ASSERT_TRUE(made);
    const std::string pem = made->private_pem();
    Key again = read(pem.c_str());
    EXPECT_EQ(again.dns_record(), made->dns_record());
    EXPECT_EQ(again.private_pem(), pem);
    Digest digest{};
    std::vector<std::byte> signature(made->signature_size());
    ASSERT_TRUE(made->sign(digest, signature));
    EXPECT_TRUE(again.verify(digest, signature));
  }
  EXPECT_FALSE(Key::generate(KeyType::rsa, 512));
  EXPECT_FALSE(Key::generate(KeyType::rsa, 8192));
}

// The library would make 2032 bits of 2047.
TEST(Key, GeneratedKeysHaveTheBitsAskedFor) {
  EXPECT_EQ(Key::generate(KeyType::rsa, 1040)->bits(), 1040u);
  for (const uint32_t bits : {2047u, 2040u, 1025u, 4095u}) {
    const auto refused = Key::generate(KeyType::rsa, bits);
    ASSERT_FALSE(refused) << bits;
    EXPECT_NE(refused.error().message.find("multiple of 16 bits"), std::string::npos);
  }
  EXPECT_NE(Key::generate(KeyType::rsa, 2047).error().message.find("2032 or 2048 instead of 2047"),
            std::string::npos);
}

std::string reason(const Key& key, const std::string& record,
                   Identity identity = Identity::of_domain) {
  const auto status = key.check_record(record, identity);
  return status ? std::string("none") : status.error().message;
}

TEST(Key, PublishedRecords) {
  Key rsa = read(kRsa2048Pem);
  Key ed25519 = read(kEd25519Pem);
  const std::string p = rsa.public_base64();
  EXPECT_EQ(reason(rsa, rsa.dns_record()), "none");
  EXPECT_EQ(reason(rsa, "p=" + p), "none");  // v= and k= have these defaults
  EXPECT_EQ(reason(rsa, "v=DKIM1;k=rsa; h=sha1:sha256;s=*; t=s; p= " + p.substr(0, 99) + "\t " +
                            p.substr(99) + " ; "),
            "none");
  EXPECT_EQ(reason(rsa, "s=other:email; x-new=a=b; n=; p=" + p), "none");
  EXPECT_NE(reason(rsa, "v=spf1 p=" + p).find("not one of DKIM"), std::string::npos);
  EXPECT_NE(reason(rsa, "v=DKIM1; k=rsa").find("no public key"), std::string::npos);
  EXPECT_NE(reason(rsa, "v=DKIM1; p=").find("revokes"), std::string::npos);
  EXPECT_NE(reason(rsa, ed25519.dns_record()).find("of type ed25519"), std::string::npos);
  EXPECT_NE(reason(rsa, read(kRsa1024Pem).dns_record()).find("another"), std::string::npos);
  EXPECT_NE(reason(rsa, "h=sha1; p=" + p).find("SHA-256"), std::string::npos);
  EXPECT_NE(reason(rsa, "h=*; p=" + p).find("SHA-256"), std::string::npos);
  EXPECT_NE(reason(rsa, "s=tlsrpt; p=" + p).find("not for mail"), std::string::npos);
}

// Verifiers throw the whole record away for these (RFC 6376 3.2, 3.6.1), though the key is right.
TEST(Key, RecordsThatBreakTheRulesOfTagLists) {
  Key rsa = read(kRsa2048Pem);
  const std::string p = "p=" + rsa.public_base64();
  EXPECT_NE(reason(rsa, "k=rsa; v=DKIM1; " + p).find("must be the first"), std::string::npos);
  EXPECT_NE(reason(rsa, p + "; v=DKIM1").find("must be the first"), std::string::npos);
  EXPECT_NE(reason(rsa, "v=DKIM1; " + p + "; " + p).find("p= twice"), std::string::npos);
  EXPECT_NE(reason(rsa, "v=DKIM1; n=a; n=a; " + p).find("n= twice"), std::string::npos);
  EXPECT_NE(reason(rsa, "v=DKIM1; rsa; " + p).find("'rsa' in the record"), std::string::npos);
  EXPECT_NE(reason(rsa, "v=DKIM1;; " + p).find("'' in the record"), std::string::npos);
  EXPECT_NE(reason(rsa, "=x; " + p).find("'=x' in the record"), std::string::npos);
}

TEST(Key, ARecordCanForbidIdentitiesBelowItsDomain) {
  Key rsa = read(kRsa2048Pem);
  const std::string p = "; p=" + rsa.public_base64();
  EXPECT_EQ(reason(rsa, "v=DKIM1; t=s" + p, Identity::of_domain), "none");
  EXPECT_NE(reason(rsa, "v=DKIM1; t=s" + p, Identity::below).find("t=s"), std::string::npos);
  EXPECT_NE(reason(rsa, "v=DKIM1; t=y : s" + p, Identity::below).find("t=s"), std::string::npos);
  EXPECT_EQ(reason(rsa, "v=DKIM1; t=y" + p, Identity::below), "none");
  EXPECT_EQ(reason(rsa, "v=DKIM1" + p, Identity::below), "none");
}

TEST(Key, TestingIsOneFlagOfSeveral) {
  EXPECT_TRUE(is_testing("v=DKIM1; t=y; p=AAAA"));
  EXPECT_TRUE(is_testing("t=s : y; p=AAAA"));
  EXPECT_FALSE(is_testing("v=DKIM1; t=s; n=t=y; p=AAAA"));
  EXPECT_FALSE(is_testing("v=DKIM1; t=yes; p=AAAA"));
}

}  // namespace
}  // namespace ringmta::dkim
