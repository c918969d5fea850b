// SPDX-License-Identifier: GPL-3.0-or-later
// DKIM for messages between their end and the spool.
//
// The insight: a message costs microseconds until it is signed and then a quarter of a millisecond
// or more, so a flood of signed mail could hold a shard for seconds. Its content is hashed as it
// arrives, the fields of its signatures are written when it ends, and then it waits here. Each turn
// of the loop signs for one slice, so whatever else the shard serves waits that much longer at
// most. Those that wait are served by turns of their sessions: a session with one message does not
// wait behind all that another has pipelined. The relay's own messages (DSNs) have the turns of one
// session, so that a flood of them does not keep new mail waiting.
//
// The slice is counted in what each key is known to take (Key::signing_time_us), not by a clock:
// the same mail is signed in the same turns wherever it runs, in the simulator too.
//
// What waits in here was not answered yet: a crash loses nothing that was promised.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "ringmta/base/intrusive_list.h"
#include "ringmta/dkim/content_hasher.h"
#include "ringmta/dkim/header_fields.h"
#include "ringmta/dkim/key_ring.h"
#include "ringmta/server/server.h"
#include "ringmta/smtp/envelope_store.h"
#include "ringmta/spool/spool.h"

namespace ringmta::server {

// A message that waits for its signatures: all that spool.store() wants.
struct SigningJob {
  ListLink link;
  MessageId id{};
  uint64_t tag = 0;
  smtp::EnvelopeStore envelope;
  spool::MessageInfo info;  // its views are into the texts below
  std::string client, tenant, user;
  std::string trace;    // in front of it the signatures, when they are made
  std::string content;  // whole, in wire form; or
  spool::Gathering* gathered = nullptr;
  bool failed = false;  // to be refused
  bool own = false;     // the relay's

  std::shared_ptr<dkim::KeyRing> ring;  // keeps the signers
  std::vector<dkim::Signer*> signers;
  std::array<dkim::Prepared, dkim::KeyRing::kSignaturesMax> prepared;
  size_t made = 0;  // signatures
  std::string signatures;
};

// Content in arrival, for the keys that were there when it began.
struct SigningArrival {
  dkim::ContentHasher hasher;
  std::shared_ptr<dkim::KeyRing> ring;
};

class Signing final {
 public:
  explicit Signing(spool::Spool& spool, ServerCounters& counters);
  ~Signing();

  // From now on. Messages in arrival and those that wait are signed with the keys they began with.
  // Null: nothing is signed.
  void use(const dkim::Options& options, std::shared_ptr<dkim::KeyRing> ring);

  bool on() const { return ring_ != nullptr; }
  bool full() const { return octets_ >= waiting_max_; }  // begin no new message (452 4.3.1)
  size_t waiting() const { return waiting_; }

  std::unique_ptr<SigningArrival> begin();
  void drop(std::unique_ptr<SigningArrival> arrival);

  enum class Verdict : uint8_t {
    not_signed,  // no key is for it, or it cannot be signed and goes as it is: store it
    waits,       // taken over: comes back by take_signed()
    unsignable   // refuse it
  };
  struct Ended {
    MessageId id{};
    uint64_t tag = 0;
    const spool::MessageHead& head;
    std::string_view trace;                    // with the header fields the relay adds
    std::span<const std::string_view> pieces;  // the content, or
    spool::Gathering* gathered = nullptr;      // (taken over with it)
    uint64_t octets = 0;
    bool own = false;  // the relay's: never refused, at worst it goes unsigned
  };
  // `round`: what this keeps in the session.
  Verdict end(std::unique_ptr<SigningArrival> arrival, const Ended& message, WallTime now,
              uint64_t& round);

  bool run();                 // one slice; true: more wait
  SigningJob* take_signed();  // null: no more; give it back by release()
  void release(SigningJob* job);

 private:
  using Jobs = IntrusiveList<SigningJob, &SigningJob::link>;
  static constexpr size_t kRounds = 16;  // more than a session has messages waiting

  bool prepare(SigningArrival& arrival, const Ended& message, WallTime now, SigningJob& job);
  void choose(std::string_view tenant, SigningArrival& arrival, SigningJob& job);
  void fill(const Ended& message, SigningJob& job);
  SigningJob* new_job();
  SigningJob* next();
  void sign_one(SigningJob& job);

  spool::Spool& spool_;
  ServerCounters& counters_;
  std::shared_ptr<dkim::KeyRing> ring_;
  dkim::OnFailure on_failure_ = dkim::OnFailure::refuse;
  int64_t slice_us_ = 0;
  uint64_t waiting_max_ = UINT64_MAX;

  std::array<Jobs, kRounds> rounds_;  // jobs of round n at n % kRounds
  uint64_t round_ = 1;                // being served
  Jobs own_;                          // the relay's, one of them between two rounds
  bool own_turn_ = false;
  Jobs signed_;
  size_t waiting_ = 0;  // jobs without all their signatures
  size_t own_waiting_ = 0;
  uint64_t octets_ = 0;  // of contents kept here
  std::vector<std::unique_ptr<SigningJob>> spare_jobs_;
  std::vector<std::unique_ptr<SigningArrival>> spare_arrivals_;
  dkim::HeaderFields fields_;
  std::string author_;
};

}  // namespace ringmta::server
