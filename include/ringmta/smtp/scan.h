// SPDX-License-Identifier: GPL-3.0-or-later
// The content scanner: finds the end of a message and everything that must not pass, 64 octets at a
// time.
//
// The insight (Langdale and Lemire, "Parsing gigabytes of JSON per second", 2019): compare 64
// octets at once and let the results be bits of machine words. "A CR is followed by LF, and an LF
// preceded by CR" is then one shift and one exclusive or for the whole block; "a dot that begins a
// line" one shift and one and. Between two blocks only single bits are carried, so the result is
// the same however the input was cut into pieces.
//
// End of data is exactly CR LF "." CR LF (RFC 5321 4.1.1.4), where the beginning of the content
// counts as behind a CRLF. Bare CR, bare LF and NUL are faults (RFC 5321 2.3.8): what other servers
// might read as a line end never gets through. After a fault scanning goes on, so that the rest of
// a refused message is not taken for commands.
//
// Measured by bench/bench_scan.cc on one core of an AMD EPYC (Zen 4) shared with other work, octets
// per second of CPU time: 1 KB messages (half of them header) 5.9 GB/s, 10 KB 14.5 GB/s, 1 MB
// 17.9 GB/s with AVX-512; 15 GB/s with AVX2 and 4.5 GB/s with plain arithmetic at 1 MB. memchr for
// LF alone: 12 GB/s.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ringmta::smtp {

// What the header section of the content said, known at `message_end`.
struct HeaderFacts {
  bool has_date = false;
  bool has_message_id = false;
  bool has_from = false;
  bool has_eight_bit = false;  // any octet above 127, anywhere in the message
  bool has_dot_stuffing =
      false;  // some content line begins with a dot: the wire form differs from the content
  uint32_t received_count = 0;
};

// How blocks are compared. The best one this processor has is chosen at start-up; tests name each.
enum class ScanKernel : uint8_t { portable, avx2, avx512 };
bool supported(ScanKernel kernel);
ScanKernel best_scan_kernel();
std::string_view to_text(ScanKernel kernel);

enum class Framing : uint8_t {
  dots,    // DATA: ends by itself, lines that begin with a dot have one more in front
  counted  // BDAT: ends where the caller says, nothing is stuffed
};

// Where two apply to one octet, the first in this order is told; of several octets, the first one.
enum class ContentFault : uint8_t { none, bare_cr, nul, bare_lf, line_too_long };

class ScanKernelFunctions;  // private: src/smtp/scan_kernel.h

class ContentScanner final {
 public:
  explicit ContentScanner(ScanKernel kernel = best_scan_kernel());

  // `line_length_max`: octets of a content line without its CRLF (and without a stuffed dot); 0:
  // any length.
  void start(Framing framing, uint32_t line_length_max = 0);
  // The caller has ended the header section itself (the content does not begin with one).
  void skip_header() { in_header_ = false; }

  enum class Event : uint8_t {
    more,  // all of the input is content
    dot,   // counted only: the last octet consumed is a dot that begins a line and must be doubled
    end    // dots only: the last octet consumed is the last of CRLF.CRLF
  };
  struct Step {
    size_t consumed = 0;
    Event event = Event::more;
  };
  Step scan(std::string_view input);
  // counted: the content is over (a CR may be waiting for its LF).
  void finish();

  ContentFault fault() const { return fault_; }
  // Of the content so far: without stuffed dots and the closing ".CRLF".
  uint64_t octets() const { return total_ - stuffed_ - (ended_ ? 2 : carry_dot_cr_); }
  // Nothing yet, or the last two octets were CRLF.
  bool at_line_start() const { return carry_line_start_ != 0; }
  uint32_t received_count() const { return facts_.received_count; }
  HeaderFacts facts() const;

 private:
  static constexpr size_t kNameMax = 12;  // octets of a line looked at: "Message-ID" and a bit

  struct Block;
  size_t take_block(const char* at, const Block& block, std::string_view rest, Event& event);
  void take_header_lines(const char* at, uint64_t starts, const char* end);
  void look_at_name(const char* at, size_t length);
  void close_name();
  uint64_t too_long(const Block& block, uint64_t starts, uint64_t stuffed, size_t used);

  const ScanKernelFunctions* kernel_;
  uint64_t total_ = 0;    // octets consumed
  uint64_t stuffed_ = 0;  // dots at line starts, with Framing::dots
  // One bit each: the last octet consumed was a CR; the next one begins a line; the last one began
  // a line; the last one was a dot that began a line; the last two were such a dot and a CR.
  uint64_t carry_cr_ = 0, carry_line_start_ = 1, carry_started_ = 0, carry_dot_ = 0,
           carry_dot_cr_ = 0;
  int64_t line_octets_ = 0;  // of the line in arrival; kept only with a limit
  uint32_t line_length_max_ = 0;
  Framing framing_ = Framing::dots;
  ContentFault fault_ = ContentFault::none;
  bool in_header_ = true;
  bool ended_ = false;
  HeaderFacts facts_{};
  uint8_t name_length_ = 0;  // octets in name_; only while a line's beginning was cut
  bool name_open_ = false;
  char name_[kNameMax] = {};
};

}  // namespace ringmta::smtp
