// SPDX-License-Identifier: GPL-3.0-or-later
// Names: from text, from the wire, to text; mail domains with IDN.
#include "ringmta/dns/name.h"

#include <gtest/gtest.h>

namespace ringmta::dns {
namespace {

std::string wire_of(const Name& name) { return std::string(as_text(name.wire())); }

TEST(Name, IsKeptInWireFormInLowerCase) {
  EXPECT_EQ(wire_of(*Name::parse("Example.ORG")), std::string("\7example\3org\0", 13));
  EXPECT_EQ(*Name::parse("example.org."), *Name::parse("EXAMPLE.org"));
  EXPECT_EQ(Name::parse("Example.ORG.")->text(), "example.org");
  EXPECT_EQ(Name().text(), ".");
  EXPECT_TRUE(Name().is_root());
  EXPECT_EQ(Name::parse("_dmarc.a-1.example")->text(), "_dmarc.a-1.example");
}

TEST(Name, RefusesWhatIsNotAHostName) {
  for (const char* text :
       {"", ".", "..", ".org", "a..b", "a.b..", "a b.org", "a\tb.org", "exa/mple.org", "a.b\r\nc",
        "ex@mple.org", "\xC3\xBC.example", "a\\.b"}) {
    EXPECT_FALSE(Name::parse(text).has_value()) << text;
  }
  EXPECT_FALSE(Name::parse(std::string_view("a\0b.org", 7)).has_value());
}

TEST(Name, HasTheLimitsOfRfc1035) {
  const std::string label(63, 'a');
  EXPECT_TRUE(Name::parse(label + ".org").has_value());
  EXPECT_FALSE(Name::parse(label + "a.org").has_value());
  const std::string longest = label + "." + label + "." + label + "." + std::string(61, 'b');
  ASSERT_EQ(longest.size(), 253U);
  const Result<Name> name = Name::parse(longest);
  ASSERT_TRUE(name.has_value());
  EXPECT_EQ(name->wire().size(), 255U);
  EXPECT_EQ(name->text(), longest);
  EXPECT_FALSE(Name::parse(longest + "b").has_value());
  EXPECT_FALSE(Name::parse(longest + "b.").has_value());
}

TEST(Name, TakesFromTheWireOnlyExactlyOneName) {
  const std::string wire("\7eXample\3org\0", 13);
  ASSERT_TRUE(Name::from_wire(as_bytes(wire)).has_value());
  EXPECT_EQ(Name::from_wire(as_bytes(wire))->text(), "example.org");
  for (size_t length = 0; length < wire.size(); ++length) {
    EXPECT_FALSE(Name::from_wire(as_bytes(wire).first(length)).has_value()) << length;
  }
  EXPECT_FALSE(Name::from_wire(as_bytes(wire + "x")).has_value());
  EXPECT_FALSE(Name::from_wire(as_bytes("\xC0\x0C")).has_value());
  EXPECT_FALSE(Name::from_wire(as_bytes(std::string(300, '\1'))).has_value());
}

TEST(Name, ShowsOddOctetsWithoutBelievingThem) {
  const std::string wire("\5a.b\n\0\3org\0", 11);
  const std::optional<Name> name = Name::from_wire(as_bytes(wire));
  ASSERT_TRUE(name.has_value());
  EXPECT_FALSE(name->is_hostname());
  EXPECT_EQ(name->text(), "a\\046b\\010\\000.org");
  EXPECT_TRUE(Name::parse("mx-1.example")->is_hostname());
  EXPECT_FALSE(Name().is_hostname());
}

TEST(Name, KnowsItsAncestors) {
  const Name name = *Name::parse("a.example.org");
  EXPECT_TRUE(name.is_within(name));
  EXPECT_TRUE(name.is_within(*Name::parse("example.org")));
  EXPECT_TRUE(name.is_within(*Name::parse("org")));
  EXPECT_TRUE(name.is_within(Name()));
  EXPECT_FALSE(name.is_within(*Name::parse("ample.org")));
  EXPECT_FALSE(name.is_within(*Name::parse("b.a.example.org")));
  EXPECT_FALSE(name.is_within(*Name::parse("com")));
}

TEST(MailDomain, TurnsULabelsIntoALabelsNontransitionally) {
  EXPECT_EQ(mail_domain("example.org")->text(), "example.org");
  EXPECT_EQ(mail_domain("BÜCHER.example")->text(), "xn--bcher-kva.example");
  EXPECT_EQ(mail_domain("faß.de")->text(), "xn--fa-hia.de");  // transitional: fass.de
  EXPECT_EQ(mail_domain("почта.рф")->text(), "xn--80a1acny.xn--p1ai");
  EXPECT_EQ(mail_domain("例え。テスト")->text(),
            "xn--r8jz45g.xn--zckzah");                                     // ideographic full stop
  EXPECT_EQ(mail_domain("u\xCC\x88.example")->text(), "xn--tda.example");  // decomposed: NFC
}

TEST(MailDomain, SaysWhatIsWrong) {
  EXPECT_FALSE(mail_domain("").has_value());
  EXPECT_FALSE(mail_domain("\xFF\xFE.example").has_value());
  EXPECT_FALSE(mail_domain(std::string_view("\xC3\xBC\0evil.example", 16)).has_value());
  EXPECT_FALSE(mail_domain("ü..example").has_value());
  EXPECT_FALSE(mail_domain("ü ü.example").has_value());
  EXPECT_FALSE(mail_domain(std::string(5000, '\xC3')).has_value());
  std::string endless;
  for (int i = 0; i < 100; ++i) endless += "ü.";
  EXPECT_FALSE(mail_domain(endless + "example").has_value());
  const Result<Name> bad = mail_domain("exa mple\x01.org");
  ASSERT_FALSE(bad.has_value());
  EXPECT_EQ(bad.error().message, "'exa mple?.org' has characters no host name may have");
}

}  // namespace
}  // namespace ringmta::dns
