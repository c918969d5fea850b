// SPDX-License-Identifier: GPL-3.0-or-later
// Streams and listeners over io_uring: multishot accept, multishot receive into provided buffers,
// sends that finish short writes here, and the steps of closing.
//
// Limits: streams_max per shard (then accepting pauses: clients wait in the backlog, and those that
// a multishot accept had already taken from it are parked), 8 parts a send, kDrainOctetsMax taken
// from a peer while its stream closes. A receive that finds no
// buffer (ENOBUFS) ends; it is armed again when buffers come back.

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "io_kernel.h"
#include "ringmta/ring/listening.h"

namespace ringmta::ring {

namespace {

constexpr Milliseconds kAcceptRetry{100};
constexpr uint64_t kDrainOctetsMax = 16 << 20;  // from a peer that goes on sending while we close

// Sends of one write each; without this a reply waits for the acknowledgement of the last one.
void send_without_delay(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace

// ---- listeners

Result<ListenerId> Io::listen(const SocketAddress& address, const ListenOptions& options,
                              Token token) {
  int fd = take_bound(address);
  if (fd < 0) {
    const auto made = bind_listener(address, options.reuse_port);
    if (!made) return std::unexpected(made.error());
    fd = *made;
  }
  if (::listen(fd, options.backlog) < 0) {
    const int code = errno;
    ::close(fd);
    std::string what = "cannot listen on " + address.text();
    if (code == EADDRINUSE) what += " (another program does: see 'ss -ltnp')";
    return fail_errno(what, code);
  }
  Listener listener;
  listener.fd = fd;
  listener.token = token;
  listener.wanted = true;
  listener.is_unix = address.family() == AF_UNIX;
  impl_->listeners.push_back(listener);
  const auto index = static_cast<uint32_t>(impl_->listeners.size() - 1);
  impl_->arm_accept(index);
  return ListenerId{index};
}

SocketAddress Io::listening_on(ListenerId listener) const {
  SocketAddress address;
  address.length = sizeof address.storage;
  getsockname(impl_->listeners.at(listener.index).fd, address.get(), &address.length);
  return address;
}

void Io::pause_listening(ListenerId id) {
  Listener& listener = impl_->listeners.at(id.index);
  if (!listener.wanted) return;
  listener.wanted = false;
  impl_->cancel_accept(id.index);
}

void Io::resume_listening(ListenerId id) {
  Listener& listener = impl_->listeners.at(id.index);
  if (listener.fd < 0 || listener.wanted) return;
  listener.wanted = true;
  impl_->arm_accept(id.index);
}

void Io::stop_listening(ListenerId id) {
  Listener& listener = impl_->listeners.at(id.index);
  if (listener.fd < 0) return;
  pause_listening(id);
  ::shutdown(listener.fd, SHUT_RDWR);  // refuses newcomers at once; the accept ends by its cancel
  ::close(listener.fd);
  listener.fd = -1;
  for (const int fd : listener.parked) ::close(fd);
  listener.parked.clear();
}

void Io::Impl::arm_accept(uint32_t index) {
  Listener& listener = listeners[index];
  if (listener.armed || !listener.wanted || listener.fd < 0) return;
  if (!listener.parked.empty() || streams.size() >= streams.capacity()) return;
  io_uring_sqe* sqe = entry();
  io_uring_prep_multishot_accept(sqe, listener.fd, nullptr, nullptr, SOCK_CLOEXEC);
  sqe->user_data = user_data(Operation::accept, index);
  listener.armed = true;
}

void Io::Impl::cancel_accept(uint32_t index) {
  Listener& listener = listeners[index];
  if (!listener.armed || listener.cancelling) return;
  listener.cancelling = true;
  io_uring_sqe* sqe = entry();
  io_uring_prep_cancel64(sqe, user_data(Operation::accept, index), 0);
  sqe->user_data = user_data(Operation::none, SlotHandle{});
}

void Io::Impl::on_accept(uint32_t index, const io_uring_cqe& completion) {
  Listener& listener = listeners[index];
  const bool over = (completion.flags & IORING_CQE_F_MORE) == 0;
  if (over) {
    listener.armed = false;
    listener.cancelling = false;
  }
  if (completion.res >= 0) {
    if (listener.fd < 0) {
      ::close(completion.res);
      return;
    }
    const bool in_turn = listener.wanted && listener.parked.empty();
    Stream* made = in_turn ? new_stream(completion.res, listener.token) : nullptr;
    if (made != nullptr) {
      push(EventKind::accepted, *made, 0);
    } else {
      listener.parked.push_back(completion.res);
    }
    if (streams.size() >= streams.capacity()) cancel_accept(index);
  } else if (completion.res != -ECANCELED && listener.wanted) {
    events.push_back({listener.token, {}, {}, completion.res, EventKind::accepted});
    listener.retry_at = owner->now() + kAcceptRetry;
    return;
  }
  if (over) arm_accept(index);
}

// Who was accepted without being wanted comes before anybody the backlog holds.
void Io::Impl::deliver_parked() {
  for (Listener& listener : listeners) {
    while (listener.wanted && !listener.parked.empty()) {
      Stream* made = new_stream(listener.parked.front(), listener.token);
      if (made == nullptr) return;
      listener.parked.pop_front();
      push(EventKind::accepted, *made, 0);
    }
  }
}

// An accept that ended, because there was no room or after an error, begins again when it can.
void Io::Impl::retry_listeners() {
  for (uint32_t index = 0; index < listeners.size(); ++index) {
    Listener& listener = listeners[index];
    if (listener.retry_at != Monotonic::never()) {
      if (owner->now() < listener.retry_at) continue;
      listener.retry_at = Monotonic::never();
    }
    arm_accept(index);
  }
}

// ---- streams

Stream* Io::Impl::new_stream(int fd, Token token) {
  SlotHandle slot;
  Stream* made = streams.take(slot, fd, token);
  if (made != nullptr) made->slot = slot;
  return made;
}

void Io::own(StreamId id, Token token) {
  if (Stream* stream = impl_->stream(id); stream != nullptr) stream->token = token;
}

Result<StreamId> Io::connect(const SocketAddress& peer, const ConnectOptions& options,
                             Token token) {
  const int fd = ::socket(peer.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail_errno("no socket for a connection to " + peer.text(), errno);
  if (peer.family() != AF_UNIX) send_without_delay(fd);
  if (options.source != nullptr) {
    const int on = 1;  // the port is chosen at connect, where only the four-tuple must be unique
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (::bind(fd, options.source->get(), options.source->length) < 0) {
      const int code = errno;
      ::close(fd);
      return fail_errno("cannot send from " + options.source->host_text() +
                            " (is the address configured on this machine?)",
                        code);
    }
  }
  Stream* stream = impl_->new_stream(fd, token);
  if (stream == nullptr) {
    ::close(fd);
    return fail("too many open connections on this shard (streams_max)", EMFILE);
  }
  stream->peer = peer;
  stream->connecting = true;
  ++stream->in_flight;
  io_uring_sqe* sqe = impl_->entry();
  io_uring_prep_connect(sqe, fd, stream->peer.get(), stream->peer.length);
  sqe->user_data = user_data(Operation::connect, stream->slot);
  return StreamId{stream->slot.index, stream->slot.generation};
}

void Io::Impl::on_connect(Stream& stream, int32_t result) {
  stream.connecting = false;
  if (stream.closing) return;
  push(EventKind::connected, stream, result);
  if (result == 0 && stream.wants_receive) arm_receive(stream);
}

SocketAddress Io::peer(StreamId id) const {
  Stream* stream = impl_->stream(id);
  if (stream == nullptr) return {};
  if (stream->peer.length == 0) {
    stream->peer.length = sizeof stream->peer.storage;
    if (getpeername(stream->fd, stream->peer.get(), &stream->peer.length) < 0) {
      stream->peer.length = 0;
    }
  }
  return stream->peer;
}

SocketAddress Io::local(StreamId id) const {
  SocketAddress address;
  Stream* stream = impl_->stream(id);
  if (stream == nullptr) return address;
  address.length = sizeof address.storage;
  if (getsockname(stream->fd, address.get(), &address.length) < 0) address.length = 0;
  return address;
}

uint32_t Io::streams_open() const { return impl_->streams.size(); }

// ---- receiving

void Io::read(StreamId id) {
  Stream* stream = impl_->stream(id);
  if (stream == nullptr || stream->closing || stream->wants_receive) return;
  stream->wants_receive = true;
  const bool owed = !stream->held.empty() || (stream->ended && !stream->ended_told);
  if (owed && !stream->link.linked()) impl_->resumed.push_back(*stream);
  if (!stream->connecting) impl_->arm_receive(*stream);
}

bool Io::has_unread(StreamId id) const {
  const Stream* stream = impl_->stream(id);
  if (stream == nullptr || stream->closing) return false;
  RINGMTA_ASSERT(!stream->receiving);
  char octet = 0;
  return ::recv(stream->fd, &octet, sizeof octet, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void Io::pause(StreamId id, Bytes unread) {
  Stream* stream = impl_->stream(id);
  if (stream == nullptr || stream->closing) return;
  stream->wants_receive = false;
  stream->held.insert(stream->held.end(), unread.begin(), unread.end());
  if (stream->link.linked()) stream->link.unlink();  // starved or resumed: neither any more
  impl_->cancel_receive(*stream);
}

void Io::Impl::arm_receive(Stream& stream) {
  // Armed already: if a cancel is on its way, the end of the old receive arms the new one.
  if (stream.receiving || stream.ended) return;
  io_uring_sqe* sqe = entry();
  io_uring_prep_recv_multishot(sqe, stream.fd, nullptr, 0, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = ReceiveBuffers::kGroup;
  sqe->user_data = user_data(Operation::receive, stream.slot);
  stream.receiving = true;
  ++stream.in_flight;
}

void Io::Impl::cancel_receive(Stream& stream) {
  if (!stream.receiving || stream.cancelling_receive) return;
  stream.cancelling_receive = true;
  ++stream.in_flight;
  io_uring_sqe* sqe = entry();
  io_uring_prep_cancel64(sqe, user_data(Operation::receive, stream.slot), 0);
  sqe->user_data = user_data(Operation::cancel, stream.slot);
}

void Io::Impl::on_receive(Stream& stream, const io_uring_cqe& completion) {
  const bool over = (completion.flags & IORING_CQE_F_MORE) == 0;
  if (over) {
    stream.receiving = false;
    stream.cancelling_receive = false;
    --stream.in_flight;
  }
  if ((completion.flags & IORING_CQE_F_BUFFER) != 0) {
    const uint32_t id = completion.flags >> IORING_CQE_BUFFER_SHIFT;
    buffers.give_back(id);  // in use until the next turn publishes it
    if (completion.res > 0 && !stream.closing) {
      ++owner->counters_.receives;
      owner->counters_.received_octets += static_cast<uint64_t>(completion.res);
      const Bytes data{buffers.at(id), static_cast<size_t>(completion.res)};
      if (stream.wants_receive) {
        push(EventKind::received, stream, completion.res, data);
      } else {
        stream.held.insert(stream.held.end(), data.begin(), data.end());
      }
    }
  }
  if (over) {
    if (completion.res == -ENOBUFS) {
      ++owner->counters_.receive_buffers_exhausted;
      if (!stream.closing && stream.wants_receive) starved.push_back(stream);
    } else if (completion.res <= 0 && completion.res != -ECANCELED) {
      stream.ended = true;
      stream.end_result = completion.res;
      if (!stream.closing && stream.wants_receive) tell_end(stream);
    } else if (!stream.closing && stream.wants_receive) {
      arm_receive(stream);
    }
  }
  if (!stream.closing) return;
  if (completion.res > 0) stream.drained += static_cast<uint64_t>(completion.res);
  if (stream.drained > kDrainOctetsMax && !stream.aborting) abort_stream(stream);
  advance_close(stream);
}

void Io::Impl::tell_end(Stream& stream) {
  if (stream.ended_told) return;
  stream.ended_told = true;
  push(EventKind::ended, stream, stream.end_result);
}

// What was kept while its stream was paused comes before anything new.
void Io::Impl::deliver_held() {
  while (Stream* stream = resumed.pop_front()) {
    if (!stream->held.empty()) {
      spent.push_back(std::move(stream->held));
      stream->held.clear();
      push(EventKind::received, *stream, static_cast<int32_t>(spent.back().size()), spent.back());
    }
    if (stream->ended) tell_end(*stream);
  }
}

// The buffers of the last turn's events go back to the kernel, and who starved is served again.
void Io::Impl::rearm() {
  if (!starved.empty() || !starved_datagrams.empty()) buffers.grow();
  if (!buffers.publish()) return;
  while (Stream* stream = starved.pop_front()) arm_receive(*stream);
  while (Datagram* socket = starved_datagrams.pop_front()) arm_datagrams(*socket);
}

// ---- sending

void Io::send(StreamId id, std::span<const iovec> parts) {
  Stream* stream = impl_->stream(id);
  if (stream == nullptr || stream->closing) return;
  RINGMTA_ASSERT(!stream->sending && !stream->connecting);
  RINGMTA_ASSERT(!parts.empty() && parts.size() <= kSendPartsMax);
  stream->sending = true;
  stream->send_first = 0;
  stream->send_parts = static_cast<uint32_t>(parts.size());
  std::copy(parts.begin(), parts.end(), stream->parts);
  ++counters_.sends;
  impl_->submit_send(*stream);
}

void Io::Impl::submit_send(Stream& stream) {
  io_uring_sqe* sqe = entry();
  const uint32_t count = stream.send_parts - stream.send_first;
  iovec* first = &stream.parts[stream.send_first];
  if (count == 1) {
    io_uring_prep_send(sqe, stream.fd, first->iov_base, first->iov_len, MSG_NOSIGNAL | MSG_WAITALL);
  } else {
    stream.message = {};
    stream.message.msg_iov = first;
    stream.message.msg_iovlen = count;
    io_uring_prep_sendmsg(sqe, stream.fd, &stream.message, MSG_NOSIGNAL | MSG_WAITALL);
  }
  sqe->user_data = user_data(Operation::send, stream.slot);
  ++stream.in_flight;
}

void Io::Impl::on_send(Stream& stream, int32_t result) {
  if (result > 0) {
    owner->counters_.sent_octets += static_cast<uint64_t>(result);
    auto left = static_cast<size_t>(result);
    while (stream.send_first < stream.send_parts &&
           left >= stream.parts[stream.send_first].iov_len) {
      left -= stream.parts[stream.send_first].iov_len;
      ++stream.send_first;
    }
    if (stream.send_first < stream.send_parts) {
      iovec& part = stream.parts[stream.send_first];
      part.iov_base = static_cast<char*>(part.iov_base) + left;
      part.iov_len -= left;
      ++owner->counters_.short_sends;
      if (!stream.aborting) {
        submit_send(stream);
        return;
      }
      result = -ECANCELED;
    } else {
      result = 0;
    }
  } else if (result == 0) {
    result = -EPIPE;  // a send of something that sends nothing
  }
  stream.sending = false;
  push(EventKind::sent, stream, result);
}

// ---- closing

void Io::close(StreamId id, CloseMode mode) {
  Stream* stream = impl_->stream(id);
  if (stream == nullptr) return;
  if (stream->closing) {
    if (mode == CloseMode::abort && !stream->aborting) {
      impl_->abort_stream(*stream);
      impl_->just_closed.push_back(stream->slot);
    }
    return;
  }
  if (stream->link.linked()) stream->link.unlink();
  stream->closing = true;
  stream->wants_receive = false;
  stream->held.clear();
  const bool broken = stream->ended && stream->end_result < 0;
  if (mode == CloseMode::abort || stream->connecting || broken) {
    impl_->abort_stream(*stream);
  } else {
    stream->linger_until = now() + impl_->options.linger_max;
    impl_->lingering.push_back(*stream);
  }
  impl_->just_closed.push_back(stream->slot);
}

// Closing begins with the next turn: `closed` must not come up among events being handed out.
void Io::Impl::begin_closing() {
  for (const SlotHandle slot : just_closed) {
    if (Stream* stream = streams.find(slot); stream != nullptr) advance_close(*stream);
  }
  just_closed.clear();
}

void Io::Impl::abort_stream(Stream& stream) {
  stream.aborting = true;
  if (stream.link.linked()) stream.link.unlink();
  if (stream.in_flight == 0) return;
  ++stream.in_flight;
  io_uring_sqe* sqe = entry();
  io_uring_prep_cancel_fd(sqe, stream.fd, IORING_ASYNC_CANCEL_ALL);
  sqe->user_data = user_data(Operation::cancel, stream.slot);
}

// Called whenever something about a closing stream has changed.
void Io::Impl::advance_close(Stream& stream) {
  if (!stream.aborting) {
    if (stream.sending) return;
    if (!stream.shut_down) {
      stream.shut_down = true;
      ::shutdown(stream.fd, SHUT_WR);
    }
    if (!stream.ended) {
      // Octets the peer still sends must be taken: closing over them would reset the connection
      // and could destroy the last reply on its way.
      arm_receive(stream);
      return;
    }
  }
  if (stream.in_flight == 0) free_stream(stream);
}

void Io::Impl::free_stream(Stream& stream) {
  if (stream.link.linked()) stream.link.unlink();
  push(EventKind::closed, stream, 0);
  io_uring_sqe* sqe = entry();
  io_uring_prep_close(sqe, stream.fd);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  sqe->user_data = user_data(Operation::none, SlotHandle{});
  streams.release(stream.slot);
}

void Io::Impl::expire_lingering() {
  while (Stream* stream = lingering.front()) {
    if (stream->linger_until > owner->now()) return;
    abort_stream(*stream);
    advance_close(*stream);
  }
}

}  // namespace ringmta::ring
