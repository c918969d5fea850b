// SPDX-License-Identifier: GPL-3.0-or-later
// Notifications: when they are owed (RFC 3461), and that what is built is what Python's email
// package, a parser not of our making, takes it for.
#include "ringmta/queue/dsn.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

namespace ringmta::queue {
namespace {

using smtp::Notify;
using namespace std::string_literals;

struct Wanted {
  uint8_t notify;
  DsnAction action;
  bool wanted;
};

// RFC 3461 4.1 (NOTIFY), 5.2.2 (relayed), 6.2 (failed, delayed).
const Wanted kWanted[] = {
    {0, DsnAction::failed, true},
    {0, DsnAction::delayed, true},
    {0, DsnAction::delivered, false},
    {0, DsnAction::relayed, false},
    {0, DsnAction::expanded, false},
    {Notify::kNever, DsnAction::failed, false},
    {Notify::kNever, DsnAction::delayed, false},
    {Notify::kNever, DsnAction::delivered, false},
    {Notify::kNever, DsnAction::relayed, false},
    {Notify::kSuccess, DsnAction::failed, false},
    {Notify::kSuccess, DsnAction::delayed, false},
    {Notify::kSuccess, DsnAction::delivered, true},
    {Notify::kSuccess, DsnAction::relayed, true},
    {Notify::kSuccess, DsnAction::expanded, true},
    {Notify::kFailure, DsnAction::failed, true},
    {Notify::kFailure, DsnAction::delayed, false},
    {Notify::kFailure, DsnAction::delivered, false},
    {Notify::kFailure, DsnAction::relayed, false},
    {Notify::kDelay, DsnAction::failed, false},
    {Notify::kDelay, DsnAction::delayed, true},
    {Notify::kDelay, DsnAction::delivered, false},
    {Notify::kSuccess | Notify::kFailure | Notify::kDelay, DsnAction::failed, true},
    {Notify::kSuccess | Notify::kFailure | Notify::kDelay, DsnAction::delayed, true},
    {Notify::kSuccess | Notify::kFailure | Notify::kDelay, DsnAction::relayed, true},
};

TEST(Dsn, Wanted) {
  for (const Wanted& item : kWanted) {
    EXPECT_EQ(dsn_wanted(item.notify, item.action, false), item.wanted)
        << int{item.notify} << " " << to_text(item.action);
    EXPECT_FALSE(dsn_wanted(item.notify, item.action, true));
  }
}

// Un-stuffs the wire form, parses it, and prints what it is, one fact a line.
constexpr const char* kPython = R"(
import email, email.policy, quopri, re, sys
wire = open(sys.argv[1], 'rb').read()
assert wire.endswith(b'\r\n.\r\n'), 'closing'
lines = wire[:-3].split(b'\r\n')
assert lines.pop() == b''
for line in lines:
    assert b'\r' not in line and b'\n' not in line and b'\0' not in line, line
    assert len(line) <= 998, len(line)
    assert not line.startswith(b'.') or line.startswith(b'..'), line
plain = b'\r\n'.join(line[1:] if line.startswith(b'.') else line for line in lines) + b'\r\n'
message = email.message_from_bytes(plain, policy=email.policy.default)
assert not message.defects, message.defects
assert message.get_content_type() == 'multipart/report', message.get_content_type()
assert message.get_param('report-type') == 'delivery-status'
for name in ('From', 'To', 'Subject', 'Auto-Submitted', 'In-Reply-To', 'Message-ID', 'Date',
             'Content-Transfer-Encoding'):
    if message[name]: print(name + ': ' + message[name])
assert not (message.epilogue or '').strip(), message.epilogue
parts = message.get_payload()
print('parts:', ' '.join(p.get_content_type() for p in parts))
for part in parts:
    assert not part.defects, part.defects
assert all(octet < 128 for octet in plain[plain.index(b'\r\n\r\n'):]), 'needs 8BITMIME'
def decoded(part):  # message/global and its kin are not known to Python 3.11
    raw = plain[re.search(b'Content-Type: ' + part.get_content_type().encode() + b'[;\\r]', plain).start():]
    fields, raw = raw.split(b'\r\n\r\n', 1)
    raw = raw[:raw.index(b'\r\n--' + message.get_boundary().encode())]
    encoding = b'Content-Transfer-Encoding: quoted-printable'
    if encoding not in fields: return raw
    assert part['Content-Transfer-Encoding'] == 'quoted-printable'
    assert all(len(line) <= 76 for line in raw.split(b'\r\n')), raw
    clear = quopri.decodestring(raw)
    if part.get_content_maintype() == 'text':
        assert part.get_payload(decode=True) == clear, 'two decoders'
    return clear
text = parts[0].get_content()
if 'Your message has 8-bit text' in text: print('Your message has 8-bit text')
print('text:', len(text) > 100, 'widest', max(len(line) for line in text.splitlines()) < 80)
status = parts[1].get_payload()
if parts[1].get_content_type() == 'message/global-delivery-status':  # not known to Python 3.11
    blocks = decoded(parts[1]).decode('utf-8').replace('\r\n', '\n').strip().split('\n\n')
    status = [email.message_from_string(block + '\n') for block in blocks]
for block in status:
    print('--')
    for name, value in block.items(): print(name + ': ' + ' '.join(str(value).split()))
if len(parts) > 2:
    print('== returned')
    sys.stdout.flush()
    sys.stdout.buffer.write(decoded(parts[2]))
)";

std::string temporary(const std::string& content) {
  std::string path = testing::TempDir() + "ringmta_dsn_XXXXXX";
  const int descriptor = mkstemp(path.data());
  EXPECT_GE(descriptor, 0);
  close(descriptor);
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

std::string parsed(const DsnMessage& message) {
  const std::string script = temporary(kPython), input = temporary(message.content);
  FILE* pipe =
      popen(("PYTHONIOENCODING=utf-8 python3 " + script + " " + input + " 2>&1").c_str(), "r");
  std::string output;
  char block[4096];
  size_t length = 0;
  while (pipe != nullptr && (length = fread(block, 1, sizeof block, pipe)) > 0)
    output.append(block, length);
  if (pipe != nullptr) pclose(pipe);
  unlink(script.c_str());
  unlink(input.c_str());
  return output;
}

constexpr WallTime kNow{1'700'000'000'000};  // Tue, 14 Nov 2023 22:13:20 +0000
constexpr std::string_view kOriginal[] = {
    "Received: from client by relay.example; Tue, 14 Nov 2023 20:00:00 +0000\r\n",
    "From: <sender@one.example>\r\nSubject: Hello\r\n there\r\nMessage-ID: <1@one.example>\r\n\r",
    "\nBody\r\n..dot line\r\n--=_ringmta_ID1--\r\nend\r\n.\r\n"};

DsnRecipient failed_recipient() {
  DsnRecipient recipient;
  recipient.address = "b@two.example";
  recipient.original_recipient = "rfc822;Bob+2Bx@two.example";
  recipient.status = {5, 1, 1};
  recipient.remote_mta = "mx.two.example:25";
  recipient.diagnostic = "550 5.1.1 <b@two.example>: no such user here";
  recipient.last_attempt = kNow;
  return recipient;
}

DsnReport report_about(std::span<const DsnRecipient> recipients) {
  DsnReport report;
  report.reporting_mta = "relay.example";
  report.id = "ID1";
  report.reverse_path = "sender@one.example";
  report.envelope_id = "QQ+3D314";
  report.now = kNow;
  report.arrival = WallTime{kNow.ms - 3'600'000};
  report.recipients = recipients;
  report.original = kOriginal;
  return report;
}

const std::string kHead =
    "From: Mail Delivery System <MAILER-DAEMON@relay.example>\nTo: sender@one.example\n"
    "Subject: Undelivered mail: your message could not be delivered\nAuto-Submitted: auto-replied\n"
    "In-Reply-To: <1@one.example>\nMessage-ID: <ID1.dsn@relay.example>\nDate: Tue, 14 Nov 2023 "
    "22:13:20 +0000\n";
const std::string kStatus =
    "text: True widest True\n--\nReporting-MTA: dns; relay.example\nOriginal-Envelope-Id: QQ=314\n"
    "Arrival-Date: Tue, 14 Nov 2023 21:13:20 +0000\n--\nOriginal-Recipient: rfc822; "
    "Bob+x@two.example\n"
    "Final-Recipient: rfc822; b@two.example\nAction: failed\nStatus: 5.1.1\nRemote-MTA: dns; "
    "mx.two.example\n"
    "Diagnostic-Code: smtp; 550 5.1.1 <b@two.example>: no such user here\n"
    "Last-Attempt-Date: Tue, 14 Nov 2023 22:13:20 +0000\n";
const std::string kOriginalHeader =
    "Received: from client by relay.example; Tue, 14 Nov 2023 20:00:00 +0000\r\n"
    "From: <sender@one.example>\r\nSubject: Hello\r\n there\r\nMessage-ID: <1@one.example>\r\n";

TEST(Dsn, FailureWithHeaders) {
  const DsnRecipient recipient = failed_recipient();
  const DsnMessage message = build_dsn(report_about({&recipient, 1}));
  EXPECT_EQ(parsed(message), kHead +
                                 "parts: text/plain message/delivery-status text/rfc822-headers\n" +
                                 kStatus + "== returned\n" + kOriginalHeader);
  EXPECT_FALSE(message.has_eight_bit || message.has_dot_stuffing || message.utf8);
}

TEST(Dsn, FailureWithFullReturnKeepsEveryOctet) {
  const DsnRecipient recipient = failed_recipient();
  DsnReport report = report_about({&recipient, 1});
  report.dsn_return = smtp::DsnReturn::full;
  const DsnMessage message = build_dsn(report);
  EXPECT_EQ(parsed(message), kHead + "parts: text/plain message/delivery-status message/rfc822\n" +
                                 kStatus + "== returned\n" + kOriginalHeader +
                                 "\r\nBody\r\n.dot line\r\n--=_ringmta_ID1--\r\nend\r\n");
  EXPECT_TRUE(message.has_dot_stuffing);
  EXPECT_FALSE(message.has_eight_bit);
}

TEST(Dsn, TooLargeForFullReturn) {
  const DsnRecipient recipient = failed_recipient();
  DsnReport report = report_about({&recipient, 1});
  report.dsn_return = smtp::DsnReturn::full;
  report.return_size_max = 200;
  const DsnMessage message = build_dsn(report);
  EXPECT_NE(message.content.find("too large to be returned in full"), std::string::npos);
  EXPECT_NE(parsed(message).find("text/rfc822-headers"), std::string::npos);
  EXPECT_EQ(message.content.find("Body\r\n"), std::string::npos);
  report.return_size_max = 110;  // not even the header: whole lines of it
  const std::string cut = parsed(build_dsn(report));
  EXPECT_EQ(cut.substr(cut.find("== returned\n") + 12),
            "Received: from client by relay.example; Tue, 14 Nov 2023 20:00:00 +0000\r\n"
            "From: <sender@one.example>\r\n");
}

TEST(Dsn, DelayAndSuccessReturnHeadersOnly) {
  DsnRecipient recipients[3];
  recipients[0] = failed_recipient();
  recipients[0].action = DsnAction::delayed;  // its 5.1.1 contradicts
  recipients[0].retry_until = WallTime{kNow.ms + 86'400'000};
  recipients[1].address = "c@three.example";
  recipients[1].action = DsnAction::relayed;
  recipients[2].address = "d@four.example";
  recipients[2].action = DsnAction::delivered;
  recipients[2].status = {2, 1, 5};
  DsnReport report = report_about(recipients);
  report.dsn_return = smtp::DsnReturn::full;
  report.original = {};
  const DsnMessage message = build_dsn(report);
  const std::string found = parsed(message);
  EXPECT_NE(found.find("parts: text/plain message/delivery-status\n"), std::string::npos) << found;
  EXPECT_NE(found.find("Action: delayed\nStatus: 4.0.0\n"), std::string::npos) << found;
  EXPECT_NE(found.find("Will-Retry-Until: Wed, 15 Nov 2023 22:13:20 +0000"), std::string::npos);
  EXPECT_NE(
      found.find("Final-Recipient: rfc822; c@three.example\nAction: relayed\nStatus: 2.0.0\n--\n"),
      std::string::npos);
  EXPECT_NE(found.find("Action: delivered\nStatus: 2.1.5\n"), std::string::npos);
  EXPECT_NE(found.find("Subject: Delayed mail"), std::string::npos);
  EXPECT_NE(message.content.find("\r\nYou need not send your message again."), std::string::npos);
  report.original = kOriginal;
  EXPECT_NE(parsed(build_dsn(report)).find("text/rfc822-headers"), std::string::npos);
}

TEST(Dsn, Utf8Addresses) {
  DsnRecipient recipient = failed_recipient();
  recipient.address = "gr\xC3\xBCn@two.example";
  recipient.original_recipient = "utf-8;gr\\x{FC}n@two.example";
  recipient.diagnostic = "550 5.1.1 gr\xC3\xBCn unbekannt";
  DsnReport report = report_about({&recipient, 1});
  report.reverse_path = "\xC3\xA4@one.example";
  report.utf8 = true;
  const DsnMessage message = build_dsn(report);
  EXPECT_TRUE(message.has_eight_bit && message.utf8);  // for the sender's address
  const std::string found = parsed(message);
  EXPECT_NE(found.find("parts: text/plain message/global-delivery-status text/rfc822-headers\n"),
            std::string::npos)
      << found;
  EXPECT_NE(found.find("Original-Recipient: utf-8; gr\xC3\xBCn@two.example\n"
                       "Final-Recipient: utf-8; gr\xC3\xBCn@two.example\n"),
            std::string::npos)
      << found;
  EXPECT_NE(found.find("Diagnostic-Code: smtp; 550 5.1.1 gr\xC3\xBCn unbekannt\n"),
            std::string::npos);
}

std::string returned(const std::string& found) {
  const size_t at = found.find("== returned\n");
  return at == std::string::npos ? found : found.substr(at + 12);
}

// The way back may be one on which nobody has 8BITMIME or SMTPUTF8.
TEST(Dsn, NeedsNothingWhateverTheOriginalIs) {
  const std::string header = "Subject: gr\xC3\xBC\xC3\x9F = x\t\r\n.X: " + std::string(100, 'y') +
                             "\r\nMessage-ID: <1@one.example>\r\n";
  const std::string stuffed = "Subject: gr\xC3\xBC\xC3\x9F = x\t\r\n..X: " + std::string(100, 'y') +
                              "\r\nMessage-ID: <1@one.example>\r\n";
  struct Case {
    std::string header, body;
    smtp::DsnReturn asked;
    bool utf8;
    std::string_view type;
    std::string returned;
  };
  const std::string latin = "X: caf\xE9\r\n";  // nobody knows what it is
  const std::string ascii = "Subject: a\r\n";
  const std::string body = "b\xC3\xA4r \r\n.\r\n";
  const auto full = smtp::DsnReturn::full, none = smtp::DsnReturn::unspecified;
  const Case cases[] = {
      {stuffed, "x\r\n", none, false, "text/rfc822-headers", header},
      {stuffed, "x\r\n", none, true, "message/global-headers", header},
      {latin, "x\r\n", none, false, "text/rfc822-headers", latin},
      {ascii, "b\xC3\xA4r\r\n", none, false, "text/rfc822-headers", ascii},
      {ascii, "b\xC3\xA4r\r\n", full, false, "text/rfc822-headers", ascii},
      {stuffed, "x\r\n", full, false, "text/rfc822-headers", header},
      {stuffed, "b\xC3\xA4r \r\n..\r\n", full, true, "message/global", header + "\r\n" + body},
      {ascii, "b\xC3\xA4r \r\n..\r\n", full, true, "message/global", ascii + "\r\n" + body},
      {ascii, "x\r\n", full, true, "message/rfc822", ascii + "\r\nx\r\n"},
  };
  DsnRecipient recipient = failed_recipient();
  for (const bool global : {false, true}) {
    if (global) recipient.address = "gr\xC3\xBCn@two.example";
    for (const Case& one : cases) {
      if (global && !one.utf8) continue;
      SCOPED_TRACE(one.header + " " + one.body + (global ? " global" : ""));
      const std::string wire = one.header + "\r\n" + one.body + ".\r\n";
      const std::string_view original[] = {wire};
      DsnReport report = report_about({&recipient, 1});
      report.original = original;
      report.dsn_return = one.asked;
      report.utf8 = one.utf8;
      const DsnMessage message = build_dsn(report);
      EXPECT_FALSE(message.has_eight_bit || message.utf8);
      const std::string found = parsed(message);
      EXPECT_NE(found.find(std::string(" ").append(one.type).append("\n")), std::string::npos)
          << found;
      EXPECT_EQ(returned(found), one.returned);
      const bool kept_back = one.asked == full && one.type == "text/rfc822-headers";
      EXPECT_EQ(found.find("Your message has 8-bit text") != std::string::npos, kept_back);
    }
  }
}

// Nothing a peer, a sender or a recipient wrote can begin a field, a line or a part of ours.
TEST(Dsn, HostileTexts) {
  DsnRecipient recipient = failed_recipient();
  recipient.address = "\"a  b\"@two.example";
  recipient.original_recipient = "rfc822;x+0D+0AAction:+20delivered";
  const std::string diagnostic =
      "550 5.7.1 a\r\nAction: delivered\n\n--=_ringmta_ID1\n\x01\xFF" + std::string(3000, 'x');
  recipient.diagnostic = diagnostic;
  DsnReport report = report_about({&recipient, 1});
  report.envelope_id = "x+0D+0A+0D+0Ay";
  const std::string_view original[] = {
      "Subject: a\r\n b\x02\r\nMessage-ID: <x> (evil)\r\nX: --=_ringmta_ID1\r\n\r\n.\r\n"};
  report.original = original;
  const DsnMessage message = build_dsn(report);
  const std::string found = parsed(message);
  EXPECT_EQ(found.find("In-Reply-To"), std::string::npos);
  EXPECT_NE(found.find("parts: text/plain message/delivery-status text/rfc822-headers\n"),
            std::string::npos)
      << found;
  EXPECT_NE(found.find("\nOriginal-Recipient: rfc822; x Action: delivered\n"), std::string::npos)
      << found;
  EXPECT_NE(found.find("\nAction: failed\n"), std::string::npos);
  EXPECT_EQ(found.find("\nAction: delivered\n"), std::string::npos);
  EXPECT_NE(message.content.find("Final-Recipient: rfc822; \"a  b\"@two.example\r\n"),
            std::string::npos);
  EXPECT_FALSE(message.has_eight_bit);
}

TEST(Dsn, WordsHelp) {
  const DsnRecipient recipient = failed_recipient();
  const DsnMessage message = build_dsn(report_about({&recipient, 1}));
  for (const char* words :
       {"This is the mail system at relay.example.", "    Subject: Hello there\r\n",
        "could not be delivered", "<b@two.example>\r\n    mx.two.example refused it: 550 5.1.1",
        "The address does not exist there."}) {
    EXPECT_NE(message.content.find(words), std::string::npos) << words;
  }
}

TEST(Dsn, EmptyAndHeaderlessOriginals) {
  const DsnRecipient recipient = failed_recipient();
  for (const std::string_view original : {".\r\n", "\r\nbody\r\n.\r\n", "Subject: only\r\n.\r\n"}) {
    for (const auto kind : {smtp::DsnReturn::full, smtp::DsnReturn::headers}) {
      DsnReport report = report_about({&recipient, 1});
      report.original = {&original, 1};
      report.dsn_return = kind;
      const std::string found = parsed(build_dsn(report));
      EXPECT_NE(found.find("parts: text/plain message/delivery-status "), std::string::npos)
          << found;
    }
  }
}

}  // namespace
}  // namespace ringmta::queue
