// SPDX-License-Identifier: GPL-3.0-or-later
// The truth about every message of a run, kept by those outside the relay: what was sent, what was
// answered, what arrived where. The checks at the end of a run read nothing else.
//
// The insight: a promise is checked by who was promised. The submitter knows what it got a 250 for;
// the hosts know what they took and whether their own 250 can have been lost. Everything between is
// the relay's affair.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ringmta/base/time.h"

namespace ringmta::simulation {

// One copy that a host took responsibility for.
struct Copy {
  Monotonic at{};
  bool whole = true;  // what was submitted, octet for octet
  // The relay has seen the 250 for it: it said QUIT later on the same connection. What it has not
  // seen for sure it may rightly deliver again.
  bool confirmed = false;
};

struct Recipient {
  std::string address;
  std::vector<Copy> copies;
  std::vector<Copy> notices;  // to the sender, that it failed (bounced or expired)
};

struct Mail {
  enum class Fate : uint8_t {
    unsent,   // not handed in yet
    unknown,  // the connection ended before its reply
    kept,     // 250: the relay's from then on
    refused   // 4xx or 5xx: must never arrive anywhere
  };
  uint32_t number = 0;
  std::string sender;
  std::vector<Recipient> recipients;
  std::string content;  // with CRLF, not dot-stuffed
  bool chunked = false;
  bool pipelined = false;
  Fate fate = Fate::unsent;
  std::string reply;  // that decided it
  Monotonic decided{};
  bool rotten = false;  // the disk has changed what it stores of it
};

class Ledger final {
 public:
  // A content of its own for each number: `size` octets or so, with lines a relay may stumble over.
  static std::string make_content(uint32_t number, size_t size, uint64_t seed);
  // The number in a content that came out of the relay; UINT32_MAX: it is none of ours.
  static uint32_t number_in(std::string_view content);

  Mail* find(uint32_t number);
  Recipient* find(uint32_t number, std::string_view address);
  // Takes a copy down and returns its place for confirm().
  void took(uint32_t number, std::string_view address, std::string_view content, Monotonic at);
  void confirm(uint32_t number, std::string_view address);  // the last copy
  void notified(uint32_t number, std::string_view address, Monotonic at);
  void confirm_notice(uint32_t number, std::string_view address);
  void crashed(Monotonic at) { crashes.push_back(at); }
  void note_fault(std::string what) { ++struck[std::move(what)]; }

  // Something of what the spool stores is not what was written any more: copies may be doubled, and
  // what is lost must have been reported.
  bool spool_rotten = false;
  bool damage_reported = false;

  // What no run may show, in sentences. `window`: how long before a crash an outcome may be lost.
  std::vector<std::string> violations(Milliseconds window) const;

  std::vector<Mail> mails;  // by number
  std::vector<Monotonic> crashes;
  std::map<std::string, uint64_t> struck;  // faults, by name
  std::vector<std::string>
      oddities;  // seen on the way by hosts and submitters; each is a violation

 private:
  void judge(const Mail& mail, const Recipient& recipient, Milliseconds window,
             std::vector<std::string>& found) const;
  void judge_loss(const Mail& mail, const Recipient& recipient,
                  std::vector<std::string>& found) const;
};

}  // namespace ringmta::simulation
