// SPDX-License-Identifier: GPL-3.0-or-later
// The grammar by tables: what is an address, a literal, UTF-8, xtext, a parameter, and what is not.
#include "ringmta/smtp/grammar.h"

#include <gtest/gtest.h>

#include <string>

#include "ringmta/base/prng.h"
#include "ringmta/smtp/envelope.h"

namespace ringmta::smtp {
namespace {

using namespace std::string_view_literals;

struct Address {
  std::string_view text;
  std::string_view local_part;
  std::string_view domain;
};

const Address kAddresses[] = {
    {"a@b", "a", "b"},
    {"a.b-c_d+e@f.example", "a.b-c_d+e", "f.example"},
    {"!#$%&'*+-/=?^_`{|}~@b", "!#$%&'*+-/=?^_`{|}~", "b"},
    {"A@B-1.2c", "A", "B-1.2c"},
    {"a@1.2.3.4", "a", "1.2.3.4"},
    {"\"\"@b", "\"\"", "b"},
    {"\"a b\"@c", "\"a b\"", "c"},
    {"\"a@b\"@c", "\"a@b\"", "c"},
    {"\"<>,;:()[]\"@c", "\"<>,;:()[]\"", "c"},
    {"\"\\\"\\\\\\a\"@c", "\"\\\"\\\\\\a\"", "c"},
    {"a@[192.0.2.1]", "a", "[192.0.2.1]"},
    {"a@[IPv6:2001:db8::1]", "a", "[IPv6:2001:db8::1]"},
    {"a@[ipv6:::]", "a", "[ipv6:::]"},
    {"a@[IPv6:::ffff:192.0.2.1]", "a", "[IPv6:::ffff:192.0.2.1]"},
    {"\xC3\xBC@b", "\xC3\xBC", "b"},
    {"a@\xC3\xBC.example", "a", "\xC3\xBC.example"},
    {"\"\xC3\xBC \"@\xE7\x94\xA8\xE6\x88\xB7", "\"\xC3\xBC \"", "\xE7\x94\xA8\xE6\x88\xB7"},
    {"a@x\xC3\xBCy", "a", "x\xC3\xBCy"},
};

const std::string_view kNotAddresses[] = {
    "", "a", "@", "@b", "a@", "a@b@c", ".a@b", "a.@b", "a..b@c", "a b@c", "a@b c", "a@.b", "a@b.",
    "a@b..c", "a@-b", "a@b-", "a@b-.c", "a@b_c", "a@b!c", "(a)@b", "a@(b)", "a,b@c", "a;b@c",
    "a:b@c", "a\\b@c", "<a@b>", "a@b>", "\"a@b", "a\"@b", "\"a\"b@c", "\"a\\\"@b", "\"a\"\"b\"@c",
    "a@[", "a@[]", "a@[192.0.2]", "a@[192.0.2.1", "a@192.0.2.1]", "a@[192.0.2.256]",
    "a@[192.0.2.1]x", "a@[IPv6:]", "a@[IPv6:192.0.2.1]", "a@[2001:db8::1]", "a@[IPv6:2001:db8::g]",
    "a@[x-y:z]", "a@[ 192.0.2.1]", "a@[IPv6:2001:db8::1%lo]", "a\t@b", "a\r\n@b", "a\x7F@b",
    "\"a\tb\"@c", "\"a\\\t\"@c", "\xFF@b", "\xC3@b", "a@\xC3\x28", "\xC0\xAE@b", "\xED\xA0\x80@b",
    "a\xC2\x85@b",  // U+0085, next line
    "\xC2\x80@b", "a@b\xC2\x9F",
    "\"a\xC2\x9B\"@b",  // U+009B begins terminals' commands
    "a\xE2\x80\xA8@b",  // U+2028, line separator
    "a\xE2\x80\xA9@b", "a@b\xE2\x80\xA8",
    // leading zeros: octal to some
    "a@[01.2.3.4]", "a@[1.2.3.010]", "a@[001.2.3.4]"};

TEST(Grammar, Addresses) {
  for (const Address& item : kAddresses) {
    for (const bool in_path : {false, true}) {
      const std::string path_text = "<" + std::string(item.text) + ">";
      Mailbox found;
      if (in_path) {
        const Path path = parse_path(path_text);
        EXPECT_EQ(path.length, path_text.size()) << item.text;
        found = path.mailbox;
      } else {
        found = parse_mailbox(item.text);
      }
      EXPECT_EQ(found.fault, AddressFault::none) << item.text;
      EXPECT_EQ(found.address, item.text);
      EXPECT_EQ(found.local_part, item.local_part);
      EXPECT_EQ(found.domain, item.domain);
      bool high = false;
      for (const char c : item.text) high |= static_cast<unsigned char>(c) > 127;
      EXPECT_EQ(found.eight_bit, high) << item.text;
      if (!in_path) continue;
      EXPECT_TRUE(found.address.data() > path_text.data());  // a view, not a copy
    }
  }
}

TEST(Grammar, NotAddresses) {
  for (const std::string_view text : kNotAddresses) {
    EXPECT_NE(parse_mailbox(text).fault, AddressFault::none) << text;
    const std::string path_text = "<" + std::string(text) + ">";
    const Path path = parse_path(path_text);
    const bool good = path.length == path_text.size() && path.mailbox.fault == AddressFault::none &&
                      !path.mailbox.domain.empty();
    EXPECT_FALSE(good) << text;
  }
  EXPECT_NE(parse_mailbox("a\0@b"sv).fault, AddressFault::none);
  EXPECT_NE(parse_mailbox("a@[192.0.2.1\0]"sv).fault, AddressFault::none);
}

TEST(Grammar, Paths) {
  const auto length = [](std::string_view text) { return parse_path(text).length; };
  EXPECT_EQ(length("<>"), 2U);
  EXPECT_TRUE(parse_path("<>").mailbox.address.empty());
  EXPECT_EQ(parse_path("<>").mailbox.fault, AddressFault::none);
  EXPECT_EQ(length("<a@b> SIZE=1"), 5U);
  EXPECT_EQ(length("<\">\"@b>"), 7U);
  EXPECT_EQ(length(""), 0U);
  EXPECT_EQ(length("a@b"), 0U);
  EXPECT_EQ(length("<"), 0U);
  EXPECT_EQ(length("<a@b"), 0U);
  EXPECT_EQ(length("<\"a@b>"), 0U);
  EXPECT_EQ(length("<\"a\\"), 0U);
  EXPECT_EQ(parse_path("<postmaster>").mailbox.local_part, "postmaster");
  EXPECT_EQ(parse_path("<postmaster>").mailbox.domain, "");
}

// RFC 5321 appendix C: accepted and ignored.
TEST(Grammar, SourceRoutes) {
  for (const std::string_view text :
       {"<@x:a@b>", "<@x,@y.example:a@b>", "<@x-1,@y,@z:a@b>", "<@\xC3\xBC:a@b>"}) {
    const Path path = parse_path(text);
    EXPECT_EQ(path.length, text.size()) << text;
    EXPECT_EQ(path.mailbox.fault, AddressFault::none) << text;
    EXPECT_EQ(path.mailbox.address, "a@b") << text;
    EXPECT_FALSE(path.mailbox.eight_bit) << text;
  }
  for (const std::string_view text : {"<@:a@b>", "<@x a@b>", "<@x,:a@b>", "<@x,y:a@b>", "<x:a@b>",
                                      "<@x:>", "<@x>", "<@x,@y>", "<@x::a@b>", "<@-x:a@b>"}) {
    EXPECT_EQ(parse_path(text).mailbox.fault, AddressFault::syntax) << text;
  }
}

TEST(Grammar, Lengths) {
  const auto fault = [](size_t local, size_t domain) {
    std::string text(local, 'a');
    text += '@';
    while (domain > 60) {
      text += std::string(49, 'b') + ".";
      domain -= 50;
    }
    return parse_mailbox(text + std::string(domain, 'b')).fault;
  };
  EXPECT_EQ(fault(64, 10), AddressFault::none);
  EXPECT_EQ(fault(243, 10), AddressFault::none);  // VERP
  EXPECT_EQ(fault(244, 10), AddressFault::too_long);
  EXPECT_EQ(fault(1, 252), AddressFault::none);  // a path of 256 with its brackets
  EXPECT_EQ(fault(2, 252), AddressFault::too_long);
  EXPECT_EQ(fault(1, 256), AddressFault::too_long);
  EXPECT_EQ(parse_mailbox("a@" + std::string(63, 'b')).fault, AddressFault::none);
  EXPECT_EQ(parse_mailbox("a@" + std::string(64, 'b')).fault, AddressFault::syntax);
  std::string label;  // its A-form is what has at most 63 octets, not this
  for (int i = 0; i < 40; ++i) label += "\xC3\xBC";
  EXPECT_EQ(parse_mailbox("a@" + label).fault, AddressFault::none);
  EXPECT_TRUE(is_domain(std::string(63, 'a') + "." + std::string(63, 'b') + "." +
                        std::string(63, 'c') + "." + std::string(63, 'd')));
  EXPECT_FALSE(is_domain(std::string(63, 'a') + "." + std::string(63, 'b') + "." +
                         std::string(63, 'c') + "." + std::string(63, 'd') + ".e"));
}

TEST(Grammar, Domains) {
  for (const std::string_view good : {"a", "a.b", "a-b.c", "1.example", "xn--bcher-kva.example"}) {
    EXPECT_TRUE(is_domain(good)) << good;
    EXPECT_TRUE(is_domain(good, true)) << good;
  }
  for (const std::string_view bad :
       {"", ".", "a.", ".a", "a..b", "-a", "a-", "a b", "a_b", "[127.0.0.1]", "a@b", "a\n"}) {
    EXPECT_FALSE(is_domain(bad)) << bad;
    EXPECT_FALSE(is_domain(bad, true)) << bad;
  }
  EXPECT_FALSE(
      is_domain("b\xC3\xBC"
                "cher.example"));
  EXPECT_TRUE(
      is_domain("b\xC3\xBC"
                "cher.example",
                true));
  EXPECT_FALSE(
      is_domain("b\xC3"
                "cher.example",
                true));
}

TEST(Grammar, Utf8) {
  for (const std::string_view good :
       {""sv, "ascii"sv, "\x7F"sv, "\xC2\x80"sv, "\xDF\xBF"sv, "\xE0\xA0\x80"sv, "\xEC\xBF\xBF"sv,
        "\xED\x9F\xBF"sv, "\xEE\x80\x80"sv, "\xEF\xBF\xBF"sv, "\xF0\x90\x80\x80"sv,
        "\xF3\xBF\xBF\xBF"sv, "\xF4\x8F\xBF\xBF"sv, "a\xC3\xBC\xE7\x94\xA8z"sv}) {
    EXPECT_TRUE(is_utf8(good));
  }
  for (const std::string_view bad :
       {"\x80"sv, "\xBF"sv, "\xC0\x80"sv, "\xC1\xBF"sv, "\xC2"sv, "\xC2\x41"sv, "\xC2\xC0"sv,
        "\xE0\x9F\xBF"sv, "\xE0\xA0"sv, "\xE0\xA0\x41"sv, "\xED\xA0\x80"sv, "\xED\xBF\xBF"sv,
        "\xF0\x8F\xBF\xBF"sv, "\xF0\x90\x80"sv, "\xF4\x90\x80\x80"sv, "\xF5\x80\x80\x80"sv,
        "\xFE"sv, "\xFF"sv, "a\xC3"sv}) {
    EXPECT_FALSE(is_utf8(bad));
  }
}

TEST(Grammar, Xtext) {
  for (const std::string_view good :
       {"", "abc", "a@b", "+2B", "a+20b+3D", "!\"#$%&'()*,-./:;<>?"}) {
    EXPECT_TRUE(is_xtext(good)) << good;
  }
  for (const std::string_view bad : {"+", "+2", "+2b", "+G0", "a+", "a=b", "a b", "a\tb", "+0A",
                                     "+0D+0A", "+00", "+7F", "+80", "\x7F", "\xC3\xBC"}) {
    EXPECT_FALSE(is_xtext(bad)) << bad;
  }
}

TEST(Grammar, OriginalRecipient) {
  EXPECT_TRUE(is_original_recipient("rfc822;a@b", false));
  EXPECT_TRUE(is_original_recipient("x-any-1;a+20b", false));
  EXPECT_TRUE(is_original_recipient("utf-8;a\\x{FC}@b", false));
  EXPECT_TRUE(is_original_recipient("UTF-8;\xC3\xBC@b", true));
  EXPECT_FALSE(is_original_recipient("utf-8;\xC3\xBC@b", false));
  EXPECT_FALSE(is_original_recipient("rfc822;\xC3\xBC@b", true));
  EXPECT_FALSE(is_original_recipient("utf-8;\xC3@b", true));
  EXPECT_FALSE(is_original_recipient("", false));
  EXPECT_FALSE(is_original_recipient("rfc822", false));
  EXPECT_FALSE(is_original_recipient(";a@b", false));
  EXPECT_FALSE(is_original_recipient("rfc822;", false));
  EXPECT_FALSE(is_original_recipient("rfc 822;a", false));
  EXPECT_TRUE(is_original_recipient("rfc822;" + std::string(493, 'a'), false));
  EXPECT_FALSE(is_original_recipient("rfc822;" + std::string(494, 'a'), false));
}

TEST(Grammar, Notify) {
  EXPECT_EQ(parse_notify("NEVER"), Notify::kNever);
  EXPECT_EQ(parse_notify("success"), Notify::kSuccess);
  EXPECT_EQ(parse_notify("SUCCESS,FAILURE,DELAY"),
            Notify::kSuccess | Notify::kFailure | Notify::kDelay);
  EXPECT_EQ(parse_notify("DELAY,DELAY"), Notify::kDelay);
  for (const std::string_view bad : {"", ",", "NEVER,DELAY", "DELAY,NEVER", "DELAY,", ",DELAY",
                                     "DELAY,,FAILURE", "SOMETIMES", "DELAY FAILURE"}) {
    EXPECT_EQ(parse_notify(bad), 0) << bad;
  }
}

TEST(Grammar, Parameters) {
  const auto shown = [](std::string_view text) {
    std::string all;
    while (true) {
      Parameter given;
      if (!next_parameter(text, given)) return all + "malformed";
      if (given.keyword.empty()) return all;
      all += std::string(given.keyword);
      if (given.has_value) all += "=" + std::string(given.value);
      all += "|";
    }
  };
  EXPECT_EQ(shown(""), "");
  EXPECT_EQ(shown("  "), "");
  EXPECT_EQ(shown(" SIZE=1"), "SIZE=1|");
  EXPECT_EQ(shown(" SIZE=1  x-Y SMTPUTF8 "), "SIZE=1|x-Y|SMTPUTF8|");
  EXPECT_EQ(shown(" a=\xC3\xBC<>"), "a=\xC3\xBC<>|");
  EXPECT_EQ(shown("SIZE=1"), "malformed");
  EXPECT_EQ(shown(" a=1 =2"), "a=1|malformed");
  EXPECT_EQ(shown(" a="), "malformed");
  EXPECT_EQ(shown(" a=b=c"), "malformed");
  EXPECT_EQ(shown(" -a=b"), "malformed");
  EXPECT_EQ(shown(" a_b"), "malformed");
  EXPECT_EQ(shown(" a=\t"), "malformed");
  EXPECT_EQ(shown(" \xC3\xBC=a"), "malformed");
}

TEST(Grammar, Sizes) {
  uint64_t value = 1;
  EXPECT_TRUE(parse_size("0", value));
  EXPECT_EQ(value, 0U);
  EXPECT_TRUE(parse_size("18446744073709551615", value));
  EXPECT_EQ(value, UINT64_MAX);
  EXPECT_TRUE(parse_size("99999999999999999999", value));
  EXPECT_EQ(value, UINT64_MAX);
  EXPECT_TRUE(parse_size("00000000000000000012", value));
  EXPECT_EQ(value, 12U);
  for (const std::string_view bad : {"", "-1", "+1", " 1", "1 ", "1k", "000000000000000000012"}) {
    EXPECT_FALSE(parse_size(bad, value)) << bad;
  }
}

// Whatever parse_path() accepts can be put between < and > again, and means the same.
TEST(Grammar, RandomPaths) {
  static constexpr std::string_view kPieces[] = {
      "a",  "b.c", "@", "\"", "\\", ".",        "<",    ">",     "[",   "]",
      "@x", ",",   ":", " ",  "-",  "\xC3\xBC", "\xC3", "IPv6:", "::1", "127.0.0.1"};
  Prng random(3);
  int accepted = 0;
  for (int round = 0; round < 200'000; ++round) {
    std::string text = "<";
    for (uint64_t i = 1 + random.below(8); i > 0; --i)
      text += kPieces[random.below(std::size(kPieces))];
    text += '>';
    const Path path = parse_path(text);
    ASSERT_LE(path.length, text.size());
    if (path.length == 0 || path.mailbox.fault != AddressFault::none) continue;
    ++accepted;
    if (path.mailbox.domain.empty()) continue;
    const std::string again = "<" + std::string(path.mailbox.address) + ">";
    const Path same = parse_path(again);
    ASSERT_EQ(same.length, again.size()) << text;
    ASSERT_EQ(same.mailbox.address, path.mailbox.address) << text;
    ASSERT_EQ(parse_mailbox(path.mailbox.address).domain, path.mailbox.domain) << text;
  }
  EXPECT_GT(accepted, 1000);
}

}  // namespace
}  // namespace ringmta::smtp
