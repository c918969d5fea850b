// SPDX-License-Identifier: GPL-3.0-or-later
// The users file: what is read, what is refused and how it is told, and how an entry is put in.
#include "ringmta/sasl/users.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

namespace ringmta::sasl {
namespace {

const std::string kKeys =
    "SCRAM-SHA-256$4096:c2FsdHNhbHQ=$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
    "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";  // "pencil"-like; any 32 octets do
const std::string kSecret = "!secret:c2VjcmV0IG9mIDE2IG9jdA==\n";

std::shared_ptr<const Users> parsed(std::string_view text) {
  std::vector<UserFault> faults;
  auto users = Users::parse(text, faults);
  for (const UserFault& fault : faults) ADD_FAILURE() << fault.line << ": " << fault.message;
  return users;
}

std::string first_fault(std::string_view text) {
  std::vector<UserFault> faults;
  EXPECT_EQ(Users::parse(text, faults), nullptr);
  if (faults.empty()) return {};
  return std::to_string(faults[0].line) + ": " + faults[0].message;
}

TEST(Users, AreRead) {
  const auto users =
      parsed("# people\r\n\n" + kSecret + "alice:" + kKeys + "\nbob@x.example:" + kKeys +
             ":tenant=acme sessions=20  messages_per_hour=5000 "
             "senders=Me@X.example,@y.example,@.z.example\n");
  ASSERT_NE(users, nullptr);
  EXPECT_EQ(users->size(), 2U);
  EXPECT_TRUE(users->has_secret());
  const User* alice = users->find("alice");
  ASSERT_NE(alice, nullptr);
  EXPECT_EQ(alice->tenant, "alice");
  EXPECT_EQ(alice->verifier.salt, "saltsalt");
  EXPECT_EQ(alice->verifier.iterations, 4096U);
  EXPECT_TRUE(alice->may_send_as("anybody@anywhere.example"));
  const User* bob = users->find("bob@x.example");
  ASSERT_NE(bob, nullptr);
  EXPECT_EQ(bob->tenant, "acme");
  EXPECT_EQ(bob->sessions_max, 20U);
  EXPECT_EQ(bob->messages_per_hour, 5000U);
  EXPECT_EQ(users->find("Alice"), nullptr);
}

TEST(Users, SendersThatArePermitted) {
  const auto users = parsed("u:" + kKeys + ":senders=Me@X.example,@y.example,@.z.example");
  const User& user = *users->find("u");
  for (const std::string_view good :
       {"", "me@x.example", "ME@x.EXAMPLE", "a@y.example", "a@z.example", "a@b.z.example"}) {
    EXPECT_TRUE(user.may_send_as(good)) << good;
  }
  for (const std::string_view bad :
       {"you@x.example", "a@b.y.example", "a@yy.example", "a@xz.example", "a@z.example.org", "me",
        "me@x.example@z.org", "a@example", "@y.example@x"}) {
    EXPECT_FALSE(user.may_send_as(bad)) << bad;
  }
}

TEST(Users, EachBadLineIsTold) {
  std::vector<UserFault> faults;
  EXPECT_EQ(Users::parse("a:" + kKeys + "\nb\nc:" + kKeys + "\nd:x\n", faults), nullptr);
  ASSERT_EQ(faults.size(), 2U);
  EXPECT_EQ(faults[0].line, 2U);
  EXPECT_EQ(faults[1].line, 4U);
}

TEST(Users, WhatIsWrongIsSaid) {
  const std::pair<std::string, std::string_view> wrong[] = {
      {"alice", "1: expects NAME:"},
      {":" + kKeys, "1: that is no name"},
      {" alice:" + kKeys, "1: that is no name"},
      {"alice:$2y$05$abc", "1: knows SCRAM-SHA-256 only"},
      {"alice:SCRAM-SHA-1$4096:c2FsdHNhbHQ=$x:y", "1: knows SCRAM-SHA-256 only"},
      {"alice:SCRAM-SHA-256$4096:c2FsdHNhbHQ=$AAAA", "1: expects NAME:"},
      {"alice:SCRAM-SHA-256$4095" + kKeys.substr(18), "1: the number of iterations"},
      {"alice:SCRAM-SHA-256$x" + kKeys.substr(18), "1: the number of iterations"},
      {"alice:SCRAM-SHA-256$4096:c2Fs" + kKeys.substr(31), "1: the salt"},
      {"alice:" + kKeys.substr(0, kKeys.size() - 4), "1: a key is not base64"},
      {"alice:" + kKeys + ":tenant", "1: 'tenant' is not KEY=VALUE"},
      {"alice:" + kKeys + ":color=red", "1: there is no option 'color'"},
      {"alice:" + kKeys + ":sessions=-1", "1: sessions= takes a whole number"},
      {"alice:" + kKeys + ":senders=example.org", "1: 'example.org' is no sender"},
      {"alice:" + kKeys + ":senders=,", "1: '' is no sender"},
      {"alice:" + kKeys + "\nalice:" + kKeys, "2: the user 'alice' stands in the file twice"},
      {"al\xFFice:" + kKeys, "1: the name has characters"},
      {"!secret:AAAA", "1: !secret: takes base64"},
      {kSecret + kSecret, "2: there is a !secret: line already"},
  };
  for (const auto& [text, about] : wrong) {
    const std::string told = first_fault(text);
    EXPECT_EQ(told.substr(0, about.size()), about) << text;
    EXPECT_EQ(told.find("WG5d8oPm"), std::string::npos) << "a key is in the message";
  }
}

TEST(Users, TwoSpellingsOfOneNameAreOneUser) {
  EXPECT_EQ(first_fault("p\xC3\xA4l:" + kKeys + "\npa\xCC\x88l:" + kKeys).substr(0, 12),
            "2: the user ");
}

TEST(Users, PretendedOnesKeepTheirFaceAcrossLoads) {
  const auto one = parsed(kSecret + "a:" + kKeys)->pretended("nobody");
  const auto two = parsed(kSecret + "b:" + kKeys)->pretended("nobody");
  EXPECT_EQ(one.salt, two.salt);
  EXPECT_EQ(one.salt.size(), 8U);  // as the users' are
  EXPECT_EQ(one.iterations, 4096U);
  EXPECT_NE(parsed("!secret:b3RoZXIgc2VjcmV0IG9mIDE2\n")->pretended("nobody").salt, one.salt);
  EXPECT_NE(parsed(kSecret)->pretended("nobodi").salt, one.salt);
}

TEST(Users, AnEntryIsPutInAndReplaced) {
  const ScramVerifier old_one = make_verifier("old", "saltsalt", 4096);
  const ScramVerifier new_one = make_verifier("new", "saltsalt", 5000);
  std::string text = with_user("# mine\n", "alice", old_one, "secret of 16 octets");
  EXPECT_TRUE(text.starts_with("!secret:"));
  text = with_user(text, "bob", old_one, "another secret....");
  text.insert(text.find("\nbob"), ":tenant=acme");
  text = with_user(text, "alice", new_one, "another secret....");
  const auto users = parsed(text);
  ASSERT_NE(users, nullptr) << text;
  EXPECT_EQ(users->size(), 2U);
  EXPECT_EQ(users->find("alice")->tenant, "acme");  // options are kept
  EXPECT_TRUE(verify_password("new", users->find("alice")->verifier));
  EXPECT_FALSE(verify_password("old", users->find("alice")->verifier));
  EXPECT_TRUE(verify_password("old", users->find("bob")->verifier));
  EXPECT_NE(text.find("# mine\n"), std::string::npos);
  EXPECT_EQ(text.find("!secret:", 1), std::string::npos);
}

TEST(Users, FilesThatOthersMayReadAreRefused) {
  char path[] = "/tmp/ringmta-users-XXXXXX";
  const int fd = mkstemp(path);
  ASSERT_GE(fd, 0);
  const std::string text = "alice:" + kKeys + "\n";
  ASSERT_EQ(write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  close(fd);
  const auto faults_with = [&](mode_t mode) {
    chmod(path, mode);
    std::vector<UserFault> faults;
    const auto users = Users::load(path, faults);
    EXPECT_EQ(users == nullptr, !faults.empty());
    return faults.empty() ? std::string() : faults[0].message;
  };
  EXPECT_EQ(faults_with(0600), "");
  EXPECT_EQ(faults_with(0640), "");
  for (const mode_t mode : {0644U, 0660U, 0602U}) {
    EXPECT_NE(faults_with(mode).find("chmod 640"), std::string::npos) << mode;
  }
  unlink(path);
  EXPECT_NE(faults_with(0600).find("No such file"), std::string::npos);
  std::vector<UserFault> faults;
  EXPECT_EQ(Users::load("/tmp", faults), nullptr);
  EXPECT_EQ(faults.at(0).message, "is not a file");
}

TEST(UserUsage, SessionsAreCountedOverLoads) {
  const auto first = parsed("carol:" + kKeys)->find("carol")->usage;
  EXPECT_TRUE(first->enter(2));
  EXPECT_TRUE(first->enter(2));
  const auto second = parsed("carol:" + kKeys)->find("carol")->usage;
  EXPECT_FALSE(second->enter(2));
  EXPECT_TRUE(second->enter(0));
  first->leave();
  first->leave();
  EXPECT_EQ(second->sessions(), 1U);
  second->leave();
}

TEST(UserUsage, MessagesPerHour) {
  UserUsage usage;
  const WallTime now{3'600'000LL * 480'000 + 1000};
  EXPECT_TRUE(usage.may_send(2, now));
  EXPECT_TRUE(usage.count_message(2, now));
  EXPECT_TRUE(usage.count_message(2, now));
  EXPECT_FALSE(usage.may_send(2, now));
  EXPECT_FALSE(usage.count_message(2, now + minutes(59)));
  EXPECT_TRUE(usage.may_send(0, now));
  EXPECT_TRUE(usage.may_send(2, now + hours(1)));
  EXPECT_TRUE(usage.count_message(2, now + hours(1)));
}

TEST(UserNames, ThatCanStandInTheFile) {
  for (const std::string_view good : {"a", "alice@x.example", "A B", "p\xC3\xA4l"}) {
    EXPECT_TRUE(is_user_name(good)) << good;
  }
  for (const std::string_view bad : {"", "#a", "!a", "a:b", "a\nb", " a", "a\x7F"}) {
    EXPECT_FALSE(is_user_name(bad)) << bad;
  }
  EXPECT_FALSE(is_user_name(std::string(256, 'a')));
}

}  // namespace
}  // namespace ringmta::sasl
