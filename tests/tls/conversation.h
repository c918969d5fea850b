// SPDX-License-Identifier: GPL-3.0-or-later
// Two sessions that speak to each other in memory. What one sends reaches the other in pieces whose
// sizes the test chooses.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "material.h"
#include "ringmta/tls/session.h"

namespace ringmta::tls {

inline std::shared_ptr<ServerContext> server_context(ServerOptions options) {
  auto context = ServerContext::create(options);
  EXPECT_TRUE(context) << (context ? "" : context.error().message);
  return *context;
}
inline std::shared_ptr<ServerContext> server_context(const std::vector<std::string>& names) {
  ServerOptions options;
  for (const std::string& name : names) options.certificates.push_back(certificate_text(name));
  return server_context(std::move(options));
}
inline std::shared_ptr<ClientContext> client_context(ClientOptions options) {
  auto context = ClientContext::create(options);
  EXPECT_TRUE(context) << (context ? "" : context.error().message);
  return *context;
}
inline std::shared_ptr<ClientContext> client_context() {
  ClientOptions options;
  options.roots_pem = text_of("root.pem");
  return client_context(std::move(options));
}

// One side of a conversation.
struct Side {
  explicit Side(Session of) : session(std::move(of)) {}

  Session session;
  std::string plaintext;  // received
  std::string waiting;    // ciphertext that reached this side and was not taken yet
  size_t yields = 0;
  bool closed = false;
  bool failed = false;

  // Takes `waiting` as far as it goes; false: the session yielded.
  bool run() {
    std::vector<char> copy(waiting.begin(), waiting.end());  // of exact size, for sanitizers
    Bytes input = as_bytes({copy.data(), copy.size()});
    while (true) {
      const Session::Step step = session.step(input);
      input = input.subspan(step.consumed);
      if (step.action == Session::Action::plaintext) plaintext += as_text(step.plaintext);
      closed = closed || step.action == Session::Action::closed;
      if (step.action == Session::Action::failed) failed = true;
      if (step.action == Session::Action::yielded) {
        ++yields;
        waiting.assign(as_text(input));
        return false;
      }
      if (step.action == Session::Action::more || failed) break;
    }
    EXPECT_TRUE(failed || input.empty());
    waiting.clear();
    return true;
  }
};

struct Conversation {
  Side client;
  Side server;
  std::string to_server, to_client;  // on their way
  size_t sent_to_server = 0, sent_to_client = 0;
  // Octets that arrive at once, given how many have arrived on that way before; 0: all.
  std::function<size_t(size_t)> server_piece = [](size_t) { return 0; };
  std::function<size_t(size_t)> client_piece = [](size_t) { return 0; };

  Conversation(std::shared_ptr<ServerContext> server_with,
               std::shared_ptr<ClientContext> client_with,
               const Peer& peer = {.name = "mail.example.com", .scope = ""})
      : client(Session(std::move(client_with), peer)), server(Session(std::move(server_with))) {}

  // Until nothing moves any more.
  void run() {
    client.run();
    bool moved = true;
    while (moved) {
      client.session.take_output(to_server);
      server.session.take_output(to_client);
      moved = arrive(to_server, server, sent_to_server, server_piece);
      moved = arrive(to_client, client, sent_to_client, client_piece) || moved;
    }
  }
  void send(Side& from, std::string_view text) {
    ASSERT_TRUE(from.session.write(as_bytes(text)));
    run();
  }
  void expect_open() const {
    EXPECT_TRUE(client.session.handshaken()) << client.session.error();
    EXPECT_TRUE(server.session.handshaken()) << server.session.error();
  }

 private:
  static bool arrive(std::string& way, Side& side, size_t& arrived,
                     const std::function<size_t(size_t)>& piece_of) {
    if (way.empty()) return false;
    size_t piece = piece_of(arrived);
    if (piece == 0 || piece > way.size()) piece = way.size();
    side.waiting.append(way, 0, piece);
    way.erase(0, piece);
    arrived += piece;
    side.run();
    return true;
  }
};

}  // namespace ringmta::tls
