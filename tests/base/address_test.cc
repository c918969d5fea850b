// SPDX-License-Identifier: GPL-3.0-or-later
// Addresses and networks: text in, text out, and who belongs to which network.
#include "ringmta/base/address.h"

#include <gtest/gtest.h>

#include <string>

namespace ringmta {
namespace {

SocketAddress address(std::string_view text) {
  Result<SocketAddress> parsed = parse_socket_address(text, 25);
  EXPECT_TRUE(parsed.has_value()) << text;
  return parsed.value_or(SocketAddress{});
}

Network network(std::string_view text) {
  Result<Network> parsed = Network::parse(text);
  EXPECT_TRUE(parsed.has_value()) << text;
  return parsed.value_or(Network{});
}

TEST(Address, KeepsHostAndPortThroughText) {
  for (const char* text : {"192.0.2.1:25", "127.0.0.1:0", "[2001:db8::1]:65535", "[::1]:2525"}) {
    EXPECT_EQ(address(text).text(), text);
  }
}

TEST(Address, TakesTheDefaultPortWhereNoneIsWritten) {
  EXPECT_EQ(address("192.0.2.1").text(), "192.0.2.1:25");
  EXPECT_EQ(address("[::1]").text(), "[::1]:25");
  EXPECT_EQ(address("2001:db8::1").text(), "[2001:db8::1]:25");
}

TEST(Address, RefusesWhatIsNotALiteralAddress) {
  for (const char* text :
       {"", "mail.example", "192.0.2.1:", "192.0.2.1:65536", "192.0.2.1:-1", "192.0.2.1:+1",
        "192.0.2.1:25x", "[::1", "[::1]25", "[::1]:", "[192.0.2.1]:25", "192.0.2", "192.0.2.256",
        "1.2.3.4 ", ":25", "[]:25", ":::1"}) {
    const Result<SocketAddress> parsed = parse_socket_address(text, 25);
    EXPECT_FALSE(parsed.has_value()) << text;
    if (!parsed) {
      EXPECT_NE(parsed.error().message.find(std::string("\"") + text + "\""), std::string::npos);
    }
  }
}

TEST(Address, WritesAddressLiteralsOfMail) {
  EXPECT_EQ(address("192.0.2.1").literal_text(), "192.0.2.1");
  EXPECT_EQ(address("[2001:db8::1]:25").literal_text(), "IPv6:2001:db8::1");
  EXPECT_EQ(address("[::ffff:192.0.2.1]:25").literal_text(), "192.0.2.1");
}

TEST(Address, ShowsMappedAddressesAsIpv4) {
  EXPECT_EQ(address("[::ffff:192.0.2.1]:25").host_text(), "192.0.2.1");
  EXPECT_EQ(address("[::ffff:192.0.2.1]:25").text(), "192.0.2.1:25");
}

TEST(Address, ChangesThePortOnly) {
  SocketAddress changed = address("[2001:db8::1]:25");
  changed.set_port(2525);
  EXPECT_EQ(changed.port(), 2525);
  EXPECT_EQ(changed.host_text(), "2001:db8::1");
}

TEST(Address, ComparesFamilyHostAndPort) {
  EXPECT_EQ(address("192.0.2.1:25"), address("192.0.2.1"));
  EXPECT_FALSE(address("192.0.2.1:25") == address("192.0.2.1:26"));
  EXPECT_FALSE(address("192.0.2.1:25") == address("192.0.2.2:25"));
  EXPECT_FALSE(address("[::1]:25") == address("127.0.0.1:25"));
  EXPECT_EQ(address("[2001:db8:0::1]:25"), address("[2001:db8::1]:25"));
}

TEST(Address, KnowsLoopback) {
  EXPECT_TRUE(address("127.8.9.1").is_loopback());
  EXPECT_TRUE(address("::1").is_loopback());
  EXPECT_TRUE(address("[::ffff:127.0.0.1]:25").is_loopback());
  EXPECT_FALSE(address("128.0.0.1").is_loopback());
  EXPECT_FALSE(address("::2").is_loopback());
  EXPECT_FALSE(address("0.0.0.0").is_loopback());
}

TEST(Address, TakesAnAbsolutePathAsAUnixSocket) {
  const SocketAddress socket = address("/run/x.sock");
  EXPECT_EQ(socket.family(), AF_UNIX);
  EXPECT_EQ(socket.text(), "/run/x.sock");
  EXPECT_EQ(socket.port(), 0);
  EXPECT_EQ(socket, address("/run/x.sock"));
  EXPECT_FALSE(socket == address("/run/y.sock"));
}

TEST(Address, RefusesAPathTooLongForTheKernel) {
  EXPECT_TRUE(parse_socket_address("/" + std::string(106, 'x'), 0).has_value());
  EXPECT_FALSE(parse_socket_address("/" + std::string(107, 'x'), 0).has_value());
}

TEST(Network, ContainsExactlyItsAddresses) {
  const Network local = network("127.0.0.0/8");
  EXPECT_TRUE(local.contains(address("127.0.0.0")));
  EXPECT_TRUE(local.contains(address("127.255.255.255")));
  EXPECT_FALSE(local.contains(address("126.255.255.255")));
  EXPECT_FALSE(local.contains(address("128.0.0.0")));
  EXPECT_FALSE(local.contains(address("::1")));
}

TEST(Network, HandlesPrefixesThatEndWithinAnOctet) {
  const Network odd = network("192.0.2.160/27");
  EXPECT_TRUE(odd.contains(address("192.0.2.160")));
  EXPECT_TRUE(odd.contains(address("192.0.2.191")));
  EXPECT_FALSE(odd.contains(address("192.0.2.159")));
  EXPECT_FALSE(odd.contains(address("192.0.2.192")));
}

TEST(Network, ContainsIpv6) {
  const Network documentation = network("2001:db8::/33");
  EXPECT_TRUE(documentation.contains(address("2001:db8:7fff::1")));
  EXPECT_FALSE(documentation.contains(address("2001:db8:8000::1")));
  EXPECT_TRUE(network("::1").contains(address("::1")));
  EXPECT_FALSE(network("::1").contains(address("::2")));
}

TEST(Network, MatchesMappedAddressesAsIpv4) {
  EXPECT_TRUE(network("192.0.2.0/24").contains(address("[::ffff:192.0.2.7]:25")));
  EXPECT_FALSE(network("::/0").contains(address("[::ffff:192.0.2.7]:25")));
  EXPECT_TRUE(network("::ffff:192.0.2.0/120").contains(address("192.0.2.7")));
  EXPECT_FALSE(network("::ffff:192.0.2.0/120").contains(address("192.0.3.7")));
}

TEST(Network, OfPrefixZeroContainsItsWholeFamily) {
  EXPECT_TRUE(network("0.0.0.0/0").contains(address("255.1.2.3")));
  EXPECT_FALSE(network("0.0.0.0/0").contains(address("::1")));
}

TEST(Network, ContainsNoUnixPeer) {
  EXPECT_FALSE(network("0.0.0.0/0").contains(address("/run/x.sock")));
}

TEST(Network, SaysItselfInCanonicalForm) {
  EXPECT_EQ(network("10.0.0.0/8").text(), "10.0.0.0/8");
  EXPECT_EQ(network("192.0.2.1").text(), "192.0.2.1/32");
  EXPECT_EQ(network("2001:DB8:0::/32").text(), "2001:db8::/32");
}

TEST(Network, RefusesWhatIsNone) {
  for (const char* text : {"", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "::/129", "10.0.0/8",
                           "example/8", "10.0.0.0/8/8", "[::1]/128", "10.0.0.0/ 8"}) {
    EXPECT_FALSE(Network::parse(text).has_value()) << text;
  }
}

TEST(Network, RefusesHostBitsAndSuggestsTheNetwork) {
  const Result<Network> parsed = Network::parse("192.0.2.1/24");
  ASSERT_FALSE(parsed.has_value());
  EXPECT_NE(parsed.error().message.find("192.0.2.0/24"), std::string::npos);
}

TEST(Network, AnyOfSeveralIsEnough) {
  const std::vector<Network> networks{network("10.0.0.0/8"), network("::1")};
  EXPECT_TRUE(any_contains(networks, address("::1")));
  EXPECT_FALSE(any_contains(networks, address("192.0.2.1")));
  EXPECT_FALSE(any_contains({}, address("::1")));
}

}  // namespace
}  // namespace ringmta
