// SPDX-License-Identifier: GPL-3.0-or-later
// Runs `ringmta` within the test: words in, text and exit status out. And a relay that answers on a
// control socket what the test tells it to.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "ringmta/cli/run.h"
#include "ringmta/http/control_server.h"

namespace ringmta::cli {

struct Ran {
  int status = -1;
  std::string out, err;
};

inline int no_relay(const config::Loaded&) {
  ADD_FAILURE() << "the relay was started";
  return kFailed;
}

inline Ran run_words(const std::vector<std::string>& words, const std::string& input = {},
                     Serve serve = no_relay, bool terminal = false) {
  std::vector<const char*> argv{"ringmta"};
  for (const std::string& word : words) argv.push_back(word.c_str());
  std::istringstream in(input);
  std::ostringstream out;
  std::ostringstream err;
  const int status =
      run(static_cast<int>(argv.size()), argv.data(), {in, out, err, terminal}, serve);
  return {status, out.str(), err.str()};
}

// A directory of the test's own, gone with it.
class Directory final {
 public:
  Directory() {
    std::string pattern = std::filesystem::temp_directory_path() / "ringmta-cli-XXXXXX";
    path_ = ::mkdtemp(pattern.data());
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  std::string path(const std::string& name) const { return path_ + "/" + name; }
  std::string write(const std::string& name, const std::string& content) const {
    std::ofstream(path(name), std::ios::binary) << content;
    return path(name);
  }

 private:
  std::string path_;
};

class FakeRelay final {
 public:
  using Lines = std::vector<nlohmann::json>;
  // `answer`: what is sent for a request.
  explicit FakeRelay(std::function<Lines(const nlohmann::json&)> answer) {
    auto server = http::ControlServer::start(
        socket(), 0600,
        [this, answer = std::move(answer)](const nlohmann::json& request,
                                           const http::ControlServer::Reply& reply) {
          {
            const std::lock_guard guard(lock_);
            requests_.push_back(request);
          }
          for (const nlohmann::json& line : answer(request)) {
            if (!reply(line)) return;
          }
        });
    if (!server) throw std::runtime_error(server.error().message);
    server_ = std::move(*server);
  }

  std::string socket() const { return directory_.path("control.sock"); }
  Lines requests() const {
    const std::lock_guard guard(lock_);
    return requests_;
  }

 private:
  Directory directory_;
  mutable std::mutex lock_;
  Lines requests_;
  std::unique_ptr<http::ControlServer> server_;
};

}  // namespace ringmta::cli
