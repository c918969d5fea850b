// SPDX-License-Identifier: GPL-3.0-or-later
// Checks one message against the digest in it while it arrives. It needs memory only for the header
// up to the digest line (and refuses to look further than kHeaderMax for it); the rest goes
// straight through the hash.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "tools/common/digest.h"

namespace ringmta::tools {

enum class Verdict : uint8_t {
  unmarked,  // no X-Load-Id: not from the load
  good,
  corrupt  // something after the X-Load-Id line differs from what the load sent
};

class MessageChecker final {
 public:
  static constexpr size_t kHeaderMax = 64 * 1024;

  void start();
  void feed(std::string_view content);  // in wire form without stuffing
  Verdict finish();

  // Valid after finish() answered good or corrupt, until start().
  std::string_view run() const { return run_; }
  uint64_t index() const { return index_; }
  uint32_t recipients() const { return recipients_; }

 private:
  enum class State : uint8_t { header, hashing, unmarked };
  size_t scan_header();
  bool parse_id(std::string_view text);

  State state_ = State::header;
  std::string header_;
  size_t scanned_ = 0;  // of header_: whole lines looked at
  size_t id_line_ = 0;
  bool has_id_ = false;
  std::string run_;
  uint64_t index_ = 0;
  uint32_t recipients_ = 0;
  DigestValue expected_;
  Digest digest_;
};

}  // namespace ringmta::tools
