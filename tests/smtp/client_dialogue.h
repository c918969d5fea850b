// SPDX-License-Identifier: GPL-3.0-or-later
// A client session and a scripted server, played without sockets. What the session said and what it
// told its owner come out as plain text to be compared; the server's octets can be cut anywhere,
// which must change nothing.
#pragma once

#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ringmta/base/prng.h"
#include "ringmta/smtp/client_session.h"

namespace ringmta::smtp {

struct Mail {
  std::string from = "a@one.example";
  std::vector<std::string> to = {"b@two.example"};
  uint64_t size = 1000;  // without ".CRLF"
  bool dots = false, eight_bit = false, declared_eight_bit = false, utf8 = false;
  std::string envelope_id;
  DsnReturn dsn_return = DsnReturn::unspecified;
  std::vector<uint8_t> notify;
  std::vector<std::string> original;
};

// Greeting and EHLO through, with these capabilities.
inline std::string server(const std::vector<std::string>& capabilities) {
  std::string script = "< 220 mx.example ESMTP\n--\n< 250-mx.example\n";
  for (const std::string& capability : capabilities) script += "< 250-" + capability + "\n";
  return script + "< 250 HELP\n--\n";
}
inline const std::string kLockStep = server({});
inline const std::string kPipelining = server({"PIPELINING"});
inline const std::string kChunking = server({"PIPELINING", "CHUNKING"});
inline const std::string kEverything = server(
    {"PIPELINING", "SIZE 5000", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "CHUNKING"});

inline ClientOptions relay() {
  ClientOptions options;
  options.hostname = "relay";
  return options;
}
inline ClientOptions lmtp() {
  ClientOptions options = relay();
  options.lmtp = true;
  return options;
}
inline ClientOptions small_chunks() {
  ClientOptions options = relay();
  options.chunking_size_max = 500;
  return options;
}

inline Mail to(std::vector<std::string> recipients) {
  Mail mail;
  mail.to = std::move(recipients);
  return mail;
}
inline const Mail kThree = to({"b@two", "c@two", "d@two"});

// How the server's octets are cut.
enum class Cut { whole, octets, random };

class Dialogue final {
 public:
  Dialogue(const ClientOptions& options, Cut cut, uint64_t seed, const ClientOpening& opening = {})
      : session_(options, opening), cut_(cut), random_(seed) {}

  // Each line of `script` is an act: "< TEXT" the server says TEXT and CRLF (acts of this kind in a
  // row are one piece),
  // "<| TEXT" the same without CRLF; "begin N"; "quit"; "abandon"; "hold" (output is taken but not
  // told as sent), "sent"; "stuck" (output is not even taken); "secured"; "auth MECHANISM", "auth
  // MECHANISM INITIAL", "answer TEXT", "cancel"; "--" (what the server says next comes later).
  void play(std::string_view script, const std::map<int, Mail>& mails) {
    std::string server;
    while (!script.empty()) {
      const size_t end = std::min(script.find('\n'), script.size());
      std::string_view line = script.substr(0, end);
      script.remove_prefix(std::min(end + 1, script.size()));
      while (!line.empty() && line.front() == ' ') line.remove_prefix(1);
      if (line.empty()) continue;
      if (line.substr(0, 2) == "< ") {
        server += std::string(line.substr(2)) + "\r\n";
        continue;
      }
      if (line.substr(0, 3) == "<| ") {
        server += line.substr(3);
        continue;
      }
      feed(server);
      server.clear();
      act(line, mails);
    }
    feed(server);
  }

  std::string said;  // what the session sent; contents as "[content N]" or "[content N dot]"
  std::string told;  // what it told its owner, a line each
  std::vector<std::string> outputs;  // `said` in the pieces of take_output()
  ClientSession& session() { return session_; }

