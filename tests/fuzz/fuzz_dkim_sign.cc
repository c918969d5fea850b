// SPDX-License-Identifier: GPL-3.0-or-later
// Signing any header: the field that comes out is one field in proper lines, its signature is made
// over something that the key verifies, and what keys and records are read from is only ever
// refused.
#include <string>

#include "input.h"
#include "pem.h"
#include "ringmta/base/assert.h"
#include "ringmta/dkim/signer.h"

namespace ringmta::dkim {
namespace {

SignatureOptions options_of(uint8_t flags) {
  SignatureOptions options;
  options.domain = "example.org";
  options.selector = "s1";
  if ((flags & 1) != 0) options.header = Canonicalization::simple;
  if ((flags & 2) != 0) options.body = Canonicalization::simple;
  if ((flags & 4) != 0) options.lifetime = seconds(3600);
  if ((flags & 8) != 0) options.identity = "@sub.example.org";
  return options;
}

Signer& signer_of(uint8_t flags) {
  static const std::string pem = [] {
    Result<Key> key = Key::generate(KeyType::ed25519);
    RINGMTA_ASSERT(key.has_value());
    return key->private_pem();
  }();
  static std::unique_ptr<Signer> signers[16];
  std::unique_ptr<Signer>& signer = signers[flags % 16];
  if (signer == nullptr) {
    signer = std::make_unique<Signer>(*Signer::create(options_of(flags % 16), *Key::from_pem(pem)));
  }
  return *signer;
}

void sign(uint8_t flags, std::string_view section, int64_t time) {
  HeaderFields fields;
  fields.add(section);
  Prepared prepared;
  Signer& signer = signer_of(flags);
  if (!signer.prepare(fields, Digest{}, {time}, prepared)) return;
  std::string text;
  RINGMTA_ASSERT(signer.sign(prepared, text).has_value() && prepared.empty());
  RINGMTA_ASSERT(text.starts_with("DKIM-Signature: ") && text.ends_with("\r\n"));
  for (size_t at = 0; at + 2 < text.size();) {
    const size_t end = text.find("\r\n", at);
    RINGMTA_ASSERT(end != std::string::npos && end - at <= 998);
    for (size_t i = at; i < end; ++i) {
      RINGMTA_ASSERT((text[i] >= ' ' && text[i] <= '~') || (i == at && text[i] == '\t'));
    }
    RINGMTA_ASSERT(at == 0 || text[at] == '\t');
    at = end + 2;
  }
}

}  // namespace
}  // namespace ringmta::dkim

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringmta;
  using namespace ringmta::dkim;
  fuzz::Input input(data, size);
  const uint8_t flags = input.byte();
  int64_t time = 0;
  for (int i = 0; i < 5; ++i) time = time << 8 | input.byte();
  switch (flags >> 6) {
    case 0:
    case 1:
      sign(flags, input.rest(), time);
      break;
    case 2:
      (void)signer_of(0).key().check_record(input.rest());
      break;
    default:
      if (const auto der = private_key_of_pem(input.rest())) {
        const std::string again = pem_of("PRIVATE KEY", der->view());
        const auto same = private_key_of_pem(again);
        RINGMTA_ASSERT(same.has_value() && same->view().size() == der->view().size());
        (void)Key::from_pem(input.rest());
      }
      break;
  }
  return 0;
}
