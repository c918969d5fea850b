// SPDX-License-Identifier: GPL-3.0-or-later
// Datagram sockets over io_uring: one multishot recvmsg per socket into the shard's provided
// buffers, sends from copies, random numbers nobody can guess.
//
// The insight: with multishot recvmsg the kernel writes the sender's address into the same buffer,
// right in front of the payload (struct io_uring_recvmsg_out, the name, the octets). So an Event
// needs no field for it: sender() looks in front of the data.
//
// Sends never wait (MSG_DONTWAIT): where the socket's buffer is full the datagram is lost, as it
// might be anywhere further on. So what is in flight is bounded by one turn's submissions.
//
// Limits: datagrams_max sockets per shard; a datagram larger than a receive buffer less 44 octets
// is cut, and the event says so.

#include <netinet/in.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "io_kernel.h"

namespace ringmta::ring {

namespace {

// Room for the sender in front of each payload.
constexpr size_t kNameOctets = sizeof(sockaddr_in6);
constexpr size_t kHeadOctets = sizeof(io_uring_recvmsg_out) + kNameOctets;

// Read by the kernel when a receive is armed: only the length of the name.
msghdr receive_form() {
  msghdr form{};
  form.msg_namelen = kNameOctets;
  return form;
}
msghdr receive_message = receive_form();

int open_socket(const DatagramOptions& options) {
  const SocketAddress& known = options.peer != nullptr ? *options.peer : *options.local;
  const int fd = ::socket(known.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  const SocketAddress* local = options.local;
  if ((local != nullptr && ::bind(fd, local->get(), local->length) < 0) ||
      (options.peer != nullptr && ::connect(fd, options.peer->get(), options.peer->length) < 0)) {
    const int code = errno;
    ::close(fd);
    return -code;
  }
  return fd;
}

}  // namespace

uint64_t Io::secure_random() {
  Impl& impl = *impl_;
  if (impl.entropy_left == 0) {
    // 256 octets: such a read of an initialised pool is never cut short or interrupted.
    const ssize_t got = getrandom(impl.entropy.data(), sizeof impl.entropy, 0);
    RINGMTA_ASSERT(got == static_cast<ssize_t>(sizeof impl.entropy));
    impl.entropy_left = impl.entropy.size();
  }
  return std::exchange(impl.entropy[--impl.entropy_left], 0);
}

Result<DatagramId> Io::open_datagram(const DatagramOptions& options, Token token) {
  RINGMTA_ASSERT(options.local != nullptr || options.peer != nullptr);
  SlotHandle slot;
  Datagram* socket = impl_->datagrams.take(slot, token);
  if (socket == nullptr) {
    return fail("too many open datagram sockets on this shard (datagrams_max)", EMFILE);
  }
  const int fd = open_socket(options);
  if (fd < 0) {
    impl_->datagrams.release(slot);
    const bool to_peer = options.peer != nullptr;
    return fail_errno((to_peer ? "no datagram socket to " : "no datagram socket on ") +
                          (to_peer ? *options.peer : *options.local).text(),
                      -fd);
  }
  socket->fd = fd;
  socket->slot = slot;
  impl_->arm_datagrams(*socket);
  return DatagramId{slot.index, slot.generation};
}

SocketAddress Io::local(DatagramId id) const {
  SocketAddress address;
  const Datagram* socket = impl_->datagram(id);
  if (socket == nullptr) return address;
  address.length = sizeof address.storage;
  if (getsockname(socket->fd, address.get(), &address.length) < 0) address.length = 0;
  return address;
}

uint32_t Io::datagrams_open() const { return impl_->datagrams.size(); }

// ---- receiving

void Io::Impl::arm_datagrams(Datagram& socket) {
  RINGMTA_ASSERT(!socket.receiving && !socket.closing);
  io_uring_sqe* sqe = entry();
  io_uring_prep_recvmsg_multishot(sqe, socket.fd, &receive_message, MSG_TRUNC);  // the true length
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = ReceiveBuffers::kGroup;
  sqe->user_data = user_data(Operation::datagram_receive, socket.slot);
  socket.receiving = true;
  ++socket.in_flight;
}

void Io::Impl::on_datagram_receive(Datagram& socket, const io_uring_cqe& completion) {
  const int32_t result = completion.res;
  const bool over = (completion.flags & IORING_CQE_F_MORE) == 0;
  if (over) {
    socket.receiving = false;
    --socket.in_flight;
  }
  if ((completion.flags & IORING_CQE_F_BUFFER) != 0) {
    const uint32_t id = completion.flags >> IORING_CQE_BUFFER_SHIFT;
    buffers.give_back(id);  // in use until the next turn publishes it
    if (result >= static_cast<int32_t>(kHeadOctets) && !socket.closing) {
      const std::byte* buffer = buffers.at(id);
      const auto head = load<io_uring_recvmsg_out>(buffer);
      const Bytes data{buffer + kHeadOctets, static_cast<size_t>(result) - kHeadOctets};
      ++owner->counters_.datagrams_received;
      events.push_back(
          {socket.token, data, {}, static_cast<int32_t>(head.payloadlen), EventKind::datagram});
    }
  } else if (result < 0 && result != -ENOBUFS && result != -ECANCELED && !socket.closing) {
    ++owner->counters_.datagrams_failed;
    events.push_back({socket.token, {}, {}, result, EventKind::datagram});
  }
  if (!over || socket.closing) return;
  if (result == -ENOBUFS) {
    ++owner->counters_.receive_buffers_exhausted;
    starved_datagrams.push_back(socket);
  } else {
    arm_datagrams(socket);  // an error, or an empty datagram, ends a multishot receive
  }
}

SocketAddress Io::sender(const Event& event) const {
  SocketAddress address;
  const std::byte* name = event.data.data() - kNameOctets;
  const auto head = load<io_uring_recvmsg_out>(name - sizeof(io_uring_recvmsg_out));
  address.length = std::min<socklen_t>(head.namelen, kNameOctets);
  std::memcpy(address.get(), name, address.length);
  return address;
}

// ---- sending

void Io::send_datagram(DatagramId id, Bytes data, const SocketAddress* to) {
  Datagram* socket = impl_->datagram(id);
  if (socket == nullptr || socket->closing) return;
  RINGMTA_ASSERT(data.size() <= kDatagramOctetsMax);
  Impl& impl = *impl_;
  if (impl.datagram_sends_free.empty()) {
    impl.datagram_sends_free.push_back(static_cast<uint32_t>(impl.datagram_sends.size()));
    impl.datagram_sends.push_back(std::make_unique<DatagramSend>());
  }
  const uint32_t index = impl.datagram_sends_free.back();
  impl.datagram_sends_free.pop_back();
  DatagramSend& send = *impl.datagram_sends[index];
  send.socket = socket->slot;
  send.data.assign(data.begin(), data.end());
  send.part = {send.data.data(), send.data.size()};
  send.message = {};
  send.message.msg_iov = &send.part;
  send.message.msg_iovlen = 1;
  if (to != nullptr) {
    send.to = *to;
    send.message.msg_name = send.to.get();
    send.message.msg_namelen = send.to.length;
  }
  ++socket->in_flight;
  ++counters_.datagrams_sent;
  io_uring_sqe* sqe = impl.entry();
  io_uring_prep_sendmsg(sqe, socket->fd, &send.message, MSG_NOSIGNAL | MSG_DONTWAIT);
  sqe->user_data = user_data(Operation::datagram_send, index);
}

void Io::Impl::on_datagram_send(uint32_t index, int32_t result) {
  DatagramSend& send = *datagram_sends[index];
  Datagram& socket = datagrams.get(send.socket);
  datagram_sends_free.push_back(index);
  --socket.in_flight;
  if (result < 0 && !socket.closing) {
    ++owner->counters_.datagrams_failed;
    events.push_back({socket.token, {}, {}, result, EventKind::datagram});
  }
  free_datagram_if_done(socket);
}

void Io::Impl::on_datagram_completion(Operation operation, SlotHandle slot,
                                      const io_uring_cqe& completion) {
  if (operation == Operation::datagram_send) {
    on_datagram_send(slot.index, completion.res);
    return;
  }
  Datagram& socket = datagrams.get(slot);  // alive as long as completions are owed
  if (operation == Operation::datagram_receive) {
    on_datagram_receive(socket, completion);
  } else {
    --socket.in_flight;
  }
  free_datagram_if_done(socket);
}

// ---- closing

void Io::close_datagram(DatagramId id) {
  Datagram* socket = impl_->datagram(id);
  if (socket == nullptr || socket->closing) return;
  socket->closing = true;
  socket->link.unlink();
  if (socket->receiving) {
    ++socket->in_flight;
    io_uring_sqe* sqe = impl_->entry();
    io_uring_prep_cancel64(sqe, user_data(Operation::datagram_receive, socket->slot), 0);
    sqe->user_data = user_data(Operation::datagram_cancel, socket->slot);
  }
  impl_->free_datagram_if_done(*socket);
}

void Io::Impl::free_datagram_if_done(Datagram& socket) {
  if (!socket.closing || socket.in_flight > 0) return;
  ::close(socket.fd);
  datagrams.release(socket.slot);
}

}  // namespace ringmta::ring
