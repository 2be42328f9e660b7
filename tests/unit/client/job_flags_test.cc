#include "client/job_flags.h"

#include "absl/strings/match.h"
#include "client/run/state_folder.h"
#include "common/base/files.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace espalier {
namespace {

JobFlags Flags() {
  JobFlags flags;
  flags.model = "/models/m";
  flags.tokens = "/data/t.npy";
  flags.target = "60%";
  return flags;
}

bool Says(const absl::Status& status, const char* part) { return absl::StrContains(status.message(), part); }

TEST_CASE("ParseCount: suffixes, and what is no count") {
  REQUIRE(*ParseCount("--x", "4096") == 4096);
  REQUIRE(*ParseCount("--x", "100k") == 100000);
  REQUIRE(*ParseCount("--x", "2.5M") == 2500000);
  for (const char* bad : {"", "M", "-1", "1.5", "5MM", "x", "1e30"}) {
    INFO(bad);
    REQUIRE(Says(ParseCount("--x", bad).status(), "--x"));
  }
}

TEST_CASE("ParseBytes: units, and what is no size") {
  REQUIRE(*ParseBytes("--x", "40GB") == 40'000'000'000);
  REQUIRE(*ParseBytes("--x", "1.5GiB") == 1'610'612'736);
  REQUIRE(*ParseBytes("--x", "4096") == 4096);
  for (const char* bad : {"", "GB", "-1GB", "40G", "40 gb", "x"}) {
    INFO(bad);
    REQUIRE(Says(ParseBytes("--x", bad).status(), "--x"));
  }
}

TEST_CASE("ToSpec: who gets workers first is taken from the flags") {
  JobFlags flags = Flags();
  flags.priority = "-5";
  flags.weight = "2.5";
  flags.max_workers = "3";
  flags.minimum_device_memory = "24GiB";
  const auto spec = ToSpec(flags);
  REQUIRE_OK(spec);
  CHECK(spec->priority() == -5);
  CHECK(spec->weight() == 2.5);
  CHECK(spec->max_workers() == 3);
  CHECK(spec->minimum_device_memory() == int64_t{24} << 30);
  flags.priority = "high";
  CHECK(Says(ToSpec(flags).status(), "--priority"));
}

TEST_CASE("ToSpec: flags beat the job file") {
  testing::TempDir folder;
  REQUIRE_OK(WriteFileAtomically(folder / "job.textproto", "seed: 3\nmode: RESTART\ntarget { share: 0.5 }\n"));
  JobFlags flags = Flags();
  flags.job_file = folder / "job.textproto";
  flags.seed = "9";
  const auto spec = ToSpec(flags);
  REQUIRE_OK(spec);
  REQUIRE(spec->seed() == 9);
  REQUIRE(spec->mode() == v1::RESTART);
  REQUIRE(spec->target().share() == Approx(0.6));
}

TEST_CASE("ToSpec: an unknown field of the job file is named with its line") {
  testing::TempDir folder;
  REQUIRE_OK(WriteFileAtomically(folder / "job.textproto", "seed: 3\nsede: 4\n"));
  JobFlags flags = Flags();
  flags.job_file = folder / "job.textproto";
  const absl::Status status = ToSpec(flags).status();
  REQUIRE(Says(status, "sede"));
  REQUIRE(Says(status, ":2:"));
}

TEST_CASE("ToSpec: two presets are refused") {
  testing::TempDir folder;
  REQUIRE_OK(WriteFileAtomically(folder / "job.json", "{\"preset\": \"DARWINLM\"}"));
  JobFlags flags = Flags();
  flags.job_file = folder / "job.json";
  flags.preset = "balanced";
  REQUIRE(Says(ToSpec(flags).status(), "two presets"));
}

TEST_CASE("ToSpec: what is missing or wrong names its flag") {
  JobFlags flags = Flags();
  SECTION("no model") {
    flags.model.clear();
    REQUIRE(Says(ToSpec(flags).status(), "--model"));
  }
  SECTION("no target") {
    flags.target.clear();
    REQUIRE(Says(ToSpec(flags).status(), "--target"));
  }
  SECTION("a preset that is not there") {
    flags.preset = "fast";
    REQUIRE(Says(ToSpec(flags).status(), "--preset: 'fast'"));
  }
  SECTION("a seed that is no number") {
    flags.seed = "-1";
    REQUIRE(Says(ToSpec(flags).status(), "--seed"));
  }
}

TEST_CASE("ToSpec: zero generations are not the same as none named") {
  JobFlags flags = Flags();
  REQUIRE_FALSE(ToSpec(flags)->stop().has_generations());
  flags.generations = "0";
  REQUIRE(ToSpec(flags)->stop().has_generations());
  REQUIRE(ToSpec(flags)->stop().generations() == 0);
}

TEST_CASE("ReadMaskFile: a result's mask is a first parent, a broken one names the unit") {
  testing::TempDir folder;
  REQUIRE_OK(WriteFileAtomically(
      folder / "result.json",
      R"({"mask": {"attention[0]": {"removed": 2, "kept_heads": [0]}, "ffn[0]": {"removed": 32}}})"));
  const auto mask = ReadMaskFile(folder / "result.json");
  REQUIRE_OK(mask);
  REQUIRE(mask->removed_size() == 2);
  REQUIRE_OK(WriteFileAtomically(folder / "bad.json", R"({"attention[0]": {"removed": "two"}})"));
  REQUIRE(Says(ReadMaskFile(folder / "bad.json").status(), "attention[0]"));
}

TEST_CASE("StateFolder: the same specification gets the same request id, another one is refused with what differs") {
  testing::TempDir folder;
  v1::JobSpec spec;
  spec.set_seed(7);
  std::string first;
  {
    auto state = StateFolder::Open(folder / "state");
    REQUIRE_OK(state);
    first = *(*state)->RequestIdFor(spec);
    REQUIRE(absl::IsFailedPrecondition(StateFolder::Open(folder / "state").status()));  // one run at a time
  }
  auto state = StateFolder::Open(folder / "state");
  REQUIRE_OK(state);
  REQUIRE(*(*state)->RequestIdFor(spec) == first);
  spec.set_seed(8);
  const absl::Status other = (*state)->RequestIdFor(spec).status();
  REQUIRE(Says(other, "seed: 7"));
  REQUIRE(Says(other, "seed: 8"));
}

TEST_CASE("StateFolder: a refused job leaves no folder of its own, keeps what was there, and never forgets an accepted one") {
  testing::TempDir folder;
  v1::JobSpec refused, accepted;
  refused.set_seed(7);
  accepted.set_seed(8);
  {
    auto state = StateFolder::Open(folder / "new");
    REQUIRE_OK(state);
    REQUIRE_OK((*state)->RequestIdFor(refused));
    (*state)->Forget();
  }
  REQUIRE_FALSE(std::filesystem::exists(folder / "new"));

  std::filesystem::create_directory(folder / "old");
  REQUIRE_OK(WriteFileAtomically(folder / "old/mine", "x"));
  {
    auto state = StateFolder::Open(folder / "old");
    REQUIRE_OK(state);
    REQUIRE_OK((*state)->RequestIdFor(refused));
    (*state)->Forget();
    REQUIRE_OK((*state)->RequestIdFor(accepted));  // the folder is open to it
  }
  REQUIRE(std::filesystem::exists(folder / "old/mine"));
  auto again = StateFolder::Open(folder / "old");
  REQUIRE_OK(again);
  const std::string id = *(*again)->RequestIdFor(accepted);
  (*again)->Forget();  // of an earlier run: it may be running work of hours
  REQUIRE(*(*again)->RequestIdFor(accepted) == id);
  REQUIRE(absl::IsFailedPrecondition((*again)->RequestIdFor(refused).status()));
}

TEST_CASE("StateFolder: a temporary folder is gone afterwards, and a long path gets a short socket") {
  std::string path;
  {
    auto state = StateFolder::Open("");
    REQUIRE_OK(state);
    path = (*state)->path();
    REQUIRE(std::filesystem::exists(path));
  }
  REQUIRE_FALSE(std::filesystem::exists(path));
  testing::TempDir folder;
  auto state = StateFolder::Open(folder / std::string(120, 'x'));
  REQUIRE_OK(state);
  REQUIRE((*state)->socket_path().size() <= 100);
}

}  // namespace
}  // namespace espalier
