// SPDX-License-Identifier: GPL-3.0-or-later
// Who shares a count of sessions with whom.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "ringmta/server/server.h"

namespace ringmta::server {
namespace {

SocketAddress client(const std::string& host) { return *parse_socket_address(host, 1); }

std::string host(uint32_t number) {
  return "[2001:db8:" + std::to_string(number / 1000) + ":" + std::to_string(number % 1000) +
         "::1]";
}

// One of the /64s in which an attacker may live, whose sessions count for a victim's.
std::string meets(ClientTable& table, const SocketAddress& victim) {
  EXPECT_TRUE(table.enter(victim, 1));
  std::string found;
  for (uint32_t number = 0; number < 1'000'000 && found.empty(); ++number) {
    const std::string other = host(number);
    if (table.enter(client(other), 1)) {
      table.leave(client(other));
    } else {
      found = other;
    }
  }
  table.leave(victim);
  return found;
}

TEST(ClientTable, CountsTheSessionsOfAnAddress) {
  const auto table = std::make_unique<ClientTable>();
  EXPECT_TRUE(table->enter(client("192.0.2.1"), 2));
  EXPECT_TRUE(table->enter(client("192.0.2.1"), 2));
  EXPECT_FALSE(table->enter(client("192.0.2.1"), 2));
  EXPECT_TRUE(table->enter(client("192.0.2.1"), 0));
  table->leave(client("192.0.2.1"));
  table->leave(client("192.0.2.1"));
  EXPECT_TRUE(table->enter(client("192.0.2.1"), 2));
}

// Else a host with a /64 has as many sessions as there are.
TEST(ClientTable, AHostHasAll64BitsOfItsNetwork) {
  const auto table = std::make_unique<ClientTable>();
  EXPECT_TRUE(table->enter(client("[2001:db8::1]"), 1));
  EXPECT_FALSE(table->enter(client("[2001:db8::2]"), 1));
  EXPECT_FALSE(table->enter(client("[2001:db8::ffff:ffff:ffff:ffff]"), 1));
}

TEST(ClientTable, AMappedAddressIsTheAddress) {
  const auto table = std::make_unique<ClientTable>();
  EXPECT_TRUE(table->enter(client("192.0.2.1"), 1));
  EXPECT_FALSE(table->enter(client("[::ffff:192.0.2.1]"), 1));
}

// An address that meets the victim's in one relay does not in another, so it cannot be computed.
TEST(ClientTable, WhoMeetsWhomIsASecret) {
  const SocketAddress victim = client("192.0.2.1");
  const auto known = std::make_unique<ClientTable>(1);
  const std::string attacker = meets(*known, victim);
  ASSERT_FALSE(attacker.empty());
  const auto other = std::make_unique<ClientTable>(2);
  ASSERT_TRUE(other->enter(victim, 1));
  EXPECT_TRUE(other->enter(client(attacker), 1));
}

}  // namespace
}  // namespace ringmta::server
