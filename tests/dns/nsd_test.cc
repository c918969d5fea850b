// SPDX-License-Identifier: GPL-3.0-or-later
// Against a real authoritative server: NSD, started here on loopback with zones written here.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "rig.h"

namespace ringmta::dns {
namespace {

constexpr const char* kRootZone = R"(
$ORIGIN .
$TTL 300
. IN SOA ns.test. host.test. 1 3600 600 86400 120
. IN NS ns.test.
ns.test. IN A 127.0.0.1
good.test. IN MX 10 mx1.good.test.
good.test. IN MX 20 mx2.good.test.
mx1.good.test. IN A 192.0.2.1
mx1.good.test. IN AAAA 2001:db8::1
mx2.good.test. IN A 192.0.2.2
null.test. IN MX 0 .
null.test. IN A 192.0.2.3
implicit.test. IN A 192.0.2.4
implicit.test. IN AAAA 2001:db8::4
text.test. IN TXT "nothing to deliver to"
alias.test. IN CNAME good.test.
away.test. IN CNAME good.elsewhere.
circle.test. IN CNAME circle2.test.
circle2.test. IN CNAME circle.test.
*.wild.test. IN MX 5 mx1.good.test.
xn--bcher-kva.test. IN MX 10 mx1.good.test.
short.test. 5 IN MX 10 mx1.good.test.
loop.test. IN MX 10 mx.loop.test.
mx.loop.test. IN A 127.0.0.1
dangling.test. IN MX 10 gone.dangling.test.
)";

constexpr const char* kElsewhereZone = R"(
$ORIGIN elsewhere.
$TTL 300
@ IN SOA ns.test. host.test. 1 3600 600 86400 60
@ IN NS ns.test.
good IN MX 7 mx1.good.test.
)";

class Nsd {
 public:
  explicit Nsd(const std::filesystem::path& directory) : directory_(directory) {
    std::ofstream root(directory_ / "root.zone");
    root << kRootZone;
    // Too large for a datagram.
    for (int i = 0; i < 60; ++i) {
      root << "big.test. IN MX " << i << " a-rather-long-name-of-host-" << i << ".big.test.\n"
           << "a-rather-long-name-of-host-" << i << ".big.test. IN A 192.0.2." << i + 1 << "\n";
    }
    std::ofstream(directory_ / "elsewhere.zone") << kElsewhereZone;
  }
  ~Nsd() { stop(); }

  // On a free port; another one where somebody was faster.
  bool start() {
    for (int attempt = 0; attempt < 5; ++attempt) {
      address = free_address();
      write_configuration();
      launch();
      if (answers()) return true;
      stop();
    }
    return false;
  }
  void stop() {
    if (child_ <= 0) return;
    kill(child_, SIGTERM);
    waitpid(child_, nullptr, 0);
    child_ = 0;
  }
  std::string log() const {
    std::ifstream file(directory_ / "nsd.log");
    return {std::istreambuf_iterator<char>(file), {}};
  }

  SocketAddress address;

