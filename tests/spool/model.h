// SPDX-License-Identifier: GPL-3.0-or-later
// What a client and an operator know about the mail they gave to a spool, to be compared with what
// a restart finds.
//
// The insight: the spool promises nothing about what nobody was told. A message is *owed* from its
// `committed` on; a fate, a state or a refusal is *settled* once the spool was idle after it. What
// is owed must be found, what is settled must be as it was, and anything else may be either.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "keeper.h"
#include "ringmta/base/prng.h"

namespace ringmta::spool {

struct Knowledge {
  enum class Stage : uint8_t { stored, committed, finished, failed };
  Letter letter;
  Stage stage = Stage::stored;
  bool settled = false;  // finished or failed, and nothing of it may come back
  StoredHandle handle{};
  bool loading = false;
  // States given per recipient, oldest first; `sure`: up to which they are on disk.
  std::map<uint32_t, std::vector<RecipientState>> states;
  std::map<uint32_t, size_t> sure;
};

class Model {
 public:
  Model(Keeper& keeper, uint64_t seed) : keeper_(keeper), random_(seed) {}

  void act();      // one thing at random
  void listen();   // takes what the spool reported
  void compare();  // after a restart: the promises hold, and the model goes on from what was found
  void finish_all();
  bool read_all();  // every message is read back and is what it was
  size_t living() const;
  Prng& random() { return random_; }
  uint64_t committed = 0, failed = 0;

 private:
  void store();
  void finish();
  void state();
  void memory();
  Knowledge* pick(Knowledge::Stage stage);
  void settle_if_idle();
  void compare_states(Knowledge& known, const Keeper::Found& found);

  Keeper& keeper_;
  Prng random_;
  uint64_t numbers_ = 0;
  std::map<uint64_t, Knowledge> mail_;  // by id
  std::map<uint64_t, uint64_t> id_of_number_;
};

}  // namespace ringmta::spool
