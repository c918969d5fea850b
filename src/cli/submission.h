// SPDX-License-Identifier: GPL-3.0-or-later
// One message handed in over one SMTP connection, by the relay's own client state machine on a
// blocking socket.
#pragma once

#include <string>
#include <vector>

#include "message.h"
#include "ringmta/base/result.h"
#include "ringmta/base/time.h"
#include "ringmta/smtp/reply.h"

namespace ringmta::cli {

struct Submission {
  std::string server;    // "mail.example.org:25", "127.0.0.1:2525"
  std::string hostname;  // for EHLO
  std::string from;      // empty: the null reverse-path
  std::vector<std::string> to;
  uint8_t notify = 0;  // smtp::Notify, for every recipient
  WireForm content;
  Milliseconds timeout = minutes(5);  // for each thing the server owes
};

struct SubmissionVerdict {
  std::string address;
  smtp::Reply reply;  // code 0: our own words about a connection that broke
};

// One verdict per recipient, in their order; an error when the server cannot be reached at all.
Result<std::vector<SubmissionVerdict>> submit(const Submission& submission);

}  // namespace ringmta::cli
