// SPDX-License-Identifier: GPL-3.0-or-later
// One delivery attempt of one message to one site: what the queue lends to a connection, and gets
// back with verdicts.
//
// The insight: a Job is the only thing about a message that ever crosses shards. The shard that
// keeps the message makes it (memory pinned), lends it to the shard whose connection delivers, and
// takes it back; while lent, only the borrower touches it. Ownership passes through a mailbox, so
// no field needs a lock.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ringmta/base/address.h"
#include "ringmta/base/intrusive_list.h"
#include "ringmta/base/time.h"
#include "ringmta/base/types.h"
#include "ringmta/smtp/client_session.h"
#include "ringmta/smtp/envelope.h"
#include "ringmta/smtp/reply.h"

namespace ringmta::queue {

struct SiteId {
  uint32_t value = UINT32_MAX;
  constexpr auto operator<=>(const SiteId&) const = default;
};

struct Site;  // options.h

enum class Verdict : uint8_t {
  none,       // not judged yet
  delivered,  // the peer took responsibility
  deferred,   // try again later
  refused,    // permanent failure
  retry_now   // not judged through no fault of its own (too many recipients, connection used up):
              // again at once, no penalty
};

struct JobRecipient {
  uint32_t index = 0;  // in the message's envelope
  Verdict verdict = Verdict::none;
  smtp::Phase phase = smtp::Phase::connect;
  uint16_t code = 0;  // SMTP reply code, 0: no reply (connection trouble)
  smtp::EnhancedStatus status{};
  std::string text;  // one line: the reply without its code ("5.1.1 no such user"), or our reason
};

// How the connection of an attempt was protected. The texts are names that live for ever.
struct JobTls {
  std::string_view version;  // "TLSv1.3"; empty: clear text
  std::string_view cipher;
  bool verified = false, resumed = false;
};

struct Job {
  ListLink link;                          // on the borrower's list
  ShardId keeper{};                       // who lends it
  SlotHandle delivery{};                  // the keeper's entry
  SiteId site{};                          // on the shard that delivers
  std::shared_ptr<const Site> lent_site;  // lent jobs: the site as the keeper knows it
  MessageId id{};
  uint16_t attempt = 0;           // 1 for the first
  Monotonic expires{};            // not begun by then: give it back unjudged (retry_now)
  smtp::Transaction transaction;  // tag = address of this Job; envelope.recipients = those of this
                                  // attempt, in order
  std::vector<smtp::RecipientView> recipient_views;
  std::vector<iovec> content;  // trace lines and content, closing ".CRLF" as the last 3 octets
  std::vector<JobRecipient> recipients;  // same order as transaction.envelope.recipients
  SocketAddress peer{};   // filled by the borrower: whom it spoke to (length 0: nobody)
  std::string peer_name;  // host as configured or found, for events and DSNs
  JobTls tls;
  bool peer_has_dsn = false;        // NOTIFY was passed on: the peer sends success DSNs itself
  bool possible_duplicate = false;  // the content was sent, its reply never came
  Monotonic begun{};                // when the borrower began it
  Monotonic site_failed_until{};    // lent only: the borrower cannot reach the site before then;
                                    // its keeper does as with site_failed()
};

}  // namespace ringmta::queue
