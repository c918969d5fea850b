// SPDX-License-Identifier: GPL-3.0-or-later
// Mail hosts: sessions, replies, and the ways in which they fail.
#include "hosts.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace ringmta::simulation {

namespace {

constexpr uint8_t kListener = 1, kSession = 2;
constexpr Milliseconds kGrey = seconds(60);
constexpr std::string_view kHangUp = "!";  // behind a reply: the connection ends with it

std::string_view between_brackets(std::string_view line) {
  const size_t begin = line.find('<');
  const size_t end = line.find('>', begin);
  if (begin == std::string_view::npos || end == std::string_view::npos) return {};
  return line.substr(begin + 1, end - begin - 1);
}

std::string unstuffed(std::string_view wire) {
  std::string plain;
  plain.reserve(wire.size());
  for (size_t at = 0; at < wire.size();) {
    if (wire[at] == '.') ++at;
    const size_t end = wire.find("\r\n", at);
    const size_t next = end == std::string_view::npos ? wire.size() : end + 2;
    plain.append(wire.substr(at, next - at));
    at = next;
  }
  return plain;
}

}  // namespace

Hosts::Hosts(sim::World& world, Ledger& ledger, uint64_t seed)
    : world_(world),
      ledger_(ledger),
      random_(seed),
      late_random_(seed ^ 0x1A7E),
      io_(*ring::Io::create({})) {
  world.drive(*io_, this, [](void* self) { static_cast<Hosts*>(self)->turn(); });
}

void Hosts::add(const SocketAddress& address, uint32_t site, const Manners& manners) {
  auto host = std::make_unique<Host>();
  host->address = address;
  host->site = site;
  host->manners = manners;
  const auto number = static_cast<uint32_t>(hosts_.size());
  RINGMTA_ASSERT(io_->listen(address, {}, ring::Token::make(kListener, number)).has_value());
  hosts_.push_back(std::move(host));
}

void Hosts::turn() {
  Monotonic until = Monotonic::never();
  for (const auto& [key, session] : sessions_) {
    if (!session->later.empty()) until = std::min(until, session->later.front().first);
  }
  for (const auto& [number, site] : sites_) {
    if (site.over_since != Monotonic::never()) until = std::min(until, site.over_since + slack_);
  }
  // Who leaves is counted before who comes.
  const std::span<const ring::Event> events = io_->turn(until);
  for (const bool accepted : {false, true}) {
    for (const ring::Event& event : events) {
      if ((event.kind == ring::EventKind::accepted) == accepted) on_event(event);
    }
  }
  for (const auto& [key, session] : sessions_) {
    auto& later = session->later;
    while (!later.empty() && later.front().first <= io_->now()) {
      session->output += later.front().second;
      later.pop_front();
    }
    pump(*session);
  }
  watch_limits();
}

// A connection the relay has given up may be seen here a little longer; not for more than `slack_`.
void Hosts::watch_limits() {
  for (auto& [number, site] : sites_) {
    if (site.open <= limit_) {
      site.over_since = Monotonic::never();
    } else if (site.over_since == Monotonic::never()) {
      site.over_since = io_->now();
    } else if (io_->now() >= site.over_since + slack_) {
      ledger_.oddities.push_back(
          fmt::format("site {} has {} connections, its limit is {}", number, site.open, limit_));
      site.over_since = Monotonic::never();
    }
  }
}

void Hosts::on_accepted(const ring::Event& event) {
  if (event.result < 0) return;
  auto session = std::make_unique<Session>();
  session->host = hosts_[event.token.index()].get();
  session->stream = event.stream;
  ++session->host->open;
  ++sites_[session->host->site].open;
  io_->own(event.stream, ring::Token::make(kSession));
  io_->read(event.stream);
  Session& made = *session;
  sessions_[event.stream] = std::move(session);
  if (made.host->manners.trap) {
    ledger_.oddities.push_back("the relay believed a forged answer: it came to " +
                               made.host->address.text());
  }
  if (made.host->open > made.host->manners.connections_max) {
    ledger_.note_fault("a host takes no more connections");
    reply(made, std::string("421 4.7.0 too many connections\r\n") += kHangUp);
  } else if (!struck(made, "connect")) {
    reply(made, "220 mx.sim ESMTP\r\n");
  }
}

