// SPDX-License-Identifier: GPL-3.0-or-later
// MAIL and RCPT: reverse-path, recipients, and the parameters of SIZE (RFC 1870), 8BITMIME
// (RFC 6152), SMTPUTF8 (RFC 6531), DSN (RFC 3461) and AUTH (RFC 4954 5).
//
// AUTH= names who submitted a message first. It is read and checked, and that is all: nothing
// depends on it, and it is passed on to nobody, which is what RFC 4954 5 asks for where the client
// is not trusted to say such a thing.
//
// Which reply for what (RFC 5321 4.2.3 and 4.5.3.1.10): 501 for a command that is not built right
// and for what is too long, 553 for an address the grammar does not know, 555 for a parameter that
// was not offered.
#include "ringmta/base/assert.h"
#include "ringmta/base/bytes.h"
#include "ringmta/base/octets.h"
#include "ringmta/smtp/grammar.h"
#include "ringmta/smtp/server_session.h"

namespace ringmta::smtp {
namespace {

constexpr std::string_view kMailSyntax = "501 5.5.4 Syntax: MAIL FROM:<address>";
constexpr std::string_view kRecipientSyntax = "501 5.5.4 Syntax: RCPT TO:<address>";
constexpr std::string_view kParameterSyntax =
    "501 5.5.4 A parameter is not of the form KEYWORD=value";
constexpr std::string_view kParameterTwice = "501 5.5.4 A parameter was given twice";
constexpr std::string_view kParameterUnknown = "555 5.5.4 A parameter is not known here";
constexpr std::string_view kNeedsUtf8 = "553 5.6.7 An address beyond ASCII needs SMTPUTF8";

// Takes "FROM:" or "TO:"; blanks around it are suffered (RFC 5321 3.3 forbids them behind it, many
// clients send one).
bool take_word(std::string_view& text, std::string_view word) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  const std::string_view given = text.substr(0, word.size());
  if (given != word && !equals_ignoring_case(given, word)) return false;
  text.remove_prefix(word.size());
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  return true;
}

// Is this a domain that the DNS can be asked for? In ASCII the grammar says so.
bool can_be_asked_for(std::string_view domain, const ServerOptions& options) {
  return options.domain_exists_in_idna == nullptr || is_ascii(domain) ||
         options.domain_exists_in_idna(domain);
}

struct MailFacts {
  EnvelopeView envelope;
  uint64_t size = 0;
};

enum : uint8_t { kSize = 1, kBody = 2, kUtf8 = 4, kReturn = 8, kEnvelopeId = 16, kAuth = 32 };
enum : uint8_t { kNotify = 1, kOriginalRecipient = 2 };

// The parameters's bit, its value kept in `facts`; 0: not known, or not of this form (`problem`).
uint8_t mail_parameter(const Parameter& given, const ServerOptions& options, bool auth,
                       MailFacts& facts, std::string_view& problem) {
  if (equals_ignoring_case(given.keyword, "SIZE")) {
    if (!parse_size(given.value, facts.size)) problem = "501 5.5.4 SIZE takes a number";
    return kSize;
  }
  if (options.eight_bit && equals_ignoring_case(given.keyword, "BODY")) {
    facts.envelope.eight_bit = equals_ignoring_case(given.value, "8BITMIME");
    if (!facts.envelope.eight_bit && !equals_ignoring_case(given.value, "7BIT")) {
      problem = "501 5.5.4 BODY is 7BIT or 8BITMIME here";
    }
    return kBody;
  }
  if (options.smtputf8 && equals_ignoring_case(given.keyword, "SMTPUTF8")) {
    facts.envelope.utf8 = true;
    if (given.has_value) problem = "501 5.5.4 SMTPUTF8 takes no value";
    return kUtf8;
  }
  if (options.dsn && equals_ignoring_case(given.keyword, "RET")) {
    if (equals_ignoring_case(given.value, "FULL")) {
      facts.envelope.dsn_return = DsnReturn::full;
    } else if (equals_ignoring_case(given.value, "HDRS")) {
      facts.envelope.dsn_return = DsnReturn::headers;
    } else {
      problem = "501 5.5.4 RET is FULL or HDRS";
    }
    return kReturn;
  }
  if (options.dsn && equals_ignoring_case(given.keyword, "ENVID")) {
    facts.envelope.envelope_id = given.value;
    if (!is_envelope_id(given.value)) {
      problem = "501 5.5.4 ENVID takes xtext of at most 100 characters";
    }
    return kEnvelopeId;
  }
  if (auth && equals_ignoring_case(given.keyword, "AUTH")) {
    if (!is_submitter(given.value)) problem = "501 5.5.4 AUTH takes <> or an address in xtext";
    return kAuth;
  }
  problem = kParameterUnknown;
  return 0;
}

uint8_t recipient_parameter(const Parameter& given, const ServerOptions& options, bool utf8,
                            RecipientView& recipient, std::string_view& problem) {
  if (options.dsn && equals_ignoring_case(given.keyword, "NOTIFY")) {
    recipient.notify = parse_notify(given.value);
    if (recipient.notify == 0) {
      problem = "501 5.5.4 NOTIFY is NEVER or a list of SUCCESS, FAILURE and DELAY";
    }
    return kNotify;
  }
  if (options.dsn && equals_ignoring_case(given.keyword, "ORCPT")) {
    recipient.original_recipient = given.value;
    if (!is_original_recipient(given.value, utf8)) {
      problem = "501 5.5.4 ORCPT takes type;xtext of at most 500 characters";
    }
    return kOriginalRecipient;
  }
  problem = kParameterUnknown;
  return 0;
}

// All of `text`, each given to `take` (keyword and value to a bit and a problem); the reply when
// something is wrong, else nothing.
template <typename Take>
std::string_view take_parameters(std::string_view text, bool esmtp, Take take) {
  uint8_t seen = 0;
  while (true) {
    Parameter given;
    if (!next_parameter(text, given)) return kParameterSyntax;
    if (given.keyword.empty()) return {};
    if (!esmtp) return kParameterUnknown;
    std::string_view problem;
    const uint8_t bit = take(given, problem);
    if (!problem.empty()) return problem;
    if ((seen & bit) != 0) return kParameterTwice;
    seen |= bit;
  }
}

}  // namespace

