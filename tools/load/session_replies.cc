// SPDX-License-Identifier: GPL-3.0-or-later
// The reading half of a session: every reply is matched with the command it answers, and decides
// what becomes of the message.
#include <charconv>
#include <utility>

#include "tools/load/session.h"
#include "tools/load/worker.h"

namespace ringmta::tools {

void Session::on_received(std::string_view data) {
  last_activity_ = worker_.now();
  const bool sane = replies_.feed(data, [this](const ReplyLine& line) { return on_line(line); });
  if (state_ == State::closing) return;
  if (!sane) {
    worker_.counts().refused(0, "a reply line without end");
    on_lost(0);
    return;
  }
  advance();
}

// False: the rest of what came is of no interest.
bool Session::on_line(const ReplyLine& line) {
  if (line.code == 0) {
    worker_.counts().refused(0, "something that is not an SMTP reply");
    on_lost(0);
    return false;
  }
  if (expected_first_ >= expected_.size()) {
    worker_.counts().early_replies.add();
    worker_.counts().refused(line.code, line.text);
    return true;
  }
  if (expected_[expected_first_] == Command::hello && line.code == 250) {
    const std::string_view keyword = line.text.substr(0, line.text.find(' '));
    if (equals_ignoring_case(keyword, "SIZE")) has_size_ = true;
    if (equals_ignoring_case(keyword, "8BITMIME")) has_8bitmime_ = true;
    if (equals_ignoring_case(keyword, "SMTPUTF8")) has_smtputf8_ = true;
    if (equals_ignoring_case(keyword, "CHUNKING")) has_chunking_ = true;
    if (equals_ignoring_case(keyword, "PIPELINING")) has_pipelining_ = true;
    if (equals_ignoring_case(keyword, "STARTTLS")) has_starttls_ = true;
  }
  if (line.last) on_reply(line.code, line.text);
  return state_ != State::closing;
}

void Session::on_reply(int code, std::string_view text) {
  const Command command = expected_[expected_first_++];
  if (expected_first_ == expected_.size()) {
    expected_.clear();
    expected_first_ = 0;
  }
  switch (command) {
    case Command::greeting:
      if (code == 220) {
        has_size_ = has_8bitmime_ = has_smtputf8_ = has_chunking_ = has_pipelining_ =
            has_starttls_ = false;
        state_ = State::hello;
        greet("EHLO ");
        return;
      }
      worker_.counts().refused(code, text);
      worker_.counts().connections_failed.add();
      worker_.counts().connect_error =
          "greeted with " + std::to_string(code) + " " + std::string(text);
      close(ring::CloseMode::graceful);
      return;
    case Command::hello:
      if (code == 250 && worker_.options().tls == LoadTls::starttls && !tls_) {
        if (!has_starttls_) {
          worker_.counts().connections_failed.add();
          worker_.counts().connect_error = "the target does not offer STARTTLS";
          close(ring::CloseMode::graceful);
          return;
        }
        ask_for_tls();
      } else if (code == 250 && !worker_.options().auth.empty()) {
        log_in();
      } else if (code == 250) {
        state_ = State::open;
        trying_since_ = {};
      } else if (code >= 500 && !said_helo_) {
        said_helo_ = true;
        greet("HELO ");
      } else {
        worker_.counts().refused(code, text);
        worker_.counts().connections_failed.add();
        worker_.counts().connect_error =
            "EHLO answered with " + std::to_string(code) + " " + std::string(text);
        close(ring::CloseMode::graceful);
      }
      return;
    case Command::starttls:
      if (code == 220) {
        has_size_ = has_8bitmime_ = has_smtputf8_ = has_chunking_ = has_pipelining_ = false;
        begin_tls();
        return;
      }
      worker_.counts().refused(code, text);
      worker_.counts().connections_failed.add();
      worker_.counts().connect_error =
          "STARTTLS answered with " + std::to_string(code) + " " + std::string(text);
      close(ring::CloseMode::graceful);
      return;
    case Command::auth:
      if (code == 235) {
        state_ = State::open;
        trying_since_ = {};
        return;
      }
      worker_.counts().refused(code, text);
      worker_.counts().connections_failed.add();
      worker_.counts().connect_error =
          "AUTH answered with " + std::to_string(code) + " " + std::string(text);
      close(ring::CloseMode::graceful);
      return;
    case Command::reset:
      if (code != 250) worker_.counts().refused(code, text);
      return;
    case Command::mail:
      on_mail_reply(code, text);
      return;
    case Command::recipient:
      on_recipient_reply(code, text);
      return;
    case Command::data:
      on_data_reply(code, text);
      return;
    case Command::end_of_data: {
      Transaction transaction = std::move(*finishing_);
      finishing_.reset();
      note_final(transaction, code);
      on_end_reply(transaction, code, text);
      return;
    }
    case Command::chunk: {
      Transaction transaction = std::move(*active_);
      active_.reset();
      note_final(transaction, code);
      const bool echo = transaction.refusal != 0 || transaction.accepted_recipients == 0;
      if (echo) reset_needed_ = true;  // the envelope was refused, and counted then
      on_end_reply(transaction, transaction.refusal != 0 ? transaction.refusal : code,
                   echo ? std::string_view{} : text);
      return;
    }
    case Command::quit:
      return;  // the peer ends the connection
  }
}

void Session::ask_for_tls() {
  starttls_waits_ = sending_;
  if (sending_) return;
  out_ = "STARTTLS\r\n";
  emit(Command::starttls);
  flush();
}

void Session::log_in() {
  auth_waits_ = sending_;
  if (sending_) return;
  const auto& commands = worker_.options().auth;
  out_ = commands[worker_.ordinal(*this) % commands.size()];
  emit(Command::auth);
  flush();
}

void Session::greet(std::string_view command) {
  greet_waits_ = sending_ ? command : std::string_view();
  if (sending_) return;
  out_ = command;
  out_ += worker_.options().hello;
  out_ += "\r\n";
  emit(Command::hello);
  flush();
}

void Session::on_mail_reply(int code, std::string_view text) {
  if (code / 100 == 2) return;
  worker_.counts().refused(code, text);
  active_->refusal = code;
  // In lock step nothing has followed it; with pipelining the replies to RCPT and DATA are still to
  // come.
  if (active_->next_recipient == 0) refuse_active(code);
}

void Session::on_recipient_reply(int code, std::string_view text) {
  Transaction& transaction = *active_;
  const uint32_t which = recipient_reply_++;
  if (code / 100 == 2) {
    ++transaction.accepted_recipients;
    return;
  }
  if (transaction.refusal == 0) {  // else this is only the echo of the refused MAIL
    worker_.counts().refused(code, text);
    if (code / 100 == 4) {
      transaction.deferred.push_back(transaction.ordinal(which));
    } else {
      ++transaction.rejected_recipients;
    }
  }
  const bool lock_step = expected_.empty() && transaction.step == Step::data;
  if (lock_step && transaction.accepted_recipients == 0) {
    reset_needed_ = true;
    refuse_active(code);
  }
}

void Session::on_data_reply(int code, std::string_view text) {
  Transaction& transaction = *active_;
  if (code == 354) {
    transaction.only_dot = transaction.accepted_recipients == 0;
    transaction.step = Step::content;
    return;
  }
  if (transaction.refusal == 0 && transaction.accepted_recipients > 0)
    worker_.counts().refused(code, text);
  reset_needed_ = true;
  refuse_active(transaction.refusal != 0 ? transaction.refusal : code);
}

// The reply to an end of data, as it was read: one side of the books.
void Session::note_final(Transaction& transaction, int code) {
  transaction.final_250 = code == 250;
  if (transaction.final_250) worker_.counts().final_250s.add();
}

// The active transaction ends before its data.
void Session::refuse_active(int code) {
  Transaction transaction = std::move(*active_);
  active_.reset();
  on_end_reply(transaction, code, {});
}

// The message's fate: `code` is the reply to the end of data, or what refused it before that (then
// `text` was counted).
void Session::on_end_reply(Transaction& transaction, int code, std::string_view text) {
  Tally& counts = worker_.counts();
  Job& job = transaction.job;
  worker_.finished_job();
  const uint32_t asked = transaction.recipients();
  if (code / 100 == 2 && transaction.data_sent && transaction.accepted_recipients > 0) {
    if (transaction.final_250) counts.final_250s_booked.add();
    const uint64_t now_ns = monotonic_ns();
    counts.latency_ns.add(now_ns - transaction.data_sent_ns);
    counts.last_accepted_ns.set(now_ns);
    if (!job.counted) {
      if (!worker_.mark_accepted(job.index)) counts.accepted_twice.add();
      counts.accepted.add();
      counts.octets.add(transaction.plan.mail->size());
    }
    job.counted = true;
    counts.recipients_accepted.add(transaction.accepted_recipients);
    counts.recipients_rejected.add(transaction.rejected_recipients);
    if (transaction.deferred.empty()) return;
    if (job.attempts++ < worker_.options().retry) {
      job.pending = std::move(transaction.deferred);
      worker_.requeue(std::move(job), false);
    } else {
      counts.recipients_rejected.add(transaction.deferred.size());
    }
    return;
  }
  if (transaction.final_250) counts.final_250s_empty.add();
  if (!text.empty() && code / 100 != 2) counts.refused(code, text);
  // What was refused: the transaction as a whole, or each recipient on its own.
  const bool each = transaction.refusal == 0 && transaction.accepted_recipients == 0;
  const bool transient = each ? !transaction.deferred.empty() : code / 100 == 4;
  if (transient && job.attempts++ < worker_.options().retry) {
    if (each) {
      counts.recipients_rejected.add(transaction.rejected_recipients);
      job.pending = std::move(transaction.deferred);
    }
    worker_.requeue(std::move(job), false);
    return;
  }
  worker_.rejected(job, asked);
}

}  // namespace ringmta::tools
