// SPDX-License-Identifier: GPL-3.0-or-later
// Body canonicalization, "simple" and "relaxed" (RFC 6376 3.4.3, 3.4.4), over the wire form in
// pieces of any size.
//
// Two parts: a scan for the next octet that canonicalization might change (a vector of 16 octets at
// a time where the CPU has SSE2), whose answer is "the run up to here goes into the hash as it is",
// and a state machine for the octets in between. The run never ends inside a line end, since
// whether a line end counts is known only when something follows it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ringmta/dkim/content_hasher.h"
#include "sha256.h"

namespace ringmta::dkim {

// Octets at the front of `text` that canonicalization leaves as they are, whatever follows `text`.
// `text` begins inside a line. The plain one is for other CPUs and for tests.
size_t unchanged_run(std::string_view text, Canonicalization which);
size_t unchanged_run_plain(std::string_view text, Canonicalization which);

class BodyCanonicalizer final {
 public:
  explicit BodyCanonicalizer(Canonicalization which) : which_(which) {}

  void begin();
  void append(std::string_view wire);
  void finish(Digest& into);

 private:
  template <Canonicalization kWhich>
  void append_as(std::string_view wire);
  template <Canonicalization kWhich>
  void step(char c, HashSink& sink);
  void emit(char c, HashSink& sink);

  Canonicalization which_;
  bool any_ = false;              // something was hashed
  bool line_start_ = true;        // the next octet begins a line of the wire form
  bool carriage_return_ = false;  // seen, and what follows is not known yet
  bool space_ = false;            // white space seen, not hashed yet (relaxed)
  uint64_t line_ends_ = 0;        // CRLFs seen, not hashed yet
  Sha256Hash hash_;
};

}  // namespace ringmta::dkim
