// SPDX-License-Identifier: GPL-3.0-or-later
// Numbers, spans and foreign text as people read them; rows in columns.
#include "../../src/cli/text.h"

#include <gtest/gtest.h>

#include <sstream>

#include "../../src/cli/table.h"

namespace ringmta::cli {
namespace {

TEST(Text, Counts) {
  EXPECT_EQ(count_text(0), "0");
  EXPECT_EQ(count_text(999), "999");
  EXPECT_EQ(count_text(1000), "1,000");
  EXPECT_EQ(count_text(18446744073709551615ULL), "18,446,744,073,709,551,615");
}

TEST(Text, Octets) {
  EXPECT_EQ(octets_text(0), "0 B");
  EXPECT_EQ(octets_text(1023), "1023 B");
  EXPECT_EQ(octets_text(1024), "1.0 KiB");
  EXPECT_EQ(octets_text(10'189), "10 KiB");
  EXPECT_EQ(octets_text(52'428'800), "50 MiB");
  EXPECT_EQ(octets_text(1'048'500), "1.0 MiB");
  EXPECT_EQ(octets_text(18446744073709551615ULL), "16384 PiB");
}

TEST(Text, Spans) {
  EXPECT_EQ(span_text({0}), "0 ms");
  EXPECT_EQ(span_text({999}), "999 ms");
  EXPECT_EQ(span_text({59'999}), "59 s");
  EXPECT_EQ(span_text({90'000}), "1 m 30 s");
  EXPECT_EQ(span_text({3'600'000}), "1 h");
  EXPECT_EQ(span_text({3'659'000}), "1 h");
  EXPECT_EQ(span_text({93'600'000}), "1 d 2 h");
  EXPECT_EQ(span_text({-1500}), "-1 s");
}

TEST(Text, Rates) {
  EXPECT_EQ(rate_text(0), "0");
  EXPECT_EQ(rate_text(0.254), "0.25");
  EXPECT_EQ(rate_text(12.54), "12.5");
  EXPECT_EQ(rate_text(99.97), "100");
  EXPECT_EQ(rate_text(4810.4), "4,810");
  EXPECT_EQ(rate_text(-1), "0");
  EXPECT_EQ(percent_text(0.374), "37%");
}

TEST(Text, OfPeersCannotMoveTheCursor) {
  EXPECT_EQ(harmless("550 5.1.1 no such user"), "550 5.1.1 no such user");
  EXPECT_EQ(harmless("\x1b[2J\x07gone"), "?[2J?gone");
  EXPECT_EQ(harmless("one\r\ntwo\tthree"), "one  two three");
  EXPECT_EQ(harmless("caf\xc3\xa9 \xe7\x94\xa8\xe6\x88\xb7 \xf0\x9f\x93\xa7"),
            "caf\xc3\xa9 \xe7\x94\xa8\xe6\x88\xb7 \xf0\x9f\x93\xa7");
  EXPECT_EQ(harmless("\xff\xfe"), "??");
  EXPECT_EQ(harmless("cut \xe7\x94"), "cut ??");
  EXPECT_EQ(harmless("\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80"), "?????????");
  EXPECT_EQ(harmless("\xc2\x9b"
                     "31m"),
            "?31m");  // CSI as one character
  EXPECT_EQ(harmless("a\xe2\x80\xae"
                     "b\xe2\x81\xa6"
                     "c"),
            "a?b?c");  // writing direction
  EXPECT_EQ(harmless(std::string_view("\0\x7f", 2)), "??");
}

TEST(Tables, AlignTheirColumns) {
  Table table({{"name", Align::left}, {"count"}, {"note", Align::left}});
  table.add({"a", "12,345", "x"});
  table.add({"caf\xc3\xa9s", "7", ""});
  std::ostringstream out;
  table.print(out);
  EXPECT_EQ(out.str(),
            "name    count  note\n"
            "a      12,345  x\n"
            "caf\xc3\xa9s       7\n");
}

TEST(Tables, PrintTitlesOnceAndKeepTheirWidths) {
  Table table({{"a", Align::left}, {"b"}});
  table.add({"wide cell", "1"});
  std::ostringstream out;
  table.print(out);
  table.add({"x", "2"});
  table.print(out);
  table.print(out);
  EXPECT_EQ(out.str(),
            "a          b\n"
            "wide cell  1\n"
            "x          2\n");
}

}  // namespace
}  // namespace ringmta::cli
