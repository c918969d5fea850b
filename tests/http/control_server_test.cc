// SPDX-License-Identifier: GPL-3.0-or-later
// The control socket as its clients meet it: files, permissions, answers, and clients that
// misbehave.
#include "ringmta/http/control_server.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

namespace ringmta::http {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

class Client final {
 public:
  explicit Client(const std::string& path)
      : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
    connected_ = ::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  }
  ~Client() { ::close(socket_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return connected_; }
  void send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t count = ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
      if (count < 0) return;  // the server has enough of us
      text.remove_prefix(static_cast<size_t>(count));
    }
  }
  // One line; empty: the server closed the connection.
  std::string line() {
    while (input_.find('\n') == std::string::npos) {
      char buffer[4096];
      const ssize_t count = ::recv(socket_, buffer, sizeof(buffer), 0);
      if (count <= 0) return {};
      input_.append(buffer, static_cast<size_t>(count));
    }
    const size_t end = input_.find('\n');
    std::string line = input_.substr(0, end);
    input_.erase(0, end + 1);
    return line;
  }
  json answer() {
    const std::string text = line();
    return text.empty() ? json("closed") : json::parse(text);
  }
  // Takes at most `octets` of what is there, waiting for the first; false: the server closed the
  // connection.
  bool take(size_t octets) {
    std::string buffer(octets, '\0');
    return ::recv(socket_, buffer.data(), buffer.size(), 0) > 0;
  }
  bool has_input() const {
    pollfd watched{socket_, POLLIN, 0};
    return ::poll(&watched, 1, 0) > 0;
  }
  json ask(const json& request) {
    send(request.dump() + "\n");
    return answer();
  }

 private:
  int socket_;
  bool connected_ = false;
  std::string input_;
};

void echo(const json& request, const ControlServer::Reply& reply) {
  reply({{"command", request.at("command")}, {"end", true}});
}

class ControlServerTest : public ::testing::Test {
 protected:
  ControlServerTest() {
    std::string directory = (fs::temp_directory_path() / "control-XXXXXX").string();
    EXPECT_NE(mkdtemp(directory.data()), nullptr);
    directory_ = directory;
    path_ = directory + "/control.sock";
  }
  ~ControlServerTest() override { fs::remove_all(directory_); }

  std::unique_ptr<ControlServer> start(ControlServer::Handler handler = echo) {
    return start(options(), std::move(handler));
  }
  std::unique_ptr<ControlServer> start(const ControlOptions& options,
                                       ControlServer::Handler handler) {
    auto server = ControlServer::start(options, std::move(handler));
    EXPECT_TRUE(server) << server.error().message;
    return server ? std::move(*server) : nullptr;
  }
  ControlOptions options() const {
    ControlOptions options;
    options.path = path_;
    return options;
  }
  std::string start_error() const {
    const auto server = ControlServer::start(path_, 0600, echo);
    EXPECT_FALSE(server);
    return server ? "" : server.error().message;
  }
  mode_t mode() const {
    struct stat found{};
    EXPECT_EQ(::lstat(path_.c_str(), &found), 0);
    return found.st_mode & 07777;
  }
  size_t files() const {
    return static_cast<size_t>(
        std::distance(fs::directory_iterator(directory_), fs::directory_iterator()));
  }

  fs::path directory_;
  std::string path_;
};

TEST_F(ControlServerTest, AnswersARequest) {
  const auto server = start();
  EXPECT_EQ(Client(path_).ask({{"command", "status"}}),
            json::parse(R"({"command": "status", "end": true})"));
}

TEST_F(ControlServerTest, AnswersSeveralRequestsOfAConnectionInOrder) {
  const auto server = start();
  Client client(path_);
  client.send("{\"command\":\"a\"}\n{\"command\":\"b\"}\n{\"command\":\"c\"}\n");
  for (const char* command : {"a", "b", "c"}) EXPECT_EQ(client.answer().at("command"), command);
}