void Hosts::on_event(const ring::Event& event) {
  using ring::EventKind;
  if (event.kind == EventKind::accepted) return on_accepted(event);
  const auto found = sessions_.find(event.stream);
  if (found == sessions_.end()) return;
  Session& session = *found->second;
  switch (event.kind) {
    case EventKind::received:
      if (session.gone || session.deaf) return;
      session.input += as_text(event.data);
      consume(session);
      break;
    case EventKind::sent:
      session.is_sending = false;
      break;
    case EventKind::ended:
      leave(session, event.result < 0 ? ring::CloseMode::abort : ring::CloseMode::graceful);
      break;
    case EventKind::closed:
      count_out(session);
      sessions_.erase(found);
      break;
    default:
      break;
  }
}

// What the second generation added has dice of its own: older seeds keep their meaning.
bool Hosts::drops_late(Session& session, const char* when) {
  const uint32_t one_in = session.host->manners.drop_late;
  if (!trouble_ || one_in == 0 || late_random_.below(one_in) != 0) return false;
  ledger_.note_fault(fmt::format("a host drops the line {}", when));
  leave(session, ring::CloseMode::abort);
  return true;
}

void Hosts::consume(Session& session) {
  while (!session.gone && !session.ending && !session.deaf) {
    if (session.data || session.chunk) {
      if (!session.input.empty() && drops_late(session, "within a content")) return;
      if (!consume_content(session)) return;
      continue;
    }
    const size_t end = session.input.find("\r\n");
    if (end == std::string::npos) return;
    const std::string line = session.input.substr(0, end);
    session.input.erase(0, end + 2);
    on_line(session, line);
  }
}

// False: more is needed.
bool Hosts::consume_content(Session& session) {
  if (session.chunk) {
    const size_t taken = std::min<uint64_t>(session.chunk_left, session.input.size());
    session.content.append(session.input, 0, taken);
    session.input.erase(0, taken);
    session.chunk_left -= taken;
    if (session.chunk_left > 0) return false;
    session.chunk = false;
    if (session.last) {
      on_content(session);
    } else {
      reply(session, "250 2.0.0 go on\r\n");
    }
    return true;
  }
  const bool empty = session.input.starts_with(".\r\n");
  const size_t end = empty ? 0 : session.input.find("\r\n.\r\n", session.looked_at);
  if (end == std::string::npos) {
    session.looked_at = session.input.size() - std::min<size_t>(session.input.size(), 4);
    return false;
  }
  session.looked_at = 0;
  session.content = unstuffed(std::string_view(session.input).substr(0, empty ? 0 : end + 2));
  session.input.erase(0, empty ? 3 : end + 5);
  session.data = false;
  on_content(session);
  return true;
}

std::string Hosts::capabilities(const Host& host) const {
  std::vector<std::string> lines{"mx.sim"};
  if (host.manners.pipelining) lines.emplace_back("PIPELINING");
  if (host.manners.chunking) lines.emplace_back("CHUNKING");
  if (host.manners.size) lines.emplace_back("SIZE 10000000");
  if (host.manners.enhanced) lines.emplace_back("ENHANCEDSTATUSCODES");
  lines.emplace_back("8BITMIME");
  std::string text;
  for (size_t i = 0; i < lines.size(); ++i) {
    text += fmt::format("250{}{}\r\n", i + 1 < lines.size() ? '-' : ' ', lines[i]);
  }
  return text;
}

