// SPDX-License-Identifier: GPL-3.0-or-later
// What is read out of certificates and ClientHellos, and names against names.
#include "../../src/tls/certificate.h"

#include <gtest/gtest.h>
#include <wolfssl/wolfcrypt/asn_public.h>

#include "../../src/tls/client_hello.h"
#include "conversation.h"
#include "ringmta/base/prng.h"

namespace ringmta::tls {
namespace {

std::vector<std::byte> der_of(const std::string& name) {
  const std::string pem = text_of(name + ".pem");
  std::vector<std::byte> der(pem.size());
  const int size = wc_CertPemToDer(
      reinterpret_cast<const unsigned char*>(pem.data()), static_cast<int>(pem.size()),
      reinterpret_cast<unsigned char*>(der.data()), static_cast<int>(der.size()), CERT_TYPE);
  EXPECT_GT(size, 0) << name;
  der.resize(static_cast<size_t>(std::max(size, 0)));
  return der;
}

TEST(Certificate, IsRead) {
  const auto ecdsa = read_certificate(der_of("mail_ecdsa"));
  ASSERT_TRUE(ecdsa);
  EXPECT_TRUE(ecdsa->is_ecdsa);
  EXPECT_FALSE(ecdsa->weak_signature);
  EXPECT_EQ(ecdsa->dns_names, (std::vector<std::string>{"mail.example.com", "*.wild.example.com"}));
  EXPECT_EQ(ecdsa->addresses, (std::vector<std::string>{std::string("\x7f\0\0\x01", 4)}));
  const auto rsa = read_certificate(der_of("weak_hash"));
  ASSERT_TRUE(rsa);
  EXPECT_FALSE(rsa->is_ecdsa);
  EXPECT_TRUE(rsa->weak_signature);
  EXPECT_TRUE(read_certificate(der_of("no_names"))->dns_names.empty());
  for (const char* name : {"weak_key", "weak_between"}) {
    EXPECT_TRUE(read_certificate(der_of(name))->weak_key) << name;
  }
  for (const char* name : {"mail_ecdsa", "mail_rsa", "weak_hash", "weak_issuer"}) {
    EXPECT_FALSE(read_certificate(der_of(name))->weak_key) << name;
  }
}

TEST(Certificate, DamagedOnesAreReadWithinBounds) {
  Prng random(9);
  const std::vector<std::byte> whole = der_of("mail_ecdsa");
  for (size_t size = 0; size < whole.size(); ++size) {
    const std::vector<std::byte> part(whole.begin(), whole.begin() + static_cast<long>(size));
    EXPECT_FALSE(read_certificate(part)) << size;
  }
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::byte> damaged = whole;
    for (size_t changes = 1 + random.below(4); changes > 0; --changes) {
      damaged[random.below(damaged.size())] = static_cast<std::byte>(random.next());
    }
    (void)read_certificate(damaged);
  }
}

TEST(Certificate, NamesOfHosts) {
  EXPECT_TRUE(dns_name_matches("mail.example.com", "mail.example.com"));
  EXPECT_TRUE(dns_name_matches("mail.example.com", "MAIL.Example.com."));
  EXPECT_TRUE(dns_name_matches("*.example.com", "mail.example.com"));
  for (const auto& [pattern, name] : std::vector<std::pair<std::string, std::string>>{
           {"mail.example.com", "mail.example.org"},
           {"example.com", "mail.example.com"},
           {"*.example.com", "example.com"},
           {"*.example.com", "a.b.example.com"},
           {"*.example.com", ".example.com"},
           {"*.com", "example.com"},
           {"*", "com"},
           {"*.", "example."},
           {"m*.example.com", "mail.example.com"},
           {"*l.example.com", "mail.example.com"},
           {"mail.*.com", "mail.example.com"},
           {"*.*.com", "mail.example.com"},
           {std::string("mail.example.com\0.evil.example", 30), "mail.example.com"},
           {"", "mail.example.com"},
           {"mail.example.com", ""},
       }) {
    EXPECT_FALSE(dns_name_matches(pattern, name)) << pattern << " for " << name;
  }
}

std::string hello_of(std::string_view name) {
  Session client(client_context(), {.name = name, .scope = ""});
  client.step({});
  std::string hello;
  client.take_output(hello);
  return hello;
}

TEST(ClientHello, IsSeenWhenItIsWhole) {
  const std::string octets = hello_of("Mail.Example.com");
  for (size_t size = 0; size < octets.size(); ++size) {
    ClientHello hello;
    ASSERT_EQ(look_at_hello(as_bytes(std::string_view(octets).substr(0, size)), hello),
              HelloState::incomplete)
        << size;
  }
  ClientHello hello;
  ASSERT_EQ(look_at_hello(as_bytes(octets), hello), HelloState::complete);
  EXPECT_EQ(hello.server_name, "mail.example.com");
  EXPECT_TRUE(hello.ecdsa);
  ClientHello nameless;
  ASSERT_EQ(look_at_hello(as_bytes(hello_of("")), nameless), HelloState::complete);
  EXPECT_EQ(nameless.server_name, "");
}

TEST(ClientHello, MayBeSpreadOverRecords) {
  const std::string octets = hello_of("mail.example.com");
  std::string spread;
  for (size_t at = 5; at < octets.size(); at += 40) {
    const std::string piece = octets.substr(at, 40);
    spread += std::string("\x16\x03\x01\x00", 4) + static_cast<char>(piece.size()) + piece;
  }
  ClientHello hello;
  ASSERT_EQ(look_at_hello(as_bytes(spread), hello), HelloState::complete);
  EXPECT_EQ(hello.server_name, "mail.example.com");
  ClientHello early;
  EXPECT_EQ(look_at_hello(as_bytes(std::string_view(spread).substr(0, spread.size() - 1)), early),
            HelloState::incomplete);
  // And a server gets along with it.
  Side server(Session(server_context({"mail_ecdsa"})));
  server.waiting = spread;
  server.run();
  EXPECT_TRUE(server.session.has_output());
  EXPECT_FALSE(server.failed);
}

TEST(ClientHello, OtherThings) {
  ClientHello hello;
  EXPECT_EQ(look_at_hello(as_bytes("EHLO"), hello), HelloState::other);
  EXPECT_EQ(look_at_hello(as_bytes(std::string("\x16\x03\x01\x00\x04\x02\x00\x00\x00", 9)), hello),
            HelloState::other);
  // Records without end.
  std::string endless;
  while (endless.size() < kHelloSizeMax) endless += std::string("\x16\x03\x01\x00\x00", 5);
  EXPECT_EQ(look_at_hello(as_bytes(endless), hello), HelloState::other);
}

TEST(ClientHello, DamagedOnesAreReadWithinBounds) {
  Prng random(13);
  const std::string whole = hello_of("mail.example.com");
  for (int round = 0; round < 20000; ++round) {
    std::vector<char> damaged(whole.begin(), whole.end());
    for (size_t changes = 1 + random.below(4); changes > 0; --changes) {
      damaged[random.below(damaged.size())] = static_cast<char>(random.next());
    }
    ClientHello hello;
    (void)look_at_hello(as_bytes({damaged.data(), damaged.size()}), hello);
  }
}

}  // namespace
}  // namespace ringmta::tls