TEST_F(ControlServerTest, ManyRequestsAtOnceNeedNoFurtherInput) {
  const auto server = start();
  Client client(path_);
  std::string requests;
  for (int i = 0; i < 100; ++i) requests += "{\"command\":\"x\"}\n";
  client.send(requests);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(client.answer().at("end"), true);
}

TEST_F(ControlServerTest, TakesARequestInPieces) {
  const auto server = start();
  Client client(path_);
  client.send("{\"comm");
  EXPECT_EQ(Client(path_).ask({{"command", "other"}}).at("command"), "other");
  client.send("and\":\"pieces\"}\n");
  EXPECT_EQ(client.answer().at("command"), "pieces");
}

TEST_F(ControlServerTest, HandsTheWholeRequestOver) {
  const auto server = start([](const json& request, const ControlServer::Reply& reply) {
    reply({{"request", request}, {"end", true}});
  });
  const json request = {
      {"command", "queue.list"}, {"filter", {{"domain", "example.org"}}}, {"limit", 5}};
  EXPECT_EQ(Client(path_).ask(request).at("request"), request);
}

TEST_F(ControlServerTest, SendsAnswersOfManyLines) {
  const auto server = start([](const json&, const ControlServer::Reply& reply) {
    for (int i = 0; i < 1000; ++i) reply({{"entry", i}});
    reply({{"entries", 1000}, {"end", true}});
  });
  Client client(path_);
  client.send("{\"command\":\"x\"}\n");
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(client.answer().at("entry"), i);
  EXPECT_EQ(client.answer().at("entries"), 1000);
}

TEST_F(ControlServerTest, EndsAnAnswerThatItsHandlerLeftOpen) {
  const auto server =
      start([](const json&, const ControlServer::Reply& reply) { reply({{"entry", 1}}); });
  Client client(path_);
  EXPECT_EQ(client.ask({{"command", "x"}}), json::parse(R"({"entry": 1})"));
  EXPECT_EQ(client.answer(), json::parse(R"({"end": true})"));
}

TEST_F(ControlServerTest, SendsNothingBehindTheEnd) {
  const auto server = start([](const json&, const ControlServer::Reply& reply) {
    EXPECT_TRUE(reply({{"end", true}}));
    EXPECT_FALSE(reply({{"more", true}}));
  });
  Client client(path_);
  EXPECT_EQ(client.ask({{"command", "x"}}), json::parse(R"({"end": true})"));
  EXPECT_EQ(client.ask({{"command", "x"}}), json::parse(R"({"end": true})"));
}

TEST_F(ControlServerTest, AnExceptionOfAHandlerIsAnErrorLine) {
  const auto server = start([](const json& request, const ControlServer::Reply&) {
    static_cast<void>(request.at("missing"));
  });
  Client client(path_);
  const json answer = client.ask({{"command", "x"}});
  EXPECT_EQ(answer.at("end"), true);
  EXPECT_NE(answer.at("error").get<std::string>().find("missing"), std::string::npos);
  EXPECT_TRUE(client.ask({{"command", "x"}}).contains("error"));  // and it goes on
}

TEST_F(ControlServerTest, TextThatIsNotUtf8IsReplacedNotRefused) {
  const auto server = start([](const json&, const ControlServer::Reply& reply) {
    reply({{"sender", "caf\xE9@example.org"}, {"end", true}});
  });
  EXPECT_EQ(Client(path_).ask({{"command", "x"}}).at("sender"), "caf\xEF\xBF\xBD@example.org");
}

