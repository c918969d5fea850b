// SPDX-License-Identifier: GPL-3.0-or-later
// Requests to the metrics listener, whole and cut, over a real pair of sockets: one answer with the
// length it says, whatever the request was.
#include <sys/socket.h>

#include <string>

#include "input.h"
#include "ringmta/base/assert.h"
#include "scrape_connection.h"

namespace ringmta::http {
namespace {

const std::string kMetrics = "ringmta_up 1\n";

void check(std::string_view answer) {
  RINGMTA_ASSERT(answer.starts_with("HTTP/1.1 "));
  const size_t head = answer.find("\r\n\r\n");
  RINGMTA_ASSERT(head != std::string_view::npos);
  const std::string_view body = answer.substr(head + 4);
  const size_t at = answer.find("\r\nContent-Length: ");
  RINGMTA_ASSERT(at < head);
  const size_t length = std::stoul(std::string(answer.substr(at + 18)));
  RINGMTA_ASSERT(body.size() == length || body.empty());
  if (answer.substr(9, 3) == "200") {
    RINGMTA_ASSERT(length == kMetrics.size() && (body.empty() || body == kMetrics));
  } else {
    RINGMTA_ASSERT(answer[9] == '4' && body.find(kMetrics) == std::string_view::npos);
  }
}

std::string ask(std::string_view request, size_t piece_length) {
  int ends[2];
  RINGMTA_ASSERT(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const Descriptor client(ends[0]);
  const ScrapeConnection::MakeText text = [] { return kMetrics; };
  std::string answer;
  {
    ScrapeConnection connection{Descriptor(ends[1])};
    bool alive = true;
    fuzz::in_pieces(request, piece_length, [&](std::string_view piece) {
      if (!alive) return;
      RINGMTA_ASSERT(::send(client.get(), piece.data(), piece.size(), MSG_NOSIGNAL) ==
                     static_cast<ssize_t>(piece.size()));
      alive = connection.go_on(text);
    });
    for (int i = 0; i < 8 && alive; ++i) alive = connection.go_on(text);
    char buffer[4096];
    ssize_t count = 0;
    while ((count = ::recv(client.get(), buffer, sizeof buffer, MSG_DONTWAIT)) > 0) {
      answer.append(buffer, static_cast<size_t>(count));
    }
  }
  return answer;
}

}  // namespace
}  // namespace ringmta::http

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ringmta;
  fuzz::Input input(data, size);
  const size_t length = 1 + input.byte() % 61U;
  const std::string request = std::string(input.rest()) + "\r\n\r\n";
  if (request.size() > 16'000) return 0;
  http::check(http::answer_to(request, [] { return http::kMetrics; }));
  const std::string whole = http::ask(request, request.size());
  http::check(whole);
  // In pieces the head may end before all of it is here, or be found to be too long: an answer all
  // the same, and the same where it fits.
  const std::string pieces = http::ask(request, length);
  http::check(pieces);
  if (request.size() <= http::ScrapeConnection::kHeadMax) RINGMTA_ASSERT(pieces == whole);
  return 0;
}
