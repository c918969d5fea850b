// SPDX-License-Identifier: GPL-3.0-or-later
// posix_spawn, a bounded wait, and a kill of exactly what was started.
#include "programs.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

namespace ringmta::tools {
namespace {

constexpr int kLimitSeconds = 60;

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  return content.str();
}

std::string program_path(const char* variable) {
  const char* path = std::getenv(variable);
  if (path == nullptr)
    throw std::runtime_error(std::string("set ") + variable + " to the program's path");
  return path;
}

std::vector<std::string> sink_arguments(const std::string& listen, const std::string& ready_file,
                                        std::vector<std::string> more) {
  more.insert(more.begin(), {program_path("RINGMTA_SINK"), "--listen", listen, "--verify", "--json",
                             "--quiet", "--ready-file", ready_file});
  return more;
}

}  // namespace

Scratch::Scratch() {
  std::string pattern = testing::TempDir() + "ringmta-tools-XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr)
    throw std::runtime_error("cannot make a directory in " + testing::TempDir());
  path_ = pattern;
}

Scratch::~Scratch() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string Scratch::write(const std::string& name, const std::string& content) const {
  std::ofstream(path_ + "/" + name, std::ios::binary) << content;
  return path_ + "/" + name;
}

Program::Program(const std::vector<std::string>& arguments, const std::string& output_file)
    : output_file_(output_file) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output_file.c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0644);
  const int error = posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw std::runtime_error("cannot start " + arguments[0]);
}

Program::~Program() {
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void Program::signal(int number) const { kill(pid_, number); }

Outcome Program::wait(int seconds) {
  Outcome outcome;
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  int status = 0;
  while (waitpid(pid_, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > until) return outcome;  // the destructor ends it
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  pid_ = -1;
  if (WIFEXITED(status)) outcome.exit_code = WEXITSTATUS(status);
  outcome.output = read_file(output_file_);
  return outcome;
}

SinkProgram::SinkProgram(const Scratch& scratch, std::vector<std::string> more,
                         const std::string& listen)
    : ready_file_(scratch / "ready"),
      program_(sink_arguments(listen, ready_file_, std::move(more)), scratch / "sink.out") {
  for (int tries = 0; tries < 1000 && !std::filesystem::exists(ready_file_); ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  std::istringstream lines(read_file(ready_file_));
  std::string line;
  while (std::getline(lines, line)) addresses_.push_back(line);
  if (addresses_.empty()) throw std::runtime_error("the sink did not come up");
}

Outcome SinkProgram::finish() {
  program_.signal(SIGTERM);
  return program_.wait(kLimitSeconds);
}

Outcome run_load(const Scratch& scratch, const std::string& target, std::vector<std::string> more) {
  more.insert(more.begin(),
              {program_path("RINGMTA_LOAD"), "--target", target, "--json", "--quiet"});
  Program program(more, scratch / "load.out");
  return program.wait(kLimitSeconds);
}

}  // namespace ringmta::tools
