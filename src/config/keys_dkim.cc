// SPDX-License-Identifier: GPL-3.0-or-later
// The rows about DKIM signatures.
#include "key.h"
#include "names.h"

namespace ringmta::config {
namespace {

constexpr std::string_view kFailures[] = {"refuse", "send_unsigned"};
constexpr std::string_view kCanonicalizations[] = {"simple", "relaxed"};
constexpr uint64_t kMiB = 1ULL << 20;

dkim::SignatureOptions& signature(Settings& s) { return s.server.dkim.keys.back().signature; }
const dkim::SignatureOptions& signature(const Settings& s) {
  return s.server.dkim.keys.back().signature;
}

// Their grammar is checked when the whole key is known (checks_dkim.cc).
Status any_text(std::string_view) { return {}; }

constexpr Key kKeys[] = {
    {.section = "dkim",
     .name = "on_failure",
     .kind =
         Choice{kFailures,
                [](const Settings& s) { return static_cast<uint8_t>(s.server.dkim.on_failure); },
                [](Settings& s, uint8_t word) {
                  s.server.dkim.on_failure = static_cast<dkim::OnFailure>(word);
                }},
     .meaning =
         "A message that a key is for and that cannot be signed: `\"refuse\"` it (`451 4.7.5`, "
         "or `554 5.6.0` where its header is too large to be signed), or `\"send_unsigned\"`. "
         "Either is counted (`ringmta_dkim_failures_total`) and logged."},
    {.section = "dkim",
     .name = "slice",
     .kind = Duration{RINGMTA_AT(server.dkim.slice), {1}, {100}},
     .meaning = "Signing in one turn of a shard's loop: how much longer others wait at most while "
                "mail is signed."},
    {.section = "dkim",
     .name = "waiting_max",
     .kind = Size{Whole{RINGMTA_AT(server.dkim.waiting_max), kMiB, 4096 * kMiB}},
     .meaning = "Memory of a shard's messages that wait for their signatures; at it clients get "
                "`452 4.3.1`. Contents of more than a receive buffer count in `[spool]` "
                "`memory_max` instead."},

    {.section = "dkim.keys",
     .name = "domain",
     .kind = Text{[](Settings& s) -> auto& { return signature(s).domain; }, any_text, "domain"},
     .meaning = "Whose signature it is (`d=`): for DMARC the From domain or one above it. "
                "Non-ASCII names as A-labels.",
     .example = "\"example.org\"",
     .required = true},
    {.section = "dkim.keys",
     .name = "selector",
     .kind = Text{[](Settings& s) -> auto& { return signature(s).selector; }, any_text, "name"},
     .meaning = "Under which name the public key is published (`s=`): "
                "`SELECTOR._domainkey.DOMAIN`.",
     .example = "\"rsa1\"",
     .required = true},
    {.section = "dkim.keys",
     .name = "key_file",
     .kind = Text{[](Settings& s) -> auto& { return s.server.dkim.keys.back().key_file; },
                  check_path, "absolute path"},
     .meaning = "The private key, PEM: RSA of 1024 to 4096 bits or Ed25519 (`ringmta dkim key` "
                "makes one). Read at start and at every reload.",
     .example = "\"/etc/ringmta/dkim/example.org.rsa1.pem\"",
     .required = true},
    {.section = "dkim.keys",
     .name = "from",
     .kind = Texts{[](Settings& s) -> auto& { return s.server.dkim.keys.back().from; },
                   check_route_domain, "domains"},
     .meaning = "Which mail it signs, by the domain in From: `\"example.org\"`, `\".example.org\"` "
                "(its subdomains), `\"*\"` (any). Empty: `domain` and what is below it, but for "
                "mail that another such key with a longer `domain` is for.",
     .example = "[\"*\"]"},
    {.section = "dkim.keys",
     .name = "tenants",
     .kind = Texts{[](Settings& s) -> auto& { return s.server.dkim.keys.back().tenants; },
                   check_label, "names"},
     .meaning = "Only mail of these tenants; empty: of any.",
     .example = "[\"newsletter\"]"},
    {.section = "dkim.keys",
     .name = "header",
     .kind = Choice{kCanonicalizations,
                    [](const Settings& s) { return static_cast<uint8_t>(signature(s).header); },
                    [](Settings& s, uint8_t word) {
                      signature(s).header = static_cast<dkim::Canonicalization>(word);
                    }},
     .meaning = "Canonicalization of the header (`c=`, before the slash)."},
    {.section = "dkim.keys",
     .name = "body",
     .kind = Choice{kCanonicalizations,
                    [](const Settings& s) { return static_cast<uint8_t>(signature(s).body); },
                    [](Settings& s, uint8_t word) {
                      signature(s).body = static_cast<dkim::Canonicalization>(word);
                    }},
     .meaning = "Canonicalization of the body (`c=`, behind the slash)."},
    {.section = "dkim.keys",
     .name = "oversigned",
     .kind = Texts{[](Settings& s) -> auto& { return signature(s).oversigned_fields; }, any_text,
                   "field names"},
     .meaning = "Header fields signed once more than they are there, so that none can be added on "
                "the way (RFC 6376 8.15)."},
    {.section = "dkim.keys",
     .name = "signed",
     .kind = Texts{[](Settings& s) -> auto& { return signature(s).signed_fields; }, any_text,
                   "field names"},
     .meaning = "Header fields signed as often as they are there. From must be in one of the two "
                "lists."},
    {.section = "dkim.keys",
     .name = "identity",
     .kind = Text{[](Settings& s) -> auto& { return signature(s).identity; }, any_text,
                  "[user]@domain", true},
     .meaning = "For whom it signs (`i=`), within `domain`. Empty: left out.",
     .example = "\"@news.example.org\""},
    {.section = "dkim.keys",
     .name = "timestamp",
     .kind = Flag{[](Settings& s) -> auto& { return signature(s).timestamp; }},
     .meaning = "Say when it was signed (`t=`)."},
    {.section = "dkim.keys",
     .name = "lifetime",
     .kind = Duration{[](Settings& s) -> auto& { return signature(s).lifetime; }, {0}, hours(8760)},
     .meaning = "The signature is void so long after it was made (`x=`), in whole seconds; 0: "
                "never. Longer than mail may wait in the queue."},
};

}  // namespace

std::span<const Key> dkim_keys() { return kKeys; }

}  // namespace ringmta::config