 private:
  static SocketAddress free_address() {
    const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    SocketAddress found = *parse_socket_address("127.0.0.1:0", 0);
    ::bind(fd, found.get(), found.length);
    ::getsockname(fd, found.get(), &found.length);
    ::close(fd);
    return found;
  }
  void write_configuration() const {
    std::ofstream file(directory_ / "nsd.conf");
    const std::string at = directory_.string();
    file << "server:\n"
         << "  ip-address: 127.0.0.1@" << address.port() << "\n"
         << "  username: \"\"\n  server-count: 1\n  do-ip6: no\n  database: \"\"\n"
         << "  zonesdir: \"" << at << "\"\n  pidfile: \"" << at << "/nsd.pid\"\n"
         << "  xfrdfile: \"" << at << "/xfrd.state\"\n  xfrdir: \"" << at << "\"\n"
         << "  zonelistfile: \"" << at << "/zone.list\"\n  logfile: \"" << at << "/nsd.log\"\n"
         << "  rrl-ratelimit: 0\n"
         << "remote-control:\n  control-enable: no\n"
         << "zone:\n  name: \".\"\n  zonefile: \"root.zone\"\n"
         << "zone:\n  name: \"elsewhere\"\n  zonefile: \"elsewhere.zone\"\n";
  }
  void launch() {
    const std::string configuration = directory_ / "nsd.conf";
    child_ = fork();
    if (child_ != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    for (const char* nsd : {"/usr/sbin/nsd", "/usr/local/sbin/nsd"}) {
      execl(nsd, "nsd", "-d", "-c", configuration.c_str(), static_cast<char*>(nullptr));
    }
    execlp("nsd", "nsd", "-d", "-c", configuration.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  // Asks until it answers, or has ended.
  bool answers() {
    const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const std::string question("\0\1\1\0\0\1\0\0\0\0\0\0\0\0\6\0\1", 17);
    bool answered = false;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!answered && std::chrono::steady_clock::now() < end) {
      if (waitpid(child_, nullptr, WNOHANG) == child_) {
        child_ = 0;
        break;
      }
      ::sendto(fd, question.data(), question.size(), 0, address.get(), address.length);
      pollfd wait{fd, POLLIN, 0};
      char buffer[2048];
      answered = ::poll(&wait, 1, 100) > 0 && ::recv(fd, buffer, sizeof buffer, 0) > 12;
    }
    ::close(fd);
    return answered;
  }

  std::filesystem::path directory_;
  pid_t child_ = 0;
};

class RealServer : public Rig {
 protected:
  static void SetUpTestSuite() {
    std::string pattern = std::filesystem::temp_directory_path() / "ringmta-nsd-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory = pattern;
    nsd = std::make_unique<Nsd>(directory);
    running = nsd->start();
  }
  static void TearDownTestSuite() {
    nsd.reset();
    std::filesystem::remove_all(directory);
  }
  void SetUp() override {
    Rig::SetUp();
    ASSERT_TRUE(running) << "NSD does not run (tools/setup --tests installs it):\n" << nsd->log();
    options.servers = {nsd->address};
  }
  void start_mx() {
    start();
    mx = std::make_unique<MxResolver>(
        *resolver, *io, mx_options, this, [](void* self, std::unique_ptr<MxQuery> query) {
          static_cast<RealServer*>(self)->answered.push_back(std::move(query));
        });
  }
  MailRoute route_of(const std::string& domain) {
    if (mx == nullptr) start_mx();
    const size_t before = answered.size();
    auto query = std::make_unique<MxQuery>();
    query->domain = domain;
    mx->ask(std::move(query));
    EXPECT_TRUE(drive([&] { return answered.size() > before; })) << domain;
    return answered.empty() ? MailRoute{} : answered.back()->route;
  }
  static std::string text(const MailRoute& route) {
    std::string text = route.status ? route.status.text() : "";
    for (const MailHost& host : route.hosts) {
      if (!text.empty()) text += ", ";
      text += std::to_string(host.preference) + " " + host.name;
      for (const SocketAddress& address : host.addresses) text += " " + address.host_text();
    }
    return text;
  }

  static std::filesystem::path directory;
  static std::unique_ptr<Nsd> nsd;
  static bool running;
  MxOptions mx_options;
  std::vector<std::unique_ptr<MxQuery>> answered;
};
std::filesystem::path RealServer::directory;
std::unique_ptr<Nsd> RealServer::nsd;
bool RealServer::running = false;

TEST_F(RealServer, GivesMailHosts) {
  mx_options.inet6 = false;
  EXPECT_EQ(text(route_of("good.test")), "10 mx1.good.test 192.0.2.1, 20 mx2.good.test 192.0.2.2");
  EXPECT_EQ(text(route_of("alias.test")), "10 mx1.good.test 192.0.2.1, 20 mx2.good.test 192.0.2.2");
  EXPECT_EQ(answered[0]->route.site_key, answered[1]->route.site_key);
  EXPECT_EQ(text(route_of("Bücher.test")), "10 mx1.good.test 192.0.2.1");
  EXPECT_EQ(text(route_of("anything.wild.test")), "5 mx1.good.test 192.0.2.1");
}

TEST_F(RealServer, GivesAddressesOfBothFamilies) {
  const MailRoute route = route_of("good.test");
  ASSERT_EQ(route.hosts.size(), 2U);
  EXPECT_EQ(route.hosts[0].addresses.size(), 2U);
  EXPECT_EQ(route_of("implicit.test").hosts[0].addresses.size(), 2U);
}

TEST_F(RealServer, AnAliasIntoAnotherZoneIsFollowed) {
  mx_options.inet6 = false;
  EXPECT_EQ(text(route_of("away.test")), "7 mx1.good.test 192.0.2.1");
}

TEST_F(RealServer, GivesReasons) {
  EXPECT_EQ(text(route_of("null.test")), "5.1.10");
  EXPECT_EQ(text(route_of("missing.test")), "5.1.2");
  EXPECT_EQ(text(route_of("text.test")), "5.4.4");
  EXPECT_EQ(text(route_of("dangling.test")), "5.4.4");
  EXPECT_EQ(text(route_of("loop.test")), "5.4.4");
  const MailRoute circle = route_of("circle.test");
  EXPECT_EQ(circle.kind, MailRoute::Kind::deferred);
  EXPECT_EQ(circle.status.text(), "4.4.3");
}

TEST_F(RealServer, NoesLastAsLongAsTheZoneSays) {
  const MailRoute route = route_of("missing.test");
  EXPECT_LE(route.valid_until, io->now() + seconds(120));
  EXPECT_GT(route.valid_until, io->now() + seconds(100));
  const MailRoute brief = route_of("short.test");
  EXPECT_LE(brief.valid_until, io->now() + seconds(30));  // the floor
  EXPECT_GT(brief.valid_until, io->now() + seconds(20));
}

TEST_F(RealServer, LargeAnswersComeByTcp) {
  mx_options.inet6 = false;
  const MailRoute route = route_of("big.test");
  ASSERT_EQ(route.hosts.size(), 16U);
  EXPECT_EQ(route.hosts[15].name, "a-rather-long-name-of-host-15.big.test");
  EXPECT_EQ(resolver->counters().truncated, 1U);
  EXPECT_EQ(resolver->counters().tcp_sent, 1U);
}

TEST_F(RealServer, KeepsCapitals) {
  options.random_capitals = true;
  EXPECT_EQ(route_of("good.test").kind, MailRoute::Kind::hosts);
  EXPECT_EQ(resolver->counters().tcp_sent, 0U);
  EXPECT_EQ(resolver->counters().stray, 0U);
}

TEST_F(RealServer, ManyDomainsAtOnce) {
  start_mx();
  for (int i = 0; i < 2000; ++i) {
    auto query = std::make_unique<MxQuery>();
    query->domain =
        (i % 2 == 0 ? "d" : "missing") + std::to_string(i) + (i % 2 == 0 ? ".wild.test" : ".test");
    mx->ask(std::move(query));
  }
  ASSERT_TRUE(drive([&] { return answered.size() == 2000; }));
  size_t found = 0;
  for (const auto& query : answered) {
    if (query->route.kind == MailRoute::Kind::hosts) ++found;
  }
  EXPECT_EQ(found, 1000U);
  EXPECT_EQ(mx->counters().refused, 1000U);
}

}  // namespace
}  // namespace ringmta::dns
