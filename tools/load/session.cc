// SPDX-License-Identifier: GPL-3.0-or-later
// The writing half of a session and its life: connect, emit what may be sent, close, and what
// becomes of messages when the connection is lost.
#include "tools/load/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <span>
#include <utility>

#include "ringmta/shard/loop.h"
#include "tools/load/worker.h"

namespace ringmta::tools {
namespace {

constexpr size_t kCopyMax =
    2048;  // smaller bodies are copied: one part is cheaper to send than three
constexpr size_t kLargeData =
    64 * 1024;  // larger messages have left when `sent` says so, not at send()
constexpr uint32_t kLossesMax = 100;

}  // namespace

void Session::connect(const SocketAddress& target) {
  RINGMTA_ASSERT(state_ == State::closed && !active_ && !finishing_);
  expected_.clear();
  expected_first_ = 0;
  replies_.reset();
  messages_started_ = 0;
  starttls_waits_ = auth_waits_ = tls_waits_ = has_starttls_ = false;
  greet_waits_ = {};
  sending_ = quit_sent_ = reset_needed_ = said_helo_ = large_data_in_flight_ = false;
  out_.clear();
  pieces_.clear();
  piece_start_ = 0;
  tls_.reset();
  last_activity_ = worker_.now();
  if (trying_since_.ns == 0) trying_since_ = worker_.now();
  const auto token = ring::Token::make(shard::kind(shard::Owner::client), number_);
  auto stream = worker_.io().connect(target, {}, token);
  if (!stream) {
    worker_.counts().connect_error = stream.error().message;
    worker_.counts().connections_failed.add();
    worker_.reconnect_later(*this);
    return;
  }
  stream_ = *stream;
  state_ = State::connecting;
}

void Session::on_event(const ring::Event& event) {
  switch (event.kind) {
    case ring::EventKind::connected:
      if (event.result < 0) {
        worker_.counts().connect_error =
            fmt::format("cannot connect to {}: {}", worker_.io().peer(stream_).text(),
                        std::strerror(-event.result));
        worker_.counts().connections_failed.add();
        close(ring::CloseMode::abort);
        return;
      }
      worker_.counts().connections.add();
      state_ = State::greeting;
      expected_.push_back(Command::greeting);
      worker_.io().read(stream_);
      if (worker_.options().tls == LoadTls::implicit) begin_tls();
      break;
    case ring::EventKind::received:
      if (state_ == State::closing) break;
      if (tls_) {
        on_sealed(event.data);
      } else {
        on_received(as_text(event.data));
      }
      break;
    case ring::EventKind::ended:
      if (state_ != State::closing) on_lost(event.result);
      break;
    case ring::EventKind::sent:
      sending_ = false;
      out_.clear();
      if (state_ == State::closing) break;
      if (event.result < 0) {
        on_lost(event.result);
        break;
      }
      if (large_data_in_flight_) {
        large_data_in_flight_ = false;
        if (finishing_) finishing_->data_sent_ns = monotonic_ns();
        if (!finishing_ && active_ && active_->data_sent) active_->data_sent_ns = monotonic_ns();
      }
      if (tls_ && tls_->has_output()) {
        send_sealed();
        break;
      }
      if (!greet_waits_.empty()) greet(greet_waits_);
      if (starttls_waits_) ask_for_tls();
      if (auth_waits_) log_in();
      if (tls_waits_) begin_tls();
      advance();
      break;
    case ring::EventKind::closed:
      state_ = State::closed;
      stream_ = {};
      worker_.session_closed(*this);
      break;
    default:
      break;
  }
}

void Session::advance() {
  if (sending_ || state_ != State::open) return;
  while (emit_one()) {
  }
  flush();
}

// Appends the next thing that may be sent; false when there is none before some reply has come.
bool Session::emit_one() {
  const bool lock_step = worker_.options().pipelining == Pipelining::off || !has_pipelining_;
  if (quit_sent_ || (lock_step && expected_first_ < expected_.size())) return false;
  if (!active_) {
    const uint64_t limit = worker_.options().messages_per_session;
    if (limit != 0 && messages_started_ >= limit) {
      out_ += "QUIT\r\n";
      emit(Command::quit);
      quit_sent_ = true;
      return false;
    }
    Job job;
    if (!worker_.take_job(job)) return false;
    ++messages_started_;
    active_.emplace();
    active_->plan = worker_.mail().plan(job.index, has_8bitmime_);
    active_->job = std::move(job);
    recipient_reply_ = 0;
    if (reset_needed_) active_->step = Step::reset;
    reset_needed_ = false;
  }
  emit_envelope_line();
  return active_ ? active_->step != Step::wait : true;
}

void Session::emit_envelope_line() {
  Transaction& transaction = *active_;
  const MailSource& mail = worker_.mail();
  switch (transaction.step) {
    case Step::reset:
      out_ += "RSET\r\n";
      emit(Command::reset);
      transaction.step = Step::mail;
      break;
    case Step::mail: {
      out_ += "MAIL FROM:<";
      out_ += mail.from();
      out_ += '>';
      if (has_size_)
        fmt::format_to(std::back_inserter(out_), " SIZE={}", transaction.plan.mail->size());
      if (transaction.plan.mail->eight_bit && has_8bitmime_) out_ += " BODY=8BITMIME";
      if (transaction.plan.mail->utf8_header && has_smtputf8_) out_ += " SMTPUTF8";
      out_ += "\r\n";
      emit(Command::mail);
      transaction.step = Step::recipient;
      break;
    }
    case Step::recipient:
      out_ += "RCPT TO:<";
      mail.append_recipient(transaction.plan, transaction.ordinal(transaction.next_recipient),
                            out_);
      out_ += ">\r\n";
      emit(Command::recipient);
      if (++transaction.next_recipient == transaction.recipients()) transaction.step = Step::data;
      break;
    case Step::data:
      if (worker_.options().pipelining == Pipelining::bdat && has_chunking_) {
        transaction.step = Step::wait;
        emit_content(transaction, true);
        break;
      }
      out_ += "DATA\r\n";
      emit(Command::data);
      transaction.step = Step::wait;
      break;
    case Step::wait:
      break;
    case Step::content:
      emit_content(transaction, false);
      RINGMTA_ASSERT(!finishing_);
      finishing_ = std::move(active_);
      active_.reset();
      break;
  }
}

void Session::emit_content(Transaction& transaction, bool chunk) {
  const MailTemplate& mail = *transaction.plan.mail;
  if (transaction.only_dot) {
    out_ += ".\r\n";
    emit(Command::end_of_data);
    return;
  }
  if (chunk) fmt::format_to(std::back_inserter(out_), "BDAT {} LAST\r\n", mail.size());
  worker_.mail().append_head(transaction.plan, worker_.date(), out_);
  const std::string_view body = chunk ? std::string_view(mail.body) : mail.wire_body();
  if (body.size() <= kCopyMax) {
    out_ += body;
  } else {
    add_fixed(body);
  }
  if (!chunk) out_ += ".\r\n";
  emit(chunk ? Command::chunk : Command::end_of_data);
  transaction.data_sent = true;
  transaction.data_sent_ns = monotonic_ns();
  large_data_in_flight_ = mail.size() > kLargeData;
}

void Session::emit(Command expected) { expected_.push_back(expected); }

void Session::add_fixed(std::string_view text) {
  close_piece();
  pieces_.push_back({text.data(), 0, text.size()});
}

void Session::close_piece() {
  if (out_.size() > piece_start_)
    pieces_.push_back({nullptr, piece_start_, out_.size() - piece_start_});
  piece_start_ = out_.size();
}

void Session::flush() {
  close_piece();
  if (pieces_.empty()) return;
  std::array<iovec, ring::Io::kSendPartsMax> parts{};
  RINGMTA_ASSERT(pieces_.size() <= parts.size());
  for (size_t i = 0; i < pieces_.size(); ++i) {
    const char* data =
        pieces_[i].fixed != nullptr ? pieces_[i].fixed : out_.data() + pieces_[i].offset;
    parts[i] = {const_cast<char*>(data), pieces_[i].length};
  }
  const size_t count = pieces_.size();
  pieces_.clear();
  piece_start_ = 0;
  last_activity_ = worker_.now();
  if (tls_) {
    tls_->write(std::span(parts.data(), count));
    out_.clear();
    send_sealed();
    return;
  }
  sending_ = true;
  worker_.io().send(stream_, {parts.data(), count});
}

void Session::begin_tls() {
  tls_waits_ = sending_;
  if (sending_) return;
  tls::Peer peer;
  const std::string name = worker_.io().peer(stream_).host_text();
  if (worker_.options().tls_resumption) peer.name = name;
  tls_.emplace(worker_.tls(), peer);
  on_sealed({});
}

void Session::on_sealed(Bytes data) {
  using Action = tls::Session::Action;
  size_t used = 0;
  for (bool more = true; more && state_ != State::closing;) {
    const tls::Session::Step step = tls_->step(data.subspan(used));
    used += step.consumed;
    switch (step.action) {
      case Action::handshaken:
        worker_.counts().tls_handshakes.add();
        if (tls_->facts().resumed) worker_.counts().tls_resumed.add();
        if (worker_.options().tls == LoadTls::starttls) greet("EHLO ");
        break;
      case Action::plaintext:
        opened_.assign(as_text(step.plaintext));
        on_received(opened_);
        break;
      case Action::failed:
        worker_.counts().connect_error = tls_->error();
        if (state_ != State::open) worker_.counts().connections_failed.add();
        on_lost(-EPROTO);
        return;
      case Action::more:
      case Action::closed:
      case Action::yielded:
        more = false;
        break;
    }
  }
  if (state_ != State::closing && tls_->has_output()) send_sealed();
}

void Session::send_sealed() {
  if (sending_) return;  // it follows when that has left
  sealed_.clear();
  tls_->take_output(sealed_);
  const iovec part{sealed_.data(), sealed_.size()};
  sending_ = true;
  worker_.io().send(stream_, {&part, 1});
}

void Session::quit() {
  if (state_ != State::open || quit_sent_ || sending_) return;
  out_ = "QUIT\r\n";
  emit(Command::quit);
  quit_sent_ = true;
  flush();
}

void Session::check_timeout(Monotonic now, Milliseconds limit) {
  if (state_ == State::closed || state_ == State::closing || idle()) return;
  if (now - last_activity_ < limit) return;
  if (state_ == State::open) {
    on_lost(-ETIMEDOUT);
    return;
  }
  worker_.counts().connect_error = "no answer from the target in time (see --timeout)";
  worker_.counts().connections_failed.add();
  close(ring::CloseMode::abort);
}

void Session::on_lost(int error) {
  const bool expected_end = quit_sent_ && !active_ && !finishing_;
  if (!expected_end) worker_.counts().connections_lost.add();
  close(error == 0 && expected_end ? ring::CloseMode::graceful : ring::CloseMode::abort);
}

void Session::close(ring::CloseMode mode) {
  state_ = State::closing;
  worker_.io().close(stream_, mode);
  drop_transactions();
}

// The connection is gone: a message whose data was sent may or may not have been taken, any other
// was not.
void Session::drop_transactions() {
  for (std::optional<Transaction>* slot : {&finishing_, &active_}) {
    if (!*slot) continue;
    Transaction& transaction = **slot;
    worker_.finished_job();
    if (transaction.data_sent) {
      worker_.counts().recipients_unknown.add(transaction.accepted_recipients);
      if (!transaction.job.counted) worker_.counts().unknown.add();
      Tally::remember(worker_.counts().unknown_indexes, transaction.job.index);
    } else if (++transaction.job.losses < kLossesMax) {
      worker_.requeue(std::move(transaction.job), true);
    } else {
      worker_.counts().refused(0, "connection lost again and again before the data was sent");
      worker_.rejected(transaction.job, transaction.recipients());
    }
    slot->reset();
  }
}

}  // namespace ringmta::tools
