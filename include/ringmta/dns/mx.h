// SPDX-License-Identifier: GPL-3.0-or-later
// From a mail domain to the hosts that take its mail, or to a reason why there are none (RFC
// 5321 5.1, RFC 7505, RFC 3463).
//
// The insight: a question and its answer are one object whose ownership travels. The same MxQuery
// is made by the shard that wants to know, goes by letter to the domain's home shard, is filled
// there, and comes back by letter: plain data, no copies, no sharing.
//
//   asker:  home_shard(domain, shards) -> mine: MxResolver::ask(), else post it there
//   home:   ask(); `done` is called by run(), a stage -> asker is me: use it, else post it back
//
// What is decided here:
//   null MX                        refused 5.1.10        (RFC 7505)
//   no such domain                 refused 5.1.2         (RFC 3463 3.2)
//   not a domain at all            refused 5.1.3
//   neither MX nor address         refused 5.4.4         (RFC 3463 3.5: "only an SOA")
//   hosts without usable addresses refused 5.4.4
//   only ourselves are left        refused 5.4.6         (a loop: RFC 5321 5.1)
//   nobody could say               deferred 4.4.3
// No MX means the domain itself is the host (implicit MX). Where some hosts are known and others'
// addresses could not be found out, those known are taken, and the result is short-lived. Where all
// hosts have IPv4 addresses, AAAA that are not answered are not waited for (kLateFamilyWait).
//
// Addresses that no mail host has (loopback, link-local, multicast, unspecified) and own ones are
// left out here, so that nothing further on needs to think of them: MxOptions::refused_addresses
// and own_*. Additional sections are not used at all; each host's A and AAAA are asked for.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ringmta/base/address.h"
#include "ringmta/base/time.h"
#include "ringmta/base/types.h"
#include "ringmta/dns/resolver.h"
#include "ringmta/smtp/reply.h"

namespace ringmta::dns {

// Loopback, this network, link-local, multicast, reserved, and their IPv6 likes.
std::vector<Network> never_mail_hosts();
// What the interfaces of this machine are configured with. May block: for start-up.
std::vector<Network> addresses_of_this_machine();

// For AAAA records when everything else is known. (RFC 8305 3 proposes 50 ms to those for whom a
// person waits.)
inline constexpr Milliseconds kLateFamilyWait{300};

struct MxOptions {
  bool inet4 = true;
  bool inet6 = true;                                            // false: AAAA is never asked for
  uint16_t port = 25;                                           // of the addresses in the result
  uint32_t hosts_max = 16;                                      // the most preferred ones
  uint32_t addresses_per_host_max = 16;                         // of each family
  std::vector<Network> refused_addresses = never_mail_hosts();  // empty: loopback is allowed
  // Ourselves: such hosts, and all that are no more preferred, are left out (RFC 5321 5.1).
  // Addresses belong here only if this relay itself listens there on `port`.
  std::vector<std::string> own_names;
  std::vector<Network> own_addresses;
  uint32_t active_max = 8192;      // domains being resolved ...
  uint32_t waiting_max = 100'000;  // ... and waiting for it; beyond that: deferred at once
};

struct MailHost {
  std::string name;         // "mx1.example.net"; "[192.0.2.1]" for a literal
  uint16_t preference = 0;  // as in the MX record
  // Never empty. IPv6 first, otherwise by their octets: the same records give the same list. Who
  // connects puts them in the order in which they are to be tried (RFC 6724).
  std::vector<SocketAddress> addresses;
};

struct MailRoute {
  enum class Kind : uint8_t { hosts, deferred, refused };
  Kind kind = Kind::deferred;
  std::string domain;  // as asked of the DNS: lower case, A-labels
  // Most preferred first. Among equals the order is fixed (by name): who delivers chooses at
  // random, for each attempt anew (RFC 5321 5.1).
  std::vector<MailHost> hosts;
  // Equal for domains with the same hosts in the same order of preference (the preferences' numbers
  // do not matter): "mx1.example.net,mx2.example.net;backup.example.net". Hosts without addresses
  // count.
  std::string site_key;
  smtp::EnhancedStatus status{};  // deferred, refused
  std::string reason;             // likewise: a sentence for events and DSNs
  Monotonic valid_until{};        // ask again then (deferred: not before)
  // Asked again between this and valid_until, the answer is the same at once and what it was made
  // of is refreshed in the background: for domains in steady use. Asked once more, it is the new
  // one. Where a family of a host's addresses is missing, this is when it may be there.
  Monotonic refresh_from{};
};

struct MxQuery {
  ListLink link;  // the resolver's
  std::string
      domain;  // as in the address: "example.org", "пример.рф", "[192.0.2.1]", "[IPv6:2001:db8::1]"
  ShardId asker{};
  uint64_t tag = 0;  // the asker's
  MailRoute route;   // the answer
};

// Which shard asks and remembers for this domain.
ShardId home_shard(std::string_view domain, uint32_t shards);

struct MxCounters {
  uint64_t asked = 0;
  uint64_t hosts = 0;     // of these: found
  uint64_t deferred = 0;  // nobody could say
  uint64_t refused = 0;   // there is no way
  uint64_t active = 0;    // now
  uint64_t waiting = 0;   // now
};

class MxResolver final {
 public:
  using Done = void (*)(void* self, std::unique_ptr<MxQuery> query);

  // `resolver` lives longer.
  MxResolver(Resolver& resolver, ring::Io& io, const MxOptions& options, void* self, Done done);
  ~MxResolver();
  MxResolver(const MxResolver&) = delete;
  MxResolver& operator=(const MxResolver&) = delete;

  void ask(std::unique_ptr<MxQuery> query);
  bool run();  // stage, after Resolver::run(): calls `done`; true: more to do

  const MxCounters& counters() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ringmta::dns
