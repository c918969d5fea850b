// SPDX-License-Identifier: GPL-3.0-or-later
// Only the request line counts; header fields are read and ignored, a body is not expected.
#include "scrape_connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace ringmta::http {
namespace {

bool would_block(int code) { return code == EAGAIN || code == EWOULDBLOCK || code == EINTR; }

std::string answer(std::string_view status, std::string_view type, std::string_view body,
                   bool with_body) {
  std::string text = "HTTP/1.1 ";
  text += status;
  text += "\r\nContent-Type: ";
  text += type;
  text += "\r\nContent-Length: " + std::to_string(body.size());
  if (status.starts_with("405")) text += "\r\nAllow: GET, HEAD";
  text += "\r\nConnection: close\r\n\r\n";
  if (with_body) text += body;
  return text;
}

std::string refusal(std::string_view status, std::string_view sentence) {
  return answer(status, "text/plain; charset=utf-8", sentence, true);
}

}  // namespace

std::string answer_to(std::string_view head, const ScrapeConnection::MakeText& make_text) {
  const std::string_view line = head.substr(0, head.find_first_of("\r\n"));
  const size_t first = line.find(' ');
  const size_t second =
      first == std::string_view::npos ? std::string_view::npos : line.find(' ', first + 1);
  if (second == std::string_view::npos || !line.substr(second + 1).starts_with("HTTP/1.")) {
    return refusal("400 Bad Request", "This is not a request of HTTP/1.\n");
  }
  const std::string_view method = line.substr(0, first);
  std::string_view path = line.substr(first + 1, second - first - 1);
  path = path.substr(0, path.find('?'));
  if (path != "/metrics") return refusal("404 Not Found", "Metrics are at /metrics.\n");
  if (method != "GET" && method != "HEAD") {
    return refusal("405 Method Not Allowed", "Metrics can only be read.\n");
  }
  return answer("200 OK", "text/plain; version=0.0.4; charset=utf-8", make_text(), method == "GET");
}

short ScrapeConnection::wants() const { return state_ == State::sending ? POLLOUT : POLLIN; }

bool ScrapeConnection::go_on(const MakeText& make_text) {
  switch (state_) {
    case State::reading:
      return read(make_text);
    case State::sending:
      return send();
    case State::draining:
      return drain();
  }
  return false;
}

bool ScrapeConnection::read(const MakeText& make_text) {
  std::array<char, 4096> buffer;
  const ssize_t count = ::recv(descriptor_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (count <= 0) return count < 0 && would_block(errno);
  input_.append(buffer.data(), static_cast<size_t>(count));
  if (input_.find("\r\n\r\n") != std::string::npos) {
    output_ = answer_to(input_, make_text);
  } else if (input_.size() > kHeadMax) {
    output_ = refusal("431 Request Header Fields Too Large", "The request is too long.\n");
  } else {
    return true;
  }
  state_ = State::sending;
  return send();
}

bool ScrapeConnection::send() {
  while (sent_ < output_.size()) {
    const ssize_t count = ::send(descriptor_.get(), output_.data() + sent_, output_.size() - sent_,
                                 MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0) return would_block(errno);
    sent_ += static_cast<size_t>(count);
  }
  state_ = State::draining;
  return ::shutdown(descriptor_.get(), SHUT_WR) == 0 && drain();
}

bool ScrapeConnection::drain() {
  std::array<char, 4096> buffer;
  const ssize_t count = ::recv(descriptor_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  return count > 0 || (count < 0 && would_block(errno));
}

}  // namespace ringmta::http
