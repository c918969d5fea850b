// SPDX-License-Identifier: GPL-3.0-or-later
// What an event line says, read by a JSON parser not of our making.
#include "../../src/events/line.h"

#include <gtest/gtest.h>
#include <sys/un.h>

#include <cstdlib>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "outcomes.h"

namespace ringmta::events {
namespace {

using nlohmann::json;
using Kind = queue::Outcome::Kind;
using namespace std::string_literals;

constexpr Monotonic kNow{5'250'000'000};
constexpr WallTime kWall{kArrivalMs + 1500};

std::string compose(LineComposer& composer, const Sample& sample, WallTime wall = kWall) {
  std::string line(composer.bound(sample.outcome), '\0');
  char* const end = composer.compose(line.data(), sample.outcome, kNow, wall);
  EXPECT_LE(end, line.data() + line.size());
  line.resize(static_cast<size_t>(end - line.data()));
  return line;
}

std::string compose(const Sample& sample) {
  LineComposer composer("relay.example.com", ShardId{3});
  return compose(composer, sample);
}

std::set<std::string> members(const json& object) {
  std::set<std::string> names;
  for (const auto& [name, value] : object.items()) names.insert(name);
  return names;
}

// The value that comes out of a JSON parser when `text` was a sender.
std::string through_json(std::string_view text) {
  Sample sample(Kind::received);
  sample.head.envelope.reverse_path = text;
  return json::parse(compose(sample)).at("sender").get<std::string>();
}

TEST(Line, ReceivedSaysWhatIsKnown) {
  Sample sample(Kind::received);
  EXPECT_EQ(json::parse(compose(sample)), json::parse(R"({
    "event": "received", "time": "2026-11-24T05:42:15.507Z", "id": "06NZR4S8G0000",
    "hostname": "relay.example.com", "shard": 3, "client": "192.0.2.7",
    "sender": "news@example.com", "recipient": "bob@example.org",
    "size": 1234})"));
}

TEST(Line, DeliveredSaysHowItWent) {
  Sample sample(Kind::delivered);
  EXPECT_EQ(json::parse(compose(sample.with_attempt())), json::parse(R"({
    "event": "delivered", "time": "2026-11-24T05:42:15.507Z", "id": "06NZR4S8G0000",
    "hostname": "relay.example.com", "shard": 3, "client": "192.0.2.7",
    "sender": "news@example.com", "recipient": "bob@example.org", "size": 1234,
    "site": "example", "attempt": 2, "queued_ms": 1500, "peer": "192.0.2.25:25",
    "peer_name": "mx.example.org", "code": 250, "status": "2.0.0",
    "reply": "2.0.0 Ok: queued as 4F1C09AA", "phase": "content", "delivery_ms": 250})"));
}

TEST(Line, DeferredNamesTheNextAttempt) {
  Sample sample(Kind::deferred);
  sample.outcome.next_attempt = {kArrivalMs + 61'500};
  const json line = json::parse(compose(sample.with_attempt()));
  EXPECT_EQ(line.at("event"), "deferred");
  EXPECT_EQ(line.at("next_attempt"), "2026-11-24T05:43:15.507Z");
}

json line_of(const queue::Held& held) {
  LineComposer composer("relay.example.com", ShardId{3});
  std::string line(composer.bound(held), '\0');
  char* const end = composer.compose(line.data(), held, kWall);
  EXPECT_LE(end, line.data() + line.size());
  line.resize(static_cast<size_t>(end - line.data()));
  EXPECT_TRUE(line.starts_with("{\"event\":\"") && line.ends_with("}\n")) << line;
  return json::parse(line);
}

TEST(Line, HeldIsAboutASiteOrADomain) {
  queue::Held held;
  held.site = "mx \"one\"";
  held.waiting = 1000;
  held.status = {4, 4, 1};
  held.text = "connection refused";
  held.next_attempt = {kArrivalMs + 61'500};
  EXPECT_EQ(line_of(held), json::parse(R"({
    "event": "held", "time": "2026-11-24T05:42:15.507Z", "hostname": "relay.example.com",
    "shard": 3, "site": "mx \"one\"", "waiting": 1000, "status": "4.4.1",
    "reply": "connection refused", "next_attempt": "2026-11-24T05:43:15.507Z"})"));
  held = {};
  held.domain = "example.net";
  held.code = 451;
  held.peer_name = "mx.example.net";
  EXPECT_EQ(line_of(held), json::parse(R"({
    "event": "held", "time": "2026-11-24T05:42:15.507Z", "hostname": "relay.example.com",
    "shard": 3, "domain": "example.net", "waiting": 0, "peer_name": "mx.example.net",
    "code": 451})"));
}

TEST(Line, BouncedNamesItsDsn) {
  Sample sample(Kind::bounced);
  sample.outcome.dsn = message_id_from_text("06NZR4S8G0042");
  const json line = json::parse(compose(sample.with_attempt()));
  EXPECT_EQ(line.at("event"), "bounced");
  EXPECT_EQ(line.at("dsn"), "06NZR4S8G0042");
}

TEST(Line, ExpiredWithoutAttemptHasNoPeer) {
  Sample sample(Kind::expired);
  sample.outcome.attempts = 12;
  const json line = json::parse(compose(sample));
  EXPECT_EQ(line.at("event"), "expired");
  EXPECT_EQ(line.at("attempt"), 12);
  for (const char* name :
       {"peer", "peer_name", "code", "status", "reply", "phase", "delivery_ms"}) {
    EXPECT_FALSE(line.contains(name)) << name;
  }
}

TEST(Line, RemovedIsNamedSo) {
  Sample sample(Kind::removed);
  EXPECT_EQ(json::parse(compose(sample)).at("event"), "removed");
}

TEST(Line, EnvelopeParametersAndTenantAreToldWhenThere) {
  Sample sample(Kind::received);
  sample.head.envelope.envelope_id = "QQ314159";
  sample.recipient.original_recipient = "rfc822;Bob@example.org";
  sample.head.info.tenant = "acme";
  sample.head.info.user = "ann@acme.example";
  const json line = json::parse(compose(sample));
  EXPECT_EQ(line.at("envelope_id"), "QQ314159");
  EXPECT_EQ(line.at("original_recipient"), "rfc822;Bob@example.org");
  EXPECT_EQ(line.at("tenant"), "acme");
  EXPECT_EQ(line.at("user"), "ann@acme.example");
}

TEST(Line, NullReversePathIsAnEmptySender) {
  Sample sample(Kind::received);
  sample.head.envelope.reverse_path = "";
  EXPECT_EQ(json::parse(compose(sample)).at("sender"), "");
}

TEST(Line, PossibleDuplicateIsToldOnlyWhenSo) {
  Sample sample(Kind::deferred);
  sample.result = {0,
                   queue::Verdict::deferred,
                   smtp::Phase::content,
                   0,
                   {},
                   "the connection ended before the reply to content"};
  EXPECT_FALSE(json::parse(compose(sample.with_attempt())).contains("possible_duplicate"));
  sample.job.possible_duplicate = true;
  EXPECT_EQ(json::parse(compose(sample)).at("possible_duplicate"), true);
}

// Others of the same attempt had their replies, or nothing to be replied to.
TEST(Line, PossibleDuplicateIsToldOfThoseWithoutAReplyOnly) {
  const queue::JobRecipient answered[] = {
      {0, queue::Verdict::delivered, smtp::Phase::content, 250, {2, 0, 0}, "2.0.0 taken"},
      {1, queue::Verdict::refused, smtp::Phase::content, 550, {5, 1, 1}, "5.1.1 second"},
      {2, queue::Verdict::refused, smtp::Phase::recipient, 550, {5, 1, 1}, "5.1.1 no such user"},
      {3, queue::Verdict::deferred, smtp::Phase::content, 451, {4, 3, 0}, "4.3.0 later"},
      {4, queue::Verdict::refused, smtp::Phase::mail, 552, {5, 3, 4}, "larger than accepted"},
      {5, queue::Verdict::deferred, smtp::Phase::mail, 0, {}, "nothing of it was sent"}};
  for (const queue::JobRecipient& result : answered) {
    Sample sample(Kind::bounced);
    sample.result = result;
    sample.job.possible_duplicate = true;
    EXPECT_FALSE(json::parse(compose(sample.with_attempt())).contains("possible_duplicate"))
        << result.text;
  }
}

TEST(Line, ConnectionTroubleHasNoCode) {
  Sample sample(Kind::deferred);
  sample.result = {0, queue::Verdict::deferred, smtp::Phase::connect, 0, {}, "connection refused"};
  sample.job.peer = {};
  const json line = json::parse(compose(sample.with_attempt()));
  EXPECT_EQ(line.at("reply"), "connection refused");
  EXPECT_EQ(line.at("phase"), "connect");
  for (const char* name : {"peer", "code", "status"}) EXPECT_FALSE(line.contains(name)) << name;
}

TEST(Line, EventIsTheFirstMember) {
  Sample sample(Kind::bounced);
  EXPECT_EQ(compose(sample).substr(0, 19), R"({"event":"bounced",)");
}

TEST(Line, IsOneLine) {
  Sample sample(Kind::bounced);
  sample.result.text = "first\nsecond\r\nthird";
  const std::string line = compose(sample.with_attempt());
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_EQ(json::parse(line).at("reply"), "first\nsecond\r\nthird");
}

TEST(Line, PeerMayBeIpv6) {
  Sample sample(Kind::delivered);
  sample.job.peer = ipv6("2001:db8::25", 2525);
  EXPECT_EQ(json::parse(compose(sample.with_attempt())).at("peer"), "[2001:db8::25]:2525");
}

TEST(Line, MappedPeerIsShownAsIpv4) {
  Sample sample(Kind::delivered);
  sample.job.peer = ipv6("::ffff:192.0.2.9", 25);
  EXPECT_EQ(json::parse(compose(sample.with_attempt())).at("peer"), "192.0.2.9:25");
}

TEST(Line, PeerMayBeAUnixSocket) {
  Sample sample(Kind::delivered);
  sample.job.peer = {};
  auto& local = reinterpret_cast<sockaddr_un&>(sample.job.peer.storage);
  local.sun_family = AF_UNIX;
  std::memset(local.sun_path, '\x01', sizeof(local.sun_path));  // the longest text there can be
  sample.job.peer.length = sizeof(local);
  EXPECT_EQ(json::parse(compose(sample.with_attempt())).at("peer"),
            std::string(sizeof(local.sun_path), '\x01'));
}

TEST(Line, EveryAsciiCharacterComesBack) {
  for (size_t before = 0; before < 9; ++before) {  // at every place of a word of eight
    for (int value = 0; value < 128; ++value) {
      const std::string text = std::string(before, 'x') + static_cast<char>(value) + "yyyyyyyyy";
      ASSERT_EQ(through_json(text), text) << value;
    }
  }
}

TEST(Line, ControlCharactersNeverStandBare) {
  Sample sample(Kind::received);
  std::string text;
  for (int value = 0; value < 32; ++value) text += static_cast<char>(value);
  text += "\x7F\xC2\x80\xC2\x9B\xC2\x9F";
  sample.head.envelope.reverse_path = text;
  std::string line = compose(sample);
  EXPECT_EQ(json::parse(line).at("sender"), text);
  line.pop_back();
  for (const char octet : line) {
    EXPECT_GE(static_cast<uint8_t>(octet), 0x20);
    EXPECT_NE(static_cast<uint8_t>(octet), 0x7F);
    EXPECT_LT(static_cast<uint8_t>(octet), 0x80);
  }
}

TEST(Line, ValidUtf8IsKeptAsItIs) {
  const std::string text =
      "\xC2\xA0\xC3\xBC \xE0\xA0\x80\xE2\x82\xAC\xED\x9F\xBF\xEE\x80\x80 "
      "\xF0\x90\x80\x80\xF4\x8F\xBF\xBF";
  Sample sample(Kind::received);
  sample.head.envelope.reverse_path = text;
  const std::string line = compose(sample);
  EXPECT_NE(line.find(text), std::string::npos);
  EXPECT_EQ(json::parse(line).at("sender"), text);
}

struct Invalid {
  std::string text;
  size_t replaced;  // octets, each by U+FFFD
};

TEST(Line, InvalidOctetsBecomeTheReplacementCharacter) {
  const Invalid cases[] = {
      {"\x80"s, 1},  // continuation without a beginning
      {"\xBF\xBF"s, 2},
      {"\xC0\xAF"s, 2},  // overlong
      {"\xC1\xBF"s, 2},
      {"\xE0\x9F\xBF"s, 3},
      {"\xF0\x8F\xBF\xBF"s, 4},
      {"\xED\xA0\x80"s, 3},      // a surrogate
      {"\xF4\x90\x80\x80"s, 4},  // above U+10FFFF
      {"\xF5\x80\x80\x80"s, 4},
      {"\xFF"s, 1},
      {"\xC3"s, 1},  // cut off
      {"\xE2\x82"s, 2},
      {"\xF0\x9F\x98"s, 3},
  };
  for (const Invalid& one : cases) {
    std::string expected;
    for (size_t i = 0; i < one.replaced; ++i) expected += "\xEF\xBF\xBD";
    EXPECT_EQ(through_json("a" + one.text + "b"), "a" + expected + "b");
    EXPECT_EQ(through_json(one.text), expected);  // at the very end, too
  }
}

TEST(Line, TheLongestLineStaysWithinItsBound) {
  LineComposer composer(std::string(255, '\x02'), ShardId{65535});
  Sample sample(Kind::bounced);
  const std::string ugly(1000, '\x01');
  sample.head.envelope.reverse_path = sample.head.envelope.envelope_id = ugly;
  sample.head.info.client = sample.head.info.tenant = sample.head.info.user = ugly;
  sample.recipient.address = sample.recipient.original_recipient = ugly;
  sample.outcome.site = ugly;
  sample.outcome.size = UINT64_MAX;
  sample.outcome.next_attempt = {kArrivalMs};
  sample.outcome.dsn = {UINT64_MAX};
  sample.head.info.arrival = {0};
  sample.job.peer_name = sample.result.text = ugly;
  sample.job.peer = ipv6("2001:db8:1111:2222:3333:4444:5555:6666", 65535);
  sample.job.possible_duplicate = true;
  sample.job.attempt = UINT16_MAX;
  sample.result.code = UINT16_MAX;
  sample.result.status = {255, UINT16_MAX, UINT16_MAX};
  sample.job.begun = {1};
  const std::string line = compose(composer, sample.with_attempt());  // checks the bound
  EXPECT_EQ(json::parse(line).at("reply"), ugly);
}

TEST(Line, ClocksThatWentBackGiveNoNegativeTimes) {
  Sample sample(Kind::delivered);
  sample.head.info.arrival = {kWall.ms + 5000};
  sample.job.begun = {kNow.ns + 5'000'000};
  const json line = json::parse(compose(sample.with_attempt()));
  EXPECT_EQ(line.at("queued_ms"), 0);
  EXPECT_EQ(line.at("delivery_ms"), 0);
}

TEST(Line, TheCachedSecondIsRenewed) {
  LineComposer composer("relay.example.com", ShardId{0});
  Sample sample(Kind::received);
  const auto time_at = [&](int64_t ms) {
    return json::parse(compose(composer, sample, {ms})).at("time").get<std::string>();
  };
  EXPECT_EQ(time_at(kArrivalMs), "2026-11-24T05:42:14.007Z");
  EXPECT_EQ(time_at(kArrivalMs + 992), "2026-11-24T05:42:14.999Z");
  EXPECT_EQ(time_at(kArrivalMs + 993), "2026-11-24T05:42:15.000Z");
  EXPECT_EQ(time_at(kArrivalMs - 8), "2026-11-24T05:42:13.999Z");
}

TEST(JsonText, TimesAgreeWithTheCLibrary) {
  // Every 37 hours and some from 1970 to 2170, which passes all month ends and the leap years.
  for (int64_t second = 0; second < 6'311'433'600; second += 133'333) {
    std::tm parts{};
    const auto time = static_cast<time_t>(second);
    gmtime_r(&time, &parts);
    char expected[32];
    std::strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%S.123Z", &parts);
    char text[kTimeTextLength];
    put_time(text, {second * 1000 + 123});
    ASSERT_EQ(std::string_view(text, sizeof(text)), expected);
  }
}

TEST(JsonText, NumbersOfAllLengths) {
  for (const uint64_t number :
       {uint64_t{0}, uint64_t{9}, uint64_t{10}, uint64_t{1'000'000'007}, uint64_t{UINT64_MAX}}) {
    char text[kNumberTextMax];
    const char* const end = put_number(text, number);
    EXPECT_EQ(std::string_view(text, static_cast<size_t>(end - text)), std::to_string(number));
  }
}

// docs/events.md, where RINGMTA_SOURCE says that it is.
class Reference : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* const source = std::getenv("RINGMTA_SOURCE");
    ASSERT_NE(source, nullptr) << "RINGMTA_SOURCE: where the source lies";
    std::ifstream file(std::string(source) + "/docs/events.md");
    ASSERT_TRUE(file);
    bool in_members = false;
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with('#')) in_members = line == "## Members";
      if (in_members && line.starts_with("| `")) {
        described_.insert(line.substr(3, line.find('`', 3) - 3));
      }
      if (line.starts_with(R"({"event")")) examples_.push_back(line);
    }
  }
  std::set<std::string> described_;
  std::vector<std::string> examples_;
};

TEST_F(Reference, DescribesAllMembersAndNoOther) {
  Sample sample(Kind::bounced);
  sample.head.envelope.envelope_id = "e";
  sample.recipient.original_recipient = "rfc822;o";
  sample.head.info.tenant = "t";
  sample.head.info.user = "u";
  sample.outcome.next_attempt = {1};
  sample.outcome.dsn = {1};
  sample.outcome.protocol = "ESMTPSA";
  sample.job.tls = {"TLSv1.3", "TLS_AES_128_GCM_SHA256", true, true};
  std::set<std::string> told = members(json::parse(compose(sample.with_attempt())));
  sample.result.code = 0;  // only where there was no reply
  sample.job.possible_duplicate = true;
  told.merge(members(json::parse(compose(sample))));
  queue::Held held;
  held.domain = "example.net";
  told.merge(members(line_of(held)));
  EXPECT_EQ(told, described_);
}

TEST_F(Reference, ItsExamplesAreEventsWithTheMembersItDescribes) {
  std::set<std::string> events;
  for (const std::string& example : examples_) {
    const json line = json::parse(example, nullptr, false);
    ASSERT_FALSE(line.is_discarded()) << example;
    events.insert(line.at("event").get<std::string>());
    if (line.at("event") != "held") {
      EXPECT_TRUE(message_id_from_text(line.at("id").get<std::string>())) << example;
    }
    for (const std::string& name : members(line)) EXPECT_TRUE(described_.contains(name)) << name;
    if (line.at("event") == "received") {
      EXPECT_FALSE(line.contains("site")) << example;  // before it is routed
    }
  }
  EXPECT_EQ(events, (std::set<std::string>{"received", "delivered", "deferred", "bounced",
                                           "expired", "removed", "held"}));
}

}  // namespace
}  // namespace ringmta::events
