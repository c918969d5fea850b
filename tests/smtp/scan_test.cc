// SPDX-License-Identifier: GPL-3.0-or-later
// The content scanner against a plain reading of the RFCs, on inputs made of what matters to it, by
// every kernel this processor has, whole, octet by octet and cut at every place.
#include "ringmta/smtp/scan.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "ringmta/base/bytes.h"
#include "ringmta/base/prng.h"

namespace ringmta::smtp {
namespace {

using namespace std::string_view_literals;

struct Findings {
  bool ended = false;
  size_t consumed = 0;
  ContentFault fault = ContentFault::none;
  uint64_t octets = 0;
  bool at_line_start = false;
  std::vector<size_t> dots;  // counted: offsets of the dots to be doubled
  HeaderFacts facts{};
  bool open_dots = false;  // Framing::dots, and the end has not come
  std::string text() const {
    std::string all = ended ? "ended " : "open ";
    all += std::to_string(consumed) + " fault " + std::to_string(static_cast<int>(fault));
    all += " octets " + std::to_string(octets) + (at_line_start ? " at line start" : "");
    for (const size_t dot : dots) all += " ." + std::to_string(dot);
    if (open_dots) return all + (facts.has_eight_bit ? " eight-bit" : "");  // the rest is not known
    if (facts.has_date) all += " Date";
    if (facts.has_message_id) all += " Message-ID";
    if (facts.has_from) all += " From";
    if (facts.has_eight_bit) all += " eight-bit";
    if (facts.has_dot_stuffing) all += " stuffed";
    return all + " received " + std::to_string(facts.received_count);
  }
};

bool names(std::string_view line, std::string_view field) {
  line = line.substr(0, 12);  // what the scanner promises to look at
  if (!equals_ignoring_case(line.substr(0, field.size()), field)) return false;
  line.remove_prefix(field.size());
  while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
  return !line.empty() && line.front() == ':';
}

// No bits, no state, no cleverness: string searches over the whole.
Findings plain_reading(std::string_view input, Framing framing, uint32_t limit) {
  Findings found;
  const bool dots = framing == Framing::dots;
  const std::string framed = "\r\n" + std::string(input);
  const size_t end = dots ? framed.find("\r\n.\r\n") : std::string::npos;
  found.ended = end != std::string::npos;
  const std::string_view all = input.substr(0, found.ended ? end + 3 : input.size());
  found.consumed = all.size();

  std::vector<size_t> starts = {0};
  for (size_t i = 0; i + 1 < all.size(); ++i) {
    if (all[i] == '\r' && all[i + 1] == '\n') starts.push_back(i + 2);
  }
  found.at_line_start = starts.back() == all.size();

  size_t first = all.size() + 1;
  const auto fault = [&](size_t place, ContentFault what) {
    if (place < first || (place == first && what < found.fault)) {
      first = place;
      found.fault = what;
    }
  };
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i] == '\r' && i + 1 < all.size() && all[i + 1] != '\n') {
      fault(i + 1, ContentFault::bare_cr);
    }
    if (all[i] == '\n' && (i == 0 || all[i - 1] != '\r')) fault(i, ContentFault::bare_lf);
    if (all[i] == '\0') fault(i, ContentFault::nul);
    if (static_cast<unsigned char>(all[i]) > 127) found.facts.has_eight_bit = true;
  }
  if (!dots && all.ends_with('\r')) fault(all.size(), ContentFault::bare_cr);

  size_t stuffed = 0;
  bool in_header = true;
  for (size_t n = 0; n < starts.size(); ++n) {
    const size_t begin = starts[n];
    if (begin == all.size()) break;
    const size_t next = n + 1 < starts.size() ? starts[n + 1] : all.size();
    const std::string_view line = all.substr(begin, next - begin);
    const bool dot = line.starts_with('.');
    if (dot) {
      ++stuffed;
      if (!dots) found.dots.push_back(begin);
    }
    if (limit != 0) {
      const size_t place = limit + (dot && dots ? 1 : 0);
      if (place < line.size() && line[place] != '\r' && line[place] != '\n') {
        fault(begin + place, ContentFault::line_too_long);
      }
    }
    in_header = in_header && line != "\r\n";
    if (!in_header) continue;
    found.facts.received_count += names(line, "Received") ? 1 : 0;
    found.facts.has_date |= names(line, "Date");
    found.facts.has_message_id |= names(line, "Message-ID");
    found.facts.has_from |= names(line, "From");
  }
  found.facts.has_dot_stuffing = stuffed > (found.ended ? 1 : 0);
  found.open_dots = dots && !found.ended;
  found.octets = all.size() - (dots ? stuffed : 0);
  if (found.ended) {
    found.octets -= 2;
  } else if (dots && all.substr(starts.back()) == ".\r") {
    found.octets -= 1;
  }
  return found;
}

