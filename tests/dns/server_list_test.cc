// SPDX-License-Identifier: GPL-3.0-or-later
// Other servers for resolvers that run, told from another thread.
#include <thread>

#include "rig.h"

namespace ringmta::dns {
namespace {

class DnsServerList : public Rig {};

TEST_F(DnsServerList, ReachesAResolverThroughACopyOfItsOptions) {
  ScriptedServer& before = add_server();
  ScriptedServer& after = add_server();
  before.add("one.example. 300 IN MX 10 old.example.");
  before.add("two.example. 300 IN MX 10 old.example.");
  after.add("two.example. 300 IN MX 10 new.example.");
  options.servers = {before.address};
  start();
  EXPECT_EQ(ask_and_wait("one.example", RecordType::mx).texts(), Texts{"10 old.example"});
  ResolverOptions copy = options;
  std::thread([&] { copy.later_servers->set({after.address}); }).join();
  EXPECT_EQ(ask_and_wait("two.example", RecordType::mx).texts(), Texts{"10 new.example"});
  ASSERT_EQ(resolver->servers().size(), 1U);
  EXPECT_EQ(resolver->servers()[0].address, after.address);
  // What was learned of the old ones stays.
  EXPECT_EQ(ask_and_wait("one.example", RecordType::mx).texts(), Texts{"10 old.example"});
}

TEST_F(DnsServerList, IsTakenOnceAChange) {
  ScriptedServer& server = add_server();
  server.add("one.example. 300 IN MX 10 mx.example.");
  start();
  options.later_servers->set({server.address});
  ask_and_wait("one.example", RecordType::mx);
  resolver->set_servers({});
  wake();
  EXPECT_TRUE(resolver->servers().empty());
}

}  // namespace
}  // namespace ringmta::dns
