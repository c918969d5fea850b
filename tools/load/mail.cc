// SPDX-License-Identifier: GPL-3.0-or-later
// Messages from templates: which one, to whom, and the fields of its head.
#include "tools/load/mail.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <utility>

#include "ringmta/base/bytes.h"
#include "ringmta/base/prng.h"
#include "tools/common/digest.h"
#include "tools/common/dot_stream.h"
#include "tools/common/process.h"
#include "tools/load/templates.h"

namespace ringmta::tools {
namespace {

constexpr uint32_t kTemplates = 256;
constexpr uint32_t kMixTemplates = 512;
// All templates together, about: large messages need no hundreds of different contents.
constexpr uint64_t kTemplateOctets = 32U << 20;
constexpr uint64_t kTemplatesMin = 8;
constexpr size_t kOrdinalDigits = 4;
constexpr uint32_t kSizeMax = 1U << 30;

uint64_t scramble(uint64_t z) {  // splitmix64's output function: neighbours become strangers
  z = (z + 0x9E3779B97F4A7C15ULL) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

uint64_t reduce(uint64_t random, uint64_t bound) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>((static_cast<Wide>(random) * bound) >> 64);
}

void write_digits(char* to, size_t width, uint64_t value) {
  for (size_t i = width; i-- > 0;) {
    to[i] = static_cast<char>('0' + value % 10);
    value /= 10;
  }
}

uint32_t template_size(const SizeRange& range, Prng& prng) {
  if (!range.mix) {
    return range.low + static_cast<uint32_t>(prng.below(uint64_t{range.high} - range.low + 1));
  }
  struct Share {
    uint32_t percent;
    uint32_t low;
    uint32_t high;
  };
  constexpr Share kNewsletter[] = {{30, 2'000, 5'000},
                                   {35, 5'000, 20'000},
                                   {25, 20'000, 60'000},
                                   {8, 60'000, 120'000},
                                   {2, 120'000, 200'000}};
  uint64_t roll = prng.below(100);
  for (const Share& share : kNewsletter) {
    if (roll < share.percent)
      return share.low + static_cast<uint32_t>(prng.below(share.high - share.low));
    roll -= share.percent;
  }
  return 2'000;
}

bool has_eight_bit(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) >= 128; });
}

Result<uint32_t> parse_size(std::string_view text) {
  uint64_t factor = 1;
  if (text.ends_with('k') || text.ends_with('K')) factor = 1024;
  if (text.ends_with('M') || text.ends_with('m')) factor = 1024 * 1024;
  if (factor > 1) text.remove_suffix(1);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > kSizeMax / factor) {
    return fail(fmt::format(
        "'{}' is not a size; write octets such as 1024, 10k or 2M, at most 1024M", text));
  }
  return static_cast<uint32_t>(value * factor);
}

}  // namespace

Result<SizeRange> parse_size_range(std::string_view text) {
  if (text == "mix") return SizeRange{2'000, 200'000, true};
  const size_t dash = text.find('-');
  const auto low = parse_size(text.substr(0, dash));
  if (!low) return std::unexpected(low.error());
  const auto high = dash == std::string_view::npos ? low : parse_size(text.substr(dash + 1));
  if (!high) return std::unexpected(high.error());
  if (*high < *low) return fail(fmt::format("size range '{}' must go upwards", text));
  return SizeRange{*low, *high, false};
}

std::string date_text(int64_t unix_seconds) {
  constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const time_t time = unix_seconds;
  tm parts{};
  gmtime_r(&time, &parts);
  return fmt::format("{}, {:02} {} {:04} {:02}:{:02}:{:02} +0000", kDays[parts.tm_wday],
                     parts.tm_mday, kMonths[parts.tm_mon], parts.tm_year + 1900, parts.tm_hour,
                     parts.tm_min, parts.tm_sec);
}

std::string with_crlf(std::string_view text) {
  std::string result;
  result.reserve(text.size() + text.size() / 32 + 2);
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r') {
      result += "\r\n";
      if (i + 1 < text.size() && text[i + 1] == '\n') ++i;
    } else if (text[i] == '\n') {
      result += "\r\n";
    } else {
      result += text[i];
    }
  }
  if (!result.empty() && !result.ends_with("\r\n")) result += "\r\n";
  return result;
}

