// SPDX-License-Identifier: GPL-3.0-or-later
#include "script.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ringmta::dns {
namespace {

constexpr ring::Token kUdp = ring::Token::make(1);
constexpr ring::Token kListener = ring::Token::make(2);
constexpr ring::Token kStream = ring::Token::make(3);

ldns_rr* record_of(const std::string& text, bool question = false) {
  ldns_rr* record = nullptr;
  const ldns_status status =
      question ? ldns_rr_new_question_frm_str(&record, text.c_str(), nullptr, nullptr)
               : ldns_rr_new_frm_str(&record, text.c_str(), 300, nullptr, nullptr);
  if (status != LDNS_STATUS_OK) {
    ADD_FAILURE() << text << ": " << ldns_get_errorstr_by_id(status);
    return nullptr;
  }
  return record;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), ascii_lower);
  return text;
}

}  // namespace

Message::Message(uint16_t id) : packet_(owned(ldns_pkt_new())) {
  ldns_pkt_set_id(packet_.get(), id);
  ldns_pkt_set_qr(packet_.get(), true);
  ldns_pkt_set_rd(packet_.get(), true);
  ldns_pkt_set_ra(packet_.get(), true);
}
Message& Message::question(const std::string& name, RecordType type) {
  ldns_rr* record = record_of(name + " IN " + std::string(to_text(type)), true);
  ldns_pkt_push_rr(packet_.get(), LDNS_SECTION_QUESTION, record);
  return *this;
}
Message& Message::add(ldns_pkt_section section, const std::string& record) {
  ldns_pkt_push_rr(packet_.get(), section, record_of(record));
  return *this;
}
Message& Message::answer(const std::string& record) { return add(LDNS_SECTION_ANSWER, record); }
Message& Message::authority(const std::string& record) {
  return add(LDNS_SECTION_AUTHORITY, record);
}
Message& Message::additional(const std::string& record) {
  return add(LDNS_SECTION_ADDITIONAL, record);
}
Message& Message::rcode(uint8_t code) {
  ldns_pkt_set_rcode(packet_.get(), code);
  return *this;
}
Message& Message::truncated() {
  ldns_pkt_set_tc(packet_.get(), true);
  return *this;
}
Message& Message::not_authoritative() {
  ldns_pkt_set_ra(packet_.get(), false);
  return *this;
}
Message& Message::extended_rcode(uint8_t upper) {
  ldns_pkt_set_edns_udp_size(packet_.get(), 1232);
  ldns_pkt_set_edns_extended_rcode(packet_.get(), upper);
  return *this;
}
std::string Message::octets() const {
  uint8_t* wire = nullptr;
  size_t length = 0;
  EXPECT_EQ(ldns_pkt2wire(&wire, packet_.get(), &length), LDNS_STATUS_OK);
  std::string octets(reinterpret_cast<char*>(wire), length);
  free(wire);
  return octets;
}

ScriptedServer::ScriptedServer() {
  ring::IoOptions options;
  options.receive_buffers = 64;
  io = std::move(*ring::Io::create(options));
  // UDP and TCP on one port, which for TCP may be taken: then another one.
  for (int attempt = 0; attempt < 100; ++attempt) {
    const SocketAddress any = *parse_socket_address("127.0.0.1:0", 0);
    socket_ = *io->open_datagram({.local = &any}, kUdp);
    address = io->local(socket_);
    const Result<ring::ListenerId> listener =
        io->listen(address, {.backlog = 64, .reuse_port = false}, kListener);
    if (listener) {
      listener_ = *listener;
      return;
    }
    io->close_datagram(socket_);
  }
  ADD_FAILURE() << "no port for a DNS server";
}

void ScriptedServer::add(const std::string& record) {
  const std::unique_ptr<ldns_rr, void (*)(ldns_rr*)> parsed(record_of(record), ldns_rr_free);
  const std::unique_ptr<char, void (*)(void*)> owner(ldns_rdf2str(ldns_rr_owner(parsed.get())),
                                                     free);
  records_[{lower(owner.get()), static_cast<uint16_t>(ldns_rr_get_type(parsed.get()))}].push_back(
      record);
}

Message ScriptedServer::answer_to(const Asked& question) const {
  Message message(question.id);
  message.question(question.name, question.type);
  return message;
}

std::string ScriptedServer::honest_answer(const Asked& question) const {
  Message message = answer_to(question);
  std::string name = question.lower;
  for (int aliases = 0; aliases < 20; ++aliases) {
    const auto alias = records_.find({name, LDNS_RR_TYPE_CNAME});
    if (alias == records_.end()) break;
    message.answer(alias->second.front());
    const std::string& text = alias->second.front();
    name = text.substr(text.rfind(' ') + 1);
  }
  const auto found = records_.find({name, static_cast<uint16_t>(question.type)});
  const auto same_name = records_.lower_bound({name, 0});
  if (found != records_.end()) {
    for (const std::string& record : found->second) message.answer(record);
  } else {
    if (same_name == records_.end() || same_name->first.first != name) message.rcode(3);
    const std::string ttl = std::to_string(negative_ttl_s);
    message.authority(". " + ttl + " IN SOA ns.example. host.example. 1 3600 600 86400 " + ttl);
  }
  std::string octets = message.octets();
  if (!question.tcp && octets.size() > udp_octets_max) {
    octets = answer_to(question).truncated().octets();
  }
  return octets;
}

