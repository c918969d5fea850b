// SPDX-License-Identifier: GPL-3.0-or-later
// A shard with a resolver on it, scripted servers around it, and drive(), which runs them all until
// something is true. RINGMTA_SIMULATED is defined when the simulator is linked.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ringmta/dns/mx.h"
#include "ringmta/dns/resolver.h"
#include "ringmta/shard/loop.h"
#include "script.h"

#ifdef RINGMTA_SIMULATED
#include "ringmta/sim/world.h"
#else
#include <unistd.h>
#endif

namespace ringmta::dns {

// A lookup and what became of it.
struct Wish {
  Lookup lookup;
  bool answered = false;
  int calls = 0;
  RecordSet records{};
  std::string packed;

  void take(const RecordSet& result) {
    answered = true;
    ++calls;
    records = result;
    packed = as_text(result.packed);
    records.packed = as_bytes(packed);
  }
  std::vector<std::string> texts() const {
    std::vector<std::string> found;
    RecordReader reader(records.packed);
    while (const std::optional<Bytes> data = reader.next()) {
      if (records.type == RecordType::mx) {
        const MxRecord mx = read_mx(*data);
        found.push_back(std::to_string(mx.preference) + " " + mx.host.text());
      } else {
        found.push_back(read_address(records.type, *data, 25).host_text());
      }
    }
    return found;
  }
};

using Texts = std::vector<std::string>;

class Rig : public ::testing::Test {
 protected:
  void SetUp() override {
#ifdef RINGMTA_SIMULATED
    world = std::make_unique<sim::World>(world_options);
#else
    alarm(120);
#endif
    ring::IoOptions io_options;
    io_options.receive_buffers = 64;
    io = std::move(*ring::Io::create(io_options));
    loop = std::make_unique<shard::Loop>(*io);
    loop->handle(shard::Owner::dns, this, [](void* self, const ring::Event& event) {
      static_cast<Rig*>(self)->resolver->on_event(event);
    });
    loop->add_stage(this, [](void* self) {
      auto& rig = *static_cast<Rig*>(self);
      return rig.resolver != nullptr && rig.resolver->run();
    });
    loop->add_stage(this, [](void* self) {
      auto& rig = *static_cast<Rig*>(self);
      return rig.mx != nullptr && rig.mx->run();
    });
#ifdef RINGMTA_SIMULATED
    world->drive(*io, loop.get(), [](void* self) { static_cast<shard::Loop*>(self)->turn(); });
#endif
  }

  void TearDown() override {
    mx.reset();
    resolver.reset();
    loop.reset();
    io.reset();
    servers.clear();
#ifndef RINGMTA_SIMULATED
    alarm(0);
#endif
  }

  ScriptedServer& add_server() {
    servers.push_back(std::make_unique<ScriptedServer>());
#ifdef RINGMTA_SIMULATED
    world->drive(*servers.back()->io, servers.back().get(),
                 [](void* self) { static_cast<ScriptedServer*>(self)->turn(Monotonic::never()); });
#endif
    return *servers.back();
  }

  void start() {
    if (options.servers.empty()) {
      for (const auto& server : servers) options.servers.push_back(server->address);
    }
    resolver = std::make_unique<Resolver>(*loop, options);
  }

  // Everybody has turns until `done()`, for at most so long.
  bool drive(const std::function<bool()>& done, Milliseconds limit = seconds(60)) {
#ifdef RINGMTA_SIMULATED
    return world->run_until(done, limit);
#else
    const Monotonic end = io->now() + limit;
    while (!done()) {
      if (io->now() >= end) return false;
      loop->turn(io->now() + Milliseconds{1});
      for (const auto& server : servers) server->turn(server->io->now());
    }
    return true;
#endif
  }
  void drive_for(Milliseconds time) {
    drive([] { return false; }, time);
  }

  // What follows happens now, as it would in a turn of the loop.
  void wake() { loop->turn(io->now()); }

  Wish& ask(const std::string& name, RecordType type) {
    wake();
    Wish& wish = wishes.emplace_back();
    wish.lookup.self = &wish;
    wish.lookup.done = [](void* self, Lookup&, const RecordSet& records) {
      static_cast<Wish*>(self)->take(records);
    };
    if (const auto known = resolver->lookup(*Name::parse(name), type, wish.lookup)) {
      wish.take(*known);
    }
    return wish;
  }
  Wish& ask_and_wait(const std::string& name, RecordType type) {
    Wish& wish = ask(name, type);
    EXPECT_TRUE(drive([&] { return wish.answered; })) << name;
    return wish;
  }

#ifdef RINGMTA_SIMULATED
  sim::WorldOptions world_options;
  std::unique_ptr<sim::World> world;
#endif
  std::unique_ptr<ring::Io> io;
  std::unique_ptr<shard::Loop> loop;
  ResolverOptions options;
  std::unique_ptr<Resolver> resolver;
  std::unique_ptr<MxResolver> mx;
  std::vector<std::unique_ptr<ScriptedServer>> servers;
  std::deque<Wish> wishes;
};

}  // namespace ringmta::dns
