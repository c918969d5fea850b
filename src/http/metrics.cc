// SPDX-License-Identifier: GPL-3.0-or-later
// The thread that answers scrapes: poll() over the listeners and a few connections.
//
// Limits: kConnectionsMax connections at once (further ones wait in the backlog), each has
// ScrapeConnection::kTimeMax for all of it.
#include "ringmta/http/metrics.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <cerrno>
#include <exception>
#include <thread>
#include <utility>

#include "descriptor.h"
#include "metrics_text.h"
#include "ringmta/base/log.h"
#include "ringmta/ring/listening.h"
#include "scrape_connection.h"
#include "threads.h"

namespace ringmta::http {
namespace {

constexpr size_t kConnectionsMax = 16;

Result<Descriptor> listen_on(const SocketAddress& address) {
  const auto fail_here = [&](int code) {
    return fail_errno("metrics: cannot listen on " + address.text() +
                          "; set [metrics] listen to an address of this host and a free port",
                      code);
  };
  Descriptor descriptor{ring::take_bound(address)};
  if (!descriptor) {
    const auto made = ring::bind_listener(address, false);
    if (!made) return fail_here(made.error().code);
    descriptor = Descriptor{*made};
  }
  if (::listen(descriptor.get(), SOMAXCONN) != 0 ||
      ::fcntl(descriptor.get(), F_SETFL, O_NONBLOCK) != 0) {
    return fail_here(errno);
  }
  return descriptor;
}

uint16_t port_of(const Descriptor& listener) {
  SocketAddress address;
  address.length = sizeof(address.storage);
  ::getsockname(listener.get(), address.get(), &address.length);
  return address.port();
}

}  // namespace

struct MetricsServer::Impl {
  void run();
  bool wait();  // false: the server is to end
  void serve_all();
  void accept_from(const Descriptor& listener);
  std::string text() const;

  Read read;
  std::string version;
  std::vector<Descriptor> listeners;
  Descriptor wake;  // an eventfd, readable from the moment the server is to end
  std::vector<ScrapeConnection> connections;
  std::vector<pollfd> watched;  // wake, the listeners, then the connections, in their order
  ScrapeConnection::Clock::time_point accept_again{};  // after trouble with accept()
  std::thread thread;
};

Result<std::unique_ptr<MetricsServer>> MetricsServer::start(
    const std::vector<SocketAddress>& listen, Read read, std::string_view version) {
  auto impl = std::make_unique<Impl>();
  impl->read = std::move(read);
  impl->version = version;
  for (const SocketAddress& address : listen) {
    Result<Descriptor> listener = listen_on(address);
    if (!listener) return std::unexpected(listener.error());
    impl->listeners.push_back(std::move(*listener));
  }
  impl->wake = Descriptor{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  if (!impl->wake) return fail_errno("metrics: cannot make an eventfd", errno);
  try {
    const SignalsBlocked blocked;
    impl->thread = std::thread([self = impl.get()] { self->run(); });
  } catch (const std::exception& problem) {
    return fail(std::string("metrics: cannot start a thread: ") + problem.what());
  }
  return std::unique_ptr<MetricsServer>(new MetricsServer(std::move(impl)));
}

MetricsServer::MetricsServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

MetricsServer::~MetricsServer() {
  wake_up(impl_->wake);
  impl_->thread.join();
}

std::vector<uint16_t> MetricsServer::ports() const {
  std::vector<uint16_t> ports;
  for (const Descriptor& listener : impl_->listeners) ports.push_back(port_of(listener));
  return ports;
}

void MetricsServer::Impl::run() {
  while (wait()) {
    serve_all();
    for (size_t i = 0; i < listeners.size(); ++i) {
      if (watched[1 + i].revents != 0) accept_from(listeners[i]);
    }
  }
}

bool MetricsServer::Impl::wait() {
  using Clock = ScrapeConnection::Clock;
  const bool accepting = connections.size() < kConnectionsMax && Clock::now() >= accept_again;
  watched.clear();
  watched.push_back({wake.get(), POLLIN, 0});
  for (const Descriptor& listener : listeners) {
    watched.push_back({accepting ? listener.get() : -1, POLLIN, 0});
  }
  for (const ScrapeConnection& connection : connections) {
    watched.push_back({connection.descriptor(), connection.wants(), 0});
  }
  constexpr int kLookAroundMs = 1000;  // for connections that are late, and accept_again
  if (::poll(watched.data(), watched.size(), kLookAroundMs) < 0 && errno != EINTR) {
    log(LogLevel::error,
        "metrics: poll failed ({}): there are no metrics until the relay is "
        "restarted; mail is not affected",
        errno);
    return false;
  }
  return watched[0].revents == 0;
}

void MetricsServer::Impl::serve_all() {
  const auto make_text = [this] { return text(); };
  size_t place = 1 + listeners.size();
  std::erase_if(connections, [&](ScrapeConnection& connection) {
    const bool ready = watched[place++].revents != 0;
    return (ready && !connection.go_on(make_text)) || connection.late();
  });
}

void MetricsServer::Impl::accept_from(const Descriptor& listener) {
  Descriptor accepted{::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
  if (accepted) {
    connections.emplace_back(std::move(accepted));
  } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
    accept_again = ScrapeConnection::Clock::now() + std::chrono::seconds(1);
  }
}

std::string MetricsServer::Impl::text() const {
  std::vector<ShardSnapshot> snapshots = read();
  std::erase_if(snapshots, [](const ShardSnapshot& one) { return one.stats_time_ms == 0; });
  return metrics_text(snapshots, version);
}

}  // namespace ringmta::http
