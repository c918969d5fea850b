// SPDX-License-Identifier: GPL-3.0-or-later
// The content scanner: what the bits of a block mean. The comparisons themselves are in
// scan_portable.cc, scan_avx2.cc and scan_avx512.cc.
//
// Most of a message is skimmed by the kernel without coming here. What does come here, block by
// block: the header section (its lines are looked at), blocks with a dot at a line start, faults,
// and the last octets of each piece of input.
#include "ringmta/smtp/scan.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "ringmta/base/assert.h"
#include "ringmta/base/bytes.h"
#include "scan_kernel.h"

namespace ringmta::smtp {
namespace {

const ScanKernelFunctions& functions(ScanKernel kernel) {
#if defined(__x86_64__)
  if (kernel == ScanKernel::avx512) return kScanAvx512;
  if (kernel == ScanKernel::avx2) return kScanAvx2;
#endif
  RINGMTA_ASSERT(kernel == ScanKernel::portable);
  return kScanPortable;
}

// Bits 0 to `position`.
uint64_t up_to(unsigned position) { return ~uint64_t{0} >> (63 - position); }

unsigned lowest(uint64_t bits) { return static_cast<unsigned>(std::countr_zero(bits)); }

// "Name:" in any case, with as many blanks before the colon (RFC 5322 4.5) as are in sight.
bool is_field(const char* at, size_t length, std::string_view name) {
  if (length < name.size()) return false;
  const std::string_view given(at, name.size());
  if (given != name && !equals_ignoring_case(given, name)) return false;
  for (size_t i = name.size(); i < length; ++i) {
    if (at[i] == ':') return true;
    if (at[i] != ' ' && at[i] != '\t') return false;
  }
  return false;
}

}  // namespace

bool supported(ScanKernel kernel) {
#if defined(__x86_64__)
  if (kernel == ScanKernel::avx512) {
    return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0;
  }
  if (kernel == ScanKernel::avx2) return __builtin_cpu_supports("avx2") != 0;
#endif
  return kernel == ScanKernel::portable;
}

ScanKernel best_scan_kernel() {
  static const ScanKernel best = supported(ScanKernel::avx512) ? ScanKernel::avx512
                                 : supported(ScanKernel::avx2) ? ScanKernel::avx2
                                                               : ScanKernel::portable;
  return best;
}

std::string_view to_text(ScanKernel kernel) {
  if (kernel == ScanKernel::avx512) return "avx512";
  return kernel == ScanKernel::avx2 ? "avx2" : "portable";
}

struct ContentScanner::Block : ScanMasks {
  unsigned length = 0;  // 1 to 64
};

ContentScanner::ContentScanner(ScanKernel kernel) : kernel_(&functions(kernel)) {}

void ContentScanner::start(Framing framing, uint32_t line_length_max) {
  total_ = stuffed_ = 0;
  carry_cr_ = carry_started_ = carry_dot_ = carry_dot_cr_ = 0;
  carry_line_start_ = 1;
  line_octets_ = 0;
  line_length_max_ = line_length_max;
  framing_ = framing;
  fault_ = ContentFault::none;
  in_header_ = true;
  ended_ = false;
  facts_ = {};
  name_length_ = 0;
  name_open_ = false;
}

ContentScanner::Step ContentScanner::scan(std::string_view input) {
  if (input.empty()) return {};
  const char* at = input.data();
  const char* const end = at + input.size();
  if (name_open_) {
    const size_t more = std::min(kNameMax - name_length_, input.size());
    std::memcpy(name_ + name_length_, at, more);
    name_length_ = static_cast<uint8_t>(name_length_ + more);
    if (name_length_ == kNameMax) close_name();
  }
  Event event = Event::more;
  while (at != end && event == Event::more) {
    const bool calm = !in_header_ && line_length_max_ == 0 && fault_ == ContentFault::none &&
                      (carry_dot_ | carry_dot_cr_) == 0;
    if (calm) {
      SkimState state{carry_cr_, carry_line_start_, 0};
      const char* const reached = kernel_->skim(at, end, state);
      carry_cr_ = state.cr;
      carry_line_start_ = state.line_start;
      carry_started_ = 0;  // asked for in the header section only
      facts_.has_eight_bit = facts_.has_eight_bit || state.high != 0;
      total_ += static_cast<size_t>(reached - at);
      at = reached;
      if (at == end) break;
    }
    Block block;
    const auto left = static_cast<size_t>(end - at);
    if (left >= kScanBlock) {
      block.length = kScanBlock;
      kernel_->block(at, block);
    } else {
      block.length = static_cast<unsigned>(left);
      kernel_->partial(at, left, block);
    }
    at += take_block(at, block, {at, left}, event);
  }
  if (event == Event::end) {
    ended_ = true;
    close_name();
  }
  return {static_cast<size_t>(at - input.data()), event};
}

// One block; how many of its octets were content.
size_t ContentScanner::take_block(const char* at, const Block& block, std::string_view rest,
                                  Event& event) {
  const uint64_t after_cr = block.cr << 1 | carry_cr_;
  const uint64_t crlf = block.lf & after_cr;
  const uint64_t starts = crlf << 1 | carry_line_start_;
  const uint64_t dots = block.dot & starts;
  uint64_t dot_cr = 0;
  unsigned last = block.length - 1;
  if (framing_ == Framing::dots) {
    dot_cr = (dots << 1 | carry_dot_) & block.cr;
    const uint64_t closing = (dot_cr << 1 | carry_dot_cr_) & block.lf;
    if (closing != 0) {
      last = lowest(closing);
      event = Event::end;
    }
  } else if (dots != 0) {
    last = lowest(dots);
    event = Event::dot;
  }
  const uint64_t within = up_to(last);
  const size_t used = last + 1;

  if (fault_ == ContentFault::none) {
    uint64_t wrong = ((after_cr ^ block.lf) | block.nul) & within;
    if (line_length_max_ != 0) {
      wrong |= too_long(block, starts & within, framing_ == Framing::dots ? dots : 0, used);
    }
    if (wrong != 0) {
      const uint64_t first = wrong & -wrong;
      if ((first & after_cr & ~block.lf) != 0) {
        fault_ = ContentFault::bare_cr;
      } else if ((first & block.nul) != 0) {
        fault_ = ContentFault::nul;
      } else if ((first & block.lf) != 0) {
        fault_ = ContentFault::bare_lf;
      } else {
        fault_ = ContentFault::line_too_long;
      }
    }
  }
  if (framing_ == Framing::dots) {
    for (uint64_t left = dots & within; left != 0; left &= left - 1) ++stuffed_;
  } else if (event == Event::dot) {
    facts_.has_dot_stuffing = true;
  }
  facts_.has_eight_bit = facts_.has_eight_bit || (block.high & within) != 0;
  if (in_header_) {
    uint64_t lines = starts & within;
    const uint64_t blank = (starts << 1 | carry_started_) & crlf & within;  // CRLF alone on a line
    if (blank != 0) {
      in_header_ = false;
      lines &= (blank & -blank) - 1;
    }
    take_header_lines(at, lines, rest.data() + rest.size());
  }

  total_ += used;
  carry_cr_ = block.cr >> last & 1;
  carry_line_start_ = crlf >> last & 1;
  carry_started_ = starts >> last & 1;
  carry_dot_ = framing_ == Framing::dots ? dots >> last & 1 : 0;
  carry_dot_cr_ = dot_cr >> last & 1;
  return used;
}

// `starts`: where lines of the header section begin, in the block at `at`.
void ContentScanner::take_header_lines(const char* at, uint64_t starts, const char* end) {
  for (; starts != 0; starts &= starts - 1) {
    close_name();  // a line whose beginning was cut, and which is over now
    const char* line = at + lowest(starts);
    const auto left = static_cast<size_t>(end - line);
    if (left >= kNameMax) {
      look_at_name(line, kNameMax);
      continue;
    }
    std::memcpy(name_, line, left);
    name_length_ = static_cast<uint8_t>(left);
    name_open_ = true;
  }
}

void ContentScanner::close_name() {
  if (name_open_) look_at_name(name_, name_length_);
  name_open_ = false;
}

// What follows the line in `at` does not matter: no name has a CR or LF in it.
void ContentScanner::look_at_name(const char* at, size_t length) {
  if (length == 0) return;
  switch (ascii_lower(at[0])) {
    case 'r':
      if (is_field(at, length, "Received")) ++facts_.received_count;
      break;
    case 'd':
      if (is_field(at, length, "Date")) facts_.has_date = true;
      break;
    case 'm':
      if (is_field(at, length, "Message-ID")) facts_.has_message_id = true;
      break;
    case 'f':
      if (is_field(at, length, "From")) facts_.has_from = true;
      break;
    default:
      break;
  }
}

// The first octet beyond the limit, as a bit. A line is too long as soon as an octet that is
// neither CR nor LF stands at that place (a CR there must be followed by LF, or is a fault of its
// own).
uint64_t ContentScanner::too_long(const Block& block, uint64_t starts, uint64_t stuffed,
                                  size_t used) {
  uint64_t found = 0;
  auto begin = -line_octets_;  // of the line in arrival, relative to the block
  if ((starts & 1) != 0) {
    begin = static_cast<int64_t>(stuffed & 1);
    starts &= ~uint64_t{1};
  }
  while (true) {
    const auto next =
        starts != 0 ? static_cast<int64_t>(lowest(starts)) : static_cast<int64_t>(used);
    const int64_t place = begin + line_length_max_;
    if (found == 0 && place >= 0 && place < next) {
      found = (uint64_t{1} << place) & ~(block.cr | block.lf);
    }
    if (starts == 0) break;
    const uint64_t first = starts & -starts;
    begin = next + ((stuffed & first) != 0 ? 1 : 0);
    starts &= starts - 1;
  }
  line_octets_ = static_cast<int64_t>(used) - begin;
  return found;
}

void ContentScanner::finish() {
  close_name();
  if (carry_cr_ != 0 && fault_ == ContentFault::none) fault_ = ContentFault::bare_cr;
}

HeaderFacts ContentScanner::facts() const {
  HeaderFacts facts = facts_;
  if (framing_ == Framing::dots) facts.has_dot_stuffing = stuffed_ > (ended_ ? 1 : 0);
  return facts;
}

}  // namespace ringmta::smtp
