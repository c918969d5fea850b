// SPDX-License-Identifier: GPL-3.0-or-later
// Octets on disk: what is encoded is decoded, and whatever else is given is refused without harm.
#include "../../src/spool/format.h"

#include <gtest/gtest.h>

#include <string>

#include "ringmta/base/prng.h"
#include "ringmta/spool/spool.h"

namespace ringmta::spool {
namespace {

struct Sample {
  Sample() {
    for (int i = 0; i < 3; ++i) {
      smtp::RecipientView view;
      view.address = addresses[i];
      view.original_recipient = i == 1 ? "rfc822;o@example.org" : "";
      view.notify = static_cast<uint8_t>(i);
      recipients.push_back(view);
    }
    head.envelope.reverse_path = "sender@example.com";
    head.envelope.envelope_id = "ENV-1";
    head.envelope.dsn_return = smtp::DsnReturn::headers;
    head.envelope.eight_bit = true;
    head.envelope.recipients = recipients;
    head.info.arrival = {1'800'000'000'001};
    head.info.expiry = {1'800'000'000'002};
    head.info.client = "192.0.2.7";
    head.info.tenant = "tenant";
    head.info.user = "user";
    head.info.has_dot_stuffing = true;
    octets.resize(head_length(head));
    encode_head(head, MessageId{77}, octets.size(), octets.data());
  }
  std::string addresses[3] = {"a@example.org", "", "c@example.org"};
  std::vector<smtp::RecipientView> recipients;
  MessageHead head;
  std::vector<std::byte> octets;
};

TEST(Head, IsDecodedAsItWasEncoded) {
  const Sample sample;
  std::vector<smtp::RecipientView> recipients;
  const auto head = decode_head(sample.octets, recipients);
  ASSERT_TRUE(head.has_value());
  EXPECT_EQ(head->envelope.reverse_path, "sender@example.com");
  EXPECT_EQ(head->envelope.envelope_id, "ENV-1");
  EXPECT_EQ(head->envelope.dsn_return, smtp::DsnReturn::headers);
  EXPECT_TRUE(head->envelope.eight_bit);
  EXPECT_FALSE(head->envelope.utf8);
  EXPECT_EQ(head->info.arrival.ms, 1'800'000'000'001);
  EXPECT_EQ(head->info.expiry.ms, 1'800'000'000'002);
  EXPECT_EQ(head->info.client, "192.0.2.7");
  EXPECT_EQ(head->info.tenant, "tenant");
  EXPECT_EQ(head->info.user, "user");
  EXPECT_TRUE(head->info.has_dot_stuffing);
  EXPECT_FALSE(head->info.has_eight_bit);
  EXPECT_FALSE(head->info.is_dsn);
  ASSERT_EQ(head->envelope.recipients.size(), 3U);
  EXPECT_EQ(head->envelope.recipients[1].original_recipient, "rfc822;o@example.org");
  EXPECT_EQ(head->envelope.recipients[2].address, "c@example.org");
  EXPECT_EQ(head->envelope.recipients[2].notify, 2);
}

TEST(Head, ThatIsTooLongIsNotEncoded) {
  Sample sample;
  const std::string text(65'536, 'x');
  sample.head.info.tenant = text;
  EXPECT_EQ(head_length(sample.head), 0U);
  sample.head.info.tenant = std::string_view(text).substr(1);
  EXPECT_NE(head_length(sample.head), 0U);
}

// Cut, changed or made up: an answer, never a read beyond the octets (the sanitizers watch).
TEST(Head, OfAnyOctetsIsDecodedWithoutHarm) {
  const Sample sample;
  std::vector<smtp::RecipientView> recipients;
  for (size_t length = 0; length < sample.octets.size(); ++length) {
    const std::vector<std::byte> cut(sample.octets.begin(),
                                     sample.octets.begin() + static_cast<ptrdiff_t>(length));
    EXPECT_FALSE(decode_head(cut, recipients).has_value());
  }
  Prng random(3);
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::byte> changed = sample.octets;
    const uint64_t changes = 1 + random.below(4);
    for (uint64_t i = 0; i < changes; ++i) {
      changed[random.below(changed.size())] = static_cast<std::byte>(random.next());
    }
    const auto head = decode_head(changed, recipients);
    if (!head) continue;
    for (const auto& recipient : head->envelope.recipients) {
      ASSERT_LE(
          reinterpret_cast<const std::byte*>(recipient.address.data()) + recipient.address.size(),
          changed.data() + changed.size());
    }
  }
}

TEST(Numbers, AreReadAsTheyWereWritten) {
  Octets octets;
  const uint64_t values[] = {0, 1, 127, 128, 300, 1ULL << 35, UINT64_MAX};
  for (const uint64_t value : values) put_varint(octets, value);
  put_u64(octets, 0x0123456789ABCDEF);
  const RecipientState state{123'456, Fate::bounced, true, 65'535, {1'800'000'000'000}};
  put_state(octets, state);
  Reader reader(octets);
  for (const uint64_t value : values) EXPECT_EQ(reader.varint(), value);
  EXPECT_EQ(reader.u64(), 0x0123456789ABCDEFU);
  const RecipientState read = reader.state();
  EXPECT_TRUE(reader.ok());
  EXPECT_TRUE(reader.at_end());
  EXPECT_EQ(read.index, state.index);
  EXPECT_EQ(read.fate, state.fate);
  EXPECT_EQ(read.delay_reported, state.delay_reported);
  EXPECT_EQ(read.attempts, state.attempts);
  EXPECT_EQ(read.next_attempt, state.next_attempt);
  EXPECT_EQ(reader.varint(), 0U);
  EXPECT_FALSE(reader.ok());
}

TEST(Numbers, WithoutEndAreRefused) {
  const Octets endless(20, std::byte{0xFF});
  Reader reader(endless);
  reader.varint();
  EXPECT_FALSE(reader.ok());
  Octets strange;
  put_varint(strange, 0);
  put_varint(strange, 99);  // no such fate
  put_varint(strange, 0);
  put_varint(strange, 0);
  Reader other(strange);
  other.state();
  EXPECT_FALSE(other.ok());
}

TEST(RecordHeaders, ProveTheirPlace) {
  RecordHeader header;
  header.type = static_cast<uint32_t>(RecordType::tombstone);
  header.length = 8;
  header.payload_crc = 5;
  const uint32_t check = header_check(header, {10, 3}, 4096);
  EXPECT_NE(check, header_check(header, {11, 3}, 4096)) << "another life";
  EXPECT_NE(check, header_check(header, {10, 4}, 4096)) << "another segment";
  EXPECT_NE(check, header_check(header, {10, 3}, 4104)) << "another offset";
  ++header.length;
  EXPECT_NE(check, header_check(header, {10, 3}, 4096)) << "another length";
}

TEST(SegmentHeaders, AreKeptTwice) {
  std::vector<std::byte> block(kBlock);
  SegmentHeader header;
  header.number = 9;
  header.epoch = 100;
  header.size = 1'000'000;
  header.use = SegmentUse::open;
  put_segment_header(header, block.data());
  std::vector<std::byte> damaged = block;
  damaged[8] ^= std::byte{1};
  ASSERT_TRUE(segment_header(damaged, 9).has_value());
  EXPECT_EQ(segment_header(damaged, 9)->epoch, 100U);
  damaged[kHeaderCopyAt + 8] ^= std::byte{1};
  EXPECT_FALSE(segment_header(damaged, 9).has_value());
  EXPECT_FALSE(segment_header(block, 10).has_value()) << "another segment's";
  // Half written: the newer one counts.
  header.epoch = 101;
  std::vector<std::byte> newer(kBlock);
  put_segment_header(header, newer.data());
  std::copy_n(newer.begin(), 512, block.begin());
  EXPECT_EQ(segment_header(block, 9)->epoch, 101U);
}

}  // namespace
}  // namespace ringmta::spool
