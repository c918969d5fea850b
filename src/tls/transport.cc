// SPDX-License-Identifier: GPL-3.0-or-later
#include "transport.h"

#include <algorithm>
#include <cstring>

namespace ringmta::tls {
namespace {

int receive(WOLFSSL*, char* into, int size, void* context) {
  auto& transport = *static_cast<Transport*>(context);
  const auto wanted = static_cast<size_t>(size);
  if (transport.held_used < transport.held.size()) {
    const size_t taken = transport.held.copy(into, wanted, transport.held_used);
    transport.held_used += taken;
    return static_cast<int>(taken);
  }
  if (transport.input.empty()) return WOLFSSL_CBIO_ERR_WANT_READ;
  const size_t taken = std::min(wanted, transport.input.size());
  std::memcpy(into, transport.input.data(), taken);
  transport.input = transport.input.subspan(taken);
  transport.taken += taken;
  return static_cast<int>(taken);
}

int send(WOLFSSL*, char* from, int size, void* context) {
  auto& transport = *static_cast<Transport*>(context);
  transport.output.append(from, static_cast<size_t>(size));
  ++transport.records;
  return size;
}

}  // namespace

void use_transport(WOLFSSL_CTX* context) {
  wolfSSL_CTX_SetIORecv(context, receive);
  wolfSSL_CTX_SetIOSend(context, send);
}

}  // namespace ringmta::tls
