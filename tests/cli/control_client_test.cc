// SPDX-License-Identifier: GPL-3.0-or-later
// Finding the control socket, and what an operator reads when nobody answers there.
#include "../../src/cli/control_client.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "console.h"

namespace ringmta::cli {
namespace {

using Json = nlohmann::json;

// A socket at `path`, bound and not listened on.
int bound_socket(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  const int number = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(::bind(number, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  return number;
}

TEST(ControlSocket, ThatIsNotThere) {
  Directory directory;
  const Ran ran = run_words({"status", "--socket", directory.path("none.sock")});
  EXPECT_EQ(ran.status, kUnreachable);
  EXPECT_EQ(ran.err, "ringmta: " + directory.path("none.sock") +
                         ": No such file or directory. Is the relay running (systemctl status "
                         "ringmta), and is this the [control] socket of its configuration? Name "
                         "another with --socket or -c\n");
}

TEST(ControlSocket, ThatNobodyListensOn) {
  Directory directory;
  const int number = bound_socket(directory.path("dead.sock"));
  const Ran ran = run_words({"queue", "list", "--socket", directory.path("dead.sock")});
  ::close(number);
  EXPECT_EQ(ran.status, kUnreachable);
  EXPECT_EQ(ran.err, "ringmta: " + directory.path("dead.sock") +
                         ": Connection refused. The socket is there but no relay listens: it has "
                         "ended without clearing up (journalctl -u ringmta), and a start replaces "
                         "the socket\n");
}

TEST(ControlSocket, ThatMayNotBeUsed) {
  // (A test that runs as root is let in everywhere.)
  EXPECT_EQ(
      explain_connect_failure("/run/ringmta/control.sock", EACCES).message,
      "/run/ringmta/control.sock: Permission denied. Run this as root or as the relay's user, "
      "or let your group in by [control] mode = \"0660\"");
}

TEST(ControlSocket, WithAPathThatIsTooLong) {
  const Ran ran = run_words({"status", "--socket", "/" + std::string(200, 'x')});
  EXPECT_EQ(ran.status, kUnreachable);
  EXPECT_NE(ran.err.find("File name too long"), std::string::npos) << ran.err;
}

TEST(ControlSocket, IsFoundByTheConfiguration) {
  Directory directory;
  const std::string least =
      "hostname = \"a.test\"\n[[route]]\nname = \"a\"\ndomains = [\"*\"]\nhosts = "
      "[\"192.0.2.1\"]\n";
  const std::string file =
      directory.write("ringmta.toml", least + "[control]\nsocket = \"/x/y\"\n");
  EXPECT_EQ(find_socket({"", file}).value(), "/x/y");
  EXPECT_EQ(find_socket({"/named", file}).value(), "/named");
  const std::string plain = directory.write("plain.toml", least);
  EXPECT_EQ(find_socket({"", plain}).value(), "/run/ringmta/control.sock");
}

TEST(ControlSocket, IsFoundInAConfigurationWithOtherMistakes) {
  Directory directory;
  const std::string file =
      directory.write("ringmta.toml", "hostname = 7\n[control]\nsocket = \"/x/y\"\n");
  EXPECT_EQ(find_socket({"", file}).value(), "/x/y");
}

TEST(ControlSocket, IsNotFoundWhereItsKeyIsMistaken) {
  Directory directory;
  const std::string file =
      directory.write("ringmta.toml", "hostname = \"a.test\"\n[control]\nsocket = \"x\"\n");
  const Ran ran = run_words({"status", "-c", file});
  EXPECT_EQ(ran.status, kMistake);
  EXPECT_NE(ran.err.find(file + ":3: control.socket: \"x\" is not an absolute path"),
            std::string::npos)
      << ran.err;
}

TEST(ControlSocket, ThatIsSwitchedOffIsSaidToBe) {
  Directory directory;
  const std::string file = directory.write("ringmta.toml", "[control]\nsocket = \"\"\n");
  const Ran ran = run_words({"status", "-c", file});
  EXPECT_EQ(ran.status, kMistake);
  EXPECT_EQ(ran.err, "ringmta: " + file +
                         " sets [control] socket to \"\": this relay cannot be "
                         "asked\n");
}

TEST(Answers, ThatAreErrorsAreTold) {
  FakeRelay relay([](const Json&) {
    return FakeRelay::Lines{{{"error", "shard 3 does not answer"}, {"end", true}}};
  });
  const Ran ran = run_words({"status", "--socket", relay.socket()});
  EXPECT_EQ(ran.status, kFailed);
  EXPECT_EQ(ran.err, "ringmta: shard 3 does not answer\n");
}

// A relay whose answer never gets whole, told by a server of the plainest kind.
class CrookedServer final {
 public:
  explicit CrookedServer(std::string answer) : listener_(bound_socket(path())) {
    ::listen(listener_, 1);
    thread_ = std::thread([this, answer = std::move(answer)] {
      const int peer = ::accept(listener_, nullptr, nullptr);
      char request[4096];
      EXPECT_GT(::recv(peer, request, sizeof request, 0), 0);
      EXPECT_EQ(::send(peer, answer.data(), answer.size(), MSG_NOSIGNAL),
                static_cast<ssize_t>(answer.size()));
      ::close(peer);
    });
  }
  ~CrookedServer() {
    thread_.join();
    ::close(listener_);
  }
  std::string path() const { return directory_.path("crooked.sock"); }

 private:
  Directory directory_;
  int listener_;
  std::thread thread_;
};

TEST(Answers, ThatBreakOffAreTold) {
  CrookedServer server("{\"hostname\":\"a.test\"");
  const Ran ran = run_words({"status", "--socket", server.path()});
  EXPECT_EQ(ran.status, kUnreachable);
  EXPECT_EQ(ran.err, "ringmta: the relay closed the connection before its answer was whole\n");
}

TEST(Answers, ThatAreNotJsonAreTold) {
  CrookedServer server("220 mail.example.org ESMTP\r\n");
  const Ran ran = run_words({"status", "--socket", server.path()});
  EXPECT_EQ(ran.status, kUnreachable);
  EXPECT_EQ(ran.err, "ringmta: the relay's answer is not a JSON object a line\n");
}

TEST(Answers, ThatDoNotComeAreWaitedForWithALimit) {
  Directory directory;
  const int number = bound_socket(directory.path("silent.sock"));
  ::listen(number, 1);
  auto client = ControlClient::connect(directory.path("silent.sock"), Milliseconds{50});
  ASSERT_TRUE(client.has_value());
  const Status asked = client->ask({{"command", "status"}}, [](const Json&) { return true; });
  ::close(number);
  ASSERT_FALSE(asked.has_value());
  EXPECT_EQ(asked.error().code, ETIMEDOUT);
  EXPECT_EQ(asked.error().message,
            "the relay has not answered for 50ms: a shard may be stuck (see its log)");
}

TEST(Answers, AreAskedForSeveralTimesOnOneConnection) {
  FakeRelay relay(
      [](const Json& request) { return FakeRelay::Lines{{{"n", request["n"]}}, {{"end", true}}}; });
  auto client = ControlClient::connect(relay.socket(), seconds(10));
  ASSERT_TRUE(client.has_value());
  for (int n = 0; n < 3; ++n) {
    std::vector<Json> lines;
    const Status asked = client->ask({{"command", "x"}, {"n", n}}, [&](const Json& line) {
      lines.push_back(line);
      return true;
    });
    ASSERT_TRUE(asked.has_value()) << asked.error().message;
    EXPECT_EQ(lines, (std::vector<Json>{{{"n", n}}, {{"end", true}}}));
  }
}

}  // namespace
}  // namespace ringmta::cli
