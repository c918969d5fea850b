// SPDX-License-Identifier: GPL-3.0-or-later
// Which texts are names, and which known word a mistyped one is taken for.
#include "../../src/config/names.h"

#include <gtest/gtest.h>

#include <string>

#include "ringmta/config/closest.h"

namespace ringmta::config {
namespace {

const std::string kLabel63(63, 'a');

TEST(Names, OfHosts) {
  for (const std::string& name :
       {std::string("localhost"), std::string("mail.example.org"), std::string("a-b.c1"),
        std::string("1and1.com"), std::string("xn--bcher-kva.example"), kLabel63 + ".org"}) {
    EXPECT_TRUE(check_hostname(name).has_value()) << name;
  }
  for (const std::string& name :
       {std::string(""), std::string("."), std::string("a..b"), std::string("a.b."),
        std::string(".a.b"), std::string("-a.b"), std::string("a-.b"), std::string("a_b.c"),
        std::string("a b.c"), std::string("192.0.2.1"), std::string("[192.0.2.1]"),
        std::string("b\xc3\xbc"
                    "cher.example"),
        kLabel63 + "a.org", kLabel63 + "." + kLabel63 + "." + kLabel63 + "." + kLabel63}) {
    EXPECT_FALSE(check_hostname(name).has_value()) << name;
  }
}

TEST(Names, OfRouteDomains) {
  for (const char* name : {"*", "example.org", ".example.org",
                           "b\xc3\xbc"
                           "cher.example",
                           "a_b.c"}) {
    EXPECT_TRUE(check_route_domain(name).has_value()) << name;
  }
  for (const char* name : {"", ".", "*.example.org", "@example.org", "user@example.org", "..a"}) {
    EXPECT_FALSE(check_route_domain(name).has_value()) << name;
  }
}

TEST(Names, OfSmartHosts) {
  for (const char* name :
       {"smtp.example.net", "smtp.example.net:587", "192.0.2.1", "192.0.2.1:25", "[2001:db8::1]:25",
        "2001:db8::1", "/run/dovecot/lmtp", "localhost:24"}) {
    EXPECT_TRUE(check_host(name).has_value()) << name;
  }
  for (const char* name : {"", ":25", "smtp.example.net:", "smtp.example.net:0", "192.0.2.1:0",
                           "smtp.example.net:smtp", "smtp.example.net:65536", "[2001:db8::1", "a b",
                           "smtp.example.net:25:25", "192.0.2.300"}) {
    EXPECT_FALSE(check_host(name).has_value()) << name;
  }
}

TEST(Names, OfMailboxes) {
  for (const char* name : {"postmaster@example.org", "a.b+c@example.org", "x@localhost"}) {
    EXPECT_TRUE(check_mailbox(name).has_value()) << name;
  }
  for (const char* name : {"", "postmaster", "@example.org", "a@", "a b@example.org", "<a@b.c>",
                           ".a@example.org", "a.@example.org", "a@b_c", "a@b@c\n"}) {
    EXPECT_FALSE(check_mailbox(name).has_value()) << name;
  }
}

TEST(Names, TheClosestKnownWordIsSuggested) {
  const std::string_view known[] = {"listen", "relay_networks", "sessions_max", "dsn"};
  EXPECT_EQ(closest("lissten", known), "listen");
  EXPECT_EQ(closest("lsiten", known), "listen");  // two exchanged
  EXPECT_EQ(closest("relay_network", known), "relay_networks");
  EXPECT_EQ(closest("session_max", known), "sessions_max");
  EXPECT_EQ(closest("dns", known), "dsn");
  EXPECT_EQ(closest("weather", known), "");
  EXPECT_EQ(closest("", known), "");
}

}  // namespace
}  // namespace ringmta::config
