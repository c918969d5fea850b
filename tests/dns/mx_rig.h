// SPDX-License-Identifier: GPL-3.0-or-later
// The rig with an MxResolver on it and one server.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "rig.h"

namespace ringmta::dns {

using Kind = MailRoute::Kind;

class DnsMx : public Rig {
 protected:
  void SetUp() override {
    Rig::SetUp();
    server = &add_server();
  }
  void start_mx() {
    start();
    mx = std::make_unique<MxResolver>(
        *resolver, *io, mx_options, this, [](void* self, std::unique_ptr<MxQuery> query) {
          static_cast<DnsMx*>(self)->answered.push_back(std::move(query));
        });
  }
  void ask_mx(const std::string& domain, uint64_t tag = 0) {
    wake();
    auto query = std::make_unique<MxQuery>();
    query->domain = domain;
    query->tag = tag;
    mx->ask(std::move(query));
  }
  MailRoute route_of(const std::string& domain) {
    if (mx == nullptr) start_mx();
    const size_t before = answered.size();
    ask_mx(domain);
    EXPECT_EQ(answered.size(), before);  // never from within the call
    EXPECT_TRUE(drive([&] { return answered.size() > before; })) << domain;
    return answered.empty() ? MailRoute{} : answered.back()->route;
  }
  // "10 mx.example 192.0.2.1 2001:db8::1"
  static Texts texts(const MailRoute& route) {
    Texts lines;
    for (const MailHost& host : route.hosts) {
      std::string line = std::to_string(host.preference) + " " + host.name;
      for (const SocketAddress& address : host.addresses) line += " " + address.host_text();
      lines.push_back(line);
    }
    return lines;
  }
  void fail_for(const std::string& name) {
    broken.insert(name);
    server->script = [this](const Asked& asked) {
      if (!broken.contains(asked.lower)) return false;
      server->reply(asked, server->answer_to(asked).rcode(2));
      return true;
    };
  }

  ScriptedServer* server = nullptr;
  MxOptions mx_options;
  std::vector<std::unique_ptr<MxQuery>> answered;
  std::set<std::string> broken;
};

}  // namespace ringmta::dns
