// SPDX-License-Identifier: GPL-3.0-or-later
// Event lines: whatever clients and next hops said, an outcome is one line, within the room that
// was reserved for it, and a JSON reader gets from it exactly the members we meant, with their
// text.
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "input.h"
#include "line.h"
#include "ringmta/base/assert.h"
#include "ringmta/queue/job.h"
#include "ringmta/spool/record.h"

namespace ringmta::events {
namespace {

bool is_ascii_text(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) >= 0x80) return false;
  }
  return true;
}

void check(const LineComposer& composer, LineComposer& same, const queue::Outcome& outcome) {
  const size_t bound = composer.bound(outcome);
  std::vector<char> memory(bound);
  const char* end = same.compose(memory.data(), outcome, {2'000'000'000}, {1'700'000'000'123});
  const auto size = static_cast<size_t>(end - memory.data());
  RINGMTA_ASSERT(size <= bound);
  const std::string_view line(memory.data(), size);
  RINGMTA_ASSERT(line.starts_with("{\"event\":\"") && line.find('\n') == size - 1);
  for (const char c : line.substr(0, size - 1)) {
    RINGMTA_ASSERT(static_cast<unsigned char>(c) >= ' ' && c != 0x7F);
  }
  // Strict: it is UTF-8 throughout, and no name stands in it twice.
  size_t members = 0;
  const auto count = [&](int, nlohmann::json::parse_event_t event, nlohmann::json&) {
    if (event == nlohmann::json::parse_event_t::key) ++members;
    return true;
  };
  const nlohmann::json object = nlohmann::json::parse(line, count, false);
  RINGMTA_ASSERT(object.is_object() && object.size() == members);
  const auto same_text = [&](const char* name, std::string_view text) {
    if (!is_ascii_text(text)) return;
    const auto found = object.find(name);
    if (text.empty()) return;
    RINGMTA_ASSERT(found != object.end() && found->get<std::string>() == text);
  };
  const smtp::RecipientView& recipient = outcome.head->envelope.recipients[outcome.recipient];
  same_text("sender", outcome.head->envelope.reverse_path);
  same_text("recipient", recipient.address);
  same_text("original_recipient", recipient.original_recipient);
  same_text("envelope_id", outcome.head->envelope.envelope_id);
  same_text("user", outcome.head->info.user);
  if (outcome.result != nullptr) same_text("reply", outcome.result->text);
  if (outcome.job != nullptr) same_text("peer_name", outcome.job->peer_name);
}

}  // namespace
}  // namespace ringmta::events

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringmta;
  fuzz::Input input(data, size);
  const uint8_t flags = input.byte();
  const uint8_t kind = input.byte();
  smtp::RecipientView recipient;
  spool::MessageHead head;
  head.envelope.reverse_path = input.until('\x1F');
  recipient.address = input.until('\x1F');
  recipient.original_recipient = input.until('\x1F');
  head.envelope.envelope_id = input.until('\x1F');
  head.info.client = input.until('\x1F');
  head.info.tenant = input.until('\x1F');
  head.info.user = input.until('\x1F');
  head.envelope.recipients = {&recipient, 1};
  queue::Job job;
  queue::JobRecipient result;
  queue::Outcome outcome;
  outcome.kind = static_cast<queue::Outcome::Kind>(kind % 6);
  outcome.head = &head;
  outcome.site = input.until('\x1F');
  if ((flags & 1) != 0) outcome.next_attempt = {1'700'000'000'000};
  if ((flags & 2) != 0) outcome.dsn = MessageId{kind * 7919ULL};
  if ((flags & 4) != 0) {
    job.peer_name = input.until('\x1F');
    job.possible_duplicate = (flags & 8) != 0;
    if ((flags & 16) != 0) job.tls = {"TLSv1.3", "TLS_AES_128_GCM_SHA256", true, true};
    constexpr const char* kPeers[] = {"192.0.2.1:25", "[2001:db8::1]:25", "[::ffff:192.0.2.1]:25"};
    job.peer = *parse_socket_address(kPeers[kind % 3], 25);
    job.begun = {1'000'000'000};
    outcome.job = &job;
    result.code = static_cast<uint16_t>(kind * 3);
    if ((flags & 32) != 0) result.status = {5, kind, kind};
    result.text = input.rest();
    outcome.result = &result;
  }
  events::LineComposer composer(input.rest().substr(0, 100), ShardId{kind});
  events::check(composer, composer, outcome);
  return 0;
}
