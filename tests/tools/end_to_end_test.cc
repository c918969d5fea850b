// SPDX-License-Identifier: GPL-3.0-or-later
// The load straight into the sink, as programs over loopback: every mode, and what both report.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>

#include "programs.h"
#include "tools/load/mail.h"

namespace ringmta::tools {
namespace {

using Options = std::vector<std::string>;

struct Mode {
  const char* name;
  Options load;
  Options sink;
};

class EveryMode : public testing::TestWithParam<Mode> {};

TEST_P(EveryMode, EveryMessageArrivesOnceAndUnchanged) {
  const Scratch scratch;
  SinkProgram sink(scratch, GetParam().sink);
  Options options = GetParam().load;
  options.insert(options.begin(), {"--messages", "1500"});
  const Outcome load = run_load(scratch, sink.address(), options);
  const Outcome report = sink.finish();
  ASSERT_EQ(load.exit_code, 0) << load.output;
  ASSERT_EQ(report.exit_code, 0) << report.output;
  const auto sent = load.json();
  const auto got = report.json();
  EXPECT_EQ(sent["accepted"], 1500);
  EXPECT_EQ(sent["recipients_accepted"], got["verify"]["deliveries_unique"]);
  EXPECT_EQ(sent["octets"], got["octets"]);
  EXPECT_EQ(got["verify"]["good"], got["messages"]);
  EXPECT_EQ(got["bad_commands"], 0);
  EXPECT_EQ(got["early_input"], 0);
  EXPECT_EQ(got["connections_broken"], 0);
  EXPECT_EQ(sent["connections_lost"], 0);
  EXPECT_EQ(sent["books"]["replies_250"], sent["accepted"]);
  EXPECT_EQ(sent["books"]["booked"], sent["accepted"]);
  EXPECT_EQ(sent["books"]["balance"], true);
  uint64_t samples = 0;
  for (const auto& bar : sent["latency_histogram"]) samples += bar["count"].get<uint64_t>();
  EXPECT_EQ(samples, sent["accepted"]);
}

INSTANTIATE_TEST_SUITE_P(
    EndToEnd, EveryMode,
    testing::Values(
        Mode{"Pipelined", {}, {}}, Mode{"LockStep", {"--pipelining", "off"}, {}},
        Mode{"Chunked", {"--pipelining", "bdat"}, {}},
        Mode{"ChunkedWithoutPipelining", {"--pipelining", "bdat"}, {"--no-pipelining"}},
        Mode{"NothingOffered",
             {"--pipelining", "bdat"},
             {"--no-pipelining", "--no-chunking", "--no-8bitmime", "--no-smtputf8", "--no-dsn"}},
        Mode{"OneConnectionPerMessage", {"--messages-per-session", "1"}, {}},
        Mode{"OneConnectionPerMessageLockStep",
             {"--messages-per-session", "1", "--pipelining", "off"},
             {}},
        Mode{"SeveralRecipients", {"--recipients", "7", "--domains", "50"}, {}},
        Mode{"Newsletters", {"--size", "mix", "--sessions", "20"}, {}},
        Mode{
            "LargeChunked", {"--size", "300k-600k", "--pipelining", "bdat", "--sessions", "4"}, {}},
        Mode{"TwoThreadsEach", {"--threads", "2"}, {"--threads", "2"}},
        Mode{"NullReversePath", {"--from", ""}, {}}),
    [](const auto& one) { return std::string(one.param.name); });

std::string message_without_envelope(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  std::string text = content.str();
  while (text.starts_with("X-Sink-")) text.erase(0, text.find("\r\n") + 2);
  return text;
}

TEST(EndToEnd, FilesArriveAsTheyAreAndAreRecorded) {
  const Scratch scratch;
  const std::filesystem::path from = scratch / "from";
  const std::filesystem::path to = scratch / "to";
  std::filesystem::create_directory(from);
  std::filesystem::create_directory(to);
  const std::string texts[] = {"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n", "", "no header at all\r\n",
                               "Subject: gr\xC3\xBC\xC3\x9F\r\n\r\n\xFF\xFE 8-bit\r\n",
                               "Subject: long\r\n\r\n" + std::string(3'000'000, 'x') + "\r\n"};
  std::multiset<std::string> wanted;
  for (size_t i = 0; i < std::size(texts); ++i) {
    std::ofstream(from / (std::to_string(i) + ".eml"), std::ios::binary) << texts[i];
    wanted.insert(texts[i]);
  }
  for (const char* mode : {"on", "bdat"}) {
    SinkProgram sink(scratch, {"--record", to.string()});
    EXPECT_EQ(
        run_load(scratch, sink.address(), {"--directory", from.string(), "--pipelining", mode})
            .exit_code,
        0);
    EXPECT_EQ(sink.finish().exit_code, 0);
    std::multiset<std::string> got;
    for (const auto& entry : std::filesystem::directory_iterator(to)) {
      got.insert(message_without_envelope(entry.path()));
      std::filesystem::remove(entry.path());
    }
    EXPECT_EQ(got, wanted);
    std::filesystem::remove(scratch / "ready");
  }
}

TEST(EndToEnd, RefusalsAreCountedByCode) {
  const Scratch scratch;
  const std::string rules = scratch.write("rules.toml", R"(
    [[rule]]
    phase = "rcpt"
    recipient = "r*1-0000@*"
    reply = "550 5.1.1 no such user"
    [[rule]]
    phase = "dot"
    recipient = "r*2-0000@*"
    reply = "451 4.3.0 later"
    [[rule]]
    phase = "mail"
    limit = 30
    reply = "452 4.3.1 full"
  )");
  for (const char* mode : {"on", "off", "bdat"}) {
    SinkProgram sink(scratch, {"--replies", rules});
    const Outcome load =
        run_load(scratch, sink.address(), {"--messages", "1000", "--pipelining", mode});
    EXPECT_EQ(load.exit_code, 1);
    sink.finish();
    const auto sent = load.json();
    const auto& refusals = sent["refusals"];
    EXPECT_EQ(refusals["452"]["count"], 30) << load.output;
    EXPECT_EQ(sent["accepted"].get<int>() + sent["rejected"].get<int>(), 1000);
    EXPECT_EQ(refusals["550"]["count"].get<int>() + refusals["451"]["count"].get<int>() + 30,
              sent["rejected"]);
    EXPECT_NEAR(refusals["550"]["count"].get<int>(), 100, 10);
    EXPECT_EQ(refusals["550"]["text"], "5.1.1 no such user");
    EXPECT_EQ(sent["unknown"], 0);
    std::filesystem::remove(scratch / "ready");
  }
}

TEST(EndToEnd, GreylistedMailGoesThroughWithRetry) {
  const Scratch scratch;
  const std::string rules = scratch.write(
      "rules.toml",
      "[[rule]]\nphase = \"rcpt\"\nfirst = 1\nshare = 0.5\nreply = \"451 4.7.1 greylisted\"\n");
  for (const char* mode : {"on", "off", "bdat"}) {
    SinkProgram sink(scratch, {"--replies", rules});
    const Outcome load = run_load(scratch, sink.address(),
                                  {"--messages", "400", "--recipients", "3", "--pipelining", mode,
                                   "--retry", "20", "--retry-delay", "20"});
    const Outcome report = sink.finish();
    EXPECT_EQ(load.exit_code, 0) << load.output;
    EXPECT_EQ(report.exit_code, 0) << report.output;
    EXPECT_GT(load.json()["retries"], 200);
    EXPECT_EQ(load.json()["recipients_accepted"], report.json()["verify"]["deliveries_unique"]);
    std::filesystem::remove(scratch / "ready");
  }
}

TEST(EndToEnd, LostAfterTheDotIsUnknownAndLostBeforeIsSentAgain) {
  const Scratch scratch;
  const std::string rules = scratch.write("rules.toml", R"(
    [[rule]]
    phase = "dot"
    limit = 5
    drop = "before"
    [[rule]]
    phase = "data"
    limit = 5
    reset = true
  )");
  SinkProgram sink(scratch, {"--replies", rules});
  const Outcome load = run_load(scratch, sink.address(), {"--messages", "1000"});
  const auto report = sink.finish().json();
  const auto sent = load.json();
  EXPECT_EQ(load.exit_code, 1);
  EXPECT_EQ(sent["unknown"].get<size_t>(), sent["unknown_indexes"].size());
  EXPECT_GE(sent["unknown"], 5);
  EXPECT_LE(sent["unknown"], 10);
  EXPECT_EQ(sent["accepted"].get<int>() + sent["unknown"].get<int>(), 1000) << load.output;
  EXPECT_GE(sent["connections_lost"], 10);
  EXPECT_EQ(report["messages_dropped"], 5);
  EXPECT_EQ(report["verify"]["duplicates"], 0);
}

TEST(EndToEnd, RepliesInPiecesAndLateAreUnderstood) {
  const Scratch scratch;
  const std::string rules = scratch.write("rules.toml", R"(
    [[rule]]
    phase = "ehlo"
    split = 7
    split_gap = 4
    [[rule]]
    phase = "rcpt"
    share = 0.3
    split = 1
    [[rule]]
    phase = "dot"
    share = 0.2
    delay = 30
    [[rule]]
    phase = "connect"
    delay = 20
  )");
  SinkProgram sink(scratch, {"--replies", rules});
  const Outcome load = run_load(scratch, sink.address(), {"--messages", "500"});
  EXPECT_EQ(load.exit_code, 0) << load.output;
  EXPECT_EQ(sink.finish().exit_code, 0);
  EXPECT_GE(load.json()["latency_ms"]["max"], 30.0);
  EXPECT_LT(load.json()["latency_ms"]["p50"], load.json()["latency_ms"]["max"]);
}

TEST(EndToEnd, StalledConnectionsTimeOut) {
  const Scratch scratch;
  const std::string rules =
      scratch.write("rules.toml", "[[rule]]\nphase = \"mail\"\nlimit = 2\nstall = true\n");
  SinkProgram sink(scratch, {"--replies", rules});
  const Outcome load =
      run_load(scratch, sink.address(), {"--messages", "100", "--timeout", "1", "--sessions", "5"});
  EXPECT_EQ(load.exit_code, 0) << load.output;
  EXPECT_EQ(load.json()["connections_lost"], 2);
  EXPECT_EQ(sink.finish().exit_code, 0);
}

TEST(EndToEnd, RateIsKept) {
  const Scratch scratch;
  SinkProgram sink(scratch, {});
  const Outcome load = run_load(scratch, sink.address(), {"--messages", "300", "--rate", "300"});
  EXPECT_EQ(load.exit_code, 0);
  EXPECT_NEAR(load.json()["seconds"].get<double>(), 1.0, 0.25);
  EXPECT_EQ(sink.finish().exit_code, 0);
}

TEST(EndToEnd, RefusedConnectionsAreReported) {
  const Scratch scratch;
  std::string address;
  {
    SinkProgram sink(scratch, {});
    address = sink.address();
    sink.finish();
  }
  const Outcome load = run_load(scratch, address, {"--messages", "10", "--connect-patience", "1"});
  EXPECT_EQ(load.exit_code, 1);
  EXPECT_EQ(load.json()["unsent"], 10);
  EXPECT_NE(load.json()["connect_error"].get<std::string>().find(address), std::string::npos);
}

TEST(EndToEnd, SinkLeavesByItselfAndReportsListeners) {
  const Scratch scratch;
  const std::string report_file = scratch / "report.json";
  SinkProgram sink(scratch, {"--messages", "600", "--report-file", report_file},
                   "127.0.1.1-127.0.1.3:0");
  ASSERT_EQ(sink.addresses().size(), 3U);
  std::string targets;
  for (const std::string& address : sink.addresses())
    targets += (targets.empty() ? "" : ",") + address;
  EXPECT_EQ(run_load(scratch, targets, {"--messages", "600", "--sessions", "6"}).exit_code, 0);
  const Outcome report = sink.program().wait(20);
  EXPECT_EQ(report.exit_code, 0);
  const auto got = report.json();
  ASSERT_EQ(got["listeners"].size(), 3U);
  for (const auto& listener : got["listeners"]) {
    EXPECT_EQ(listener["connections"], 2);
    EXPECT_EQ(listener["connections_peak"], 2);
  }
  EXPECT_EQ(got["connections_peak"], 6);
  EXPECT_TRUE(std::filesystem::exists(report_file));
}

TEST(EndToEnd, SinkReportsOnSignal) {
  const Scratch scratch;
  const std::string report_file = scratch / "report.json";
  SinkProgram sink(scratch, {"--report-file", report_file});
  EXPECT_EQ(run_load(scratch, sink.address(), {"--messages", "50"}).exit_code, 0);
  sink.program().signal(SIGUSR1);
  for (int tries = 0; tries < 500 && !std::filesystem::exists(report_file); ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  std::ifstream file(report_file);
  EXPECT_EQ(nlohmann::json::parse(file)["messages"], 50);
  EXPECT_EQ(sink.finish().exit_code, 0);
}

TEST(EndToEnd, SameMessagesTwiceAreDuplicates) {
  const Scratch scratch;
  SinkProgram sink(scratch, {});
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(run_load(scratch, sink.address(), {"--messages", "20", "--run", "same"}).exit_code,
              0);
  }
  const Outcome report = sink.finish();
  EXPECT_EQ(report.exit_code, 1);
  EXPECT_EQ(report.json()["verify"]["duplicates"], 20);
}

}  // namespace
}  // namespace ringmta::tools
