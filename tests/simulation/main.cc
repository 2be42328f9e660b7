// espalier-simulation: runs seeds of the deterministic simulation.
//
// Exit status: 0 when no invariant was broken, 1 when one was, 2 for wrong arguments.
#include <chrono>
#include <cstdio>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "tests/simulation/world.h"

namespace espalier::simulation {
namespace {

struct Flags {
  uint64_t seed = 0;
  std::string seeds;
  double seconds = 0;
  double hours = 0;
  int workers = 0;
  std::string defect = "none";
  bool verbose = false;
};

struct Totals {
  int64_t seeds = 0;
  int64_t steps = 0;
  int64_t commits = 0;
  int64_t attempts = 0;
  int64_t expired = 0;
  int64_t stuck = 0;
  int64_t collected = 0;
  int64_t class_changes = 0;
  int64_t epochs = 0;
  int64_t jobs = 0;
  int64_t results = 0;
  int64_t workers = 0;
  absl::Duration virtual_time;
};

void Add(const Outcome& outcome, Totals& totals) {
  ++totals.seeds;
  totals.steps += outcome.num_steps;
  totals.commits += outcome.num_commits;
  totals.attempts += outcome.num_attempts;
  totals.expired += outcome.num_expired;
  totals.stuck += outcome.num_stuck;
  totals.collected += outcome.num_collected;
  totals.class_changes += outcome.num_class_changes;
  totals.epochs += outcome.num_epochs;
  totals.jobs += outcome.num_jobs;
  totals.results += outcome.num_results;
  totals.workers += outcome.num_workers;
  totals.virtual_time += outcome.virtual_time;
}

void Print(const Totals& totals, double seconds) {
  std::printf(
      "%lld seeds, %.1f days of virtual time in %.1f s (%.1f seeds/s): %lld steps, %lld jobs, %lld results equal to "
      "the undisturbed run's, %lld leases granted, %lld expired, %lld without progress, %lld changes of a job's numerics class, "
      "%lld artifacts collected, %lld events committed, %lld coordinators, %lld workers\n",
      static_cast<long long>(totals.seeds), absl::ToDoubleHours(totals.virtual_time) / 24, seconds,
      static_cast<double>(totals.seeds) / seconds, static_cast<long long>(totals.steps),
      static_cast<long long>(totals.jobs), static_cast<long long>(totals.results),
      static_cast<long long>(totals.attempts), static_cast<long long>(totals.expired),
      static_cast<long long>(totals.stuck), static_cast<long long>(totals.class_changes),
      static_cast<long long>(totals.collected),
      static_cast<long long>(totals.commits), static_cast<long long>(totals.epochs),
      static_cast<long long>(totals.workers));
  std::fflush(stdout);
}

void PrintViolation(const Profile& profile, const Outcome& outcome, const Flags& flags) {
  std::string again = absl::StrCat("build/bin/espalier-simulation --seed ", profile.seed);
  if (flags.hours > 0) absl::StrAppend(&again, " --hours ", flags.hours);
  if (flags.workers > 0) absl::StrAppend(&again, " --workers ", flags.workers);
  if (flags.defect != "none") absl::StrAppend(&again, " --defect ", flags.defect);
  std::printf("seed %llu breaks %s: %s\n  %s\n  again, with its history: %s --verbose\n",
              static_cast<unsigned long long>(profile.seed), outcome.violation->invariant.c_str(),
              outcome.violation->what.c_str(), Describe(profile).c_str(), again.c_str());
}

Profile ProfileOf(uint64_t seed, const Flags& flags) {
  return flags.hours > 0 ? DayProfile(seed, absl::Hours(flags.hours), flags.workers) : DrawProfile(seed, flags.workers);
}

int Run(const Flags& flags) {
  const std::optional<Defect> defect = FindDefect(flags.defect);
  if (!defect.has_value()) {
    std::fprintf(stderr, "--defect %s: there is no such defect; there are:", flags.defect.c_str());
    for (int i = 0; i < static_cast<int>(Defect::kCount); ++i)
      std::fprintf(stderr, " %s", Name(static_cast<Defect>(i)));
    std::fprintf(stderr, "\n");
    return 2;
  }
  uint64_t first = flags.seed;
  uint64_t count = flags.seconds > 0 ? ~uint64_t{0} : 1;
  if (!flags.seeds.empty()) {
    const std::vector<std::string> parts = absl::StrSplit(flags.seeds, ':');
    if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &first) || !absl::SimpleAtoi(parts[1], &count)) {
      std::fprintf(stderr, "--seeds %s: it takes FIRST:COUNT\n", flags.seeds.c_str());
      return 2;
    }
  }
  const auto begin = std::chrono::steady_clock::now();
  const auto elapsed = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(); };
  Totals totals;
  int num_broken = 0;
  for (uint64_t i = 0; i < count && num_broken < 5; ++i) {
    if (flags.seconds > 0 && elapsed() > flags.seconds) break;
    const Profile profile = ProfileOf(first + i, flags);
    if (flags.verbose)
      std::printf("seed %llu: %s\n", static_cast<unsigned long long>(profile.seed), Describe(profile).c_str());
    const Outcome outcome = Simulate(profile, *defect, flags.verbose);
    Add(outcome, totals);
    if (outcome.violation.has_value()) {
      PrintViolation(profile, outcome, flags);
      ++num_broken;
    }
    if (count == 1) std::printf("history %016llx\n", static_cast<unsigned long long>(outcome.history_hash));
    if (totals.seeds % 500 == 0) Print(totals, elapsed());
  }
  Print(totals, elapsed());
  std::printf("%s\n", num_broken == 0 ? "no invariant was broken" : "INVARIANTS WERE BROKEN");
  return num_broken == 0 ? 0 : 1;
}

}  // namespace
}  // namespace espalier::simulation

int main(int argc, char** argv) {
  espalier::simulation::Flags flags;
  CLI::App app("Runs seeds of the deterministic simulation of coordinator, store, network and workers");
  app.add_option("--seed", flags.seed, "one seed, or the first one of a soak");
  app.add_option("--seeds", flags.seeds, "FIRST:COUNT");
  app.add_option("--seconds", flags.seconds, "a soak: seeds until so much time has passed");
  app.add_option("--hours", flags.hours, "each seed is so many hours of operation with a death a minute");
  app.add_option("--workers", flags.workers, "as many as this, instead of as the seed draws");
  app.add_option("--defect", flags.defect, "plants a defect (defects.h)");
  app.add_flag("--verbose", flags.verbose, "prints the history");
  CLI11_PARSE(app, argc, argv);
  std::setvbuf(stdout, nullptr, _IOLBF, 1 << 16);
  return espalier::simulation::Run(flags);
}
