// SPDX-License-Identifier: GPL-3.0-or-later
// The mathematics of SCRAM against RFC 7677's example, and against figures that Python's hashlib
// gave.
#include "ringmta/sasl/scram.h"

#include <gtest/gtest.h>

#include <string>

#include "ringmta/base/base64.h"

namespace ringmta::sasl {
namespace {

std::string decoded(std::string_view text) {
  std::string octets;
  EXPECT_TRUE(append_base64_decoded(text, octets));
  return octets;
}
std::string encoded(const ScramKey& key) {
  std::string text;
  append_base64(key, text);
  return text;
}
std::string hexadecimal(const ScramKey& key) {
  std::string text;
  for (const std::byte octet : key) {
    text += "0123456789abcdef"[std::to_integer<int>(octet) >> 4];
    text += "0123456789abcdef"[std::to_integer<int>(octet) & 15];
  }
  return text;
}

TEST(Scram, ExampleOfRfc7677) {
  const std::string auth_message =
      "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
      "s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,"
      "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
  const ScramKeys keys = derive_scram_keys("pencil", decoded("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096);
  const ScramKey stored = scram_stored_key(keys.client);
  const ScramKey signature = scram_mac(stored, auth_message);
  const ScramKey proof = scram_proof(keys.client, signature);
  EXPECT_EQ(encoded(proof), "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
  EXPECT_EQ(scram_proof(proof, signature), keys.client);
  EXPECT_EQ(encoded(scram_mac(keys.server, auth_message)),
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

TEST(Scram, APasswordLongerThanABlock) {
  const ScramKeys keys = derive_scram_keys(std::string(100, 'x'), "salt", 4096);
  EXPECT_EQ(hexadecimal(keys.client),
            "5214b2fb932ec004f6a134ae7e36a20f042bd1a8c0175da6eeab9d0819eef64f");
  EXPECT_EQ(hexadecimal(keys.server),
            "128347c37391f629d1c5168a78a848aa046fcfcb232cf7ad7b368211303679b0");
}

TEST(Scram, EverythingCounts) {
  const ScramKey key = derive_scram_keys("password", "salt", 10).client;
  EXPECT_EQ(derive_scram_keys("password", "salt", 10).client, key);
  EXPECT_NE(derive_scram_keys("passwore", "salt", 10).client, key);
  EXPECT_NE(derive_scram_keys("password", "salu", 10).client, key);
  EXPECT_NE(derive_scram_keys("password", "salt", 11).client, key);
  EXPECT_NE(derive_scram_keys("password", "salt", 1).client, key);
}

}  // namespace
}  // namespace ringmta::sasl
