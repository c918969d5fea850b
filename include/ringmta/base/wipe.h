// SPDX-License-Identifier: GPL-3.0-or-later
// Secrets leave memory when they are given up. A plain memset before memory is freed is removed by
// the optimiser; explicit_bzero is not. A string that grows leaves copies behind, so secrets grow
// by append_secret().
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace ringmta {

// Overwrites, whatever the optimiser thinks of it.
void wipe(void* secret, size_t octets);

// All of its memory, so that what a move or a clear() left is overwritten too.
inline void wipe(std::string& secret) {
  secret.resize(secret.capacity());
  wipe(secret.data(), secret.size());
  secret.clear();
}
template <typename T, size_t kSize>
void wipe(std::array<T, kSize>& secret) {
  wipe(secret.data(), sizeof secret);
}

inline void append_secret(std::string& secret, std::string_view piece) {
  if (secret.size() + piece.size() > secret.capacity()) {
    std::string grown;
    grown.reserve(2 * (secret.size() + piece.size()));
    grown.append(secret);
    wipe(secret);
    secret = std::move(grown);
  }
  secret.append(piece);
}

// Takes the same time wherever the first difference is. Lengths are not secret.
inline bool equal_in_constant_time(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  unsigned char different = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    different = static_cast<unsigned char>(different | (a[i] ^ b[i]));
    __asm__ volatile("" : "+r"(different));  // nothing is known of it: no early end
  }
  return different == 0;
}

}  // namespace ringmta
