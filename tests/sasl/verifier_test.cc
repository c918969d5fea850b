// SPDX-License-Identifier: GPL-3.0-or-later
// What was verified is remembered, the verifying thread has its bounds, and failures are counted.
#include <gtest/gtest.h>

#include <future>

#include "ringmta/sasl/credential_cache.h"
#include "ringmta/sasl/failure_table.h"
#include "ringmta/sasl/password_verifier.h"

namespace ringmta::sasl {
namespace {

ScramVerifier verifier_of(std::string_view password, uint32_t iterations = 4096) {
  return make_verifier(password, "saltsalt", iterations);
}

TEST(CredentialCache, RemembersBoth) {
  CredentialCache cache(16);
  const ScramVerifier verifier = verifier_of("right");
  const auto right = CredentialCache::key_of("right", verifier);
  const auto wrong = CredentialCache::key_of("wrong", verifier);
  EXPECT_EQ(cache.find(right), std::nullopt);
  cache.remember(right, true);
  cache.remember(wrong, false);
  EXPECT_EQ(cache.find(right), true);
  EXPECT_EQ(cache.find(wrong), false);
  EXPECT_EQ(cache.find(CredentialCache::key_of("right", verifier_of("changed"))), std::nullopt);
}

TEST(CredentialCache, IsBounded) {
  CredentialCache cache(16);
  const ScramVerifier verifier = verifier_of("x");
  uint32_t known = 0;
  for (int i = 0; i < 1000; ++i) {
    cache.remember(CredentialCache::key_of(std::to_string(i), verifier), true);
  }
  for (int i = 0; i < 1000; ++i) {
    known += cache.find(CredentialCache::key_of(std::to_string(i), verifier)) ? 1 : 0;
  }
  EXPECT_EQ(known, 16U);
  EXPECT_TRUE(cache.find(CredentialCache::key_of("999", verifier)));
}

struct Waiting {
  std::promise<bool> answer;
  uint64_t tag = 0;
  static void done(void* self, std::unique_ptr<PasswordCheck> check) {
    EXPECT_EQ(check->password, "");
    auto& waiting = *static_cast<Waiting*>(self);
    waiting.tag = check->tag;
    waiting.answer.set_value(check->matches);
  }
};

std::unique_ptr<PasswordCheck> check_of(std::string_view password, const ScramVerifier& verifier) {
  auto check = std::make_unique<PasswordCheck>();
  check->password = password;
  check->verifier = verifier;
  check->key = CredentialCache::key_of(password, verifier);
  check->tag = 7;
  return check;
}

TEST(PasswordVerifier, Answers) {
  PasswordVerifier verifier;
  const ScramVerifier entry = verifier_of("right");
  for (const std::string_view password : {"right", "wrong", "right", "wrong"}) {
    Waiting waiting;
    auto answer = waiting.answer.get_future();
    ASSERT_TRUE(verifier.submit(check_of(password, entry), &waiting, Waiting::done));
    EXPECT_EQ(answer.get(), password == "right");
    EXPECT_EQ(waiting.tag, 7U);
  }
}

// A check whose answer blocks the thread until it is told to go on.
struct Gate {
  std::promise<void> reached, open;
  static void done(void* self, std::unique_ptr<PasswordCheck>) {
    auto& gate = *static_cast<Gate*>(self);
    gate.reached.set_value();
    gate.open.get_future().wait();
  }
};

TEST(PasswordVerifier, IsBoundedAndForgets) {
  PasswordVerifier verifier(2);
  const ScramVerifier entry = verifier_of("x");
  Gate gate;
  ASSERT_TRUE(verifier.submit(check_of("x", entry), &gate, Gate::done));
  gate.reached.get_future().wait();  // the thread is held, the queue empty
  int never_called = 0;
  const auto fail = [](void*, std::unique_ptr<PasswordCheck>) { ADD_FAILURE() << "was forgotten"; };
  EXPECT_TRUE(verifier.submit(check_of("x", entry), &never_called, fail));
  EXPECT_TRUE(verifier.submit(check_of("x", entry), &never_called, fail));
  EXPECT_FALSE(verifier.submit(check_of("x", entry), &never_called, fail));
  verifier.forget(&never_called);
  EXPECT_TRUE(verifier.submit(check_of("x", entry), &never_called, fail));
  verifier.forget(&never_called);
  Waiting waiting;
  auto answer = waiting.answer.get_future();
  EXPECT_TRUE(verifier.submit(check_of("x", entry), &waiting, Waiting::done));
  gate.open.set_value();
  verifier.forget(&gate);  // waits until it runs no longer
  EXPECT_TRUE(answer.get());
}

TEST(PasswordVerifier, EndsWithWorkLeft) {
  int nothing = 0;
  const ScramVerifier entry = verifier_of("x");
  PasswordVerifier verifier;
  for (int i = 0; i < 100; ++i) {
    verifier.submit(check_of(std::to_string(i), entry), &nothing,
                    [](void*, std::unique_ptr<PasswordCheck>) {});
  }
}

TEST(FailureTable, CountsAndForgets) {
  const auto table = std::make_unique<FailureTable>();
  const Monotonic start{1'000'000'000'000};
  const uint64_t key = 0x1234'0000'0000'0042;
  EXPECT_EQ(table->count(key, start, minutes(10)), 0U);
  EXPECT_EQ(table->add(key, start, minutes(10), 10), 1U);
  EXPECT_EQ(table->add(key, start + minutes(9), minutes(10), 10), 2U);
  EXPECT_EQ(table->count(key, start + minutes(18), minutes(10)), 2U);
  EXPECT_EQ(table->count(key, start + minutes(19), minutes(10)), 0U);
  EXPECT_EQ(table->add(key, start + minutes(19), minutes(10), 10), 1U);
  table->forget(key);
  EXPECT_EQ(table->count(key, start + minutes(19), minutes(10)), 0U);
}

TEST(FailureTable, WhereTwoMeet) {
  const auto table = std::make_unique<FailureTable>();
  const Monotonic now{5'000'000'000};
  const uint64_t one = 0x1111'0000'0000'0042, other = 0x2222'0000'0000'0042;
  table->add(one, now, minutes(10), 3);
  EXPECT_EQ(table->add(other, now, minutes(10), 3), 1U);  // takes the place
  EXPECT_EQ(table->count(one, now, minutes(10)), 0U);
  for (int i = 0; i < 2; ++i) table->add(other, now, minutes(10), 3);
  EXPECT_EQ(table->add(one, now, minutes(10), 3), 1U);  // three: it stays
  EXPECT_EQ(table->count(other, now, minutes(10)), 3U);
  table->forget(one);
  EXPECT_EQ(table->count(other, now, minutes(10)), 3U);
  EXPECT_EQ(table->add(one, now + minutes(10), minutes(10), 3), 1U);  // until it is old
  EXPECT_EQ(table->count(one, now + minutes(10), minutes(10)), 1U);
}

}  // namespace
}  // namespace ringmta::sasl
