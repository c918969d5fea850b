// SPDX-License-Identifier: GPL-3.0-or-later
// Keys that are fine one by one and not together; and what follows from other keys or the machine.
#include <gtest/gtest.h>

#include "machine.h"

namespace ringmta::config {
namespace {

std::string told_of(std::string_view more, const Machine& machine = a_machine()) {
  return all_texts(parse_with(more, machine));
}

// The whole file, for what concerns routes.
std::string told_of_file(std::string_view rest) {
  return all_texts(
      parse("hostname = \"relay.example.org\"\n" + std::string(rest), "test.toml", a_machine()));
}

TEST(Fitting, AutoMeansOneShardPerProcessor) {
  EXPECT_EQ(parse_with("").settings.shards, 4U);
  EXPECT_EQ(parse_with("[shards]\ncount = \"auto\"\n").settings.shards, 4U);
  EXPECT_EQ(parse_with("[shards]\ncpus = \"1-2\"\n").settings.shards, 2U);
  EXPECT_EQ(parse_with("[shards]\ncpus = \"1-2\"\ncount = 1\n").settings.shards, 1U);
  EXPECT_EQ(parse_with("", {{}, 0, 0}).settings.shards, 1U);
}

TEST(Fitting, MemoryIsAQuarterOfASmallMachineUnlessSaidOtherwise) {
  const Machine small{{0, 1}, 1ULL << 30, 0};
  const Loaded fitted = parse_with("", small);
  EXPECT_TRUE(fitted.errors.empty()) << all_texts(fitted);
  EXPECT_EQ(fitted.settings.spool.memory_max, 128ULL << 20);
  EXPECT_EQ(parse_with("[spool]\nmemory_max = \"100MiB\"\n", small).settings.spool.memory_max,
            100ULL << 20);
  EXPECT_EQ(parse_with("").settings.spool.memory_max, 512ULL << 20);
}

TEST(Fitting, LongestWaitsFollowTheFirstUnlessSaidOtherwise) {
  const Loaded loaded =
      parse_with("[retry]\nfirst = \"6h\"\n[client]\nhost_retry_after = \"1h\"\n");
  EXPECT_TRUE(loaded.errors.empty()) << all_texts(loaded);
  EXPECT_EQ(loaded.settings.queue.retry.longest, hours(6));
  EXPECT_EQ(loaded.settings.client.host_retry_longest, hours(1));
}

// Mail behind a dead host never waits longer for a probe than it would for its own next attempt.
TEST(Fitting, ProbesOfDeadHostsKeepToTheRetrySchedule) {
  const auto waits = [](std::string_view text) {
    const Loaded loaded = parse_with(text);
    EXPECT_TRUE(loaded.errors.empty()) << all_texts(loaded);
    const auto& client = loaded.settings.client;
    return std::pair(client.host_retry_after, client.host_retry_longest);
  };
  EXPECT_EQ(waits(""), std::pair(seconds(15), minutes(30)));
  EXPECT_EQ(waits("[retry]\nfirst = \"5s\"\nlongest = \"2m\"\n"),
            std::pair(seconds(5), minutes(2)));
  EXPECT_EQ(waits("[retry]\nfirst = \"2s\"\n[client]\nhost_retry_after = \"1m\"\n"),
            std::pair(minutes(1), minutes(30)));
  EXPECT_EQ(waits("[client]\nhost_retry_longest = \"10s\"\n"), std::pair(seconds(10), seconds(10)));
}

TEST(Together, WaitsThatRunBackwards) {
  EXPECT_EQ(told_of("[retry]\nfirst = \"2h\"\nlongest = \"1h\"\n"),
            "test.toml:8: retry.longest: longest (1h) is shorter than first (2h): exchange them or "
            "leave longest out\n");
  EXPECT_EQ(told_of("[client]\nhost_retry_longest = \"10s\"\nhost_retry_after = \"1m\"\n"),
            "test.toml:7: client.host_retry_longest: host_retry_longest (10s) is shorter than "
            "host_retry_after (1m): exchange them or leave host_retry_longest out\n");
}

TEST(Together, ExpiryBeforeTheFirstRetryIsWarnedAbout) {
  EXPECT_EQ(told_of("[retry]\nexpire_after = \"30s\"\n"),
            "warning: test.toml:7: retry.expire_after: expire_after (30s) is shorter than first "
            "(1m): what fails once is never tried again\n");
  EXPECT_EQ(told_of("[retry]\nfirst = \"1s\"\nexpire_after = \"3s\"\n"), "");
  EXPECT_EQ(told_of("[retry]\ndelay_notice_after = \"4d\"\n"),
            "warning: test.toml:7: retry.delay_notice_after: no delay is ever told: messages "
            "expire after 3d already\n");
}

TEST(Together, AMessageMustFitInASegment) {
  EXPECT_EQ(told_of("[server]\nmessage_size_max = \"100MiB\"\n"),
            "test.toml:7: server.message_size_max: a message of [server] message_size_max (100MiB) "
            "with recipients_max (1000) recipients does not fit in a segment (64MiB): set [spool] "
            "segment_size to \"101MiB\" or more\n");
  EXPECT_EQ(
      told_of("[server]\nmessage_size_max = \"100MiB\"\n[spool]\nsegment_size = \"101MiB\"\n"), "");
  EXPECT_EQ(told_of("[spool]\nsegment_size = \"10MiB\"\n"),
            "test.toml:7: spool.segment_size: a message of [server] message_size_max (50MiB) with "
            "recipients_max (1000) recipients does not fit in a segment (10MiB): set [spool] "
            "segment_size to \"51MiB\" or more\n");
}

TEST(Together, SegmentsAreWholeBlocks) {
  EXPECT_EQ(told_of("[spool]\nsegment_size = \"100MB\"\n"),
            "test.toml:7: spool.segment_size: 100MB is not a multiple of 4KiB, which the disk is "
            "written in: write \"97660KiB\"\n");
}

TEST(Together, AMessageMustFitInMemory) {
  EXPECT_EQ(
      told_of("[spool]\nmemory_max = \"20MiB\"\n"),
      "test.toml:7: spool.memory_max: a message of [server] message_size_max (50MiB) does not "
      "fit in [spool] memory_max (20MiB): raise the one or lower the other\n");
}

TEST(Together, DiskForASegmentOrTwo) {
  EXPECT_EQ(told_of("[spool]\ndisk_max = \"100MiB\"\n"),
            "test.toml:7: spool.disk_max: 100MiB has no room for segments_ready (2) and two more "
            "segments of 64MiB: set disk_max to \"256MiB\" or more, or 0\n");
  EXPECT_EQ(told_of("[spool]\ndisk_max = \"256MiB\"\n"), "");
  EXPECT_EQ(told_of("[spool]\ndisk_max = 0\n"), "");
}

TEST(Together, LimitsBeyondTheMachinesMemory) {
  const Machine machine{{0, 1}, 4ULL << 30, 0};
  EXPECT_EQ(
      told_of("[spool]\nmemory_max = \"2GiB\"\n", machine),
      "test.toml:7: spool.memory_max: at their limits 2 shards may take 5248 MiB of memory, the "
      "machine has 4096 MiB: lower [spool] memory_max (per shard, now 2GiB) or the number of "
      "shards\n");
  EXPECT_EQ(told_of("[spool]\nmemory_max = \"1GiB\"\n", machine), "");
}

TEST(Together, DefaultsBeyondTheMachinesMemoryAreWarnedAbout) {
  Machine machine{{}, 1ULL << 30, 0};
  for (int cpu = 0; cpu < 16; ++cpu) machine.cpus.push_back(cpu);
  EXPECT_EQ(told_of("", machine),
            "warning: test.toml: spool.memory_max: at their limits 16 shards may take 2024 MiB of "
            "memory, the machine has 1024 MiB: lower [spool] memory_max (per shard, now 50MiB) or "
            "the number of shards\n");
  EXPECT_EQ(parse_with("[shards]\ncount = 16\n", machine).errors.size(), 1U);
}

TEST(Together, SocketsForAllSessions) {
  EXPECT_EQ(
      told_of("[client]\nconnections_max = 60000\n"),
      "test.toml:7: client.connections_max: [server] sessions_max (20000) and [client] "
      "connections_max (60000) are 80000 together, [ring] streams_max has room for 65536: set "
      "it to 80000\n");
  EXPECT_EQ(told_of("[client]\nconnections_max = 60000\n[ring]\nstreams_max = 80000\n"), "");
}

TEST(Together, OpenFilesForAllSessionsAreWarnedAbout) {
  EXPECT_EQ(
      told_of("[shards]\ncount = 2\n", {{0, 1}, 16ULL << 30, 20'000}),
      "warning: test.toml:7: shards.count: 2 shards with their sessions and connections may "
      "need 60256 open files, the limit is 20000: raise it (LimitNOFILE= in the unit, ulimit "
      "-Hn), or lower [server] sessions_max and [client] connections_max. Until then they are "
      "13884 and 2313\n");
}

TEST(Together, OpenFilesAreSharedOut) {
  for (const uint64_t files : {24U, 200U, 1024U, 20'000U, 1'000'000U}) {
    for (const char* shards : {"1", "2", "4"}) {
      const Loaded loaded = parse_with(std::string("[shards]\ncount = ") + shards + "\n",
                                       {{0, 1, 2, 3}, 16ULL << 30, files});
      const Settings& s = loaded.settings;
      EXPECT_GE(s.server.sessions_max, 1U);
      EXPECT_GE(s.client.connections_max, 1U);
      const uint64_t sockets = uint64_t{s.server.sessions_max} + s.client.connections_max;
      EXPECT_LE(sockets, s.io.streams_max);
      if (files <= 20'000) {
        const uint64_t of_shards = uint64_t{s.client.connections_max} + s.io.datagrams_max;
        EXPECT_LT(s.server.sessions_max + of_shards * s.shards, files);
      } else {
        EXPECT_EQ(sockets, 40'000U);
      }
    }
  }
}

TEST(Together, ShardsAndProcessors) {
  EXPECT_EQ(told_of("[shards]\ncpus = \"0-7\"\n"),
            "test.toml:7: shards.cpus: this process may not use processors 4-7; it may use 0-3 "
            "(see taskset, the unit's CPUAffinity= and the container's cpuset)\n");
  EXPECT_EQ(told_of("[shards]\ncpus = \"0,9\"\n"),
            "test.toml:7: shards.cpus: this process may not use processor 9; it may use 0-3 (see "
            "taskset, the unit's CPUAffinity= and the container's cpuset)\n");
  EXPECT_EQ(
      told_of("[shards]\ncount = 3\ncpus = \"0-1\"\n"),
      "warning: test.toml:7: shards.count: 3 shards share 2 processors: name as many in cpus, "
      "or leave count to \"auto\"\n");
  EXPECT_EQ(told_of("[shards]\ncount = 5\n"),
            "warning: test.toml:7: shards.count: 5 shards for 4 processors: each takes turns with "
            "others; \"auto\" gives one per processor\n");
}

TEST(Together, Listeners) {
  EXPECT_EQ(told_of("[server]\nlisten = []\n"),
            "test.toml:7: server.listen: is empty: no mail could come in; write addresses, such "
            "as \"127.0.0.1:25\"\n");
  EXPECT_EQ(told_of("[server]\nlisten = [\"127.0.0.1\", \"127.0.0.1:25\"]\n"),
            "test.toml:7: server.listen: 127.0.0.1:25 stands there twice: take one out\n");
  EXPECT_EQ(told_of("[server]\nlisten = [\"127.0.0.1:0\"]\n"),
            "test.toml:7: server.listen: port 0 would give each of 4 shards another port: write a "
            "port, or set [shards] count = 1\n");
  EXPECT_EQ(told_of("[server]\nlisten = [\"127.0.0.1:0\"]\n[shards]\ncount = 1\n"), "");
  EXPECT_EQ(told_of("[metrics]\nlisten = [\"127.0.0.1:25\"]\n"),
            "test.toml:7: metrics.listen: 127.0.0.1:25 is taken already, by [server] listen or by "
            "this list: choose another port\n");
}

TEST(Together, RoutesThatCannotBeToldApart) {
  EXPECT_EQ(told_of("[[route]]\nname = \"all\"\ndomains = [\"example.org\"]\nhosts = "
                    "[\"192.0.2.1\"]\n"),
            "test.toml:7: route.name: \"all\" is the name of the route in line 3 too: choose "
            "another\n");
  EXPECT_EQ(told_of("[[route]]\nname = \"b\"\ndomains = [\"*\"]\nhosts = [\"192.0.2.1\"]\n"),
            "test.toml:8: route.domains: \"*\" is served by the route \"all\" already: take it out "
            "of one of them\n");
  EXPECT_EQ(told_of("[[route]]\nname = \"b\"\ndomains = [\"a.test\", \"A.Test\"]\nhosts = "
                    "[\"192.0.2.1\"]\n"),
            "test.toml:8: route.domains: \"a.test\" is served by the route \"b\" already: take it "
            "out of one of them\n");
}

TEST(Together, RoutesThatLeadNowhere) {
  EXPECT_EQ(told_of_file("[[route]]\nname = \"a\"\ndomains = []\nhosts = []\n"
                         "[[route]]\nname = \"b\"\ndomains = [\"*\"]\nhosts = [\"bad host\"]\n"),
            "test.toml:4: route.domains: is empty: write domains = [\"*\"] for all that no other "
            "route serves\n"
            "test.toml:5: route.hosts: is empty: write where this mail goes, such as hosts = "
            "[\"smtp.example.net:25\"]\n"
            "test.toml:9: route.hosts: \"bad host\" is not a host, its name may have letters, "
            "digits, hyphens and dots only, not \" \": write \"smtp.example.net:587\", "
            "\"192.0.2.1:25\" or \"[2001:db8::1]:25\"\n");
  EXPECT_EQ(told_of_file("[[route]]\nname = \"a\"\ndomains = [\"example.org\"]\nhosts = "
                         "[\"192.0.2.1\"]\n"),
            "");
}

TEST(Together, ARelayDoesNotDeliverToItself) {
  const auto route_to = [](std::string_view host, std::string_view listen) {
    return told_of_file("[[route]]\nname = \"a\"\ndomains = [\"*\"]\nhosts = [\"" +
                        std::string(host) + "\"]\n[server]\nlisten = [\"" + std::string(listen) +
                        "\"]\n");
  };
  const std::string told =
      "test.toml:5: route.hosts: 127.0.0.1:2525 is this relay's own listener: mail would go round "
      "in a loop\n";
  EXPECT_EQ(route_to("127.0.0.1:2525", "127.0.0.1:2525"), told);
  EXPECT_EQ(route_to("127.0.0.1:2525", "0.0.0.0:2525"), told);
  EXPECT_EQ(route_to("127.0.0.1:2525", "[::]:2525"), told);
  EXPECT_EQ(route_to("127.0.0.1:2526", "0.0.0.0:2525"), "");
  EXPECT_EQ(route_to("192.0.2.1:2525", "0.0.0.0:2525"), "");
}

TEST(Together, UnixSocketsSpeakLmtp) {
  const std::string route = "[[route]]\nname = \"a\"\ndomains = [\"*\"]\nhosts = [\"/run/lmtp\"]\n";
  EXPECT_EQ(told_of_file(route),
            "test.toml:5: route.hosts: /run/lmtp is a Unix socket: set lmtp = true if it speaks "
            "LMTP\n");
  EXPECT_EQ(told_of_file(route + "lmtp = true\n"), "");
}

TEST(Schedules, OfARouteAndOfDomainsTakeWhatTheyDoNotSayFromAll) {
  const Loaded loaded = parse_with(
      "[route.retry]\nfirst = \"10s\"\n"
      "[[retry.rule]]\ndomains = [\"a.test\"]\nexpire_after = \"1d\"\n"
      "[retry]\nfirst = \"2m\"\nfactor = 3\n");
  ASSERT_TRUE(loaded.errors.empty()) << all_texts(loaded);
  const queue::RetryOptions& route = *loaded.settings.queue.routes[0].retry;
  EXPECT_EQ(route.first, seconds(10));
  EXPECT_EQ(route.factor, 3);
  const queue::RetryRule& rule = loaded.settings.queue.retry_rules[0];
  EXPECT_EQ(rule.domains, std::vector<std::string>{"a.test"});
  EXPECT_EQ(rule.retry.first, minutes(2));
  EXPECT_EQ(rule.retry.expire_after, hours(24));
  EXPECT_FALSE(parse_with("").settings.queue.routes[0].retry.has_value());
}

TEST(Schedules, AreCheckedEachByItself) {
  EXPECT_EQ(told_of("[route.retry]\nfirst = \"2h\"\nlongest = \"1h\"\n"),
            "test.toml:8: route.retry.longest: longest (1h) is shorter than first (2h): exchange "
            "them or leave longest out\n");
  EXPECT_EQ(
      told_of("[[retry.rule]]\ndomains = [\"a.test\"]\nfirst = \"2h\"\nexpire_after = "
              "\"1h\"\n"),
      "warning: test.toml:9: retry.rule.expire_after: expire_after (1h) is shorter than first "
      "(2h): what fails once is never tried again\n");
  EXPECT_EQ(parse_with("[route.retry]\nfirst = \"6h\"\n").settings.queue.routes[0].retry->longest,
            hours(6));
}

TEST(Schedules, OfTheSameDomainAreToldApart) {
  EXPECT_EQ(told_of("[[retry.rule]]\ndomains = [\"a.test\"]\n[[retry.rule]]\ndomains = "
                    "[\"b.test\", \"A.test\"]\n"),
            "test.toml:9: retry.rule.domains: \"a.test\" stands in line 7 already: take it out of "
            "one of them\n");
  EXPECT_EQ(
      told_of("[[retry.rule]]\ndomains = []\n"),
      "test.toml:7: retry.rule.domains: is empty: write which domains the schedule is for, or "
      "change [retry]\n");
  EXPECT_EQ(told_of("[[retry.rule]]\nfirst = \"1m\"\n"),
            "test.toml:6: retry.rule.domains: is missing: write domains = [\"example.org\"] in "
            "[[retry.rule]]\n");
  EXPECT_EQ(told_of("[[retry.site]]\nhosts = [\"mx.test\"]\n[[retry.site]]\nhosts = "
                    "[\".b.test\", \"MX.test\"]\n"),
            "test.toml:9: retry.site.hosts: \"mx.test\" stands in line 7 already: take it out of "
            "one of them\n");
  EXPECT_EQ(told_of("[[retry.site]]\nhosts = []\n"),
            "test.toml:7: retry.site.hosts: is empty: write which hosts the schedule is for, or "
            "change [retry]\n");
}

TEST(TlsRules, SayForWhomTheyAre) {
  EXPECT_EQ(told_of("[[client.tls.rule]]\nhosts = [\".mx.test\"]\n[[client.tls.rule]]\ndomains = "
                    "[\"a.test\", \".mx.test\"]\n"),
            "");
  EXPECT_EQ(told_of("[[client.tls.rule]]\ndomains = [\"a.test\"]\nhosts = [\"mx.test\"]\n"),
            "test.toml:8: client.tls.rule.hosts: stands beside domains: make two rules of it, one "
            "for the domains and one for the MX hosts\n");
  EXPECT_EQ(told_of("[[client.tls.rule]]\npolicy = \"required\"\n"),
            "test.toml:7: client.tls.rule: is for nobody: write domains = [...], or hosts = [...] "
            "for MX hosts\n");
  EXPECT_EQ(
      told_of("[[client.tls.rule]]\nhosts = [\"mx.test\"]\n[[client.tls.rule]]\nhosts = "
              "[\"mx.test\"]\n"),
      "test.toml:9: client.tls.rule.hosts: \"mx.test\" has a rule already: take it out of one "
      "of them\n");
}

TEST(Together, WaitsForServersThatRunBackwards) {
  EXPECT_NE(
      told_of("[dns]\nattempt_timeout_max = \"500ms\"\n")
          .find("test.toml:7: dns.attempt_timeout_max: attempt_timeout_max (500ms) is shorter "
                "than attempt_timeout (1s): exchange them or leave attempt_timeout_max out\n"),
      std::string::npos);
  EXPECT_EQ(parse_with("[dns]\nattempt_timeout = \"5s\"\n").settings.resolver.attempt_timeout_max,
            seconds(5));
  EXPECT_NE(told_of("[dns.cache]\nttl_min = \"2d\"\n").find("test.toml:7: dns.cache.ttl_"),
            std::string::npos);
  std::string many = "[dns]\nservers = [";
  for (int i = 1; i <= 9; ++i) many += "\"192.0.2." + std::to_string(i) + "\",";
  EXPECT_NE(told_of(many + "]\n").find("test.toml:7: dns.servers: has 9 servers, 8 are possible\n"),
            std::string::npos);
}

TEST(Together, SigningWhatOthersChangeOnTheWayIsWarnedAbout) {
  const auto told_with = [](const std::string& lists) {
    return told_of(
        "[[dkim.keys]]\ndomain = \"example.com\"\nselector = \"s\"\nkey_file = \"/x\"\n" + lists);
  };
  EXPECT_EQ(told_with("signed = [\"x-a\", \"Return-Path\", \"received\"]\n"),
            "warning: test.toml:10: dkim.keys.signed: Return-Path should not be signed (RFC 6376 "
            "5.4): servers change it on the way, and the last one writes its own, and the "
            "signature fails; leave it out\n"
            "warning: test.toml:10: dkim.keys.signed: received should not be signed (RFC 6376 "
            "5.4): every server on the way adds one, and some remove those of others, and the "
            "signature fails; leave it out\n");
  EXPECT_NE(told_with("oversigned = [\"from\", \"Received\"]\n")
                .find("warning: test.toml:10: dkim.keys.oversigned: Received "),
            std::string::npos);
  EXPECT_EQ(told_with("signed = [\"received-x\"]\n"), "");
  EXPECT_EQ(told_with(""), "");
}

TEST(Together, DangersAreWarnedAbout) {
  EXPECT_EQ(told_of("[server]\nrelay_networks = [\"0.0.0.0/0\"]\n"),
            "warning: test.toml:7: server.relay_networks: 0.0.0.0/0 lets everybody who can connect "
            "send to anywhere: an open relay is found within hours and listed; name your own "
            "networks\n");
  EXPECT_EQ(told_of("[spool]\ndurability = \"relaxed\"\n"),
            "warning: test.toml:7: spool.durability: \"relaxed\": a power failure loses mail that "
            "was accepted\n");
  EXPECT_EQ(told_of("[server]\ntext_line_length_max = 500\n"),
            "warning: test.toml:7: server.text_line_length_max: 500 is less than the 998 octets "
            "that RFC 5321 lets a line have\n");
  EXPECT_EQ(told_of("[control]\nmode = \"0666\"\n"),
            "warning: test.toml:7: control.mode: 0666 lets every user of this machine list, retry "
            "and remove mail: write \"0600\", or \"0660\" for a group of operators\n");
  EXPECT_EQ(told_of("[control]\nmode = \"0660\"\n"), "");
}

}  // namespace
}  // namespace ringmta::config