Findings by_scanner(const std::vector<std::string_view>& pieces, Framing framing, uint32_t limit,
                    ScanKernel kernel) {
  Findings found;
  ContentScanner scanner(kernel);
  scanner.start(Framing::counted, 1);  // what was before must leave no trace
  scanner.scan("Date: x\r\n.\n\r");
  scanner.start(framing, limit);
  for (const std::string_view whole : pieces) {
    // Memory of exactly this size, so that a read beyond it is seen by the sanitizer.
    const std::vector<char> memory(whole.begin(), whole.end());
    std::string_view piece(memory.data(), memory.size());
    while (!piece.empty() && !found.ended) {
      const ContentScanner::Step step = scanner.scan(piece);
      found.consumed += step.consumed;
      piece.remove_prefix(step.consumed);
      found.ended = step.event == ContentScanner::Event::end;
      if (step.event == ContentScanner::Event::dot) found.dots.push_back(found.consumed - 1);
    }
  }
  if (framing == Framing::counted) scanner.finish();
  found.open_dots = framing == Framing::dots && !found.ended;
  found.fault = scanner.fault();
  found.octets = scanner.octets();
  found.at_line_start = scanner.at_line_start();
  found.facts = scanner.facts();
  return found;
}

std::vector<ScanKernel> kernels() {
  std::vector<ScanKernel> found;
  for (const ScanKernel kernel : {ScanKernel::portable, ScanKernel::avx2, ScanKernel::avx512}) {
    if (supported(kernel)) found.push_back(kernel);
  }
  return found;
}

std::string shown(std::string_view input) {
  std::string text;
  for (const char c : input) {
    if (c == '\r') {
      text += "\\r";
    } else if (c == '\n') {
      text += "\\n";
    } else if (c < ' ') {
      text += "\\x" + std::to_string(static_cast<unsigned char>(c)) + ";";
    } else {
      text += c;
    }
  }
  return text;
}

void expect_same(std::string_view input, Framing framing, uint32_t limit, bool every_cut) {
  const std::string expected = plain_reading(input, framing, limit).text();
  for (const ScanKernel kernel : kernels()) {
    const auto run = [&](const std::vector<std::string_view>& pieces) {
      return by_scanner(pieces, framing, limit, kernel).text();
    };
    ASSERT_EQ(run({input}), expected) << to_text(kernel) << " limit " << limit << "\n"
                                      << shown(input);
    std::vector<std::string_view> octets;
    for (size_t i = 0; i < input.size(); ++i) octets.push_back(input.substr(i, 1));
    ASSERT_EQ(run(octets), expected) << "octets, " << to_text(kernel) << "\n" << shown(input);
    if (!every_cut) continue;
    for (size_t cut = 1; cut < input.size(); ++cut) {
      ASSERT_EQ(run({input.substr(0, cut), input.substr(cut)}), expected)
          << "cut at " << cut << ", " << to_text(kernel) << " limit " << limit << "\n"
          << shown(input);
    }
  }
}

// Text in which something happens every few octets.
std::string dense_text(Prng& random, size_t length, bool clean) {
  static constexpr std::string_view kDirty[] = {"\r"sv, "\n"sv, "\0"sv, "\r\r\n"sv, "\n\r"sv};
  static constexpr std::string_view kClean[] = {"\r\n",
                                                "\r\n.",
                                                "\r\n..",
                                                "\r\n.\r\n",
                                                "\r\n\r\n",
                                                ".",
                                                "a",
                                                "\xC3\xBC",
                                                "Date:",
                                                "From :",
                                                "\r\nReceived: x",
                                                "Message-id:",
                                                "received\t:x",
                                                "\r\ndate:",
                                                "\r\nFrom: a",
                                                "\r\nX: y",
                                                " ",
                                                "\r\nDat",
                                                ".\r\n",
                                                "\r\nReceived:",
                                                "mail mail",
                                                "0123456789"};
  std::string text;
  while (text.size() < length) {
    if (!clean && random.below(12) == 0) {
      text += kDirty[random.below(std::size(kDirty))];
    } else {
      text += kClean[random.below(std::size(kClean))];
    }
  }
  text.resize(length);
  return text;
}

