// SPDX-License-Identifier: GPL-3.0-or-later
#include "keeper.h"

#include "ringmta/base/prng.h"

namespace ringmta::spool {

namespace {

// Lines of random letters, from which contents are cut: quick to make, and no two places alike.
const std::string& random_text() {
  static const std::string text = [] {
    std::string made;
    Prng random(1);
    while (made.size() < 262'144) {
      for (int i = 0; i < 70; ++i) made += static_cast<char>('a' + random.below(26));
      made += "\r\n";
    }
    return made;
  }();
  return text;
}

}  // namespace

std::string Letter::content() const {
  const std::string& source = random_text();
  std::string text = "Subject: letter " + std::to_string(number) + "\r\n\r\n";
  size_t at = number * 7919 % (source.size() / 2);
  while (text.size() + 3 < octets) {
    text.append(source, at, octets - 3 - text.size());
    at = (at + 7919) % (source.size() / 2);
  }
  return text + ".\r\n";
}

std::string Letter::trace() const {
  return "Received: from test by test with ESMTP id " + std::to_string(number) + "\r\n";
}
std::string Letter::recipient(uint32_t index) const {
  return "r" + std::to_string(number) + "." + std::to_string(index) + "@example.org";
}
std::string Letter::sender() const { return "s" + std::to_string(number) + "@example.com"; }

MessageHead Keeper::head_of(const Letter& letter) {
  sender_ = letter.sender();
  texts_.clear();
  views_.clear();
  for (uint32_t i = 0; i < letter.recipients; ++i) texts_.push_back(letter.recipient(i));
  for (const std::string& text : texts_) {
    smtp::RecipientView view;
    view.address = text;
    view.notify = smtp::Notify::kFailure;
    views_.push_back(view);
  }
  MessageHead head;
  head.envelope.reverse_path = sender_;
  head.envelope.recipients = views_;
  head.info.arrival = io->wall();
  head.info.expiry = io->wall() + hours(24);
  head.info.client = "192.0.2.1";
  return head;
}

bool Keeper::start(uint32_t shards, uint32_t threads) {
  Result<std::unique_ptr<Recovery>> recovered = recover(options.directory, shards, threads);
  if (!recovered) {
    error = recovered.error().message;
    return false;
  }
  recovery = std::move(*recovered);
  return start_with(recovery.get());
}

bool Keeper::start_with(Recovery* with) {
  if (io == nullptr) {
    Result<std::unique_ptr<ring::Io>> made = ring::Io::create({});
    EXPECT_TRUE(made.has_value()) << made.error().message;
    io = std::move(*made);
  }
  auto made = Spool::create(*io, options, with, ring::Token::make(4));
  if (!made) {
    error = made.error().message;
    return false;
  }
  spool = std::move(*made);
  found.clear();
  std::vector<smtp::RecipientView> recipients;
  spool->for_each_recovered([&](StoredHandle handle, const Recovered& message) {
    const auto head = decode_head(message.head, recipients);
    ASSERT_TRUE(head.has_value());
    Found one{handle, std::string(head->envelope.reverse_path), {}, message.states};
    for (const auto& recipient : head->envelope.recipients) {
      one.recipients.emplace_back(recipient.address);
    }
    ASSERT_TRUE(found.emplace(message.id.value, std::move(one)).second) << "given twice";
  });
  return true;
}

void Keeper::stop() {
  spool.reset();
  io.reset();
  recovery.reset();
}

void Keeper::turn(Milliseconds time) {
  const bool more = spool->flush();
  Monotonic until = io->now() + time;
  if (more) until = io->now();
  if (spool->wants_flush_at() < until) until = spool->wants_flush_at();
  const std::span<const ring::Event> events = io->turn(until);
  for (const ring::Event& event : events) spool->on_event(event);
#ifdef RINGMTA_SIMULATED
  if (events.empty() && !more) sim::World::current().advance(until);
#endif
  spool->take_done(done);
}

bool Keeper::drive(const std::function<bool()>& until, Milliseconds limit) {
  const Monotonic end = io->now() + limit;
  while (!until()) {
    if (io->now() >= end) return false;
    turn();
  }
  return true;
}

StoredHandle Keeper::store(const Letter& letter) {
  const std::string content = letter.content();
  const std::string_view whole = content;
  const std::string_view pieces[] = {whole.substr(0, whole.size() / 3),
                                     whole.substr(whole.size() / 3)};
  return spool->store(spool->next_id(), head_of(letter), letter.trace(), pieces, letter.number);
}

StoredHandle Keeper::store_gathered(const Letter& letter, size_t piece) {
  const std::string content = letter.content();
  Gathering* gathering = spool->gather();
  if (gathering == nullptr) return {UINT32_MAX, 0};
  for (size_t at = 0; at < content.size(); at += piece) {
    if (!spool->gather_append(*gathering, std::string_view(content).substr(at, piece))) {
      spool->gather_drop(gathering);
      return {UINT32_MAX, 0};
    }
  }
  EXPECT_EQ(spool->gathered_octets(*gathering), content.size());
  return spool->store_gathered(spool->next_id(), head_of(letter), letter.trace(), gathering,
                               letter.number);
}

StoredHandle Keeper::keep(const Letter& letter) {
  const StoredHandle stored = letter.octets > 16'384 ? store_gathered(letter) : store(letter);
  if (stored.index == UINT32_MAX) return stored;
  const size_t before = done.size();
  EXPECT_TRUE(drive([&] {
    for (size_t i = before; i < done.size(); ++i) {
      if (done[i].message == stored) return true;
    }
    return false;
  }));
  for (size_t i = before; i < done.size(); ++i) {
    if (done[i].message == stored && done[i].what == Done::What::committed) return stored;
  }
  return {UINT32_MAX, 0};
}

std::string Keeper::wire(StoredHandle message, bool with_dot) const {
  std::vector<iovec> parts;
  spool->parts(message, with_dot, parts);
  std::string text;
  for (const iovec& part : parts) {
    text.append(static_cast<const char*>(part.iov_base), part.iov_len);
  }
  return text;
}

std::string Keeper::sender(StoredHandle message) const {
  std::vector<smtp::RecipientView> recipients;
  const auto head = decode_head(spool->head(message), recipients);
  return head ? std::string(head->envelope.reverse_path) : "(no head)";
}

}  // namespace ringmta::spool
