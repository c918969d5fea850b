// SPDX-License-Identifier: GPL-3.0-or-later
// What drives a target where there is no libFuzzer: every file of its corpus, then a bounded number
// of inputs made from them. Deterministic: the same corpus and seed try the same inputs, so a
// failure in CI fails here as well. `tools/fuzz` is for finding new things, this is for losing
// none.
//
//   driver CORPUS_DIRECTORY [--runs N] [--seed N] | driver FILE
//
// An input that stops the process is left in fuzz-failure-NAME, to be given to the driver again.
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "ringmta/base/prng.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
#if defined(__SANITIZE_ADDRESS__)
extern "C" void __sanitizer_set_death_callback(void (*callback)());
#endif

namespace {

constexpr size_t kInputMax = 8192;  // octets
constexpr int kTimeMax = 300;       // seconds for all: beyond it a target hangs

std::string current;  // what is being tried
std::string failure_path;

void keep_current() {
  if (FILE* file = std::fopen(failure_path.c_str(), "wb"); file != nullptr) {
    std::fwrite(current.data(), 1, current.size(), file);
    std::fclose(file);
    std::fprintf(stderr, "fuzz: the input of %zu octets is in %s\n", current.size(),
                 failure_path.c_str());
  }
}
void on_signal(int number) {
  keep_current();
  std::signal(number, SIG_DFL);
  std::raise(number);
}

void try_input(std::string input) {
  current = std::move(input);
  // Memory of exactly this size, so that a read beyond it is seen by the sanitizer.
  const std::vector<uint8_t> memory(current.begin(), current.end());
  LLVMFuzzerTestOneInput(memory.data(), memory.size());
}

std::string file_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

class Mutator final {
 public:
  Mutator(const std::vector<std::string>& corpus, uint64_t seed) : corpus_(corpus), random_(seed) {}

  std::string next() {
    std::string input = corpus_[random_.below(corpus_.size())];
    for (uint64_t changes = 1 + random_.below(4); changes > 0; --changes) change(input);
    if (input.size() > kInputMax) input.resize(kInputMax);
    return input;
  }

 private:
  size_t place(const std::string& input) { return random_.below(input.size() + 1); }

  void change(std::string& input) {
    if (input.empty()) {
      input.push_back(static_cast<char>(random_.next()));
      return;
    }
    const size_t at = random_.below(input.size());
    switch (random_.below(8)) {
      case 0:
        input[at] = static_cast<char>(input[at] ^ (1 << random_.below(8)));
        break;
      case 1:
        input[at] = static_cast<char>(random_.next());
        break;
      case 2: {
        constexpr std::string_view kTelling("\0\r\n \t.,;:=<>@\"\\%+-0\x7F\x80\xFF", 23);
        input.insert(place(input), 1, kTelling[random_.below(kTelling.size())]);
        break;
      }
      case 3:
        input.erase(at, 1 + random_.below(8));
        break;
      case 4:
        input.erase(at, 1 + random_.below(input.size()));
        break;
      case 5: {  // a piece of it again, perhaps often
        const std::string piece = input.substr(at, 1 + random_.below(24));
        std::string often;
        const uint64_t times = random_.below(16) == 0 ? 1 + random_.below(200) : 1;
        for (uint64_t i = 0; i < times; ++i) often += piece;
        input.insert(place(input), often);
        break;
      }
      case 6: {  // a piece of another one
        const std::string& other = corpus_[random_.below(corpus_.size())];
        if (other.empty()) break;
        input.insert(place(input),
                     other.substr(random_.below(other.size()), 1 + random_.below(64)));
        break;
      }
      default: {  // the end of another one
        const std::string& other = corpus_[random_.below(corpus_.size())];
        if (other.empty()) break;
        input = input.substr(0, at) + other.substr(random_.below(other.size()));
        break;
      }
    }
  }

  const std::vector<std::string>& corpus_;
  ringmta::Prng random_;
};

int usage() {
  std::fprintf(stderr, "usage: PROGRAM CORPUS_DIRECTORY|FILE [--runs N] [--seed N]\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t runs = 0, seed = 1;
  std::filesystem::path corpus_path;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--runs" && i + 1 < argc) {
      runs = std::strtoull(argv[++i], nullptr, 10);
    } else if (argument == "--seed" && i + 1 < argc) {
      seed = std::strtoull(argv[++i], nullptr, 10);
    } else if (corpus_path.empty() && !argument.starts_with("-")) {
      corpus_path = argument;
    } else {
      return usage();
    }
  }
  if (corpus_path.empty()) return usage();
  std::vector<std::filesystem::path> files;
  if (std::filesystem::is_directory(corpus_path)) {
    for (const auto& entry : std::filesystem::directory_iterator(corpus_path)) {
      files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
  } else if (std::filesystem::exists(corpus_path)) {
    files.push_back(corpus_path);
  }
  if (files.empty()) {
    std::fprintf(stderr, "fuzz: there is nothing in %s\n", corpus_path.c_str());
    return 1;
  }

  failure_path = "fuzz-failure-" + std::filesystem::path(argv[0]).filename().string();
  for (const int number : {SIGABRT, SIGSEGV, SIGALRM, SIGFPE, SIGBUS}) {
    std::signal(number, on_signal);
  }
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_set_death_callback(keep_current);
#endif
  alarm(kTimeMax);

  std::vector<std::string> corpus;
  try_input("");
  for (const auto& file : files) {
    corpus.push_back(file_text(file));
    try_input(corpus.back());
  }
  Mutator mutator(corpus, seed);
  for (uint64_t run = 0; run < runs; ++run) try_input(mutator.next());
  std::printf("%zu files and %llu inputs made from them\n", files.size(),
              static_cast<unsigned long long>(runs));
  return 0;
}