void Hosts::on_line(Session& session, std::string_view line) {
  Host& host = *session.host;
  session.history += fmt::format(" {{{}}}", line);
  const auto odd = [&](std::string_view what) {
    ledger_.oddities.push_back(
        fmt::format("{}: \"{}\" after{}", what, line,
                    session.history.substr(session.history.size() -
                                           std::min<size_t>(session.history.size(), 600))));
  };
  if (line.size() > 510) odd("a command of more than 512 octets");
  if (line.starts_with("QUIT")) {
    for (const Taken& one : session.taken) {
      if (session.mute) break;
      if (one.notice) {
        ledger_.confirm_notice(one.number, one.address);
      } else {
        ledger_.confirm(one.number, one.address);
      }
    }
    session.taken.clear();
    if (drops_late(session, "at QUIT")) return;
    return reply(session, std::string("221 2.0.0 bye\r\n") += kHangUp);
  }
  const bool content_next = line.starts_with("BDAT ");
  if (content_next) {
    const char* begin = line.data() + 5;
    std::from_chars(begin, line.data() + line.size(), session.chunk_left);
    session.last = line.ends_with(" LAST");
    session.chunk = true;
    if (!host.manners.chunking) odd("BDAT without CHUNKING having been offered");
    return;
  }
  if (!line.starts_with("RSET") && struck(session, line.substr(0, 4))) return;
  if (line.starts_with("EHLO ")) {
    if (!host.manners.esmtp) return reply(session, "500 5.5.1 what?\r\n");
    session.hello = true;
    return reply(session, capabilities(host));
  }
  if (line.starts_with("HELO ")) {
    session.hello = true;
    return reply(session, "250 mx.sim\r\n");
  }
  if (line.starts_with("MAIL FROM:")) {
    if (!session.hello) odd("MAIL before EHLO");
    if (session.mail) odd("MAIL within a transaction");
    session.mail = true;
    session.from = between_brackets(line);
    session.to.clear();
    session.content.clear();
    return reply(session, "250 2.1.0 ok\r\n");
  }
  if (line.starts_with("RCPT TO:")) return on_recipient(session, line);
  if (line.starts_with("DATA")) {
    if (session.to.empty()) return reply(session, "554 5.5.1 no valid recipients\r\n");
    session.data = true;
    return reply(session, "354 go on\r\n");
  }
  if (line.starts_with("RSET")) {
    session.mail = false;
    session.to.clear();
    return reply(session, "250 2.0.0 ok\r\n");
  }
  if (line.starts_with("NOOP")) return reply(session, "250 2.0.0 ok\r\n");
  odd("an unknown command");
  reply(session, "500 5.5.1 what?\r\n");
}

// "no..." is nobody, "full..." has no room, ever.
void Hosts::on_recipient(Session& session, std::string_view line) {
  const std::string address(between_brackets(line));
  if (!session.mail) {
    if (!session.host->manners.pipelining) ledger_.oddities.push_back("RCPT without MAIL");
    return reply(session, "503 5.5.1 MAIL first\r\n");
  }
  if (address.starts_with("no")) return reply(session, "550 5.1.1 nobody of that name\r\n");
  if (address.starts_with("full")) return reply(session, "452 4.2.2 mailbox full\r\n");
  if (session.host->manners.greylists) {
    const auto [first, fresh] = session.host->grey.try_emplace(address, io_->now());
    if (fresh || io_->now() - first->second < kGrey) {
      ledger_.note_fault("a recipient is grey listed");
      return reply(session, "450 4.2.0 greylisted\r\n");
    }
  }
  session.to.push_back(address);
  reply(session, "250 2.1.5 ok\r\n");
}

void Hosts::set_storm(uint32_t site, Storm storm) {
  for (const auto& host : hosts_) {
    if (host->site == site) host->storm = storm;
  }
}

// Nobody hears it any more: whatever it takes from now on the relay cannot know of.
void Hosts::fall_mute(Session& session) {
  session.mute = true;
  session.taken.clear();
  session.later.clear();
  world_.half_close(*io_, session.stream);
}

void Hosts::on_content(Session& session) {
  session.mail = false;
  const std::vector<std::string> to = std::move(session.to);
  session.to.clear();
  if (to.empty()) return reply(session, "503 5.5.1 RCPT first\r\n");
  const Manners& manners = session.host->manners;
  if (happens(manners.drop)) {
    ledger_.note_fault("a host drops the line at the final dot");
    return leave(session, ring::CloseMode::abort);
  }
  if (happens(manners.temporary)) return reply(session, "451 4.3.0 not now\r\n");
  if (happens(manners.permanent)) return reply(session, "554 5.6.0 not this\r\n");
  if (storms(session)) return;
  session.to = to;
  take(session);
  session.to.clear();
  if (happens(manners.lost_reply)) {
    ledger_.note_fault("a host takes a message and its 250 is lost");
    session.taken.clear();
    return leave(session, ring::CloseMode::abort);
  }
  reply(session, "250 2.0.0 taken\r\n");
}

void Hosts::take(Session& session) {
  if (session.from.empty()) return take_notice(session);
  const uint32_t number = Ledger::number_in(session.content);
  for (const std::string& address : session.to) {
    ledger_.took(number, address, session.content, io_->now());
    session.taken.push_back({number, address, false});
  }
}

