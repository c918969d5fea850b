// SPDX-License-Identifier: GPL-3.0-or-later
#include "model.h"

namespace ringmta::spool {
namespace {

constexpr uint64_t kLoadTag = 1ULL << 40;

bool same(const RecipientState& a, const RecipientState& b) {
  return a.index == b.index && a.fate == b.fate && a.delay_reported == b.delay_reported &&
         a.attempts == b.attempts && a.next_attempt == b.next_attempt;
}

}  // namespace

size_t Model::living() const {
  size_t count = 0;
  for (const auto& [id, known] : mail_) {
    if (known.stage == Knowledge::Stage::committed) ++count;
  }
  return count;
}

Knowledge* Model::pick(Knowledge::Stage stage) {
  if (mail_.empty()) return nullptr;
  auto at = mail_.lower_bound(mail_.begin()->first +
                              random_.below(mail_.rbegin()->first - mail_.begin()->first + 1));
  for (size_t looked = 0; looked < 30; ++looked, ++at) {
    if (at == mail_.end()) at = mail_.begin();
    if (at->second.stage == stage && !at->second.loading) return &at->second;
  }
  return nullptr;
}

void Model::act() {
  const uint64_t dice = random_.below(100);
  if (dice < 45) {
    store();
  } else if (dice < 70) {
    finish();
  } else if (dice < 88) {
    state();
  } else {
    memory();
  }
}

void Model::store() {
  Letter letter;
  letter.number = ++numbers_;
  letter.octets = random_.below(12) == 0
                      ? 33'000 + random_.below(60'000)
                      : 60 + random_.below(random_.below(5) == 0 ? 20'000 : 1500);
  letter.recipients = random_.below(4) == 0 ? 1 + static_cast<uint32_t>(random_.below(5)) : 1;
  const bool gathered = random_.below(4) == 0 || letter.octets > 30'000;
  const StoredHandle stored = gathered ? keeper_.store_gathered(letter) : keeper_.store(letter);
  if (stored.index == UINT32_MAX) return;
  const uint64_t id = keeper_.spool->id(stored).value;
  Knowledge& known = mail_[id];
  known = {};  // an id whose message was lost before anybody knew it may be given again
  known.letter = letter;
  known.handle = stored;
  id_of_number_[letter.number] = id;
}

void Model::finish() {
  Knowledge* known = pick(Knowledge::Stage::committed);
  if (known == nullptr) return;
  keeper_.spool->finish(known->handle);
  known->stage = Knowledge::Stage::finished;
}

void Model::state() {
  Knowledge* known = pick(Knowledge::Stage::committed);
  if (known == nullptr) return;
  RecipientState state;
  state.index = static_cast<uint32_t>(random_.below(known->letter.recipients));
  state.fate = random_.below(3) == 0 ? Fate::delivered : Fate::pending;
  state.attempts = static_cast<uint16_t>(random_.below(100));
  state.delay_reported = random_.below(2) == 0;
  state.next_attempt = {static_cast<int64_t>(random_.below(1ULL << 42))};
  keeper_.spool->record_states(known->handle, {&state, 1});
  known->states[state.index].push_back(state);
}

void Model::memory() {
  Knowledge* known = pick(Knowledge::Stage::committed);
  if (known == nullptr) return;
  if (random_.below(2) == 0) {
    keeper_.spool->evict(known->handle);
    return;
  }
  known->loading = true;
  keeper_.spool->load(known->handle, kLoadTag | known->letter.number);
}

void Model::listen() {
  for (const Done& done : keeper_.done) {
    Knowledge& known = mail_.at(id_of_number_.at(done.tag & (kLoadTag - 1)));
    ASSERT_EQ(known.handle, done.message);
    switch (done.what) {
      case Done::What::committed:
        ASSERT_EQ(known.stage, Knowledge::Stage::stored);
        known.stage = Knowledge::Stage::committed;
        ++committed;
        break;
      case Done::What::failed:
        ASSERT_EQ(known.stage, Knowledge::Stage::stored);
        known.stage = Knowledge::Stage::failed;
        ++failed;
        break;
      case Done::What::loaded:
        ASSERT_EQ(keeper_.wire(done.message), known.letter.wire());
        ASSERT_EQ(keeper_.sender(done.message), known.letter.sender());
        keeper_.spool->unpin(done.message);
        known.loading = false;
        break;
      case Done::What::unreadable:
        known.loading = false;
        break;
    }
  }
  keeper_.done.clear();
  settle_if_idle();
}

void Model::settle_if_idle() {
  if (!keeper_.spool->idle()) return;
  for (auto& [id, known] : mail_) {
    if (known.stage == Knowledge::Stage::finished || known.stage == Knowledge::Stage::failed) {
      known.settled = true;
    }
    for (const auto& [index, states] : known.states) known.sure[index] = states.size();
  }
  std::erase_if(mail_, [this](const auto& entry) {
    // Kept for a while, so that what comes back is known.
    return entry.second.settled && mail_.size() > 3000 && entry.first < mail_.rbegin()->first;
  });
}

void Model::compare_states(Knowledge& known, const Keeper::Found& found) {
  for (const auto& [index, given] : known.states) {
    const size_t sure = known.sure[index];
    const RecipientState* is = nullptr;
    for (const RecipientState& state : found.states) {
      if (state.index == index) is = &state;
    }
    if (is == nullptr) {
      ASSERT_EQ(sure, 0U) << "a state is lost";
      continue;
    }
    bool right = false;
    for (size_t i = sure == 0 ? 0 : sure - 1; i < given.size(); ++i) {
      right = right || same(given[i], *is);
    }
    ASSERT_TRUE(right) << "recipient " << index << " has a state that was never given or is old";
  }
  known.states.clear();
  known.sure.clear();
  for (const RecipientState& state : found.states) {
    known.states[state.index] = {state};
    known.sure[state.index] = 1;
  }
}

void Model::compare() {
  for (auto& [id, found] : keeper_.found) {
    ASSERT_TRUE(mail_.contains(id)) << "a message nobody knows";
    Knowledge& known = mail_.at(id);
    ASSERT_FALSE(known.settled) << "letter " << known.letter.number << " came back, id " << id;
    ASSERT_EQ(found.sender, known.letter.sender());
    ASSERT_EQ(found.recipients.size(), known.letter.recipients);
    known.handle = found.handle;
    known.loading = false;
    known.stage = Knowledge::Stage::committed;
    compare_states(known, found);
    if (::testing::Test::HasFatalFailure()) return;
  }
  for (auto at = mail_.begin(); at != mail_.end();) {
    Knowledge& known = at->second;
    if (keeper_.found.contains(at->first)) {
      ++at;
      continue;
    }
    ASSERT_NE(known.stage, Knowledge::Stage::committed)
        << "letter " << known.letter.number << " is lost, id " << at->first;
    if (known.stage == Knowledge::Stage::stored) known.stage = Knowledge::Stage::failed;
    known.settled = true;  // it was not found once, so it must not be found later
    ++at;
  }
}

void Model::finish_all() {
  for (auto& [id, known] : mail_) {
    if (known.stage != Knowledge::Stage::committed || known.loading) continue;
    keeper_.spool->finish(known.handle);
    known.stage = Knowledge::Stage::finished;
  }
}

// Reads may fail a few times while the disk has faults left to strike.
bool Model::read_all() {
  for (int round = 0; round < 50; ++round) {
    std::map<uint64_t, bool> read;  // by letter
    for (auto& [id, known] : mail_) {
      if (known.stage != Knowledge::Stage::committed || known.loading) continue;
      known.loading = true;
      read[kLoadTag | known.letter.number] = false;
      keeper_.spool->load(known.handle, kLoadTag | known.letter.number);
    }
    size_t answered = 0;
    size_t unreadable = 0;
    const bool ended = keeper_.drive([&] {
      for (const Done& done : keeper_.done) {
        if (!read.contains(done.tag)) continue;
        ++answered;
        if (done.what == Done::What::unreadable) ++unreadable;
      }
      listen();
      return answered >= read.size();
    });
    if (!ended) return false;
    if (unreadable == 0) return true;
  }
  return false;
}

}  // namespace ringmta::spool
