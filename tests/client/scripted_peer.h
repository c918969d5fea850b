// SPDX-License-Identifier: GPL-3.0-or-later
// An SMTP server in the simulated world that does as it is told.
//
// What it says to a command may end in one of these: "!drop" the connection is closed after it,
// "!break" it is torn down after it, with what the client still sends unread, "!reset" it is torn
// down at once, "!deaf" nothing is read any more, "!tls" TLS begins behind it. An empty answer is
// silence.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ringmta/ring/io.h"
#include "ringmta/sim/world.h"
#include "ringmta/tls/session.h"

namespace ringmta::client {

struct ReceivedMail {
  uint32_t connection = 0;
  std::string from;
  std::vector<std::string> to;
  std::string content;  // as it came, without the closing ".CRLF"
  bool chunked = false;
  bool secure = false;
};

class ScriptedPeer final {
 public:
  struct Script {
    std::string greeting = "220 mx.example ESMTP";
    std::string ehlo = "250-mx.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 50000000";
    std::string secure_ehlo;  // the same under TLS; empty: no other
    std::shared_ptr<tls::ServerContext> tls;
    bool implicit_tls = false;
    bool lmtp = false;
    bool reads = true;
    Milliseconds delay{0};                  // before every reply
    uint32_t connections_max = UINT32_MAX;  // more are turned away by 421
    Milliseconds drip{0};                   // between the octets of every reply but the greeting
    size_t too_big = SIZE_MAX;              // after so many octets of DATA it says so and closes
    std::string too_big_end = "!drop";
    // What is said to command line number `n` of a connection (from 1) or, with an empty line, to
    // a content; nothing: what a good server says.
    std::function<std::optional<std::string>(uint32_t connection, std::string_view line)> answer;
  };

  ScriptedPeer(sim::World& world, const std::string& address, Script script);
  ScriptedPeer(sim::World& world, const std::string& address)
      : ScriptedPeer(world, address, Script()) {}

  Script script;
  std::vector<ReceivedMail> mails;
  std::vector<std::string> commands;  // of all connections
  std::vector<size_t> pieces;         // octets received at once
  uint32_t connections = 0;           // so far
  uint32_t open = 0, open_max = 0;
  uint32_t quits = 0;
  uint32_t refused = 0;
  uint32_t handshakes = 0, resumed = 0;
  std::string server_name;  // asked for in the last handshake
  std::string fingerprint;  // of the client's certificate, likewise
  std::vector<std::string> tls_errors;

  // The address an accepted connection came from, the last one.
  std::string last_client;
  void close_all(const std::string& text);  // says so to every client and closes
  ring::Io& io() { return *io_; }
  uint32_t count(std::string_view verb) const;

 private:
  struct Session {
    uint32_t number = 0;
    ring::StreamId stream{};
    std::unique_ptr<tls::Session> tls;
    std::string greeting;
    std::string input;
    std::string output;
    std::string sending;
    std::deque<std::pair<Monotonic, std::string>> later;
    ReceivedMail mail;
    bool greeted = false;
    bool in_data = false;
    bool in_mail = false;  // a transaction is open
    size_t chunk_left = 0;
    bool in_chunk = false;
    bool is_sending = false, drop = false, torn = false, at_end = false, closed = false;
    bool counted_out = false;
  };
  void turn();
  void on_event(const ring::Event& event);
  void on_received(Session& session, Bytes data);
  void begin_tls(Session& session);
  void put(Session& session, std::string_view text);
  void consume(Session& session);
  bool consume_content(Session& session);
  void on_line(Session& session, const std::string& line);
  std::string good_answer(Session& session, const std::string& line);
  void end_content(Session& session, std::string content, bool chunked);
  void say(Session& session, std::string text);
  void perform(Session& session, std::string text);
  void pump(Session& session);
  void close(Session& session, ring::CloseMode mode);

  std::unique_ptr<ring::Io> io_;
  std::map<ring::StreamId, std::unique_ptr<Session>> sessions_;
};

}  // namespace ringmta::client
