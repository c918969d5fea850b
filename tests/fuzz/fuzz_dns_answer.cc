// SPDX-License-Identifier: GPL-3.0-or-later
// DNS answers to each kind of question: read or refused, never believed beyond their bounds. What
// is packed reads back, and an answer from memory of another place is read the same.
#include <string>

#include "input.h"
#include "mx_route.h"
#include "ringmta/base/assert.h"
#include "ringmta/dns/message.h"

namespace ringmta::dns {
namespace {

void check_packed(const Answer& answer, RecordType type) {
  RecordReader reader(answer.packed);
  size_t count = 0;
  while (const auto record = reader.next()) {
    ++count;
    if (type == RecordType::mx) {
      const MxRecord mx = read_mx(*record);
      RINGMTA_ASSERT(Name::from_wire(mx.host.wire()).has_value());
    } else if (type != RecordType::txt) {
      RINGMTA_ASSERT(read_address(type, *record, 25).length > 0);
    }
  }
  RINGMTA_ASSERT(count == answer.count && count <= kRecordsMax);
  if (type == RecordType::mx && answer.kind == Answer::Kind::found) {
    const RecordSet set{Fate::found, Failure::none, type, answer.count, answer.packed, {}};
    const MxOptions options;
    const auto hosts = usable_hosts(set, options);
    RINGMTA_ASSERT(hosts.size() <= options.hosts_max);
    for (const FoundHost& host : hosts) {
      RINGMTA_ASSERT(host.name.is_root() || host.name.is_hostname());
      for (const char c : host.name.text()) RINGMTA_ASSERT(c > ' ' && c <= '~');
    }
  }
}

}  // namespace
}  // namespace ringmta::dns

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringmta;
  using namespace ringmta::dns;
  fuzz::Input input(data, size);
  const uint8_t flags = input.byte();
  constexpr RecordType kTypes[] = {RecordType::mx, RecordType::a, RecordType::aaaa,
                                   RecordType::txt};
  Question question{0x0707, kTypes[flags & 3], *Name::parse("example.org"), 0, true};
  if ((flags & 4) != 0) question.capitals = 0x5555;
  // The head of most inputs is made right, or nothing behind it would be reached.
  std::string message(input.rest());
  if ((flags & 8) != 0) {
    std::array<std::byte, kQueryOctetsMax> query;
    question.edns = false;
    const size_t length = write_query(question, query);
    std::string head(as_text(Bytes(query).first(length)));
    head[2] = static_cast<char>(0x81);
    const std::string counts(input.take(3));
    for (size_t i = 0; i < counts.size(); ++i) head[7 + 2 * i] = counts[i];
    head[3] = static_cast<char>(flags >> 4 & 3);  // rcode
    message = head + std::string(input.rest());
  }
  Answer answer;
  const std::vector<char> memory(message.begin(), message.end());
  const Bytes octets = as_bytes(std::string_view(memory.data(), memory.size()));
  const Verdict verdict = read_answer(octets, question, (flags & 64) != 0, answer);
  if (verdict == Verdict::good) check_packed(answer, question.type);
  Answer again;
  RINGMTA_ASSERT(read_answer(as_bytes(message), question, (flags & 64) != 0, again) == verdict);
  if (verdict == Verdict::good) {
    RINGMTA_ASSERT(again.packed == answer.packed && again.kind == answer.kind);
  }
  return 0;
}
