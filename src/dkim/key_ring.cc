// SPDX-License-Identifier: GPL-3.0-or-later
// Files under names of domains, and the choice among them.
#include "ringmta/dkim/key_ring.h"

#include <algorithm>

#include "ringmta/base/bytes.h"

namespace ringmta::dkim {
namespace {

std::string_view parent(std::string_view domain) {
  const size_t dot = domain.find('.');
  return dot == std::string_view::npos ? std::string_view() : domain.substr(dot + 1);
}

}  // namespace

Result<std::unique_ptr<KeyRing>> KeyRing::load(const Options& options) {
  std::unique_ptr<KeyRing> ring(new KeyRing);
  ring->signers_.reserve(options.keys.size());
  for (const KeyOptions& one : options.keys) {
    auto file = read_key_file(one.key_file);
    if (!file) return std::unexpected(file.error());
    auto signer = Signer::create(one.signature, std::move(file->key));
    if (!signer) return std::unexpected(signer.error());
    ring->add(one, std::move(*signer));
  }
  return ring;
}

void KeyRing::add(const KeyOptions& options, Signer signer) {
  const auto number = static_cast<uint32_t>(signers_.size());
  bodies_.add(options.signature.body);
  signers_.push_back(std::move(signer));
  tenants_.push_back(options.tenants);
  if (options.from.empty()) own_[lower(options.signature.domain)].push_back(number);
  for (const std::string& pattern : options.from) {
    if (pattern == "*") {
      all_.push_back(number);
    } else if (pattern.starts_with('.')) {
      below_[lower(pattern.substr(1))].push_back(number);
    } else {
      exact_[lower(pattern)].push_back(number);
    }
  }
}

bool KeyRing::for_tenant(uint32_t number, std::string_view tenant) const {
  const std::vector<std::string>& wanted = tenants_[number];
  return wanted.empty() || std::ranges::find(wanted, tenant) != wanted.end();
}

// True: at least one of them signs.
bool KeyRing::take(const Numbers& numbers, std::string_view tenant) {
  const size_t before = chosen_.size();
  for (const uint32_t number : numbers) {
    if (for_tenant(number, tenant)) chosen_.push_back(number);
  }
  return chosen_.size() > before;
}

bool KeyRing::take(const ByDomain& from, std::string_view domain, std::string_view tenant) {
  const auto found = from.find(domain);
  return found != from.end() && take(found->second, tenant);
}

void KeyRing::choose(std::string_view author_domain, std::string_view tenant,
                     std::vector<Signer*>& into) {
  into.clear();
  chosen_.clear();
  if (author_domain.empty()) return;
  for (std::string_view at = author_domain; !at.empty(); at = parent(at)) {
    if (take(own_, at, tenant)) break;
  }
  take(exact_, author_domain, tenant);
  for (std::string_view at = parent(author_domain); !at.empty(); at = parent(at)) {
    take(below_, at, tenant);
  }
  take(all_, tenant);
  std::ranges::sort(chosen_);
  const auto twice = std::ranges::unique(chosen_);
  chosen_.erase(twice.begin(), twice.end());
  if (chosen_.size() > kSignaturesMax) chosen_.resize(kSignaturesMax);
  for (const uint32_t number : chosen_) into.push_back(&signers_[number]);
}

}  // namespace ringmta::dkim
