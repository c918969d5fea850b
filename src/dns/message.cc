// SPDX-License-Identifier: GPL-3.0-or-later
// One question out, one answer in. Decoding is ldns' part, record by record; walking, bounds and
// what is believed are ours.
#include "ringmta/dns/message.h"

#include <algorithm>
#include <memory>

#include "ldns_all.h"
#include "walk.h"

namespace ringmta::dns {
namespace {

constexpr uint32_t kTtlMax = 0x7FFFFFFF;

struct FreeRecord {
  void operator()(ldns_rr* record) const { ldns_rr_free(record); }
};
using Record = std::unique_ptr<ldns_rr, FreeRecord>;

// ---- decoding

std::optional<Name> name_of(const ldns_rdf* field) {
  if (field == nullptr) return std::nullopt;
  return Name::from_wire(
      {reinterpret_cast<const std::byte*>(ldns_rdf_data(field)), ldns_rdf_size(field)});
}

Record decode(const Wire& wire, const RecordPlace& place, ldns_pkt_section section) {
  ldns_rr* record = nullptr;
  size_t at = place.begin;
  if (ldns_wire2rr(&record, wire.data, wire.size, &at, section) != LDNS_STATUS_OK) return nullptr;
  return Record(record);
}

// RFC 2181 8: a TTL with its top bit set counts as zero.
uint32_t ttl_of(const Record& record) {
  const uint32_t ttl = ldns_rr_ttl(record.get());
  return ttl > kTtlMax ? 0 : ttl;
}

struct Decoded {
  Name owner;
  Record record;
  bool alias = false;
};

struct Contents {
  std::vector<Decoded> records;  // of the answer section: the type asked for, and CNAMEs
  std::optional<Name> soa_owner;
  uint32_t negative_ttl_s = 0;
  bool has_ns = false;
  uint16_t rcode_upper = 0;
  bool says_all = true;  // false: the additional section could not be read to its end
};

// False: malformed.
bool read_answer_record(const Wire& wire, const RecordPlace& place, RecordType wanted,
                        Contents& contents) {
  const bool alias = place.type == LDNS_RR_TYPE_CNAME;
  if (place.klass != LDNS_RR_CLASS_IN) return true;
  if (!alias && place.type != static_cast<uint16_t>(wanted)) return true;
  if (contents.records.size() >= kRecordsMax || !names_fit(wire, place)) return false;
  Record record = decode(wire, place, LDNS_SECTION_ANSWER);
  if (record == nullptr) return false;
  const std::optional<Name> owner = name_of(ldns_rr_owner(record.get()));
  if (!owner) return false;
  contents.records.push_back({*owner, std::move(record), alias});
  return true;
}

bool read_authority_record(const Wire& wire, const RecordPlace& place, Contents& contents) {
  if (place.klass != LDNS_RR_CLASS_IN) return true;
  contents.has_ns = contents.has_ns || place.type == LDNS_RR_TYPE_NS;
  if (place.type != LDNS_RR_TYPE_SOA || contents.soa_owner) return true;
  if (!names_fit(wire, place)) return false;
  const Record record = decode(wire, place, LDNS_SECTION_AUTHORITY);
  if (record == nullptr || ldns_rr_rd_count(record.get()) != 7) return false;
  contents.soa_owner = name_of(ldns_rr_owner(record.get()));
  // RFC 2308 5: the lesser of the SOA's own TTL and its last field.
  const uint32_t minimum = ldns_rdf2native_int32(ldns_rr_rdf(record.get(), 6));
  contents.negative_ttl_s = std::min(ttl_of(record), minimum > kTtlMax ? 0 : minimum);
  return contents.soa_owner.has_value();
}

bool read_sections(const Wire& wire, size_t at, RecordType wanted, Contents& contents) {
  RecordPlace place;
  for (uint16_t i = LDNS_ANCOUNT(wire.data); i > 0; --i) {
    if (!walk_record(wire, at, place) || !read_answer_record(wire, place, wanted, contents)) {
      return false;
    }
  }
  for (uint16_t i = LDNS_NSCOUNT(wire.data); i > 0; --i) {
    if (!walk_record(wire, at, place) || !read_authority_record(wire, place, contents)) {
      return false;
    }
  }
  for (uint16_t i = LDNS_ARCOUNT(wire.data); i > 0; --i) {
    if (!walk_record(wire, at, place)) {
      contents.says_all = false;
      break;
    }
    // RFC 6891 6.1.3: the first octet of OPT's TTL is the upper part of the rcode.
    if (place.type == LDNS_RR_TYPE_OPT) {
      contents.rcode_upper = static_cast<uint16_t>(wire.data[place.data - 6] << 4);
    }
  }
  return true;
}

// ---- what is believed

// The strings of a TXT record as one text (RFC 7208 3.3, RFC 6376 3.6.2.2).
void pack_text(const Record& record, Answer& answer) {
  const size_t begin = answer.packed.size();
  answer.packed.resize(begin + 2);
  for (size_t i = 0; i < ldns_rr_rd_count(record.get()); ++i) {
    const ldns_rdf* string = ldns_rr_rdf(record.get(), i);  // with its length in front
    const auto* octets = reinterpret_cast<const std::byte*>(ldns_rdf_data(string));
    answer.packed.insert(answer.packed.end(), octets + 1, octets + ldns_rdf_size(string));
  }
  store<uint16_t>(&answer.packed[begin], static_cast<uint16_t>(answer.packed.size() - begin - 2));
  ++answer.count;
}

void pack(const Record& record, RecordType type, Answer& answer) {
  if (type == RecordType::txt) return pack_text(record, answer);
  std::byte data[2 + 2 + Name::kOctetsMax];
  size_t length = 2;
  if (type == RecordType::mx) {
    store<uint16_t>(data + length, ldns_rdf2native_int16(ldns_rr_rdf(record.get(), 0)));
    const std::optional<Name> host = name_of(ldns_rr_rdf(record.get(), 1));
    RINGMTA_ASSERT(host.has_value());  // checked by names_fit()
    const Bytes wire = host->wire();
    std::memcpy(data + length + 2, wire.data(), wire.size());
    length += 2 + wire.size();
  } else {
    const ldns_rdf* address = ldns_rr_rdf(record.get(), 0);
    std::memcpy(data + length, ldns_rdf_data(address), ldns_rdf_size(address));
    length += ldns_rdf_size(address);
  }
  store<uint16_t>(data, static_cast<uint16_t>(length - 2));
  answer.packed.insert(answer.packed.end(), data, data + length);
  ++answer.count;
}

// From the name asked for along the CNAMEs, in whatever order they came. False: a chain too long.
bool follow_aliases(const Contents& contents, Answer& answer) {
  for (;;) {
    const auto next = std::find_if(
        contents.records.begin(), contents.records.end(),
        [&](const Decoded& record) { return record.alias && record.owner == answer.owner; });
    if (next == contents.records.end()) return true;
    const std::optional<Name> target = name_of(ldns_rr_rdf(next->record.get(), 0));
    if (!target || ++answer.aliases > kAliasesMax) return false;
    answer.ttl_s = std::min(answer.ttl_s, ttl_of(next->record));
    answer.owner = *target;
  }
}

void judge(const Wire& wire, RecordType wanted, const Contents& contents, Answer& answer) {
  for (const Decoded& record : contents.records) {
    if (record.alias || !(record.owner == answer.owner)) continue;
    answer.ttl_s = std::min(answer.ttl_s, ttl_of(record.record));
    pack(record.record, wanted, answer);
  }
  if (answer.count > 0) {
    answer.kind = Answer::Kind::found;
    return;
  }
  const bool has_soa = contents.soa_owner && answer.owner.is_within(*contents.soa_owner);
  if (answer.rcode == kRcodeNoSuchName) {
    answer.kind = Answer::Kind::no_such_name;
  } else if (!has_soa && answer.aliases > 0) {
    answer.kind = Answer::Kind::alias;
    return;
  } else if (!has_soa && contents.has_ns && LDNS_AA_WIRE(wire.data) == 0 &&
             LDNS_RA_WIRE(wire.data) == 0) {
    return;  // only a referral (RFC 2308 2.2.1), which is an error from a server that should know
  } else {
    answer.kind = Answer::Kind::no_data;
  }
  answer.cacheable = has_soa;  // RFC 2308 5
  answer.ttl_s = has_soa ? std::min(answer.ttl_s, contents.negative_ttl_s) : 0;
}

// ---- the question

void write_name(const Question& question, std::byte* into) {
  const Bytes wire = question.name.wire();
  std::memcpy(into, wire.data(), wire.size());
  if (question.capitals == 0) return;
  for (size_t at = 0; wire[at] != std::byte{0};) {
    const size_t end = at + 1 + static_cast<size_t>(wire[at]);
    for (++at; at < end; ++at) {
      const auto c = static_cast<uint8_t>(wire[at]);
      const bool capital = (question.capitals >> (at % 64) & 1) != 0;
      if (c >= 'a' && c <= 'z' && capital) into[at] = static_cast<std::byte>(c - 32);
    }
  }
}

bool repeats_question(const Wire& wire, const Question& question, bool any_case) {
  std::byte asked[Name::kOctetsMax];
  write_name(question, asked);
  const size_t length = question.name.wire().size();
  if (wire.size < LDNS_HEADER_SIZE + length + 4) return false;
  const uint8_t* name = wire.data + LDNS_HEADER_SIZE;
  if (question.capitals != 0 && !any_case) {
    if (std::memcmp(name, asked, length) != 0) return false;
  } else {
    const std::optional<Name> repeated =
        Name::from_wire({reinterpret_cast<const std::byte*>(name), length});
    if (!repeated || !(*repeated == question.name)) return false;
  }
  return ldns_read_uint16(name + length) == static_cast<uint16_t>(question.type) &&
         ldns_read_uint16(name + length + 2) == LDNS_RR_CLASS_IN;
}

// Some servers do not repeat a question they could not read (RFC 6891 7).
bool is_bare_refusal(const Wire& wire) {
  const uint16_t rcode = LDNS_RCODE_WIRE(wire.data);
  return wire.size == LDNS_HEADER_SIZE && LDNS_QDCOUNT(wire.data) == 0 &&
         (rcode == kRcodeFormat || rcode == kRcodeNotImplemented);
}

}  // namespace

size_t write_query(const Question& question, std::span<std::byte, kQueryOctetsMax> into) {
  auto* data = reinterpret_cast<uint8_t*>(into.data());
  std::memset(data, 0, LDNS_HEADER_SIZE);
  ldns_write_uint16(data, question.id);
  LDNS_RD_SET(data);
  ldns_write_uint16(data + LDNS_QDCOUNT_OFF, 1);
  write_name(question, into.data() + LDNS_HEADER_SIZE);
  size_t at = LDNS_HEADER_SIZE + question.name.wire().size();
  ldns_write_uint16(data + at, static_cast<uint16_t>(question.type));
  ldns_write_uint16(data + at + 2, LDNS_RR_CLASS_IN);
  at += 4;
  if (!question.edns) return at;
  ldns_write_uint16(data + LDNS_ARCOUNT_OFF, 1);
  std::memset(data + at, 0, 11);  // owner: the root; extended rcode, version, flags, length: 0
  ldns_write_uint16(data + at + 1, LDNS_RR_TYPE_OPT);
  ldns_write_uint16(data + at + 3, kUdpOctetsMax);
  return at + 11;
}

std::optional<uint16_t> message_id(Bytes message) {
  if (message.size() < LDNS_HEADER_SIZE) return std::nullopt;
  return ldns_read_uint16(message.data());
}

Verdict read_answer(Bytes message, const Question& question, bool any_case, Answer& answer) {
  const Wire wire{reinterpret_cast<const uint8_t*>(message.data()), message.size()};
  if (wire.size < LDNS_HEADER_SIZE || wire.size > kMessageOctetsMax) return Verdict::stray;
  if (wire.word(0) != question.id || LDNS_QR_WIRE(wire.data) == 0 ||
      LDNS_OPCODE_WIRE(wire.data) != LDNS_PACKET_QUERY) {
    return Verdict::stray;
  }
  answer.packed.clear();
  answer.kind = Answer::Kind::error;
  answer.rcode = LDNS_RCODE_WIRE(wire.data);
  answer.aliases = 0;
  answer.cacheable = true;
  answer.count = 0;
  answer.ttl_s = kTtlMax;
  answer.owner = question.name;
  if (is_bare_refusal(wire)) return Verdict::good;
  if (LDNS_QDCOUNT(wire.data) != 1 || !repeats_question(wire, question, any_case)) {
    return Verdict::stray;
  }
  if (LDNS_TC_WIRE(wire.data) != 0) {
    answer.kind = Answer::Kind::truncated;
    return Verdict::good;
  }
  Contents contents;
  const size_t begin = LDNS_HEADER_SIZE + question.name.wire().size() + 4;
  if (!read_sections(wire, begin, question.type, contents)) return Verdict::malformed;
  answer.rcode |= contents.rcode_upper;
  // Nothing of the additional section is believed, so what is wrong in it does no harm: except
  // where the rest says nothing. That may be an error whose upper bits were in an OPT.
  if (!contents.says_all && answer.rcode == LDNS_RCODE_NOERROR && contents.records.empty() &&
      !contents.soa_owner) {
    return Verdict::malformed;
  }
  if (answer.rcode != LDNS_RCODE_NOERROR && answer.rcode != kRcodeNoSuchName) {
    return Verdict::good;
  }
  if (!follow_aliases(contents, answer)) {
    answer.kind = Answer::Kind::alias_loop;
    return Verdict::good;
  }
  judge(wire, question.type, contents, answer);
  const bool contradicts = answer.kind == Answer::Kind::found && answer.rcode == kRcodeNoSuchName;
  return contradicts ? Verdict::malformed : Verdict::good;
}

}  // namespace ringmta::dns
