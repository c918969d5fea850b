// SPDX-License-Identifier: GPL-3.0-or-later
// Body hashes and header text against a plain implementation that works on whole messages, for odd
// contents and every way to cut them into pieces.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "../../src/dkim/body_canonicalizer.h"
#include "ringmta/base/prng.h"
#include "ringmta/dkim/content_hasher.h"
#include "wire.h"

namespace ringmta::dkim {
namespace {

// RFC 6376 3.4.3 and 3.4.4, line by line, as they are written there. `body` is not dot-stuffed.
std::string plain_canonical(std::string_view body, Canonicalization which) {
  std::vector<std::string> lines;
  std::string line;
  for (size_t i = 0; i < body.size(); ++i) {
    if (body[i] == '\r' && i + 1 < body.size() && body[i + 1] == '\n') {
      lines.push_back(std::move(line));
      line.clear();
      ++i;
    } else {
      line.push_back(body[i]);
    }
  }
  if (!line.empty()) lines.push_back(line);
  if (which == Canonicalization::relaxed) {
    for (std::string& one : lines) {
      std::string reduced;
      for (const char c : one) {
        const char space = c == '\t' ? ' ' : c;
        if (space != ' ' || !reduced.ends_with(' ')) reduced.push_back(space);
      }
      if (reduced.ends_with(' ')) reduced.pop_back();
      one = reduced;
    }
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  std::string canonical;
  for (const std::string& one : lines) canonical.append(one).append("\r\n");
  if (canonical.empty() && which == Canonicalization::simple) return "\r\n";
  return canonical;
}

Digest plain_body_hash(std::string_view body, Canonicalization which) {
  Sha256Hash hash;
  const std::string canonical = plain_canonical(body, which);
  hash.update(canonical.data(), canonical.size());
  Digest digest;
  hash.finish(digest);
  return digest;
}

struct Hashes {
  Digest simple, relaxed;
  std::string header;
};

Hashes hash_in_pieces(std::string_view wire, const std::vector<size_t>& cuts) {
  ContentHasher hasher({.simple = true, .relaxed = true});
  hasher.begin();
  size_t from = 0;
  for (const size_t cut : cuts) {
    // A copy of exact size, so that a sanitizer sees a read beyond it.
    const std::vector<char> piece(wire.begin() + static_cast<long>(from),
                                  wire.begin() + static_cast<long>(cut));
    hasher.append({piece.data(), piece.size()});
    from = cut;
  }
  const std::vector<char> rest(wire.begin() + static_cast<long>(from), wire.end());
  hasher.append({rest.data(), rest.size()});
  hasher.finish();
  return {hasher.body_hash(Canonicalization::simple), hasher.body_hash(Canonicalization::relaxed),
          std::string(hasher.header())};
}

void expect_hashes(std::string_view header, std::string_view body,
                   const std::vector<size_t>& cuts) {
  const std::string wire = wire_form(std::string(header) + "\r\n" + std::string(body));
  const Hashes got = hash_in_pieces(wire, cuts);
  EXPECT_EQ(got.header, header) << "of " << wire;
  EXPECT_EQ(got.simple, plain_body_hash(body, Canonicalization::simple)) << "of " << wire;
  EXPECT_EQ(got.relaxed, plain_body_hash(body, Canonicalization::relaxed)) << "of " << wire;
}

constexpr std::string_view kHeader = "From: a@example.com\r\nSubject: x\r\n";

TEST(BodyCanonicalization, ExampleOfTheStandard) {
  // RFC 6376 3.4.5.
  const std::string body = " C \r\nD \t E\r\n\r\n\r\n";
  EXPECT_EQ(plain_canonical(body, Canonicalization::relaxed), " C\r\nD E\r\n");
  EXPECT_EQ(plain_canonical(body, Canonicalization::simple), " C \r\nD \t E\r\n");
  expect_hashes("A: X\r\nB : Y\t\r\n\tZ  \r\n", body, {});
}

TEST(BodyCanonicalization, MessageOfRfc8463) {
  ContentHasher hasher({});
  hasher.begin();
  hasher.append(
      "From: Joe SixPack <joe@football.example.com>\r\n\r\n"
      "Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n.\r\n");
  hasher.finish();
  std::string text;
  append_hex(hasher.body_hash(Canonicalization::relaxed), text);
  // bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8= (RFC 8463 A.3).
  EXPECT_EQ(text, "da3512387f4d86d54609058dafd06b2003eb78a4233ba4a7ed72247c954eceff");
}

TEST(BodyCanonicalization, EveryCutOfOddBodies) {
  const std::vector<std::string> bodies = {
      "",
      "\r\n",
      "\r\n\r\n\r\n",
      " \r\n\t\r\n",
      ".\r\n",
      "..\r\n.a\r\n",
      ". \r\n .\r\n",
      "a\r\n\t\r\n",
      "a\r\n \r\nb \r\n",
      "a  b\t\tc \t d\r\n  indented\r\n\ttabbed\r\nend",
      "no line end",
      "bare\rreturn and bare\nfeed\r\r\n",
      "\r\n\r\na\r\n\r\n.b\r\n\r\n",
      "\xC3\xA4\xFF\r\n",
  };
  for (const std::string& body : bodies) {
    const size_t size = wire_form(std::string(kHeader) + "\r\n" + body).size();
    for (size_t cut = 0; cut <= size; ++cut) expect_hashes(kHeader, body, {cut});
    std::vector<size_t> every;
    for (size_t cut = 1; cut < size; ++cut) every.push_back(cut);
    expect_hashes(kHeader, body, every);
  }
}

TEST(BodyCanonicalization, RandomBodiesInRandomPieces) {
  Prng random(7);
  constexpr std::string_view kAlphabet[] = {
      "a", "b", " ", "\t", ".", "\r\n", "\r\n.", " \r\n", "\r\n\r\n", "\xE9", "wordwordwordword"};
  for (int round = 0; round < 3000; ++round) {
    std::string body;
    const size_t tokens = random.below(120);
    for (size_t i = 0; i < tokens; ++i) body += kAlphabet[random.below(std::size(kAlphabet))];
    const size_t size = wire_form(std::string(kHeader) + "\r\n" + body).size();
    std::vector<size_t> cuts;
    for (size_t i = random.below(6); i > 0; --i) cuts.push_back(random.below(size + 1));
    std::ranges::sort(cuts);
    expect_hashes(kHeader, body, cuts);
  }
}

TEST(BodyCanonicalization, FastScanIsThePlainScan) {
  Prng random(11);
  constexpr std::string_view kAlphabet = "abcdefgh \t\r\n..";
  for (int round = 0; round < 20000; ++round) {
    std::vector<char> text(random.below(80));
    for (char& c : text) {
      c = random.below(3) != 0 ? 'x' : kAlphabet[random.below(kAlphabet.size())];
    }
    const std::string_view view(text.data(), text.size());
    for (const auto which : {Canonicalization::simple, Canonicalization::relaxed}) {
      ASSERT_EQ(unchanged_run(view, which), unchanged_run_plain(view, which)) << std::string(view);
    }
  }
}

TEST(ContentHasher, HeaderWithStuffedDotsAndNoBody) {
  expect_hashes(".odd: name\r\n..odder: name\r\n", "", {});
  expect_hashes("", "body only\r\n", {});
  // No empty line at all: the closing dot ends the header section.
  const Hashes got = hash_in_pieces("From: a@example.com\r\n.\r\n", {5});
  EXPECT_EQ(got.header, "From: a@example.com\r\n");
  EXPECT_EQ(got.relaxed, plain_body_hash("", Canonicalization::relaxed));
}

TEST(ContentHasher, IsUsedAgain) {
  ContentHasher hasher({.simple = true, .relaxed = true});
  for (const std::string_view body : {"one\r\n", "", "two  \r\n\r\n"}) {
    hasher.begin();
    hasher.append(wire_form(std::string(kHeader) + "\r\n" + std::string(body)));
    hasher.finish();
    EXPECT_EQ(hasher.header(), kHeader);
    EXPECT_EQ(hasher.body_hash(Canonicalization::simple),
              plain_body_hash(body, Canonicalization::simple));
    EXPECT_EQ(hasher.body_hash(Canonicalization::relaxed),
              plain_body_hash(body, Canonicalization::relaxed));
  }
}

TEST(ContentHasher, AHeaderTooBigIsNotKeptAndTheBodyIsFound) {
  const std::string header =
      "From: a@example.com\r\nX: " + std::string(ContentHasher::kHeaderSizeMax, 'x') + "\r\n";
  const Hashes got = hash_in_pieces(header + "\r\nbody\r\n.\r\n", {100, 200'000});
  EXPECT_EQ(got.header, "");
  EXPECT_EQ(got.relaxed, plain_body_hash("body\r\n", Canonicalization::relaxed));
  ContentHasher hasher({});
  hasher.begin();
  hasher.append(header);
  EXPECT_TRUE(hasher.header_too_big());
  hasher.begin();
  EXPECT_FALSE(hasher.header_too_big());
}

}  // namespace
}  // namespace ringmta::dkim
