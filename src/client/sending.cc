// SPDX-License-Identifier: GPL-3.0-or-later
// Output: what the protocol machine wants said, with the jobs' contents in their places, in as few
// sends as it takes.
//
// The insight: nothing big is copied. The command text is the session's memory, the content the
// spool's (the same octets the commit wrote), and both stay put until the send is told done. Only
// where many small parts would take several sends they are copied together: a few kilobytes cost a
// tenth of a microsecond, a send several.
//
// Limits: Io::kSendPartsMax parts and kSendOctetsMax octets per send, one send in flight.
#include <algorithm>
#include <cstring>

#include "pools_impl.h"

namespace ringmta::client {
namespace {

// A send is told when all of it was taken, so this is how far apart the signs of a slow peer's
// progress are: 256 KiB within timeouts.content_block are 1.5 KB/s.
constexpr size_t kSendOctetsMax = 256 * 1024;
constexpr size_t kDotOctets = 3;         // ".CRLF"
constexpr size_t kOutputPartsKept = 64;  // of the memory a connection keeps for parts
constexpr size_t kSpareCopiesMax = 256;  // 4 MB

}  // namespace

void Pools::Impl::flush(Connection& connection) {
  if (connection.state == Connection::State::closing) return;
  if (connection.state != Connection::State::connecting && !connection.sending &&
      !connection.output_open && !connection.send_failed) {
    if (connection.session.has_output()) {
      gather(connection);
      put_together(connection);
      send_next(connection);
      if (connection.state == Connection::State::closing) return;
    } else if (connection.secure != nullptr) {
      send_sealed(connection);
    }
  }
  set_deadline(connection);
}

void Pools::Impl::gather(Connection& connection) {
  parts.clear();
  connection.session.take_output(parts);
  connection.output_open = true;
  std::vector<iovec>& output = connection.output;
  output.clear();
  if (output.capacity() > kOutputPartsKept) std::vector<iovec>().swap(output);
  connection.output_next = 0;
  for (const smtp::ClientSession::OutputPart& part : parts) {
    if (!part.is_content) {
      output.push_back({const_cast<char*>(part.text.data()), part.text.size()});
      continue;
    }
    const auto& content = reinterpret_cast<queue::Job*>(part.content_tag)->content;
    output.insert(output.end(), content.begin(), content.end());
    if (part.content_dot) continue;
    ++counters.bdat_transactions;
    for (size_t cut = kDotOctets; cut > 0;) {
      iovec& last = output.back();
      const size_t here = std::min(cut, last.iov_len);
      last.iov_len -= here;
      cut -= here;
      if (last.iov_len == 0) output.pop_back();
    }
  }
}

void Pools::Impl::put_together(Connection& connection) {
  std::vector<iovec>& output = connection.output;
  if (output.size() <= ring::Io::kSendPartsMax || connection.secure != nullptr) return;
  size_t octets = 0;
  for (const iovec& part : output) octets += part.iov_len;
  if (octets > Copy::kOctets) return;
  if (spare_copies.empty()) spare_copies.push_back(std::make_unique<Copy>());
  connection.copy = std::move(spare_copies.back());
  spare_copies.pop_back();
  std::byte* to = connection.copy->octets;
  for (const iovec& part : output) {
    if (part.iov_len > 0) std::memcpy(to, part.iov_base, part.iov_len);
    to += part.iov_len;
  }
  output.assign(1, {connection.copy->octets, octets});
}

void Pools::Impl::keep_copy(Connection& connection) {
  if (connection.copy == nullptr) return;
  if (spare_copies.size() < kSpareCopiesMax) spare_copies.push_back(std::move(connection.copy));
  connection.copy.reset();
}

void Pools::Impl::send_next(Connection& connection) {
  if (connection.secure != nullptr) return seal_next(connection);
  iovec parts_now[ring::Io::kSendPartsMax];
  size_t count = 0;
  size_t octets = 0;
  while (count < ring::Io::kSendPartsMax && connection.output_next < connection.output.size()) {
    iovec& next = connection.output[connection.output_next];
    const size_t taken = std::min(next.iov_len, kSendOctetsMax - octets);
    if (taken == 0 && next.iov_len > 0) break;
    if (taken > 0) parts_now[count++] = {next.iov_base, taken};
    octets += taken;
    next.iov_base = static_cast<char*>(next.iov_base) + taken;
    next.iov_len -= taken;
    if (next.iov_len == 0) ++connection.output_next;
  }
  RINGMTA_ASSERT(count > 0);
  transmit(connection, {parts_now, count});
}

// All that is sent leaves here.
void Pools::Impl::transmit(Connection& connection, std::span<const iovec> octets) {
  connection.sending = true;
  ++counters.sends;
  loop.io().send(connection.stream, octets);
}

void Pools::Impl::on_sent(Connection& connection, int32_t result) {
  connection.sending = false;
  keep_copy(connection);
  if (connection.secure != nullptr) sealed_sent(connection);
  if (connection.state == Connection::State::closing) {
    while (queue::Job* job = connection.jobs.pop_front()) release(*job);
    return;
  }
  ++connection.sends_done;
  touch(connection);
  if (result < 0) {
    // The peer may have said why before it broke off (a 421, a 552): the end of what it sent will
    // tell, or the deadline.
    connection.send_failed = true;
    return;
  }
  if (!connection.output_open) return;  // it was TLS's own
  if (connection.output_next < connection.output.size()) {
    send_next(connection);
    return;
  }
  connection.output_open = false;
  connection.session.output_sent();
  feed(connection, {});
}

// All of the job's content was given to the Io, so the peer may have got it.
bool Pools::Impl::handed_over(const Connection& connection, const queue::Job& job) {
  if (!connection.output_open) return true;
  for (size_t i = connection.output_next; i < connection.output.size(); ++i) {
    const auto* base = static_cast<const char*>(connection.output[i].iov_base);
    for (const iovec& piece : job.content) {
      const auto* begin = static_cast<const char*>(piece.iov_base);
      if (base >= begin && base < begin + piece.iov_len) return false;
    }
  }
  return true;
}

}  // namespace ringmta::client
