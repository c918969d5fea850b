// SPDX-License-Identifier: GPL-3.0-or-later
// Trace lines: their form, their dates, and that nothing a client says can begin another line.
#include "ringmta/smtp/trace.h"

#include <gtest/gtest.h>

#include <ctime>
#include <string>
#include <vector>

namespace ringmta::smtp {
namespace {

using namespace std::string_view_literals;

TraceFacts facts() {
  TraceFacts facts;
  facts.helo = "client.example";
  facts.client_literal = "192.0.2.7";
  facts.hostname = "relay.example";
  facts.id = "0123456789ABC";
  facts.esmtp = true;
  facts.now = WallTime{1'751'371'205'999};
  return facts;
}

std::string trace(const TraceFacts& facts) {
  DateCache dates;
  std::string text = "before";
  append_trace(text, facts, dates);
  EXPECT_EQ(text.substr(0, 6), "before");
  return text.substr(6);
}

TEST(Trace, Received) {
  EXPECT_EQ(trace(facts()),
            "Received: from client.example ([192.0.2.7])\r\n"
            "\tby relay.example with ESMTP id 0123456789ABC;\r\n"
            "\tTue, 01 Jul 2025 12:00:05 +0000\r\n");
}

TEST(Trace, ReceivedForOneRecipientAndAddedFields) {
  TraceFacts given = facts();
  given.client_literal = "IPv6:2001:db8::1";
  given.helo = "[IPv6:2001:db8::1]";
  given.for_recipient = "\"b c\"@two.example";
  given.add_date = given.add_message_id = true;
  EXPECT_EQ(trace(given),
            "Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])\r\n"
            "\tby relay.example with ESMTP id 0123456789ABC\r\n"
            "\tfor <\"b c\"@two.example>;\r\n"
            "\tTue, 01 Jul 2025 12:00:05 +0000\r\n"
            "Date: Tue, 01 Jul 2025 12:00:05 +0000\r\n"
            "Message-ID: <0123456789ABC@relay.example>\r\n");
  given.add_date = false;
  EXPECT_EQ(trace(given).find("Date:"), std::string::npos);
  EXPECT_NE(trace(given).find("Message-ID:"), std::string::npos);
}

// RFC 3848; RFC 6531 4.3.
TEST(Trace, Protocol) {
  const auto name = [](bool esmtp, bool tls, bool authenticated, bool utf8) {
    TraceFacts given;
    given.esmtp = esmtp;
    given.tls = tls;
    given.authenticated = authenticated;
    given.utf8 = utf8;
    return std::string(protocol_name(given));
  };
  EXPECT_EQ(name(false, false, false, false), "SMTP");
  EXPECT_EQ(name(true, false, false, false), "ESMTP");
  EXPECT_EQ(name(true, true, false, false), "ESMTPS");
  EXPECT_EQ(name(true, false, true, false), "ESMTPA");
  EXPECT_EQ(name(true, true, true, false), "ESMTPSA");
  EXPECT_EQ(name(true, false, false, true), "UTF8SMTP");
  EXPECT_EQ(name(true, true, false, true), "UTF8SMTPS");
  EXPECT_EQ(name(true, false, true, true), "UTF8SMTPA");
  EXPECT_EQ(name(true, true, true, true), "UTF8SMTPSA");
}

TEST(Trace, NothingCanBeInjected) {
  const std::string evil("a\r\nBcc: x\n\r\t (c) \"q\" <b>;\0\x7F\xC3\xBC"sv);
  const std::string endless(5000, 'x');
  for (const std::string& word : {evil, endless, std::string()}) {
    TraceFacts given = facts();
    given.helo = given.client_literal = given.hostname = given.id = given.for_recipient = word;
    given.add_date = given.add_message_id = true;
    const std::string text = trace(given);
    size_t begin = 0, fields = 0;
    while (begin < text.size()) {
      const size_t end = text.find("\r\n", begin);
      ASSERT_NE(end, std::string::npos);
      const std::string line = text.substr(begin, end - begin);
      EXPECT_LE(line.size(), 998U);
      EXPECT_EQ(line.find_first_of(std::string("\r\n\0", 3)), std::string::npos);
      ASSERT_FALSE(line.empty());
      fields += line[0] == '\t' ? 0 : 1;
      begin = end + 2;
    }
    EXPECT_EQ(fields, 3U);
    EXPECT_EQ(text.find("\r\nBcc"), std::string::npos);
  }
}

TEST(DateCache, AgreesWithTheLibrary) {
  DateCache dates;
  std::vector<int64_t> seconds = {
      0,           59,          86'399,        86'400,        951'782'399,
      951'782'400, 951'868'800, 1'078'012'799, 4'107'542'400, 253'402'300'799,
      -1,          -86'401};
  for (int64_t second = -1'000'000'000; second < 5'000'000'000; second += 7'654'321) {
    seconds.push_back(second);
  }
  for (const int64_t second : seconds) {
    const time_t time = second;
    tm parts{};
    ASSERT_NE(gmtime_r(&time, &parts), nullptr);
    char expected[64];
    strftime(expected, sizeof expected, "%a, %d %b %Y %H:%M:%S +0000", &parts);
    EXPECT_EQ(dates.text(WallTime{second * 1000}), expected);
    EXPECT_EQ(dates.text(WallTime{second * 1000 + 999}), expected);
  }
}

}  // namespace
}  // namespace ringmta::smtp
