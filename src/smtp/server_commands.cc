// SPDX-License-Identifier: GPL-3.0-or-later
// Commands that carry no envelope and no content: HELO, EHLO, RSET, NOOP, VRFY, HELP, QUIT, and
// who does what.
//
// A verb is compared as one 32-bit number: all those we know have four letters. STARTTLS and AUTH
// get their cases in on_command() and their lines in write_capabilities(); until then they are
// commands we know and do not have (502).
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

}  // namespace

void ServerSession::on_command(std::string_view line) {
  const std::string_view arguments = line.substr(std::min<size_t>(4, line.size()));
  switch (verb_of(line)) {
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
          "214 2.0.0 Commands: EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT (RFC 5321)");
    case verb("auth"):
    case verb("etrn"):
    case verb("expn"):
    case verb("turn"):
      return refuse("502 5.5.1 Command not implemented");
    default:
      if (equals_ignoring_case(trimmed(line), "STARTTLS")) {
        return refuse("502 5.5.1 Command not implemented");
      }
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
