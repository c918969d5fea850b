// SPDX-License-Identifier: GPL-3.0-or-later
// A socket around a Session, for openssl_test.py.
//
//   tls_pump server ASK CERTIFICATE...     prints "port N", serves one connection after the other
//   tls_pump client PORT NAME VERIFY CONNECTIONS [CERTIFICATE]
//
// The server answers each line with itself, and ends at "QUIT". The client sends a line and waits
// for it in reverse (openssl s_server -rev). Both print a line of facts per connection, or the
// error.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <string>

#include "material.h"
#include "ringmta/tls/session.h"

namespace {

using namespace ringmta;
using namespace ringmta::tls;

std::string hex(std::span<const std::byte> octets) {
  std::string text;
  for (const std::byte octet : octets) text += fmt::format("{:02X}", static_cast<int>(octet));
  return text;
}

void say(const std::string& line) { std::cout << line << std::endl; }

void say_facts(const Session& session) {
  const Facts& facts = session.facts();
  say(fmt::format("facts version={} cipher={} resumed={} verified={} name={} peer={} exporter={}",
                  facts.version, facts.cipher, static_cast<int>(facts.resumed),
                  static_cast<int>(facts.verified), facts.server_name, facts.peer_fingerprint,
                  facts.has_exporter ? hex(facts.exporter) : "-"));
}

bool send_output(int socket, Session& session) {
  std::string output;
  session.take_output(output);
  for (size_t sent = 0; sent < output.size();) {
    const ssize_t n = ::send(socket, output.data() + sent, output.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return false;
    sent += static_cast<size_t>(n);
  }
  return true;
}

// Until the session or `take` (given each piece of plaintext) ends it.
template <typename Take>
void pump(int socket, Session& session, Take&& take) {
  char buffer[3000];
  Bytes input;
  bool done = false;
  while (!done) {
    Session::Action action = Session::Action::more;
    do {
      const Session::Step step = session.step(input);
      input = input.subspan(step.consumed);
      action = step.action;
      if (action == Session::Action::handshaken) {
        say_facts(session);
        done = take(std::string_view());
      }
      if (action == Session::Action::plaintext) done = take(as_text(step.plaintext)) || done;
      if (action == Session::Action::closed) done = true;
      if (action == Session::Action::failed) {
        say("error " + session.error());
        done = true;
      }
    } while (action != Session::Action::more && !done);
    if (done) session.close();
    if (!send_output(socket, session) || done) return;
    const ssize_t n = ::recv(socket, buffer, sizeof buffer, 0);
    if (n <= 0) {
      say(session.ended_cleanly() ? "end" : "truncated");
      return;
    }
    input = as_bytes({buffer, static_cast<size_t>(n)});
  }
}

int serve(const std::string& ask, const std::vector<std::string>& certificates) {
  ServerOptions options;
  options.ask_client_certificate = ask == "ask";
  if (options.ask_client_certificate) options.client_roots_pem = text_of("root.pem");
  for (const std::string& name : certificates) {
    options.certificates.push_back(certificate_text(name));
  }
  auto context = ServerContext::create(options);
  if (!context) {
    say("error " + context.error().message);
    return 1;
  }
  TicketKeys keys;
  keys.rotate();
  (*context)->set_ticket_keys(keys);

  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(listener, 16) != 0 ||
      ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return 1;
  }
  say(fmt::format("port {}", ntohs(address.sin_port)));
  while (true) {
    const int socket = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) return 1;
    Session session(*context);
    std::string line;
    pump(socket, session, [&](std::string_view text) {
      line += text;
      for (size_t newline = line.find('\n'); newline != std::string::npos;
           newline = line.find('\n')) {
        if (line.starts_with("QUIT")) return true;
        session.write(as_bytes(std::string_view(line).substr(0, newline + 1)));
        line.erase(0, newline + 1);
      }
      return false;
    });
    ::close(socket);
    say("done");
  }
}

int connect_to(int argc, char** argv) {
  ClientOptions options;
  options.roots_pem = text_of("root.pem");
  if (argc > 6) options.certificate = certificate_text(argv[6]);
  auto context = ClientContext::create(options);
  if (!context) {
    say("error " + context.error().message);
    return 1;
  }
  const std::string verify = argv[4];
  for (int connections = std::atoi(argv[5]); connections > 0; --connections) {
    const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(std::atoi(argv[2])));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return 1;
    Session session(*context,
                    {.name = argv[3],
                     .verification = verify == "full" ? Verification::full : Verification::none,
                     .scope = ""});
    const std::string line = "hello there " + std::string(5'000, 'x');
    const std::string expected = std::string(line.rbegin(), line.rend()) + "\n";
    std::string got;
    pump(socket, session, [&](std::string_view text) {
      if (text.empty()) {
        session.write(as_bytes(line));
        session.write(as_bytes("\n"));
      }
      got += text;
      return got == expected;
    });
    say(got == expected ? "echoed" : "nothing came back");
    ::close(socket);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc >= 4 && std::string_view(argv[1]) == "server") {
    return serve(argv[2], std::vector<std::string>(argv + 3, argv + argc));
  }
  if (argc >= 6 && std::string_view(argv[1]) == "client") return connect_to(argc, argv);
  std::cerr << "usage: see tls_pump.cc\n";
  return 2;
}
