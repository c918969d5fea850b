// SPDX-License-Identifier: GPL-3.0-or-later
#include "body_canonicalizer.h"

#include <bit>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace ringmta::dkim {
namespace {

constexpr bool is_space(char c) { return c == ' ' || c == '\t'; }

// Must the run stop before `c` when `next` follows? At a line end, when the next line may be empty
// or begins with a dot to be left out; at white space, when it is not a single space before
// something visible.
template <Canonicalization kWhich>
bool notable(char c, char next) {
  constexpr bool kRelaxed = kWhich == Canonicalization::relaxed;
  if (c == '\n') return next == '.' || next == '\r' || (kRelaxed && is_space(next));
  if (kRelaxed && c == '\t') return true;
  return kRelaxed && c == ' ' && (is_space(next) || next == '\r');
}

template <Canonicalization kWhich>
size_t scan_plain(std::string_view text, size_t from) {
  size_t i = from;
  while (i + 1 < text.size() && !notable<kWhich>(text[i], text[i + 1])) ++i;
  return i;
}

#if defined(__SSE2__)
template <Canonicalization kWhich>
size_t scan(std::string_view text) {
  const auto equal = [](__m128i octets, char c) {
    return _mm_cmpeq_epi8(octets, _mm_set1_epi8(c));
  };
  size_t i = 0;
  for (; i + 17 <= text.size(); i += 16) {
    const auto here = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + i));
    const auto next = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + i + 1));
    const auto line_end = equal(here, '\n');
    auto found = _mm_and_si128(line_end, _mm_or_si128(equal(next, '.'), equal(next, '\r')));
    if constexpr (kWhich == Canonicalization::relaxed) {
      const auto blank = _mm_or_si128(equal(next, ' '), equal(next, '\t'));
      const auto after = _mm_or_si128(blank, equal(next, '\r'));
      const auto before = _mm_or_si128(line_end, equal(here, ' '));
      found = _mm_or_si128(found, _mm_or_si128(equal(here, '\t'), _mm_and_si128(before, after)));
    }
    const auto mask = static_cast<unsigned>(_mm_movemask_epi8(found));
    if (mask != 0) return i + static_cast<size_t>(std::countr_zero(mask));
  }
  return scan_plain<kWhich>(text, i);
}
#else
template <Canonicalization kWhich>
size_t scan(std::string_view text) {
  return scan_plain<kWhich>(text, 0);
}
#endif

// A carriage return at the end of a run may belong to a line end.
size_t without_return(std::string_view text, size_t size) {
  while (size > 0 && text[size - 1] == '\r') --size;
  return size;
}

}  // namespace

size_t unchanged_run(std::string_view text, Canonicalization which) {
  return without_return(text, which == Canonicalization::relaxed
                                  ? scan<Canonicalization::relaxed>(text)
                                  : scan<Canonicalization::simple>(text));
}

size_t unchanged_run_plain(std::string_view text, Canonicalization which) {
  return without_return(text, which == Canonicalization::relaxed
                                  ? scan_plain<Canonicalization::relaxed>(text, 0)
                                  : scan_plain<Canonicalization::simple>(text, 0));
}

void BodyCanonicalizer::begin() {
  any_ = carriage_return_ = space_ = false;
  line_start_ = true;
  line_ends_ = 0;
  hash_.begin();
}

void BodyCanonicalizer::append(std::string_view wire) {
  if (which_ == Canonicalization::relaxed) {
    append_as<Canonicalization::relaxed>(wire);
  } else {
    append_as<Canonicalization::simple>(wire);
  }
}

template <Canonicalization kWhich>
void BodyCanonicalizer::append_as(std::string_view wire) {
  HashSink sink(hash_);
  while (!wire.empty()) {
    step<kWhich>(wire.front(), sink);
    wire.remove_prefix(1);
    if (line_start_ || carriage_return_ || space_ || line_ends_ != 0) continue;
    // Inside a line with nothing held back.
    const size_t run = unchanged_run(wire, kWhich);
    if (run == 0) continue;
    any_ = true;
    sink.append(wire.data(), run);
    wire.remove_prefix(run);
  }
}

template <Canonicalization kWhich>
void BodyCanonicalizer::step(char c, HashSink& sink) {
  if (line_start_) {
    line_start_ = false;
    if (c == '.') return;
  }
  if (carriage_return_) {
    carriage_return_ = false;
    if (c == '\n') {
      space_ = false;
      ++line_ends_;
      line_start_ = true;
      return;
    }
    emit('\r', sink);  // on its own it is an octet like any other
  }
  if (c == '\r') {
    carriage_return_ = true;
  } else if (kWhich == Canonicalization::relaxed && is_space(c)) {
    space_ = true;
  } else {
    emit(c, sink);
  }
}

// `c` shows that what was held back counts.
void BodyCanonicalizer::emit(char c, HashSink& sink) {
  for (; line_ends_ > 0; --line_ends_) sink.append("\r\n", 2);
  if (space_) sink.append(' ');
  space_ = false;
  sink.append(c);
  any_ = true;
}

void BodyCanonicalizer::finish(Digest& into) {
  {
    HashSink sink(hash_);
    if (carriage_return_) emit('\r', sink);
    // A body ends with one line end; an empty one is a line end in "simple", nothing in "relaxed".
    if (any_ || which_ == Canonicalization::simple) sink.append("\r\n", 2);
  }
  hash_.finish(into);
}

}  // namespace ringmta::dkim
