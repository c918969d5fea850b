// SPDX-License-Identifier: GPL-3.0-or-later
// What a scrape over a plain socket gets, and that docs/metrics.md describes just that.
#include "ringmta/http/metrics.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "../../src/http/fields.h"
#include "../../src/http/scrape_connection.h"

namespace ringmta::http {
namespace {

SocketAddress loopback4(uint16_t port) {
  SocketAddress address;
  auto& in = reinterpret_cast<sockaddr_in&>(address.storage);
  in.sin_family = AF_INET;
  in.sin_port = htons(port);
  in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.length = sizeof(in);
  return address;
}

SocketAddress loopback6(uint16_t port) {
  SocketAddress address;
  auto& in = reinterpret_cast<sockaddr_in6&>(address.storage);
  in.sin6_family = AF_INET6;
  in.sin6_port = htons(port);
  in.sin6_addr = in6addr_loopback;
  address.length = sizeof(in);
  return address;
}

class Socket final {
 public:
  explicit Socket(int family) : number_(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {}
  ~Socket() { ::close(number_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int get() const { return number_; }

 private:
  int number_;
};

std::string read_all(const Socket& socket) {
  std::string answer;
  char buffer[4096];
  for (ssize_t count; (count = ::recv(socket.get(), buffer, sizeof(buffer), 0)) > 0;) {
    answer.append(buffer, static_cast<size_t>(count));
  }
  return answer;
}

// The whole HTTP answer; empty when the server cannot be reached.
std::string fetch(const SocketAddress& address, const std::string& path = "/metrics") {
  const Socket socket(address.family());
  if (::connect(socket.get(), address.get(), address.length) != 0) return {};
  const std::string request = "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  if (::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL) < 0) return {};
  return read_all(socket);
}

bool is_name(std::string_view text) {
  return !text.empty() && text.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == text.npos;
}

// Name with labels -> value, of the text format. Lines that are neither a comment nor a sample are
// reported.
std::map<std::string, double> samples(const std::string& answer) {
  std::map<std::string, double> found;
  std::istringstream lines(answer.substr(answer.find("\r\n\r\n") + 4));
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line.starts_with("# HELP ") || line.starts_with("# TYPE ")) continue;
    const size_t space = line.rfind(' ');
    const std::string name = line.substr(0, space);
    EXPECT_TRUE(is_name(name.substr(0, name.find('{')))) << line;
    EXPECT_TRUE(name.find('{') == name.npos || name.ends_with('}')) << line;
    char* end = nullptr;
    found[name] = std::strtod(line.c_str() + space + 1, &end);
    EXPECT_EQ(*end, '\0') << line;
  }
  return found;
}

ShardSnapshot snapshot(uint32_t shard) {
  ShardSnapshot made;
  made.shard = shard;
  made.stats_time_ms = 1'795'498'934'500;
  return made;
}

std::unique_ptr<MetricsServer> start(std::vector<ShardSnapshot> snapshots) {
  auto server = MetricsServer::start({loopback4(0)}, [=] { return snapshots; }, "1.2.3");
  EXPECT_TRUE(server) << server.error().message;
  return server ? std::move(*server) : nullptr;
}

std::string scrape(std::vector<ShardSnapshot> snapshots) {
  const auto server = start(std::move(snapshots));
  return fetch(loopback4(server->ports().at(0)));
}

TEST(Metrics, AnswersInTheTextFormat) {
  const std::string answer = scrape({snapshot(0)});
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200")) << answer.substr(0, 100);
  EXPECT_NE(answer.find("Content-Type: text/plain"), std::string::npos);
  EXPECT_NE(answer.find("# HELP ringmta_recipients_delivered_total Recipients for whom"),
            std::string::npos);
  EXPECT_NE(answer.find("# TYPE ringmta_recipients_delivered_total counter"), std::string::npos);
  EXPECT_NE(answer.find("# TYPE ringmta_queue_ready gauge"), std::string::npos);
}

TEST(Metrics, HasTheValuesOfEachShard) {
  ShardSnapshot first = snapshot(0), second = snapshot(1);
  first.queue.delivered = 11;
  second.queue.delivered = 22;
  second.spool.accepting = false;
  const auto found = samples(scrape({first, second}));
  EXPECT_EQ(found.at(R"(ringmta_recipients_delivered_total{shard="0"})"), 11);
  EXPECT_EQ(found.at(R"(ringmta_recipients_delivered_total{shard="1"})"), 22);
  EXPECT_EQ(found.at(R"(ringmta_spool_accepting{shard="0"})"), 1);
  EXPECT_EQ(found.at(R"(ringmta_spool_accepting{shard="1"})"), 0);
  EXPECT_EQ(found.at("ringmta_shards"), 2);
}

TEST(Metrics, TimesAreInSeconds) {
  ShardSnapshot one = snapshot(0);
  one.cpu_time_us = 2'500'000;
  const auto found = samples(scrape({one}));
  EXPECT_EQ(found.at(R"(ringmta_shard_cpu_seconds_total{shard="0"})"), 2.5);
  EXPECT_EQ(found.at(R"(ringmta_shard_snapshot_timestamp_seconds{shard="0"})"), 1'795'498'934.5);
}

TEST(Metrics, TellsTheVersion) {
  EXPECT_EQ(samples(scrape({})).at(R"(ringmta_build_info{version="1.2.3"})"), 1);
}

TEST(Metrics, AShardThatHasPublishedNothingIsLeftOut) {
  ShardSnapshot silent;
  silent.shard = 1;
  const auto found = samples(scrape({snapshot(0), silent}));
  EXPECT_EQ(found.at("ringmta_shards"), 1);
  EXPECT_FALSE(found.contains(R"(ringmta_sessions{shard="1"})"));
}

TEST(Metrics, EachScrapeReadsAnew) {
  std::atomic<uint64_t> messages{1};
  const auto read = [&] {
    ShardSnapshot one = snapshot(0);
    one.server.messages = messages++;
    return std::vector{one};
  };
  const auto server = std::move(*MetricsServer::start({loopback4(0)}, read, "1"));
  const SocketAddress address = loopback4(server->ports().at(0));
  const std::string name = R"(ringmta_messages_received_total{shard="0"})";
  EXPECT_EQ(samples(fetch(address)).at(name), 1);
  EXPECT_EQ(samples(fetch(address)).at(name), 2);
}

TEST(Metrics, EveryFieldIsInTheScrape) {
  const auto found = samples(scrape({snapshot(0)}));
  for (const Field& field : fields()) {
    EXPECT_TRUE(found.contains(std::string(field.metric) + R"({shard="0"})")) << field.metric;
  }
}

TEST(Metrics, OtherPathsAreNotServed) {
  const auto server = start({});
  const std::string answer = fetch(loopback4(server->ports().at(0)), "/etc/passwd");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 404")) << answer.substr(0, 100);
}

TEST(Metrics, HeadHasNoBody) {
  int scrapes = 0;
  const std::string get = answer_to("GET /metrics HTTP/1.1\r\n\r\n", [&] {
    ++scrapes;
    return std::string("text\n");
  });
  const std::string head = answer_to("HEAD /metrics HTTP/1.1\r\n\r\n", [&] {
    ++scrapes;
    return std::string("text\n");
  });
  EXPECT_EQ(get, head + "text\n");
  EXPECT_EQ(scrapes, 2);
}

TEST(Metrics, AQueryIsIgnored) {
  const std::string answer = answer_to("GET /metrics?name[]=x HTTP/1.0", [] { return "text\n"; });
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200")) << answer;
}

TEST(Metrics, OtherMethodsAreRefused) {
  const std::string answer = answer_to("POST /metrics HTTP/1.1", [] { return "text\n"; });
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 405")) << answer;
  EXPECT_NE(answer.find("\r\nAllow: GET, HEAD\r\n"), std::string::npos) << answer;
}

TEST(Metrics, WhatIsNoHttpIsRefused) {
  for (const char* head : {"", " ", "GET", "GET /metrics", "GET /metrics SMTP", "\r\n\r\n"}) {
    const std::string answer = answer_to(head, [] { return "text\n"; });
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 400")) << head << ": " << answer;
  }
}

TEST(Metrics, ARequestWithoutEndIsRefused) {
  const auto server = start({});
  const std::string answer =
      fetch(loopback4(server->ports().at(0)), "/metrics?" + std::string(20'000, 'x'));
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 431")) << answer.substr(0, 100);
}

// What is not read must not make the close reset the connection while the answer is on its way.
TEST(Metrics, ARequestWithABodyStillGetsItsWholeAnswer) {
  const auto server = start({snapshot(0)});
  const SocketAddress address = loopback4(server->ports().at(0));
  const Socket socket(AF_INET);
  const int small = 2048;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
  ASSERT_EQ(::connect(socket.get(), address.get(), address.length), 0);
  const std::string request = "GET /metrics HTTP/1.1\r\n\r\n" + std::string(20'000, 'x');
  ASSERT_GT(::send(socket.get(), request.data(), request.size(), MSG_NOSIGNAL), 0);
  const std::string answer = read_all(socket);
  const std::string expected = fetch(address);
  EXPECT_EQ(answer.size(), expected.size());
}

TEST(Metrics, ASilentClientHoldsNobodyUp) {
  const auto server = start({});
  const SocketAddress address = loopback4(server->ports().at(0));
  const Socket silent(AF_INET);
  ASSERT_EQ(::connect(silent.get(), address.get(), address.length), 0);
  EXPECT_TRUE(fetch(address).starts_with("HTTP/1.1 200"));
}

TEST(Metrics, ARequestInPiecesIsAnswered) {
  const auto server = start({});
  const SocketAddress address = loopback4(server->ports().at(0));
  const Socket slow(AF_INET);
  ASSERT_EQ(::connect(slow.get(), address.get(), address.length), 0);
  const std::string request = "GET /metrics HTTP/1.1\r\n\r\n";
  ASSERT_EQ(::send(slow.get(), request.data(), 10, 0), 10);
  EXPECT_TRUE(fetch(address).starts_with("HTTP/1.1 200"));  // the first piece has been read
  ASSERT_GT(::send(slow.get(), request.data() + 10, request.size() - 10, 0), 0);
  char beginning[12];
  ASSERT_EQ(::recv(slow.get(), beginning, sizeof(beginning), MSG_WAITALL), 12);
  EXPECT_EQ(std::string_view(beginning, 12), "HTTP/1.1 200");
}

TEST(Metrics, ListensOnIpv6) {
  const Socket probe(AF_INET6);
  const SocketAddress any = loopback6(0);
  if (probe.get() < 0 || ::bind(probe.get(), any.get(), any.length) != 0) {
    GTEST_SKIP() << "no IPv6 here";
  }
  const auto server =
      MetricsServer::start({any, loopback4(0)}, [] { return std::vector<ShardSnapshot>{}; }, "1");
  ASSERT_TRUE(server) << server.error().message;
  ASSERT_EQ((*server)->ports().size(), 2u);
  EXPECT_TRUE(fetch(loopback6((*server)->ports()[0])).starts_with("HTTP/1.1 200"));
  EXPECT_TRUE(fetch(loopback4((*server)->ports()[1])).starts_with("HTTP/1.1 200"));
}

TEST(Metrics, APortThatIsTakenIsAnErrorThatNamesIt) {
  const Socket other(AF_INET);
  SocketAddress address = loopback4(0);
  ASSERT_EQ(::bind(other.get(), address.get(), address.length), 0);
  ASSERT_EQ(::listen(other.get(), 1), 0);
  ASSERT_EQ(::getsockname(other.get(), address.get(), &address.length), 0);
  const auto server =
      MetricsServer::start({address}, [] { return std::vector<ShardSnapshot>{}; }, "1");
  ASSERT_FALSE(server);
  EXPECT_NE(server.error().message.find(address.text()), std::string::npos)
      << server.error().message;
  EXPECT_EQ(server.error().code, EADDRINUSE);
}

TEST(Metrics, StopsListeningWhenItIsGone) {
  auto server = start({});
  const SocketAddress address = loopback4(server->ports().at(0));
  server.reset();
  EXPECT_EQ(fetch(address), "");
}

TEST(Fields, FollowTheConventionsOfPrometheus) {
  for (const Field& field : fields()) {
    const std::string metric(field.metric);
    EXPECT_TRUE(is_name(metric) && metric.starts_with("ringmta_")) << metric;
    const bool counter = field.kind == FieldKind::counter || field.kind == FieldKind::microseconds;
    EXPECT_EQ(metric.ends_with("_total"), counter) << metric;
    EXPECT_TRUE(field.help.ends_with('.')) << metric;
  }
}

TEST(Fields, NoNameOccursTwice) {
  std::set<std::string_view> metrics;
  std::set<std::pair<std::string_view, std::string_view>> names;
  for (const Field& field : fields()) {
    EXPECT_TRUE(metrics.insert(field.metric).second) << field.metric;
    EXPECT_TRUE(names.insert({field.group, field.name}).second) << field.name;
  }
}

// A snapshot whose every word is different shows each word once: no field reads another's place.
// (The words of booleans, cpu and shard are told in their own way.)
TEST(Fields, EachReadsAPlaceOfItsOwn) {
  ShardSnapshot numbered;
  std::array<uint64_t, sizeof(ShardSnapshot) / 8> words{};
  for (size_t i = 0; i < words.size(); ++i) words[i] = 1000 + i;
  std::memcpy(static_cast<void*>(&numbered), words.data(), sizeof(words));
  numbered.spool.accepting = numbered.spool.direct = true;
  std::set<uint64_t> values;
  for (const Field& field : fields()) {
    if (field.name == "accepting" || field.name == "direct") continue;
    EXPECT_TRUE(values.insert(field.value(numbered)).second) << field.metric;
  }
  // All words but two: shard with cpu, and the spool's booleans.
  EXPECT_EQ(values.size(), words.size() - 2);
}

TEST(StatusJson, HasTheGroupsAndNamesOfTheTable) {
  ShardSnapshot one = snapshot(3);
  one.queue.ready = 5;
  one.cpu = 2;
  const nlohmann::json object = to_json(one);
  EXPECT_EQ(object.at("queue").at("ready"), 5);
  EXPECT_EQ(object.at("spool").at("accepting"), true);
  EXPECT_EQ(object.at("shard").at("number"), 3);
  EXPECT_EQ(object.at("shard").at("cpu"), 2);
  EXPECT_EQ(object.at("shard").at("stats_time_ms"), 1'795'498'934'500);
}

TEST(StatusJson, OfASite) {
  EXPECT_EQ(to_json(SiteSnapshot{"example", 1, 2, 3, 4, "no answer", 500}),
            nlohmann::json::parse(R"({"name": "example", "ready": 1, "deferred": 2, "active": 3,
              "connections": 4, "held_reason": "no answer", "held_for_ms": 500})"));
}

TEST(Reference, DescribesEveryMetricAndNoOther) {
  const char* const source = std::getenv("RINGMTA_SOURCE");
  ASSERT_NE(source, nullptr) << "RINGMTA_SOURCE: where the source lies";
  std::ifstream file(std::string(source) + "/docs/metrics.md");
  ASSERT_TRUE(file);
  std::vector<std::string> rows, expected;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("| `ringmta_")) rows.push_back(line);
  }
  for (const Field& field : fields()) {
    const bool counter = field.kind == FieldKind::counter || field.kind == FieldKind::microseconds;
    std::ostringstream row;
    row << "| `" << field.metric << "` | `" << field.group << "." << field.name << "` | "
        << (counter ? "counter" : "gauge") << " | " << field.help << " |";
    expected.push_back(row.str());
  }
  EXPECT_EQ(rows, expected);
}

}  // namespace
}  // namespace ringmta::http
