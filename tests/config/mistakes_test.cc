// SPDX-License-Identifier: GPL-3.0-or-later
// What an operator reads after a slip of the pen: file, line, key and what to write instead.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "machine.h"
#include "ringmta/base/prng.h"

namespace ringmta::config {
namespace {

struct Mistake {
  const char* lines;  // from line 6 on, behind kLeast
  const char* told;   // everything that is told, line by line
};

const Mistake kMistakes[] = {
    // Keys and sections that do not exist.
    {"[server]\nlissten = []\n",
     "test.toml:7: server.lissten: there is no such key in [server]; did you mean \"listen\"?\n"},
    {"shutdown_maxx = \"1s\"\n",  // behind [[route]], so in it
     "test.toml:6: route.shutdown_maxx: there is no such key in [[route]]; docs/configuration.md "
     "lists all there are\n"},
    {"[server]\ndirectory = \"/x\"\n",
     "test.toml:7: server.directory: there is no such key in [server]; did you mean directory in "
     "[spool]?\n"},
    {"[server]\nhostname = \"x\"\n",
     "test.toml:7: server.hostname: there is no such key in [server]; did you mean hostname at the "
     "top of the file?\n"},
    {"[control]\nidle = \"1s\"\n",
     "test.toml:7: control.idle: there is no such key in [control]; did you mean idle in "
     "[server.timeouts] or idle in [client.timeouts]?\n"},
    {"[sever]\nlisten = []\n",
     "test.toml:6: sever: there is no such section; did you mean [server]?\n"},
    {"[client.timeout]\nidle = \"1s\"\n",
     "test.toml:6: client.timeout: there is no such section; did you mean [client.timeouts]?\n"},
    {"[[rout]]\nname = \"x\"\n",
     "test.toml:6: rout: there is no such section; did you mean [[route]]?\n"},
    {"[weather]\nsun = true\n",
     "test.toml:6: weather: there is no such section; docs/configuration.md lists all there are\n"},
    {"[server]\ntimeouts = \"10s\"\n",
     "test.toml:7: server.timeouts: is a section: write [server.timeouts] once, on a line of its "
     "own\n"},
    {"[[spool]]\ndirectory = \"/x\"\n",
     "test.toml:6: spool: is a section: write [spool] once, on a line of its own\n"},

    // Values that are not what the key takes.
    {"[server]\nlisten = [\"127.0.0.1:99999\"]\n",
     "test.toml:7: server.listen: \"127.0.0.1:99999\" has no valid port: it is a number from 0 to "
     "65535\n"},
    {"[server]\nlisten = \"127.0.0.1:25\"\n",
     "test.toml:7: server.listen: expects a list of texts in brackets: write listen = "
     "[\"127.0.0.1:25\", \"[::1]:25\"]\n"},
    {"[server]\nlisten = [\n  \"127.0.0.1:2525\",\n  25,\n  \"mail.example.org\",\n]\n",
     "test.toml:9: server.listen: each element is a text in quotes: write listen = "
     "[\"127.0.0.1:25\", \"[::1]:25\"]\n"
     "test.toml:10: server.listen: \"mail.example.org\" is not a literal address: write "
     "192.0.2.1:25, [2001:db8::1]:25 or the address without a port\n"},
    {"[server]\nlisten = [\"/run/smtp\"]\n",
     "test.toml:7: server.listen: \"/run/smtp\" is a path: an address is wanted\n"},
    {"[server]\nrelay_networks = [\"192.0.2.1/24\"]\n",
     "test.toml:7: server.relay_networks: \"192.0.2.1/24\" has host bits beyond its prefix: did "
     "you "
     "mean 192.0.2.0/24?\n"},
    {"[metrics]\nlisten = [\"127.0.0.1\"]\n",
     "test.toml:7: metrics.listen: \"127.0.0.1\" has no port: write it behind the address, such as "
     "\"127.0.0.1:9465\"\n"},
    {"[server]\nsessions_max = \"many\"\n",
     "test.toml:7: server.sessions_max: expects a whole number without quotes: write sessions_max "
     "= 20000\n"},
    {"[server]\nsessions_max = 0\n",
     "test.toml:7: server.sessions_max: 0 is out of range (1 to 1000000)\n"},
    {"[server]\nsessions_max = -5\n",
     "test.toml:7: server.sessions_max: -5 is out of range (1 to 1000000)\n"},
    {"[server]\ndsn = \"yes\"\n",
     "test.toml:7: server.dsn: expects true or false without quotes: write dsn = true\n"},
    {"[server.timeouts]\nidle = 300\n",
     "test.toml:7: server.timeouts.idle: expects a duration with its unit: write idle = \"5m\"\n"},
    {"[retry]\nfirst = \"soon\"\n",
     "test.toml:7: retry.first: \"soon\" is not a duration: write whole numbers with ms, s, m "
     "(minutes), h or d, such as \"10s\" or \"1h30m\"\n"},
    {"[retry]\nfirst = \"500ms\"\n",
     "test.toml:7: retry.first: 500ms is out of range (1s to 1d)\n"},
    {"[retry]\nfactor = \"2\"\n",
     "test.toml:7: retry.factor: expects a number without quotes: write factor = 2.0\n"},
    {"[retry]\njitter = 1.5\n", "test.toml:7: retry.jitter: 1.5 is out of range (0 to 0.9)\n"},
    {"[spool]\nsegment_size = \"64M\"\n",
     "test.toml:7: spool.segment_size: \"64M\" may mean two things: write \"64MiB\" (units of "
     "1024) "
     "or \"64MB\" (units of 1000)\n"},
    {"[spool]\nsegment_size = true\n",
     "test.toml:7: spool.segment_size: expects a size with its unit: write segment_size = "
     "\"64MiB\"\n"},
    {"[spool]\ndurability = \"synk\"\n",
     "test.toml:7: spool.durability: \"synk\" is not one of \"sync\" or \"relaxed\"; did you mean "
     "\"sync\"?\n"},
    {"[spool]\nwrite_mode = \"mmap\"\n",
     "test.toml:7: spool.write_mode: \"mmap\" is not one of \"automatic\", \"direct\" or "
     "\"buffered\"\n"},
    {"[spool]\ndirectory = \"spool\"\n",
     "test.toml:7: spool.directory: \"spool\" is not an absolute path: where it lies would depend "
     "on the directory the relay is started in; write it with a leading /\n"},
    {"[spool]\ndirectory = \"\"\n",
     "test.toml:7: spool.directory: \"\" is not an absolute path: where it lies would depend on "
     "the "
     "directory the relay is started in; write it with a leading /\n"},
    {"[shards]\ncount = \"all\"\n",
     "test.toml:7: shards.count: expects \"auto\" (one shard per processor) or a number from 1 to "
     "256: write count = \"auto\" or count = 2\n"},
    {"[shards]\ncount = 257\n",
     "test.toml:7: shards.count: expects \"auto\" (one shard per processor) or a number from 1 to "
     "256: write count = \"auto\" or count = 2\n"},
    {"[shards]\ncpus = \"3-1\"\n",
     "test.toml:7: shards.cpus: the range 3-1 in the processor list \"3-1\" runs backwards: write "
     "1-3\n"},
    {"[shards]\ncpus = [0, 1]\n",
     "test.toml:7: shards.cpus: expects a list of processors as a text: write cpus = \"0-3,8\"\n"},
    {"[process]\nuser = \"--help\"\n",
     "test.toml:7: process.user: \"--help\" cannot be the name of a user or a group\n"},
    {"[control]\nmode = 600\n",
     "test.toml:7: control.mode: expects permissions as octal digits in quotes: write mode = "
     "\"0600\" (the relay's user), \"0660\" (its group too)\n"},
    {"[client]\nsource4 = \"::1\"\n",
     "test.toml:7: client.source4: \"::1\" is not an IPv4 address without a port: write "
     "source4 = \"192.0.2.7\", or \"\" for the system's choice\n"},
    {"[client]\nsource6 = \"[2001:db8::1]:25\"\n",
     "test.toml:7: client.source6: \"[2001:db8::1]:25\" is not an IPv6 address without a port: "
     "write source6 = \"2001:db8::7\", or \"\" for the system's choice\n"},
    {"[queue]\npostmaster = \"postmaster\"\n",
     "test.toml:7: queue.postmaster: \"postmaster\" is not a mail address: write it like "
     "\"postmaster@example.org\"\n"},
    {"[server]\ntenant_default = \"two words\"\n",
     "test.toml:7: server.tenant_default: \"two words\" is not a name: write one word of at most "
     "63 "
     "printable ASCII characters\n"},
    {"[ring]\nentries = 1000\n",
     "test.toml:7: ring.entries: 1000 is out of range (64 to 16384, a power of two)\n"},

    // What must be there.
    {"[[route]]\nname = \"b\"\n",
     "test.toml:6: route.domains: is missing: write domains = [\"*\"] in [[route]]\n"
     "test.toml:6: route.hosts: is missing: write hosts = [\"smtp.example.net:25\"] in "
     "[[route]]\n"},

    // Not TOML.
    {"[server\n", nullptr},
};

TEST(Mistakes, AreToldWithLineKeyAndRemedy) {
  for (const Mistake& mistake : kMistakes) {
    const Loaded loaded = parse_with(mistake.lines);
    if (mistake.told != nullptr) {
      EXPECT_EQ(all_texts(loaded), mistake.told) << mistake.lines;
    }
    EXPECT_FALSE(loaded.errors.empty()) << mistake.lines;
  }
}

TEST(Mistakes, NamesOfHosts) {
  const auto told = [](std::string_view hostname) {
    return all_texts(parse("hostname = \"" + std::string(hostname) +
                               "\"\n[[route]]\nname = \"a\"\ndomains = [\"*\"]\nhosts = "
                               "[\"192.0.2.1\"]\n",
                           "test.toml", a_machine()));
  };
  EXPECT_EQ(told("relay.example.org"), "");
  EXPECT_EQ(told("relay_1.example.org"),
            "test.toml:1: hostname: \"relay_1.example.org\" is not a domain name, it may have "
            "letters, digits, hyphens and dots only, not \"_\": write the full name of this host, "
            "such as \"mail.example.org\"\n");
  EXPECT_EQ(
      told("relay"),
      "warning: test.toml:1: hostname: \"relay\" has no domain: many hosts refuse mail from a "
      "name that is not full\n");
}

TEST(Mistakes, AllOfAFileAreToldInTheOrderOfItsLines) {
  const Loaded loaded = parse(
      "hostname = \"x.test\"\n[server]\nlisten = [\"127.0.0.1:99999\"]\nlissten = []\n"
      "[[route]]\nname = \"a\"\ndomains = [\"*\"]\nhosts = [\"127.0.0.1:25\"]\n"
      "[retry]\nfirst = \"soon\"\n[spool]\nsegment_size = \"1000001B\"\n",
      "/etc/bad.toml", a_machine());
  std::vector<std::pair<uint32_t, std::string>> told;
  for (const Problem& problem : loaded.errors) told.emplace_back(problem.line, problem.key);
  const std::vector<std::pair<uint32_t, std::string>> wanted = {
      {3, "server.listen"}, {4, "server.lissten"}, {10, "retry.first"}, {12, "spool.segment_size"}};
  EXPECT_EQ(told, wanted) << all_texts(loaded);
}

TEST(Mistakes, AnEmptyFileLacksAHostname) {
  EXPECT_EQ(
      all_texts(parse("", "test.toml", a_machine())),
      "test.toml:1: hostname: is missing: write hostname = \"mail.example.org\" at the top of "
      "the file\n");
}

TEST(Mistakes, OneBracketTooFew) {
  EXPECT_EQ(
      all_texts(parse("hostname = \"a.test\"\n[route]\nname = \"a\"\n", "test.toml", a_machine())),
      "test.toml:2: route: may stand in a file several times: write [[route]] with two brackets, "
      "on "
      "a line of its own\n");
}

TEST(Mistakes, WhatIsNotTomlIsToldWithItsLine) {
  const Loaded loaded =
      parse("hostname = \"a.test\"\nlog_level = info\n", "test.toml", a_machine());
  ASSERT_EQ(loaded.errors.size(), 1U);
  EXPECT_TRUE(text(loaded, loaded.errors[0]).starts_with("test.toml:2: this is not TOML: "))
      << all_texts(loaded);
}

// Whatever is done to a file, it is either read or told about; nothing crashes, and what was read
// without a complaint can be written down and read again.
TEST(Mistakes, OfAnyKindAreSurvived) {
  const std::string whole = effective(parse_with("[[retry.rule]]\ndomains = [\"a.test\"]\n"
                                                 "[route.retry]\nfirst = \"1s\"\n")
                                          .settings);
  constexpr std::string_view kLetters = "\"[]=.,#'-_0159azAZ\n \\{}";
  Prng dice(42);
  int fine = 0;
  for (int i = 0; i < 3000; ++i) {
    std::string file = whole;
    for (uint64_t edits = 1 + dice.below(3); edits > 0; --edits) {
      const size_t at = dice.below(file.size());
      const size_t length = std::min<size_t>(dice.below(20), file.size() - at);
      switch (dice.below(3)) {
        case 0:
          file.erase(at, length);
          break;
        case 1:
          file[at] = kLetters[dice.below(kLetters.size())];
          break;
        default:
          file.insert(dice.below(file.size()), file.substr(at, length));
      }
    }
    const Loaded loaded = parse(file, "test.toml", a_machine());
    for (const Problem& problem : loaded.errors) {
      ASSERT_FALSE(problem.what.empty());
      ASSERT_GT(problem.line, 0U) << text(loaded, problem);
    }
    if (!loaded.errors.empty()) continue;
    ++fine;
    const std::string shown = effective(loaded.settings);
    const Loaded again = parse(shown, "test.toml", a_machine());
    ASSERT_TRUE(again.errors.empty()) << all_texts(again) << shown;
    ASSERT_EQ(effective(again.settings), shown);
  }
  EXPECT_GT(fine, 20);
  EXPECT_LT(fine, 2980);
}

class Files : public testing::Test {
 protected:
  void SetUp() override {
    directory_ =
        std::filesystem::temp_directory_path() / ("ringmta-config-" + std::to_string(::getpid()));
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::filesystem::path directory_;
};

TEST_F(Files, AreReadFromDisk) {
  const std::string file = directory_ / "ringmta.toml";
  std::ofstream(file) << kLeast;
  const Loaded loaded = load(file, a_machine());
  EXPECT_TRUE(loaded.errors.empty()) << all_texts(loaded);
  EXPECT_EQ(loaded.settings.hostname, "relay.example.org");
}

TEST_F(Files, ThatAreNotThereAreToldByName) {
  const std::string file = directory_ / "missing.toml";
  EXPECT_EQ(all_texts(load(file, a_machine())),
            file +
                ": cannot be read: No such file or directory; name the configuration with -c "
                "FILE\n");
}

TEST_F(Files, ThatAreDirectoriesAreTold) {
  const std::string told = all_texts(load(directory_, a_machine()));
  EXPECT_EQ(told, directory_.string() + ": cannot be read: Is a directory\n");
}

}  // namespace
}  // namespace ringmta::config
