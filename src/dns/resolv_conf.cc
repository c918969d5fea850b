// SPDX-License-Identifier: GPL-3.0-or-later
// resolv.conf(5): a keyword, white space, a value; "#" and ";" begin comments.
#include "ringmta/dns/resolv_conf.h"

#include <fmt/core.h>

#include <algorithm>
#include <fstream>
#include <sstream>

namespace ringmta::dns {
namespace {

constexpr std::string_view kSpace = " \t\r\v\f";

std::string_view next_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(kSpace), line.size()));
  const std::string_view word = line.substr(0, line.find_first_of(kSpace));
  line.remove_prefix(word.size());
  return word;
}

}  // namespace

ResolvConf parse_resolv_conf(std::string_view text) {
  ResolvConf conf;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    line = line.substr(0, line.find_first_of("#;"));
    if (next_word(line) != "nameserver") continue;
    const std::string_view value = next_word(line);
    Result<SocketAddress> server = parse_server(value);
    if (!server) {
      conf.ignored.push_back(fmt::format("nameserver '{}': {}", value, server.error().message));
    } else if (conf.servers.size() >= kServersMax) {
      conf.ignored.push_back(
          fmt::format("nameserver '{}': only the first {} are used", value, kServersMax));
    } else {
      conf.servers.push_back(*server);
    }
  }
  if (conf.servers.empty()) conf.servers.push_back(*parse_server("127.0.0.1"));
  return conf;
}

Result<SocketAddress> parse_server(std::string_view text) {
  Result<SocketAddress> server = parse_socket_address(text, kDnsPort);
  if (server && server->family() == AF_UNIX) {
    return fail(fmt::format("'{}' is not the address of a DNS server", text));
  }
  return server;
}

ResolvConf system_resolv_conf() {
  std::ifstream file("/etc/resolv.conf");
  std::stringstream text;
  text << file.rdbuf();
  return parse_resolv_conf(text.str());
}

}  // namespace ringmta::dns
