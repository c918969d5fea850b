// SPDX-License-Identifier: GPL-3.0-or-later
// The SMTP client session: what is asked and sent. (What the answers mean is in client_replies.cc.)
//
// The insight: a transaction owes its replies in a fixed order (RSET, MAIL, each RCPT, DATA, the
// content), so there is no queue of commands: a stage and an index per transaction, and three
// counters of replies (written, taken, seen) say whose turn it is and whether the peer was asked at
// all. Commands are formatted once, in begin(), so that no address is copied; only lock-step peers
// (no PIPELINING) get them line by line out of the slot's script.
#include "ringmta/smtp/client_session.h"

#include <algorithm>

#include "client_envelope.h"
#include "client_flags.h"
#include "ringmta/base/assert.h"

namespace ringmta::smtp {
namespace {

constexpr size_t kTextKept =
    16'384;  // octets of output memory a session keeps; one large envelope is given back
constexpr uint64_t kDotOctets = 3;  // ".CRLF" behind the content's wire form

}  // namespace

std::string_view to_text(Phase phase) {
  switch (phase) {
    case Phase::connect:
      return "connect";
    case Phase::greeting:
      return "greeting";
    case Phase::ehlo:
      return "ehlo";
    case Phase::tls:
      return "tls";
    case Phase::auth:
      return "auth";
    case Phase::mail:
      return "mail";
    case Phase::recipient:
      return "recipient";
    case Phase::data:
      return "data";
    case Phase::content:
      return "content";
    case Phase::quit:
      return "quit";
  }
  return "unknown";
}

ClientSession::ClientSession(const ClientOptions& options, const ClientOpening& opening)
    : options_(options), opening_(opening) {
  // Configuration checks host names; a line end in one must never become a command.
  for (const char c : options_.hostname) RINGMTA_ASSERT(static_cast<unsigned char>(c) > ' ');
}

bool ClientSession::ready() const { return state_ == State::ready; }

bool ClientSession::content_taken(uint64_t tag) const {
  for (uint32_t position = 0; position < used_; ++position) {
    const Slot& slot = at(position);
    if (slot.tag == tag && !slot.finished) return slot.place >= Place::taken;
  }
  return false;
}

bool ClientSession::exhausted() const {
  if (quit_wanted_ || state_ == State::quitting || state_ == State::closed) return true;
  return capabilities_.messages_max != 0 && mails_written_ >= capabilities_.messages_max;
}

bool ClientSession::can_begin() const {
  if (state_ != State::ready || used_ == kDepthMax || exhausted()) return false;
  return outstanding_ == 0 || (pipelining_ && content_out_);
}

// Flags every recipient as to be sent or as refused by ourselves.
ClientSession::Inspection ClientSession::inspect(const Transaction& transaction, Slot& slot) {
  const EnvelopeView& envelope = transaction.envelope;
  const ContentFacts& content = transaction.content;
  const AddressForm sender = inspect_address(envelope.reverse_path);
  const bool needs_utf8 =
      sender == AddressForm::eight_bit || (envelope.utf8 && content.has_eight_bit);
  uint8_t whole = kAcceptable;
  if (sender == AddressForm::invalid) {
    whole = kBadSender;
  } else if (needs_utf8 && !capabilities_.smtputf8) {
    whole = kNeedsUtf8;
  } else if (content.has_eight_bit && !capabilities_.eight_bit) {
    whole = kNeedsEightBit;
  } else if (capabilities_.size_max != 0 &&
             content.wire_size > capabilities_.size_max + kDotOctets) {
    whole = kTooLarge;
  }
  const uint32_t sent_max =
      capabilities_.recipients_max != 0 ? capabilities_.recipients_max : UINT32_MAX;
  Inspection found{0, sender == AddressForm::eight_bit};
  slot.recipients.clear();
  for (const RecipientView& recipient : envelope.recipients) {
    const AddressForm form = inspect_address(recipient.address);
    uint8_t reason = whole;
    if (form == AddressForm::invalid || recipient.address.empty()) {
      reason = kBadRecipient;
    } else if (form == AddressForm::eight_bit && !capabilities_.smtputf8) {
      reason = kNeedsUtf8;
    } else if (reason == kAcceptable && found.sent == sent_max) {
      reason = kTooMany;
    }
    if (reason == kAcceptable) {
      ++found.sent;
      found.eight_bit = found.eight_bit || form == AddressForm::eight_bit;
      slot.recipients.push_back(kSent);
    } else {
      slot.recipients.push_back(static_cast<uint8_t>(reason << kReasonShift));
      slot.local_verdicts = true;
    }
  }
  return found;
}

void ClientSession::begin(const Transaction& transaction) {
  RINGMTA_ASSERT(can_begin());
  RINGMTA_ASSERT(transaction.content.wire_size >= kDotOctets);
  Slot& slot = at(used_++);
  slot.tag = transaction.tag;
  slot.wire_size = transaction.content.wire_size;
  slot.next = 0;
  slot.unanswered = 0;
  slot.accepted = 0;
  slot.place = Place::held;
  slot.mail_accepted = false;
  slot.local_verdicts = false;
  slot.finished = false;
  const Inspection found = inspect(transaction, slot);
  if (found.sent == 0) {
    slot.stage = Stage::done;
    news_ = true;
    return;
  }
  news_ = news_ || slot.local_verdicts;
  write_envelope(transaction, slot, found);
}

bool ClientSession::would_chunk(uint64_t wire_size) const {
  return chunking_ && wire_size > kDotOctets &&
         (!pipelining_ || wire_size <= options_.chunking_size_max);
}

void ClientSession::write_envelope(const Transaction& transaction, Slot& slot, Inspection found) {
  const EnvelopeView& envelope = transaction.envelope;
  const ContentFacts& content = transaction.content;
  const bool reset = outstanding_ > 0 ? last_chunked_ : !peer_clean_;
  slot.unanswered = found.sent;
  slot.stage = reset ? Stage::reset : Stage::mail;
  slot.chunked = !content.has_dot_stuffing && would_chunk(content.wire_size);
  ++outstanding_;
  ++mails_written_;
  content_out_ = false;
  last_chunked_ = slot.chunked;

  slot.script.clear();
  if (slot.script.capacity() > kTextKept) std::string().swap(slot.script);
  slot.script_sent = 0;
  std::string& into = pipelining_ ? text() : slot.script;
  const size_t begin = into.size();
  if (reset) into += "RSET\r\n";
  MailParameters parameters;
  parameters.size = capabilities_.size;
  parameters.size_octets = content.wire_size - kDotOctets;
  parameters.eight_bit = capabilities_.eight_bit && (content.has_eight_bit || envelope.eight_bit);
  // Addresses beyond ASCII need the parameter even where the submitter did not declare it.
  parameters.utf8 = capabilities_.smtputf8 && (envelope.utf8 || found.eight_bit);
  parameters.dsn = capabilities_.dsn;
  append_mail(into, envelope, parameters);
  for (size_t i = 0; i < envelope.recipients.size(); ++i) {
    if ((slot.recipients[i] & kSent) == 0) continue;
    append_recipient(into, envelope.recipients[i], parameters.dsn, parameters.utf8);
  }
  if (!pipelining_) {
    send_script_line(slot);
    return;
  }
  written(begin, (reset ? 1U : 0U) + 1 + found.sent);
  if (slot.chunked) {
    send_chunk(slot);
  } else {
    send_command("DATA\r\n");
  }
}

// Text from `begin` on leaves with the next output and makes the peer owe `replies`.
void ClientSession::written(size_t begin, uint32_t replies) {
  commands_written_ += replies;
  const size_t end = text().size();
  if (!segments_.empty() && !segments_.back().is_content) {
    segments_.back().end = end;
  } else {
    segments_.push_back({begin, end, 0, 0, false, false});
  }
}

void ClientSession::send_command(std::string_view line) {
  const size_t begin = text().size();
  text() += line;
  written(begin, 1);
}

void ClientSession::send_hello(std::string_view keyword) {
  const size_t begin = text().size();
  text() += keyword;
  text() += options_.hostname;
  text() += "\r\n";
  written(begin, 1);
}

void ClientSession::send_script_line(Slot& slot) {
  const size_t end = slot.script.find('\n', slot.script_sent) + 1;
  RINGMTA_ASSERT(end > slot.script_sent);
  send_command(std::string_view(slot.script).substr(slot.script_sent, end - slot.script_sent));
  slot.script_sent = end;
}

// BDAT (RFC 3030 2): the whole content as the last chunk, right behind its command.
void ClientSession::send_chunk(Slot& slot) {
  const size_t begin = text().size();
  text() += "BDAT ";
  append_number(text(), slot.wire_size - kDotOctets);
  text() += " LAST\r\n";
  written(begin, 0);
  queue_content(slot);
}

void ClientSession::queue_content(Slot& slot) {
  content_out_ = true;
  commands_written_ += options_.lmtp ? slot.accepted : 1;
  slot.place = Place::queued;
  segments_.push_back({0, 0, slot.tag, index_of(slot), true, !slot.chunked});
}

void ClientSession::quit() {
  quit_wanted_ = true;
  send_quit_if_due();
}

void ClientSession::send_quit_if_due() {
  if (!quit_wanted_ || state_ != State::ready || outstanding_ > 0) return;
  send_command("QUIT\r\n");
  state_ = State::quitting;
}

void ClientSession::take_output(std::vector<OutputPart>& parts) {
  if (segments_.empty()) return;
  RINGMTA_ASSERT(!in_flight_);  // output_sent() first: its text and this one alternate
  const std::string_view all = text();
  for (const Segment& segment : segments_) {
    if (segment.is_content) {
      slots_[segment.slot].place = Place::taken;
      parts.push_back({{}, true, segment.dot, segment.tag});
    } else if (segment.end > segment.begin) {
      parts.push_back({all.substr(segment.begin, segment.end - segment.begin), false, false, 0});
    }
  }
  segments_.clear();
  commands_taken_ = commands_written_;
  in_flight_ = true;
  writing_ ^= 1;
}

void ClientSession::output_sent() {
  RINGMTA_ASSERT(in_flight_);
  in_flight_ = false;
  std::string& sent = text_[writing_ ^ 1];
  if (has_secret_[writing_ ^ 1]) {
    std::fill(sent.begin(), sent.end(), '\0');
    has_secret_[writing_ ^ 1] = false;
  }
  sent.clear();
  if (sent.capacity() > kTextKept) std::string().swap(sent);
  for (uint32_t i = 0; i < used_; ++i) {
    Slot& slot = at(i);
    if (slot.place != Place::taken) continue;
    slot.place = Place::sent;
    news_ = news_ || slot.stage == Stage::done;
  }
}

const ClientSession::Slot* ClientSession::answering() const {
  for (uint32_t i = 0; i < used_; ++i) {
    if (at(i).stage != Stage::done) return &at(i);
  }
  return nullptr;
}

Phase ClientSession::phase_of(const Slot& slot) {
  switch (slot.stage) {
    case Stage::reset:
    case Stage::mail:
      return Phase::mail;
    case Stage::recipients:
      return Phase::recipient;
    case Stage::data:
      return Phase::data;
    case Stage::content:
    case Stage::done:
      break;
  }
  return Phase::content;
}

Phase ClientSession::waiting_for() const {
  switch (state_) {
    case State::greeting:
      return Phase::greeting;
    case State::hello:
      return Phase::ehlo;
    case State::starttls:
    case State::handshake:
      return Phase::tls;
    case State::owner:
    case State::auth:
      return Phase::auth;
    case State::ready: {
      const Slot* slot = answering();
      return slot == nullptr ? Phase::mail : phase_of(*slot);
    }
    case State::quitting:
    case State::closed:
      break;
  }
  return Phase::quit;
}

bool ClientSession::waiting() const {
  if (state_ == State::closed) return false;
  if (state_ == State::greeting || state_ == State::handshake) return true;
  return replies_seen_ < commands_taken_;
}

// How far an unjudged transaction got when the session ended.
Phase ClientSession::progress_of(const Slot& slot) const {
  if (unprocessed_behind_) return Phase::mail;
  if (slot.place == Place::taken || slot.place == Place::sent) return Phase::content;
  if (&slot != answering()) return Phase::mail;
  const Phase phase = phase_of(slot);
  return phase == Phase::content ? Phase::data : phase;  // the content never left
}

ClientSession::Step ClientSession::abandon() {
  if (state_ != State::closed && close_reply_.text.empty()) {
    close_reply_.status = {4, 4, 2};
    close_reply_.text = "the connection ended";
    if (waiting()) {
      close_reply_.text += " before the reply to ";
      close_reply_.text += to_text(waiting_for());
    }
  }
  state_ = State::closed;
  tell_opening_ = Action::more;
  tell_close_ = false;
  segments_.clear();
  Step step;
  if (next_verdict(step) || local_verdict(step)) return step;
  for (uint32_t i = 0; i < used_; ++i) {
    Slot& slot = at(i);
    if (slot.finished) continue;
    for (uint32_t index = 0; index < slot.recipients.size(); ++index) {
      if ((slot.recipients[index] & kJudged) != 0) continue;
      tell_recipient(step, slot, index, progress_of(slot), &close_reply_);
      return step;
    }
    tell_finished(step, slot);
    return step;
  }
  return step;
}

}  // namespace ringmta::smtp
