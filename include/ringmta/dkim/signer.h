// SPDX-License-Identifier: GPL-3.0-or-later
// Makes DKIM-Signature fields (RFC 6376 3.5, 5; RFC 8301; RFC 8463).
//
// The insight: a signature is a little work on text (microseconds) and one private-key operation
// (ten microseconds for Ed25519, half a millisecond for RSA-2048), so they are two steps. prepare()
// is done as the message ends, while its header is in the cache; sign() is what a shard batches and
// spreads over its turns. In between a Prepared stands alone: message and headers may be gone.
//
// Several signatures of one message are several Signers over the same fields and hashes; none
// covers another. The finished text goes in front of the message.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ringmta/base/result.h"
#include "ringmta/base/time.h"
#include "ringmta/dkim/content_hasher.h"
#include "ringmta/dkim/header_fields.h"
#include "ringmta/dkim/key.h"

namespace ringmta::dkim {

// Fields that are signed once more than they are there, so that none can be added on the way (RFC
// 6376 8.15): those that mail programs show or act on.
std::vector<std::string> default_oversigned();
// Fields that are signed as often as they are there (RFC 6376 5.4.1, RFC 8058 for
// List-Unsubscribe).
std::vector<std::string> default_signed();

struct SignatureOptions {
  std::string domain;    // d=, A-labels
  std::string selector;  // s=
  std::string identity;  // i=, "@sub.example.com" or "user@example.com"; empty: left out
  Canonicalization header = Canonicalization::relaxed;
  Canonicalization body = Canonicalization::relaxed;
  std::vector<std::string> oversigned_fields = default_oversigned();
  std::vector<std::string> signed_fields = default_signed();
  bool timestamp = true;     // t=
  Milliseconds lifetime{0};  // x= is so long after now, whole seconds; 0: no x=
};

// Are they something a verifier accepts (RFC 6376 3.5, 5.4)? An error says which is not and why.
Status check(const SignatureOptions& options);
Identity identity_of(const SignatureOptions& options);

class Signer;

// A signature field but for its signature. Keeps its memory when used again. Its Signer stays where
// it is until sign().
class Prepared final {
 public:
  bool empty() const { return signer_ == nullptr; }

 private:
  friend class Signer;
  std::string text_;  // the field up to and including "b="
  Digest digest_{};   // of the signed fields and of text_
  const Signer* signer_ = nullptr;
};

class Signer final {
 public:
  static constexpr size_t kNamesMax = 100;  // signed and over-signed names together

  // Checks the options: an error says which and why.
  static Result<Signer> create(SignatureOptions options, Key key);

  // `body_hash`: of the canonicalization in options().body. Fails for a message without From, or
  // with too many fields.
  Status prepare(const HeaderFields& fields, const Digest& body_hash, WallTime now,
                 Prepared& into) const;
  // Appends "DKIM-Signature: ...CRLF" to `into`, and empties `prepared`, which this signer made.
  Status sign(Prepared& prepared, std::string& into);

  const SignatureOptions& options() const { return options_; }
  const Key& key() const { return key_; }

 private:
  struct Name {
    std::string text;  // lower case
    uint32_t hash = 0;
    bool oversigned = false;
  };
  Signer(SignatureOptions options, Key key, std::vector<Name> names);
  void write_field(const HeaderFields& fields, const Digest& body_hash, WallTime now,
                   std::string& text) const;

  SignatureOptions options_;
  Key key_;
  std::vector<Name> names_;
  std::string constant_;  // the tags that are the same in each signature
};

}  // namespace ringmta::dkim
