// SPDX-License-Identifier: GPL-3.0-or-later
#include "lean_world.h"

#include <cstring>
#include <deque>
#include <vector>

#include "ringmta/base/prng.h"

namespace ringmta::client {
namespace {
LeanWorld* current = nullptr;
}
void set_lean_world(LeanWorld& world) { current = &world; }

LeanShard::LeanShard(LeanWorld& world, const ClientPoolOptions& options) : world_(world) {
  set_lean_world(world);
  io_ = std::move(*ring::Io::create({}));
  loop_ = std::make_unique<shard::Loop>(*io_);
  alignas(16) static std::byte no_spool[16];  // never looked at
  queue_ = std::make_unique<queue::Queue>(*loop_, *reinterpret_cast<spool::Spool*>(no_spool),
                                          queue::QueueOptions{}, ShardId{}, 1, queue::QueueHost{});
  pools_ = std::make_unique<Pools>(*loop_, *queue_, options, ShardId{}, nullptr,
                                   [](void*, queue::Job*) {});
  loop_->handle(shard::Owner::client, pools_.get(), [](void* self, const ring::Event& event) {
    static_cast<Pools*>(self)->on_event(event);
  });
  loop_->add_stage(pools_.get(), [](void* self) { return static_cast<Pools*>(self)->run(); });
}

LeanShard::~LeanShard() = default;

void LeanShard::deliver(uint64_t messages) {
  const uint64_t wanted = world_.delivered + world_.other_verdicts + messages;
  world_.to_give += messages;
  pools_->site_has_work({0});
  while (world_.delivered + world_.other_verdicts < wanted) loop_->turn();
}

}  // namespace ringmta::client

// ---- the Io

namespace ringmta::ring {

namespace {

struct Peer {
  Token token{};
  uint32_t generation = 0;
  bool open = false, connected_told = false, sent_told = true, in_data = false, closing = false;
  bool listed = false;
  size_t content_left = 0;    // of BDAT
  std::string said, telling;  // replies to be told, and those being told
};

}  // namespace

struct Io::Impl {
  client::LeanWorld& world;
  Prng random{1};
  std::deque<Peer> peers;
  std::vector<uint32_t> free, news, telling;
  std::vector<Event> events;

