// SPDX-License-Identifier: GPL-3.0-or-later
// The DNS as somebody would have it who wants the mail, or means no good at all: forged answers by
// the dozen, and answers of the real server that are nonsense, out of date or another each time.
//
// Who believes a forged answer comes to the trap, a host whose address no true answer gives.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "../dns/script.h"
#include "ringmta/base/prng.h"
#include "ringmta/sim/world.h"

namespace ringmta::simulation {

class Liar final {
 public:
  static constexpr const char* kTrap = "10.66.6.6";

  Liar(sim::World& world, uint64_t seed);

  // What is true, for lies that come near to it. `record`: type and data as in a zone file.
  void learn(const std::string& name, dns::RecordType type, const std::string& data);

  // False: the true answer is to be given, too.
  bool lie(dns::ScriptedServer& asked, const dns::Asked& question);

 private:
  dns::Message forged(const dns::Asked& question, uint16_t id) const;
  void answer_with_odd_ttl(dns::ScriptedServer& asked, const dns::Asked& question);
  bool answer_of_another(dns::ScriptedServer& asked, const dns::Asked& question);

  Prng random_;
  dns::ScriptedServer elsewhere_;
  std::map<std::pair<std::string, dns::RecordType>, std::vector<std::string>> known_;
  std::vector<std::string> domains_;  // those with MX records
};

}  // namespace ringmta::simulation