 private:
  void act(std::string_view line, const std::map<int, Mail>& mails) {
    if (line.substr(0, 6) == "begin ") {
      const int number = std::stoi(std::string(line.substr(6)));
      begin(number, mails.at(number));
    } else if (line == "quit") {
      session_.quit();
    } else if (line == "abandon") {
      while (true) {
        const ClientSession::Step step = session_.abandon();
        if (step.action == ClientSession::Action::more) break;
        tell(step);
      }
    } else if (line == "secured") {
      session_.secured();
    } else if (line.substr(0, 5) == "auth ") {
      line.remove_prefix(5);
      const size_t blank = line.find(' ');
      std::optional<std::string_view> initial;
      if (blank != std::string_view::npos) initial = line.substr(blank + 1);
      session_.authenticate(line.substr(0, blank), initial);
    } else if (line.substr(0, 6) == "answer") {
      session_.answer(line.substr(std::min<size_t>(7, line.size())));
    } else if (line == "cancel") {
      session_.cancel_authentication();
    } else if (line == "hold") {
      hold_ = true;
    } else if (line == "stuck") {
      stuck_ = true;
    } else if (line == "sent") {
      hold_ = stuck_ = false;
      if (in_flight_) session_.output_sent();
      in_flight_ = false;
    } else if (line != "--") {
      told += "unknown act: " + std::string(line) + "\n";
    }
    feed("");
  }

  void begin(int number, const Mail& mail) {
    if (!session_.can_begin()) {
      told += "cannot begin " + std::to_string(number) + "\n";
      return;
    }
    // The views die with this function: what the session keeps of them shows under the sanitizer.
    const std::vector<std::string> to = mail.to;
    std::vector<RecipientView> recipients;
    for (size_t i = 0; i < to.size(); ++i) {
      RecipientView view{to[i], {}, 0};
      if (i < mail.original.size()) view.original_recipient = mail.original[i];
      if (i < mail.notify.size()) view.notify = mail.notify[i];
      recipients.push_back(view);
    }
    Transaction transaction;
    transaction.tag = static_cast<uint64_t>(number);
    transaction.envelope = {mail.from, mail.envelope_id, mail.dsn_return, mail.declared_eight_bit,
                            mail.utf8, recipients};
    transaction.content = {mail.size + 3, mail.dots, mail.eight_bit};
    session_.begin(transaction);
  }

  void feed(std::string_view input) {
    if (input.empty()) piece("");
    while (!input.empty()) {
      size_t length = input.size();
      if (cut_ == Cut::octets) length = 1;
      if (cut_ == Cut::random) length = 1 + random_.below(input.size());
      piece(input.substr(0, length));
      input.remove_prefix(length);
    }
  }

  void piece(std::string_view input) {
    while (true) {
      // Memory of exactly this size, so that a read beyond it is seen by the sanitizer.
      const std::vector<char> memory(input.begin(), input.end());
      const ClientSession::Step step =
          session_.step(as_bytes(std::string_view(memory.data(), memory.size())));
      input.remove_prefix(step.consumed);
      if (step.action == ClientSession::Action::more) break;
      tell(step);
    }
    if (!input.empty()) told += "not consumed: " + std::string(input) + "\n";
    flush();
  }

  void flush() {
    if (stuck_ || in_flight_ || !session_.has_output()) return;
    std::vector<ClientSession::OutputPart> parts;
    session_.take_output(parts);
    std::string output;
    for (const ClientSession::OutputPart& part : parts) {
      if (part.is_content) {
        output +=
            "[content " + std::to_string(part.content_tag) + (part.content_dot ? " dot]\n" : "]\n");
      } else {
        for (const char c : part.text) {
          if (c != '\r') output += c;
        }
      }
    }
    outputs.push_back(output);
    said += output;
    in_flight_ = true;
    if (hold_) return;
    session_.output_sent();
    in_flight_ = false;
    piece("");
  }

  void tell(const ClientSession::Step& step) {
    using Action = ClientSession::Action;
    const std::string where(to_text(step.phase));
    const std::string tag = std::to_string(step.tag);
    switch (step.action) {
      case Action::more:
        break;
      case Action::start_tls:
        told += "start tls\n";
        break;
      case Action::authenticate:
        told += "authenticate" + (step.reply == nullptr ? "" : " " + step.reply->line()) + "\n";
        break;
      case Action::challenge:
        told += "challenge " + step.reply->text + "\n";
        break;
      case Action::authenticated:
        told += "authenticated\n";
        break;
      case Action::ready:
        told += "ready\n";
        break;
      case Action::recipient:
        told += tag + "." + std::to_string(step.index) + " " + where + " " + step.reply->line() +
                (step.too_many_recipients ? " (too many)" : "") + "\n";
        break;
      case Action::finished:
        told += tag + " finished\n";
        break;
      case Action::close:
        told += "close " + where + " " + step.reply->line() + "\n";
        break;
    }
  }

  ClientSession session_;
  Cut cut_;
  Prng random_;
  bool hold_ = false, stuck_ = false, in_flight_ = false;
};

}  // namespace ringmta::smtp