size_t ScriptedServer::count(const std::string& name, RecordType type) const {
  return static_cast<size_t>(std::count_if(asked.begin(), asked.end(), [&](const Asked& one) {
    return one.lower == name && one.type == type;
  }));
}

void ScriptedServer::stop_listening() { io->stop_listening(listener_); }

void ScriptedServer::close_connections() {
  for (const auto& one : connections_) io->close(one->stream, ring::CloseMode::graceful);
}

void ScriptedServer::send_from_here(const SocketAddress& to, const std::string& octets) {
  io->send_datagram(socket_, as_bytes(octets), &to);
}

void ScriptedServer::reply(const Asked& question, const std::string& octets) {
  if (!question.tcp) {
    io->send_datagram(socket_, as_bytes(octets), &question.from);
    return;
  }
  Connection* to = connection(answering_);
  if (to == nullptr) return;
  std::string framed;
  framed += static_cast<char>(octets.size() >> 8);
  framed += static_cast<char>(octets.size());
  to->out.push_back(std::make_unique<std::string>(framed + octets + tcp_trailer));
  flush(*to);
}

void ScriptedServer::flush(Connection& to) {
  if (to.sending || to.out.empty()) return;
  to.sending = true;
  const iovec part{to.out.front()->data(), to.out.front()->size()};
  io->send(to.stream, {&part, 1});
}

ScriptedServer::Connection* ScriptedServer::connection(ring::StreamId stream) {
  for (const auto& one : connections_) {
    if (one->stream == stream) return one.get();
  }
  return nullptr;
}

void ScriptedServer::on_message(Asked question, Bytes message) {
  ldns_pkt* parsed = nullptr;
  const auto* data = reinterpret_cast<const uint8_t*>(message.data());
  // What the resolver sends must be a message that others can read.
  ASSERT_EQ(ldns_wire2pkt(&parsed, data, message.size()), LDNS_STATUS_OK);
  const Packet packet = owned(parsed);
  const ldns_rr_list* questions = ldns_pkt_question(parsed);
  ASSERT_EQ(ldns_rr_list_rr_count(questions), 1U);
  const ldns_rr* asked_for = ldns_rr_list_rr(questions, 0);
  const std::unique_ptr<char, void (*)(void*)> name(ldns_rdf2str(ldns_rr_owner(asked_for)), free);
  question.id = ldns_pkt_id(parsed);
  question.name = name.get();
  question.lower = lower(question.name);
  question.type = static_cast<RecordType>(ldns_rr_get_type(asked_for));
  question.edns = ldns_pkt_edns(parsed);
  question.raw = as_text(message);
  EXPECT_TRUE(ldns_pkt_rd(parsed));
  EXPECT_FALSE(ldns_pkt_qr(parsed));
  EXPECT_TRUE(!question.edns || ldns_pkt_edns_udp_size(parsed) == 1232);
  asked.push_back(question);
  if (script && script(question)) return;
  reply(question, honest_answer(question));
}

void ScriptedServer::on_octets(ring::StreamId stream, Bytes data) {
  Connection* from = connection(stream);
  if (from == nullptr) return;
  from->in += as_text(data);
  while (from->in.size() >= 2) {
    const size_t length = static_cast<size_t>(static_cast<uint8_t>(from->in[0])) << 8 |
                          static_cast<uint8_t>(from->in[1]);
    if (from->in.size() < 2 + length) return;
    const std::string message = from->in.substr(2, length);
    from->in.erase(0, 2 + length);
    answering_ = stream;
    Asked question;
    question.tcp = true;
    question.from = io->peer(stream);
    on_message(std::move(question), as_bytes(message));
  }
}

void ScriptedServer::turn(Monotonic until) {
  for (const ring::Event& event : io->turn(until)) {
    switch (event.kind) {
      case ring::EventKind::datagram:
        if (event.result >= 0) {
          Asked question;
          question.from = io->sender(event);
          on_message(std::move(question), event.data);
        }
        break;
      case ring::EventKind::accepted:
        ++connections;
        connections_.push_back(std::make_unique<Connection>());
        connections_.back()->stream = event.stream;
        io->own(event.stream, kStream);
        io->read(event.stream);
        break;
      case ring::EventKind::received:
        on_octets(event.stream, event.data);
        break;
      case ring::EventKind::sent:
        if (Connection* to = connection(event.stream)) {
          to->sending = false;
          to->out.erase(to->out.begin());
          flush(*to);
          if (close_tcp_after_answer && to->out.empty()) {
            io->close(event.stream, ring::CloseMode::graceful);
          }
        }
        break;
      case ring::EventKind::ended:
        io->close(event.stream, ring::CloseMode::graceful);
        break;
      case ring::EventKind::closed:
        std::erase_if(connections_, [&](const auto& one) { return one->stream == event.stream; });
        break;
      default:
        break;
    }
  }
}

}  // namespace ringmta::dns
