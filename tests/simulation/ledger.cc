// SPDX-License-Identifier: GPL-3.0-or-later
// Contents that carry their number, and the judgement over a run.
#include "ledger.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "ringmta/base/prng.h"

namespace ringmta::simulation {

namespace {

constexpr std::string_view kMark = "X-Number: ";
constexpr std::string_view kLines[] = {".",
                                       "..",
                                       ".a line with a dot",
                                       "a line",
                                       "",
                                       "QUIT",
                                       "a\tb",
                                       "trail ",
                                       "From here",
                                       "\xC3\xBC\xF0\x9F",
                                       "..",
                                       "MAIL FROM:<x@y.z>",
                                       ". CRLF",
                                       "ends in a dot."};

std::string at_text(Monotonic time) {
  return fmt::format("{:.3f} s", static_cast<double>(time.ns) / 1e9);
}

}  // namespace

std::string Ledger::make_content(uint32_t number, size_t size, uint64_t seed) {
  Prng random(seed + number);
  std::string content = fmt::format(
      "{}{}\r\nFrom: sender <s@sender.sim>\r\nSubject: message {}\r\nMIME-Version: 1.0\r\n\r\n",
      kMark, number, number);
  while (content.size() < size) {
    if (random.below(4) == 0) {
      content += kLines[random.below(std::size(kLines))];
    } else {
      content.append(random.below(random.below(20) == 0 ? 3000 : 78),
                     static_cast<char>('a' + random.below(26)));
    }
    content += "\r\n";
  }
  return content;
}

uint32_t Ledger::number_in(std::string_view content) {
  size_t at = content.starts_with(kMark) ? 0 : content.find("\r\n" + std::string(kMark));
  if (at == std::string_view::npos) return UINT32_MAX;
  if (at > 0) at += 2;
  uint32_t number = UINT32_MAX;
  const char* begin = content.data() + at + kMark.size();
  std::from_chars(begin, content.data() + content.size(), number);
  return number;
}

Mail* Ledger::find(uint32_t number) { return number < mails.size() ? &mails[number] : nullptr; }

Recipient* Ledger::find(uint32_t number, std::string_view address) {
  Mail* mail = find(number);
  if (mail == nullptr) return nullptr;
  for (Recipient& recipient : mail->recipients) {
    if (recipient.address == address) return &recipient;
  }
  return nullptr;
}

void Ledger::took(uint32_t number, std::string_view address, std::string_view content,
                  Monotonic at) {
  Recipient* recipient = find(number, address);
  if (recipient == nullptr) {
    oddities.push_back(fmt::format("a host took message {} for <{}>, who is none of its recipients",
                                   number, address));
    return;
  }
  const bool whole = content.ends_with(mails[number].content);
  recipient->copies.push_back({at, whole, false});
}

void Ledger::confirm(uint32_t number, std::string_view address) {
  Recipient* recipient = find(number, address);
  if (recipient != nullptr && !recipient->copies.empty()) recipient->copies.back().confirmed = true;
}

void Ledger::confirm_notice(uint32_t number, std::string_view address) {
  Recipient* recipient = find(number, address);
  if (recipient != nullptr && !recipient->notices.empty()) {
    recipient->notices.back().confirmed = true;
  }
}

void Ledger::notified(uint32_t number, std::string_view address, Monotonic at) {
  if (Recipient* recipient = find(number, address)) {
    recipient->notices.push_back({at, true, false});
  } else {
    oddities.push_back(fmt::format(
        "a notice about message {} and <{}>, who is none of its recipients", number, address));
  }
}

void Ledger::judge(const Mail& mail, const Recipient& recipient, Milliseconds window,
                   std::vector<std::string>& found) const {
  const auto tell = [&](const std::string& what) {
    found.push_back(fmt::format("message {} for <{}>: {}", mail.number, recipient.address, what));
  };
  for (const Copy& copy : recipient.copies) {
    if (!copy.whole) tell("arrived, but not as it was submitted");
  }
  const auto forgotten = [&](Monotonic at) {  // its outcome need not have been on disk
    return std::ranges::any_of(
        crashes, [&](Monotonic crash) { return crash >= at && crash - at <= window; });
  };
  // All but the last must be such as the relay need not know of.
  const auto too_many = [&](const std::vector<Copy>& copies) {
    size_t known = 0;
    for (const Copy& copy : copies) {
      if (copy.confirmed && !forgotten(copy.at)) ++known;
    }
    if (known == 0) return false;
    return known > 1 || !copies.back().confirmed || forgotten(copies.back().at);
  };
  const auto times = [](const std::vector<Copy>& copies) {
    std::string all;
    for (const Copy& copy : copies) {
      all += fmt::format(" {}{}", at_text(copy.at), copy.confirmed ? "" : " (unconfirmed)");
    }
    return all;
  };
  if (spool_rotten) return judge_loss(mail, recipient, found);
  if (too_many(recipient.copies)) tell("delivered several times:" + times(recipient.copies));
  if (too_many(recipient.notices)) {
    tell("its sender was told several times that it failed:" + times(recipient.notices));
  }
  const bool delivered = std::ranges::any_of(
      recipient.copies, [&](const Copy& copy) { return copy.confirmed && !forgotten(copy.at); });
  if (delivered && !recipient.notices.empty()) {
    tell("delivered, and yet its sender was told that it failed");
  }
  judge_loss(mail, recipient, found);
  switch (mail.fate) {
    case Mail::Fate::refused:
      if (!recipient.copies.empty()) tell("refused, and yet delivered");
      break;
    case Mail::Fate::unsent:
      if (!recipient.copies.empty()) tell("never handed in, and yet delivered");
      break;
    case Mail::Fate::kept:
    case Mail::Fate::unknown:
      break;
  }
}

// What the disk has changed cannot be delivered, but never without a word.
void Ledger::judge_loss(const Mail& mail, const Recipient& recipient,
                        std::vector<std::string>& found) const {
  if (mail.fate != Mail::Fate::kept || !recipient.copies.empty() || !recipient.notices.empty()) {
    return;
  }
  const bool damaged = mail.rotten || spool_rotten;
  if (damaged && damage_reported) return;
  found.push_back(fmt::format(
      "message {} for <{}>: LOST{}: acknowledged at {}, and nothing came of it", mail.number,
      recipient.address, damaged ? " without a word about the damage" : "", at_text(mail.decided)));
}

std::vector<std::string> Ledger::violations(Milliseconds window) const {
  std::vector<std::string> found = oddities;
  for (const Mail& mail : mails) {
    for (const Recipient& recipient : mail.recipients) judge(mail, recipient, window, found);
  }
  return found;
}

}  // namespace ringmta::simulation
