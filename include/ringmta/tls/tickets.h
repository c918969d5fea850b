// SPDX-License-Identifier: GPL-3.0-or-later
// Keys under which a server's session tickets are sealed (RFC 8446 4.6.1, RFC 5077).
//
// The insight: a ticket is opened by whichever shard the client comes back to, so the keys are the
// one secret the shards have in common. They are a small value that someone outside the shards
// rotates and hands to each as a copy; nothing is shared in memory. A ticket sealed with the
// current key is good until that key has been rotated out, which bounds what a stolen key can open.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "ringmta/base/hidden_memory.h"

namespace ringmta::tls {

class TicketKeys final {
 public:
  // A ticket lives at least kKept - 1 rotations, at most kKept.
  static constexpr size_t kKept = 3;
  struct Key {
    std::array<std::byte, 16> name{};
    std::array<std::byte, 32> secret{};  // AES-256-GCM
  };

  TicketKeys() = default;
  TicketKeys(const TicketKeys&) = default;
  TicketKeys& operator=(const TicketKeys&) = default;
  ~TicketKeys();  // overwrites the secrets

  // A new random key in front; the oldest goes. The first rotation makes the first key.
  void rotate();
  bool empty() const { return count_ == 0; }
  const Key& current() const { return keys_[0]; }
  // The key of that name, or null.
  const Key* find(const std::byte* name) const;

 private:
  using Keys = std::vector<Key, HiddenAllocator<Key>>;
  Keys keys_ = Keys(kKept);
  size_t count_ = 0;
};

}  // namespace ringmta::tls
