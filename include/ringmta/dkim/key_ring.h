// SPDX-License-Identifier: GPL-3.0-or-later
// The keys of a relay, and which of them sign a message.
//
// The insight: an operator thinks of keys in two ways. A customer's key speaks for the customer's
// own domain, and of several the closest is meant; a rule ("everything", "this tenant's mail") adds
// a signature whatever else is signed. So keys without `from` compete by the length of their
// domain, keys with `from` do not compete. The work for a message is a hash look-up per label of
// its domain, however many keys there are.
//
// A ring never changes: a reload makes another. Its signers stay where they are while it lives.
// Each shard has its own.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ringmta/base/result.h"
#include "ringmta/dkim/options.h"
#include "ringmta/dkim/signer.h"

namespace ringmta::dkim {

struct KeyFile {
  Key key;
  std::string warning;  // who else may read or change it; else empty
};
// Blocks on the file. Errors say what to do.
Result<KeyFile> read_key_file(const std::string& path);

class KeyRing final {
 public:
  static constexpr size_t kSignaturesMax = 8;  // of one message; those of later keys are left out

  // Reads the key files (blocks).
  static Result<std::unique_ptr<KeyRing>> load(const Options& options);
  KeyRing(const KeyRing&) = delete;
  KeyRing& operator=(const KeyRing&) = delete;

  // The body hashes its keys need.
  Canonicalizations bodies() const { return bodies_; }
  // Replaces `into` by the signers for such a message, in the order of the options.
  // `author_domain`: in lower case, A-labels; empty: there is none, and nothing signs.
  void choose(std::string_view author_domain, std::string_view tenant, std::vector<Signer*>& into);

 private:
  KeyRing() = default;

  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  using Numbers = std::vector<uint32_t>;  // of signers, ascending
  using ByDomain = std::unordered_map<std::string, Numbers, TextHash, std::equal_to<>>;

  void add(const KeyOptions& options, Signer signer);
  bool for_tenant(uint32_t number, std::string_view tenant) const;
  bool take(const Numbers& numbers, std::string_view tenant);
  bool take(const ByDomain& from, std::string_view domain, std::string_view tenant);

  std::vector<Signer> signers_;
  std::vector<std::vector<std::string>> tenants_;  // of each signer
  ByDomain own_;                                   // keys without a rule, by their domain
  ByDomain exact_, below_;                         // rules: "example.org", ".example.org"
  Numbers all_;                                    // "*"
  Canonicalizations bodies_{.simple = false, .relaxed = false};
  Numbers chosen_;
};

}  // namespace ringmta::dkim
