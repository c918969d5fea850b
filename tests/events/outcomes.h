// SPDX-License-Identifier: GPL-3.0-or-later
// Outcomes to record: a message, one recipient, and an attempt behind it if wanted. All views are
// into this object.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>

#include <string>

#include "ringmta/queue/queue.h"

namespace ringmta::events {

inline SocketAddress ipv4(const char* host, uint16_t port) {
  SocketAddress address;
  auto& in = reinterpret_cast<sockaddr_in&>(address.storage);
  in.sin_family = AF_INET;
  in.sin_port = htons(port);
  inet_pton(AF_INET, host, &in.sin_addr);
  address.length = sizeof(in);
  return address;
}

inline SocketAddress ipv6(const char* host, uint16_t port) {
  SocketAddress address;
  auto& in = reinterpret_cast<sockaddr_in6&>(address.storage);
  in.sin6_family = AF_INET6;
  in.sin6_port = htons(port);
  inet_pton(AF_INET6, host, &in.sin6_addr);
  address.length = sizeof(in);
  return address;
}

inline constexpr int64_t kArrivalMs = 1'795'498'934'007;  // 2026-11-24T05:42:14.007Z

struct Sample {
  explicit Sample(queue::Outcome::Kind kind) {
    recipient.address = "bob@example.org";
    head.envelope.reverse_path = "news@example.com";
    head.envelope.recipients = {&recipient, 1};
    head.info.arrival = {kArrivalMs};
    head.info.client = "192.0.2.7";
    outcome.kind = kind;
    outcome.id = message_id_from_text("06NZR4S8G0000");
    outcome.head = &head;
    if (kind != queue::Outcome::Kind::received) outcome.site = "example";  // not routed yet
    outcome.size = 1234;
    job.attempt = 2;
    job.begun = {5'000'000'000};
    job.peer = ipv4("192.0.2.25", 25);
    job.peer_name = "mx.example.org";
    result.phase = smtp::Phase::content;
    result.code = 250;
    result.status = {2, 0, 0};
    result.text = "2.0.0 Ok: queued as 4F1C09AA";
  }
  Sample(const Sample&) = delete;
  Sample& operator=(const Sample&) = delete;

  Sample& with_attempt() {
    outcome.job = &job;
    outcome.result = &result;
    return *this;
  }

  smtp::RecipientView recipient;
  spool::MessageHead head;
  queue::Job job;
  queue::JobRecipient result;
  queue::Outcome outcome;
};

}  // namespace ringmta::events
