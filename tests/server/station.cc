// SPDX-License-Identifier: GPL-3.0-or-later
#include "station.h"

#include "ringmta/ring/disk.h"

namespace ringmta::server {
namespace {

constexpr uint64_t kSpoolBlock = 262'144;

}  // namespace

Client::Client(sim::World& world, const std::string& from, bool reads, const std::string& to)
    : io_(*ring::Io::create({})), reads_(reads) {
  const SocketAddress source = *parse_socket_address(from, 0);
  ring::ConnectOptions how;
  how.source = &source;
  stream_ = *io_->connect(*parse_socket_address(to, 25), how, {});
  world.drive(*io_, this, [](void* self) { static_cast<Client*>(self)->turn(); });
}

void Client::say(std::string_view text) {
  queued_ += text;
  io_->ring_doorbell();
}

void Client::finish() {
  finishes_ = true;
  io_->ring_doorbell();
}

void Client::read() {
  reads_ = true;
  io_->read(stream_);
}

void Client::turn() {
  for (const ring::Event& event : io_->turn(Monotonic::never())) {
    switch (event.kind) {
      case ring::EventKind::connected:
        connected = event.result == 0;
        broken = ended = !connected;
        if (reads_ && connected) io_->read(stream_);
        break;
      case ring::EventKind::received:
        heard += as_text(event.data);
        break;
      case ring::EventKind::sent:
        sending_.clear();
        broken = broken || event.result < 0;
        ended = ended || broken;
        break;
      case ring::EventKind::ended:
        broken = broken || event.result < 0;
        ended = true;
        break;
      case ring::EventKind::closed:
        ended = true;
        break;
      default:
        break;
    }
  }
  if (connected && !ended && sending_.empty() && !queued_.empty()) {
    sending_.swap(queued_);
    const iovec part{sending_.data(), sending_.size()};
    io_->send(stream_, {&part, 1});
  }
  const bool said = finishes_ && unsaid() == 0;
  if ((said || (ended && (!stays_ || broken))) && !finished_) {
    finished_ = true;
    io_->close(stream_, broken ? ring::CloseMode::abort : ring::CloseMode::graceful);
  }
}

std::vector<std::string> Client::replies() const {
  std::vector<std::string> lines;
  size_t at = 0;
  for (size_t end = 0; (end = heard.find("\r\n", at)) != std::string::npos; at = end + 2) {
    lines.push_back(heard.substr(at, end - at));
  }
  return lines;
}

size_t Client::count(std::string_view beginning) const {
  size_t found = 0;
  for (const std::string& line : replies()) found += line.starts_with(beginning) ? 1 : 0;
  return found;
}

Station::Station() {
  options.listeners = {*parse_socket_address(kServer, 25)};
  options.relay_networks = {*Network::parse("198.51.100.0/24")};
  options.session.hostname = "relay.example";
  spool_options.directory = "/spool";
  spool_options.segment_size = 1'048'576;
  spool_options.disk_reserve = 0;
  spool_options.memory_max = 64 * 1'048'576;
}

void Station::start() {
  ASSERT_TRUE(ring::disk::make_directory("/spool"));
  io = *ring::Io::create({});
  loop = std::make_unique<shard::Loop>(*io);
  auto made = spool::Spool::create(*io, spool_options, nullptr,
                                   ring::Token::make(shard::kind(shard::Owner::spool)));
  ASSERT_TRUE(made.has_value()) << made.error().message;
  spool = std::move(*made);
  server = std::make_unique<Server>(*loop, *spool, options, table);
  server->authenticate_with(auth);
  server->on_committed(this, [](void* self, spool::StoredHandle message, const Arrival& arrival) {
    static_cast<Station*>(self)->take(message, arrival);
  });
  const auto to_server = [](void* self, const ring::Event& event) {
    static_cast<Server*>(self)->on_event(event);
  };
  loop->handle(shard::Owner::listener, server.get(), to_server);
  loop->handle(shard::Owner::server, server.get(), to_server);
  loop->handle(shard::Owner::spool, spool.get(), [](void* self, const ring::Event& event) {
    static_cast<spool::Spool*>(self)->on_event(event);
  });
  loop->handle(shard::Owner::test, this, [](void*, const ring::Event&) {});
  loop->add_stage(this, [](void* self) {
    auto& station = *static_cast<Station*>(self);
    station.done_.clear();
    station.spool->take_done(station.done_);
    for (const spool::Done& done : station.done_) station.server->on_spool_done(done);
    return false;
  });
  loop->add_stage(server.get(), [](void* self) { return static_cast<Server*>(self)->flush(); });
  loop->add_stage(this, [](void* self) { return static_cast<Station*>(self)->commit(); });
  flush_timer_.token = ring::Token::make(shard::kind(shard::Owner::test));
  ASSERT_TRUE(server->listen());
  world.drive(*io, loop.get(), [](void* self) { static_cast<shard::Loop*>(self)->turn(); });
  world.run_for(seconds(1));  // the spool makes its segments
}

bool Station::commit() {
  const bool more = spool->flush();
  const Monotonic wanted = spool->wants_flush_at();
  if (wanted == Monotonic::never()) {
    loop->timers().cancel(flush_timer_);
  } else if (!flush_timer_.armed() || wanted < flush_timer_.due) {
    loop->timers().arm(flush_timer_, wanted);
  }
  return more;
}

void Station::take(spool::StoredHandle message, const Arrival& arrival) {
  Stored& taken = stored.emplace_back();
  taken.protocol = arrival.protocol;
  taken.tls_version = arrival.tls_version;
  taken.tls_cipher = arrival.tls_cipher;
  taken.handle = message;
  std::vector<iovec> parts;
  spool->parts(message, true, parts);
  for (const iovec& part : parts) {
    taken.wire.append(static_cast<const char*>(part.iov_base), part.iov_len);
  }
  std::vector<smtp::RecipientView> recipients;
  const auto head = spool::decode_head(spool->head(message), recipients);
  ASSERT_TRUE(head.has_value());
  taken.reverse_path = head->envelope.reverse_path;
  for (const smtp::RecipientView& one : recipients) taken.recipients.emplace_back(one.address);
  taken.info = head->info;
}

Client& Station::connect(const std::string& from, bool reads, const std::string& to) {
  return *clients.emplace_back(std::make_unique<Client>(world, from, reads, to));
}

Client& Station::greeted(const std::string& from) {
  Client& client = connect(from);
  hears(client, "220 relay.example");
  client.say("EHLO client.example\r\n");
  run([&] { return client.count("250 ") == 1; });
  client.heard.clear();
  return client;
}

void Station::finish_all() {
  for (const Stored& one : stored) spool->finish(one.handle);
  stored.clear();
  io->ring_doorbell();
  EXPECT_TRUE(run([&] { return spool->idle(); }));
}

// Whatever happened in the test, nothing stays behind.
void Station::TearDown() {
  if (server == nullptr) return;
  disk_takes(Milliseconds{1});
  server->abort_all();
  EXPECT_TRUE(run([&] { return server->idle() && spool->idle(); }, minutes(10)));
  EXPECT_EQ(server->counters().sessions, 0U);
  finish_all();
  // The block that the next messages are copied into stays.
  EXPECT_TRUE(run([&] { return memory() <= kSpoolBlock; }, minutes(1)))
      << memory() << " octets are left";
  EXPECT_EQ(spool->counters().messages, 0U);
  server.reset();
}

std::string opening(const std::string& from, const std::string& to) {
  return "MAIL FROM:<" + from + ">\r\nRCPT TO:<" + to + ">\r\nDATA\r\n";
}

std::string message(const std::string& subject) {
  return opening() + "Subject: " + subject + "\r\n\r\nhello\r\n.\r\n";
}

std::string big_content(size_t octets) {
  std::string text = "Subject: big\r\n\r\n";
  for (size_t line = 0; text.size() < octets; ++line) {
    text += (line % 7 == 0 ? "..line " : "line ") + std::to_string(line);
    text.append(line % 61, static_cast<char>('a' + line % 26));
    text += "\r\n";
  }
  return text + ".\r\n";
}

}  // namespace ringmta::server
