// SPDX-License-Identifier: GPL-3.0-or-later
// A loop of its own for one question.
#include "dkim_lookup.h"

#include "ringmta/shard/loop.h"

namespace ringmta::cli {
namespace {

struct Answer {
  bool there = false;
  TextRecords text;
};

void read(const dns::RecordSet& records, Answer& answer) {
  answer.there = true;
  answer.text.fate = records.fate;
  if (records.fate == dns::Fate::failed) answer.text.why = dns::to_text(records.failure);
  if (records.fate != dns::Fate::found) return;
  dns::RecordReader reader(records.packed);
  while (const auto data = reader.next()) answer.text.records.emplace_back(as_text(*data));
}

}  // namespace

Result<TextRecords> look_up_text(const std::string& name, dns::ResolverOptions options) {
  const Result<dns::Name> parsed = dns::Name::parse(name);
  if (!parsed) return std::unexpected(parsed.error());
  if (options.servers.empty()) options.servers = dns::system_resolv_conf().servers;
  ring::IoOptions io_options;
  io_options.entries = 64;
  io_options.receive_buffers = 16;
  auto io = ring::Io::create(io_options);
  if (!io) return std::unexpected(io.error());
  shard::Loop loop(**io);
  dns::Resolver resolver(loop, options);
  loop.handle(shard::Owner::dns, &resolver, [](void* self, const ring::Event& event) {
    static_cast<dns::Resolver*>(self)->on_event(event);
  });
  loop.add_stage(&resolver, [](void* self) { return static_cast<dns::Resolver*>(self)->run(); });
  Answer answer;
  dns::Lookup lookup;
  lookup.self = &answer;
  lookup.done = [](void* self, dns::Lookup&, const dns::RecordSet& records) {
    read(records, *static_cast<Answer*>(self));
  };
  if (const auto known = resolver.lookup(*parsed, dns::RecordType::txt, lookup)) {
    read(*known, answer);
  }
  while (!answer.there) loop.turn();
  return std::move(answer.text);
}

}  // namespace ringmta::cli
