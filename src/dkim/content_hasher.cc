// SPDX-License-Identifier: GPL-3.0-or-later
// Splits content at its first empty line: the header section is kept, the body is hashed.
#include "ringmta/dkim/content_hasher.h"

#include <cstring>
#include <optional>

#include "body_canonicalizer.h"
#include "ringmta/base/assert.h"

namespace ringmta::dkim {

struct ContentHasher::Impl {
  std::string header;
  std::optional<BodyCanonicalizer> simple;
  std::optional<BodyCanonicalizer> relaxed;
  Digest simple_hash{};
  Digest relaxed_hash{};
  bool in_body = false;
  bool finished = false;
  bool too_big = false;
  bool line_start = true;    // in the header section: the next octet begins a line
  bool last_return = false;  // the last octet of the header section was a carriage return
  uint64_t line_size = 0;    // octets of the line so far, the stuffed dot not counted

  size_t take_header(std::string_view wire);
  void keep(std::string_view piece);
  void body(std::string_view wire) {
    if (simple) simple->append(wire);
    if (relaxed) relaxed->append(wire);
  }
};

ContentHasher::ContentHasher(Canonicalizations bodies) : impl_(std::make_unique<Impl>()) {
  if (bodies.simple) impl_->simple.emplace(Canonicalization::simple);
  if (bodies.relaxed) impl_->relaxed.emplace(Canonicalization::relaxed);
}
ContentHasher::ContentHasher(ContentHasher&&) noexcept = default;
ContentHasher& ContentHasher::operator=(ContentHasher&&) noexcept = default;
ContentHasher::~ContentHasher() = default;

void ContentHasher::begin() {
  Impl& my = *impl_;
  my.header.clear();
  my.in_body = my.finished = my.too_big = my.last_return = false;
  my.line_start = true;
  my.line_size = 0;
  if (my.simple) my.simple->begin();
  if (my.relaxed) my.relaxed->begin();
}

void ContentHasher::Impl::keep(std::string_view piece) {
  if (too_big) return;
  if (header.size() + piece.size() > kHeaderSizeMax) {
    too_big = true;
    header.clear();
    return;
  }
  header.append(piece);
}

// Octets used up; all of them while the empty line has not come.
size_t ContentHasher::Impl::take_header(std::string_view wire) {
  size_t used = 0;
  while (used < wire.size()) {
    if (line_start) {
      line_start = false;
      line_size = 0;
      if (wire[used] == '.') {
        ++used;
        continue;
      }
    }
    const std::string_view rest = wire.substr(used);
    const size_t newline = rest.find('\n');
    const bool whole = newline != std::string_view::npos;
    const std::string_view piece = rest.substr(0, whole ? newline + 1 : rest.size());
    const bool ends_line =
        whole && (piece.size() >= 2 ? piece[piece.size() - 2] == '\r' : last_return);
    keep(piece);
    used += piece.size();
    line_size += piece.size();
    last_return = piece.back() == '\r';
    if (!ends_line) continue;
    line_start = true;
    if (line_size != 2) continue;
    in_body = true;
    if (!too_big) header.resize(header.size() - 2);
    break;
  }
  return used;
}

void ContentHasher::append(std::string_view wire) {
  Impl& my = *impl_;
  RINGMTA_ASSERT(!my.finished);
  if (!my.in_body) wire.remove_prefix(my.take_header(wire));
  if (!wire.empty()) my.body(wire);
}

void ContentHasher::finish() {
  Impl& my = *impl_;
  RINGMTA_ASSERT(!my.finished);
  my.finished = true;
  if (my.simple) my.simple->finish(my.simple_hash);
  if (my.relaxed) my.relaxed->finish(my.relaxed_hash);
}

std::string_view ContentHasher::header() const { return impl_->header; }
bool ContentHasher::header_too_big() const { return impl_->too_big; }

const Digest& ContentHasher::body_hash(Canonicalization which) const {
  const Impl& my = *impl_;
  RINGMTA_ASSERT(my.finished);
  RINGMTA_ASSERT(which == Canonicalization::simple ? my.simple.has_value()
                                                   : my.relaxed.has_value());
  return which == Canonicalization::simple ? my.simple_hash : my.relaxed_hash;
}

}  // namespace ringmta::dkim
