// SPDX-License-Identifier: GPL-3.0-or-later
// Once warm, replies and transactions allocate nothing. A program of its own, since it counts every
// operator new.
#include <gtest/gtest.h>

#include <cstdlib>
#include <new>
#include <string_view>
#include <vector>

#include "ringmta/smtp/client_session.h"
#include "ringmta/smtp/reply.h"

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

TEST(ClientAllocation, WarmReplyParser) {
  ReplyParser parser;
  constexpr std::string_view kReplies =
      "250 2.1.0 Ok, this text is longer than any small string buffer\r\n"
      "250-5 lines\r\n250 two of them, the second one being of some length as well\r\n";
  const auto run = [&] {
    std::string_view rest = kReplies;
    while (!rest.empty()) rest.remove_prefix(parser.step(as_bytes(rest)).consumed);
  };
  run();
  const uint64_t before = allocations;
  for (int i = 0; i < 100; ++i) run();
  EXPECT_EQ(allocations, before);
}

void talk(ClientSession& session, std::vector<ClientSession::OutputPart>& parts,
          std::string_view input) {
  while (true) {
    const ClientSession::Step step = session.step(as_bytes(input));
    input.remove_prefix(step.consumed);
    if (step.action == ClientSession::Action::more) break;
  }
  parts.clear();
  session.take_output(parts);
  if (!parts.empty()) session.output_sent();
}

// `chunking`: by BDAT; else by DATA. `pipelining` false: lock-step.
uint64_t allocations_of_warm_transactions(bool pipelining, bool chunking) {
  ClientOptions options;
  options.pipelining = pipelining;
  options.chunking = chunking;
  ClientSession session(options);
  std::vector<ClientSession::OutputPart> parts;
  talk(session, parts, "220 mx\r\n");
  talk(session, parts, "250-mx\r\n250-PIPELINING\r\n250-SIZE\r\n250-DSN\r\n250 CHUNKING\r\n");
  const std::vector<RecipientView> recipients(10,
                                              {"somebody.with.a.name@some.domain.example", {}, 0});
  Transaction transaction;
  transaction.envelope.reverse_path = "bounces+1234567890@sender.example";
  transaction.envelope.recipients = recipients;
  transaction.content.wire_size = 1024;
  uint64_t before = 0;
  for (int i = 0; i < 100; ++i) {
    if (i == 10) before = allocations;
    session.begin(transaction);
    talk(session, parts, "");
    talk(session, parts, "250 2.1.0 Ok, a sender as good as any other of its kind\r\n");
    for (size_t k = 0; k < recipients.size(); ++k) {
      talk(session, parts,
           k == 0 ? "550 5.1.1 somebody we do not know and have never heard of\r\n"
                  : "250 2.1.5 Ok, a recipient as good as any other\r\n");
    }
    if (!chunking) talk(session, parts, "354 End data with <CR><LF>.<CR><LF>\r\n");
    talk(session, parts, "250 2.0.0 Ok: queued as 4C1vQJ2ZxXz9s0B\r\n");
    EXPECT_EQ(session.transactions_open(), 0U);
  }
  return allocations - before;
}

TEST(ClientAllocation, WarmTransactions) {
  EXPECT_EQ(allocations_of_warm_transactions(true, true), 0U);
  EXPECT_EQ(allocations_of_warm_transactions(true, false), 0U);
  EXPECT_EQ(allocations_of_warm_transactions(false, true), 0U);
  EXPECT_EQ(allocations_of_warm_transactions(false, false), 0U);
}

}  // namespace
}  // namespace ringmta::smtp
