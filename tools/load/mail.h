// SPDX-License-Identifier: GPL-3.0-or-later
// Where the load's messages come from: made up (realistic MIME mail) or read from files.
//
// The insight: a generator that must outrun the relay cannot compose mail per message. A few
// hundred templates are made once; every field that changes from message to message (ids, date,
// recipient, digest) has a fixed width and a known place in the first octets of the message, the
// head. Making a message is then a copy of the head (under 1 KB), some patches and one pass of the
// digest; the rest of the body is never copied, it goes to the socket from the template.
//
// Same seed, run, date and index: same message, whichever thread makes it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ringmta/base/result.h"

namespace ringmta::tools {

inline constexpr uint32_t kRecipientsMax = 1000;  // per message

struct SizeRange {
  uint32_t low = 1024;
  uint32_t high = 1024;
  bool mix = false;  // the newsletter distribution: 2 KB to 200 KB, mostly small
};
// "1024", "1000-20000" or "mix"; sizes may end in k or M.
Result<SizeRange> parse_size_range(std::string_view text);

struct MailOptions {
  std::string run = "run";  // at most kRunLengthMax characters of A-Z a-z 0-9 _
  uint64_t seed = 1;
  SizeRange size;
  uint32_t recipients = 1;  // on average; between 1 and twice that less one
  uint32_t domains = 1;
  std::string domain = "load.test";
  std::string from = "newsletter@sender.test";
  std::string directory;  // not empty: the .eml files in it instead of made-up mail
  bool stamp = false;     // put the X-Load lines in front of files too
};

// One message kind. `head` + `body` is the message without stuffing.
struct MailTemplate {
  static constexpr uint32_t kAbsent = UINT32_MAX;

  std::string head;  // with fields to be filled in; has no line that begins with a dot
  std::string body;
  std::string stuffed_body;  // empty when it equals `body`
  // Where the fields are in `head`.
  std::vector<uint32_t> index_fields;  // 12 decimal digits
  uint32_t recipients_field = kAbsent;
  uint32_t digest_line = kAbsent;
  uint32_t digest_field = kAbsent;
  uint32_t digest_line_end = kAbsent;
  uint32_t date_field = kAbsent;
  uint32_t recipient_field = kAbsent;  // the first recipient's address
  bool eight_bit = false;              // needs 8BITMIME
  bool utf8_header = false;            // needs SMTPUTF8

  std::string_view wire_body() const {
    return stuffed_body.empty() ? std::string_view(body) : std::string_view(stuffed_body);
  }
  size_t size() const { return head.size() + body.size(); }
};

// What message number `index` is; cheap, made anew whenever needed.
struct MailPlan {
  uint64_t index = 0;
  const MailTemplate* mail = nullptr;
  uint32_t recipients = 1;
};

// Immutable once made: shared by all threads.
class MailSource final {
 public:
  static Result<MailSource> create(const MailOptions& options);

  // Without `eight_bit_allowed` (the peer has no 8BITMIME) a 7-bit template takes the place of an
  // 8-bit one. Files are sent as they are.
  MailPlan plan(uint64_t index, bool eight_bit_allowed) const;
  // Appends the address of one recipient (0 <= ordinal < plan.recipients).
  void append_recipient(const MailPlan& plan, uint32_t ordinal, std::string& to) const;
  // Appends the head with its fields filled in; `date` is from date_text().
  void append_head(const MailPlan& plan, std::string_view date, std::string& to) const;

  const std::string& from() const { return options_.from; }
  const std::string& run() const { return options_.run; }
  size_t template_count() const { return templates_.size(); }
  bool from_files() const { return !options_.directory.empty(); }
  double mean_size() const;

 private:
  explicit MailSource(MailOptions options) : options_(std::move(options)) {}
  Status read_directory();
  void append_recipient(uint64_t index, uint32_t ordinal, std::string& to) const;
  size_t recipient_length() const;

  MailOptions options_;
  std::vector<MailTemplate> templates_;
  uint32_t domain_digits_ = 1;
};

// RFC 5322 date, always 31 characters: "Tue, 24 Nov 2026 03:41:39 +0000".
inline constexpr size_t kDateLength = 31;
std::string date_text(int64_t unix_seconds);

// Line ends of any kind to CRLF, and one at the end of a message that is not empty.
std::string with_crlf(std::string_view text);

}  // namespace ringmta::tools
