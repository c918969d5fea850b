// SPDX-License-Identifier: GPL-3.0-or-later
// A peer that has shaken hands and then makes the session work for nothing: requests for new keys,
// each of which costs two derivations and an answer (RFC 8446 4.6.3), and no data.
#include <gtest/gtest.h>
#include <wolfssl/ssl.h>

#include <string>

#include "conversation.h"

namespace ringmta::tls {
namespace {

// A client that the tests can make say what a Session never does.
class RawClient {
 public:
  RawClient() : context_(wolfSSL_CTX_new(wolfTLSv1_3_client_method())) {
    wolfSSL_CTX_set_verify(context_, WOLFSSL_VERIFY_NONE, nullptr);
    wolfSSL_CTX_SetIOSend(context_, [](WOLFSSL*, char* from, int size, void* self) {
      static_cast<RawClient*>(self)->said.append(from, static_cast<size_t>(size));
      return size;
    });
    wolfSSL_CTX_SetIORecv(context_, [](WOLFSSL*, char* into, int size, void* self) {
      std::string& waiting = static_cast<RawClient*>(self)->heard;
      if (waiting.empty()) return static_cast<int>(WOLFSSL_CBIO_ERR_WANT_READ);
      const size_t taken = waiting.copy(into, static_cast<size_t>(size));
      waiting.erase(0, taken);
      return static_cast<int>(taken);
    });
    session_ = wolfSSL_new(context_);
    wolfSSL_SetIOReadCtx(session_, this);
    wolfSSL_SetIOWriteCtx(session_, this);
  }
  ~RawClient() {
    wolfSSL_free(session_);
    wolfSSL_CTX_free(context_);
  }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool shake_hands_with(Side& server) {
    for (int turn = 0; turn < 10; ++turn) {
      if (wolfSSL_connect(session_) == WOLFSSL_SUCCESS && server.session.handshaken()) return true;
      pass_on(server);
      server.session.take_output(heard);
    }
    return false;
  }
  void pass_on(Side& server) {
    server.waiting += said;
    said.clear();
    server.run();
  }
  bool ask_for_new_keys() { return wolfSSL_update_keys(session_) == WOLFSSL_SUCCESS; }
  bool write(std::string_view text) {
    return wolfSSL_write(session_, text.data(), static_cast<int>(text.size())) > 0;
  }
  void read_all() {
    char octets[1024];
    while (wolfSSL_read(session_, octets, sizeof octets) > 0) {
    }
  }

  std::string said, heard;

 private:
  WOLFSSL_CTX* context_;
  WOLFSSL* session_;
};

TEST(Flood, KeyUpdatesWithoutDataEndTheSession) {
  Side server(Session(server_context({"mail_ecdsa"})));
  RawClient client;
  ASSERT_TRUE(client.shake_hands_with(server));
  std::string answers;
  server.session.take_output(answers);  // session tickets
  answers.clear();
  size_t asked = 0;
  for (; asked < 10'000 && !server.failed; ++asked) {
    ASSERT_TRUE(client.ask_for_new_keys());
    client.pass_on(server);
    server.session.take_output(answers);
  }
  EXPECT_LT(asked, 100U);
  EXPECT_LT(answers.size(), 8192U);
  EXPECT_EQ(server.session.error(),
            "TLS receiving: the peer sends key updates and the like instead of data");
}

TEST(Flood, NewKeysNowAndThenAreFine) {
  Side server(Session(server_context({"mail_ecdsa"})));
  RawClient client;
  ASSERT_TRUE(client.shake_hands_with(server));
  const std::string piece(10'000, 'x');
  for (int i = 0; i < 100; ++i) {
    if (i % 10 == 0) {
      ASSERT_TRUE(client.ask_for_new_keys());
    }
    ASSERT_TRUE(client.write(piece));
    client.pass_on(server);
    server.session.take_output(client.heard);
    client.read_all();
    ASSERT_FALSE(server.failed) << server.session.error();
  }
  EXPECT_EQ(server.plaintext.size(), 100 * piece.size());
}

TEST(Flood, DataInRecordsOfOneOctetIsFine) {
  Side server(Session(server_context({"mail_ecdsa"})));
  RawClient client;
  ASSERT_TRUE(client.shake_hands_with(server));
  for (int i = 0; i < 20'000; ++i) {
    ASSERT_TRUE(client.write("x"));
    if (i % 100 == 0) client.pass_on(server);
  }
  client.pass_on(server);
  EXPECT_FALSE(server.failed) << server.session.error();
  EXPECT_EQ(server.plaintext.size(), 20'000U);
}

}  // namespace
}  // namespace ringmta::tls
