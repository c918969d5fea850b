// SPDX-License-Identifier: GPL-3.0-or-later
// Whether the DKIM keys can be told apart, and, where files may be looked into, whether they are
// there and fit for use.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include "checks.h"
#include "ringmta/base/bytes.h"
#include "ringmta/config/units.h"
#include "ringmta/dkim/key_ring.h"

namespace ringmta::config {
namespace {

class KeyChecks final {
 public:
  KeyChecks(const Settings& settings, Problems& problems) : s_(settings), problems_(problems) {}

  void options() {
    std::map<std::string, size_t> names;
    for (size_t i = 0; i < keys().size(); ++i) {
      const dkim::SignatureOptions& one = keys()[i].signature;
      if (!fine(i, "dkim.keys.domain") || !fine(i, "dkim.keys.selector")) continue;  // told already
      if (const Status status = dkim::check(one); !status) {
        problems_.error(line(i, "dkim.keys.domain"), "dkim.keys", status.error().message);
      }
      const std::string name = one.selector + "._domainkey." + one.domain;
      const auto [first, fresh] = names.emplace(name, i);
      if (!fresh) {
        problems_.error(line(i, "dkim.keys.selector"), "dkim.keys.selector",
                        fmt::format("{} is the name of the key in line {} too: a record can hold "
                                    "one key, choose another selector",
                                    name, line(first->second, "dkim.keys.selector")));
      }
      lifetime(i);
      passing_fields(i, "dkim.keys.oversigned", one.oversigned_fields);
      passing_fields(i, "dkim.keys.signed", one.signed_fields);
    }
  }

  void files() {
    for (size_t i = 0; i < keys().size(); ++i) {
      if (!fine(i, "dkim.keys.key_file")) continue;
      auto file = dkim::read_key_file(keys()[i].key_file);
      if (!file) {
        problems_.error(line(i, "dkim.keys.key_file"), "dkim.keys.key_file", file.error().message);
        continue;
      }
      types_.insert({keys()[i].signature.domain, file->key.type()});
      if (!file->warning.empty()) {
        problems_.warning(line(i, "dkim.keys.key_file"), "dkim.keys.key_file", file->warning);
      }
      if (file->key.type() == dkim::KeyType::rsa) {
        if (const std::string weak = file->key.warning(); !weak.empty()) {
          problems_.warning(line(i, "dkim.keys.key_file"), "dkim.keys.key_file", weak);
        }
      } else {
        ed25519_.push_back({i, file->key.warning()});
      }
    }
    for (const auto& [i, warning] : ed25519_) {
      const auto [begin, end] = types_.equal_range(keys()[i].signature.domain);
      const bool has_rsa =
          std::any_of(begin, end, [](const auto& one) { return one.second == dkim::KeyType::rsa; });
      if (has_rsa) continue;
      problems_.warning(line(i, "dkim.keys.key_file"), "dkim.keys.key_file", warning);
    }
  }

 private:
  const std::vector<dkim::KeyOptions>& keys() const { return s_.server.dkim.keys; }
  uint32_t line(size_t key, const char* path) const { return problems_.line_of(path, key); }

  bool fine(size_t key, const char* path) const {
    return problems_.given(path, key) && !problems_.refused(path, key);
  }

  void lifetime(size_t i) {
    const Milliseconds lifetime = keys()[i].signature.lifetime;
    if (lifetime.count == 0 || lifetime > s_.queue.retry.expire_after) return;
    problems_.warning(
        line(i, "dkim.keys.lifetime"), "dkim.keys.lifetime",
        fmt::format(
            "{} is not longer than mail may wait in the queue ([retry] expire_after is {}): "
            "what is delivered late fails verification",
            format_duration(lifetime), format_duration(s_.queue.retry.expire_after)));
  }

  // Fields that others rightly change on the way (RFC 6376 5.4): a signature of them soon fails.
  void passing_fields(size_t i, const char* path, const std::vector<std::string>& names) {
    static constexpr std::pair<std::string_view, std::string_view> kPassing[] = {
        {"return-path", "servers change it on the way, and the last one writes its own"},
        {"received", "every server on the way adds one, and some remove those of others"},
        {"authentication-results", "receivers remove those that are not theirs (RFC 8601 5)"},
    };
    for (const std::string& name : names) {
      const auto* passing = std::ranges::find_if(
          kPassing, [&](const auto& one) { return equals_ignoring_case(one.first, name); });
      if (passing == std::end(kPassing)) continue;
      problems_.warning(line(i, path), path,
                        fmt::format("{} should not be signed (RFC 6376 5.4): {}, and the signature "
                                    "fails; leave it out",
                                    name, passing->second));
    }
  }

  const Settings& s_;
  Problems& problems_;
  std::multimap<std::string, dkim::KeyType> types_;  // of the keys of each domain
  std::vector<std::pair<size_t, std::string>> ed25519_;
};

}  // namespace

void check_dkim(const Settings& settings, Problems& problems) {
  KeyChecks(settings, problems).options();
}

void check_dkim_files(const Settings& settings, Problems& problems) {
  KeyChecks(settings, problems).files();
}

}  // namespace ringmta::config