TEST_F(ControlServerTest, WhatIsNoRequestGetsAnErrorAndTheConnectionGoesOn) {
  const auto server = start();
  Client client(path_);
  const std::string deep(60'000, '[');
  for (const std::string bad : {"", "nonsense", "[]", "1", "{\"command\":", "{}", "{\"command\":1}",
                                "\xFF\xFE", deep.c_str()}) {
    client.send(bad + "\n");
    const json answer = client.answer();
    ASSERT_TRUE(answer.is_object()) << bad;
    EXPECT_TRUE(answer.at("error").is_string()) << bad;
    EXPECT_EQ(answer.at("end"), true) << bad;
  }
  EXPECT_EQ(client.ask({{"command", "good"}}).at("command"), "good");
}

TEST_F(ControlServerTest, ARequestAsLongAsAllowedIsTaken) {
  const auto server = start();
  std::string request = R"({"command":"long","x":")";
  request += std::string(ControlServer::kRequestMax - request.size() - 2, 'x') + "\"}";
  ASSERT_EQ(request.size(), ControlServer::kRequestMax);
  Client client(path_);
  client.send(request + "\n");
  EXPECT_EQ(client.answer().at("command"), "long");
}

TEST_F(ControlServerTest, ALongerRequestIsRefusedAndTheConnectionEnds) {
  const auto server = start();
  Client client(path_);
  client.send(std::string(ControlServer::kRequestMax + 1, ' '));
  EXPECT_NE(client.answer().at("error").get<std::string>().find("65536"), std::string::npos);
  EXPECT_EQ(client.answer(), "closed");
  EXPECT_EQ(Client(path_).ask({{"command", "next"}}).at("command"), "next");
}

TEST_F(ControlServerTest, AClientThatDoesNotReadIsDropped) {
  ControlOptions impatient = options();
  impatient.client_wait_max = Milliseconds{100};
  std::promise<bool> dropped;
  std::atomic<bool> first{true};
  const auto server = start(impatient, [&](const json& request, const ControlServer::Reply& reply) {
    if (!first.exchange(false)) return echo(request, reply);
    const json line = {{"text", std::string(10'000, 'x')}};
    int lines = 0;
    while (lines < 10'000 && reply(line)) ++lines;
    dropped.set_value(lines < 10'000);
  });
  Client silent(path_);
  silent.send("{\"command\":\"x\"}\n");
  EXPECT_TRUE(dropped.get_future().get());
  EXPECT_EQ(Client(path_).ask({{"command", "next"}}).at("command"), "next");
}

// Each wait is short, but a budget for all of them is what keeps a slow reader from holding the
// others up for as long as it likes. The reader is far slower than the answer is made, so the
// server is nearly always the one who waits.
TEST_F(ControlServerTest, AClientThatTakesTooLongInAllIsDropped) {
  ControlOptions impatient = options();
  impatient.client_wait_max = Milliseconds{50};
  const auto server = start(impatient, [](const json&, const ControlServer::Reply& reply) {
    const json line = {{"text", std::string(100'000, 'x')}};
    while (reply(line)) continue;
  });
  Client client(path_);
  client.send("{\"command\":\"x\"}\n");
  while (client.take(65536)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

TEST_F(ControlServerTest, AnIdleClientIsDropped) {
  ControlOptions impatient = options();
  impatient.idle_max = Milliseconds{100};
  const auto server = start(impatient, echo);
  Client client(path_);
  EXPECT_EQ(client.line(), "");
}

TEST_F(ControlServerTest, ManyClientsAreServed) {
  const auto server = start();
  std::vector<std::unique_ptr<Client>> idle;
  for (size_t i = 0; i + 1 < ControlServer::kConnectionsMax; ++i) {
    idle.push_back(std::make_unique<Client>(path_));
    EXPECT_EQ(idle.back()->ask({{"command", "here"}}).at("command"), "here");
  }
  Client last(path_), beyond(path_);
  beyond.send("{\"command\":\"beyond\"}\n");
  for (int i = 0; i < 5; ++i) EXPECT_EQ(last.ask({{"command", "x"}}).at("command"), "x");
  EXPECT_FALSE(beyond.has_input());
  idle.clear();  // makes room for the one that waits in the backlog
  EXPECT_EQ(beyond.answer().at("command"), "beyond");
}

TEST_F(ControlServerTest, TheSocketHasItsModeWhateverTheUmask) {
  const mode_t before = ::umask(0077);
  auto server = ControlServer::start(path_, 0660, echo);
  ::umask(before);
  ASSERT_TRUE(server) << server.error().message;
  EXPECT_EQ(mode(), 0660u);
  EXPECT_EQ(files(), 1u);
}

TEST_F(ControlServerTest, TheSocketIsRemovedAtTheEnd) {
  start().reset();
  EXPECT_EQ(files(), 0u);
}

TEST_F(ControlServerTest, ASocketThatIsNotOursAnyMoreIsLeft) {
  auto server = start();
  fs::rename(path_, path_ + ".moved");
  std::ofstream(path_) << "another's";
  server.reset();
  EXPECT_TRUE(fs::exists(path_));
}

TEST_F(ControlServerTest, TheSocketOfADeadProcessIsReplaced) {
  const pid_t child = ::fork();
  if (child == 0) {
    const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path_.c_str(), sizeof(address.sun_path) - 1);
    if (::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) ::_exit(1);
    if (::listen(socket, 1) != 0) ::_exit(1);
    ::_exit(0);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  ASSERT_TRUE(fs::is_socket(path_));
  const auto server = start();
  EXPECT_EQ(Client(path_).ask({{"command", "alive"}}).at("command"), "alive");
  EXPECT_EQ(mode(), 0600u);
}

TEST_F(ControlServerTest, TheSocketOfALivingProcessIsAnErrorThatNamesIt) {
  const auto server = start();
  EXPECT_NE(start_error().find("another process answers at " + path_), std::string::npos);
  EXPECT_EQ(Client(path_).ask({{"command", "alive"}}).at("command"), "alive");
}

TEST_F(ControlServerTest, AFileInTheWayIsLeftAndAnError) {
  std::ofstream(path_) << "precious";
  EXPECT_NE(start_error().find("is not a socket"), std::string::npos);
  EXPECT_EQ(fs::file_size(path_), 8u);
}

TEST_F(ControlServerTest, AMissingDirectoryIsAnErrorThatSaysSo) {
  path_ = (directory_ / "none" / "control.sock").string();
  EXPECT_NE(start_error().find("directory must exist"), std::string::npos);
}

TEST_F(ControlServerTest, APathTooLongIsAnErrorThatSaysHowLongItMayBe) {
  path_ = directory_.string() + "/" + std::string(100, 'x');
  EXPECT_NE(start_error().find("octets at most"), std::string::npos);
  EXPECT_EQ(files(), 0u);
}

TEST_F(ControlServerTest, EndsWhileAClientIsConnected) {
  auto server = start();
  Client client(path_);
  EXPECT_EQ(client.ask({{"command", "x"}}).at("end"), true);
  server.reset();
  EXPECT_EQ(client.answer(), "closed");
}

TEST_F(ControlServerTest, EndsWhileAClientDoesNotRead) {
  ControlOptions patient = options();
  patient.client_wait_max = hours(1);
  std::promise<void> stuck;
  auto server = start(patient, [&](const json&, const ControlServer::Reply& reply) {
    const json line = {{"text", std::string(10'000, 'x')}};
    for (int i = 0; i < 100; ++i) {
      if (i == 1) stuck.set_value();
      if (!reply(line)) return;
    }
    ADD_FAILURE() << "the client cannot have read all that";
  });
  Client silent(path_);
  silent.send("{\"command\":\"x\"}\n");
  stuck.get_future().wait();
  server.reset();  // does not wait for client_wait_max
  EXPECT_FALSE(fs::exists(path_));
}

TEST_F(ControlServerTest, ItsThreadTakesNoSignals) {
  std::promise<sigset_t> mask;
  const auto server = start([&](const json& request, const ControlServer::Reply& reply) {
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    mask.set_value(blocked);
    echo(request, reply);
  });
  Client(path_).ask({{"command", "x"}});
  const sigset_t blocked = mask.get_future().get();
  EXPECT_EQ(sigismember(&blocked, SIGTERM), 1);
  EXPECT_EQ(sigismember(&blocked, SIGHUP), 1);
}

}  // namespace
}  // namespace ringmta::http