  void note(uint32_t index) {
    if (peers[index].listed) return;
    peers[index].listed = true;
    news.push_back(index);
  }
  void hear(Peer& peer, std::string_view text);
  void line(Peer& peer, std::string_view text);
};

Io::Io(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) { now_ = {1'000'000'000}; }
Io::~Io() = default;
Result<std::unique_ptr<Io>> Io::create(const IoOptions& /*options*/) {
  return std::unique_ptr<Io>(
      new Io(std::unique_ptr<Impl>(new Impl{*client::current, Prng{1}, {}, {}, {}, {}, {}})));
}
uint64_t Io::random() { return impl_->random.next(); }
void Io::ring_doorbell() {}
void Io::read(StreamId /*stream*/) {}
void Io::pause(StreamId /*stream*/, Bytes /*unread*/) {}
uint64_t Io::secure_random() { return 0; }
SocketAddress Io::local(StreamId /*stream*/) const { return {}; }

Result<StreamId> Io::connect(const SocketAddress& /*peer*/, const ConnectOptions& /*options*/,
                             Token token) {
  Impl& impl = *impl_;
  uint32_t index = static_cast<uint32_t>(impl.peers.size());
  if (impl.free.empty()) {
    impl.peers.emplace_back();
  } else {
    index = impl.free.back();
    impl.free.pop_back();
  }
  Peer& peer = impl.peers[index];
  peer.token = token;
  peer.open = true;
  peer.connected_told = peer.in_data = peer.closing = false;
  peer.sent_told = true;
  peer.content_left = 0;
  peer.said = "220 mx.example.net ESMTP\r\n";
  ++impl.world.connects;
  impl.note(index);
  return StreamId{index, peer.generation};
}

void Io::Impl::line(Peer& peer, std::string_view text) {
  switch (text[0]) {
    case 'E':
      peer.said += world.ehlo;
      break;
    case 'D':
      peer.said += "354 End data with <CR><LF>.<CR><LF>\r\n";
      peer.in_data = true;
      break;
    case 'B':
      peer.content_left = 0;
      for (const char c : text.substr(5)) {
        if (c < '0' || c > '9') break;
        peer.content_left = peer.content_left * 10 + static_cast<size_t>(c - '0');
      }
      break;
    case 'Q':
      peer.said += "221 2.0.0 Bye\r\n";
      break;
    case 'M':
      peer.said += "250 2.1.0 Ok\r\n";
      break;
    default:
      peer.said += "250 2.1.5 Ok\r\n";
  }
}

void Io::Impl::hear(Peer& peer, std::string_view text) {
  constexpr std::string_view kTaken = "250 2.0.0 Ok: queued as 4C1vQJ2ZxXz9s0B\r\n";
  while (!text.empty()) {
    if (peer.content_left > 0) {
      const size_t here = std::min(peer.content_left, text.size());
      text.remove_prefix(here);
      peer.content_left -= here;
      if (peer.content_left == 0) peer.said += kTaken;
      continue;
    }
    if (peer.in_data) {  // the closing dot is never cut from its line end here
      if (text.size() < 5 && text != ".\r\n") return;
      const size_t end = text.find("\r\n.\r\n");
      if (end == std::string_view::npos && !text.starts_with(".\r\n")) return;
      text.remove_prefix(text.starts_with(".\r\n") ? 3 : end + 5);
      peer.in_data = false;
      peer.said += kTaken;
      continue;
    }
    const size_t end = text.find('\n');
    line(peer, text.substr(0, end));
    text.remove_prefix(end + 1);
  }
}

void Io::send(StreamId stream, std::span<const iovec> parts) {
  Peer& peer = impl_->peers[stream.index];
  for (const iovec& part : parts) {
    impl_->hear(peer, {static_cast<const char*>(part.iov_base), part.iov_len});
  }
  ++impl_->world.sends;
  peer.sent_told = false;
  impl_->note(stream.index);
}

void Io::close(StreamId stream, CloseMode /*mode*/) {
  Peer& peer = impl_->peers[stream.index];
  if (!peer.open || peer.generation != stream.generation) return;
  peer.closing = true;
  impl_->note(stream.index);
}

std::span<const Event> Io::turn(Monotonic /*until*/) {
  Impl& impl = *impl_;
  now_.ns += 50'000;
  impl.events.clear();
  impl.telling.swap(impl.news);
  impl.news.clear();
  for (const uint32_t index : impl.telling) {
    Peer& peer = impl.peers[index];
    peer.listed = false;
    const StreamId stream{index, peer.generation};
    if (!peer.sent_told) impl.events.push_back({peer.token, {}, stream, 0, EventKind::sent});
    peer.sent_told = true;
    if (peer.closing) {
      impl.events.push_back({peer.token, {}, stream, 0, EventKind::closed});
      peer.open = false;
      ++peer.generation;
      impl.free.push_back(index);
      continue;
    }
    if (!peer.connected_told) {
      impl.events.push_back({peer.token, {}, stream, 0, EventKind::connected});
    }
    peer.connected_told = true;
    if (peer.said.empty()) continue;
    peer.telling.swap(peer.said);
    peer.said.clear();
    impl.events.push_back(
        {peer.token, as_bytes(std::string_view(peer.telling)), stream, 0, EventKind::received});
  }
  return impl.events;
}

}  // namespace ringmta::ring

// ---- the queue

namespace ringmta::queue {

struct Queue::Impl {
  client::LeanWorld& world;
  Site site;
  std::string content;
  std::deque<Job> jobs;
  std::vector<Job*> spare;
};

Queue::Queue(shard::Loop& /*loop*/, spool::Spool& /*spool*/, const QueueOptions& /*options*/,
             ShardId /*shard*/, uint32_t /*shards*/, QueueHost /*host*/)
    : impl_(new Impl{*client::current, {}, {}, {}, {}}) {
  Impl& impl = *impl_;
  const client::LeanWorld& world = impl.world;
  if (world.chunking) {
    impl.world.ehlo =
        "250-mx.example.net\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-CHUNKING\r\n"
        "250 8BITMIME\r\n";
  }
  impl.site.id = {0};
  impl.site.name = "example";
  impl.site.hosts = {{"mx.example.net:25", *parse_socket_address("192.0.2.1:25", 25), 0}};
  impl.site.connections_max = impl.site.local_share = world.connections_max;
  impl.site.messages_per_connection_max = world.messages_per_connection_max;
  while (impl.content.size() + 80 < world.content_octets) {
    impl.content += "a line of text as they stand in messages, of sixty-two octets\r\n";
  }
  impl.content += ".\r\n";
}
Queue::~Queue() = default;

Job* Queue::next_job(SiteId /*site*/) {
  Impl& impl = *impl_;
  if (impl.world.to_give == 0) return nullptr;
  --impl.world.to_give;
  if (impl.spare.empty()) {
    Job& made = impl.jobs.emplace_back();
    made.site = {0};
    made.recipient_views = {{"somebody.else@customer.example.org", {}, 0}};
    made.transaction.envelope.reverse_path = "bounces+1234567890@sender.example.com";
    made.transaction.envelope.recipients = made.recipient_views;
    made.transaction.content.wire_size = impl.content.size();
    made.recipients.resize(1);
    const size_t pieces = impl.world.content_pieces;
    const size_t piece = impl.content.size() / pieces;
    for (size_t i = 0; i < pieces; ++i) {
      const size_t length = i + 1 == pieces ? impl.content.size() - i * piece : piece;
      made.content.push_back({impl.content.data() + i * piece, length});
    }
    impl.spare.push_back(&made);
  }
  Job* job = impl.spare.back();
  impl.spare.pop_back();
  job->recipients[0].verdict = Verdict::none;
  return job;
}
uint32_t Queue::work(SiteId /*site*/) const { return static_cast<uint32_t>(impl_->world.to_give); }
void Queue::job_done(Job* job) {
  const bool good = job->recipients[0].verdict == Verdict::delivered;
  ++(good ? impl_->world.delivered : impl_->world.other_verdicts);
  impl_->spare.push_back(job);
}
void Queue::site_failed(SiteId, const SiteTrouble&, Monotonic, bool) {}
void Queue::site_recovered(SiteId) {}
const Site& Queue::site(SiteId /*id*/) const { return impl_->site; }

}  // namespace ringmta::queue
