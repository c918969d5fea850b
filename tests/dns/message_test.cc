// SPDX-License-Identifier: GPL-3.0-or-later
// Messages: what is asked, what is believed, and that hostile ones cost bounded work. Honest
// answers are made by ldns, hostile ones by hand.
#include "ringmta/dns/message.h"

#include <gtest/gtest.h>

#include <ctime>

#include "ringmta/base/prng.h"
#include "script.h"
#include "siphash.h"

namespace ringmta::dns {
namespace {

const std::string kSoa = " 900 IN SOA ns.example.org. host.example.org. 1 3600 600 86400 ";

class DnsMessage : public ::testing::Test {
 protected:
  Question mx_of(const std::string& name) {
    return {7, RecordType::mx, *Name::parse(name), 0, true};
  }
  Message about(const std::string& name, RecordType type = RecordType::mx) {
    return Message(7).question(name + ".", type);
  }
  Verdict read(const std::string& octets, const Question& question, bool any_case = false) {
    return read_answer(as_bytes(octets), question, any_case, answer);
  }
  Verdict read(const Message& message, const Question& question) {
    return read(message.octets(), question);
  }
  std::vector<std::string> mx_texts() const {
    std::vector<std::string> texts;
    RecordReader reader(answer.packed);
    while (const auto data = reader.next()) {
      const MxRecord mx = read_mx(*data);
      texts.push_back(std::to_string(mx.preference) + " " + mx.host.text());
    }
    return texts;
  }
  Answer answer;
};

using Texts = std::vector<std::string>;

// ---- the question

TEST_F(DnsMessage, AQuestionIsReadByOthersAsItWasMeant) {
  std::array<std::byte, kQueryOctetsMax> buffer;
  Question question = mx_of("example.org");
  const size_t length = write_query(question, buffer);
  ldns_pkt* parsed = nullptr;
  ASSERT_EQ(ldns_wire2pkt(&parsed, reinterpret_cast<const uint8_t*>(buffer.data()), length),
            LDNS_STATUS_OK);
  const Packet packet = owned(parsed);
  EXPECT_EQ(ldns_pkt_id(parsed), 7);
  EXPECT_FALSE(ldns_pkt_qr(parsed));
  EXPECT_TRUE(ldns_pkt_rd(parsed));
  EXPECT_TRUE(ldns_pkt_edns(parsed));
  EXPECT_EQ(ldns_pkt_edns_udp_size(parsed), 1232);
  const ldns_rr* asked = ldns_rr_list_rr(ldns_pkt_question(parsed), 0);
  EXPECT_EQ(ldns_rr_get_type(asked), LDNS_RR_TYPE_MX);
  EXPECT_EQ(ldns_rr_get_class(asked), LDNS_RR_CLASS_IN);
  question.edns = false;
  EXPECT_EQ(write_query(question, buffer), length - 11);
}

TEST_F(DnsMessage, CapitalsMustBeRepeatedExactly) {
  Question question = mx_of("example.org");
  question.capitals = 0x5555555555555555;
  std::array<std::byte, kQueryOctetsMax> buffer;
  const size_t length = write_query(question, buffer);
  const std::string sent(as_text(Bytes(buffer).first(length)));
  const std::string name = sent.substr(13, 7);
  EXPECT_NE(name, "example");
  EXPECT_TRUE(equals_ignoring_case(name, "example"));
  std::string octets = about("example.org").answer("example.org. 300 IN MX 10 a.example.").octets();
  EXPECT_EQ(read(octets, question), Verdict::stray);
  EXPECT_EQ(read(octets, question, true), Verdict::good);
  octets.replace(12, 13, sent.substr(12, 13));
  EXPECT_EQ(read(octets, question), Verdict::good);
  EXPECT_EQ(mx_texts(), (Texts{"10 a.example"}));  // the owner in capitals is the same name
}

// ---- honest answers

TEST_F(DnsMessage, FoundRecordsArePackedWithTheLeastTtl) {
  EXPECT_EQ(read(about("example.org")
                     .answer("example.org. 300 IN MX 10 mx1.example.org.")
                     .answer("example.org. 200 IN MX 20 MX2.Example.NET."),
                 mx_of("example.org")),
            Verdict::good);
  EXPECT_EQ(answer.kind, Answer::Kind::found);
  EXPECT_EQ(answer.count, 2);
  EXPECT_EQ(answer.ttl_s, 200U);
  EXPECT_EQ(mx_texts(), (Texts{"10 mx1.example.org", "20 mx2.example.net"}));
}

TEST_F(DnsMessage, AddressesArePacked) {
  Question question{7, RecordType::aaaa, *Name::parse("mx.example"), 0, true};
  ASSERT_EQ(
      read(about("mx.example", RecordType::aaaa).answer("mx.example. 300 IN AAAA 2001:db8::25"),
           question),
      Verdict::good);
  RecordReader reader(answer.packed);
  EXPECT_EQ(read_address(RecordType::aaaa, *reader.next(), 25).text(), "[2001:db8::25]:25");
  EXPECT_FALSE(reader.next());
  question.type = RecordType::a;
  ASSERT_EQ(
      read(about("mx.example", RecordType::a).answer("mx.example. 300 IN A 192.0.2.25"), question),
      Verdict::good);
  EXPECT_EQ(read_address(RecordType::a, *RecordReader(answer.packed).next(), 25).text(),
            "192.0.2.25:25");
}

TEST_F(DnsMessage, TheStringsOfATextAreJoined) {
  Message message = about("s1._domainkey.example.org", RecordType::txt);
  message.answer("s1._domainkey.example.org. 60 IN TXT \"v=DKIM1; \" \"\" \"p=AAAA\"");
  message.answer("s1._domainkey.example.org. 50 IN TXT \"two\"");
  const Question question{7, RecordType::txt, *Name::parse("s1._domainkey.example.org"), 0, true};
  ASSERT_EQ(read(message, question), Verdict::good);
  ASSERT_EQ(answer.kind, Answer::Kind::found);
  EXPECT_EQ(answer.ttl_s, 50U);
  RecordReader reader(answer.packed);
  EXPECT_EQ(as_text(*reader.next()), "v=DKIM1; p=AAAA");
  EXPECT_EQ(as_text(*reader.next()), "two");
  EXPECT_FALSE(reader.next().has_value());
}

// A string that claims more octets than its record has.
TEST_F(DnsMessage, ATextThatReachesBeyondItsRecordIsMalformed) {
  Message message = about("a.example", RecordType::txt);
  message.answer("a.example. 60 IN TXT \"abc\"");
  std::string octets = message.octets();
  const size_t at = octets.rfind(std::string("\x03") + "abc");
  ASSERT_NE(at, std::string::npos);
  octets[at] = 4;
  const Question question{7, RecordType::txt, *Name::parse("a.example"), 0, true};
  EXPECT_EQ(read(octets, question), Verdict::malformed);
}

TEST_F(DnsMessage, NoDataLastsAsLongAsTheSoaSays) {
  ASSERT_EQ(
      read(about("example.org").authority("example.org." + kSoa + "120"), mx_of("example.org")),
      Verdict::good);
  EXPECT_EQ(answer.kind, Answer::Kind::no_data);
  EXPECT_TRUE(answer.cacheable);
  EXPECT_EQ(answer.ttl_s, 120U);
  ASSERT_EQ(
      read(about("example.org").authority("example.org." + kSoa + "5000"), mx_of("example.org")),
      Verdict::good);
  EXPECT_EQ(answer.ttl_s, 900U);  // the SOA's own TTL is less
}

TEST_F(DnsMessage, NoSuchNameLastsAsLongAsTheSoaSays) {
  ASSERT_EQ(read(about("no.example.org").rcode(3).authority("example.org." + kSoa + "60"),
                 mx_of("no.example.org")),
            Verdict::good);
  EXPECT_EQ(answer.kind, Answer::Kind::no_such_name);
  EXPECT_EQ(answer.ttl_s, 60U);
}

TEST_F(DnsMessage, ANoWithoutASoaIsNotToBeKept) {
  ASSERT_EQ(read(about("example.org").rcode(3), mx_of("example.org")), Verdict::good);
  EXPECT_EQ(answer.kind, Answer::Kind::no_such_name);
  EXPECT_FALSE(answer.cacheable);
  EXPECT_EQ(answer.ttl_s, 0U);
}

TEST_F(DnsMessage, AliasesAreFollowedInAnyOrder) {
  ASSERT_EQ(read(about("example.org")
                     .answer("c.example. 100 IN MX 5 mx.example.")
                     .answer("b.example. 50 IN CNAME c.example.")
                     .answer("example.org. 300 IN CNAME b.example."),
                 mx_of("example.org")),
            Verdict::good);
  EXPECT_EQ(answer.kind, Answer::Kind::found);
  EXPECT_EQ(answer.aliases, 2);
  EXPECT_EQ(answer.ttl_s, 50U);
  EXPECT_EQ(mx_texts(), (Texts{"5 mx.example"}));
}

TEST_F(DnsMessage, AnAliasWithoutItsEndSaysWhereToGoOn) {
  ASSERT_EQ(read(about("example.org").answer("example.org. 300 IN CNAME elsewhere.example."),
                 mx_of("example.org")),
            Verdict::good);
  EXPECT_EQ(answer.kind, Answer::Kind::alias);
  EXPECT_EQ(answer.owner.text(), "elsewhere.example");
}

TEST_F(DnsMessage, AnAliasToNothingIsNothing) {
  ASSERT_EQ(read(about("example.org")
                     .rcode(3)
                     .answer("example.org. 30 IN CNAME gone.example.")
                     .authority("example." + kSoa + "60"),
                 mx_of("example.org")),
            Verdict::good);
  EXPECT_EQ(answer.kind, Answer::Kind::no_such_name);
  EXPECT_EQ(answer.ttl_s, 30U);
}

TEST_F(DnsMessage, TruncationIsAllATruncatedAnswerSays) {
  ASSERT_EQ(read(about("example.org").truncated().answer("example.org. 300 IN MX 10 a.example."),
                 mx_of("example.org")),
            Verdict::good);
  EXPECT_EQ(answer.kind, Answer::Kind::truncated);
  EXPECT_EQ(answer.count, 0);
}

TEST_F(DnsMessage, ErrorsAreErrors) {
  for (const uint8_t code : {1, 2, 4, 5, 9}) {
    ASSERT_EQ(read(about("example.org").rcode(code), mx_of("example.org")), Verdict::good);
    EXPECT_EQ(answer.kind, Answer::Kind::error);
    EXPECT_EQ(answer.rcode, code);
  }
  ASSERT_EQ(read(about("example.org").extended_rcode(1), mx_of("example.org")), Verdict::good);
  EXPECT_EQ(answer.kind,
            Answer::Kind::error);  // rcode 0 in the header: not to be read as "no data"
  EXPECT_EQ(answer.rcode, kRcodeBadVersion);
  ASSERT_EQ(read(Message(7).rcode(1).octets(), mx_of("example.org")), Verdict::good);
  EXPECT_EQ(answer.rcode, kRcodeFormat);
}

TEST_F(DnsMessage, AReferralIsAnError) {
  ASSERT_EQ(read(about("example.org").not_authoritative().authority("org. 300 IN NS ns.org."),
                 mx_of("example.org")),
            Verdict::good);
  EXPECT_EQ(answer.kind, Answer::Kind::error);
}

// ---- dishonest answers

TEST_F(DnsMessage, WhatAnswersAnotherQuestionIsStray) {
  const std::string good =
      about("example.org").answer("example.org. 300 IN MX 1 a.example.").octets();
  Question question = mx_of("example.org");
  question.id = 8;
  EXPECT_EQ(read(good, question), Verdict::stray);
  EXPECT_EQ(read(good, mx_of("example.com")), Verdict::stray);
  EXPECT_EQ(read(good, {7, RecordType::a, *Name::parse("example.org"), 0, true}), Verdict::stray);
  std::string query = good;
  query[2] = static_cast<char>(query[2] & 0x7F);  // not an answer
  EXPECT_EQ(read(query, mx_of("example.org")), Verdict::stray);
  std::string update = good;
  update[2] = static_cast<char>(update[2] | 5 << 3);
  EXPECT_EQ(read(update, mx_of("example.org")), Verdict::stray);
  std::string chaos = good;
  chaos[12 + 13 + 3] = 3;  // class CH
  EXPECT_EQ(read(chaos, mx_of("example.org")), Verdict::stray);
  std::string two = good;
  two[5] = 2;
  EXPECT_EQ(read(two, mx_of("example.org")), Verdict::stray);
  std::string none = good;
  none[5] = 0;
  EXPECT_EQ(read(none, mx_of("example.org")), Verdict::stray);
  EXPECT_EQ(read("", mx_of("example.org")), Verdict::stray);
  EXPECT_EQ(read(good.substr(0, 11), mx_of("example.org")), Verdict::stray);
}

TEST_F(DnsMessage, RecordsOfOtherNamesAreNotBelieved) {
  ASSERT_EQ(read(about("example.org")
                     .answer("victim.example. 300 IN MX 0 evil.example.")
                     .answer("example.org. 300 IN MX 10 mx.example.org.")
                     .answer("sub.example.org. 300 IN MX 0 evil.example.")
                     .answer("victim.example. 300 IN CNAME evil.example."),
                 mx_of("example.org")),
            Verdict::good);
  EXPECT_EQ(mx_texts(), (Texts{"10 mx.example.org"}));
}

TEST_F(DnsMessage, RecordsInTheWrongSectionAreNotBelieved) {
  ASSERT_EQ(read(about("example.org")
                     .authority("example.org. 300 IN MX 0 evil.example.")
                     .additional("example.org. 300 IN MX 0 evil.example.")
                     .authority("example.org." + kSoa + "60"),
                 mx_of("example.org")),
            Verdict::good);
  EXPECT_EQ(answer.kind, Answer::Kind::no_data);
  EXPECT_EQ(answer.count, 0);
}

TEST_F(DnsMessage, ASoaOfAForeignZoneSaysNothing) {
  ASSERT_EQ(read(about("example.org").rcode(3).authority("example.com." + kSoa + "86400"),
                 mx_of("example.org")),
            Verdict::good);
  EXPECT_FALSE(answer.cacheable);
}

TEST_F(DnsMessage, RecordsUnderNoSuchNameContradictIt) {
  EXPECT_EQ(read(about("example.org").rcode(3).answer("example.org. 300 IN MX 10 a.example."),
                 mx_of("example.org")),
            Verdict::malformed);
}

TEST_F(DnsMessage, AliasesInACircleAreNoAnswer) {
  ASSERT_EQ(read(about("a.example")
                     .answer("a.example. 300 IN CNAME b.example.")
                     .answer("b.example. 300 IN CNAME a.example."),
                 mx_of("a.example")),
            Verdict::good);
  EXPECT_EQ(answer.kind, Answer::Kind::alias_loop);
  Message chain = about("n0.example");
  for (int i = 0; i < 12; ++i) {
    chain.answer("n" + std::to_string(i) + ".example. 300 IN CNAME n" + std::to_string(i + 1) +
                 ".example.");
  }
  ASSERT_EQ(read(chain, mx_of("n0.example")), Verdict::good);
  EXPECT_EQ(answer.kind, Answer::Kind::alias_loop);
}

TEST_F(DnsMessage, ATtlWithItsTopBitSetIsZero) {
  std::string octets = about("example.org").answer("example.org. 300 IN MX 10 a.example.").octets();
  const size_t ttl = octets.find(std::string("\x00\x00\x01\x2C", 4));
  ASSERT_NE(ttl, std::string::npos);
  octets[ttl] = '\xFF';
  ASSERT_EQ(read(octets, mx_of("example.org")), Verdict::good);
  EXPECT_EQ(answer.ttl_s, 0U);
}

// ---- hostile answers

// A header, the question for MX of "a", and whatever a test appends.
std::string begin_answer(uint16_t answers, uint16_t authorities = 0, uint16_t additionals = 0) {
  std::string octets("\x00\x07\x81\x80\x00\x01", 6);
  for (const uint16_t count : {answers, authorities, additionals}) {
    octets += static_cast<char>(count >> 8);
    octets += static_cast<char>(count);
  }
  return octets + std::string("\1a\0\0\x0F\0\1", 7);
}
std::string pointer_to(size_t at) {
  return {static_cast<char>(0xC0 | at >> 8), static_cast<char>(at)};
}
std::string fixed_part(uint16_t type, uint16_t length) {
  std::string octets;
  octets += static_cast<char>(type >> 8);
  octets += static_cast<char>(type);
  octets += std::string("\0\1\0\0\1\0", 6);
  octets += static_cast<char>(length >> 8);
  octets += static_cast<char>(length);
  return octets;
}
constexpr size_t kFirstRecord = 12 + 7;
constexpr uint16_t kMx = 15, kNs = 2, kCname = 5, kSoaType = 6;

TEST_F(DnsMessage, PointersThatLoopOrGoForwardsAreMalformed) {
  const std::string rest = fixed_part(kMx, 4) + std::string("\0\1\1b", 4);
  EXPECT_EQ(read(begin_answer(1) + pointer_to(kFirstRecord) + rest, mx_of("a")),
            Verdict::malformed);
  EXPECT_EQ(read(begin_answer(1) + pointer_to(kFirstRecord + 2) + rest, mx_of("a")),
            Verdict::malformed);
  EXPECT_EQ(read(begin_answer(1) + "\1x" + pointer_to(kFirstRecord) + rest, mx_of("a")),
            Verdict::malformed);
  EXPECT_EQ(read(begin_answer(1) + pointer_to(0x3FFF) + rest, mx_of("a")), Verdict::malformed);
  // Forwards to what would be a name.
  EXPECT_EQ(read(begin_answer(1) + pointer_to(kFirstRecord + 14) + fixed_part(kMx, 5) +
                     std::string("\0\1\1b\0", 5),
                 mx_of("a")),
            Verdict::malformed);
  // Within the data, where ldns would follow it.
  EXPECT_EQ(read(begin_answer(1) + pointer_to(12) + fixed_part(kMx, 4) + std::string("\0\1", 2) +
                     pointer_to(kFirstRecord + 14),
                 mx_of("a")),
            Verdict::malformed);
  EXPECT_EQ(read(begin_answer(1) + pointer_to(12) + fixed_part(kMx, 4) + std::string("\0\1", 2) +
                     pointer_to(12),
                 mx_of("a")),
            Verdict::good);
  EXPECT_EQ(mx_texts(), (Texts{"1 a"}));
}

TEST_F(DnsMessage, DataThatDoesNotFitIsMalformed) {
  EXPECT_EQ(read(begin_answer(1) + pointer_to(12) + fixed_part(kMx, 2) + std::string("\0\1", 2),
                 mx_of("a")),
            Verdict::malformed);
  EXPECT_EQ(read(begin_answer(1) + pointer_to(12) + fixed_part(kMx, 6) + std::string("\0\1", 2) +
                     pointer_to(12) + "xx",
                 mx_of("a")),
            Verdict::malformed);
  EXPECT_EQ(read(begin_answer(1) + pointer_to(12) + fixed_part(kMx, 500) + std::string("\0\1\0", 3),
                 mx_of("a")),
            Verdict::malformed);
  EXPECT_EQ(read(begin_answer(2), mx_of("a")), Verdict::malformed);
  EXPECT_EQ(
      read(begin_answer(1) + "\x80x" + fixed_part(kMx, 3) + std::string("\0\1\0", 3), mx_of("a")),
      Verdict::malformed);
}

// Of the additional section nothing is used but OPT's part of the rcode.
TEST_F(DnsMessage, AnAdditionalSectionThatCannotBeReadSpoilsNoAnswer) {
  const std::string mx =
      pointer_to(12) + fixed_part(kMx, 4) + std::string("\0\1", 2) + pointer_to(12);
  const std::string soa = pointer_to(12) + fixed_part(kSoaType, 22) + std::string(22, '\0');
  for (const std::string& broken : {pointer_to(0x3FFF) + fixed_part(1, 4), std::string("\x80x"),
                                    fixed_part(1, 500), std::string()}) {
    EXPECT_EQ(read(begin_answer(1, 0, 1) + mx + broken, mx_of("a")), Verdict::good);
    EXPECT_EQ(mx_texts(), (Texts{"1 a"}));
    EXPECT_EQ(read(begin_answer(0, 1, 1) + soa + broken, mx_of("a")), Verdict::good);
    EXPECT_EQ(answer.kind, Answer::Kind::no_data);
    // It may have been BADVERS, which looks like NOERROR without its OPT.
    EXPECT_EQ(read(begin_answer(0, 0, 1) + broken, mx_of("a")), Verdict::malformed);
  }
}

// What a hostile answer may cost at most: honest ones of this size cost about as much.
void expect_cheap(const std::string& octets, const Question& question, Verdict expected) {
  ASSERT_LE(octets.size(), kMessageOctetsMax);
  Answer answer;
  timespec before{};
  timespec after{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
  EXPECT_EQ(read_answer(as_bytes(octets), question, false, answer), expected);
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
  const int64_t used_ms =
      (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1'000'000;
  EXPECT_LT(used_ms, 100);
}

TEST_F(DnsMessage, TensOfThousandsClaimedCostNothing) {
  expect_cheap(begin_answer(65535, 65535, 65535), mx_of("a"), Verdict::malformed);
}

TEST_F(DnsMessage, ThousandsOfRecordsOfNoInterestAreWalkedOver) {
  std::string records;
  uint16_t count = 0;
  while (records.size() < 65'000) {
    records += pointer_to(12) + fixed_part(kNs, 2) + pointer_to(12);
    ++count;
  }
  expect_cheap(begin_answer(count) + records, mx_of("a"), Verdict::good);
}

TEST_F(DnsMessage, ThousandsOfRecordsOfTheTypeAskedForAreTooMany) {
  std::string records;
  uint16_t count = 0;
  while (records.size() < 65'000) {
    records += pointer_to(12) + fixed_part(kMx, 4) + std::string("\0\1", 2) + pointer_to(12);
    ++count;
  }
  expect_cheap(begin_answer(count) + records, mx_of("a"), Verdict::malformed);
}

TEST_F(DnsMessage, ThousandsOfAliasesAreTooMany) {
  std::string records;
  uint16_t count = 0;
  while (records.size() < 65'000) {
    records += pointer_to(12) + fixed_part(kCname, 2) + pointer_to(12);
    ++count;
  }
  expect_cheap(begin_answer(count) + records, mx_of("a"), Verdict::malformed);
}

// The data of an NS record, which nobody reads: pointers, each to the one before it.
std::string ladder_of(size_t pointers) {
  std::string ladder = pointer_to(12);
  for (size_t i = 1; i < pointers; ++i) ladder += pointer_to(kFirstRecord + 12 + 2 * (i - 1));
  return pointer_to(12) + fixed_part(kNs, static_cast<uint16_t>(ladder.size())) + ladder;
}

TEST_F(DnsMessage, NoNameFollowsManyPointers) {
  for (const size_t pointers : {20, 40}) {
    const std::string octets = begin_answer(2) + ladder_of(pointers) +
                               pointer_to(kFirstRecord + 12 + 2 * (pointers - 1)) +
                               fixed_part(kMx, 4) + std::string("\0\1", 2) + pointer_to(12);
    EXPECT_EQ(read(octets, mx_of("a")), pointers == 20 ? Verdict::good : Verdict::malformed);
  }
}

// Each name is a pointer to a pointer to a pointer ...: without a bound their number squared.
TEST_F(DnsMessage, ChainsOfPointersAreCutShort) {
  std::string records = ladder_of(8000);
  uint16_t count = 1;
  while (kFirstRecord + records.size() < 65'000) {
    records += pointer_to(15'991) + fixed_part(kNs, 2) + pointer_to(12);
    ++count;
  }
  expect_cheap(begin_answer(count) + records, mx_of("a"), Verdict::malformed);
}

TEST_F(DnsMessage, NamesLongerThanNamesCanBeAreMalformed) {
  std::string name;
  for (int i = 0; i < 5; ++i) name += std::string(1, '\x3F') + std::string(63, 'b');
  name += '\0';
  EXPECT_EQ(
      read(begin_answer(1) + name + fixed_part(kMx, 3) + std::string("\0\1\0", 3), mx_of("a")),
      Verdict::malformed);
  EXPECT_EQ(
      read(begin_answer(0, 1) + pointer_to(12) + fixed_part(kSoaType, 21) + std::string(21, '\0'),
           mx_of("a")),
      Verdict::malformed);
}

// Whatever octets come: no crash, no memory touched that is not ours (the sanitizers look), and
// what is called good is well formed.
TEST_F(DnsMessage, RandomDamageDoesNoHarm) {
  const std::string good = about("example.org")
                               .answer("example.org. 300 IN CNAME b.example.")
                               .answer("b.example. 300 IN MX 10 mx1.example.")
                               .answer("b.example. 300 IN MX 20 mx2.example.")
                               .authority("example." + kSoa + "60")
                               .additional("mx1.example. 300 IN A 192.0.2.1")
                               .octets();
  Prng prng(1);
  int survived = 0;
  for (int round = 0; round < 200'000; ++round) {
    std::string octets = good;
    for (uint64_t hits = 1 + prng.below(4); hits > 0; --hits) {
      const size_t at = 12 + prng.below(octets.size() - 12);
      octets[at] = static_cast<char>(prng.below(4) == 0 ? 0xC0 : prng.next());
    }
    if (prng.below(8) == 0) octets.resize(prng.below(octets.size()));
    if (read(octets, mx_of("example.org")) != Verdict::good) continue;
    ++survived;
    size_t count = 0;
    RecordReader reader(answer.packed);
    while (const auto data = reader.next()) {
      read_mx(*data);
      ++count;
    }
    ASSERT_EQ(count, answer.count);
  }
  EXPECT_GT(survived, 1000);
}

// ---- hashing

TEST(SipHash, AgreesWithThePublishedVectors) {
  const HashKey key{0x0706050403020100ULL, 0x0F0E0D0C0B0A0908ULL};
  std::string input;
  for (char c = 0; c < 15; ++c) input += c;
  EXPECT_EQ((siphash<2, 4>(key, as_bytes(input))), 0xa129ca6149be45e5ULL);
  EXPECT_EQ((siphash<2, 4>(key, as_bytes(""))), 0x726fdb47dd0e0e31ULL);
}

}  // namespace
}  // namespace ringmta::dns
