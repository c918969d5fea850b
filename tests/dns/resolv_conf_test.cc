// SPDX-License-Identifier: GPL-3.0-or-later
// resolv.conf(5) as far as mail needs it.
#include "ringmta/dns/resolv_conf.h"

#include <gtest/gtest.h>

namespace ringmta::dns {
namespace {

std::vector<std::string> servers_of(std::string_view text) {
  std::vector<std::string> texts;
  for (const SocketAddress& server : parse_resolv_conf(text).servers)
    texts.push_back(server.text());
  return texts;
}

using Texts = std::vector<std::string>;

TEST(ResolvConf, NamesServersInOrder) {
  EXPECT_EQ(servers_of("# made by hand\n"
                       "search example.org corp.example\n"
                       "nameserver 192.0.2.53\n"
                       "nameserver\t2001:db8::53  # the other one\n"
                       "options timeout:1 edns0\n"
                       "  nameserver 127.0.0.53"),
            (Texts{"192.0.2.53:53", "[2001:db8::53]:53", "127.0.0.53:53"}));
}

TEST(ResolvConf, MeansThisMachineWhenItNamesNone) {
  EXPECT_EQ(servers_of(""), Texts{"127.0.0.1:53"});
  EXPECT_EQ(servers_of("domain example.org\n;nameserver 192.0.2.1\n"), Texts{"127.0.0.1:53"});
}

TEST(ResolvConf, SaysWhatItIgnored) {
  const ResolvConf conf =
      parse_resolv_conf("nameserver dns.example\nnameserver 192.0.2.1\nnameserver");
  ASSERT_EQ(conf.servers.size(), 1U);
  ASSERT_EQ(conf.ignored.size(), 2U);
  EXPECT_NE(conf.ignored[0].find("dns.example"), std::string::npos);
}

TEST(ResolvConf, TakesEightServersAtMost) {
  std::string text;
  for (int i = 1; i <= 12; ++i) text += "nameserver 192.0.2." + std::to_string(i) + "\n";
  const ResolvConf conf = parse_resolv_conf(text);
  EXPECT_EQ(conf.servers.size(), kServersMax);
  EXPECT_EQ(conf.ignored.size(), 4U);
}

TEST(ResolvConf, ConfiguredServersMayHavePorts) {
  EXPECT_EQ(parse_server("192.0.2.1")->text(), "192.0.2.1:53");
  EXPECT_EQ(parse_server("127.0.0.1:5300")->text(), "127.0.0.1:5300");
  EXPECT_EQ(parse_server("[2001:db8::1]:5300")->text(), "[2001:db8::1]:5300");
  EXPECT_FALSE(parse_server("dns.example").has_value());
  EXPECT_FALSE(parse_server("/run/dns.sock").has_value());
}

}  // namespace
}  // namespace ringmta::dns
