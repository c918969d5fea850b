// SPDX-License-Identifier: GPL-3.0-or-later
// Commands that carry no envelope and no content: HELO, EHLO, RSET, NOOP, VRFY, HELP, QUIT, and
// who does what.
//
// A verb is compared as one 32-bit number: all those we know have four letters, but for STARTTLS.
#include <charconv>
#include <cstring>

#include "ringmta/smtp/grammar.h"
#include "ringmta/smtp/server_session.h"

namespace ringmta::smtp {
namespace {

// The four octets of a verb, letters in lower case (other octets become others that are no letters
// either).
constexpr uint32_t verb(const char (&text)[5]) {
  uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = value << 8 | static_cast<unsigned char>(text[i]);
  return value;
}

uint32_t verb_of(std::string_view line) {
  if (line.size() < 4 || (line.size() > 4 && line[4] != ' ')) return 0;
  uint32_t value = 0;
  for (int i = 3; i >= 0; --i) {
    value = value << 8 | (static_cast<unsigned char>(line[static_cast<size_t>(i)]) | 0x20U);
  }
  return value;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

void append_decimal(std::string& into, uint64_t value) {
  char digits[24];
  into.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

// "STARTTLS" and blanks; what stands behind it otherwise is in `arguments`.
bool is_starttls(std::string_view line, std::string_view& arguments) {
  constexpr std::string_view kVerb = "STARTTLS";
  if (line.size() < kVerb.size() || !equals_ignoring_case(line.substr(0, kVerb.size()), kVerb)) {
    return false;
  }
  line.remove_prefix(kVerb.size());
  if (!line.empty() && line.front() != ' ') return false;
  arguments = trimmed(line);
  return true;
}

// What may be said where TLS is required and not in use (RFC 3207 4; RSET and HELP tell nothing).
bool harmless_without_tls(uint32_t known) {
  return known == verb("ehlo") || known == verb("helo") || known == verb("noop") ||
         known == verb("rset") || known == verb("help") || known == verb("quit");
}

}  // namespace

void ServerSession::on_command(std::string_view line) {
  std::string_view arguments;
  if (is_starttls(line, arguments)) return on_starttls(arguments);
  arguments = line.substr(std::min<size_t>(4, line.size()));
  const uint32_t known = verb_of(line);
  if (access_.tls_required && !access_.tls && !harmless_without_tls(known)) {
    return refuse("530 5.7.0 Say STARTTLS first");
  }
  switch (known) {
    case verb("mail"):
      return on_mail(arguments);
    case verb("rcpt"):
      return on_recipient(arguments);
    case verb("data"):
      return on_data(arguments);
    case verb("bdat"):
      return on_chunk(arguments);
    case verb("ehlo"):
      return on_hello(arguments, true);
    case verb("helo"):
      return on_hello(arguments, false);
    case verb("rset"):
      return on_reset(arguments);
    case verb("noop"):
      return reply("250 2.0.0 Ok");
    case verb("quit"):
      return on_quit(arguments);
    case verb("vrfy"):
      return on_verify(arguments);
    case verb("help"):
      return reply(
          "214 2.0.0 Commands: EHLO HELO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY HELP "
          "QUIT "
          "(RFC 5321)");
    case verb("auth"):
      return on_auth(arguments);
    case verb("etrn"):
    case verb("expn"):
    case verb("turn"):
      return refuse("502 5.5.1 Command not implemented");
    default:
      refuse("500 5.5.2 Command not recognized");
  }
}

void ServerSession::on_hello(std::string_view arguments, bool esmtp) {
  const std::string_view name = trimmed(arguments);
  if (!is_helo_name(name)) {
    refuse(esmtp ? "501 5.5.4 Syntax: EHLO host.name.example or EHLO [address]"
                 : "501 5.5.4 Syntax: HELO host.name.example or HELO [address]");
    return;
  }
  drop_arriving();
  end_transaction();
  helo_.assign(name);
  esmtp_ = esmtp;
  if (esmtp) return write_capabilities();
  output_ += "250 ";
  reply(options_.hostname);
}

// Every line but the last has "-" behind its code.
void ServerSession::write_capabilities() {
  size_t last = 0;
  const auto line = [&](std::string_view text) {
    last = output_.size();
    output_ += "250-";
    reply(text);
  };
  line(options_.hostname);
  if (options_.pipelining) line("PIPELINING");
  last = output_.size();
  output_ += "250-SIZE ";
  append_decimal(output_, options_.message_size_max);
  reply({});
  if (options_.eight_bit) line("8BITMIME");
  if (options_.smtputf8) line("SMTPUTF8");
  line("ENHANCEDSTATUSCODES");
  if (options_.chunking) line("CHUNKING");
  if (options_.dsn) line("DSN");
  if (access_.starttls) line("STARTTLS");
  if (!access_.mechanisms.empty()) {
    last = output_.size();
    output_ += "250-AUTH ";
    reply(access_.mechanisms);
  }
  if (options_.recipients_max != 0 || options_.messages_max != 0) {
    last = output_.size();
    output_ += "250-LIMITS";
    if (options_.recipients_max != 0) {
      output_ += " RCPTMAX=";
      append_decimal(output_, options_.recipients_max);
    }
    if (options_.messages_max != 0) {
      output_ += " MAILMAX=";
      append_decimal(output_, options_.messages_max);
    }
    reply({});
  }
  output_[last + 3] = ' ';
}

void ServerSession::on_reset(std::string_view arguments) {
  if (!trimmed(arguments).empty()) return refuse("501 5.5.4 RSET takes no argument");
  drop_arriving();
  end_transaction();
  reply("250 2.0.0 Ok");
}

// RFC 5321 7.3: who may be asked about mailboxes tells spammers which exist. A relay does not even
// know.
void ServerSession::on_verify(std::string_view arguments) {
  if (trimmed(arguments).empty()) return refuse("501 5.5.4 Syntax: VRFY address");
  reply("252 2.0.0 Mailboxes are not verified here; send to it and delivery will be tried");
}

void ServerSession::on_quit(std::string_view arguments) {
  if (!trimmed(arguments).empty()) return refuse("501 5.5.4 QUIT takes no argument");
  close_with("221 2.0.0 Bye");
}

}  // namespace ringmta::smtp
