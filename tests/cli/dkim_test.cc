// SPDX-License-Identifier: GPL-3.0-or-later
// `ringmta dkim`: keys that are made, and records that are theirs or are not. What the DNS says is
// tests/interop/dkim_test.py's matter.
#include <sys/stat.h>
#include <unistd.h>

#include <regex>

#include "console.h"

namespace ringmta::cli {
namespace {

// The record in the words of `ringmta dkim key`, its strings joined.
std::string record_in(const std::string& out) {
  static const std::regex kString("\n    \"([^\"]*)\"");
  std::string record;
  for (std::sregex_iterator it(out.begin(), out.end(), kString), end; it != end; ++it) {
    record += (*it)[1];
  }
  return record;
}

class DkimCommand : public ::testing::Test {
 protected:
  Ran make(const std::string& name, const std::vector<std::string>& more = {}) {
    std::vector<std::string> words{"dkim",       "key", "--domain", "example.org",
                                   "--selector", "s1",  "--out",    directory.path(name)};
    words.insert(words.end(), more.begin(), more.end());
    return run_words(words);
  }
  Ran check(const std::string& name, const std::string& record) {
    return run_words({"dkim", "check", "--key", directory.path(name), "--record", record});
  }
  Directory directory;
};

TEST_F(DkimCommand, AKeyIsForItsUserAlone) {
  const Ran made = make("a.pem");
  ASSERT_EQ(made.status, kDone) << made.err;
  EXPECT_EQ(made.err, "");
  struct stat state{};
  ASSERT_EQ(::stat(directory.path("a.pem").c_str(), &state), 0);
  EXPECT_EQ(state.st_mode & 07777, 0600U);
  EXPECT_NE(made.out.find("s1._domainkey.example.org. IN TXT ("), std::string::npos) << made.out;
  EXPECT_NE(made.out.find("[[dkim.keys]]\ndomain = \"example.org\"\n"), std::string::npos);
  EXPECT_EQ(made.out.find("PRIVATE"), std::string::npos);
}

TEST_F(DkimCommand, ItsRecordIsItsOwnAndNoOther) {
  for (const std::vector<std::string>& kind :
       {std::vector<std::string>{"--bits", "1024"}, {"--bits", "2048"}, {"--ed25519"}}) {
    const std::string record = record_in(make(kind.back() + ".pem", kind).out);
    const std::string other = record_in(make(kind.back() + "-other.pem", kind).out);
    EXPECT_EQ(check(kind.back() + ".pem", record).status, kDone) << record;
    const Ran refused = check(kind.back() + ".pem", other);
    EXPECT_EQ(refused.status, kFailed);
    EXPECT_NE(refused.out.find("belongs to another private key"), std::string::npos);
  }
}

TEST_F(DkimCommand, ARevokedOrTestingRecordIsTold) {
  const std::string record = record_in(make("a.pem").out);
  EXPECT_EQ(check("a.pem", "v=DKIM1; p=").status, kFailed);
  const Ran testing = check("a.pem", record + "; t=y");
  EXPECT_EQ(testing.status, kDone);
  EXPECT_NE(testing.err.find("t=y"), std::string::npos);
}

// The configuration knows the identity, the record forbids it (RFC 6376 3.6.1).
TEST_F(DkimCommand, ARecordForItsDomainAloneDoesNotFitAnIdentityBelow) {
  const std::string record = record_in(make("a.pem").out);
  const auto check_with = [&](const std::string& identity, const std::string& published) {
    std::ofstream(directory.path("c.toml"))
        << "hostname = \"relay.example.org\"\n[[dkim.keys]]\ndomain = \"example.org\"\n"
        << "selector = \"s1\"\nkey_file = \"" << directory.path("a.pem") << "\"\nidentity = \""
        << identity << "\"\n";
    return run_words({"dkim", "check", "-c", directory.path("c.toml"), "--domain", "example.org",
                      "--selector", "s1", "--record", published});
  };
  const Ran refused = check_with("@news.example.org", record + "; t=s");
  EXPECT_EQ(refused.status, kFailed) << refused.out;
  EXPECT_NE(refused.out.find("t=s"), std::string::npos) << refused.out;
  EXPECT_EQ(check_with("@news.example.org", record).status, kDone);
  EXPECT_EQ(check_with("news@example.org", record + "; t=s").status, kDone);
  EXPECT_EQ(check_with("", record + "; t=s").status, kDone);
}

TEST_F(DkimCommand, AFileIsNeverReplaced) {
  ASSERT_EQ(make("a.pem").status, kDone);
  const Ran again = make("a.pem");
  EXPECT_EQ(again.status, kFailed);
  EXPECT_NE(again.err.find("is there already"), std::string::npos) << again.err;
  EXPECT_EQ(again.out, "");
}

TEST_F(DkimCommand, WeakKeysAndMistakesAreTold) {
  EXPECT_NE(make("weak.pem", {"--bits", "1024"}).err.find("1024 bits is weak"), std::string::npos);
  EXPECT_EQ(make("a.pem", {"--bits", "512"}).status, kMistake);
  const Ran odd = make("odd.pem", {"--bits", "2047"});
  EXPECT_EQ(odd.status, kMistake);
  EXPECT_NE(odd.err.find("choose 2032 or 2048"), std::string::npos) << odd.err;
  EXPECT_NE(::access(directory.path("odd.pem").c_str(), F_OK), 0);
  EXPECT_EQ(run_words({"dkim", "key", "--domain", "nodot", "--selector", "s1", "--out",
                       directory.path("b.pem")})
                .status,
            kMistake);
  EXPECT_EQ(run_words({"dkim", "check", "--key", directory.path("weak.pem")}).status, kMistake);
  EXPECT_EQ(check("not-there.pem", "v=DKIM1; p=").status, kMistake);
}

// A configuration's keys are looked into when it is checked: each mistake with its line.
TEST_F(DkimCommand, AConfigurationTellsWhatIsWrongWithItsKeys) {
  ASSERT_EQ(make("weak.pem", {"--bits", "1024"}).status, kDone);
  ::chmod(directory.path("weak.pem").c_str(), 0644);
  std::ofstream(directory.path("c.toml"))
      << "hostname = \"relay.example.org\"\n[dkim]\n"
      << "[[dkim.keys]]\ndomain = \"example.org\"\nselector = \"s1\"\nkey_file = \""
      << directory.path("weak.pem") << "\"\nlifetime = \"1h\"\n"
      << "[[dkim.keys]]\ndomain = \"example.org\"\nselector = \"s1\"\nkey_file = \""
      << directory.path("none.pem") << "\"\n";
  const Ran ran = run_words({"check", "-c", directory.path("c.toml")});
  EXPECT_EQ(ran.status, kMistake);
  for (const char* told : {"c.toml:6: dkim.keys.key_file: ", "has mode 0644", "1024 bits is weak",
                           "c.toml:7: dkim.keys.lifetime: ", "c.toml:10: dkim.keys.selector: ",
                           "is the name of the key in line 5 too",
                           "c.toml:11: dkim.keys.key_file: ", "none.pem cannot be read",
                           "make one with 'ringmta dkim key'"}) {
    EXPECT_NE(ran.err.find(told), std::string::npos) << told << " in\n" << ran.err;
  }
}

}  // namespace
}  // namespace ringmta::cli
