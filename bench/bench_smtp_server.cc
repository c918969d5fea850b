// SPDX-License-Identifier: GPL-3.0-or-later
// What the SMTP server's protocol work costs per message, without I/O and storage: commands parsed,
// envelope kept, content of 1 KB scanned, replies written. Target: well under 1 us.
#include <benchmark/benchmark.h>

#include <string>
#include <string_view>

#include "ringmta/smtp/grammar.h"
#include "ringmta/smtp/server_session.h"
#include "ringmta/smtp/trace.h"

namespace ringmta::smtp {
namespace {

constexpr std::string_view kMail =
    "MAIL FROM:<bounces+1234567890@sender.example.com> SIZE=1024\r\n";
constexpr std::string_view kRecipient = "RCPT TO:<somebody.else@customer.example.org>\r\n";

std::string content() {
  std::string text =
      "From: News <news@sender.example>\r\nTo: somebody@customer.example\r\n"
      "Subject: What is new this week\r\nDate: Tue, 01 Jul 2025 12:00:05 +0000\r\n"
      "Message-ID: <1234567890@sender.example>\r\nMIME-Version: 1.0\r\n"
      "Content-Type: text/plain; charset=utf-8\r\n\r\n";
  while (text.size() < 1000) text += std::string(70, 'x') + "\r\n";
  return text;
}

struct Talk {
  Talk() : session(options, true) {
    session.greet();
    say("EHLO client.sender.example\r\n");
  }
  void say(std::string_view input) {
    while (true) {
      const ServerSession::Step step = session.step(as_bytes(input));
      input.remove_prefix(step.consumed);
      switch (step.action) {
        case ServerSession::Action::message_begin:
          session.accept_message();
          break;
        case ServerSession::Action::body:
          benchmark::DoNotOptimize(step.body.data());
          break;
        case ServerSession::Action::message_end:
          ++messages;
          recipients += session.envelope().recipients.size();
          session.message_done("250 2.0.0 Ok: queued as 4C1VQJ2ZXXZ9S");
          break;
        default:
          output.clear();
          session.take_output(output);
          benchmark::DoNotOptimize(output.data());
          return;
      }
    }
  }
  ServerOptions options;
  ServerSession session;
  std::string output;
  uint64_t messages = 0, recipients = 0;
};

// One read per command, as a client without PIPELINING sends them.
void lock_step(benchmark::State& state) {
  Talk talk;
  const std::string data = content() + ".\r\n";
  for (auto _ : state) {
    talk.say(kMail);
    talk.say(kRecipient);
    talk.say("DATA\r\n");
    talk.say(data);
  }
  state.SetItemsProcessed(static_cast<int64_t>(talk.messages));
}
BENCHMARK(lock_step);

// The content and the next envelope in one read.
void pipelined(benchmark::State& state) {
  Talk talk;
  const std::string envelope = std::string(kMail) + std::string(kRecipient) + "DATA\r\n";
  const std::string said = content() + ".\r\n" + envelope;
  talk.say(envelope);
  for (auto _ : state) talk.say(said);
  state.SetItemsProcessed(static_cast<int64_t>(talk.messages));
}
BENCHMARK(pipelined);

void chunked(benchmark::State& state) {
  Talk talk;
  const std::string text = content();
  const std::string said = std::string(kMail) + std::string(kRecipient) + "BDAT " +
                           std::to_string(text.size()) + " LAST\r\n" + text;
  for (auto _ : state) talk.say(said);
  state.SetItemsProcessed(static_cast<int64_t>(talk.messages));
}
BENCHMARK(chunked);

// An item is a recipient.
void hundred_recipients(benchmark::State& state) {
  Talk talk;
  std::string said(kMail);
  for (int i = 0; i < 100; ++i) said += kRecipient;
  said += "DATA\r\n" + content() + ".\r\n";
  for (auto _ : state) talk.say(said);
  state.SetItemsProcessed(static_cast<int64_t>(talk.recipients));
}
BENCHMARK(hundred_recipients);

void session_of_one_message(benchmark::State& state) {
  const std::string said = "EHLO client.sender.example\r\n" + std::string(kMail) +
                           std::string(kRecipient) + "DATA\r\n" + content() + ".\r\nQUIT\r\n";
  for (auto _ : state) {
    Talk talk;
    talk.say(said);
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()));
}
BENCHMARK(session_of_one_message);

void path(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(parse_path("<somebody.else@customer.example.org>"));
  }
}
BENCHMARK(path);

void trace_lines(benchmark::State& state) {
  DateCache dates;
  TraceFacts facts;
  facts.helo = "client.sender.example";
  facts.client_literal = "192.0.2.1";
  facts.hostname = "relay.sender.example";
  facts.id = "0123456789ABC";
  facts.for_recipient = "somebody.else@customer.example.org";
  facts.esmtp = true;
  facts.now = WallTime{1'751'371'205'999};
  std::string text;
  for (auto _ : state) {
    text.clear();
    append_trace(text, facts, dates);
    benchmark::DoNotOptimize(text.data());
  }
}
BENCHMARK(trace_lines);

}  // namespace
}  // namespace ringmta::smtp

BENCHMARK_MAIN();
