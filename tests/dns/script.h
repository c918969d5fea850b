// SPDX-License-Identifier: GPL-3.0-or-later
// A DNS server that does as it is told: answers from records given as text, or whatever octets a
// test wants it to send. It lives on an Io of its own, so it runs over real sockets and in the
// simulator alike. Messages are read and made by ldns.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ldns_all.h"
#include "ringmta/dns/records.h"
#include "ringmta/ring/io.h"

namespace ringmta::dns {

using Packet = std::shared_ptr<ldns_pkt>;
inline Packet owned(ldns_pkt* packet) { return {packet, ldns_pkt_free}; }

// A message under construction, records as in a zone file: "example.org. 300 IN MX 10
// mx.example.org."
class Message {
 public:
  explicit Message(uint16_t id = 0);
  Message& question(const std::string& name, RecordType type);
  Message& answer(const std::string& record);
  Message& authority(const std::string& record);
  Message& additional(const std::string& record);
  Message& rcode(uint8_t code);
  Message& truncated();
  Message& not_authoritative();  // neither AA nor RA
  Message& extended_rcode(uint8_t upper);
  std::string octets() const;

 private:
  Message& add(ldns_pkt_section section, const std::string& record);
  Packet packet_;
};

struct Asked {
  uint16_t id = 0;
  std::string name;  // as it came, with a final dot
  std::string lower;
  RecordType type{};
  bool tcp = false;
  bool edns = false;
  std::string raw;
  SocketAddress from{};
};

class ScriptedServer {
 public:
  ScriptedServer();

  // Answers made of these; what is not there does not exist. The SOA of every "no" is that of the
  // zone "." with a TTL and minimum of negative_ttl_s.
  void add(const std::string& record);
  uint32_t negative_ttl_s = 60;

  // Called first; true: it has dealt with the question (by reply(), or by silence).
  std::function<bool(const Asked& question)> script;
  void reply(const Asked& question, const std::string& octets);
  void reply(const Asked& question, const Message& message) { reply(question, message.octets()); }
  std::string honest_answer(const Asked& question) const;
  Message answer_to(const Asked& question) const;  // only the question repeated
  void send_from_here(const SocketAddress& to, const std::string& octets);

  size_t udp_octets_max = 1232;  // a longer answer is cut over UDP
  bool close_tcp_after_answer = false;
  std::string tcp_trailer;  // sent right behind each answer
  void turn(Monotonic until);
  void stop_listening();  // no TCP any more
  void close_connections();

  size_t count(const std::string& lower_name, RecordType type) const;

  std::unique_ptr<ring::Io> io;
  SocketAddress address;
  std::vector<Asked> asked;
  size_t connections = 0;

 private:
  void on_octets(ring::StreamId stream, Bytes data);
  void on_message(Asked question, Bytes message);

  struct Connection {
    ring::StreamId stream;
    std::string in;
    std::vector<std::unique_ptr<std::string>> out;
    bool sending = false;
  };
  void flush(Connection& connection);
  Connection* connection(ring::StreamId stream);

  std::map<std::pair<std::string, uint16_t>, std::vector<std::string>> records_;
  ring::DatagramId socket_;
  ring::ListenerId listener_;
  std::vector<std::unique_ptr<Connection>> connections_;
  ring::StreamId answering_;  // the connection the question being scripted came on
};

}  // namespace ringmta::dns
