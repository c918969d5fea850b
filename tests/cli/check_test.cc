// SPDX-License-Identifier: GPL-3.0-or-later
// `ringmta check`, `ringmta serve` up to the relay's start, and the command line itself.
#include <gtest/gtest.h>

#include <cstdlib>

#include "console.h"
#include "ringmta/base/version.h"
#include "ringmta/config/load.h"

namespace ringmta::cli {
namespace {

// Values that do not depend on the machine.
constexpr const char* kConfiguration = R"(hostname = "mail.example.org"
[server]
listen = ["127.0.0.1:2525", "[::1]:2525"]
sessions_max = 100
[client]
connections_max = 100
[[route]]
name = "default"
domains = ["*"]
hosts = ["smtp1.example.net:25", "192.0.2.25:587"]
[[route]]
name = "store"
domains = ["example.org", ".example.org"]
hosts = ["/run/lmtp"]
lmtp = true
connections_max = 4
[shards]
count = 1
[spool]
directory = "/srv/spool"
memory_max = "64MiB"
[metrics]
listen = ["127.0.0.1:9465"]
[process]
user = "root"
landlock = false
)";

TEST(Check, SaysWhatWouldRun) {
  Directory directory;
  const std::string file = directory.write("ringmta.toml", kConfiguration);
  const Ran ran = run_words({"check", "-c", file});
  EXPECT_EQ(ran.status, kDone) << ran.err;
  EXPECT_EQ(ran.err, "");
  EXPECT_EQ(ran.out,
            file +
                " is fine. It runs\n"
                "  relay        mail.example.org, RingMTA 0.1.0\n"
                "  shards       1, not pinned\n"
                "  listens on   127.0.0.1:2525, [::1]:2525\n"
                "  relays for   127.0.0.0/8, ::1/128\n"
                "  limits       messages of 50MiB, 1000 recipients each, 100 sessions\n"
                "  spool        /srv/spool, segments of 64MiB, a 250 follows stable storage\n"
                "  route        default: * to smtp1.example.net:25, 192.0.2.25:587, 100 "
                "connections\n"
                "  route        store: example.org, .example.org to /run/lmtp, 4 "
                "connections, LMTP\n"
                "  retries      after 1m, 2m, 4m, 8m, 16m, 32m, ... up to 4h, give or take "
                "20%; returned after 3d\n"
                "  memory       144 MiB at most\n"
                "  runs as      root, if root starts it, no Landlock\n"
                "  events       none\n"
                "  control      /run/ringmta/control.sock, mode 0600\n"
                "  metrics      127.0.0.1:9465\n");
}

TEST(Check, SaysThatWhatHasNoRouteGoesByMx) {
  Directory directory;
  const Ran all = run_words({"check", "-c", directory.write("a.toml", "hostname = \"a.test\"\n")});
  EXPECT_EQ(all.status, kDone) << all.err;
  EXPECT_NE(all.out.find("\n  route        all by MX records, 100 connections a site\n"),
            std::string::npos)
      << all.out;
  const Ran others = run_words({"check", "-c",
                                directory.write("b.toml",
                                                "hostname = \"a.test\"\n[[route]]\nname = "
                                                "\"b\"\ndomains = [\"b.test\"]\nhosts = "
                                                "[\"192.0.2.1\"]\n[mx]\nconnections_max = 5\n")});
  EXPECT_NE(others.out.find("\n  route        b: b.test to 192.0.2.1, 100 connections\n"
                            "               all others by MX records, 5 connections a site\n"),
            std::string::npos)
      << others.out;
}

TEST(Check, TellsMistakesAndGivesTwo) {
  Directory directory;
  const std::string file = directory.write(
      "bad.toml",
      "hostname = \"x.test\"\n[server]\nlisten = [\"127.0.0.1:99999\"]\nlissten = []\n"
      "[[route]]\nname = \"a\"\ndomains = [\"*\"]\nhosts = [\"127.0.0.1:25\"]\n"
      "[retry]\nfirst = \"soon\"\n");
  const Ran ran = run_words({"check", "-c", file});
  EXPECT_EQ(ran.status, kMistake);
  EXPECT_EQ(ran.out, "");
  for (const char* told : {":3: server.listen: ", ":4: server.lissten: ", ":10: retry.first: "}) {
    EXPECT_NE(ran.err.find(file + told), std::string::npos) << ran.err;
  }
  EXPECT_NE(ran.err.find("\n3 mistakes in " + file + "; the relay would not start\n"),
            std::string::npos)
      << ran.err;
}

TEST(Check, WarnsAndCallsItFineAllTheSame) {
  Directory directory;
  const std::string file = directory.write(
      "ringmta.toml", std::string(kConfiguration) + "[retry]\nexpire_after = \"1s\"\n");
  const Ran ran = run_words({"check", "-c", file});
  EXPECT_EQ(ran.status, kDone);
  EXPECT_NE(ran.err.find("warning: " + file + ":28: retry.expire_after: "), std::string::npos)
      << ran.err;
}

TEST(Check, OfAFileThatIsNotThere) {
  const Ran ran = run_words({"check", "-c", "/nowhere/ringmta.toml"});
  EXPECT_EQ(ran.status, kMistake);
  EXPECT_NE(ran.err.find("/nowhere/ringmta.toml: cannot be read: No such file or directory"),
            std::string::npos)
      << ran.err;
}

TEST(Check, PrintsTheEffectiveConfiguration) {
  Directory directory;
  const std::string file = directory.write("ringmta.toml", kConfiguration);
  const Ran ran = run_words({"check", "--effective", "-c", file});
  EXPECT_EQ(ran.status, kDone) << ran.err;
  EXPECT_NE(ran.out.find("[server.timeouts]\nidle = \"5m\"\n"), std::string::npos) << ran.out;
  const std::string again = directory.write("again.toml", ran.out);
  EXPECT_EQ(run_words({"check", "--effective", "-c", again}).out, ran.out);
}

TEST(Check, PrintsTheReference) {
  const Ran ran = run_words({"check", "--reference"});
  EXPECT_EQ(ran.status, kDone);
  EXPECT_EQ(ran.out, config::reference());
}

std::string served;  // hostname of the settings the relay was started with

TEST(Serve, StartsTheRelayWithTheFilesSettings) {
  Directory directory;
  const std::string file = directory.write("ringmta.toml", kConfiguration);
  served.clear();
  const Ran ran = run_words({"serve", "-c", file}, "", [](const config::Loaded& loaded) {
    served = loaded.settings.hostname;
    return 7;
  });
  EXPECT_EQ(ran.status, 7);
  EXPECT_EQ(served, "mail.example.org");
}

TEST(Serve, DoesNotStartWithMistakes) {
  Directory directory;
  const std::string file = directory.write("bad.toml", "hostname = 3\n");
  const Ran ran = run_words({"serve", "-c", file});
  EXPECT_EQ(ran.status, kMistake);
  EXPECT_NE(ran.err.find(file + ":1: hostname: expects a text in quotes"), std::string::npos)
      << ran.err;
}

TEST(CommandLine, MistakesGiveTwoAndSayWhatIsMeant) {
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{}, "subcommand is required"},
      {{"sevre"}, "there is no command \"sevre\"; did you mean \"serve\"?"},
      {{"queue", "lst"}, "there is no command \"lst\"; did you mean \"list\"?"},
      {{"dance"}, "there is no command \"dance\"; see ringmta --help"},
      {{"status", "--jsn"}, "--jsn"},
      {{"queue"}, "subcommand is required"},
      {{"queue", "show"}, "required"},
      {{"queue", "list", "--limit", "many"}, "--limit"},
      {{"status", "--interval", "2"}, "is not a duration"},
      {{"top", "--interval", "1ms"}, "must be 100ms or more"},
      {{"send"}, "--to is required"},
      {{"status", "--socket", "/x", "-c", "/y"}, "excludes"},
  };
  for (const auto& [words, told] : cases) {
    const Ran ran = run_words(words);
    EXPECT_EQ(ran.status, kMistake) << told;
    EXPECT_NE(ran.err.find(told), std::string::npos) << ran.err;
    EXPECT_EQ(ran.out, "");
  }
}

TEST(CommandLine, HelpIsNoMistake) {
  const Ran ran = run_words({"--help"});
  EXPECT_EQ(ran.status, kDone);
  for (const char* command : {"serve", "check", "status", "top", "queue", "send", "version"}) {
    EXPECT_NE(ran.out.find(command), std::string::npos) << command;
  }
  EXPECT_EQ(run_words({"queue", "remove", "--help"}).status, kDone);
}

TEST(CommandLine, VersionIsThatOfTheProject) {
  EXPECT_EQ(run_words({"version"}).out, std::string("ringmta ") + RINGMTA_PROJECT_VERSION + "\n");
}

}  // namespace
}  // namespace ringmta::cli