// A DSN: whom it is about stands in its second part, which message in its third.
void Hosts::take_notice(Session& session) {
  const uint32_t number = Ledger::number_in(session.content);
  constexpr std::string_view kFinal = "\r\nFinal-Recipient: rfc822; ";
  for (size_t at = session.content.find(kFinal); at != std::string::npos;
       at = session.content.find(kFinal, at + 1)) {
    const size_t begin = at + kFinal.size();
    const size_t end = session.content.find("\r\n", begin);
    const std::string_view rest = std::string_view(session.content).substr(end, 60);
    if (rest.find("Action: failed") == std::string_view::npos) continue;
    const std::string address = session.content.substr(begin, end - begin);
    ledger_.notified(number, address, io_->now());
    session.taken.push_back({number, address, true});
  }
}

bool Hosts::struck(Session& session, std::string_view phase) {
  const Manners& manners = session.host->manners;
  if (happens(manners.silent)) {
    ledger_.note_fault("a host falls silent");
    session.deaf = true;
    return true;
  }
  if (happens(manners.half_close) && !session.is_sending && session.output.empty()) {
    fall_mute(session);
    return true;
  }
  if (storms(session)) return true;
  if (happens(manners.drop)) {
    ledger_.note_fault(fmt::format("a host drops the line at {}", phase));
    leave(session, random_.below(2) == 0 ? ring::CloseMode::abort : ring::CloseMode::graceful);
    return true;
  }
  if (happens(manners.shutdown)) {
    reply(session, std::string("421 4.3.2 going down\r\n") += kHangUp);
    return true;
  }
  if (happens(manners.temporary) && session.hello) {
    reply(session, "450 4.3.0 not now\r\n");
    return true;
  }
  if (happens(manners.permanent)) {
    reply(session, session.hello ? "550 5.7.1 no\r\n" : "554 5.3.2 no\r\n");
    return true;
  }
  return false;
}

bool Hosts::storms(Session& session) {
  if (session.host->storm == Storm::none || random_.below(10) == 0) return false;
  switch (session.host->storm) {
    case Storm::temporary:
      reply(session, "451 4.3.0 overloaded\r\n");
      ledger_.note_fault("a storm of 4xx");
      break;
    case Storm::permanent:
      reply(session, session.hello ? "550 5.7.1 no\r\n" : "554 5.3.2 no\r\n");
      ledger_.note_fault("a storm of 5xx");
      break;
    default:
      ledger_.note_fault("a storm of 421");
      reply(session, std::string("421 4.3.2 overloaded\r\n") += kHangUp);
  }
  return true;
}

void Hosts::reply(Session& session, std::string text) {
  if (session.gone || session.mute) return;
  session.history += " " + text.substr(0, 9);
  const Manners& manners = session.host->manners;
  Milliseconds wait{0};
  if (trouble_ && manners.delay_max.count > 0) {
    wait.count =
        static_cast<int64_t>(random_.below(static_cast<uint64_t>(manners.delay_max.count)));
    if (wait.count > 60'000) ledger_.note_fault("a host takes more than a minute for a reply");
  }
  if (text.starts_with("250 2.0.0 taken")) wait = wait + manners.content_delay;
  const Monotonic at = session.later.empty()
                           ? io_->now() + wait
                           : std::max(session.later.back().first, io_->now() + wait);
  if (text.ends_with(kHangUp)) session.ending = true;
  session.later.emplace_back(at, std::move(text));
}

void Hosts::pump(Session& session) {
  if (session.gone || session.is_sending) return;
  if (session.output.empty()) return;
  session.sending = std::move(session.output);
  session.output.clear();
  const bool last = session.sending.ends_with(kHangUp);
  if (last) session.sending.pop_back();
  const iovec part{session.sending.data(), session.sending.size()};
  session.is_sending = true;
  io_->send(session.stream, {&part, 1});
  if (last) leave(session, ring::CloseMode::graceful);
}

void Hosts::leave(Session& session, ring::CloseMode mode) {
  if (session.gone) return;
  session.gone = true;
  session.later.clear();
  count_out(session);
  io_->close(session.stream, mode);
}

void Hosts::count_out(Session& session) {
  if (!session.counted) return;
  session.counted = false;
  --session.host->open;
  --sites_[session.host->site].open;
}

}  // namespace ringmta::simulation
