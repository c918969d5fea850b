// SPDX-License-Identifier: GPL-3.0-or-later
// An SMTP server for one connection that answers as the test says and remembers what it was told.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace ringmta::cli {

class MailServer final {
 public:
  // `answer`: the reply to a command line, or to the content ("." stands for it), with CRLF; empty:
  // the connection is closed; kSilence: nothing is said. The greeting is the answer to "".
  static constexpr const char* kSilence = "(silence)";
  explicit MailServer(std::function<std::string(const std::string& line)> answer)
      : answer_(std::move(answer)), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_, 1), 0);
    socklen_t length = sizeof address;
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~MailServer() { finish(); }

  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  // Once the client has gone.
  const std::vector<std::string>& commands() {
    finish();
    return commands_;
  }
  const std::string& content() {
    finish();
    return content_;
  }

 private:
  void finish() {
    if (!thread_.joinable()) return;
    ::shutdown(listener_, SHUT_RDWR);  // ends a wait for a client that never came
    thread_.join();
    ::close(listener_);
  }
  bool reply(int peer, const std::string& line) {
    const std::string text = answer_(line);
    if (text == kSilence) return true;
    in_content_ = text.starts_with("354");
    return !text.empty() && ::send(peer, text.data(), text.size(), MSG_NOSIGNAL) ==
                                static_cast<ssize_t>(text.size());
  }
  void serve() {
    const int peer = ::accept(listener_, nullptr, nullptr);
    if (peer < 0) return;
    std::string input;
    char buffer[65536];
    bool open = reply(peer, "");
    while (open) {
      const std::string end = in_content_ ? "\r\n.\r\n" : "\r\n";
      const size_t found = in_content_ && input.starts_with(".\r\n") ? 0 : input.find(end);
      if (found == std::string::npos) {
        const ssize_t count = ::recv(peer, buffer, sizeof buffer, 0);
        if (count <= 0) break;
        input.append(buffer, static_cast<size_t>(count));
        continue;
      }
      std::string line = input.substr(0, found);
      input.erase(0, found + end.size());
      if (line.starts_with("BDAT ")) {
        const size_t octets = std::stoul(line.substr(5));
        for (ssize_t count = 1; input.size() < octets && count > 0;) {
          count = ::recv(peer, buffer, sizeof buffer, 0);
          if (count > 0) input.append(buffer, static_cast<size_t>(count));
        }
        content_ += input.substr(0, octets);
        input.erase(0, octets);
      }
      if (in_content_) {
        content_ = line + "\r\n";
        open = reply(peer, ".");
      } else {
        commands_.push_back(line);
        open = reply(peer, line);
      }
    }
    ::close(peer);
  }

  std::function<std::string(const std::string&)> answer_;
  int listener_;
  uint16_t port_ = 0;
  bool in_content_ = false;
  std::vector<std::string> commands_;
  std::string content_;
  std::thread thread_;
};

// What a server without wishes answers.
inline std::string plain_answer(const std::string& line) {
  if (line.empty()) return "220 mx.test ESMTP\r\n";
  if (line.starts_with("EHLO")) {
    return "250-mx.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250 "
           "SIZE\r\n";
  }
  if (line.starts_with("DATA")) return "354 go on\r\n";
  if (line.starts_with("QUIT")) return "221 2.0.0 bye\r\n";
  if (line == ".") return "250 2.0.0 Ok: queued as 06NZR4S8G0000\r\n";
  return "250 2.1.0 Ok\r\n";
}

}  // namespace ringmta::cli
