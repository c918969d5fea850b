// SPDX-License-Identifier: GPL-3.0-or-later
// SHA-256 fed by many short runs. Runs below kDirect octets are gathered in a buffer on the
// caller's stack, since each call into the library costs as much as hashing half a line.
#pragma once

#include <wolfssl/wolfcrypt/sha256.h>

#include <cstring>
#include <string_view>

#include "ringmta/base/assert.h"
#include "ringmta/dkim/content_hasher.h"

namespace ringmta::dkim {

class Sha256Hash final {
 public:
  Sha256Hash() { begin(); }
  ~Sha256Hash() { wc_Sha256Free(&state_); }
  Sha256Hash(const Sha256Hash&) = delete;
  Sha256Hash& operator=(const Sha256Hash&) = delete;

  void begin() { RINGMTA_ASSERT(wc_InitSha256(&state_) == 0); }
  void update(const char* data, size_t size) {
    RINGMTA_ASSERT(wc_Sha256Update(&state_, reinterpret_cast<const byte*>(data),
                                   static_cast<word32>(size)) == 0);
  }
  void finish(Digest& into) {
    RINGMTA_ASSERT(wc_Sha256Final(&state_, reinterpret_cast<byte*>(into.data())) == 0);
  }

 private:
  wc_Sha256 state_;
};

// Gathers short runs; flush() or the end of its life hands them to the hash.
class HashSink final {
 public:
  static constexpr size_t kDirect = 256;

  explicit HashSink(Sha256Hash& hash) : hash_(hash) {}
  ~HashSink() { flush(); }
  HashSink(const HashSink&) = delete;
  HashSink& operator=(const HashSink&) = delete;

  void append(const char* data, size_t size) {
    if (size >= kDirect) {
      flush();
      hash_.update(data, size);
      return;
    }
    if (size > sizeof buffer_ - used_) flush();
    std::memcpy(buffer_ + used_, data, size);
    used_ += size;
  }
  void append(std::string_view text) { append(text.data(), text.size()); }
  void append(char c) {
    if (used_ == sizeof buffer_) flush();
    buffer_[used_++] = c;
  }
  void flush() {
    if (used_ != 0) hash_.update(buffer_, used_);
    used_ = 0;
  }

 private:
  Sha256Hash& hash_;
  size_t used_ = 0;
  char buffer_[1024];
};

}  // namespace ringmta::dkim
