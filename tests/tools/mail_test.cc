// SPDX-License-Identifier: GPL-3.0-or-later
// The generated mail: exact sizes, lines that a strict server takes, determinism, and a digest that
// the sink accepts.
#include "tools/load/mail.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "tools/common/dot_stream.h"
#include "tools/sink/checker.h"

namespace ringmta::tools {
namespace {

constexpr int64_t kWhen = 1'795'493'299;  // Tue, 24 Nov 2026 04:08:19

MailSource make(const MailOptions& options) {
  auto source = MailSource::create(options);
  EXPECT_TRUE(source.has_value()) << source.error().message;
  return std::move(*source);
}

std::string whole(const MailSource& source, const MailPlan& plan) {
  std::string text;
  source.append_head(plan, date_text(kWhen), text);
  return text + plan.mail->body;
}

TEST(Mail, DateIsRfc5322AndOfFixedWidth) {
  EXPECT_EQ(date_text(kWhen), "Tue, 24 Nov 2026 04:08:19 +0000");
  EXPECT_EQ(date_text(0), "Thu, 01 Jan 1970 00:00:00 +0000");
  EXPECT_EQ(date_text(kWhen).size(), kDateLength);
}

// A few hundred contents of three megabytes each would be more memory than the relay's.
TEST(Mail, LargeMessagesHaveFewTemplates) {
  MailOptions options;
  options.size = {3'000'000, 3'000'000, false};
  const MailSource source = make(options);
  EXPECT_GE(source.template_count(), 8U);
  EXPECT_LE(source.template_count() * 3'000'000U, 64U << 20);
  options.size = {1024, 1024, false};
  EXPECT_EQ(make(options).template_count(), 256U);
}

TEST(Mail, SizesAreExact) {
  for (const uint32_t size : {900U, 1024U, 2048U, 10'240U, 102'400U}) {
    MailOptions options;
    options.size = {size, size, false};
    const MailSource source = make(options);
    for (uint64_t index = 0; index < 300; ++index) {
      const std::string text = whole(source, source.plan(index, true));
      ASSERT_EQ(text.size(), size) << text;
    }
  }
}

TEST(Mail, LinesAreShortAndEndInCrlf) {
  MailOptions options;
  options.size = {700, 60'000, false};
  const MailSource source = make(options);
  bool dot_line = false;
  bool eight_bit = false;
  for (uint64_t index = 0; index < 600; ++index) {
    const MailPlan plan = source.plan(index, true);
    const std::string text = whole(source, plan);
    ASSERT_TRUE(text.ends_with("\r\n"));
    ASSERT_NE(text.find("\r\n\r\n"), std::string::npos);
    size_t start = 0;
    while (start < text.size()) {
      const size_t end = text.find("\r\n", start);
      ASSERT_NE(end, std::string::npos);
      ASSERT_LE(end - start, 998U);
      const std::string_view line = std::string_view(text).substr(start, end - start);
      ASSERT_EQ(line.find_first_of(std::string_view("\r\n\0", 3)), std::string::npos);
      dot_line = dot_line || line.starts_with('.');
      start = end + 2;
    }
    const bool high = std::any_of(text.begin(), text.end(),
                                  [](char c) { return static_cast<unsigned char>(c) >= 128; });
    ASSERT_EQ(high, plan.mail->eight_bit);
    eight_bit = eight_bit || high;
  }
  EXPECT_TRUE(dot_line);
  EXPECT_TRUE(eight_bit);
}

TEST(Mail, NoEightBitWhereItIsNotAllowed) {
  const MailSource source = make({});
  for (uint64_t index = 0; index < 1000; ++index)
    ASSERT_FALSE(source.plan(index, false).mail->eight_bit);
}

TEST(Mail, SameSeedSameMessage) {
  MailOptions options;
  options.recipients = 3;
  options.domains = 20;
  const MailSource a = make(options);
  const MailSource b = make(options);
  options.seed = 2;
  const MailSource other = make(options);
  size_t different = 0;
  for (uint64_t index = 0; index < 100; ++index) {
    ASSERT_EQ(whole(a, a.plan(index, true)), whole(b, b.plan(index, true)));
    if (whole(a, a.plan(index, true)) != whole(other, other.plan(index, true))) ++different;
  }
  EXPECT_EQ(different, 100U);
}

TEST(Mail, TheSinkFindsEveryMessageGood) {
  MailOptions options;
  options.run = "abc_1";
  options.size = {600, 30'000, false};
  options.recipients = 4;
  const MailSource source = make(options);
  MessageChecker checker;
  for (uint64_t index = 0; index < 300; ++index) {
    const MailPlan plan = source.plan(index, true);
    checker.start();
    checker.feed("Received: from a relay\r\n\tby another; now\r\n" + whole(source, plan));
    ASSERT_EQ(checker.finish(), Verdict::good);
    ASSERT_EQ(checker.run(), "abc_1");
    ASSERT_EQ(checker.index(), index);
    ASSERT_EQ(checker.recipients(), plan.recipients);
  }
}

TEST(Mail, StuffedBodyReadsBackAsTheBody) {
  MailOptions options;
  options.size = {700, 5'000, false};
  const MailSource source = make(options);
  for (uint64_t index = 0; index < 300; ++index) {
    const MailTemplate& mail = *source.plan(index, true).mail;
    DotReader reader;
    std::string content;
    bool ended = false;
    // The head has no line that begins with a dot, so the body alone begins at the start of a line.
    reader.feed(std::string(mail.wire_body()) + ".\r\n", ended,
                [&](std::string_view piece) { content += piece; });
    ASSERT_TRUE(ended);
    ASSERT_EQ(content, mail.body);
    ASSERT_EQ(mail.head.find("\n."), std::string::npos);
  }
}

TEST(Mail, RecipientsAverageWhatWasAskedFor) {
  MailOptions options;
  options.recipients = 5;
  options.domains = 100;
  const MailSource source = make(options);
  uint64_t total = 0;
  std::set<std::string> addresses;
  constexpr uint64_t kMessages = 4000;
  for (uint64_t index = 0; index < kMessages; ++index) {
    const MailPlan plan = source.plan(index, true);
    ASSERT_GE(plan.recipients, 1U);
    ASSERT_LE(plan.recipients, 9U);
    total += plan.recipients;
    for (uint32_t ordinal = 0; ordinal < plan.recipients; ++ordinal) {
      std::string address;
      source.append_recipient(plan, ordinal, address);
      ASSERT_TRUE(addresses.insert(address).second) << address;
      ASSERT_TRUE(address.ends_with(".load.test"));
    }
  }
  EXPECT_NEAR(static_cast<double>(total) / kMessages, 5.0, 0.2);
}

TEST(Mail, SizeRangesAreRead) {
  EXPECT_EQ(parse_size_range("1024")->high, 1024U);
  EXPECT_EQ(parse_size_range("10k")->low, 10'240U);
  EXPECT_EQ(parse_size_range("1k-2M")->high, 2U * 1024 * 1024);
  EXPECT_TRUE(parse_size_range("mix")->mix);
  for (const char* bad : {"", "x", "1-", "-5", "5-1", "1kk", "99999999999", "2000M"}) {
    EXPECT_FALSE(parse_size_range(bad).has_value()) << bad;
  }
}

TEST(Mail, MixIsMostlySmallWithFewLarge) {
  MailOptions options;
  options.size = *parse_size_range("mix");
  const MailSource source = make(options);
  size_t small = 0;
  size_t large = 0;
  for (uint64_t index = 0; index < 2000; ++index) {
    const size_t size = source.plan(index, true).mail->size();
    ASSERT_GE(size, 2'000U);
    ASSERT_LE(size, 200'000U);
    if (size < 20'000) ++small;
    if (size > 100'000) ++large;
  }
  EXPECT_GT(small, 1000U);
  EXPECT_GT(large, 10U);
  EXPECT_LT(large, 300U);
}

TEST(Mail, LineEndsOfFilesBecomeCrlf) {
  EXPECT_EQ(with_crlf(""), "");
  EXPECT_EQ(with_crlf("a\nb\r\nc\rd"), "a\r\nb\r\nc\r\nd\r\n");
  EXPECT_EQ(with_crlf("\n"), "\r\n");
}

TEST(Mail, FilesAreSentAsTheyAreOrStamped) {
  const std::string directory =
      testing::TempDir() + "ringmta-mail-test-" + std::to_string(getpid());
  std::filesystem::create_directory(directory);
  std::ofstream(directory + "/b.eml") << "Subject: b\n\n.dot\n";
  std::ofstream(directory + "/a.eml") << "Subject: gr\xC3\xBC\xC3\x9F\r\n\r\nbody";
  std::ofstream(directory + "/c.txt") << "not mail";
  MailOptions options;
  options.directory = directory;
  const MailSource plain = make(options);
  ASSERT_EQ(plain.template_count(), 2U);
  EXPECT_EQ(whole(plain, plain.plan(0, true)), "Subject: gr\xC3\xBC\xC3\x9F\r\n\r\nbody\r\n");
  EXPECT_TRUE(plain.plan(0, true).mail->utf8_header);
  EXPECT_EQ(plain.plan(1, true).mail->wire_body(), "Subject: b\r\n\r\n..dot\r\n");
  options.stamp = true;
  const MailSource stamped = make(options);
  MessageChecker checker;
  checker.start();
  checker.feed(whole(stamped, stamped.plan(1, true)));
  EXPECT_EQ(checker.finish(), Verdict::good);
  EXPECT_EQ(checker.index(), 1U);
  std::filesystem::remove_all(directory);
}

TEST(Mail, ErrorsSayWhatToDo) {
  MailOptions options;
  options.run = "with space";
  EXPECT_FALSE(MailSource::create(options).has_value());
  options = {};
  options.directory = "/nowhere/at/all";
  const auto source = MailSource::create(options);
  ASSERT_FALSE(source.has_value());
  EXPECT_NE(source.error().message.find("/nowhere/at/all"), std::string::npos);
}

}  // namespace
}  // namespace ringmta::tools
