// SPDX-License-Identifier: GPL-3.0-or-later
// The server session: whatever the client sends and however it is cut, replies and messages are the
// same, replies are clean lines, and what is stored is the wire form of one message. The first four
// octets choose options and cuts.
#include <string>
#include <string_view>
#include <vector>

#include "ringmta/base/assert.h"
#include "ringmta/smtp/grammar.h"
#include "ringmta/smtp/server_session.h"

namespace ringmta::smtp {
namespace {

void check_content(std::string_view content, const HeaderFacts& facts) {
  const std::string framed = "\r\n" + std::string(content);
  RINGMTA_ASSERT(framed.find("\r\n.\r\n") == framed.size() - 5);
  bool high = false, stuffed = false;
  for (size_t i = 0; i < framed.size(); ++i) {
    RINGMTA_ASSERT(framed[i] != '\0');
    if (framed[i] == '\r') RINGMTA_ASSERT(i + 1 < framed.size() && framed[i + 1] == '\n');
    if (framed[i] == '\n') RINGMTA_ASSERT(i > 0 && framed[i - 1] == '\r');
    high |= static_cast<unsigned char>(framed[i]) > 127;
    stuffed |=
        framed[i] == '\n' && i + 1 < framed.size() && framed[i + 1] == '.' && i + 4 < framed.size();
  }
  RINGMTA_ASSERT(facts.has_eight_bit == high);
  RINGMTA_ASSERT(facts.has_dot_stuffing == stuffed);
  RINGMTA_ASSERT(content[0] != ' ' && content[0] != '\t');
}

void check_envelope(const EnvelopeView& envelope) {
  RINGMTA_ASSERT(!envelope.recipients.empty());
  const auto check = [&](std::string_view address) {
    const Mailbox mailbox = parse_mailbox(address);
    RINGMTA_ASSERT(mailbox.fault == AddressFault::none);
    RINGMTA_ASSERT(!mailbox.eight_bit || envelope.utf8);
  };
  if (!envelope.reverse_path.empty()) check(envelope.reverse_path);
  for (const RecipientView& recipient : envelope.recipients) check(recipient.address);
}

std::string play(std::string_view input, const ServerOptions& options, size_t piece_length,
                 bool refusing) {
  ServerAccess access;
  access.relay_allowed = access.starttls = access.ask_sender = true;
  access.mechanisms = "PLAIN LOGIN";
  ServerSession session(options, access);
  session.greet();
  std::string all, body;
  bool closed = false;
  while (!input.empty() && !closed) {
    // Memory of exactly this size, so that a read beyond it is seen by the sanitizer.
    const std::string_view view = input.substr(0, piece_length);
    input.remove_prefix(view.size());
    const std::vector<char> piece(view.begin(), view.end());
    std::string_view rest(piece.data(), piece.size());
    bool more = true;
    while (more) {
      const ServerSession::Step step = session.step(as_bytes(rest));
      RINGMTA_ASSERT(step.consumed <= rest.size());
      rest.remove_prefix(step.consumed);
      switch (step.action) {
        case ServerSession::Action::more:
          RINGMTA_ASSERT(rest.empty());
          more = false;
          break;
        case ServerSession::Action::blocked:
          RINGMTA_ASSERT(false);  // everything is answered at once
          break;
        case ServerSession::Action::start_tls:
          all += "tls";
          access.tls = true;
          access.starttls = false;
          session.tls_started(access);
          RINGMTA_ASSERT(!session.authenticated() && session.helo().empty());
          break;
        case ServerSession::Action::auth_begin:
        case ServerSession::Action::auth_response:
          // As the exchange's octets say, so that the fuzzer finds every answer.
          all += "(" + std::string(session.auth_mechanism()) + ":" + std::string(step.body) + ")";
          if (step.body.ends_with("y")) {
            session.auth_succeeded(access);
          } else if (step.body.ends_with("n")) {
            session.auth_failed("535 5.7.8 No");
          } else {
            session.auth_challenge(as_bytes("more"));
          }
          break;
        case ServerSession::Action::auth_cancel:
          all += "cancel";
          break;
        case ServerSession::Action::sender:
          RINGMTA_ASSERT(session.envelope().recipients.empty());
          if (refusing && session.authenticated()) {
            session.refuse_sender("553 5.7.1 No");
          } else {
            session.accept_sender();
          }
          break;
        case ServerSession::Action::message_begin:
          check_envelope(session.envelope());
          body.clear();
          if (refusing) {
            session.refuse_message("452 4.3.1 No");
          } else {
            session.accept_message();
          }
          break;
        case ServerSession::Action::body:
          RINGMTA_ASSERT(!step.body.empty());
          body += step.body;
          break;
        case ServerSession::Action::message_end:
          check_envelope(session.envelope());
          check_content(body, session.header());
          all += "[" + body + "]";
          session.message_done("250 2.0.0 Ok");
          break;
        case ServerSession::Action::message_abort:
          all += "abort";
          break;
        case ServerSession::Action::close:
          closed = true;
          more = false;
          break;
      }
    }
  }
  std::string replies;
  session.take_output(replies);
  RINGMTA_ASSERT(!session.has_output());
  for (const char c : replies) {
    RINGMTA_ASSERT(c == '\r' || c == '\n' || (c >= ' ' && c <= '~'));
  }
  return all + replies + (closed ? "closed" : "");
}

}  // namespace
}  // namespace ringmta::smtp

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringmta::smtp;
  if (size < 4) return 0;
  ServerOptions options;
  options.message_size_max = data[0];
  options.line_length_max = 16U + data[1];
  options.text_line_length_max = (data[3] & 1) != 0 ? data[1] : 0;
  options.errors_max = data[3] >> 5;
  options.recipients_max = 3;
  options.hops_max = 2;
  const bool refusing = (data[3] & 2) != 0;
  const std::string input =
      ((data[3] & 4) != 0 ? "EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n" : "EHLO x\r\n") +
      std::string(reinterpret_cast<const char*>(data) + 4, size - 4);
  const std::string whole = play(input, options, input.size(), refusing);
  RINGMTA_ASSERT(play(input, options, 1, refusing) == whole);
  RINGMTA_ASSERT(play(input, options, 1 + data[2] % 67U, refusing) == whole);
  return 0;
}
