// SPDX-License-Identifier: GPL-3.0-or-later
#include "scripted_peer.h"

#include <algorithm>
#include <charconv>

namespace ringmta::client {
namespace {

constexpr uint8_t kListener = 1, kSession = 2;
constexpr std::string_view kRaw = "!raw ";  // an octet of a reply that drips

bool take_suffix(std::string& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.resize(text.size() - suffix.size());
  return true;
}

std::string between_brackets(const std::string& line) {
  const size_t begin = line.find('<') + 1;
  return line.substr(begin, line.find('>') - begin);
}

}  // namespace

ScriptedPeer::ScriptedPeer(sim::World& world, const std::string& address, Script how)
    : script(std::move(how)), io_(*ring::Io::create({})) {
  (void)*io_->listen(*parse_socket_address(address, 25), {}, ring::Token::make(kListener));
  world.drive(*io_, this, [](void* self) { static_cast<ScriptedPeer*>(self)->turn(); });
}

uint32_t ScriptedPeer::count(std::string_view verb) const {
  return static_cast<uint32_t>(
      std::count_if(commands.begin(), commands.end(),
                    [&](const std::string& line) { return line.starts_with(verb); }));
}

void ScriptedPeer::turn() {
  Monotonic until = Monotonic::never();
  for (const auto& [key, session] : sessions_) {
    if (!session->later.empty()) until = std::min(until, session->later.front().first);
  }
  // Who leaves is counted before who comes.
  const std::span<const ring::Event> events = io_->turn(until);
  for (const bool accepted : {false, true}) {
    for (const ring::Event& event : events) {
      if ((event.kind == ring::EventKind::accepted) == accepted) on_event(event);
    }
  }
  for (const auto& [key, session] : sessions_) {
    while (!session->later.empty() && session->later.front().first <= io_->now()) {
      std::string text = std::move(session->later.front().second);
      session->later.pop_front();
      perform(*session, std::move(text));
    }
    pump(*session);
  }
}

void ScriptedPeer::on_event(const ring::Event& event) {
  using ring::EventKind;
  if (event.kind == EventKind::accepted) {
    auto session = std::make_unique<Session>();
    session->number = ++connections;
    session->stream = event.stream;
    session->mail.connection = connections;
    last_client = io_->peer(event.stream).host_text();
    ++open;
    open_max = std::max(open_max, open);
    io_->own(event.stream, ring::Token::make(kSession));
    if (script.reads) io_->read(event.stream);
    const bool full = open > script.connections_max;
    if (full) ++refused;
    if (script.implicit_tls) begin_tls(*session);
    session->greeting = full ? "421 4.7.0 too many connections!drop" : script.greeting;
    if (!script.implicit_tls) say(*session, session->greeting);
    sessions_[event.stream] = std::move(session);
    return;
  }
  const auto found = sessions_.find(event.stream);
  if (found == sessions_.end()) return;
  Session& session = *found->second;
  switch (event.kind) {
    case EventKind::received:
      pieces.push_back(event.data.size());
      on_received(session, event.data);
      break;
    case EventKind::sent:
      session.is_sending = false;
      break;
    case EventKind::ended:
      close(session, event.result < 0 ? ring::CloseMode::abort : ring::CloseMode::graceful);
      break;
    case EventKind::closed:
      sessions_.erase(found);
      break;
    default:
      break;
  }
}

void ScriptedPeer::begin_tls(Session& session) {
  session.tls = std::make_unique<tls::Session>(script.tls);
  session.input.clear();
}

void ScriptedPeer::on_received(Session& session, Bytes data) {
  using Action = tls::Session::Action;
  if (session.tls == nullptr) {
    session.input += as_text(data);
    consume(session);
    return;
  }
  while (true) {
    const tls::Session::Step step = session.tls->step(data);
    data = data.subspan(step.consumed);
    session.tls->take_output(session.output);
    if (step.action == Action::handshaken) {
      ++handshakes;
      if (session.tls->facts().resumed) ++resumed;
      server_name = session.tls->facts().server_name;
      fingerprint = session.tls->facts().peer_fingerprint;
      if (script.implicit_tls) say(session, session.greeting);
    } else if (step.action == Action::plaintext) {
      session.input += as_text(step.plaintext);
      consume(session);
    } else if (step.action == Action::failed) {
      tls_errors.push_back(session.tls->error());
      session.at_end = session.drop = true;
      return;
    } else {
      return;
    }
  }
}

void ScriptedPeer::put(Session& session, std::string_view text) {
  if (session.tls != nullptr && session.tls->handshaken()) {
    session.tls->write(as_bytes(text));
    session.tls->take_output(session.output);
  } else {
    session.output += text;
  }
}

void ScriptedPeer::consume(Session& session) {
  while (!session.closed && !session.at_end) {
    if (session.in_data || session.in_chunk) {
      if (!consume_content(session)) return;
      continue;
    }
    const size_t end = session.input.find("\r\n");
    if (end == std::string::npos) return;
    const std::string line = session.input.substr(0, end);
    session.input.erase(0, end + 2);
    commands.push_back(line);
    on_line(session, line);
  }
}

bool ScriptedPeer::consume_content(Session& session) {
  if (session.in_chunk) {
    if (session.input.size() < session.chunk_left) return false;
    std::string content = session.input.substr(0, session.chunk_left);
    session.input.erase(0, session.chunk_left);
    session.in_chunk = false;
    end_content(session, std::move(content), true);
    return true;
  }
  if (session.input.size() > script.too_big) {
    say(session, "552 5.3.4 too big" + script.too_big_end);
    return false;
  }
  size_t end = 0;
  size_t taken = 3;
  if (!session.input.starts_with(".\r\n")) {
    end = session.input.find("\r\n.\r\n");
    if (end == std::string::npos) return false;
    end += 2;
    taken = end + 3;
  }
  std::string content = session.input.substr(0, end);
  session.input.erase(0, taken);
  session.in_data = false;
  end_content(session, std::move(content), false);
  return true;
}

void ScriptedPeer::on_line(Session& session, const std::string& line) {
  std::optional<std::string> told;
  if (script.answer) told = script.answer(session.number, line);
  std::string answer = good_answer(session, line);
  if (told && answer.starts_with("2") && !told->starts_with("2")) {  // it is not as if it was good
    if (line.starts_with("RCPT")) session.mail.to.pop_back();
    if (line.starts_with("MAIL")) session.in_mail = false;
  }
  if (told && line.starts_with("DATA")) session.in_data = told->starts_with("3");
  if (!session.in_chunk) say(session, told.value_or(answer));
}

std::string ScriptedPeer::good_answer(Session& session, const std::string& line) {
  const std::string verb = line.substr(0, 4);
  if (verb == "EHLO" || verb == "LHLO") {
    return session.tls != nullptr && !script.secure_ehlo.empty() ? script.secure_ehlo : script.ehlo;
  }
  if (verb == "STAR") return "220 2.0.0 go ahead!tls";
  if (verb == "HELO") return "250 mx.example";
  if (verb == "MAIL") {
    if (session.in_mail) return "503 5.5.1 nested MAIL";
    session.in_mail = true;
    session.mail.from = between_brackets(line);
    session.mail.to.clear();
    return "250 2.1.0 Ok";
  }
  if (verb == "RCPT") {
    if (!session.in_mail) return "503 5.5.1 MAIL first";
    session.mail.to.push_back(between_brackets(line));
    return "250 2.1.5 Ok";
  }
  if (verb == "DATA") {
    if (!session.in_mail) return "503 5.5.1 MAIL first";
    if (session.mail.to.empty()) return "554 5.5.1 no recipients";
    session.in_data = true;
    return "354 go on";
  }
  if (verb == "BDAT") {
    session.in_chunk = true;
    session.chunk_left = std::stoul(line.substr(5));
    return {};
  }
  if (verb == "RSET") {
    session.in_mail = false;
    session.mail.to.clear();
    return "250 2.0.0 Ok";
  }
  if (verb == "QUIT") {
    ++quits;
    return "221 2.0.0 Bye!drop";
  }
  return "500 5.5.2 what?";
}

void ScriptedPeer::end_content(Session& session, std::string content, bool chunked) {
  const size_t recipients = session.mail.to.size();
  if (recipients == 0) {  // of BDAT only; the transaction stays open as it is
    say(session, "503 5.5.1 no recipients");
    return;
  }
  std::optional<std::string> told;
  if (script.answer) told = script.answer(session.number, "");
  session.in_mail = false;
  std::string text = told.value_or("250 2.0.0 taken");
  // A drop in place of the answer: it was taken all the same.
  if (text.starts_with("2") || text.starts_with("!") || text.empty()) {
    session.mail.content = std::move(content);
    session.mail.chunked = chunked;
    session.mail.secure = session.tls != nullptr;
    mails.push_back(session.mail);
  }
  session.mail.to.clear();
  if (script.lmtp && !told) {
    for (size_t i = 1; i < recipients; ++i) say(session, text);
  }
  say(session, text);
}

void ScriptedPeer::close_all(const std::string& text) {
  for (const auto& [key, session] : sessions_) perform(*session, text + "!drop");
}

void ScriptedPeer::say(Session& session, std::string text) {
  // What follows is not looked at, even while the words themselves wait for their time.
  session.at_end = session.at_end || text.ends_with("!drop") || text.ends_with("!reset") ||
                   text.ends_with("!deaf") || text.ends_with("!break");
  if (script.drip.count > 0 && session.later.empty() && session.greeted) {
    Monotonic at = io_->now();
    for (const char c : text + "\r\n") {
      at = at + script.drip;
      session.later.emplace_back(at, std::string(kRaw) + c);
    }
    return;
  }
  session.greeted = true;
  if (script.delay.count == 0 && session.later.empty()) {
    perform(session, std::move(text));
  } else {
    session.later.emplace_back(io_->now() + script.delay, std::move(text));
  }
}

void ScriptedPeer::perform(Session& session, std::string text) {
  if (session.closed) return;
  if (take_suffix(text, "!reset")) {
    close(session, ring::CloseMode::abort);
    return;
  }
  if (take_suffix(text, "!drop")) session.drop = true;
  const bool tls_begins = take_suffix(text, "!tls");
  if (take_suffix(text, "!break")) {  // when something unread has come in
    io_->pause(session.stream);
    session.later.emplace_back(io_->now() + Milliseconds{10}, text + "!torn");
    return;
  }
  if (take_suffix(text, "!torn")) session.drop = session.torn = true;
  if (take_suffix(text, "!deaf")) {
    io_->pause(session.stream);
    if (!session.counted_out) --open;  // it will not see the client go
    session.counted_out = true;
  }
  if (text.starts_with(kRaw)) {
    put(session, text.substr(kRaw.size()));
  } else if (!text.empty()) {
    put(session, text + "\r\n");
  }
  if (tls_begins) begin_tls(session);
  pump(session);
}

void ScriptedPeer::close(Session& session, ring::CloseMode mode) {
  if (session.closed) return;
  session.closed = true;
  if (!session.counted_out) --open;
  io_->close(session.stream, mode);
}

void ScriptedPeer::pump(Session& session) {
  if (session.closed || session.is_sending) return;
  if (session.output.empty()) {
    const auto mode = session.torn ? ring::CloseMode::abort : ring::CloseMode::graceful;
    if (session.drop) close(session, mode);
    return;
  }
  session.sending = std::move(session.output);
  session.output.clear();
  const iovec part{session.sending.data(), session.sending.size()};
  session.is_sending = true;
  io_->send(session.stream, {&part, 1});
}

}  // namespace ringmta::client