TEST(Scan, RandomInputsAtEveryCut) {
  Prng random(20260801);
  for (int round = 0; round < 1200; ++round) {
    const size_t length = 1 + random.below(round % 4 == 0 ? 260 : 90);
    const std::string text = dense_text(random, length, round % 2 == 0);
    const auto limit = static_cast<uint32_t>(random.below(3) == 0 ? 1 + random.below(70) : 0);
    const Framing framing = random.below(3) == 0 ? Framing::counted : Framing::dots;
    ASSERT_NO_FATAL_FAILURE(expect_same(text, framing, limit, true));
  }
}

// What happens lies at every offset within a block, behind a header section and calm text.
TEST(Scan, EveryOffsetInBlocks) {
  static constexpr std::string_view kEvents[] = {
      "\r\n.\r\n"sv, "\r\n..\r\n"sv,  "\n"sv,        "\r"sv,   "\0"sv,
      "\r\r\n"sv,    "\n.\n"sv,       "\r.\r"sv,     "\xFF"sv, "\r\n.\n"sv,
      "\n.\r\n"sv,   "\r\n.\r\r\n"sv, "\r\n.x\r\n"sv};
  for (const Framing framing : {Framing::dots, Framing::counted}) {
    for (size_t before = 0; before < 200; ++before) {
      for (const std::string_view event : kEvents) {
        std::string text = "Date: x\r\n\r\n" + std::string(before, 'x');
        text += event;
        text += std::string(130, 'y') + "\r\n.\r\nQUIT\r\n";
        ASSERT_NO_FATAL_FAILURE(expect_same(text, framing, 0, false));
      }
    }
  }
}

TEST(Scan, LineLengthLimitIsExact) {
  for (const uint32_t limit : {1U, 2U, 63U, 64U, 65U, 127U, 128U, 200U, 998U}) {
    for (const size_t over : {0U, 1U}) {
      for (const std::string_view begin : {""sv, "a: b\r\n\r\n"sv, ".."sv}) {
        std::string text(begin);
        text += std::string(limit + over - (begin == ".." ? 1 : 0), 'x');
        text += "\r\n.\r\n";
        ContentScanner scanner;
        scanner.start(Framing::dots, limit);
        scanner.scan(text);
        const bool header_too_long = begin.starts_with('a') && limit < 4;
        EXPECT_EQ(scanner.fault() == ContentFault::line_too_long, over > 0 || header_too_long)
            << limit << " " << begin;
        ASSERT_NO_FATAL_FAILURE(expect_same(text, Framing::dots, limit, false));
      }
    }
  }
}

TEST(Scan, OnlyTheHeaderSectionIsRead) {
  ContentScanner scanner;
  scanner.start(Framing::dots);
  scanner.scan("Received: a\r\n\tReceived: b\r\nX: y\r\n\r\nReceived: c\r\nDate: d\r\n.\r\n");
  EXPECT_EQ(scanner.facts().received_count, 1U);
  EXPECT_FALSE(scanner.facts().has_date);

  scanner.start(Framing::dots);
  scanner.skip_header();
  scanner.scan("Received: a\r\nDate: d\r\n.\r\n");
  EXPECT_EQ(scanner.facts().received_count, 0U);
  EXPECT_FALSE(scanner.facts().has_date);
}

TEST(Scan, NothingBehindTheEndIsLookedAt) {
  ContentScanner scanner;
  scanner.start(Framing::dots);
  const ContentScanner::Step step = scanner.scan("a: b\r\n.\r\nDate: x\r\n\xFF\n\r\0"sv);
  EXPECT_EQ(step.event, ContentScanner::Event::end);
  EXPECT_EQ(step.consumed, 9U);
  EXPECT_EQ(scanner.fault(), ContentFault::none);
  EXPECT_FALSE(scanner.facts().has_date);
  EXPECT_FALSE(scanner.facts().has_eight_bit);
  EXPECT_EQ(scanner.octets(), 6U);
}

TEST(Scan, BestKernelIsSupported) { EXPECT_TRUE(supported(best_scan_kernel())); }

}  // namespace
}  // namespace ringmta::smtp
