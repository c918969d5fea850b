// SPDX-License-Identifier: GPL-3.0-or-later
#include "fake_spool.h"

#include <gtest/gtest.h>

#include "ringmta/base/slot_pool.h"

namespace ringmta::spool {

namespace {

// Head as text: each field by its length, then its octets.
void put(std::string& to, std::string_view text) {
  const auto length = static_cast<uint32_t>(text.size());
  to.append(reinterpret_cast<const char*>(&length), sizeof length);
  to.append(text);
}
template <typename T>
void put_number(std::string& to, T number) {
  to.append(reinterpret_cast<const char*>(&number), sizeof number);
}

struct Reader {
  std::string_view left;
  std::string_view text() {
    const auto length = number<uint32_t>();
    const std::string_view result = left.substr(0, length);
    left.remove_prefix(length);
    return result;
  }
  template <typename T>
  T number() {
    T value;
    std::memcpy(&value, left.data(), sizeof value);
    left.remove_prefix(sizeof value);
    return value;
  }
};

struct Entry {
  uint64_t id = 0;
  Disk::Stored stored;  // memory's copy; head empty: evicted
  uint64_t wire_size = 0;
  uint32_t pins = 0;
  bool committed = false;
  bool here = true;
};

}  // namespace

std::string encode_head(const MessageHead& head) {
  std::string to;
  put(to, head.envelope.reverse_path);
  put(to, head.envelope.envelope_id);
  put_number(to, head.envelope.dsn_return);
  put_number(to, head.envelope.eight_bit);
  put_number(to, head.envelope.utf8);
  put_number(to, head.info.arrival.ms);
  put_number(to, head.info.expiry.ms);
  put(to, head.info.client);
  put(to, head.info.tenant);
  put_number(to, head.info.has_dot_stuffing);
  put_number(to, head.info.has_eight_bit);
  put_number(to, head.info.is_dsn);
  put_number(to, static_cast<uint32_t>(head.envelope.recipients.size()));
  for (const smtp::RecipientView& recipient : head.envelope.recipients) {
    put(to, recipient.address);
    put(to, recipient.original_recipient);
    put_number(to, recipient.notify);
  }
  return to;
}

std::optional<MessageHead> decode_head(Bytes bytes, std::vector<smtp::RecipientView>& recipients) {
  if (bytes.empty()) return std::nullopt;
  Reader reader{as_text(bytes)};
  MessageHead head;
  head.envelope.reverse_path = reader.text();
  head.envelope.envelope_id = reader.text();
  head.envelope.dsn_return = reader.number<smtp::DsnReturn>();
  head.envelope.eight_bit = reader.number<bool>();
  head.envelope.utf8 = reader.number<bool>();
  head.info.arrival.ms = reader.number<int64_t>();
  head.info.expiry.ms = reader.number<int64_t>();
  head.info.client = reader.text();
  head.info.tenant = reader.text();
  head.info.has_dot_stuffing = reader.number<bool>();
  head.info.has_eight_bit = reader.number<bool>();
  head.info.is_dsn = reader.number<bool>();
  const auto count = reader.number<uint32_t>();
  const size_t first = recipients.size();
  for (uint32_t i = 0; i < count; ++i) {
    smtp::RecipientView recipient;
    recipient.address = reader.text();
    recipient.original_recipient = reader.text();
    recipient.notify = reader.number<uint8_t>();
    recipients.push_back(recipient);
  }
  head.envelope.recipients = std::span(recipients).subspan(first);
  return head;
}

struct Spool::Impl {
  ring::Io& io;
  Disk& disk;
  SlotPool<Entry> entries{1'000'000};
  struct Pending {
    StoredHandle handle;
    uint64_t tag = 0;
    bool load = false;
  };
  std::vector<Pending> pending;
  std::vector<Done> done;
  SpoolCounters counters;
};

Disk*& Disk::current() {
  static thread_local Disk* disk = nullptr;
  return disk;
}

Spool::Spool(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Spool::~Spool() = default;

Result<std::unique_ptr<Spool>> Spool::create(ring::Io& io, const SpoolOptions&, Recovery*,
                                             ring::Token) {
  auto impl = std::make_unique<Impl>(io, *Disk::current());
  impl->disk.pins = 0;
  impl->disk.loads_in_flight = 0;
  impl->disk.evict_all = [&entries = impl->entries] {
    entries.for_each([](Entry& entry, SlotHandle) {
      if (entry.pins > 0 || !entry.committed) return;
      entry.here = false;
      entry.stored = {};
    });
  };
  return std::unique_ptr<Spool>(new Spool(std::move(impl)));
}

void Spool::for_each_recovered(const std::function<void(StoredHandle, const Recovered&)>& visit) {
  const std::map<uint64_t, Disk::Stored> found = impl_->disk.messages;
  for (const auto& [id, stored] : found) {
    StoredHandle handle;
    Entry& entry = *impl_->entries.take(handle);
    entry.id = id;
    entry.wire_size = stored.content.size();
    entry.committed = true;
    entry.here = false;
    Recovered recovered;
    recovered.id = {id};
    const Bytes head = as_bytes(stored.head);
    recovered.head.assign(head.begin(), head.end());
    for (const auto& [index, state] : stored.states) recovered.states.push_back(state);
    visit(handle, recovered);
  }
}

bool Spool::accepting() const { return impl_->disk.accepting; }
bool Spool::memory_pressed() const { return false; }
bool Spool::memory_exhausted() const { return impl_->disk.memory_exhausted; }
MessageId Spool::next_id() { return {++impl_->disk.last_id}; }

StoredHandle Spool::store(MessageId id, const MessageHead& head, std::string_view trace_lines,
                          std::span<const std::string_view> content, uint64_t tag) {
  StoredHandle handle{UINT32_MAX, 0};
  if (!impl_->disk.accepting) return handle;
  Entry& entry = *impl_->entries.take(handle);
  entry.id = id.value;
  entry.stored.head = encode_head(head);
  entry.stored.content = trace_lines;
  for (const std::string_view piece : content) entry.stored.content += piece;
  entry.wire_size = entry.stored.content.size();
  impl_->pending.push_back({handle, tag, false});
  return handle;
}

void Spool::record_states(StoredHandle message, std::span<const RecipientState> states) {
  const Entry& entry = impl_->entries.get(message);
  ASSERT_TRUE(entry.committed);
  for (const RecipientState& state : states) {
    auto& known = impl_->disk.messages.at(entry.id).states;
    ASSERT_FALSE(known.contains(state.index) && final(known[state.index].fate))
        << "a state after the final one";
    known[state.index] = state;
  }
}

void Spool::finish(StoredHandle message) {
  Entry& entry = impl_->entries.get(message);
  ASSERT_EQ(entry.pins, 0U) << "finished while pinned";
  impl_->disk.messages.erase(entry.id);
  impl_->disk.finished.push_back(entry.id);
  impl_->entries.release(message);
}

bool Spool::in_memory(StoredHandle message) const { return impl_->entries.get(message).here; }
void Spool::pin(StoredHandle message) {
  Entry& entry = impl_->entries.get(message);
  ASSERT_TRUE(entry.here);
  ++entry.pins;
  ++impl_->disk.pins;
}
void Spool::unpin(StoredHandle message) {
  Entry& entry = impl_->entries.get(message);
  ASSERT_GT(entry.pins, 0U);
  --entry.pins;
  --impl_->disk.pins;
}
void Spool::evict(StoredHandle message) {
  Entry& entry = impl_->entries.get(message);
  if (entry.pins > 0 || !entry.committed) return;
  entry.here = false;
  entry.stored = {};
}
void Spool::load(StoredHandle message, uint64_t tag) {
  impl_->pending.push_back({message, tag, true});
  Disk& disk = impl_->disk;
  ++disk.loads;
  disk.loads_in_flight_most = std::max(disk.loads_in_flight_most, ++disk.loads_in_flight);
}

Bytes Spool::head(StoredHandle message) const {
  return as_bytes(impl_->entries.get(message).stored.head);
}
void Spool::parts(StoredHandle message, bool with_dot, std::vector<iovec>& into) const {
  std::string& content = impl_->entries.get(message).stored.content;
  into.push_back({content.data(), content.size() - (with_dot ? 0 : 3)});
}
uint64_t Spool::wire_size(StoredHandle message) const {
  return impl_->entries.get(message).wire_size;
}
MessageId Spool::id(StoredHandle message) const { return {impl_->entries.get(message).id}; }

void Spool::on_event(const ring::Event&) {}

bool Spool::flush() {
  Disk& disk = impl_->disk;
  std::vector<Impl::Pending> kept;
  for (const Impl::Pending& one : impl_->pending) {
    if (one.load ? disk.holds_loads : disk.holds_commits) {
      kept.push_back(one);
      continue;
    }
    Entry& entry = impl_->entries.get(one.handle);
    Done::What what = Done::What::committed;
    if (one.load) {
      --disk.loads_in_flight;
      what = disk.unreadable ? Done::What::unreadable : Done::What::loaded;
      if (!disk.unreadable) {
        if (!entry.here) entry.stored = disk.messages.at(entry.id);
        entry.here = true;
        ++entry.pins;
        ++disk.pins;
      }
    } else if (disk.failing_commits > 0) {
      --disk.failing_commits;
      what = Done::What::failed;
      impl_->entries.release(one.handle);
    } else {
      entry.committed = true;
      disk.messages[entry.id] = entry.stored;
    }
    impl_->done.push_back({what, one.handle, one.tag});
  }
  impl_->pending = std::move(kept);
  return !impl_->done.empty();
}

void Spool::take_done(std::vector<Done>& into) {
  into.insert(into.end(), impl_->done.begin(), impl_->done.end());
  impl_->done.clear();
}
Monotonic Spool::wants_flush_at() const { return Monotonic::never(); }
bool Spool::idle() const { return impl_->pending.empty() && impl_->done.empty(); }
const SpoolCounters& Spool::counters() const { return impl_->counters; }

}  // namespace ringmta::spool
