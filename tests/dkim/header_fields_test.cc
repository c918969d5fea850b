// SPDX-License-Identifier: GPL-3.0-or-later
// The index of header fields, and who the author is.
#include "ringmta/dkim/header_fields.h"

#include <gtest/gtest.h>

namespace ringmta::dkim {
namespace {

TEST(HeaderFields, FoldsBelongToTheirField) {
  HeaderFields fields;
  fields.add("Received: by relay\r\n\tid 1\r\n");
  fields.add("From: a@example.com\r\nSubject: one\r\n two\r\nX:\r\n");
  ASSERT_EQ(fields.fields().size(), 4u);
  EXPECT_EQ(fields.fields()[0].text, "Received: by relay\r\n\tid 1\r\n");
  EXPECT_EQ(fields.fields()[2].text, "Subject: one\r\n two\r\n");
  EXPECT_EQ(fields.fields()[2].name(), "Subject");
  EXPECT_EQ(fields.fields()[3].value(), "\r\n");
  EXPECT_TRUE(fields.has("SUBJECT"));
  EXPECT_FALSE(fields.has("subject2"));
}

TEST(HeaderFields, WhatIsNoFieldIsLeftOutWithItsFolds) {
  HeaderFields fields;
  fields.add(
      "From someone Thu Jan  1 00:00:00 1970\r\n folded: here\r\n"
      "no colon\r\n: no name\r\n\xC3\xA4: x\r\nGood : yes\r\n");
  ASSERT_EQ(fields.fields().size(), 1u);
  EXPECT_EQ(fields.fields()[0].name(), "Good");
  EXPECT_EQ(fields.fields()[0].value(), " yes\r\n");
}

TEST(HeaderFields, TooManyAreCounted) {
  HeaderFields fields;
  for (size_t i = 0; i < HeaderFields::kFieldsMax; ++i) fields.add("X: y\r\n");
  EXPECT_FALSE(fields.too_many());
  fields.add("X: y\r\n");
  EXPECT_TRUE(fields.too_many());
  fields.clear();
  EXPECT_FALSE(fields.too_many());
  EXPECT_TRUE(fields.fields().empty());
}

std::string domain_of(std::string_view from) {
  HeaderFields fields;
  fields.add(from);
  std::string domain;
  const bool found = author_domain(fields, domain);
  EXPECT_EQ(found, !domain.empty());
  return domain;
}

TEST(AuthorDomain, FormsOfAddresses) {
  EXPECT_EQ(domain_of("From: a@Example.COM\r\n"), "example.com");
  EXPECT_EQ(domain_of("From: A <a@example.com>\r\n"), "example.com");
  EXPECT_EQ(domain_of("FROM :\"x@wrong.example <\" <a@example.com>\r\n"), "example.com");
  EXPECT_EQ(domain_of("From: (x@wrong.example (nested)) a@example.com (z)\r\n"), "example.com");
  EXPECT_EQ(domain_of("From: \"a@wrong.example\"@example.com\r\n"), "example.com");
  EXPECT_EQ(domain_of("From: a@wrong.example <b@example.com>\r\n"), "example.com");
  EXPECT_EQ(domain_of("From: <@r1.example,@r2.example:b@example.com>\r\n"), "example.com");
  EXPECT_EQ(domain_of("From: a@example.com, b@other.example\r\n"), "example.com");
  EXPECT_EQ(domain_of("From: Team: a@example.com, b@other.example;\r\n"), "example.com");
  EXPECT_EQ(domain_of("From: A\r\n <a@example.com>\r\n"), "example.com");
  EXPECT_EQ(domain_of("From: a@example.com.\r\n"), "example.com");
  EXPECT_EQ(domain_of("From: a@b\xC3\xBC"
                      "cher.example\r\n"),
            "b\xC3\xBC"
            "cher.example");
  EXPECT_EQ(domain_of("To: x@y.example\r\nFrom: a@example.com\r\nFrom: b@c.example\r\n"),
            "example.com");
}

TEST(AuthorDomain, Nobody) {
  for (const std::string_view from :
       {"From: \r\n", "From: nobody\r\n", "From: \"a@b.example", "From: (a@b.example\r\n",
        "From: <>\r\n", "From: a@\r\n", "From: \"\\", "To: a@b.example\r\n", ""}) {
    EXPECT_EQ(domain_of(from), "") << from;
  }
}

}  // namespace
}  // namespace ringmta::dkim
