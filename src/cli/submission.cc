// SPDX-License-Identifier: GPL-3.0-or-later
// The owner's side of smtp::ClientSession in its smallest form: write what it wants to say, read,
// note verdicts, quit.
#include "submission.h"

#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>

#include "ringmta/base/address.h"
#include "ringmta/config/units.h"
#include "ringmta/smtp/client_session.h"

namespace ringmta::cli {
namespace {

constexpr uint16_t kSmtpPort = 25;

class Socket final {
 public:
  explicit Socket(int number = -1) : number_(number) {}
  ~Socket() {
    if (number_ >= 0) ::close(number_);
  }
  Socket(Socket&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  int get() const { return number_; }

 private:
  int number_;
};

// 0, or the errno of what went wrong.
int wait_for(int socket, short events, Milliseconds timeout) {
  pollfd watched{socket, events, 0};
  for (;;) {
    const int ready = ::poll(&watched, 1, static_cast<int>(timeout.count));
    if (ready > 0) return 0;
    if (ready == 0) return ETIMEDOUT;
    if (errno != EINTR) return errno;
  }
}

int connect_to(Socket& made, const SocketAddress& address, Milliseconds timeout) {
  Socket socket(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (socket.get() < 0) return errno;
  if (::connect(socket.get(), address.get(), address.length) != 0) {
    if (errno != EINPROGRESS) return errno;
    if (const int code = wait_for(socket.get(), POLLOUT, timeout); code != 0) return code;
    int code = 0;
    socklen_t length = sizeof code;
    ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &code, &length);
    if (code != 0) return code;
  }
  made = std::move(socket);
  return 0;
}

Result<std::vector<SocketAddress>> look_up(const std::string& server) {
  if (auto literal = parse_socket_address(server, kSmtpPort)) return std::vector{*literal};
  const size_t colon = server.rfind(':');
  const std::string name = server.substr(0, colon);
  const std::string port =
      colon == std::string::npos ? std::to_string(kSmtpPort) : server.substr(colon + 1);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int failed = ::getaddrinfo(name.c_str(), port.c_str(), &hints, &found); failed != 0) {
    return fail(fmt::format("no address for {}: {}", server, gai_strerror(failed)));
  }
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);
  std::vector<SocketAddress> addresses;
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    SocketAddress address;
    std::memcpy(&address.storage, one->ai_addr, one->ai_addrlen);
    address.length = one->ai_addrlen;
    addresses.push_back(address);
  }
  return addresses;
}

Result<Socket> connect_to_any(const Submission& submission) {
  const auto addresses = look_up(submission.server);
  if (!addresses) return std::unexpected(addresses.error());
  Error last;
  for (const SocketAddress& address : *addresses) {
    Socket socket;
    const int code = connect_to(socket, address, submission.timeout);
    if (code == 0) return socket;
    last = fail_errno("cannot connect to " + address.text(), code).error();
  }
  if (last.code == ECONNREFUSED) last.message += "; is a relay listening there?";
  return std::unexpected(last);
}

class Dialogue final {
 public:
  Dialogue(const Submission& submission, Socket socket)
      : submission_(submission), socket_(std::move(socket)), session_(options_of(submission)) {
    for (uint32_t i = 0; i < submission.to.size(); ++i) {
      waiting_.push_back(i);
      verdicts_.push_back({submission.to[i], {}});
    }
  }

  std::vector<SubmissionVerdict> run() {
    while (!over_) {
      if (const int code = write(); code != 0) return broken(code);
      hear({});
      if (over_ || session_.has_output()) continue;
      char buffer[16384];
      if (const int code = wait_for(socket_.get(), POLLIN, submission_.timeout); code != 0) {
        return broken(code);
      }
      const ssize_t count = ::recv(socket_.get(), buffer, sizeof buffer, 0);
      if (count < 0 && errno != EAGAIN && errno != EINTR) return broken(errno);
      if (count == 0) return broken(0);
      if (count > 0) hear(as_bytes(std::string_view(buffer, static_cast<size_t>(count))));
    }
    return std::move(verdicts_);
  }

 private:
  using Action = smtp::ClientSession::Action;

  static smtp::ClientOptions options_of(const Submission& submission) {
    smtp::ClientOptions options;
    options.hostname = submission.hostname;
    return options;
  }

