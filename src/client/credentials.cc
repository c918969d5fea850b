// SPDX-License-Identifier: GPL-3.0-or-later
// The helper thread and what it has fetched. It begins with the first question and sleeps between
// two.
#include "ringmta/client/credentials.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "ringmta/base/wipe.h"
#include "secret_source.h"

namespace ringmta::client {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kPasswordLifetime = std::chrono::minutes(10);
constexpr auto kProblemLifetime = std::chrono::seconds(10);  // then fetching is tried again
constexpr int64_t kLifetimeMin_ms = 1000;
constexpr int64_t kEarly = 10;  // a token is replaced when a tenth of its life is left

}  // namespace

struct Credentials::Impl {
  struct Secret {
    AuthOptions source;
    SecretText text;
    std::string problem;
    uint64_t number = 0;
    Clock::time_point until{};
    bool known = false, fetching = false;
  };
  struct Derivation {
    sasl::ScramWork work;
    std::unique_ptr<sasl::ScramKeys> keys;
  };

  std::mutex lock;
  std::condition_variable changed;
  std::atomic<bool> stop{false};
  std::deque<Secret> secrets;  // as many as routes have; places are for ever
  std::deque<Derivation> derivations;
  std::deque<size_t> to_fetch, to_derive;
  bool deriving = false, fetching = false;
  uint64_t numbers = 0;
  process::CommandRunner* runner = nullptr;
  std::thread thread;

  static constexpr size_t kDerivationsMax = 1024;

  Secret& find(const AuthOptions& source) {
    for (Secret& one : secrets) {
      if (one.source == source) return one;
    }
    secrets.emplace_back().source = source;
    return secrets.back();
  }

  void fetch_later(Secret& secret) {
    if (secret.fetching) return;
    secret.fetching = true;
    const auto place =
        std::ranges::find_if(secrets, [&](const Secret& one) { return &one == &secret; });
    to_fetch.push_back(static_cast<size_t>(place - secrets.begin()));
    wake();
  }

  void wake() {
    if (!thread.joinable()) thread = std::thread([this] { work(); });
    changed.notify_one();
  }

  void work() {
    std::unique_lock guard(lock);
    while (true) {
      changed.wait(guard, [this] { return stop || !to_fetch.empty() || !to_derive.empty(); });
      if (stop) return;
      if (!to_derive.empty()) {
        derive_one(guard);
      } else {
        fetch_one(guard);
      }
    }
  }

  void fetch_one(std::unique_lock<std::mutex>& guard) {
    Secret& secret = secrets[to_fetch.front()];  // its place is for ever
    to_fetch.pop_front();
    const AuthOptions source = secret.source;
    fetching = true;
    guard.unlock();
    Result<FetchedSecret> fetched = fetch_secret(source, stop, runner);
    guard.lock();
    fetching = false;
    secret.fetching = false;
    secret.known = true;
    if (!fetched) {
      secret.problem = fetched.error().message;
      secret.text.wipe();
      secret.until = Clock::now() + kProblemLifetime;
      return;
    }
    secret.problem.clear();
    SecretText text(std::move(fetched->text));
    if (text != secret.text) {
      secret.text = std::move(text);
      secret.number = ++numbers;
    }
    Milliseconds life = fetched->lifetime.count > 0 ? fetched->lifetime : source.token_lifetime;
    life.count = std::max(life.count - life.count / kEarly, kLifetimeMin_ms);
    secret.until =
        Clock::now() + (source.has_token() ? std::chrono::milliseconds(life.count)
                                           : std::chrono::milliseconds(kPasswordLifetime));
  }

  void derive_one(std::unique_lock<std::mutex>& guard) {
    Derivation& derivation = derivations[to_derive.front()];
    to_derive.pop_front();
    const sasl::ScramWork work = derivation.work;
    deriving = true;
    guard.unlock();
    auto keys = std::make_unique<sasl::ScramKeys>(sasl::derive(work));
    guard.lock();
    derivation.keys = std::move(keys);
    deriving = false;
  }
};

Credentials::Credentials() : impl_(std::make_unique<Impl>()) {}

Credentials::~Credentials() {
  {
    const std::lock_guard guard(impl_->lock);
    impl_->stop = true;
    impl_->changed.notify_all();
  }
  if (impl_->thread.joinable()) impl_->thread.join();
}

void Credentials::run_commands_by(process::CommandRunner& runner) { impl_->runner = &runner; }

Credentials::Answer Credentials::secret(const AuthOptions& source) {
  using State = Answer::State;
  const std::lock_guard guard(impl_->lock);
  Impl::Secret& secret = impl_->find(source);
  if (secret.fetching) return {};
  if (!secret.known || Clock::now() >= secret.until) {
    impl_->fetch_later(secret);
    return {};
  }
  if (!secret.problem.empty()) return {State::failed, {}, 0, secret.problem};
  return {State::there, std::string(secret.text.view()), secret.number, {}};
}

void Credentials::refused(const AuthOptions& source, uint64_t number) {
  const std::lock_guard guard(impl_->lock);
  Impl::Secret& secret = impl_->find(source);
  if (secret.number == number) impl_->fetch_later(secret);  // else there is a newer one
}

void Credentials::forget() {
  const std::lock_guard guard(impl_->lock);
  for (Impl::Secret& secret : impl_->secrets) secret.known = false;
}

bool Credentials::idle() const {
  const std::lock_guard guard(impl_->lock);
  return !impl_->fetching && !impl_->deriving && impl_->to_fetch.empty() &&
         impl_->to_derive.empty();
}

std::unique_ptr<sasl::ScramKeys> Credentials::keys(const sasl::ScramWork& work) {
  const std::lock_guard guard(impl_->lock);
  for (const Impl::Derivation& one : impl_->derivations) {
    const sasl::ScramWork& known = one.work;
    if (known.iterations != work.iterations || known.salt != work.salt) continue;
    if (!equal_in_constant_time(known.password, work.password)) continue;
    return one.keys ? std::make_unique<sasl::ScramKeys>(*one.keys) : nullptr;
  }
  // Servers have a salt per user, so there are about as many as routes; more are somebody's game.
  const bool busy = impl_->deriving || !impl_->to_derive.empty();
  if (impl_->derivations.size() >= Impl::kDerivationsMax && !busy) impl_->derivations.clear();
  if (impl_->derivations.size() >= Impl::kDerivationsMax) return nullptr;
  impl_->derivations.push_back({work, nullptr});
  impl_->to_derive.push_back(impl_->derivations.size() - 1);
  impl_->wake();
  return nullptr;
}

}  // namespace ringmta::client
