// SPDX-License-Identifier: GPL-3.0-or-later
// Runs ringmta-load and ringmta-sink as programs, as an operator would, and reads what they report.
// Their paths come in the environment (RINGMTA_LOAD, RINGMTA_SINK), set by Meson.
#pragma once

#include <sys/types.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace ringmta::tools {

struct Outcome {
  int exit_code = -1;  // -1: ended by a signal or by the time limit
  std::string output;  // stdout
  nlohmann::json json() const { return nlohmann::json::parse(output); }
};

// A directory of its own for a test, removed at the end.
class Scratch final {
 public:
  Scratch();
  ~Scratch();
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  std::string write(const std::string& name, const std::string& content) const;

 private:
  std::string path_;
};

class Program final {
 public:
  Program(const std::vector<std::string>& arguments, const std::string& output_file);
  ~Program();  // ends it when it still runs
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  void signal(int number) const;
  Outcome wait(int seconds);

 private:
  pid_t pid_ = -1;
  std::string output_file_;
};

// A verifying sink on a free port; `more` are further options.
class SinkProgram final {
 public:
  SinkProgram(const Scratch& scratch, std::vector<std::string> more,
              const std::string& listen = "127.0.0.1:0");
  const std::string& address() const { return addresses_.front(); }
  const std::vector<std::string>& addresses() const { return addresses_; }
  Program& program() { return program_; }
  // SIGTERM, and what it then reports.
  Outcome finish();

 private:
  std::vector<std::string> addresses_;
  std::string ready_file_;
  Program program_;
};

Outcome run_load(const Scratch& scratch, const std::string& target, std::vector<std::string> more);

}  // namespace ringmta::tools
