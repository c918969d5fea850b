// SPDX-License-Identifier: GPL-3.0-or-later
// The text of signature fields. Whether verifiers of others accept them is verify_test.py's matter.
#include "ringmta/dkim/signer.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "test_keys.h"

namespace ringmta::dkim {
namespace {

constexpr WallTime kNow{1'700'000'000'999};

SignatureOptions options_for(std::string domain) {
  SignatureOptions options;
  options.domain = std::move(domain);
  options.selector = "s1";
  return options;
}

Signer signer_of(SignatureOptions options, const char* pem = kEd25519Pem) {
  auto signer = Signer::create(std::move(options), *Key::from_pem(pem));
  EXPECT_TRUE(signer) << (signer ? "" : signer.error().message);
  return std::move(*signer);
}

std::string refusal(SignatureOptions options) {
  auto signer = Signer::create(std::move(options), *Key::from_pem(kEd25519Pem));
  EXPECT_FALSE(signer);
  return signer ? "" : signer.error().message;
}

std::string signature_of(Signer& signer, std::string_view header) {
  HeaderFields fields;
  fields.add(header);
  Prepared prepared;
  const auto status = signer.prepare(fields, Digest{}, kNow, prepared);
  EXPECT_TRUE(status) << (status ? "" : status.error().message);
  std::string field;
  EXPECT_TRUE(signer.sign(prepared, field));
  EXPECT_TRUE(prepared.empty());
  return field;
}

// The field without folds: "a=rsa-sha256; c=..." with single spaces.
std::string unfolded(std::string_view field) {
  std::string text;
  for (const char c : field) {
    if (c == '\r' || c == '\n') continue;
    text.push_back(c == '\t' ? ' ' : c);
  }
  return text;
}

std::string h_tag(std::string_view field) {
  std::string text = unfolded(field);
  std::erase(text, ' ');
  const size_t begin = text.find(";h=") + 3;
  return text.substr(begin, text.find(';', begin) - begin);
}

TEST(Signer, TagsInOrder) {
  SignatureOptions options = options_for("example.com");
  options.identity = "@mail.example.com";
  options.lifetime = seconds(3600);
  options.header = Canonicalization::simple;
  options.oversigned_fields = {"From"};
  options.signed_fields = {"To"};
  Signer signer = signer_of(options);
  const std::string text = unfolded(signature_of(signer, "From: a@example.com\r\nTo: b\r\n"));
  EXPECT_TRUE(text.starts_with(
      "DKIM-Signature: v=1; a=ed25519-sha256; c=simple/relaxed; d=example.com; s=s1; "
      "i=@mail.example.com; t=1700000000; x=1700003600; h=from:from:to; "
      "bh=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=; b="))
      << text;
}

// As DKIM-Quoted-Printable (RFC 6376 2.11): bare, they would break the tag list.
TEST(Signer, AnIdentityMayHaveWhatTagsMayNot) {
  SignatureOptions options = options_for("example.com");
  options.identity = "bounce+a=b;c@example.com";
  Signer signer = signer_of(options);
  const std::string text = unfolded(signature_of(signer, "From: a@example.com\r\n"));
  EXPECT_NE(text.find("; i=bounce+a=3Db=3Bc@example.com;"), std::string::npos) << text;
}

TEST(Signer, WhereAnIdentityIs) {
  const auto of = [](const char* identity) {
    SignatureOptions options = options_for("Example.com");
    options.identity = identity;
    return identity_of(options);
  };
  EXPECT_EQ(of(""), Identity::of_domain);
  EXPECT_EQ(of("@example.com"), Identity::of_domain);
  EXPECT_EQ(of("a-long-local-part@example.COM"), Identity::of_domain);
  EXPECT_EQ(of("@a.example.com"), Identity::below);
}

TEST(Signer, WithoutTimes) {
  SignatureOptions options = options_for("example.com");
  options.timestamp = false;
  Signer signer = signer_of(options);
  const std::string text = unfolded(signature_of(signer, "From: a@example.com\r\n"));
  EXPECT_EQ(text.find("; t="), std::string::npos);
  EXPECT_EQ(text.find("; x="), std::string::npos);
}

TEST(Signer, LinesAreShortAndEndWithCrlf) {
  for (const char* pem : {kEd25519Pem, kRsa1024Pem, kRsa2048Pem}) {
    SignatureOptions options =
        options_for("a-long-domain-name-of-a-customer.of-a-provider.example");
    options.selector = "selector-of-november-2026.another-label";
    Signer signer = signer_of(options, pem);
    std::string field = signature_of(
        signer, "From: a@example.com\r\nList-Unsubscribe-Post: x\r\nList-Unsubscribe: y\r\n");
    ASSERT_TRUE(field.ends_with("\r\n"));
    size_t begin = 0;
    while (begin < field.size()) {
      const size_t end = field.find("\r\n", begin);
      EXPECT_LE(end - begin, 78u) << field.substr(begin, end - begin);
      EXPECT_TRUE(begin == 0 || field[begin] == '\t');
      begin = end + 2;
    }
  }
}

TEST(Signer, SignsEachOccurrenceAndOverSigns) {
  SignatureOptions options = options_for("example.com");
  options.oversigned_fields = {"from", "subject"};
  options.signed_fields = {"to", "list-id", "FROM"};
  Signer signer = signer_of(options);
  EXPECT_EQ(h_tag(signature_of(signer, "From: a@example.com\r\nTo: x\r\nTO: y\r\n")),
            "from:from:subject:to:to");
}

TEST(Signer, DefaultsCoverWhatReadersSee) {
  Signer signer = signer_of(options_for("example.com"));
  const std::string names = ":" +
                            h_tag(signature_of(signer,
                                               "From: a@example.com\r\nSubject: x\r\n"
                                               "List-Unsubscribe: <x>\r\nReceived: z\r\n")) +
                            ":";
  for (const char* twice : {":from:from:", ":subject:subject:", ":list-unsubscribe:", ":to:"}) {
    EXPECT_NE(names.find(twice), std::string::npos) << twice << " in " << names;
  }
  EXPECT_EQ(names.find("received"), std::string::npos);
}

TEST(Signer, RefusesWhatVerifiersWouldNotAccept) {
  Signer signer = signer_of(options_for("example.com"));
  Prepared prepared;
  HeaderFields fields;
  fields.add("To: b@example.com\r\n");
  EXPECT_FALSE(signer.prepare(fields, Digest{}, kNow, prepared));
  EXPECT_TRUE(prepared.empty());
  for (size_t i = 0; i <= HeaderFields::kFieldsMax; ++i) fields.add("From: a@example.com\r\n");
  EXPECT_FALSE(signer.prepare(fields, Digest{}, kNow, prepared));
}

TEST(Signer, OptionsAreChecked) {
  const auto with = [](auto change) {
    SignatureOptions options = options_for("example.com");
    change(options);
    return refusal(options);
  };
  EXPECT_NE(with([](auto& o) { o.domain = "localhost"; }).find("domain"), std::string::npos);
  EXPECT_NE(with([](auto& o) {
              o.domain =
                  "b\xC3\xBC"
                  "cher.example";
            }).find("A-labels"),
            std::string::npos);
  EXPECT_NE(with([](auto& o) { o.domain = "a..example"; }).find("domain"), std::string::npos);
  EXPECT_NE(with([](auto& o) { o.selector = "a;b"; }).find("selector"), std::string::npos);
  EXPECT_NE(with([](auto& o) { o.selector = ""; }).find("selector"), std::string::npos);
  EXPECT_NE(with([](auto& o) { o.identity = "user"; }).find("has no @"), std::string::npos);
  EXPECT_NE(with([](auto& o) { o.identity = "a b@example.com"; }).find("white space"),
            std::string::npos);
  EXPECT_NE(with([](auto& o) {
              o.identity =
                  "\xC3\xA4"
                  "@example.com";
            }).find("not ASCII"),
            std::string::npos);
  EXPECT_NE(with([](auto& o) { o.identity = "user@"; }).find("no domain name"), std::string::npos);
  EXPECT_NE(with([](auto& o) { o.identity = "@other.example"; }).find("within"), std::string::npos);
  EXPECT_NE(with([](auto& o) { o.identity = "@notexample.com"; }).find("within"),
            std::string::npos);
  EXPECT_NE(with([](auto& o) { o.lifetime = Milliseconds{10}; }).find("lifetime"),
            std::string::npos);
  EXPECT_NE(with([](auto& o) { o.signed_fields.push_back("a b"); }).find("field name"),
            std::string::npos);
  EXPECT_NE(with([](auto& o) { o.oversigned_fields = {"to"}; }).find("From"), std::string::npos);
  EXPECT_NE(with([](auto& o) { o.signed_fields.resize(Signer::kNamesMax, "x"); }).find("more than"),
            std::string::npos);
}

TEST(Signer, APreparedSignatureStandsAlone) {
  Signer signer = signer_of(options_for("example.com"));
  Prepared prepared;
  {
    std::string header = "From: a@example.com\r\nSubject: gone soon\r\n";
    HeaderFields fields;
    fields.add(header);
    ASSERT_TRUE(signer.prepare(fields, Digest{}, kNow, prepared));
    std::ranges::fill(header, 'x');
  }
  std::string later = "kept\r\n";
  ASSERT_TRUE(signer.sign(prepared, later));
  EXPECT_EQ(later,
            "kept\r\n" + signature_of(signer, "From: a@example.com\r\nSubject: gone soon\r\n"));
}

}  // namespace
}  // namespace ringmta::dkim
