// SPDX-License-Identifier: GPL-3.0-or-later
// What the SMTP client's protocol work costs per transaction: envelope written, replies parsed and
// matched, verdicts told; no I/O. Target: under 0.7 us for one recipient.
#include <benchmark/benchmark.h>

#include <string>
#include <string_view>
#include <vector>

#include "ringmta/smtp/client_session.h"
#include "ringmta/smtp/reply.h"

namespace ringmta::smtp {
namespace {

struct Talk {
  explicit Talk(const ClientOptions& options) : session(options) {
    feed("220 mx.example.net ESMTP\r\n");
    feed(
        "250-mx.example.net\r\n250-PIPELINING\r\n250-SIZE "
        "52428800\r\n250-8BITMIME\r\n250-DSN\r\n250-CHUNKING\r\n"
        "250-ENHANCEDSTATUSCODES\r\n250 SMTPUTF8\r\n");
    recipients.push_back({"somebody.else@customer.example.org", {}, 0});
    transaction.envelope.reverse_path = "bounces+1234567890@sender.example.com";
    transaction.content.wire_size = 1024;
  }
  void feed(std::string_view input) {
    while (true) {
      const ClientSession::Step step = session.step(as_bytes(input));
      input.remove_prefix(step.consumed);
      if (step.action == ClientSession::Action::more) break;
      verdicts += step.action == ClientSession::Action::recipient;
    }
    parts.clear();
    session.take_output(parts);
    if (parts.empty()) return;
    benchmark::DoNotOptimize(parts.data());
    session.output_sent();
  }
  void begin() {
    transaction.envelope.recipients = recipients;
    session.begin(transaction);
  }
  ClientSession session;
  std::vector<RecipientView> recipients;
  Transaction transaction;
  std::vector<ClientSession::OutputPart> parts;
  uint64_t verdicts = 0;
};

constexpr std::string_view kEnvelopeReplies = "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n";
constexpr std::string_view kGo = "354 End data with <CR><LF>.<CR><LF>\r\n";
constexpr std::string_view kTaken = "250 2.0.0 Ok: queued as 4C1vQJ2ZxXz9s0B\r\n";

// DATA, each envelope right behind the last closing dot: one write and one read per transaction.
void data_pipelined(benchmark::State& state) {
  ClientOptions options;
  options.chunking = false;
  Talk talk(options);
  const std::string replies =
      std::string(kTaken) + std::string(kEnvelopeReplies) + std::string(kGo);
  talk.begin();
  talk.feed("");
  talk.feed(std::string(kEnvelopeReplies) + std::string(kGo));
  for (auto _ : state) {
    talk.begin();
    talk.feed("");
    talk.feed(replies);
  }
  state.SetItemsProcessed(static_cast<int64_t>(talk.verdicts));
}
BENCHMARK(data_pipelined);

// BDAT, four transactions in one write, their replies in one read; an item is one of them.
void chunked_four_deep(benchmark::State& state) {
  Talk talk(ClientOptions{});
  const std::string first = std::string(kEnvelopeReplies) + std::string(kTaken);
  std::string replies = first;
  for (int i = 0; i < 3; ++i) replies += "250 2.0.0 Ok\r\n" + first;
  for (auto _ : state) {
    for (int i = 0; i < 4; ++i) talk.begin();
    talk.feed("");
    talk.feed(replies);
  }
  state.SetItemsProcessed(static_cast<int64_t>(talk.verdicts));
}
BENCHMARK(chunked_four_deep);

// No PIPELINING: four writes and four reads per transaction.
void lock_step(benchmark::State& state) {
  ClientOptions options;
  options.pipelining = options.chunking = false;
  Talk talk(options);
  for (auto _ : state) {
    talk.begin();
    talk.feed("");
    talk.feed("250 2.1.0 Ok\r\n");
    talk.feed("250 2.1.5 Ok\r\n");
    talk.feed(kGo);
    talk.feed(kTaken);
  }
  state.SetItemsProcessed(static_cast<int64_t>(talk.verdicts));
}
BENCHMARK(lock_step);

// A hundred recipients in one transaction; an item is a recipient.
void hundred_recipients(benchmark::State& state) {
  Talk talk(ClientOptions{});
  talk.recipients.resize(100, talk.recipients[0]);
  std::string replies = "250 2.1.0 Ok\r\n";
  for (int i = 0; i < 100; ++i) replies += "250 2.1.5 Ok\r\n";
  replies += kTaken;
  for (auto _ : state) {
    talk.begin();
    talk.feed("");
    talk.feed(replies);
  }
  state.SetItemsProcessed(static_cast<int64_t>(talk.verdicts));
}
BENCHMARK(hundred_recipients);

void reply_parse(benchmark::State& state) {
  ReplyParser parser;
  for (auto _ : state) {
    benchmark::DoNotOptimize(parser.step(as_bytes(kTaken)));
  }
}
BENCHMARK(reply_parse);

}  // namespace
}  // namespace ringmta::smtp

BENCHMARK_MAIN();
