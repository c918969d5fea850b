// SPDX-License-Identifier: GPL-3.0-or-later
// The thread of the control socket: poll() for new connections and requests, one request at a time,
// the connections in turn. A spare descriptor is kept for the operator who comes when the process
// has no other left: then he is needed most.
#include "ringmta/http/control_server.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <nlohmann/json.hpp>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "control_connection.h"
#include "control_socket.h"
#include "ringmta/base/log.h"
#include "threads.h"

namespace ringmta::http {
namespace {

using nlohmann::json;

std::chrono::milliseconds duration(Milliseconds time) {
  return std::chrono::milliseconds{time.count};
}

// Text from mail may be in any encoding; JSON is UTF-8.
std::string line_of(const json& object) {
  return object.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

json error_line(std::string_view sentence) { return {{"error", sentence}, {"end", true}}; }

// Any will do; one that needs no file does under every restriction.
Descriptor spare_descriptor() { return Descriptor{::eventfd(0, EFD_CLOEXEC)}; }

bool is_last(const json& line) {
  const auto found = line.find("end");
  return found != line.end() && found->is_boolean() && found->get<bool>();
}

}  // namespace

struct ControlServer::Impl {
  Impl(const ControlOptions& its_options, Handler its_handler, ControlSocket its_socket,
       Descriptor its_wake)
      : options(its_options),
        handler(std::move(its_handler)),
        socket(std::move(its_socket)),
        wake(std::move(its_wake)) {}

  void run();
  int poll_all();
  bool woken() const { return watched[0].revents != 0; }
  void accept();
  Descriptor accept_one();
  void serve(ControlConnection& connection, short ready);
  void answer(ControlConnection& connection, const std::string& request_line);
  void call_handler(const json& request, const Reply& reply, bool& ended);

  const ControlOptions options;
  const Handler handler;
  const ControlSocket socket;
  const Descriptor wake;  // an eventfd, readable from the moment the server is to end
  std::vector<ControlConnection> connections;
  std::vector<pollfd> watched;            // wake, the listener, then the connections in their order
  Clock::time_point accept_again{};       // after trouble with accept()
  Descriptor spare = spare_descriptor();  // none: in use, or not to be had yet
  std::thread thread;
};

Result<std::unique_ptr<ControlServer>> ControlServer::start(const ControlOptions& options,
                                                            Handler handler) {
  Result<ControlSocket> socket = ControlSocket::listen(options.path, options.mode);
  if (!socket) return std::unexpected(socket.error());
  Descriptor wake{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  if (!wake) return fail_errno("control: cannot make an eventfd", errno);
  auto impl =
      std::make_unique<Impl>(options, std::move(handler), std::move(*socket), std::move(wake));
  try {
    const SignalsBlocked blocked;
    impl->thread = std::thread([self = impl.get()] { self->run(); });
  } catch (const std::exception& problem) {
    return fail(std::string("control: cannot start a thread: ") + problem.what());
  }
  return std::unique_ptr<ControlServer>(new ControlServer(std::move(impl)));
}

Result<std::unique_ptr<ControlServer>> ControlServer::start(std::string path, uint32_t mode,
                                                            Handler handler) {
  ControlOptions options;
  options.path = std::move(path);
  options.mode = mode;
  return start(options, std::move(handler));
}

ControlServer::ControlServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

ControlServer::~ControlServer() {
  wake_up(impl_->wake);
  impl_->thread.join();
}

void ControlServer::Impl::run() {
  while (poll_all() >= 0 && !woken()) {
    const Clock::time_point now = Clock::now();
    for (size_t i = 0; i < connections.size() && !woken(); ++i) {
      serve(connections[i], watched[i + 2].revents);
    }
    std::erase_if(connections, [&](const ControlConnection& connection) {
      return connection.broken() || connection.last_active() + duration(options.idle_max) <= now;
    });
    if (watched[1].revents != 0) accept();
    if (!spare) spare = spare_descriptor();
  }
}

// Returns a negative number only when going on makes no sense.
int ControlServer::Impl::poll_all() {
  watched.clear();
  watched.push_back({wake.get(), POLLIN, 0});
  const bool accepting = connections.size() < kConnectionsMax && Clock::now() >= accept_again;
  watched.push_back({accepting ? socket.descriptor() : -1, POLLIN, 0});
  bool more_at_hand = false;  // a request that came together with the last one
  for (const ControlConnection& connection : connections) {
    watched.push_back({connection.descriptor(), POLLIN, 0});
    more_at_hand |= connection.has_line();
  }
  constexpr int kIdleCheckMs = 1000;
  const int ready = ::poll(watched.data(), watched.size(), more_at_hand ? 0 : kIdleCheckMs);
  if (ready < 0 && errno != EINTR) {
    log(LogLevel::error,
        "control: poll failed ({}): the control socket is dead until the relay is "
        "restarted; mail is not affected",
        errno);
    return -1;
  }
  return 0;
}

Descriptor ControlServer::Impl::accept_one() {
  return Descriptor{::accept4(socket.descriptor(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
}

void ControlServer::Impl::accept() {
  Descriptor accepted = accept_one();
  if (!accepted && (errno == EMFILE || errno == ENFILE) && spare) {
    {
      const Descriptor given_up = std::move(spare);
    }
    accepted = accept_one();
  }
  if (accepted) {
    connections.emplace_back(std::move(accepted));
  } else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
    log(LogLevel::warning, "control: cannot accept a connection ({}); trying again in a second",
        errno);
    accept_again = Clock::now() + std::chrono::seconds(1);
  }
}

// One request at most, so that the other connections have their turn.
void ControlServer::Impl::serve(ControlConnection& connection, short ready) {
  const bool there = ready == 0 || connection.has_line() || connection.receive();
  if (connection.has_line()) {
    answer(connection, connection.take_line());
  } else if (connection.too_long()) {
    connection.begin_answer(duration(options.client_wait_max));
    connection.send(line_of(error_line("a request has 65536 octets at most")), wake.get());
    connection.give_up();
  } else if (!there) {
    connection.give_up();
  }
}

void ControlServer::Impl::answer(ControlConnection& connection, const std::string& request_line) {
  connection.begin_answer(duration(options.client_wait_max));
  bool ended = false;
  const Reply reply = [&](const json& line) {
    if (ended) return false;
    ended = is_last(line);
    return connection.send(line_of(line), wake.get());
  };
  const json request = json::parse(request_line, nullptr, /*allow_exceptions=*/false);
  if (request.is_discarded() || !request.is_object()) {
    reply(error_line("a request is one JSON object on one line"));
    return;
  }
  const auto command = request.find("command");
  if (command == request.end() || !command->is_string()) {
    reply(error_line("a request needs \"command\", a string"));
    return;
  }
  call_handler(request, reply, ended);
  if (!ended) reply({{"end", true}});
}

// A request of an unexpected shape makes the JSON library throw within the handler.
void ControlServer::Impl::call_handler(const json& request, const Reply& reply, bool& ended) {
  try {
    handler(request, reply);
  } catch (const std::exception& problem) {
    if (!ended) reply(error_line(std::string("the request cannot be served: ") + problem.what()));
  }
}

}  // namespace ringmta::http