void ServerSession::on_mail(std::string_view arguments) {
  if (helo_.empty()) return refuse("503 5.5.1 EHLO or HELO comes first");
  if (access_.auth_required && !authenticated_) {
    return refuse("530 5.7.0 Authentication required");
  }
  if (mail_given_) return refuse("503 5.5.1 MAIL was said already; RSET begins anew");
  if (options_.messages_max != 0 && transactions_ >= options_.messages_max) {
    return close_with("421 4.7.0 Too many messages in one session");
  }
  if (!take_word(arguments, "FROM:")) return refuse(kMailSyntax);
  const Path path = parse_path(arguments);
  if (path.length == 0) return refuse(kMailSyntax);
  const Mailbox& sender = path.mailbox;
  if (sender.fault == AddressFault::too_long) return refuse("501 5.1.7 The address is too long");
  if (sender.fault != AddressFault::none || (sender.domain.empty() && !sender.address.empty())) {
    return refuse("553 5.1.7 The sender is not local-part@domain as RFC 5321 writes it");
  }
  MailFacts facts;
  const std::string_view problem = take_parameters(
      arguments.substr(path.length), esmtp_, [&](const Parameter& given, std::string_view& wrong) {
        return mail_parameter(given, options_, !access_.mechanisms.empty() || authenticated_, facts,
                              wrong);
      });
  if (!problem.empty()) return refuse(problem);
  if (sender.eight_bit && !facts.envelope.utf8) return refuse(kNeedsUtf8);
  if (sender.eight_bit && !can_be_asked_for(sender.domain, options_)) {
    return refuse("553 5.1.7 The domain of the sender is none that IDNA (RFC 5891) knows");
  }
  if (options_.message_size_max != 0 && facts.size > options_.message_size_max) {
    return refuse("552 5.3.4 The message is larger than this host takes");
  }
  facts.envelope.reverse_path = sender.address;
  end_transaction();
  envelope_.begin(facts.envelope);
  declared_size_ = facts.size;
  mail_given_ = true;
  ++transactions_;
  if (access_.ask_sender || access_.rules != options_.rules) {
    sender_due_ = true;
  } else {
    reply("250 2.1.0 Ok");
  }
}

void ServerSession::decide_anew(const ServerAccess& access) {
  RINGMTA_ASSERT(state_ == State::sender && access.tls == access_.tls);
  access_ = access;
}

void ServerSession::accept_sender() {
  RINGMTA_ASSERT(state_ == State::sender);
  state_ = State::command;
  reply("250 2.1.0 Ok");
}

void ServerSession::refuse_sender(std::string_view text) {
  RINGMTA_ASSERT(state_ == State::sender);
  state_ = State::command;
  --transactions_;
  if (text.substr(0, 3) == "421") return close_with(text);
  end_transaction();
  refuse(text);
}

void ServerSession::on_recipient(std::string_view arguments) {
  if (!mail_given_) return refuse("503 5.5.1 MAIL comes first");
  if (arriving_) return refuse("503 5.5.1 The message is on its way already");
  recipients_tried_ = true;
  if (!take_word(arguments, "TO:")) return refuse(kRecipientSyntax);
  const Path path = parse_path(arguments);
  if (path.length == 0) return refuse(kRecipientSyntax);
  const Mailbox& mailbox = path.mailbox;
  if (mailbox.fault == AddressFault::too_long) return refuse("501 5.1.3 The address is too long");
  const bool postmaster =
      mailbox.domain.empty() && equals_ignoring_case(mailbox.local_part, "postmaster");
  if (mailbox.fault != AddressFault::none || (mailbox.domain.empty() && !postmaster)) {
    return refuse("553 5.1.3 The recipient is not local-part@domain as RFC 5321 writes it");
  }
  const bool utf8 = envelope_.view().utf8;
  RecipientView recipient;
  const std::string_view problem = take_parameters(
      arguments.substr(path.length), esmtp_, [&](const Parameter& given, std::string_view& wrong) {
        return recipient_parameter(given, options_, utf8, recipient, wrong);
      });
  if (!problem.empty()) return refuse(problem);
  if (mailbox.eight_bit && !utf8) return refuse(kNeedsUtf8);
  if (mailbox.eight_bit && !can_be_asked_for(mailbox.domain, options_)) {
    return refuse("553 5.1.3 The domain of the recipient is none that IDNA (RFC 5891) knows");
  }
  if (!access_.relay_allowed) return refuse("550 5.7.1 Relaying is not permitted to you");
  if (options_.recipients_max != 0 && envelope_.recipients() >= options_.recipients_max) {
    return reply("452 4.5.3 Too many recipients; send the others another copy");
  }
  recipient.address = mailbox.address;
  std::string local;
  if (postmaster) {  // RFC 5321 4.5.1: ours; from here on an address like any other
    local.append(mailbox.local_part).append("@").append(options_.hostname);
    recipient.address = local;
  }
  envelope_.add(recipient);
  reply("250 2.1.5 Ok");
}

}  // namespace ringmta::smtp
