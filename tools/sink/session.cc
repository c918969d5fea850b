// SPDX-License-Identifier: GPL-3.0-or-later
// The flow of octets through a session: lines to commands, data to the scanner, rules to what
// happens to the connection.
#include "tools/sink/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "ringmta/base/bytes.h"
#include "tools/sink/recorder.h"

namespace ringmta::tools {

SinkContext::SinkContext(const SinkOptions& sink_options, const RuleSet& rule_set,
                         Ledger& sink_ledger, CorruptSamples& samples, SinkCounts& sink_counts,
                         uint32_t thread_number, const SinkAuth* sink_auth)
    : options(sink_options),
      rules(rule_set),
      ledger(sink_ledger),
      corrupt_samples(samples),
      counts(sink_counts),
      thread(thread_number),
      auth(sink_auth),
      prng(sink_options.seed + thread_number) {
  std::vector<std::string> lines{options.hostname};
  if (options.pipelining) lines.emplace_back("PIPELINING");
  if (options.size_max > 0) lines.push_back(fmt::format("SIZE {}", options.size_max));
  if (options.eight_bit_mime) lines.emplace_back("8BITMIME");
  if (options.smtputf8) lines.emplace_back("SMTPUTF8");
  if (options.chunking) lines.emplace_back("CHUNKING");
  if (options.enhanced_status_codes) lines.emplace_back("ENHANCEDSTATUSCODES");
  if (options.dsn) lines.emplace_back("DSN");
  lines.insert(lines.end(), options.capabilities.begin(), options.capabilities.end());
  const auto join = [](const std::vector<std::string>& all) {
    std::string text;
    for (size_t i = 0; i < all.size(); ++i) {
      text += fmt::format("250{}{}\r\n", i + 1 < all.size() ? '-' : ' ', all[i]);
    }
    return text;
  };
  std::vector<std::string> secure = lines;
  if (auth != nullptr) secure.push_back("AUTH " + auth->mechanisms);
  secure_ehlo_reply = join(secure);
  // As providers do it: who can have TLS must have it to authenticate.
  if (options.tls_certificate.empty()) {
    ehlo_reply = secure_ehlo_reply;
  } else {
    if (!options.tls_implicit) lines.emplace_back("STARTTLS");
    ehlo_reply = join(lines);
  }
}

void SinkSession::secured() {
  secure_ = true;
  if (want_ == Want::tls) want_ = Want::more;
  greeted_ = false;
  line_.clear();
  reset_transaction();
}

SinkSession::SinkSession(SinkContext& context, std::string_view peer, std::string_view listener,
                         ListenerCounts& listener_counts)
    : context_(context), listener_counts_(listener_counts), peer_(peer), listener_(listener) {}

void SinkSession::start() {
  const Action* action = match(Phase::connect, {}, {});
  const size_t from = out_.size();
  if (action == nullptr || !perform(*action)) {
    reply(220, context_.options.hostname + " ESMTP ringmta-sink");
  }
  if (action != nullptr) {
    finish_action(*action, from);
    // A greeting that refuses ends the session.
    if (action->code >= 400 && want_ == Want::more) want_ = Want::close;
    if (action->code >= 400 && want_ == Want::hold) after_hold_ = Want::close;
  }
}

size_t SinkSession::receive(std::string_view data) {
  const size_t all = data.size();
  while (!data.empty() && want_ == Want::more) {
    if (state_ == State::data) {
      data.remove_prefix(feed_data(data));
      continue;
    }
    if (state_ == State::chunk) {
      data.remove_prefix(feed_chunk(data));
      continue;
    }
    const void* found = std::memchr(data.data(), '\n', data.size());
    if (found == nullptr) {
      line_ += data;
      data = {};
      if (line_.size() > kLineMax) {
        reply(500, "5.5.6 Line too long");
        want_ = Want::close;
      }
      break;
    }
    const auto length = static_cast<size_t>(static_cast<const char*>(found) - data.data());
    std::string_view line = data.substr(0, length);
    data.remove_prefix(length + 1);
    if (line_.empty()) {
      on_line(line);
    } else {
      line_ += line;
      const std::string whole = std::move(line_);
      line_.clear();
      on_line(whole);
    }
    // Without PIPELINING a client waits for the reply, so nothing may follow a command; after DATA
    // content may only come behind the 354.
    if (!data.empty() && state_ != State::chunk &&
        (!context_.options.pipelining || state_ == State::data)) {
      context_.counts.early_input.add();
    }
  }
  // What came behind STARTTLS was not said under TLS (RFC 3207 4.2).
  if (want_ == Want::stall || want_ == Want::tls) return all;
  return all - data.size();
}

void SinkSession::on_line(std::string_view line) {
  if (line.ends_with('\r')) {
    line.remove_suffix(1);
  } else {
    context_.counts.bare_line_ends.add();
  }
  if (state_ == State::auth) return auth_result(exchange_->go_on(line));
  const size_t space = line.find(' ');
  const std::string_view verb = line.substr(0, space);
  const std::string_view argument =
      space == std::string_view::npos ? std::string_view{} : line.substr(space + 1);
  if (equals_ignoring_case(verb, "MAIL")) return on_mail(argument);
  if (equals_ignoring_case(verb, "RCPT")) return on_recipient(argument);
  if (equals_ignoring_case(verb, "DATA")) return on_data(argument);
  if (equals_ignoring_case(verb, "BDAT")) return on_chunk(argument);
  if (equals_ignoring_case(verb, "EHLO")) return on_hello(argument, true);
  if (equals_ignoring_case(verb, "HELO")) return on_hello(argument, false);
  if (equals_ignoring_case(verb, "STARTTLS")) return on_starttls(argument);
  if (equals_ignoring_case(verb, "AUTH")) return on_auth(argument);
  if (equals_ignoring_case(verb, "QUIT")) return on_quit();
  if (equals_ignoring_case(verb, "RSET")) {
    reset_transaction();
    return reply(250, "2.0.0 Ok");
  }
  if (equals_ignoring_case(verb, "NOOP")) return reply(250, "2.0.0 Ok");
  if (equals_ignoring_case(verb, "VRFY")) return reply(252, "2.5.0 Send it and see");
  if (equals_ignoring_case(verb, "HELP")) return reply(214, "2.0.0 RFC 5321");
  reply(500, "5.5.2 Unknown command");
}

size_t SinkSession::feed_data(std::string_view data) {
  bool ended = false;
  const size_t used = dots_.feed(data, ended, [this](std::string_view piece) { content(piece); });
  if (ended) {
    state_ = State::command;
    end_message();
  }
  return used;
}

size_t SinkSession::feed_chunk(std::string_view data) {
  const size_t used = static_cast<size_t>(std::min<uint64_t>(chunk_left_, data.size()));
  if (!chunk_refused_) content(data.substr(0, used));
  chunk_left_ -= used;
  if (chunk_left_ == 0) {
    state_ = State::command;
    if (chunk_refused_) {
      reply(503, "5.5.1 No recipient, no data");
      if (last_chunk_) reset_transaction();
      return used;
    }
    const size_t from = out_.size();
    if (const Action* action = match(Phase::bdat, sender_, recipient_text_)) {
      const bool replied = perform(*action);
      if (replied) reset_transaction();
      if (!replied && last_chunk_) end_message();
      if (!replied && !last_chunk_) reply(250, "2.0.0 Ok");
      finish_action(*action, from);
      return used;
    }
    if (last_chunk_) {
      end_message();
    } else {
      reply(250, "2.0.0 Ok");
    }
  }
  return used;
}

void SinkSession::begin_message() {
  message_octets_ = 0;
  too_large_ = false;
  message_.clear();
  if (context_.options.verify) checker_.start();
}

void SinkSession::content(std::string_view piece) {
  message_octets_ += piece.size();
  if (context_.options.size_max > 0 && message_octets_ > context_.options.size_max) {
    too_large_ = true;
    return;
  }
  if (context_.options.verify) checker_.feed(piece);
  if (!context_.options.record.empty()) message_ += piece;
}

void SinkSession::end_message() {
  const Action* action = match(Phase::dot, sender_, recipient_text_);
  const size_t from = out_.size();
  if (action != nullptr && (action->stall || action->reset || action->drop == Drop::before_reply)) {
    context_.counts.messages_dropped.add();
    perform(*action);
  } else if (action != nullptr && action->code >= 300) {
    context_.counts.messages_refused.add();
    perform(*action);
  } else if (too_large_) {
    reply(552, "5.3.4 Larger than SIZE says");
  } else if (!context_.options.record.empty() && !record()) {
    reply(452, "4.3.1 Cannot write the record");
  } else {
    take_message();
    if (action == nullptr || !perform(*action)) reply(250, "2.0.0 Ok");
  }
  if (action != nullptr) finish_action(*action, from);
  reset_transaction();
}

// Counts the message as delivered to its recipients, and checks it.
void SinkSession::take_message() {
  SinkCounts& counts = context_.counts;
  counts.messages.add();
  counts.deliveries.add(recipients_);
  counts.octets.add(message_octets_);
  counts.messages_per_connection_max.raise_to(++messages_);
  const uint64_t now = monotonic_ns();
  if (counts.first_delivery_ns.get() == 0) counts.first_delivery_ns.set(now);
  counts.last_delivery_ns.set(now);
  listener_counts_.messages.fetch_add(1, std::memory_order_relaxed);
  listener_counts_.deliveries.fetch_add(recipients_, std::memory_order_relaxed);
  if (!context_.options.verify) return;
  switch (checker_.finish()) {
    case Verdict::unmarked:
      counts.unmarked.add();
      return;
    case Verdict::corrupt:
      counts.corrupt.add();
      context_.corrupt_samples.add(fmt::format("{}-{} from {} to {}: {} octets", checker_.run(),
                                               checker_.index(), peer_, listener_,
                                               message_octets_));
      return;
    case Verdict::good:
      break;
  }
  counts.good.add();
  const auto duplicates = context_.ledger.record(checker_.run(), checker_.index(),
                                                 checker_.recipients(), recipient_hashes_);
  counts.duplicates.add(duplicates.sure);
  counts.duplicates_unsure.add(duplicates.unsure);
  Delivered& delivered = delivered_[delivered_number_++ % delivered_.size()];
  delivered.run = checker_.run();
  delivered.index = checker_.index();
  delivered.recipients.assign(recipient_hashes_.begin(), recipient_hashes_.end());
  delivered.valid = true;
}

bool SinkSession::record() {
  const std::string envelope = fmt::format(
      "X-Sink-Peer: {}\r\nX-Sink-Listener: {}\r\nX-Sink-Hello: {}\r\nX-Sink-Mail: <{}>{}\r\n{}",
      peer_, listener_, hello_, sender_, sender_parameters_, recipient_lines_);
  const auto status = record_message(context_.options.record, context_.thread, ++context_.sequence,
                                     envelope, message_);
  if (!status) context_.counts.record_failures.add();
  return status.has_value();
}

void SinkSession::reset_transaction() {
  has_sender_ = false;
  in_chunks_ = false;
  recipients_ = 0;
  transaction_recipients_ = 0;
  sender_.clear();
  recipient_text_.clear();
  recipient_lines_.clear();
  recipient_hashes_.clear();
}

void SinkSession::ended() {
  if (quit_) return;
  context_.counts.connections_broken.add();
  for (const Delivered& delivered : delivered_) {
    if (delivered.valid)
      context_.ledger.mark_unsure(delivered.run, delivered.index, delivered.recipients);
  }
}

void SinkSession::shut_down() {
  if (want_ != Want::more || in_transaction()) return;
  reply(421, "4.3.2 The sink is leaving");
  quit_ = true;
  want_ = Want::close;
}

const Action* SinkSession::match(Phase phase, std::string_view sender,
                                 std::string_view recipients) {
  if (!context_.rules.has(phase)) return nullptr;
  return context_.rules.match({phase, peer_, listener_, sender, recipients}, context_.prng);
}

// True when the action has given (or withheld) the reply itself.
bool SinkSession::perform(const Action& action) {
  if (action.stall) {
    want_ = Want::stall;
    return true;
  }
  if (action.reset) {
    want_ = Want::reset;
    return true;
  }
  if (action.drop == Drop::before_reply) {
    want_ = Want::close;
    return true;
  }
  if (action.reply.empty()) return false;
  context_.counts.replies[static_cast<size_t>(action.code)].add();
  out_ += action.reply;
  return true;
}

void SinkSession::finish_action(const Action& action, size_t reply_from) {
  if (action.drop == Drop::after_reply) want_ = Want::close;
  if (action.split > 0) split_ = {action.split, action.split_gap_ms};
  if (action.delay_ms > 0 && want_ != Want::stall) {
    held_.assign(out_, reply_from);
    out_.resize(reply_from);
    hold_ms_ = action.delay_ms;
    after_hold_ = want_;
    want_ = Want::hold;
  }
}

void SinkSession::resume() {
  out_ += held_;
  held_.clear();
  want_ = after_hold_;
  after_hold_ = Want::more;
}

void SinkSession::reply(int code, std::string_view text) {
  context_.counts.replies[static_cast<size_t>(code)].add();
  if (code == 500 || code == 501 || code == 503 || code == 504 || code == 555)
    context_.counts.bad_commands.add();
  if (!context_.options.enhanced_status_codes && text.size() > 6 && text[1] == '.' &&
      text[3] == '.') {
    text.remove_prefix(6);
  }
  const char digits[4] = {static_cast<char>('0' + code / 100),
                          static_cast<char>('0' + code / 10 % 10),
                          static_cast<char>('0' + code % 10), ' '};
  out_.append(digits, 4);
  out_ += text;
  out_ += "\r\n";
}

}  // namespace ringmta::tools