  void begin() {
    sent_ = std::exchange(waiting_, {});
    views_.clear();
    bool utf8 = is_utf8(submission_.from);
    for (const uint32_t index : sent_) {
      smtp::RecipientView view;
      view.address = submission_.to[index];
      view.notify = submission_.notify;
      views_.push_back(view);
      utf8 = utf8 || is_utf8(submission_.to[index]);
    }
    smtp::Transaction transaction;
    transaction.envelope.reverse_path = submission_.from;
    transaction.envelope.eight_bit = submission_.content.has_eight_bit;
    transaction.envelope.utf8 = utf8;
    transaction.envelope.recipients = views_;
    transaction.content = {submission_.content.octets.size(), submission_.content.has_dot_stuffing,
                           submission_.content.has_eight_bit};
    session_.begin(transaction);
  }
  static bool is_utf8(std::string_view text) {
    return std::any_of(text.begin(), text.end(),
                       [](char c) { return static_cast<unsigned char>(c) > 127; });
  }

  // Takes in what the server said; empty: what needs no reply.
  void hear(Bytes input) {
    for (;;) {
      const auto step = session_.step(input);
      input = input.subspan(step.consumed);
      if (step.action == Action::more) return;
      if (step.action == Action::ready) begin();
      if (step.action == Action::recipient) note(step);
      if (step.action == Action::finished) {
        // What was too many for one transaction goes in the next.
        const bool rest = !waiting_.empty() && waiting_.size() < sent_.size();
        if (rest && session_.can_begin()) {
          begin();
        } else {
          session_.quit();
        }
      }
      if (step.action == Action::close) {
        abandon(step.reply != nullptr ? std::optional(*step.reply) : std::nullopt);
        return;
      }
    }
  }
  void note(const smtp::ClientSession::Step& step) {
    const uint32_t index = sent_[step.index];
    if (step.reply != nullptr) verdicts_[index].reply = *step.reply;
    if (step.too_many_recipients) waiting_.push_back(index);
  }

  // The session is over: whoever has no verdict gets the last words.
  void abandon(const std::optional<smtp::Reply>& last) {
    over_ = true;
    for (;;) {
      const auto step = session_.abandon();
      if (step.action == Action::more) break;
      if (step.action == Action::recipient) note(step);
    }
    for (SubmissionVerdict& verdict : verdicts_) {
      if (verdict.reply.code == 0 && verdict.reply.text.empty() && last) verdict.reply = *last;
    }
  }
  std::vector<SubmissionVerdict> broken(int code) {
    smtp::Reply reply;
    reply.text = code == 0           ? "the server closed the connection"
                 : code == ETIMEDOUT ? fmt::format("the server said nothing for {}",
                                                   config::format_duration(submission_.timeout))
                                     : fail_errno("the connection broke", code).error().message;
    abandon(reply);
    for (SubmissionVerdict& verdict : verdicts_) {
      if (verdict.reply.code == 0) verdict.reply = reply;
    }
    return std::move(verdicts_);
  }

  int write() {
    parts_.clear();
    session_.take_output(parts_);
    if (parts_.empty()) return 0;
    for (const auto& part : parts_) {
      std::string_view text = part.text;
      if (part.is_content) {
        text = submission_.content.octets;
        if (!part.content_dot) text.remove_suffix(3);
      }
      if (const int code = write_all(text); code != 0) return code;
    }
    session_.output_sent();
    return 0;
  }
  int write_all(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = ::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL);
      if (sent > 0) text.remove_prefix(static_cast<size_t>(sent));
      if (sent >= 0 || errno == EINTR) continue;
      if (errno != EAGAIN) return errno;
      if (const int code = wait_for(socket_.get(), POLLOUT, submission_.timeout); code != 0) {
        return code;
      }
    }
    return 0;
  }

  const Submission& submission_;
  Socket socket_;
  smtp::ClientSession session_;
  std::vector<smtp::ClientSession::OutputPart> parts_;
  std::vector<smtp::RecipientView> views_;
  std::vector<uint32_t> waiting_;  // recipients for the next transaction
  std::vector<uint32_t> sent_;     // those of this one
  std::vector<SubmissionVerdict> verdicts_;
  bool over_ = false;
};

}  // namespace

Result<std::vector<SubmissionVerdict>> submit(const Submission& submission) {
  Result<Socket> socket = connect_to_any(submission);
  if (!socket) return std::unexpected(socket.error());
  return Dialogue(submission, std::move(*socket)).run();
}

}  // namespace ringmta::cli
