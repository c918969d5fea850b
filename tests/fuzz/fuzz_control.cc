// SPDX-License-Identifier: GPL-3.0-or-later
// The control socket's protocol over a pair of sockets: request lines are taken apart the same
// however they arrive, and what is JSON in them is answered by the relay's own handler (of a relay
// without shards, so that nothing waits) with lines the last of which says that it is.
#include <sys/socket.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "control_connection.h"
#include "input.h"
#include "operator.h"
#include "ringmta/base/assert.h"
#include "ringmta/http/control_server.h"

namespace ringmta::http {
namespace {

std::vector<std::string> requests(std::string_view text, size_t piece_length) {
  int ends[2];
  RINGMTA_ASSERT(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const Descriptor client(ends[0]);
  std::vector<std::string> lines;
  ControlConnection connection{Descriptor(ends[1])};
  fuzz::in_pieces(text, piece_length, [&](std::string_view piece) {
    if (connection.broken()) return;
    RINGMTA_ASSERT(::send(client.get(), piece.data(), piece.size(), MSG_NOSIGNAL) ==
                   static_cast<ssize_t>(piece.size()));
    do {
      RINGMTA_ASSERT(connection.receive());
      while (connection.has_line()) lines.push_back(connection.take_line());
      if (connection.too_long()) connection.give_up();
    } while (!connection.broken() && connection.has_line());
  });
  return lines;
}

// As ControlServer asks its handler. What is not an object with a command never gets there.
void answer(const std::string& line) {
  using nlohmann::json;
  const json request = json::parse(line, nullptr, false);
  if (request.is_discarded() || !request.is_object()) return;
  const auto command = request.find("command");
  if (command == request.end() || !command->is_string()) return;
  config::Settings settings;
  settings.shards = 0;
  relay::Exchange exchange(1);
  const std::vector<SnapshotCell<ShardSnapshot>> cells;
  relay::Operator relay(settings, exchange, cells, [] { return json{{"changes", 0}}; });
  size_t lines = 0;
  bool ended = false;
  relay.answer(request, [&](const json& one) {
    RINGMTA_ASSERT(!ended && ++lines < 10);
    const std::string text = one.dump(-1, ' ', false, json::error_handler_t::replace);
    RINGMTA_ASSERT(text.find('\n') == std::string::npos);
    ended = one.is_object() && one.contains("end") && one["end"] == true;
    return true;
  });
  RINGMTA_ASSERT(ended);
}

}  // namespace
}  // namespace ringmta::http

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringmta;
  fuzz::Input input(data, size);
  const size_t length = 1 + input.byte() % 61U;
  if (input.rest().size() > 100'000) return 0;
  const auto whole = http::requests(input.rest(), size);
  RINGMTA_ASSERT(http::requests(input.rest(), length) == whole);
  for (const std::string& line : whole) {
    RINGMTA_ASSERT(line.size() <= http::ControlServer::kRequestMax);
    RINGMTA_ASSERT(line.find('\n') == std::string::npos);
    http::answer(line);
  }
  return 0;
}
