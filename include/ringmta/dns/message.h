// SPDX-License-Identifier: GPL-3.0-or-later
// DNS messages (RFC 1035 4, EDNS0: RFC 6891): one question out, one answer in. ldns knows the wire
// format; nothing above this file does.
//
// The insight: an answer is first walked over with nothing but bounds (each pointer must point
// backwards, few of them per name, few records of interest), and only the records that can matter,
// those of the type asked for, CNAMEs and the SOA, are decoded. So five thousand records, names
// that loop, or a megabyte of claims in the header cost less than an honest answer.
//
// What is believed: the answer section, from the name asked for along its CNAMEs; the SOA of a zone
// that contains the name, for how long a "no" holds. Nothing else: no additional section, no record
// of another name, no referral (RFC 2181 5.4.1, RFC 5452 6). So an additional section that cannot
// be read spoils nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "ringmta/dns/records.h"

namespace ringmta::dns {

inline constexpr uint16_t kUdpOctetsMax = 1232;  // EDNS buffer size: no fragments on any sane path
inline constexpr size_t kRecordsMax = 256;       // decoded from one answer; more: malformed
inline constexpr size_t kAliasesMax = 8;         // CNAMEs followed for one question
inline constexpr size_t kQueryOctetsMax = 12 + Name::kOctetsMax + 4 + 11;
inline constexpr size_t kMessageOctetsMax = 65'535;

// A question as it was sent.
struct Question {
  uint16_t id = 0;
  RecordType type = RecordType::a;
  Name name;
  // Not 0: bit i (mod 64) turns the letter at octet i of the name into a capital, and the answer
  // must repeat it exactly (draft-vixie-dnsext-dns0x20).
  uint64_t capitals = 0;
  bool edns = true;
};

// Octets written.
size_t write_query(const Question& question, std::span<std::byte, kQueryOctetsMax> into);

// The id of a message; nothing when it is too short to have one.
std::optional<uint16_t> message_id(Bytes message);

struct Answer {
  enum class Kind : uint8_t {
    found,
    no_data,
    no_such_name,
    alias,       // a chain of CNAMEs ends at `owner`, whose records the server did not send: ask on
    alias_loop,  // more than kAliasesMax of them, or a circle
    truncated,   // TC: ask by TCP
    error        // rcode, or a server that only refers to others
  };
  Kind kind = Kind::error;
  uint16_t rcode = 0;     // with EDNS' upper bits
  uint8_t aliases = 0;    // CNAMEs followed
  bool cacheable = true;  // false: a "no" without SOA
  uint16_t count = 0;     // records in `packed`
  uint32_t ttl_s = 0;     // least of all that were used
  Name owner;             // end of the chain; the name asked for where there is none
  std::vector<std::byte> packed;
};

enum class Verdict : uint8_t {
  stray,      // does not answer this question: wrong id, name, type, or not an answer at all
  malformed,  // answers it, but cannot be read
  good
};

inline constexpr uint16_t kRcodeFormat = 1, kRcodeServerFailure = 2, kRcodeNoSuchName = 3,
                          kRcodeNotImplemented = 4, kRcodeRefused = 5, kRcodeBadVersion = 16;

// Reads `message` as the answer to `question` into `answer`, whose memory is used again. With
// `any_case` the capitals of the name are not compared (over TCP they prove nothing).
Verdict read_answer(Bytes message, const Question& question, bool any_case, Answer& answer);

}  // namespace ringmta::dns
