// What `espalier fleet up --slurm` writes and says to sbatch; the real Slurm is in tests/slurm.
#include "client/fleet/slurm_fleet.h"

#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "common/base/files.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace espalier {
namespace {

bool Contains(const std::vector<std::string>& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

TEST_CASE("A value that sbatch or a shell could misread is refused with its flag's name") {
  const SlurmFleet good{.folder = "/shared/fleet"};
  CHECK(CheckFleet(good).ok());
  const auto refused = [&](auto change, const char* flag) {
    SlurmFleet fleet = good;
    change(fleet);
    const absl::Status status = CheckFleet(fleet);
    CHECK(status.code() == absl::StatusCode::kInvalidArgument);
    CHECK_THAT(std::string(status.message()), Catch::StartsWith(flag));
  };
  refused([](SlurmFleet& fleet) { fleet.folder = "relative"; }, "--fleet");
  refused([](SlurmFleet& fleet) { fleet.folder = "/a/%j"; }, "--fleet");
  refused([](SlurmFleet& fleet) { fleet.folder = "/a\nb"; }, "--fleet");
  refused([](SlurmFleet& fleet) { fleet.name = "a b"; }, "--name");
  refused([](SlurmFleet& fleet) { fleet.partition = "gpu;rm"; }, "--partition");
  refused([](SlurmFleet& fleet) { fleet.coordinator = "$(id)"; }, "--coordinator");
  refused([](SlurmFleet& fleet) { fleet.workers = -1; }, "--workers");
}

TEST_CASE("Settings survive the shell whatever their characters") {
  SlurmFleet fleet{.folder = "/f"};
  fleet.token_file = "/home/o'brien $HOME/token";
  CHECK_THAT(SettingsText(fleet), Catch::Contains("token_file='/home/o'\\''brien $HOME/token'\n"));
  CHECK_THAT(SettingsText(fleet), !Catch::Contains("coordinator="));
}

TEST_CASE("Workers are one array of as many tasks as are missing, with what was asked for each") {
  SlurmFleet fleet{.folder = "/f", .gpus = 2, .time = "4:00:00", .partition = "long", .sbatch_flags = {"--mem=64G"}};
  const std::vector<std::string> words = WorkerArguments(fleet, 3);
  for (const char* word : {"--array=0-2", "--gres=gpu:2", "--time=4:00:00", "--partition=long", "--mem=64G", "--job-name=espalier"})
    CHECK(Contains(words, word));
  CHECK(words[words.size() - 2] == "/f/workers.sbatch");
  CHECK(words.back() == "/f");
}

TEST_CASE("Without Slurm on this machine nothing is written") {
  const testing::TempDir folder;
  const std::string path = ::getenv("PATH");
  ::setenv("PATH", "/nonexistent", 1);
  const absl::StatusOr<FleetUp> up = BringUp({.folder = folder.path() + "/fleet"});
  ::setenv("PATH", path.c_str(), 1);
  CHECK(up.status().code() == absl::StatusCode::kNotFound);
  CHECK_FALSE(std::filesystem::exists(folder.path() + "/fleet"));
}

}  // namespace
}  // namespace espalier
