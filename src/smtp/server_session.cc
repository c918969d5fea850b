// SPDX-License-Identifier: GPL-3.0-or-later
// The server session: its steps, its command lines and its output. What commands mean is in
// server_commands.cc, server_security.cc, server_envelope.cc and server_content.cc.
//
// Output is one text. A reply that waits for the disk is a place in it, and what stands behind the
// first place does not leave; filling a place is an insertion into a few hundred octets.
#include "ringmta/smtp/server_session.h"

#include <cstring>

#include "ringmta/base/assert.h"
#include "ringmta/base/octets.h"
#include "ringmta/base/wipe.h"

namespace ringmta::smtp {
namespace {

constexpr size_t kOutputKept = 4096;            // octets of memory kept for output when it is idle
constexpr size_t kHeldMax = 16'384;             // octets of replies behind an open place
constexpr uint64_t kLineSwallowedMax = 65'536;  // octets of one command line, then the session ends

}  // namespace

ServerSession::ServerSession(const ServerOptions& options, const ServerAccess& access)
    : options_(options), access_(access) {
  RINGMTA_ASSERT(!access.tls || !access.starttls);
}

void ServerSession::greet() {
  RINGMTA_ASSERT(state_ == State::silent);
  state_ = State::command;
  output_ += "220 ";
  output_ += options_.hostname;
  output_ += " ESMTP RingMTA\r\n";
}

void ServerSession::greet_refused(std::string_view text) {
  RINGMTA_ASSERT(state_ == State::silent);
  state_ = State::turned_away;
  reply(text);
}

ServerSession::Step ServerSession::step(Bytes bytes) {
  // The owner's answer first: accept_message(), accept_sender() or their refusals.
  RINGMTA_ASSERT(state_ != State::deciding && state_ != State::sender);
  Step step;
  std::string_view input = as_text(bytes);
  if (end_told_) {
    end_told_ = false;
    end_transaction();
  }
  while (!tell_due(step)) {
    switch (state_) {
      case State::silent:  // RFC 5321 4.3.1: the client waits for the greeting
        if (input.empty()) return step;
        close_with(kSpokeEarly);
        break;
      case State::turned_away:
      case State::command:
      case State::auth_line:
        if (input.empty()) return step;
        if (must_wait()) {
          step.action = Action::blocked;
          return step;
        }
        if (!take_line(input, step)) return step;
        break;
      case State::data:
      case State::chunk:
        if (take_content(input, step)) return step;
        break;
      case State::chunk_swallowed:
        if (take_swallowed(input, step)) return step;
        break;
      case State::tls:
      case State::auth:
        step.action = Action::blocked;
        return step;
      case State::deciding:
      case State::sender:
      case State::closed:
        step.consumed = bytes.size();
        return step;
    }
  }
  return step;
}

bool ServerSession::tell_due(Step& step) {
  if (abort_due_) {
    abort_due_ = false;
    step.action = Action::message_abort;
  } else if (auth_cancel_due_) {
    auth_cancel_due_ = false;
    step.action = Action::auth_cancel;
  } else if (auth_due_) {
    auth_due_ = false;
    step.action = auth_began_ ? Action::auth_response : Action::auth_begin;
    step.has_response = has_response_ || auth_began_;
    step.body = response_;
    auth_began_ = true;
  } else if (tls_due_ && pending_count_ == 0) {
    tls_due_ = false;
    reply("220 2.0.0 Ready to start TLS");
    step.action = Action::start_tls;
  } else if (sender_due_) {
    sender_due_ = false;
    state_ = State::sender;
    step.action = Action::sender;
  } else if (begin_due_) {
    begin_due_ = false;
    arriving_ = true;
    state_ = State::deciding;
    step.action = Action::message_begin;
  } else if (end_due_) {
    end_due_ = arriving_ = mail_given_ = false;
    end_told_ = true;
    header_ = scanner_.facts();
    RINGMTA_ASSERT(pending_count_ < kPendingMax);
    places_[pending_count_++] = output_.size();
    step.action = Action::message_end;
  } else if (close_due_) {
    close_due_ = false;
    state_ = State::closed;
    step.action = Action::close;
  } else {
    return false;
  }
  return true;
}

bool ServerSession::must_wait() const {
  return pending_count_ == kPendingMax ||
         (pending_count_ > 0 && output_.size() - places_[0] > kHeldMax);
}

bool ServerSession::has_news() const {
  return abort_due_ || auth_cancel_due_ || auth_due_ || (tls_due_ && pending_count_ == 0) ||
         sender_due_ || begin_due_ || end_due_ || close_due_;
}

bool ServerSession::blocked() const {
  switch (state_) {
    case State::tls:
      return !tls_due_ || pending_count_ > 0;
    case State::auth:
      return !auth_due_;
    case State::turned_away:
    case State::command:
    case State::auth_line:
      return must_wait();
    default:
      return false;
  }
}

bool ServerSession::take_line(std::string_view& input, Step& step) {
  const void* found = std::memchr(input.data(), '\n', input.size());
  const size_t length =
      found == nullptr ? input.size()
                       : static_cast<size_t>(static_cast<const char*>(found) - input.data()) + 1;
  const std::string_view piece = input.substr(0, length);
  input.remove_prefix(length);
  step.consumed += length;
  if (line_too_long_ || line_.size() + length > line_limit(piece)) {
    line_octets_ = (line_too_long_ ? line_octets_ : line_.size()) + length;
    line_too_long_ = found == nullptr;
    wipe(line_);
    if (line_octets_ > kLineSwallowedMax) {
      close_with("500 5.5.2 Line too long");
      return true;
    }
    if (found == nullptr) return false;
    on_line({});
    return true;
  }
  if (found == nullptr) {
    append_secret(line_, piece);  // it may be one of AUTH
    return false;
  }
  if (line_.empty()) {
    on_line(piece);
    return true;
  }
  append_secret(line_, piece);
  on_line(line_);
  wipe(line_);
  return true;
}

// An empty `line` stands for one that was too long.
void ServerSession::on_line(std::string_view line) {
  ++commands_;
  if (state_ == State::turned_away) {  // RFC 5321 3.1
    const bool quit = equals_ignoring_case(line, "QUIT\r\n");
    close_with(quit ? "221 2.0.0 Bye" : "503 5.5.1 There is no service, and only QUIT to be said");
  } else if (options_.commands_max != 0 && commands_ > options_.commands_max) {
    close_with("421 4.7.0 Too many commands in one session");
  } else if (options_.errors_max != 0 && errors_ >= options_.errors_max) {
    close_with("421 4.7.0 Too many errors");
  } else if (state_ == State::auth_line) {
    on_auth_line(line);
  } else if (line.empty()) {
    refuse("500 5.5.2 Line too long");
  } else if (line.size() < 2 || line[line.size() - 2] != '\r') {
    refuse("500 5.5.2 A command line must end with CR and LF");
  } else if (line.remove_suffix(2); has_control(line)) {
    refuse("500 5.5.2 A command line must not have control characters in it");
  } else {
    on_command(line);
  }
}

void ServerSession::reply(std::string_view text) { output_.append(text).append("\r\n", 2); }

void ServerSession::refuse(std::string_view text) {
  ++errors_;
  reply(text);
}

void ServerSession::close_with(std::string_view text) {
  drop_arriving();
  end_transaction();
  auth_cancel_due_ = auth_cancel_due_ || state_ == State::auth_line;
  reply(text);
  close_due_ = true;
}

void ServerSession::end_transaction() {
  mail_given_ = recipients_tried_ = chunks_failed_ = false;
  declared_size_ = 0;
  envelope_.clear();
}

void ServerSession::drop_arriving() {
  abort_due_ = abort_due_ || arriving_;
  arriving_ = false;
}

bool ServerSession::in_transaction() const { return mail_given_ || reading_content(); }

bool ServerSession::reading_content() const {
  return state_ == State::data || state_ == State::chunk || state_ == State::chunk_swallowed;
}

void ServerSession::end(std::string_view text) {
  reply(text);
  abort_due_ = sender_due_ = begin_due_ = end_due_ = tls_due_ = auth_due_ = auth_cancel_due_ =
      close_due_ = end_told_ = arriving_ = false;
  wipe(line_);
  wipe(response_);
  end_transaction();
  state_ = State::closed;
}

void ServerSession::message_done(std::string_view text) {
  RINGMTA_ASSERT(pending_count_ > 0);
  const size_t place = places_[0];
  if (place == output_.size()) {
    reply(text);
  } else {
    output_.insert(place, text.size() + 2, '\r');
    output_.replace(place, text.size(), text);
    output_[place + text.size() + 1] = '\n';
  }
  --pending_count_;
  for (uint32_t i = 0; i < pending_count_; ++i) places_[i] = places_[i + 1] + text.size() + 2;
  if (text.substr(0, 1) == "2") errors_ = 0;
}

bool ServerSession::has_output() const {
  return pending_count_ > 0 ? places_[0] > 0 : !output_.empty();
}

void ServerSession::take_output(std::string& into) {
  const size_t length = pending_count_ > 0 ? places_[0] : output_.size();
  into.append(output_, 0, length);
  if (length == output_.size()) {
    output_.clear();
  } else {
    output_.erase(0, length);
  }
  for (uint32_t i = 0; i < pending_count_; ++i) places_[i] -= length;
  if (output_.empty() && output_.capacity() > kOutputKept) std::string().swap(output_);
}

}  // namespace ringmta::smtp
