// SPDX-License-Identifier: GPL-3.0-or-later
// Clients: one mail after another, in one write or step by step, by DATA or BDAT.
#include "submitters.h"

#include <fmt/format.h>

#include <algorithm>

namespace ringmta::simulation {

namespace {

constexpr uint8_t kSession = 3;
constexpr Milliseconds kRetry{500};  // after a connection that was refused or broke

std::string stuffed(std::string_view content) {
  std::string wire;
  bool begins = true;
  for (const char c : content) {
    if (begins && c == '.') wire += '.';
    wire += c;
    begins = c == '\n';
  }
  return wire + ".\r\n";
}

}  // namespace

Submitters::Submitters(sim::World& world, Ledger& ledger, const SubmitterOptions& options,
                       uint64_t seed)
    : world_(world), ledger_(ledger), options_(options), random_(seed), io_(*ring::Io::create({})) {
  std::vector<std::pair<Monotonic, Mail*>> plan;
  for (Mail& mail : ledger_.mails) {
    const auto within = static_cast<uint64_t>(std::max<int64_t>(1, options_.over.count));
    plan.emplace_back(world.now() + Milliseconds{static_cast<int64_t>(random_.below(within))},
                      &mail);
  }
  std::ranges::sort(plan, {},
                    [](const auto& one) { return std::pair(one.first.ns, one.second->number); });
  waiting_.assign(plan.begin(), plan.end());
  world.drive(*io_, this, [](void* self) { static_cast<Submitters*>(self)->turn(); });
}

void Submitters::turn() {
  Monotonic until = Monotonic::never();
  if (!waiting_.empty() && sessions_.size() < options_.sessions) {
    until = std::max(waiting_.front().first, next_open_);
  }
  for (const auto& [key, session] : sessions_) {
    if (!session->gone && !session->to_send.empty() && !session->is_sending) {
      until = std::min(until, session->not_before);
    }
  }
  for (const ring::Event& event : io_->turn(until)) on_event(event);
  while (!waiting_.empty() && sessions_.size() < options_.sessions &&
         io_->now() >= std::max(waiting_.front().first, next_open_)) {
    open();
  }
  for (const auto& [key, session] : sessions_) pump(*session);
}

void Submitters::open() {
  auto stream = io_->connect(options_.relay, {}, ring::Token::make(kSession));
  RINGMTA_ASSERT(stream.has_value());
  auto session = std::make_unique<Session>();
  session->stream = *stream;
  session->mails_left = options_.mails_per_session;
  session->replies = {Awaits::greeting};
  sessions_[*stream] = std::move(session);
}

void Submitters::on_event(const ring::Event& event) {
  using ring::EventKind;
  const auto found = sessions_.find(event.stream);
  if (found == sessions_.end()) return;
  Session& session = *found->second;
  switch (event.kind) {
    case EventKind::connected:
      if (event.result == 0) {
        io_->read(session.stream);
      } else {
        leave(session);
      }
      break;
    case EventKind::received:
      session.input += as_text(event.data);
      for (size_t end; !session.gone && (end = session.input.find("\r\n")) != std::string::npos;) {
        const std::string line = session.input.substr(0, end);
        session.input.erase(0, end + 2);
        if (line.size() > 3 && line[3] == '-') {
          if (line.ends_with("CHUNKING")) session.chunking = true;
          if (line.ends_with("PIPELINING")) session.pipelining = true;
          continue;
        }
        on_reply(session, line.size() >= 3 ? std::atoi(line.c_str()) : 0, line);
      }
      break;
    case EventKind::sent:
      session.is_sending = false;
      if (event.result < 0) leave(session);
      break;
    case EventKind::ended:
      leave(session);
      break;
    case EventKind::closed:
      sessions_.erase(found);
      break;
    default:
      break;
  }
}

void Submitters::on_reply(Session& session, int code, std::string_view text) {
  if (session.vanishes) return;
  if (session.replies.empty()) {
    if (code != 421) ledger_.oddities.push_back(fmt::format("a reply nobody asked for: {}", text));
    return leave(session);
  }
  const Awaits awaited = session.replies.front();
  session.replies.pop_front();
  if (code == 421) {
    if (awaited == Awaits::content && session.mail != nullptr)
      decide(session, Mail::Fate::refused, text);
    return leave(session);
  }
  switch (awaited) {
    case Awaits::greeting:
      if (code != 220) return leave(session);
      return say(session, "EHLO client.sim\r\n", Awaits::hello);
    case Awaits::hello:
      if (code != 250) return leave(session);
      return next_mail(session);
    case Awaits::mail:
      if (code != 250) {  // not now; it goes back into line
        session.mail->fate = Mail::Fate::unsent;
        waiting_.emplace_front(io_->now() + kRetry, session.mail);
        session.mail = nullptr;
        return leave(session);
      }
      if (!session.mail->pipelined) {
        say(session, fmt::format("RCPT TO:<{}>\r\n", session.mail->recipients[0].address),
            Awaits::recipient);
      }
      return;
    case Awaits::recipient: {
      if (code == 250) ++session.good_recipients;
      if (session.mail->pipelined) return;
      const size_t said = session.mail->recipients.size() - 1;
      // Step by step: how many were answered is how many were said.
      if (session.good_recipients <= said && code == 250) {
        return say(session,
                   fmt::format("RCPT TO:<{}>\r\n",
                               session.mail->recipients[session.good_recipients].address),
                   Awaits::recipient);
      }
      if (code != 250) return quit(session);
      if (session.mail->chunked && session.chunking) return send_content(session);
      return say(session, "DATA\r\n", Awaits::data);
    }
    case Awaits::data:
      if (code != 354) {
        decide(session, Mail::Fate::refused, text);
        return quit(session);
      }
      return send_content(session);
    case Awaits::chunk:
      return;
    case Awaits::content:
      if (session.good_recipients < session.mail->recipients.size() && code == 250) {
        ledger_.oddities.push_back(fmt::format("recipients were refused: {}", text));
      }
      decide(session, code == 250 ? Mail::Fate::kept : Mail::Fate::refused, text);
      return next_mail(session);
    case Awaits::quit:
      return leave(session);
  }
}

void Submitters::next_mail(Session& session) {
  if (session.half_closed) return leave(session);
  if (session.mails_left == 0 || waiting_.empty() || waiting_.front().first > io_->now()) {
    return quit(session);
  }
  --session.mails_left;
  session.mail = waiting_.front().second;
  waiting_.pop_front();
  session.good_recipients = 0;
  Mail& mail = *session.mail;
  mail.fate = Mail::Fate::unknown;
  mail.pipelined = mail.pipelined && session.pipelining;
  if (happens(options_.vanish)) {
    ledger_.note_fault("a client vanishes in the middle of a message");
    session.vanishes = true;
    mail.fate = Mail::Fate::refused;  // its end is never sent
    session.to_send.push_back(fmt::format("MAIL FROM:<{}>\r\nRCPT TO:<{}>\r\nDATA\r\n", mail.sender,
                                          mail.recipients[0].address));
    const std::string wire = stuffed(mail.content);
    session.to_send.push_back(wire.substr(0, random_.below(wire.size() - 4)));
    session.to_send.emplace_back();  // then it is gone
    return;
  }
  say(session, fmt::format("MAIL FROM:<{}>\r\n", mail.sender), Awaits::mail);
  if (!mail.pipelined) return;
  for (const Recipient& recipient : mail.recipients) {
    say(session, fmt::format("RCPT TO:<{}>\r\n", recipient.address), Awaits::recipient);
  }
  if (mail.chunked && session.chunking) {
    send_content(session);
  } else {
    say(session, "DATA\r\n", Awaits::data);
  }
}

void Submitters::send_content(Session& session) {
  const Mail& mail = *session.mail;
  session.half_closes = happens(options_.half_close);
  if (!mail.chunked || !session.chunking) {
    return say(session, stuffed(mail.content), Awaits::content);
  }
  const size_t cut = random_.below(2) == 0 ? 0 : random_.below(mail.content.size());
  if (cut > 0)
    say(session, fmt::format("BDAT {}\r\n", cut) + mail.content.substr(0, cut), Awaits::chunk);
  say(session,
      fmt::format("BDAT {} LAST\r\n", mail.content.size() - cut) + mail.content.substr(cut),
      Awaits::content);
}

// Commands that belong together leave in one piece, at random.
void Submitters::say(Session& session, std::string text, Awaits reply) {
  session.replies.push_back(reply);
  if (!session.to_send.empty() && random_.below(3) > 0) {
    session.to_send.back() += text;
  } else {
    session.to_send.push_back(std::move(text));
  }
  if (happens(options_.linger)) {
    session.not_before = io_->now() + Milliseconds{static_cast<int64_t>(random_.below(10'000))};
  }
}

void Submitters::decide(Session& session, Mail::Fate fate, std::string_view reply) {
  session.mail->fate = fate;
  session.mail->reply = reply;
  session.mail->decided = io_->now();
  session.mail = nullptr;
}

void Submitters::quit(Session& session) {
  if (session.half_closed) return leave(session);
  say(session, "QUIT\r\n", Awaits::quit);
}

void Submitters::pump(Session& session) {
  if (session.gone || session.is_sending) return;
  if (session.to_send.empty() && session.half_closes) {
    session.half_closes = false;
    session.half_closed = true;
    world_.half_close(*io_, session.stream);
  }
  if (session.to_send.empty()) return;
  if (io_->now() < session.not_before) return;
  session.sending = std::move(session.to_send.front());
  session.to_send.pop_front();
  if (session.sending.empty()) return leave(session);
  const iovec part{session.sending.data(), session.sending.size()};
  session.is_sending = true;
  io_->send(session.stream, {&part, 1});
}

void Submitters::leave(Session& session) {
  if (session.gone) return;
  session.gone = true;
  next_open_ = io_->now() + kRetry;
  io_->close(session.stream,
             random_.below(2) == 0 ? ring::CloseMode::abort : ring::CloseMode::graceful);
}

}  // namespace ringmta::simulation
