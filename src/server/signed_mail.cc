// SPDX-License-Identifier: GPL-3.0-or-later
// Messages on the detour by the signing room of the server: from their end to signing.h, and from
// there into the spool, with their signatures above the trace lines.
//
// The signatures go on top: a Received line that a later hop adds stands above them and breaks
// nothing, and a verifier that reads downwards meets the newest signature first (RFC 6376 5.6).
// Date and Message-ID that the relay adds are part of what is signed.
#include "server_impl.h"

namespace ringmta::server {

// True: the message needs nothing more here; it waits, or is answered.
bool Server::Impl::sign(Session& session, Session::Pending& pending, Signing::Ended message) {
  const Signing::Verdict verdict = signing.end(std::move(session.arrival), message,
                                               message.head.info.arrival, session.signing_round);
  if (verdict == Signing::Verdict::not_signed) return false;
  if (verdict == Signing::Verdict::unsignable) {
    if (session.gathering != nullptr) spool.gather_drop(session.gathering);
    pending.state = Session::Pending::State::unsignable;
    answer_in_order(session);
  }
  session.gathering = nullptr;
  pieces.clear();
  side.clear();
  return true;
}

Server::Own Server::Impl::sign_own(MessageId id, const spool::MessageHead& head,
                                   std::string_view content, uint64_t tag) {
  if (!signing.on()) return Own::not_signed;
  if (signing.full()) return Own::busy;
  std::unique_ptr<SigningArrival> arrival = signing.begin();
  arrival->hasher.append(content);
  Signing::Ended message{.id = id, .tag = tag, .head = head, .trace = {}, .pieces = {&content, 1}};
  message.own = true;
  uint64_t round = 0;
  const Signing::Verdict verdict =
      signing.end(std::move(arrival), message, head.info.arrival, round);
  return verdict == Signing::Verdict::waits ? Own::taken : Own::not_signed;
}

// A slice of signing, and what it finished into the open batch. True: more wait.
bool Server::Impl::store_signed() {
  const bool more = signing.run();
  while (SigningJob* job = signing.take_signed()) {
    if (job->failed) {
      settle(job->tag, Session::Pending::State::sign_failed);
      signing.release(job);
      continue;
    }
    const spool::MessageHead head{job->envelope.view(), job->info};
    const std::string_view content = job->content;
    const spool::StoredHandle stored =
        job->gathered != nullptr
            ? spool.store_gathered(job->id, head, job->trace, job->gathered, job->tag)
            : spool.store(job->id, head, job->trace, {&content, 1}, job->tag);
    job->gathered = nullptr;
    if (stored.index == UINT32_MAX && job->own) {
      own_failed(owner_of_own, job->tag);
    } else if (stored.index == UINT32_MAX) {
      // Where the spool accepts messages and did not take this one, it is the message's size.
      settle(job->tag, spool.accepting() ? Session::Pending::State::too_large
                                         : Session::Pending::State::failed);
    }
    signing.release(job);
  }
  return more;
}

}  // namespace ringmta::server
