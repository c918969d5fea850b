// SPDX-License-Identifier: GPL-3.0-or-later
// The commands that may be answered by a rule. The sink knows the addresses' outer form only (RFC
// 5321 4.1.2 with quoted local parts): which addresses are good is the relay's business.
#include <charconv>

#include "ringmta/base/bytes.h"
#include "tools/sink/session.h"

namespace ringmta::tools {
namespace {

// "FROM:<path> parameters" for keyword "FROM:"; false when it has not that form.
bool split_path(std::string_view argument, std::string_view keyword, std::string_view& path,
                std::string_view& parameters) {
  if (argument.size() < keyword.size() ||
      !equals_ignoring_case(argument.substr(0, keyword.size()), keyword))
    return false;
  argument.remove_prefix(keyword.size());
  if (!argument.starts_with('<')) return false;
  bool quoted = false;
  for (size_t i = 1; i < argument.size(); ++i) {
    if (quoted && argument[i] == '\\') {
      ++i;
    } else if (argument[i] == '"') {
      quoted = !quoted;
    } else if (!quoted && argument[i] == '>') {
      path = argument.substr(1, i - 1);
      parameters = argument.substr(i + 1);
      return parameters.empty() || parameters.starts_with(' ');
    }
  }
  return false;
}

// Calls `check(keyword, value)` for each; false as soon as one is refused.
template <typename Check>
bool each_parameter(std::string_view parameters, Check&& check) {
  while (!parameters.empty()) {
    if (parameters.front() == ' ') {
      parameters.remove_prefix(1);
      continue;
    }
    const std::string_view parameter = parameters.substr(0, parameters.find(' '));
    parameters.remove_prefix(parameter.size());
    const size_t equals = parameter.find('=');
    const std::string_view value =
        equals == std::string_view::npos ? std::string_view{} : parameter.substr(equals + 1);
    if (!check(parameter.substr(0, equals), value)) return false;
  }
  return true;
}

bool parse_number(std::string_view text, uint64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

void SinkSession::on_hello(std::string_view argument, bool extended) {
  if (context_.options.record.empty()) {
    hello_.clear();
  } else {
    hello_ = argument;
  }
  const Action* action = match(Phase::hello, {}, {});
  const size_t from = out_.size();
  const bool replied = action != nullptr && perform(*action);
  if (!replied || action->code / 100 == 2) {
    greeted_ = true;
    reset_transaction();
  }
  if (!replied && extended) {
    context_.counts.replies[250].add();
    out_ += secure_ ? context_.secure_ehlo_reply : context_.ehlo_reply;
  }
  if (!replied && !extended) reply(250, context_.options.hostname);
  if (action != nullptr) finish_action(*action, from);
}

void SinkSession::on_starttls(std::string_view argument) {
  const SinkOptions& options = context_.options;
  if (options.tls_certificate.empty() || options.tls_implicit || secure_) {
    return reply(503, "5.5.1 STARTTLS was not offered");
  }
  if (!argument.empty()) return reply(501, "5.5.4 STARTTLS stands alone");
  const Action* action = match(Phase::starttls, {}, {});
  const size_t from = out_.size();
  const bool replied = action != nullptr && perform(*action);
  if (!replied) reply(220, "2.0.0 Go ahead");
  if (!replied || action->code == 220) want_ = Want::tls;
  if (action != nullptr) finish_action(*action, from);
}

void SinkSession::on_auth(std::string_view argument) {
  const SinkAuth* auth = context_.auth;
  if (auth == nullptr) return reply(503, "5.5.1 AUTH was not offered");
  if (!greeted_ || has_sender_ || authenticated_) return reply(503, "5.5.1 Not now");
  if (!secure_ && !context_.options.tls_certificate.empty()) {
    return reply(538, "5.7.11 STARTTLS first");
  }
  const Action* action = match(Phase::auth, {}, {});
  const size_t from = out_.size();
  if (action != nullptr && perform(*action)) {
    finish_action(*action, from);
    return;
  }
  exchange_ = std::make_unique<SinkExchange>();
  auth_result(exchange_->begin(*auth, argument));
  if (action != nullptr) finish_action(*action, from);
}

void SinkSession::auth_result(SinkExchange::Result result) {
  using Result = SinkExchange::Result;
  state_ = result == Result::challenge ? State::auth : State::command;
  switch (result) {
    case Result::challenge:
      return reply(334, exchange_->challenge());
    case Result::good:
      authenticated_ = true;
      context_.counts.authenticated.add();
      return reply(235, "2.7.0 Authentication successful");
    case Result::bad:
      context_.counts.auth_refused.add();
      return reply(535, "5.7.8 Authentication credentials invalid");
    case Result::unknown_mechanism:
      return reply(504, "5.5.4 Unrecognized authentication type");
    case Result::not_base64:
      return reply(501, "5.5.2 Not base64");
  }
}

bool SinkSession::check_mail_parameters(std::string_view parameters) {
  const SinkOptions& options = context_.options;
  return each_parameter(parameters, [&](std::string_view keyword, std::string_view value) {
    if (options.size_max > 0 && equals_ignoring_case(keyword, "SIZE")) {
      uint64_t size = 0;
      if (!parse_number(value, size)) return reply(501, "5.5.4 SIZE is not a number"), false;
      if (size > options.size_max) return reply(552, "5.3.4 Larger than SIZE says"), false;
      return true;
    }
    if (options.eight_bit_mime && equals_ignoring_case(keyword, "BODY")) {
      if (equals_ignoring_case(value, "8BITMIME") || equals_ignoring_case(value, "7BIT"))
        return true;
      return reply(501, "5.5.4 BODY must be 7BIT or 8BITMIME"), false;
    }
    if (options.smtputf8 && equals_ignoring_case(keyword, "SMTPUTF8") && value.empty()) return true;
    if (options.dsn &&
        (equals_ignoring_case(keyword, "RET") || equals_ignoring_case(keyword, "ENVID"))) {
      if (!value.empty()) return true;
      return reply(501, "5.5.4 RET and ENVID need a value"), false;
    }
    return reply(555, "5.5.4 MAIL parameter was not offered"), false;
  });
}

bool SinkSession::check_recipient_parameters(std::string_view parameters) {
  return each_parameter(parameters, [&](std::string_view keyword, std::string_view value) {
    const bool known =
        equals_ignoring_case(keyword, "NOTIFY") || equals_ignoring_case(keyword, "ORCPT");
    if (context_.options.dsn && known && !value.empty()) return true;
    return reply(555, "5.5.4 RCPT parameter was not offered"), false;
  });
}

void SinkSession::on_mail(std::string_view argument) {
  std::string_view path;
  std::string_view parameters;
  if (!greeted_) return reply(503, "5.5.1 EHLO first");
  if (context_.auth != nullptr && !authenticated_) {
    return reply(530, "5.7.0 Authentication required");
  }
  if (has_sender_) return reply(503, "5.5.1 One MAIL at a time");
  if (!split_path(argument, "FROM:", path, parameters))
    return reply(501, "5.5.4 MAIL FROM:<address>");
  const Action* action = match(Phase::mail, path, {});
  const size_t from = out_.size();
  const bool replied = action != nullptr && perform(*action);
  const bool refused = replied ? action->code / 100 != 2 : !check_mail_parameters(parameters);
  if (!refused) {
    has_sender_ = true;
    context_.counts.transactions.add();
    sender_ = path;
    if (!context_.options.record.empty()) sender_parameters_ = parameters;
    if (!replied) reply(250, "2.1.0 Ok");
  }
  if (action != nullptr) finish_action(*action, from);
}

void SinkSession::on_recipient(std::string_view argument) {
  std::string_view path;
  std::string_view parameters;
  if (!has_sender_) return reply(503, "5.5.1 MAIL first");
  if (!split_path(argument, "TO:", path, parameters) || path.empty())
    return reply(501, "5.5.4 RCPT TO:<address>");
  context_.counts.recipients_per_transaction_max.raise_to(++transaction_recipients_);
  const Action* action = match(Phase::rcpt, sender_, path);
  const size_t from = out_.size();
  const bool replied = action != nullptr && perform(*action);
  bool refused = replied ? action->code / 100 != 2 : !check_recipient_parameters(parameters);
  if (!refused && !replied && recipients_ >= context_.options.recipients_max) {
    refused = true;
    reply(452, "4.5.3 Too many recipients");
  }
  if (!refused) {
    ++recipients_;
    if (context_.options.verify) recipient_hashes_.push_back(hash_text(path));
    if (context_.rules.needs_recipients()) {
      if (!recipient_text_.empty()) recipient_text_ += '\n';
      recipient_text_ += path;
    }
    if (!context_.options.record.empty()) {
      recipient_lines_ += "X-Sink-Recipient: <";
      recipient_lines_ += path;
      recipient_lines_ += '>';
      recipient_lines_ += parameters;
      recipient_lines_ += "\r\n";
    }
    if (!replied) reply(250, "2.1.5 Ok");
  }
  if (action != nullptr) finish_action(*action, from);
}

void SinkSession::on_data(std::string_view argument) {
  if (!argument.empty()) return reply(501, "5.5.4 DATA stands alone");
  if (!has_sender_ || in_chunks_) return reply(503, "5.5.1 MAIL and RCPT first");
  if (recipients_ == 0) return reply(554, "5.5.1 No valid recipients");
  const Action* action = match(Phase::data, sender_, recipient_text_);
  const size_t from = out_.size();
  const bool replied = action != nullptr && perform(*action);
  if (!replied) reply(354, "End with <CRLF>.<CRLF>");
  if (!replied || action->code == 354) {
    state_ = State::data;
    dots_.reset();
    begin_message();
  } else if (action->code != 0) {
    reset_transaction();
  }
  if (action != nullptr) finish_action(*action, from);
}

void SinkSession::on_chunk(std::string_view argument) {
  if (!context_.options.chunking) return reply(500, "5.5.1 CHUNKING was not offered");
  const std::string_view number = argument.substr(0, argument.find(' '));
  const std::string_view rest = argument.substr(number.size());
  uint64_t size = 0;
  if (!parse_number(number, size) || !(rest.empty() || equals_ignoring_case(rest, " LAST"))) {
    reply(501, "5.5.4 BDAT size [LAST]");
    want_ = Want::close;  // where the data ends nobody knows
    return;
  }
  last_chunk_ = !rest.empty();
  chunk_left_ = size;
  chunk_refused_ = recipients_ == 0;
  if (!chunk_refused_ && !in_chunks_) {
    in_chunks_ = true;
    begin_message();
  }
  state_ = State::chunk;
  if (size == 0) feed_chunk({});
}

void SinkSession::on_quit() {
  quit_ = true;
  const Action* action = match(Phase::quit, {}, {});
  const size_t from = out_.size();
  if (action == nullptr || !perform(*action)) reply(221, "2.0.0 Bye");
  if (want_ == Want::more) want_ = Want::close;
  if (action != nullptr) finish_action(*action, from);
}

}  // namespace ringmta::tools
