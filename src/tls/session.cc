// SPDX-License-Identifier: GPL-3.0-or-later
// Moves octets through the library: handshake first, then record by record.
#include "ringmta/tls/session.h"

#include <fmt/format.h>
#include <wolfssl/error-ssl.h>

#include <algorithm>
#include <cstring>

#include "client_hello.h"
#include "ringmta/base/assert.h"
#include "session_impl.h"

namespace ringmta::tls {
namespace {

// What a peer may make the library do beyond the reading of its data. Keys are changed after 2^24
// records or so (RFC 8446 5.5); a session ticket has a few hundred octets.
constexpr uint64_t kAnswersMax = 32, kOctetsPerAnswer = 64 * 1024;
constexpr uint64_t kOverheadMax = 64 * 1024, kOverheadFactor = 64;

}  // namespace

Session::Session(std::shared_ptr<ServerContext> context) : impl_(std::make_unique<Impl>()) {
  impl_->server = std::move(context);
  impl_->state = Impl::State::hello;
}

Session::Session(std::shared_ptr<ClientContext> context, const Peer& peer)
    : impl_(std::make_unique<Impl>()) {
  impl_->client = std::move(context);
  impl_->begin_client(peer);
}

Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

Session::Step Session::step(Bytes input) {
  using State = Impl::State;
  Impl& my = *impl_;
  if (my.state == State::failed) return {input.size(), Action::failed, {}};
  if (!my.kept.empty()) {
    my.handed.swap(my.kept);
    my.kept.clear();
    return {0, Action::plaintext, as_bytes(my.handed)};
  }
  my.transport.input = input;
  if (my.state == State::hello) my.take_hello();

  Step step;
  switch (my.state) {
    case State::hello:
      break;
    case State::handshake:
      step.action = my.handshake();
      break;
    case State::open:
      step.action = my.read(step.plaintext);
      break;
    case State::peer_done:
    case State::failed:
      my.transport.input = {};
      break;
  }
  if (my.state == State::failed) step.action = Action::failed;
  step.consumed = input.size() - my.transport.input.size();
  my.transport.input = {};
  return step;
}

void Session::unread(Bytes rest) {
  RINGMTA_ASSERT(impl_->kept.empty());
  impl_->kept.assign(as_text(rest));
}

bool Session::write(Bytes plaintext) {
  const iovec one{const_cast<std::byte*>(plaintext.data()), plaintext.size()};
  return write(std::span(&one, 1));
}

bool Session::write(std::span<const iovec> plaintext) {
  Impl& my = *impl_;
  if (my.state == Impl::State::failed) return false;
  RINGMTA_ASSERT(handshaken() && !my.close_sent);
  const auto seal = [&my](const std::byte* data, size_t size) {
    const int code = wolfSSL_write(my.library.get(), data, static_cast<int>(size));
    if (code == static_cast<int>(size)) return true;
    my.fail_library("sending", code);
    return false;
  };
  std::byte* gathered = my.record();
  size_t used = 0;
  for (const iovec& piece : plaintext) {
    const auto* data = static_cast<const std::byte*>(piece.iov_base);
    size_t size = piece.iov_len;
    while (size > 0) {
      // Whole records go from the caller's memory.
      if (used == 0 && size >= kRecordSizeMax) {
        if (!seal(data, kRecordSizeMax)) return false;
        data += kRecordSizeMax;
        size -= kRecordSizeMax;
        continue;
      }
      const size_t part = std::min(size, kRecordSizeMax - used);
      std::memcpy(gathered + used, data, part);
      used += part;
      data += part;
      size -= part;
      if (used == kRecordSizeMax) {
        if (!seal(gathered, used)) return false;
        used = 0;
      }
    }
  }
  return used == 0 || seal(gathered, used);
}

void Session::close() {
  Impl& my = *impl_;
  if (my.close_sent || my.state == Impl::State::failed || !handshaken()) return;
  my.close_sent = true;
  wolfSSL_shutdown(my.library.get());
}

bool Session::resumes() const {
  return impl_->offered_session && (!handshaken() || impl_->facts.resumed);
}

void Session::forget() {
  if (impl_->client) impl_->client->impl().sessions.drop(impl_->cache_key);
  impl_->cache_key.clear();  // nor is what it may still be given
}

bool Session::has_output() const { return !impl_->transport.output.empty(); }

void Session::take_output(std::string& into) {
  std::string& output = impl_->transport.output;
  if (into.empty()) {
    into.swap(output);
  } else {
    into.append(output);
  }
  output.clear();
}

bool Session::handshaken() const { return !impl_->facts.version.empty(); }
const Facts& Session::facts() const { return impl_->facts; }
const std::string& Session::error() const { return impl_->error; }
bool Session::ended_cleanly() const { return impl_->state == Impl::State::peer_done; }

HandshakeBudget* Session::Impl::budget() const {
  return server ? server->impl().budget : client->impl().budget;
}

std::byte* Session::Impl::record() const {
  return (server ? server->impl().record : client->impl().record).get();
}

// Holds octets back until the ClientHello is whole, then lets the library begin with them. One that
// came in one piece is not copied.
void Session::Impl::take_hello() {
  ClientHello hello;
  const bool whole_input = transport.held.empty();
  if (!whole_input) {
    transport.held.append(as_text(transport.input));
    transport.input = {};
  }
  const Bytes octets = whole_input ? transport.input : as_bytes(transport.held);
  const HelloState found = look_at_hello(octets, hello);
  if (found == HelloState::incomplete) {
    if (whole_input) transport.held.assign(as_text(transport.input));
    transport.input = {};
    return;
  }
  if (octets[0] != std::byte{0x16}) {
    fail_with("TLS handshake: the peer does not speak TLS here");
    return;
  }
  name = std::move(hello.server_name);
  transport.server_name = name;
  begin_server(server->impl().choose(name, hello.ecdsa));
}

Session::Action Session::Impl::read(Bytes& plaintext) {
  // The library would ask for more, and spend half a microsecond on it.
  if (transport.waiting() == 0 && wolfSSL_pending(library.get()) == 0) return Action::more;
  const uint64_t taken = transport.taken, records = transport.records;
  const int got = wolfSSL_read(library.get(), record(), static_cast<int>(kRecordSizeMax));
  taken_for_it += transport.taken - taken;
  answered += transport.records - records;
  if (got > 0) plaintext_read += static_cast<uint64_t>(got);
  if (demands_too_much()) {
    return fail_with("TLS receiving: the peer sends key updates and the like instead of data");
  }
  if (has_new_ticket) remember();
  if (transport.held_used == transport.held.size() && !transport.held.empty()) {
    std::string().swap(transport.held);
    transport.held_used = 0;
  }
  if (got > 0) {
    plaintext = {record(), static_cast<size_t>(got)};
    return Action::plaintext;
  }
  const int code = wolfSSL_get_error(library.get(), got);
  if (code == WOLFSSL_ERROR_WANT_READ) return Action::more;
  if (code == WOLFSSL_ERROR_ZERO_RETURN) {
    state = State::peer_done;
    transport.input = {};
    return Action::closed;
  }
  return fail_library("receiving", got);
}

// One octet of data in a record of its own costs 23 more.
bool Session::Impl::demands_too_much() const {
  return answered > kAnswersMax + plaintext_read / kOctetsPerAnswer ||
         taken_for_it > kOverheadMax + kOverheadFactor * plaintext_read;
}

Session::Action Session::Impl::fail_with(std::string why) {
  error = std::move(why);
  state = State::failed;
  return Action::failed;
}

Session::Action Session::Impl::fail_library(std::string_view doing, int code) {
  const int reason = wolfSSL_get_error(library.get(), code);
  // A session that was offered in vain is not offered again.
  if (offered_session && facts.version.empty()) client->impl().sessions.drop(cache_key);
  WOLFSSL_ALERT_HISTORY alerts{};
  wolfSSL_get_alert_history(library.get(), &alerts);
  if (!verify_error.empty()) {
    return fail_with(fmt::format("TLS {}: {}", doing, verify_error));
  }
  if (alerts.last_rx.level == alert_fatal) {
    return fail_with(
        fmt::format("TLS {}: the peer sent the alert {}", doing, alert_name(alerts.last_rx.code)));
  }
  return fail_with(fmt::format("TLS {}: {}", doing, words_for(reason)));
}

}  // namespace ringmta::tls
