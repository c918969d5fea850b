// SPDX-License-Identifier: GPL-3.0-or-later
// Notifications: whatever stood in ENVID, ORCPT, addresses, replies of next hops and the original,
// a notification is one message of two or three parts, with the fields it should have and no other,
// and no reader, however lenient, finds its end before its end.
#include <map>
#include <set>
#include <string>
#include <vector>

#include "input.h"
#include "ringmta/base/assert.h"
#include "ringmta/queue/dsn.h"

namespace ringmta::queue {
namespace {

using Lines = std::vector<std::string>;

Lines lines_of(std::string_view text) {
  Lines lines;
  while (!text.empty()) {
    const size_t end = text.find("\r\n");
    RINGMTA_ASSERT(end != std::string_view::npos);
    lines.emplace_back(text.substr(0, end));
    text.remove_prefix(end + 2);
  }
  return lines;
}

// Fields of the lines [from, to): each name with how often it stands there.
std::map<std::string, size_t> fields_of(const Lines& lines, size_t from, size_t to) {
  std::map<std::string, size_t> fields;
  for (size_t i = from; i < to; ++i) {
    if (lines[i].starts_with(' ') || lines[i].starts_with('\t')) {
      RINGMTA_ASSERT(i > from);
      continue;
    }
    const size_t colon = lines[i].find(':');
    RINGMTA_ASSERT(colon != std::string::npos && colon > 0);
    ++fields[lines[i].substr(0, colon)];
  }
  return fields;
}

void check_fields(const std::map<std::string, size_t>& fields, const std::set<std::string>& may) {
  for (const auto& [name, count] : fields) RINGMTA_ASSERT(may.contains(name) && count == 1);
}

size_t blank_after(const Lines& lines, size_t from, size_t to) {
  while (from < to && !lines[from].empty()) ++from;
  return from;
}

int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  RINGMTA_ASSERT(c >= 'A' && c <= 'F');
  return c - 'A' + 10;
}

// RFC 2045 6.7, of lines without what may be forgiven.
Lines from_quoted_printable(const Lines& lines, size_t from, size_t to) {
  Lines decoded;
  bool soft = false;
  for (size_t i = from; i < to; ++i) {
    const std::string& line = lines[i];
    RINGMTA_ASSERT(line.size() <= 76 && !line.ends_with(' ') && !line.ends_with('\t'));
    if (!soft) decoded.emplace_back();
    soft = line.ends_with('=');
    for (size_t at = 0; at < line.size() - (soft ? 1 : 0); ++at) {
      const char c = line[at];
      RINGMTA_ASSERT(c == '\t' || (c >= ' ' && c <= '~'));
      if (c != '=') {
        decoded.back() += c;
        continue;
      }
      RINGMTA_ASSERT(at + 2 < line.size());
      decoded.back() += static_cast<char>(digit_of(line[at + 1]) * 16 + digit_of(line[at + 2]));
      at += 2;
    }
  }
  RINGMTA_ASSERT(!soft);
  return decoded;
}

// What comes back stands in the original, line by line from its beginning.
void check_returned(const DsnReport& report, const Lines& returned) {
  std::string all;
  for (const std::string_view piece : report.original) all += piece;
  const Lines original = lines_of(all);
  RINGMTA_ASSERT(returned.size() <= original.size());
  for (size_t i = 0; i < returned.size(); ++i) {
    if (i + 1 == returned.size() && returned[i].empty()) break;  // the delimiter's own
    const bool stuffed = original[i].starts_with('.');
    RINGMTA_ASSERT(returned[i] == (stuffed ? original[i].substr(1) : original[i]));
  }
}

void check_machine_part(const Lines& lines, size_t from, size_t to, size_t recipients) {
  size_t group = 0;
  while (from < to) {
    const size_t end = blank_after(lines, from, to);
    if (end > from) {
      const auto fields = fields_of(lines, from, end);
      if (group == 0) {
        RINGMTA_ASSERT(fields.contains("Reporting-MTA"));
        check_fields(fields, {"Reporting-MTA", "Original-Envelope-Id", "Arrival-Date"});
      } else {
        for (const char* name : {"Final-Recipient", "Action", "Status"}) {
          RINGMTA_ASSERT(fields.contains(name));
        }
        check_fields(fields,
                     {"Original-Recipient", "Final-Recipient", "Action", "Status", "Remote-MTA",
                      "Diagnostic-Code", "Last-Attempt-Date", "Will-Retry-Until"});
      }
      ++group;
    }
    from = end + 1;
  }
  RINGMTA_ASSERT(group == recipients + 1);
}

void check(const DsnReport& report, const DsnMessage& message) {
  const std::string& text = message.content;
  RINGMTA_ASSERT(text.ends_with("\r\n.\r\n"));
  Lines lines = lines_of(text);
  bool eight_bit = false, stuffed = false;
  for (size_t i = 0; i < lines.size(); ++i) {
    for (const char c : lines[i]) {
      RINGMTA_ASSERT(c != '\r' && c != '\n' && c != '\0');
      eight_bit |= (c & 0x80) != 0;
    }
    RINGMTA_ASSERT((lines[i] == ".") == (i + 1 == lines.size()));
    if (i + 1 < lines.size() && lines[i].starts_with('.')) {
      RINGMTA_ASSERT(lines[i].starts_with("..") || !report.original.empty());
      stuffed = true;
    }
  }
  RINGMTA_ASSERT(message.has_eight_bit == eight_bit && message.has_dot_stuffing == stuffed);
  RINGMTA_ASSERT(!eight_bit || message.utf8);  // so that any host can take it
  lines.pop_back();

  const size_t head = blank_after(lines, 0, lines.size());
  const auto fields = fields_of(lines, 0, head);
  check_fields(fields,
               {"Date", "From", "To", "Subject", "Message-ID", "In-Reply-To", "References",
                "Auto-Submitted", "MIME-Version", "Content-Type", "Content-Transfer-Encoding"});
  std::string boundary;
  for (size_t i = 0; i < head; ++i) {
    if (lines[i].starts_with(" boundary=\"")) boundary = lines[i].substr(11, lines[i].size() - 12);
  }
  RINGMTA_ASSERT(!boundary.empty());
  Lines starts;
  std::vector<size_t> marks;
  for (size_t i = head; i < lines.size(); ++i) {
    if (lines[i].starts_with("--" + boundary)) marks.push_back(i);
  }
  RINGMTA_ASSERT(marks.size() == (report.original.empty() ? 3U : 4U));
  RINGMTA_ASSERT(lines[marks.back()] == "--" + boundary + "--" && marks.back() + 1 == lines.size());
  for (size_t part = 0; part + 1 < marks.size(); ++part) {
    RINGMTA_ASSERT(lines[marks[part]] == "--" + boundary);
    const size_t begin = marks[part] + 1;
    const size_t end = marks[part + 1];
    const size_t blank = blank_after(lines, begin, end);
    check_fields(fields_of(lines, begin, blank),
                 {"Content-Description", "Content-Type", "Content-Transfer-Encoding"});
    bool encoded = false;
    for (size_t i = begin; i < blank; ++i) {
      encoded = encoded || lines[i] == "Content-Transfer-Encoding: quoted-printable";
    }
    if (part == 1 && encoded) {
      const Lines clear = from_quoted_printable(lines, blank + 1, end);
      check_machine_part(clear, 0, clear.size(), report.recipients.size());
    } else if (part == 1) {
      check_machine_part(lines, blank + 1, end, report.recipients.size());
    } else if (part == 2 && encoded) {
      check_returned(report, from_quoted_printable(lines, blank + 1, end));
    }
  }
}

// The wire form of a message as the server stores it: proper lines, dots stuffed, closed.
std::string wire_of(std::string_view text) {
  std::string wire;
  bool start = true;
  for (const char c : text) {
    if (c == '\r' || c == '\0') continue;
    if (start && c == '.') wire += '.';
    start = c == '\n';
    wire += c == '\n' ? std::string("\r\n") : std::string(1, c);
  }
  if (!start) wire += "\r\n";
  return wire + ".\r\n";
}

}  // namespace
}  // namespace ringmta::queue

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringmta;
  using namespace ringmta::queue;
  fuzz::Input input(data, size);
  const uint8_t flags = input.byte();
  DsnReport report;
  report.reporting_mta = "relay.example.org";
  report.id = "0A1B2C3D4E5F6";
  report.utf8 = (flags & 1) != 0;
  if ((flags & 2) != 0) report.dsn_return = smtp::DsnReturn::full;
  if ((flags & 4) != 0) report.return_size_max = 100;
  if ((flags & 8) != 0) report.arrival = {1'700'000'000'000};
  report.now = {1'700'000'100'000};
  report.reverse_path = input.until('\x1F');
  if (report.reverse_path.empty()) report.reverse_path = "a@one.example";
  report.envelope_id = input.until('\x1F');
  std::vector<DsnRecipient> recipients(1 + (flags >> 4 & 3));
  for (DsnRecipient& recipient : recipients) {
    const uint8_t kind = input.byte();
    recipient.action = static_cast<DsnAction>(kind % 5);
    recipient.status = {static_cast<uint8_t>(kind >> 4), kind, static_cast<uint16_t>(kind / 3)};
    if ((kind & 8) != 0) recipient.last_attempt = report.now;
    if ((kind & 16) != 0) recipient.retry_until = report.now;
    recipient.address = input.until('\x1F');
    recipient.original_recipient = input.until('\x1F');
    recipient.remote_mta = input.until('\x1F');
    recipient.diagnostic = input.until('\x1F');
    recipient.reason = input.until('\x1F');
  }
  report.recipients = recipients;
  const std::string original = input.empty() ? std::string() : wire_of(input.rest());
  // In two pieces, as the spool keeps trace lines and content.
  const std::string_view pieces[] = {std::string_view(original).substr(0, original.size() / 3),
                                     std::string_view(original).substr(original.size() / 3)};
  if (!original.empty()) report.original = pieces;
  check(report, build_dsn(report));
  return 0;
}
