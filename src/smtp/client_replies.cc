// SPDX-License-Identifier: GPL-3.0-or-later
// The SMTP client session: what the peer's answers mean (RFC 5321 4.2.4 and 4.3.2, RFC 2920 3.1,
// RFC 3030, RFC 2033).
//
// The insight: a reply never tells more than one thing at once. It is turned into a note (a range
// of recipients to be judged, a session to be closed, a transaction that is over), and step() hands
// the notes out one by one before it looks at more input, so that the reply in the parser is still
// there for each of them.
#include "client_envelope.h"
#include "client_flags.h"
#include "ringmta/base/assert.h"
#include "ringmta/smtp/client_session.h"

namespace ringmta::smtp {
namespace {

constexpr uint16_t kClosing = 421;
constexpr size_t kQuotedReplyMax = 200;  // octets of a reply that made no sense, in our words

// RFC 5321 4.5.3.1.10: 452 is right, 552 an old mistake. An enhanced status other than X.5.3 says
// that it is something else (a full mailbox, X.2.2).
bool means_too_many_recipients(const Reply& reply) {
  if (reply.code != 452 && reply.code != 552) return false;
  return !reply.status || (reply.status.subject == 5 && reply.status.detail == 3);
}

}  // namespace

ClientSession::Step ClientSession::step(Bytes input) {
  Step step;
  size_t consumed = 0;
  while (true) {
    if (news_ && news(step)) break;
    if (state_ == State::closed) {
      consumed = input.size();
      break;
    }
    RINGMTA_ASSERT(state_ != State::handshake || input.size() == consumed);
    const ReplyParser::Step parsed = parser_.step(input.subspan(consumed));
    consumed += parsed.consumed;
    if (parsed.state == ReplyParser::State::more) break;
    if (parsed.state == ReplyParser::State::malformed) {
      close_confused(waiting_for(), parser_.problem(), {});
    } else {
      on_reply(parser_.reply());
      // What stands behind the reply to STARTTLS came unprotected but would be read as if TLS had
      // brought it.
      if (state_ == State::handshake && consumed < input.size()) {
        close_confused(Phase::tls, "it sent more behind its reply to STARTTLS", {});
      }
    }
  }
  step.consumed = consumed;
  return step;
}

bool ClientSession::news(Step& step) {
  if (next_verdict(step)) return true;
  if (tell_close_) {
    tell_close_ = false;
    step.action = Action::close;
    step.phase = close_phase_;
    step.reply = &close_reply_;
    return true;
  }
  if (state_ != State::closed) {
    if (tell_opening_ != Action::more && opening_news(step)) return true;
    if (local_verdict(step) || next_finished(step)) return true;
  }
  news_ = false;
  return false;
}

bool ClientSession::next_verdict(Step& step) {
  while (verdicts_.next < verdicts_.end) {
    const uint32_t index = verdicts_.next++;
    Slot& slot = slots_[verdicts_.slot];
    if ((slot.recipients[index] & kJudged) != 0) continue;
    if ((slot.recipients[index] & kSent) == 0) continue;  // it gets a verdict of our own
    tell_recipient(step, slot, index, verdicts_.phase, verdicts_.reply);
    step.too_many_recipients = verdicts_.too_many;
    return true;
  }
  return false;
}

bool ClientSession::local_verdict(Step& step) {
  for (uint32_t i = 0; i < used_; ++i) {
    Slot& slot = at(i);
    if (!slot.local_verdicts) continue;
    for (uint32_t index = 0; index < slot.recipients.size(); ++index) {
      const uint8_t flags = slot.recipients[index];
      if ((flags & (kSent | kJudged)) != 0) continue;
      const auto reason = static_cast<uint8_t>(flags >> kReasonShift);
      set_own_reply(reason);
      const bool of_recipient = reason == kBadRecipient || reason == kTooMany;
      tell_recipient(step, slot, index, of_recipient ? Phase::recipient : Phase::ehlo, &own_reply_);
      step.too_many_recipients = reason == kTooMany;
      return true;
    }
    slot.local_verdicts = false;
  }
  return false;
}

bool ClientSession::next_finished(Step& step) {
  for (uint32_t i = 0; i < used_; ++i) {
    Slot& slot = at(i);
    if (slot.stage != Stage::done || slot.finished) continue;
    if (slot.place == Place::queued || slot.place == Place::taken) continue;
    tell_finished(step, slot);
    return true;
  }
  return false;
}

void ClientSession::tell_recipient(Step& step, Slot& slot, uint32_t index, Phase phase,
                                   const Reply* reply) {
  slot.recipients[index] |= kJudged;
  step.action = Action::recipient;
  step.phase = phase;
  step.tag = slot.tag;
  step.index = index;
  step.reply = reply;
}

void ClientSession::tell_finished(Step& step, Slot& slot) {
  slot.finished = true;
  step.action = Action::finished;
  step.phase = Phase::content;
  step.tag = slot.tag;
  while (used_ > 0 && at(0).finished) {
    head_ = (head_ + 1) % kDepthMax;
    --used_;
  }
}

void ClientSession::on_reply(const Reply& reply) {
  if (state_ == State::greeting) {
    on_greeting(reply);
    return;
  }
  if (replies_seen_ == commands_taken_) {  // nothing was asked
    unprocessed_behind_ = true;
    if (reply.code == kClosing) {
      close(waiting_for(), reply);
    } else {
      close_confused(waiting_for(), "a reply to nothing that was asked", reply.line());
    }
    return;
  }
  ++replies_seen_;
  if (state_ == State::hello) {
    on_hello(reply);
  } else if (state_ == State::starttls) {
    on_starttls(reply);
  } else if (state_ == State::auth) {
    on_auth(reply);
  } else if (const Slot* slot = answering(); slot != nullptr) {
    on_transaction(slots_[index_of(*slot)], reply);
  } else {
    close(Phase::quit, reply);
  }
}

void ClientSession::on_transaction(Slot& slot, const Reply& reply) {
  const bool content_asked = slot.stage == Stage::data;
  if (reply.intermediate() != content_asked && (reply.intermediate() || reply.positive())) {
    close_confused(phase_of(slot), "an answer that makes no sense", reply.line());
    return;
  }
  if (reply.code == kClosing) {  // RFC 5321 3.8: whatever was asked, and no more will be looked at
    judge_all(slot, reply, phase_of(slot));
    unprocessed_behind_ = true;
    close(phase_of(slot), reply);
    return;
  }
  switch (slot.stage) {
    case Stage::reset:
      if (!reply.positive()) {
        close_confused(Phase::mail, "RSET was refused", reply.line());
        return;
      }
      slot.stage = Stage::mail;
      if (!pipelining_) send_script_line(slot);
      return;
    case Stage::mail:
      on_mail(slot, reply);
      return;
    case Stage::recipients:
      on_recipient(slot, reply);
      return;
    case Stage::data:
      on_data(slot, reply);
      return;
    case Stage::content:
      on_content(slot, reply);
      return;
    case Stage::done:
      break;
  }
  RINGMTA_ASSERT(false);
}

void ClientSession::on_mail(Slot& slot, const Reply& reply) {
  slot.mail_accepted = reply.positive();
  slot.stage = Stage::recipients;
  if (!slot.mail_accepted) judge_all(slot, reply, Phase::mail);
  if (pipelining_) return;
  if (slot.mail_accepted) {
    send_script_line(slot);
  } else {
    end_transaction(slot, true);
  }
}

void ClientSession::on_recipient(Slot& slot, const Reply& reply) {
  while ((slot.recipients[slot.next] & kSent) == 0) ++slot.next;
  const uint32_t index = slot.next++;
  if ((slot.recipients[index] & kJudged) == 0) {  // MAIL was accepted
    if (reply.positive()) {
      slot.recipients[index] |= kAccepted;
      ++slot.accepted;
    } else {
      const bool too_many = slot.accepted > 0 && means_too_many_recipients(reply);
      judge_one(slot, index, reply, Phase::recipient, too_many);
    }
  }
  if (--slot.unanswered > 0) {
    if (!pipelining_) send_script_line(slot);
    return;
  }
  slot.next = 0;
  slot.stage = slot.chunked ? Stage::content : Stage::data;
  if (pipelining_) return;
  if (slot.accepted == 0) {
    end_transaction(slot, false);
  } else if (slot.chunked) {
    send_chunk(slot);
  } else {
    send_command("DATA\r\n");
  }
}

void ClientSession::on_data(Slot& slot, const Reply& reply) {
  if (!reply.intermediate()) {
    judge_all(slot, reply, Phase::data);
    end_transaction(slot, !slot.mail_accepted);
    return;
  }
  slot.stage = Stage::content;
  if (slot.accepted > 0) {
    queue_content(slot);
    return;
  }
  // RFC 2920 3.1: nobody was accepted, yet the peer asks for the content: none is sent, its verdict
  // means nothing. An LMTP peer owes one reply per accepted recipient, here none (RFC 2033 4.2).
  const size_t begin = text().size();
  text() += ".\r\n";
  content_out_ = true;
  written(begin, options_.lmtp ? 0 : 1);
  if (options_.lmtp) end_transaction(slot, true);
}

void ClientSession::on_content(Slot& slot, const Reply& reply) {
  if (options_.lmtp && slot.accepted > 0) {
    while ((slot.recipients[slot.next] & kAccepted) == 0) ++slot.next;
    judge_one(slot, slot.next++, reply, Phase::content, false);
    if (--slot.accepted > 0) return;
  } else {
    judge_all(slot, reply, Phase::content);
  }
  end_transaction(slot, !slot.chunked || reply.positive() || !slot.mail_accepted);
}

void ClientSession::judge_all(const Slot& slot, const Reply& reply, Phase phase) {
  verdicts_ = {index_of(slot), 0,     static_cast<uint32_t>(slot.recipients.size()),
               phase,          false, &reply};
  news_ = true;
}

void ClientSession::judge_one(const Slot& slot, uint32_t index, const Reply& reply, Phase phase,
                              bool too_many) {
  verdicts_ = {index_of(slot), index, index + 1, phase, too_many, &reply};
  news_ = true;
}

void ClientSession::end_transaction(Slot& slot, bool peer_clean) {
  slot.stage = Stage::done;
  --outstanding_;
  peer_clean_ = peer_clean;
  news_ = true;
  send_quit_if_due();
}

void ClientSession::close(Phase phase, const Reply& reply) {
  state_ = State::closed;
  segments_.clear();
  close_phase_ = phase;
  close_reply_ = reply;
  tell_close_ = news_ = true;
}

void ClientSession::close_confused(Phase phase, std::string_view what,
                                   std::string_view reply_line) {
  Reply reason;
  reason.status = {4, 5, 0};
  reason.text = "the peer broke the protocol: ";
  reason.text += what;
  if (!reply_line.empty()) {
    reason.text += ": ";
    reason.text += reply_line.substr(0, kQuotedReplyMax);
  }
  close(phase, reason);
}

// Our own words: the peer said none of it, so there is no code. Nothing was sent either; that it
// cannot take the message came out of its reply to EHLO.
void ClientSession::set_own_reply(uint8_t reason) {
  switch (reason) {
    case kTooLarge:
      own_reply_.status = {5, 3, 4};
      own_reply_.text = "the message is larger than the next host accepts (SIZE ";
      append_number(own_reply_.text, capabilities_.size_max);
      own_reply_.text += ')';
      return;
    case kNeedsEightBit:
      own_reply_.status = {5, 6, 3};
      own_reply_.text =
          "the message has 8-bit content, which the next host does not accept "
          "(it does not offer 8BITMIME)";
      return;
    case kNeedsUtf8:
      own_reply_.status = {5, 6, 7};
      own_reply_.text = "the message needs SMTPUTF8, which the next host does not offer";
      return;
    case kBadSender:
      own_reply_.status = {5, 1, 7};
      own_reply_.text = "the sender's address has octets that no mailbox address may have";
      return;
    case kBadRecipient:
      own_reply_.status = {5, 1, 3};
      own_reply_.text = "the address has octets that no mailbox address may have";
      return;
    case kTooMany:
      own_reply_.status = {4, 5, 3};
      own_reply_.text = "more recipients than the next host accepts at once (RCPTMAX ";
      append_number(own_reply_.text, capabilities_.recipients_max);
      own_reply_.text += ')';
      return;
    default:
      RINGMTA_ASSERT(false);
  }
}

}  // namespace ringmta::smtp
