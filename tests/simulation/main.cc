// SPDX-License-Identifier: GPL-3.0-or-later
// ringmta-simulate: runs seeds, and tells those that showed what may not be.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "ringmta/base/log.h"
#include "simulation.h"

namespace {

using namespace ringmta::simulation;

struct Options {
  uint64_t first = 1, seeds = 100;
  uint32_t generation = Plan::kGenerations;
  double faster_than = 0;
  bool plan = false, twice = false, log = false, keep_going = false, day = false;
  bool faults = false;
  std::string events, file;
};

struct Seed {
  uint64_t number = 0;
  uint32_t generation = Plan::kGenerations;
  std::string name;
};

std::vector<Seed> seeds_of(const Options& options) {
  std::vector<Seed> seeds;
  if (options.file.empty()) {
    for (uint64_t i = 0; i < options.seeds; ++i)
      seeds.push_back({options.first + i, options.generation, {}});
    return seeds;
  }
  std::ifstream file(options.file);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    Seed seed;
    if (words >> seed.number >> seed.generation && std::getline(words, seed.name)) {
      seeds.push_back(seed);
    }
  }
  return seeds;
}

struct Sum {
  uint64_t runs = 0, bad = 0, kept = 0, copies = 0, notices = 0, crashes = 0;
  int64_t simulated_ms = 0;
  std::map<std::string, uint64_t> struck;
};

// Everything was taken (clients that vanish or lose their connection have no 250, one in ten), and
// everything that a host takes came through.
void check_day(const Plan& plan, const Outcome& outcome, std::vector<std::string>& violations) {
  if (outcome.expired > 0) {
    violations.push_back(fmt::format("{} recipients expired", outcome.expired));
  }
  for (const auto& [reply, count] : outcome.refusals) {
    violations.push_back(fmt::format("{} were refused: {}", count, reply));
  }
  if (outcome.kept < uint64_t{plan.mails} * 9 / 10) {
    violations.push_back(fmt::format("only {} were kept", outcome.kept));
  }
}

// False: the run showed something.
bool one(const Seed& seed, const Options& options, Sum& sum) {
  const Plan plan =
      options.day ? Plan::day_without_hosts(seed.number) : Plan::of(seed.number, seed.generation);
  if (options.plan) fmt::print("{}\n", text(plan));
  const Outcome outcome = run(plan);
  std::vector<std::string> violations = outcome.violations;
  if (options.twice) {
    const Outcome again = run(plan);
    if (again.trace != outcome.trace) violations.emplace_back("two runs of this seed differ");
  }
  if (!options.events.empty()) std::ofstream(options.events) << outcome.events;
  ++sum.runs;
  sum.kept += outcome.kept;
  sum.copies += outcome.copies;
  sum.notices += outcome.notices;
  sum.crashes += outcome.crashes;
  sum.simulated_ms += outcome.simulated.count;
  for (const auto& [what, count] : outcome.struck) sum.struck[what] += count;
  if (options.day) check_day(plan, outcome, violations);
  if (options.plan) {
    fmt::print(
        "  {} kept, {} refused, {} unknown; {} copies, {} notices; {} crashes; {} s; up to {} "
        "octets a shard; trace {:016x}\n",
        outcome.kept, outcome.refused, outcome.unknown, outcome.copies, outcome.notices,
        outcome.crashes, outcome.simulated.count / 1000, outcome.memory_max, outcome.trace);
  }
  if (options.plan) {
    for (const auto& [reply, count] : outcome.refusals) fmt::print("  {} x {}\n", count, reply);
  }
  if (violations.empty()) return true;
  ++sum.bad;
  fmt::print("{}\n", text(plan));
  for (size_t i = 0; i < violations.size() && i < 20; ++i) fmt::print("  {}\n", violations[i]);
  if (violations.size() > 20) fmt::print("  and {} more\n", violations.size() - 20);
  std::fflush(stdout);
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("Runs a whole relay in simulated worlds, one per seed, and checks its promises.");
  app.add_option("--first", options.first, "the first seed")->capture_default_str();
  app.add_option("--seeds", options.seeds, "how many")->capture_default_str();
  app.add_flag("--plan", options.plan, "say what each seed means and what came of it");
  app.add_option("--generation", options.generation, "of the simulator: 1 knows fewer faults")
      ->capture_default_str();
  app.add_flag("--day", options.day, "all hosts are gone for a day and come back, in each seed");
  app.add_option("--faster-than", options.faster_than,
                 "fail when time passes less than so many times faster than outside");
  app.add_flag("--twice", options.twice, "run each seed twice; both must be the same");
  app.add_flag("--log", options.log, "show the relay's log");
  app.add_flag("--faults", options.faults,
               "say how often each fault struck, and fail when one did not in any seed");
  app.add_flag("--keep-going", options.keep_going, "do not stop at the first that fails");
  app.add_option("--file", options.file,
                 "run the seeds in this file instead: seed, generation and name a line")
      ->check(CLI::ExistingFile);
  app.add_option("--events", options.events, "write the relay's events of the last run here");
  CLI11_PARSE(app, argc, argv);
  ringmta::set_log_level(options.log ? ringmta::LogLevel::debug : ringmta::LogLevel::silent);
  Sum sum;
  const auto begun = std::chrono::steady_clock::now();
  for (const Seed& seed : seeds_of(options)) {
    const bool good = one(seed, options, sum);
    if (!good && !seed.name.empty()) fmt::print("  once before:{}\n", seed.name);
    if (!good && !options.keep_going) break;
  }
  const double took =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  fmt::print(
      "{} runs, {} bad: {} messages kept, {} copies, {} notices, {} crashes; {:.1f} h simulated in "
      "{:.1f} s\n",
      sum.runs, sum.bad, sum.kept, sum.copies, sum.notices, sum.crashes,
      static_cast<double>(sum.simulated_ms) / 3.6e6, took);
  bool all_faults = true;
  if (options.faults) {
    for (const auto& [what, count] : sum.struck) fmt::print("  {} x {}\n", count, what);
    for (const std::string& what : faults_missing(sum.struck)) {
      fmt::print("no run met this fault: {}\n", what);
      all_faults = false;
    }
  }
  const double faster = static_cast<double>(sum.simulated_ms) / 1e3 / took;
  if (options.faster_than > 0) fmt::print("{:.0f} times faster than time outside\n", faster);
  return sum.bad == 0 && all_faults && faster >= options.faster_than ? 0 : 1;
}
