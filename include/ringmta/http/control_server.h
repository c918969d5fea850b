// SPDX-License-Identifier: GPL-3.0-or-later
// The operator's door: a Unix socket on which `ringmta status` and `ringmta queue` ask questions.
//
// The insight: operators are few and patient, shards are neither. So one thread of its own serves
// all control connections, one request at a time; a handler may wait for the shards, and they see
// at most one question at a time however many operators ask.
//
// Protocol: JSON objects, one a line. Request: {"command":"status"}, {"command":"queue.list",
// "filter":{...},"limit":100}, ... Answer: any number of lines, the last with "end":true, after an
// error {"error":"a sentence","end":true}. Then the next request may follow on the same connection.
//
// Limits: kConnectionsMax connections (further ones wait in the backlog), kRequestMax octets in a
// request, kIdleMax without one; a client that does not take an answer for ControlOptions::
// client_wait_max in all is dropped.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "ringmta/base/result.h"
#include "ringmta/base/time.h"

namespace ringmta::http {

struct ControlOptions {
  std::string path;                            // of the socket; its directory must exist
  uint32_t mode = 0600;                        // permissions: who may connect
  Milliseconds client_wait_max = seconds(10);  // per request, for the client to take the answer
  Milliseconds idle_max = minutes(2);          // between requests
};

class ControlServer final {
 public:
  static constexpr size_t kConnectionsMax = 16;
  static constexpr size_t kRequestMax = 65536;  // octets, the line feed not counted

  // Sends one line of the answer. False: the client is gone, stop. A line without "end":true is
  // followed by others; when a handler returns without having sent the last one, it is added.
  using Reply = std::function<bool(const nlohmann::json& line)>;
  // Called on the server's thread with an object whose "command" is a string.
  using Handler = std::function<void(const nlohmann::json& request, const Reply& reply)>;

  // Replaces the socket of a process that is no more. Fails when another process answers there, or
  // when something that is not a socket is in the way.
  static Result<std::unique_ptr<ControlServer>> start(const ControlOptions& options,
                                                      Handler handler);
  static Result<std::unique_ptr<ControlServer>> start(std::string path, uint32_t mode,
                                                      Handler handler);
  // Ends the connections, waits for a handler that is at work, removes the socket.
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

 private:
  struct Impl;
  explicit ControlServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ringmta::http
