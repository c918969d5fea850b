// SPDX-License-Identifier: GPL-3.0-or-later
// Which keys sign a message, and what key files tell of themselves.
#include "ringmta/dkim/key_ring.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "test_keys.h"

namespace ringmta::dkim {
namespace {

using Texts = std::vector<std::string>;

class Ring : public ::testing::Test {
 protected:
  Ring() {
    std::string pattern = std::filesystem::temp_directory_path() / "ringmta-ring-XXXXXX";
    directory = ::mkdtemp(pattern.data());
  }
  ~Ring() override { std::filesystem::remove_all(directory); }

  std::string file(const std::string& name, const char* pem, mode_t mode = 0600) {
    const std::string path = directory / name;
    std::ofstream(path) << pem;
    ::chmod(path.c_str(), mode);
    return path;
  }
  void key(const std::string& selector, const std::string& domain, Texts from = {},
           Texts tenants = {}) {
    KeyOptions& one = options.keys.emplace_back();
    one.key_file = file("key.pem", kEd25519Pem);
    one.signature.selector = selector;
    one.signature.domain = domain;
    one.from = std::move(from);
    one.tenants = std::move(tenants);
  }
  // Selectors of those that sign.
  Texts chosen(std::string_view author, std::string_view tenant = {}) {
    if (ring == nullptr) ring = std::move(*KeyRing::load(options));
    std::vector<Signer*> signers;
    ring->choose(author, tenant, signers);
    Texts names;
    for (const Signer* one : signers) names.push_back(one->options().selector);
    return names;
  }

  std::filesystem::path directory;
  Options options;
  std::unique_ptr<KeyRing> ring;
};

TEST_F(Ring, AKeyIsForItsDomainAndWhatIsBelow) {
  key("a", "Example.com");
  EXPECT_EQ(chosen("example.com"), Texts{"a"});
  EXPECT_EQ(chosen("x.y.example.com"), Texts{"a"});
  EXPECT_EQ(chosen("notexample.com"), Texts{});
  EXPECT_EQ(chosen("com"), Texts{});
  EXPECT_EQ(chosen(""), Texts{});
}

TEST_F(Ring, TheLongestDomainSignsAlone) {
  key("far", "example.com");
  key("near", "news.example.com");
  EXPECT_EQ(chosen("example.com"), Texts{"far"});
  EXPECT_EQ(chosen("news.example.com"), Texts{"near"});
  EXPECT_EQ(chosen("a.news.example.com"), Texts{"near"});
}

TEST_F(Ring, SeveralKeysOfADomainSignInTheOrderOfTheFile) {
  key("rule", "esp.example", {"*"});
  key("rsa", "example.com");
  key("ed", "example.com");
  EXPECT_EQ(chosen("example.com"), (Texts{"rule", "rsa", "ed"}));
  EXPECT_EQ(chosen("other.example"), Texts{"rule"});
}

TEST_F(Ring, ARuleIsAskedForTheWholeNameOrWhatIsBelow) {
  key("exact", "esp.example", {"One.example"});
  key("below", "esp.example", {".two.example"});
  key("both", "esp.example", {"three.example", ".three.example", "*"});
  EXPECT_EQ(chosen("one.example"), (Texts{"exact", "both"}));
  EXPECT_EQ(chosen("x.one.example"), Texts{"both"});
  EXPECT_EQ(chosen("two.example"), Texts{"both"});
  EXPECT_EQ(chosen("x.y.two.example"), (Texts{"below", "both"}));
  EXPECT_EQ(chosen("x.three.example"), Texts{"both"});  // once, though two of its patterns fit
}

TEST_F(Ring, TenantsNarrowARule) {
  key("far", "example.com");
  key("near", "news.example.com", {}, {"a", "b"});
  key("rule", "esp.example", {"*"}, {"b"});
  EXPECT_EQ(chosen("news.example.com", "a"), Texts{"near"});
  EXPECT_EQ(chosen("news.example.com", "b"), (Texts{"near", "rule"}));
  EXPECT_EQ(chosen("news.example.com", "c"), Texts{"far"});  // the near one is not for it
  EXPECT_EQ(chosen("news.example.com"), Texts{"far"});
}

TEST_F(Ring, NoMoreThanEightSign) {
  for (int i = 0; i < 12; ++i) key("s" + std::to_string(i), "esp.example", {"*"});
  EXPECT_EQ(chosen("example.com").size(), KeyRing::kSignaturesMax);
  EXPECT_EQ(chosen("example.com").back(), "s7");
}

TEST_F(Ring, BodyHashesAreThoseThatKeysNeed) {
  key("a", "example.com");
  EXPECT_EQ(chosen("example.com"), Texts{"a"});
  EXPECT_TRUE(ring->bodies().relaxed);
  EXPECT_FALSE(ring->bodies().simple);
  options.keys[0].signature.body = Canonicalization::simple;
  ring.reset();
  EXPECT_EQ(chosen("example.com"), Texts{"a"});
  EXPECT_FALSE(ring->bodies().relaxed);
  EXPECT_TRUE(ring->bodies().simple);
}

TEST_F(Ring, FilesTellWhoElseMayReadThem) {
  for (const mode_t mode : {0600, 0400, 0640, 0440}) {
    EXPECT_EQ(read_key_file(file("key.pem", kRsa2048Pem, mode))->warning, "") << std::oct << mode;
  }
  for (const mode_t mode : {0644, 0604, 0660, 0602}) {
    EXPECT_NE(read_key_file(file("key.pem", kRsa2048Pem, mode))->warning.find("chmod 0600"),
              std::string::npos)
        << std::oct << mode;
  }
}

TEST_F(Ring, FilesThatAreNoKeysAreRefusedByName) {
  const auto error = [](const std::string& path) { return read_key_file(path).error().message; };
  EXPECT_NE(error("/nowhere/key.pem").find("/nowhere/key.pem cannot be read"), std::string::npos);
  EXPECT_NE(error("/nowhere/key.pem").find("ringmta dkim key"), std::string::npos);
  EXPECT_NE(error(file("a", "text")).find((directory / "a").string()), std::string::npos);
  EXPECT_NE(error(file("b", std::string(70'000, 'x').c_str())).find("too big"), std::string::npos);
  key("a", "example.com");
  options.keys[0].key_file = "/nowhere/key.pem";
  EXPECT_FALSE(KeyRing::load(options).has_value());
}

}  // namespace
}  // namespace ringmta::dkim
