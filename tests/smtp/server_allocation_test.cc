// SPDX-License-Identifier: GPL-3.0-or-later
// Once warm, commands and messages allocate nothing. A program of its own, since it counts every
// operator new.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>
#include <string>
#include <string_view>

#include "ringmta/smtp/server_session.h"
#include "ringmta/smtp/trace.h"

namespace {
uint64_t allocations = 0;
}  // namespace

[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  void* memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace ringmta::smtp {
namespace {

struct Owner {
  explicit Owner(const ServerOptions& options) : session(options, true) { output.reserve(8192); }
  void say(std::string_view input) {
    while (true) {
      const ServerSession::Step step = session.step(as_bytes(input));
      input.remove_prefix(step.consumed);
      if (step.action == ServerSession::Action::more) break;
      if (step.action == ServerSession::Action::message_begin) session.accept_message();
      if (step.action == ServerSession::Action::body) octets += step.body.size();
      if (step.action == ServerSession::Action::message_end) {
        recipients += session.envelope().recipients.size();
        ++messages;
      }
    }
    while (session.pending() > 0) {
      session.message_done("250 2.0.0 Ok: queued as 4C1VQJ2ZXXZ9S");
    }
    output.clear();
    session.take_output(output);
  }
  ServerSession session;
  std::string output;
  uint64_t octets = 0, recipients = 0, messages = 0;
};

// Allocations of the last 90 of 100 rounds.
uint64_t warm_allocations(const std::string& said, size_t piece) {
  ServerOptions options;
  options.errors_max = 0;
  Owner owner(options);
  owner.session.greet();
  owner.say("EHLO client.with.a.rather.long.name.example\r\n");
  uint64_t before = 0;
  for (int round = 0; round < 100; ++round) {
    if (round == 10) before = allocations;
    for (size_t at = 0; at < said.size(); at += piece) {
      owner.say(std::string_view(said).substr(at, piece));
    }
  }
  EXPECT_GE(owner.messages, 100U);
  EXPECT_GE(owner.recipients, 1000U);
  return allocations - before;
}

std::string envelope() {
  std::string text =
      "MAIL FROM:<bounces+1234567890@sender.example> SIZE=1024 BODY=8BITMIME RET=HDRS "
      "ENVID=abc\r\n";
  for (int i = 0; i < 10; ++i) {
    text +=
        "RCPT TO:<somebody.with.a.name@some.domain.example> NOTIFY=FAILURE,DELAY "
        "ORCPT=rfc822;somebody.else@another.example\r\n";
  }
  return text;
}

const std::string kContent = "Subject: x\r\nDate: y\r\n\r\n" + std::string(1000, 'x') + "\r\n";

TEST(ServerAllocation, WarmMessages) {
  const std::string data = envelope() + "DATA\r\n" + kContent + ".\r\n";
  const std::string chunk =
      envelope() + "BDAT " + std::to_string(kContent.size()) + " LAST\r\n" + kContent;
  for (const size_t piece : {data.size(), size_t{100}, size_t{7}}) {
    EXPECT_EQ(warm_allocations(data, piece), 0U) << piece;
    EXPECT_EQ(warm_allocations(chunk, piece), 0U) << piece;
  }
}

TEST(ServerAllocation, WarmCommandsAndRefusals) {
  const std::string said =
      "NOOP\r\nRSET\r\nVRFY x\r\nfoo\r\nRCPT TO:<a>\r\nEHLO client.with.a.rather.long.name.example"
      "\r\nMAIL FROM:<a@b> SIZE=99999999999\r\n" +
      envelope() + "RCPT TO:<x>\r\nBDAT 5 LAST\r\na\nb\r\n" + envelope() + "DATA\r\n" + kContent +
      ".\r\n";
  EXPECT_EQ(warm_allocations(said, said.size()), 0U);
  EXPECT_EQ(warm_allocations(said, 13), 0U);
}

TEST(ServerAllocation, TraceLines) {
  DateCache dates;
  TraceFacts facts;
  facts.helo = "client.with.a.rather.long.name.example";
  facts.client_literal = "192.0.2.1";
  facts.hostname = "relay.example";
  facts.id = "0123456789ABC";
  facts.for_recipient = "somebody.with.a.name@some.domain.example";
  facts.add_date = facts.add_message_id = true;
  std::string trace;
  append_trace(trace, facts, dates);
  const uint64_t before = allocations;
  for (int64_t second = 0; second < 100; ++second) {
    trace.clear();
    facts.now = WallTime{second * 1000};
    append_trace(trace, facts, dates);
  }
  EXPECT_EQ(allocations, before);
}

}  // namespace
}  // namespace ringmta::smtp
