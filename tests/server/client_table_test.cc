// SPDX-License-Identifier: GPL-3.0-or-later
// Who shares a count of sessions with whom.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "ringmta/server/server.h"

namespace ringmta::server {
namespace {

SocketAddress client(const std::string& host) { return *parse_socket_address(host, 1); }

std::string host(uint32_t number) {
  return "[2001:db8:" + std::to_string(number / 1000) + ":" + std::to_string(number % 1000) +
         "::1]";
}

bool enters(ClientTable& table, const SocketAddress& from, uint32_t of_client_max) {
  const ClientTable::Limits limits{.sessions_max = 1'000, .sessions_per_client_max = of_client_max};
  return table.enter(from, limits) == ClientTable::Answer::entered;
}

// One of the /64s in which an attacker may live, whose sessions count for a victim's.
std::string meets(ClientTable& table, const SocketAddress& victim) {
  EXPECT_TRUE(enters(table, victim, 1));
  std::string found;
  for (uint32_t number = 0; number < 1'000'000 && found.empty(); ++number) {
    const std::string other = host(number);
    if (enters(table, client(other), 1)) {
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
  EXPECT_TRUE(enters(*table, client("192.0.2.1"), 2));
  EXPECT_TRUE(enters(*table, client("192.0.2.1"), 2));
  EXPECT_FALSE(enters(*table, client("192.0.2.1"), 2));
  EXPECT_TRUE(enters(*table, client("192.0.2.1"), 0));
  table->leave(client("192.0.2.1"));
  table->leave(client("192.0.2.1"));
  EXPECT_TRUE(enters(*table, client("192.0.2.1"), 2));
}

TEST(ClientTable, CountsAllSessions) {
  using Answer = ClientTable::Answer;
  const auto table = std::make_unique<ClientTable>();
  const ClientTable::Limits limits{.sessions_max = 3, .sessions_per_client_max = 2};
  EXPECT_EQ(table->enter(client("192.0.2.1"), limits), Answer::entered);
  EXPECT_EQ(table->enter(client("192.0.2.1"), limits), Answer::entered);
  EXPECT_EQ(table->enter(client("192.0.2.1"), limits), Answer::too_many_of_client);
  EXPECT_EQ(table->total(), 2U);  // who was turned away is not among them
  EXPECT_EQ(table->enter(client("192.0.2.2"), limits), Answer::entered);
  EXPECT_EQ(table->enter(client("192.0.2.3"), limits), Answer::too_many);
  EXPECT_EQ(table->total(), 3U);
  table->leave(client("192.0.2.1"));
  EXPECT_EQ(table->enter(client("192.0.2.3"), limits), Answer::entered);
}

// Shards that come at the same time: never more than the limit, and all places are given back.
TEST(ClientTable, IsSharedByThreads) {
  const auto table = std::make_unique<ClientTable>();
  std::atomic<int> inside = 0;
  std::atomic<bool> too_many = false;
  std::vector<std::thread> shards;
  for (int number = 0; number < 4; ++number) {
    shards.emplace_back([&, number] {
      const SocketAddress from = client("192.0.2." + std::to_string(number));
      for (int i = 0; i < 20'000; ++i) {
        if (table->enter(from, {.sessions_max = 2, .sessions_per_client_max = 0}) !=
            ClientTable::Answer::entered) {
          continue;
        }
        if (inside.fetch_add(1) >= 2) too_many = true;
        inside.fetch_sub(1);
        table->leave(from);
      }
    });
  }
  for (std::thread& shard : shards) shard.join();
  EXPECT_FALSE(too_many);
  EXPECT_EQ(table->total(), 0U);
}

// Else a host with a /64 has as many sessions as there are.
TEST(ClientTable, AHostHasAll64BitsOfItsNetwork) {
  const auto table = std::make_unique<ClientTable>();
  EXPECT_TRUE(enters(*table, client("[2001:db8::1]"), 1));
  EXPECT_FALSE(enters(*table, client("[2001:db8::2]"), 1));
  EXPECT_FALSE(enters(*table, client("[2001:db8::ffff:ffff:ffff:ffff]"), 1));
}

TEST(ClientTable, AMappedAddressIsTheAddress) {
  const auto table = std::make_unique<ClientTable>();
  EXPECT_TRUE(enters(*table, client("192.0.2.1"), 1));
  EXPECT_FALSE(enters(*table, client("[::ffff:192.0.2.1]"), 1));
}

// An address that meets the victim's in one relay does not in another, so it cannot be computed.
TEST(ClientTable, WhoMeetsWhomIsASecret) {
  const SocketAddress victim = client("192.0.2.1");
  const auto known = std::make_unique<ClientTable>(1);
  const std::string attacker = meets(*known, victim);
  ASSERT_FALSE(attacker.empty());
  const auto other = std::make_unique<ClientTable>(2);
  ASSERT_TRUE(enters(*other, victim, 1));
  EXPECT_TRUE(enters(*other, client(attacker), 1));
}

}  // namespace
}  // namespace ringmta::server