Result<MailSource> MailSource::create(const MailOptions& options) {
  const auto allowed = [](char c) {
    return (c >= '0' && c <= '9') || (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') || c == '_';
  };
  if (options.run.empty() || options.run.size() > kRunLengthMax ||
      !std::all_of(options.run.begin(), options.run.end(), allowed)) {
    return fail(fmt::format("run name '{}' must be 1 to {} letters, digits or underscores",
                            options.run, kRunLengthMax));
  }
  if (options.recipients < 1 || options.recipients > kRecipientsMax / 2) {
    return fail(fmt::format("recipients per message must be between 1 and {}", kRecipientsMax / 2));
  }
  if (options.domains < 1 || options.domains > 10'000'000) {
    return fail("the number of domains must be between 1 and 10000000");
  }
  MailSource source(options);
  while (std::pow(10, source.domain_digits_) < options.domains) ++source.domain_digits_;
  if (!options.directory.empty()) {
    if (auto status = source.read_directory(); !status) return std::unexpected(status.error());
    return source;
  }
  const uint64_t mean = (uint64_t{options.size.low} + options.size.high) / 2 + 1;
  const uint64_t count =
      options.size.mix ? kMixTemplates
                       : std::clamp<uint64_t>(kTemplateOctets / mean, kTemplatesMin, kTemplates);
  Prng prng(options.seed);
  for (uint64_t i = 0; i < count; ++i) {
    const uint32_t size = template_size(options.size, prng);
    source.templates_.push_back(
        compose_template(options, prng.next(), size, source.recipient_length()));
    MailTemplate& mail = source.templates_.back();
    mail.stuffed_body = dot_stuffed(mail.body);
    if (mail.stuffed_body.size() == mail.body.size()) mail.stuffed_body = {};
  }
  return source;
}

Status MailSource::read_directory() {
  std::error_code error;
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(options_.directory, error)) {
    if (entry.path().extension() == ".eml") paths.push_back(entry.path().string());
  }
  if (error)
    return fail_errno(fmt::format("cannot read directory {}", options_.directory), error.value());
  if (paths.empty()) {
    return fail(
        fmt::format("no .eml file in {}; give a directory of messages", options_.directory));
  }
  std::sort(paths.begin(), paths.end());
  for (const std::string& path : paths) {
    const auto text = read_whole_file(path);
    if (!text) return std::unexpected(text.error());
    MailTemplate mail;
    if (options_.stamp) mail = compose_stamp(options_);
    mail.body = with_crlf(*text);
    mail.stuffed_body = dot_stuffed(mail.body);
    if (mail.stuffed_body.size() == mail.body.size()) mail.stuffed_body = {};
    mail.eight_bit = has_eight_bit(mail.body);
    mail.utf8_header =
        has_eight_bit(std::string_view(mail.body).substr(0, mail.body.find("\r\n\r\n")));
    templates_.push_back(std::move(mail));
  }
  return {};
}

MailPlan MailSource::plan(uint64_t index, bool eight_bit_allowed) const {
  MailPlan plan;
  plan.index = index;
  const uint64_t random = scramble(scramble(index) ^ options_.seed);
  if (options_.recipients > 1) {
    plan.recipients =
        1 + static_cast<uint32_t>(reduce(scramble(random), 2 * options_.recipients - 1));
  }
  if (from_files()) {
    plan.mail = &templates_[index % templates_.size()];
    return plan;
  }
  size_t number = reduce(random, templates_.size());
  for (size_t tries = 0;
       !eight_bit_allowed && templates_[number].eight_bit && tries < templates_.size(); ++tries) {
    number = (number + 1) % templates_.size();
  }
  plan.mail = &templates_[number];
  return plan;
}

// r000000001234-0001@load.test or, with several domains, ...@d07.load.test
size_t MailSource::recipient_length() const {
  const size_t domain =
      options_.domains > 1 ? options_.domain.size() + domain_digits_ + 2 : options_.domain.size();
  return 1 + kIndexDigits + 1 + kOrdinalDigits + 1 + domain;
}

void MailSource::append_recipient(uint64_t index, uint32_t ordinal, std::string& to) const {
  char digits[kIndexDigits];
  to += 'r';
  write_digits(digits, kIndexDigits, index);
  to.append(digits, kIndexDigits);
  to += '-';
  write_digits(digits, kOrdinalDigits, ordinal);
  to.append(digits, kOrdinalDigits);
  to += '@';
  if (options_.domains > 1) {
    const uint64_t random = scramble(scramble(index * kRecipientsMax + ordinal) ^ ~options_.seed);
    to += 'd';
    write_digits(digits, domain_digits_, reduce(random, options_.domains));
    to.append(digits, domain_digits_);
    to += '.';
  }
  to += options_.domain;
}

void MailSource::append_recipient(const MailPlan& plan, uint32_t ordinal, std::string& to) const {
  append_recipient(plan.index, ordinal, to);
}

void MailSource::append_head(const MailPlan& plan, std::string_view date, std::string& to) const {
  const MailTemplate& mail = *plan.mail;
  if (mail.head.empty()) return;
  const size_t start = to.size();
  if (mail.recipient_field == MailTemplate::kAbsent) {
    to += mail.head;
  } else {
    to.append(mail.head, 0, mail.recipient_field);
    append_recipient(plan.index, 0, to);
    to.append(mail.head, to.size() - start);
  }
  char* head = to.data() + start;
  for (const uint32_t field : mail.index_fields)
    write_digits(head + field, kIndexDigits, plan.index);
  write_digits(head + mail.recipients_field, kRecipientsDigits, plan.recipients);
  if (mail.date_field != MailTemplate::kAbsent) {
    std::memcpy(head + mail.date_field, date.data(), kDateLength);
  }
  Digest digest;
  digest.update({head, mail.digest_line});
  digest.update({head + mail.digest_line_end, mail.head.size() - mail.digest_line_end});
  digest.update(mail.body);
  const DigestText text = to_text(digest.value());
  std::memcpy(head + mail.digest_field, text.data(), text.size());
}

double MailSource::mean_size() const {
  double total = 0;
  for (const MailTemplate& mail : templates_) total += static_cast<double>(mail.size());
  return templates_.empty() ? 0 : total / static_cast<double>(templates_.size());
}

}  // namespace ringmta::tools
