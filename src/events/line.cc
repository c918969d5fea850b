// SPDX-License-Identifier: GPL-3.0-or-later
// The members of an event line, in the order docs/events.md explains them. What is the same in
// every line (host, shard, the second) is kept as text and copied.
#include "line.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>

#include "ringmta/base/assert.h"

namespace ringmta::events {
namespace {

using queue::Outcome;

// Names of members, quotes, numbers, times, ids and the peer's address: all that is not free text.
// The peer may be a Unix socket, whose path can be escaped octet by octet.
constexpr size_t kFixedMax = 1024 + kEscapeFactor * sizeof(sockaddr_un::sun_path);

std::string_view name_of(Outcome::Kind kind) {
  switch (kind) {
    case Outcome::Kind::received:
      return "received";
    case Outcome::Kind::delivered:
      return "delivered";
    case Outcome::Kind::deferred:
      return "deferred";
    case Outcome::Kind::bounced:
      return "bounced";
    case Outcome::Kind::expired:
      return "expired";
    case Outcome::Kind::removed:
      return "removed";
  }
  return "unknown";
}

// Of the attempt's recipients only those whose own reply never came (a reply has a code): an LMTP
// peer answers for each, and others were refused before the content.
bool possible_duplicate(const Outcome& outcome) {
  const queue::JobRecipient* result = outcome.result;
  return outcome.job->possible_duplicate && result != nullptr && result->code == 0 &&
         result->phase == smtp::Phase::content;
}

char* put_text_member(char* to, std::string_view name, std::string_view text) {
  to = put(to, name);
  to = put_escaped(to, text);
  *to++ = '"';
  return to;
}

char* put_text_member_if_any(char* to, std::string_view name, std::string_view text) {
  return text.empty() ? to : put_text_member(to, name, text);
}

// A word of ours: nothing in it needs escaping.
char* put_word_member(char* to, std::string_view name, std::string_view word) {
  if (word.empty()) return to;
  to = put(put(to, name), word);
  *to++ = '"';
  return to;
}

char* put_number_member(char* to, std::string_view name, uint64_t number) {
  return put_number(put(to, name), number);
}

char* put_status(char* to, const smtp::EnhancedStatus& status) {
  to = put_number(to, status.klass);
  *to++ = '.';
  to = put_number(to, status.subject);
  *to++ = '.';
  return put_number(to, status.detail);
}

// What was answered, or what went wrong in our words.
char* put_reply(char* to, uint16_t code, const smtp::EnhancedStatus& status,
                std::string_view text) {
  if (code != 0) to = put_number_member(to, R"(,"code":)", code);
  if (status) {
    to = put(to, R"(,"status":")");
    to = put_status(to, status);
    *to++ = '"';
  }
  return put_text_member_if_any(to, R"(,"reply":")", text);
}

char* put_next_attempt(char* to, WallTime next) {
  if (next.ms <= 0) return to;
  to = put(to, R"(,"next_attempt":")");
  to = put_time(to, next);
  *to++ = '"';
  return to;
}

char* put_ipv4(char* to, const uint8_t* octets) {
  for (size_t i = 0; i < 4; ++i) {
    if (i > 0) *to++ = '.';
    to = put_number(to, octets[i]);
  }
  return to;
}

// Like SocketAddress::text(), but into our own memory.
char* put_address(char* to, const SocketAddress& address) {
  if (address.family() == AF_UNIX) {
    const auto& local = reinterpret_cast<const sockaddr_un&>(address.storage);
    return put_escaped(to, {local.sun_path, strnlen(local.sun_path, sizeof(local.sun_path))});
  }
  if (address.family() == AF_INET) {
    const auto& ipv4 = reinterpret_cast<const sockaddr_in&>(address.storage);
    to = put_ipv4(to, reinterpret_cast<const uint8_t*>(&ipv4.sin_addr));
    *to++ = ':';
    return put_number(to, ntohs(ipv4.sin_port));
  }
  const auto& ipv6 = reinterpret_cast<const sockaddr_in6&>(address.storage);
  if (IN6_IS_ADDR_V4MAPPED(&ipv6.sin6_addr)) {
    to = put_ipv4(to, ipv6.sin6_addr.s6_addr + 12);
  } else {
    *to++ = '[';
    inet_ntop(AF_INET6, &ipv6.sin6_addr, to, INET6_ADDRSTRLEN);
    to += std::strlen(to);
    *to++ = ']';
  }
  *to++ = ':';
  return put_number(to, ntohs(ipv6.sin6_port));
}

}  // namespace

LineComposer::LineComposer(std::string_view hostname, ShardId shard) {
  origin_.resize(hostname.size() * kEscapeFactor + 64);
  char* end = put_text_member(origin_.data(), R"(,"hostname":")", hostname);
  end = put_number_member(end, R"(,"shard":)", shard.value);
  origin_.resize(static_cast<size_t>(end - origin_.data()));
}

size_t LineComposer::bound(const Outcome& outcome) const {
  const spool::MessageHead& head = *outcome.head;
  RINGMTA_ASSERT(outcome.recipient < head.envelope.recipients.size());
  const smtp::RecipientView& recipient = head.envelope.recipients[outcome.recipient];
  size_t text = head.envelope.reverse_path.size() + head.envelope.envelope_id.size() +
                head.info.client.size() + head.info.tenant.size() + head.info.user.size() +
                recipient.address.size() + recipient.original_recipient.size() +
                outcome.site.size() + outcome.protocol.size() + outcome.tls_version.size() +
                outcome.tls_cipher.size();
  if (outcome.job != nullptr) {
    const queue::Job& job = *outcome.job;
    text += job.peer_name.size() + job.tls.version.size() + job.tls.cipher.size();
  }
  if (outcome.result != nullptr) text += outcome.result->text.size();
  return kFixedMax + origin_.size() + text * kEscapeFactor;
}

char* LineComposer::put_now(char* to, WallTime wall) {
  const int64_t second = wall.ms / 1000;
  if (second != second_) {
    put_time(second_text_.data(), {second * 1000});
    second_ = second;
  }
  char* const end = put(to, {second_text_.data(), second_text_.size()});
  const auto ms = static_cast<uint64_t>(wall.ms - second * 1000);
  end[-4] = static_cast<char>('0' + ms / 100 % 10);
  end[-3] = static_cast<char>('0' + ms / 10 % 10);
  end[-2] = static_cast<char>('0' + ms % 10);
  return end;
}

// Mostly the one of the line before.
char* LineComposer::put_peer(char* to, const SocketAddress& peer) {
  if (peer.length != peer_.length || std::memcmp(&peer.storage, &peer_.storage, peer.length) != 0) {
    peer_ = peer;
    peer_text_.resize(kFixedMax);
    char* end = put(peer_text_.data(), R"(,"peer":")");
    end = put_address(end, peer);
    *end++ = '"';
    peer_text_.resize(static_cast<size_t>(end - peer_text_.data()));
  }
  return put(to, peer_text_);
}

// What the attempt was: whom it reached, what was answered, how long it took.
char* LineComposer::put_attempt(char* to, const Outcome& outcome, Monotonic now) {
  const queue::Job& job = *outcome.job;
  if (job.peer.length > 0) to = put_peer(to, job.peer);
  to = put_text_member_if_any(to, R"(,"peer_name":")", job.peer_name);
  if (!job.tls.version.empty()) {
    to = put_text_member(to, R"(,"tls_version":")", job.tls.version);
    to = put_text_member(to, R"(,"tls_cipher":")", job.tls.cipher);
    if (job.tls.verified) to = put(to, R"(,"tls_verified":true)");
    if (job.tls.resumed) to = put(to, R"(,"tls_resumed":true)");
  }
  if (outcome.result != nullptr) {
    const queue::JobRecipient& result = *outcome.result;
    to = put_reply(to, result.code, result.status, result.text);
    to = put_word_member(to, R"(,"phase":")", smtp::to_text(result.phase));
  }
  if (job.begun.ns > 0) {
    const int64_t taken_ms = (now - job.begun).count;
    to = put_number_member(to, R"(,"delivery_ms":)",
                           static_cast<uint64_t>(std::max<int64_t>(0, taken_ms)));
  }
  if (possible_duplicate(outcome)) to = put(to, R"(,"possible_duplicate":true)");
  return to;
}

char* LineComposer::put_begin(char* to, std::string_view event, WallTime wall) {
  to = put(to, R"({"event":")");
  to = put(to, event);
  to = put(to, R"(","time":")");
  return put_now(to, wall);
}

size_t LineComposer::bound(const queue::Held& held) const {
  const size_t text =
      held.site.size() + held.domain.size() + held.text.size() + held.peer_name.size();
  return kFixedMax + origin_.size() + text * kEscapeFactor;
}

char* LineComposer::compose(char* to, const queue::Held& held, WallTime wall) {
  to = put_begin(to, "held", wall);
  *to++ = '"';
  to = put(to, origin_);
  to = put_text_member_if_any(to, R"(,"site":")", held.site);
  to = put_text_member_if_any(to, R"(,"domain":")", held.domain);
  to = put_number_member(to, R"(,"waiting":)", held.waiting);
  to = put_text_member_if_any(to, R"(,"peer_name":")", held.peer_name);
  to = put_reply(to, held.code, held.status, held.text);
  to = put_next_attempt(to, held.next_attempt);
  return put(to, "}\n");
}

char* LineComposer::compose(char* to, const Outcome& outcome, Monotonic now, WallTime wall) {
  const spool::MessageHead& head = *outcome.head;
  const smtp::RecipientView& recipient = head.envelope.recipients[outcome.recipient];
  to = put_begin(to, name_of(outcome.kind), wall);
  to = put(to, R"(","id":")");
  to = put(to, view(to_text(outcome.id)));
  *to++ = '"';
  to = put(to, origin_);
  to = put_text_member_if_any(to, R"(,"client":")", head.info.client);
  to = put_text_member_if_any(to, R"(,"tenant":")", head.info.tenant);
  to = put_word_member(to, R"(,"protocol":")", outcome.protocol);
  to = put_text_member_if_any(to, R"(,"tls_version":")", outcome.tls_version);
  to = put_text_member_if_any(to, R"(,"tls_cipher":")", outcome.tls_cipher);
  to = put_text_member_if_any(to, R"(,"user":")", head.info.user);
  to = put_text_member(to, R"(,"sender":")", head.envelope.reverse_path);
  to = put_text_member(to, R"(,"recipient":")", recipient.address);
  to = put_text_member_if_any(to, R"(,"original_recipient":")", recipient.original_recipient);
  to = put_text_member_if_any(to, R"(,"envelope_id":")", head.envelope.envelope_id);
  to = put_number_member(to, R"(,"size":)", outcome.size);
  to = put_text_member_if_any(to, R"(,"site":")", outcome.site);
  const uint16_t attempts = outcome.job != nullptr ? outcome.job->attempt : outcome.attempts;
  if (outcome.kind != Outcome::Kind::received) {
    to = put_number_member(to, R"(,"attempt":)", attempts);
    const int64_t queued_ms = (wall - head.info.arrival).count;
    to = put_number_member(to, R"(,"queued_ms":)",
                           static_cast<uint64_t>(std::max<int64_t>(0, queued_ms)));
  }
  if (outcome.job != nullptr) to = put_attempt(to, outcome, now);
  to = put_next_attempt(to, outcome.next_attempt);
  if (outcome.dsn) {
    to = put(to, R"(,"dsn":")");
    to = put(to, view(to_text(outcome.dsn)));
    *to++ = '"';
  }
  return put(to, "}\n");
}

}  // namespace ringmta::events
