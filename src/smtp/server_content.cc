// SPDX-License-Identifier: GPL-3.0-or-later
// DATA and BDAT (RFC 5321 4.1.1.4, RFC 3030): content on its way to the owner.
//
// DATA is told as it arrives: the wire form, closing ".CRLF" and all, is what the owner stores.
// BDAT is told in pieces that overlap by one octet wherever a line begins with a dot (the dot is
// the last octet of one piece and the first of the next), which is dot-stuffing without a copy; its
// closing text is added at the end.
//
// The first octets of a content are held for as long as nobody can tell whether they are a header
// field: within one receive that takes no copy, and a first line without a colon is over soon.
//
// What is wrong with a content is judged as soon as it is seen, so that the owner can drop what it
// has, but said when all of it has been read: the reply is then the same however the content was
// cut by the network. A refused BDAT has its octets read too, and every further BDAT of the message
// gets the same reply until RSET or MAIL (RFC 3030 2: the chunks are pipelined, the client cannot
// know yet).
#include <algorithm>

#include "ringmta/base/assert.h"
#include "ringmta/base/bytes.h"
#include "ringmta/smtp/grammar.h"
#include "ringmta/smtp/server_session.h"

namespace ringmta::smtp {
namespace {

constexpr uint64_t kChunkMax = uint64_t{1} << 62;  // octets; more is nonsense
constexpr std::string_view kTooLarge = "552 5.3.4 The message is larger than this host takes";
constexpr std::string_view kNoTransaction = "503 5.5.1 MAIL comes first";
constexpr std::string_view kNoRecipients = "503 5.5.1 RCPT comes first";
constexpr std::string_view kAllRefused = "554 5.5.1 No valid recipients";

// " 1234" or " 1234 LAST".
bool parse_chunk(std::string_view text, uint64_t& size, bool& last) {
  if (text.empty() || text.front() != ' ') return false;
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  const size_t digits = std::min(text.find(' '), text.size());
  if (!parse_size(text.substr(0, digits), size) || size > kChunkMax) return false;
  text.remove_prefix(digits);
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  last = equals_ignoring_case(text, "LAST");
  return last || text.empty();
}

// Where such octets are, another server may see another end of data (CR CR LF . CR LF is one here):
// what comes behind it may have been meant as content, and is not taken for commands.
bool may_end_elsewhere(ContentFault fault) {
  return fault == ContentFault::bare_cr || fault == ContentFault::bare_lf ||
         fault == ContentFault::nul;
}

}  // namespace

void ServerSession::on_data(std::string_view arguments) {
  if (arguments.find_first_not_of(' ') != std::string_view::npos) {
    return refuse("501 5.5.4 DATA takes no argument");
  }
  if (!mail_given_) return refuse(kNoTransaction);
  if (arriving_) return refuse("503 5.5.1 DATA and BDAT cannot share a message");
  if (envelope_.recipients() == 0) return refuse(recipients_tried_ ? kAllRefused : kNoRecipients);
  begin_message(false);
}

void ServerSession::begin_message(bool chunked) {
  scanner_.start(chunked ? Framing::counted : Framing::dots, options_.text_line_length_max);
  refusal_.clear();
  chunked_ = chunked;
  first_line_.start(chunked ? Framing::counted : Framing::dots);
  opening_.clear();
  opening_taken_ = 0;
  opening_known_ = false;
  dot_again_ = false;
  begin_due_ = true;
}

void ServerSession::on_chunk(std::string_view arguments) {
  if (!parse_chunk(arguments, chunk_size_, chunk_last_)) {
    // Nobody knows how many octets follow: to read on would be to take content for commands.
    return close_with("501 5.5.4 Syntax: BDAT size or BDAT size LAST");
  }
  chunk_left_ = chunk_size_;
  if (!options_.chunking || !esmtp_) return refuse_chunk("502 5.5.1 BDAT was not offered");
  if (chunks_failed_) return refuse_chunk(refusal_);
  if (!mail_given_) return refuse_chunk(kNoTransaction);
  if (envelope_.recipients() == 0) {
    return refuse_chunk(recipients_tried_ ? kAllRefused : kNoRecipients);
  }
  if (options_.message_size_max != 0 &&
      (arriving_ ? scanner_.octets() : 0) + chunk_size_ > options_.message_size_max) {
    return refuse_chunk(kTooLarge);
  }
  if (arriving_) {
    state_ = State::chunk;
  } else {
    begin_message(true);
  }
}

void ServerSession::accept_message() {
  RINGMTA_ASSERT(state_ == State::deciding);
  state_ = chunked_ ? State::chunk : State::data;
  if (!chunked_) reply("354 End data with <CR><LF>.<CR><LF>");
}

void ServerSession::refuse_message(std::string_view text) {
  RINGMTA_ASSERT(state_ == State::deciding);
  arriving_ = false;
  state_ = State::command;
  if (text.substr(0, 3) == "421") return close_with(text);
  if (chunked_) {
    refusal_.assign(text);
    state_ = State::chunk_swallowed;
  } else {
    reply(text);
    end_transaction();
  }
}

void ServerSession::refuse_content(std::string_view text) {
  RINGMTA_ASSERT(arriving_);
  refusal_.assign(text);
  drop_arriving();
  if (end_due_) {  // all of it was read already
    end_due_ = false;
    refuse_arrived();
  } else if (state_ == State::command) {  // between two chunks
    end_transaction();
    chunks_failed_ = true;
  }
}

std::string_view ServerSession::verdict() const {
  if (options_.message_size_max != 0 && scanner_.octets() > options_.message_size_max) {
    return kTooLarge;
  }
  switch (scanner_.fault()) {
    case ContentFault::none:
      break;
    case ContentFault::bare_cr:
      return "554 5.6.0 The message has a CR without LF in it (RFC 5321 2.3.8)";
    case ContentFault::bare_lf:
      return "554 5.6.0 The message has an LF without CR in it (RFC 5321 2.3.8)";
    case ContentFault::nul:
      return "554 5.6.0 The message has a NUL octet in it";
    case ContentFault::line_too_long:
      return "554 5.6.0 The message has a line longer than this host takes";
  }
  if (options_.hops_max != 0 && scanner_.received_count() > options_.hops_max) {
    return "554 5.4.6 Too many hops: the message is in a loop";
  }
  return {};
}

void ServerSession::refuse_arrived() {
  if (refusal_.empty()) {
    refusal_.assign(verdict());
    ++errors_;
  }
  if (!chunked_ && may_end_elsewhere(scanner_.fault())) return close_with(refusal_);
  reply(refusal_);
  end_transaction();
}

bool ServerSession::take_content(std::string_view& input, Step& step) {
  if (!opening_known_) return hold_opening(input, step);
  if (opening_taken_ < opening_.size()) return take_held(step);
  return state_ == State::data ? take_data(input, step) : take_chunk(input, step);
}

// Our trace lines stand in front of the content: an empty line is told first where it does not
// begin with a header section of its own.
bool ServerSession::hold_opening(std::string_view& input, Step& step) {
  using Verdict = FirstLine::Verdict;
  std::string_view given = input;
  if (state_ == State::chunk) {
    given = input.substr(0, static_cast<size_t>(std::min<uint64_t>(chunk_left_, input.size())));
  }
  Verdict verdict = arriving_ ? first_line_.look(given) : Verdict::header;
  const bool chunk_over = state_ == State::chunk && chunk_left_ == given.size();
  if (verdict == Verdict::undecided && chunk_over && chunk_last_) verdict = first_line_.finish();
  if (verdict == Verdict::undecided) {
    opening_.append(given);
    input.remove_prefix(given.size());
    step.consumed += given.size();
    if (state_ == State::chunk) chunk_left_ -= given.size();
    return !chunk_over || end_of_chunk(step);
  }
  opening_known_ = true;
  if (verdict == Verdict::header) return false;
  scanner_.skip_header();
  step.action = Action::body;
  step.body = "\r\n";
  return true;
}

// What was held, as if it came now.
bool ServerSession::take_held(Step& step) {
  std::string_view held = std::string_view(opening_).substr(opening_taken_);
  Step part;
  bool told = false;
  if (state_ == State::data) {
    told = take_data(held, part);
  } else {
    chunk_left_ += held.size();
    told = take_chunk(held, part);
    chunk_left_ -= held.size();
  }
  opening_taken_ = opening_.size() - held.size();
  step.action = part.action;
  step.body = part.body;
  return told;
}

bool ServerSession::take_data(std::string_view& input, Step& step) {
  if (input.empty()) return true;
  const ContentScanner::Step scanned = scanner_.scan(input);
  const std::string_view piece = input.substr(0, scanned.consumed);
  input.remove_prefix(scanned.consumed);
  step.consumed += scanned.consumed;
  const bool ended = scanned.event == ContentScanner::Event::end;
  if (ended) state_ = State::command;
  if (arriving_ && !verdict().empty()) drop_arriving();
  if (arriving_) {
    end_due_ = ended;
    step.action = Action::body;
    step.body = piece;
    return true;
  }
  if (ended) refuse_arrived();
  return false;
}

bool ServerSession::take_chunk(std::string_view& input, Step& step) {
  if (chunk_left_ == 0) return end_of_chunk(step);
  if (input.empty()) return true;
  const std::string_view chunk =
      input.substr(0, static_cast<size_t>(std::min<uint64_t>(chunk_left_, input.size())));
  const size_t known = dot_again_ ? 1 : 0;
  const ContentScanner::Step scanned = scanner_.scan(chunk.substr(known));
  const std::string_view piece = chunk.substr(0, known + scanned.consumed);
  dot_again_ = scanned.event == ContentScanner::Event::dot;
  const size_t used = piece.size() - (dot_again_ ? 1 : 0);
  input.remove_prefix(used);
  step.consumed += used;
  chunk_left_ -= used;
  if (arriving_ && !verdict().empty()) drop_arriving();
  if (!arriving_) return false;
  step.action = Action::body;
  step.body = piece;
  return true;
}

bool ServerSession::end_of_chunk(Step& step) {
  state_ = State::command;
  if (chunk_last_) scanner_.finish();
  if (arriving_ && !verdict().empty()) drop_arriving();
  if (!arriving_) {
    refuse_arrived();
    chunks_failed_ = !chunk_last_;
    return false;
  }
  if (!chunk_last_) {
    reply("250 2.0.0 Ok");
    return false;
  }
  end_due_ = true;
  step.action = Action::body;
  step.body = scanner_.at_line_start() ? ".\r\n" : "\r\n.\r\n";
  return true;
}

// The whole transaction ends with a refused BDAT; whether others of the message follow shows in
// them.
void ServerSession::refuse_chunk(std::string_view text) {
  if (!chunks_failed_) {
    refusal_.assign(text);
    ++errors_;
  }
  drop_arriving();
  state_ = State::chunk_swallowed;
}

bool ServerSession::take_swallowed(std::string_view& input, Step& step) {
  const auto used = static_cast<size_t>(std::min<uint64_t>(chunk_left_, input.size()));
  input.remove_prefix(used);
  step.consumed += used;
  chunk_left_ -= used;
  if (chunk_left_ > 0) return true;
  state_ = State::command;
  reply(refusal_);
  end_transaction();
  chunks_failed_ = !chunk_last_;
  return false;
}

}  // namespace ringmta::smtp
