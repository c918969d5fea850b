// SPDX-License-Identifier: GPL-3.0-or-later
// Rounds make the turns of the sessions fair at no cost: a session's first waiting message goes
// into the round being served, each further one into the round after its last.
#include "signing.h"

#include <algorithm>

#include "ringmta/base/log.h"
#include "ringmta/dns/name.h"

namespace ringmta::server {

namespace {

constexpr size_t kSparesMax = 256;       // of each kind kept for use again
constexpr size_t kContentKept = 65'536;  // octets of memory a spare one keeps
constexpr size_t kJobOctets = 2'048;     // about what a job takes besides the content

}  // namespace

Signing::Signing(spool::Spool& spool, ServerCounters& counters)
    : spool_(spool), counters_(counters) {}

Signing::~Signing() {
  for (Jobs& jobs : rounds_) {
    while (SigningJob* job = jobs.pop_front()) release(job);
  }
  while (SigningJob* job = own_.pop_front()) release(job);
  while (SigningJob* job = signed_.pop_front()) release(job);
}

void Signing::use(const dkim::Options& options, std::shared_ptr<dkim::KeyRing> ring) {
  ring_ = std::move(ring);
  on_failure_ = options.on_failure;
  slice_us_ = options.slice.count * 1000;
  waiting_max_ = options.waiting_max;
  spare_arrivals_.clear();
}

std::unique_ptr<SigningArrival> Signing::begin() {
  if (spare_arrivals_.empty()) {
    spare_arrivals_.push_back(std::make_unique<SigningArrival>(
        SigningArrival{dkim::ContentHasher(ring_->bodies()), ring_}));
  }
  std::unique_ptr<SigningArrival> arrival = std::move(spare_arrivals_.back());
  spare_arrivals_.pop_back();
  arrival->hasher.begin();
  return arrival;
}

void Signing::drop(std::unique_ptr<SigningArrival> arrival) {
  const bool fits = arrival->ring == ring_ && arrival->hasher.header().size() <= kContentKept;
  if (fits && spare_arrivals_.size() < kSparesMax) spare_arrivals_.push_back(std::move(arrival));
}

Signing::Verdict Signing::end(std::unique_ptr<SigningArrival> arrival, const Ended& message,
                              WallTime now, uint64_t& round) {
  arrival->hasher.finish();
  fields_.clear();
  fields_.add(message.trace);
  fields_.add(arrival->hasher.header());
  SigningJob* job = new_job();
  choose(message.head.info.tenant, *arrival, *job);
  Verdict verdict = Verdict::waits;
  if (job->signers.empty() && !arrival->hasher.header_too_big()) {
    verdict = Verdict::not_signed;
  } else if (!prepare(*arrival, message, now, *job)) {
    ++counters_.dkim_failures;
    const bool refuse = on_failure_ == dkim::OnFailure::refuse && !message.own;
    verdict = refuse ? Verdict::unsignable : Verdict::not_signed;
  }
  if (verdict == Verdict::waits) {
    job->ring = arrival->ring;
    fill(message, *job);
    if (message.own) {
      own_.push_back(*job);
      ++own_waiting_;
    } else {
      round = std::max(round_, round + 1);
      RINGMTA_ASSERT(round - round_ < kRounds);
      rounds_[round % kRounds].push_back(*job);
    }
    counters_.dkim_waiting = ++waiting_;
  } else {
    release(job);
  }
  drop(std::move(arrival));
  return verdict;
}

// By the author's domain. U-labels (RFC 6532) are looked for as the A-labels that keys have.
void Signing::choose(std::string_view tenant, SigningArrival& arrival, SigningJob& job) {
  job.signers.clear();
  if (!dkim::author_domain(fields_, author_)) return;
  if (std::ranges::any_of(author_, [](char c) { return (c & 0x80) != 0; })) {
    const auto name = dns::mail_domain(author_);
    if (!name) return;
    author_ = name->text();
  }
  arrival.ring->choose(author_, tenant, job.signers);
}

bool Signing::prepare(SigningArrival& arrival, const Ended& message, WallTime now,
                      SigningJob& job) {
  if (arrival.hasher.header_too_big()) {
    log(LogLevel::warning, "DKIM: message {} has a header section of more than {} octets",
        view(to_text(message.id)), dkim::ContentHasher::kHeaderSizeMax);
    return false;
  }
  for (size_t i = 0; i < job.signers.size(); ++i) {
    const dkim::Signer& signer = *job.signers[i];
    const dkim::Digest& body = arrival.hasher.body_hash(signer.options().body);
    if (Status fine = signer.prepare(fields_, body, now, job.prepared[i]); !fine) {
      log(LogLevel::warning, "DKIM: message {}: {}", view(to_text(message.id)),
          fine.error().message);
      return false;
    }
  }
  return true;
}

// All that is not the job's own ends with this receive.
void Signing::fill(const Ended& message, SigningJob& job) {
  job.id = message.id;
  job.tag = message.tag;
  job.own = message.own;
  job.envelope.begin(message.head.envelope);
  for (const smtp::RecipientView& one : message.head.envelope.recipients) job.envelope.add(one);
  job.client = message.head.info.client;
  job.tenant = message.head.info.tenant;
  job.user = message.head.info.user;
  job.info = message.head.info;
  job.info.client = job.client;
  job.info.tenant = job.tenant;
  job.info.user = job.user;
  job.trace = message.trace;
  job.gathered = message.gathered;
  job.content.clear();
  if (job.gathered == nullptr) {
    for (const std::string_view piece : message.pieces) job.content.append(piece);
  }
  octets_ += job.content.size() + kJobOctets;
}

SigningJob* Signing::new_job() {
  if (spare_jobs_.empty()) return new SigningJob;
  SigningJob* job = spare_jobs_.back().release();
  spare_jobs_.pop_back();
  return job;
}

void Signing::release(SigningJob* job) {
  std::unique_ptr<SigningJob> owned(job);
  if (job->gathered != nullptr) spool_.gather_drop(job->gathered);
  if (job->ring != nullptr) octets_ -= job->content.size() + kJobOctets;
  job->gathered = nullptr;
  job->failed = false;
  job->ring.reset();
  job->made = 0;
  job->signatures.clear();
  const bool small = job->content.capacity() <= kContentKept;
  if (small && spare_jobs_.size() < kSparesMax) spare_jobs_.push_back(std::move(owned));
}

SigningJob* Signing::next() {
  if (waiting_ == 0) return nullptr;
  if (waiting_ > own_waiting_ && !own_turn_) {
    for (; rounds_[round_ % kRounds].empty(); ++round_) own_turn_ = own_waiting_ > 0;
  }
  if (own_turn_ || waiting_ == own_waiting_) return own_.front();
  return rounds_[round_ % kRounds].front();
}

bool Signing::run() {
  int64_t left_us = slice_us_;
  while (SigningJob* job = next()) {
    if (left_us <= 0) return true;
    left_us -= job->signers[job->made]->key().signing_time_us();
    sign_one(*job);
    if (job->made < job->signers.size() && !job->failed) continue;
    job->link.unlink();
    counters_.dkim_waiting = --waiting_;
    if (job->own) {
      --own_waiting_;
      own_turn_ = false;
    }
    if (!job->signatures.empty() && !job->failed) ++counters_.dkim_messages;
    job->trace.insert(0, job->signatures);
    signed_.push_back(*job);
  }
  return false;
}

void Signing::sign_one(SigningJob& job) {
  dkim::Signer& signer = *job.signers[job.made];
  const Status fine = signer.sign(job.prepared[job.made], job.signatures);
  ++job.made;
  if (fine) {
    ++counters_.dkim_signatures;
    return;
  }
  ++counters_.dkim_failures;
  log(LogLevel::error, "DKIM: message {} and the key of {} with selector {}: {}",
      view(to_text(job.id)), signer.options().domain, signer.options().selector,
      fine.error().message);
  job.failed = on_failure_ == dkim::OnFailure::refuse && !job.own;
}

SigningJob* Signing::take_signed() { return signed_.pop_front(); }

}  // namespace ringmta::server
