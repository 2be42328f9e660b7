#include <sys/stat.h>

#include <fstream>

#include "absl/strings/match.h"
#include "client/doctor/check.h"
#include "client/doctor/credentials.h"
#include "client/doctor/machine.h"
#include "client/doctor/programs.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace espalier {
namespace {

constexpr int64_t kGib = int64_t{1} << 30;
const absl::Time kNow = absl::FromUnixSeconds(1800000000);

const char kOneGpu[] = R"({"libtorch": "2.11", "cuda_problem": "",
  "cuda_devices": [{"name": "NVIDIA H200", "memory_bytes": 150000000000, "free_bytes": 149000000000}]})";
const char kNoGpu[] = R"({"libtorch": "2.11", "cuda_problem": "no CUDA device", "cuda_devices": []})";

TEST_CASE("Doctor: too little memory and disk are told with what to do") {
  REQUIRE(JudgeMachine(8, 64 * kGib, 60 * kGib).verdict == Verdict::kOk);
  REQUIRE(JudgeMachine(1, 4 * kGib, kGib).verdict == Verdict::kWarning);
  REQUIRE(JudgeDisk("/a", 100 * kGib, 200 * kGib).verdict == Verdict::kOk);
  REQUIRE(JudgeDisk("/a", 5 * kGib, 200 * kGib).verdict == Verdict::kWarning);
  const Check full = JudgeDisk("/a", kGib / 2, 200 * kGib);
  REQUIRE(full.verdict == Verdict::kWrong);
  REQUIRE(absl::StrContains(full.found, "512.0 MiB free of 200.0 GiB"));
  REQUIRE_FALSE(full.remedy.empty());
}

TEST_CASE("Doctor: a GPU that LibTorch sees is named; one that it does not see is wrong, none at all is not") {
  const std::vector<Check> seen = JudgeDevices(kOneGpu, {.version = "580.95.05", .gpus = "", .visible = ""}, true);
  REQUIRE(seen.size() == 2);
  REQUIRE(seen[1].verdict == Verdict::kOk);
  REQUIRE(absl::StrContains(seen[1].found, "NVIDIA H200, 139.7 GiB"));
  REQUIRE(absl::StrContains(seen[1].found, "580.95.05"));

  REQUIRE(JudgeDevices(kNoGpu, {}, false)[1].verdict == Verdict::kSkipped);
  REQUIRE(JudgeDevices(kNoGpu, {}, true)[1].verdict == Verdict::kWrong);
  const Check hidden = JudgeDevices(kNoGpu, {"580.1", "NVIDIA H200", "CUDA_VISIBLE_DEVICES is ''"}, false)[1];
  REQUIRE(hidden.verdict == Verdict::kWrong);
  REQUIRE(absl::StrContains(hidden.found, "CUDA_VISIBLE_DEVICES is ''"));
  REQUIRE(absl::StrContains(hidden.remedy, "unset CUDA_VISIBLE_DEVICES"));
  REQUIRE(JudgeDevices("Segmentation fault", {}, false)[0].verdict == Verdict::kWrong);
}

TEST_CASE("Doctor: a GPU whose memory others hold is a warning") {
  const char answer[] = R"({"libtorch": "2.11", "cuda_devices": [{"name": "A", "memory_bytes": 100, "free_bytes": 5}]})";
  REQUIRE(JudgeDevices(answer, {}, true)[1].verdict == Verdict::kWarning);
}

TEST_CASE("Doctor: certificates by what is left of them") {
  REQUIRE(JudgeExpiry("c", kNow + absl::Hours(24 * 300), kNow).verdict == Verdict::kOk);
  REQUIRE(JudgeExpiry("c", kNow + absl::Hours(24 * 10), kNow).verdict == Verdict::kWarning);
  REQUIRE(JudgeExpiry("c", kNow - absl::Hours(1), kNow).verdict == Verdict::kWrong);
  REQUIRE(JudgeExpiry("c", absl::InvalidArgumentError("no PEM"), kNow).verdict == Verdict::kWrong);
  REQUIRE(CheckCertificates({}, kNow)[0].verdict == Verdict::kSkipped);
  REQUIRE(IsAnyWrong(CheckCertificates({.ca = "/no/such/ca.pem", .certificate = "", .key = ""}, kNow)));
}

TEST_CASE("Doctor: a token file that others can read is wrong, with the command that mends it") {
  const testing::TempDir folder;
  const std::string path = folder.path() + "/token";
  std::ofstream(path) << "0123456789abcdef0123456789abcdef\n";
  ::chmod(path.c_str(), 0644);
  const Check open = CheckToken(path);
  REQUIRE(open.verdict == Verdict::kWrong);
  REQUIRE(open.remedy == "chmod 600 " + path);
  ::chmod(path.c_str(), 0600);
  REQUIRE(CheckToken(path).verdict == Verdict::kOk);
  REQUIRE_FALSE(absl::StrContains(CheckToken(path).found, "0123456789abcdef"));
  REQUIRE(CheckToken("").verdict == Verdict::kSkipped);
}

TEST_CASE("Doctor: addresses that are free, taken, of no host, or none") {
  REQUIRE(CheckAddress("127.0.0.1:0").verdict == Verdict::kOk);
  REQUIRE(CheckAddress("203.0.113.7:7070").verdict == Verdict::kWrong);  // of another machine
  REQUIRE(CheckAddress("nonsense").verdict == Verdict::kWrong);
  REQUIRE(CheckAddress("127.0.0.1:70000").verdict == Verdict::kWrong);
  REQUIRE(CheckAddress("unix:" + std::string(200, 'x')).verdict == Verdict::kWrong);
  REQUIRE(CheckAddress("unix:/no/such/folder/socket").verdict == Verdict::kWrong);
}

TEST_CASE("Doctor: a line for each check, remedies below; JSON says whether all is well") {
  const std::vector<Check> checks = {{"disk", Verdict::kOk, "/a: 5 GiB"}, {"token", Verdict::kWrong, "mode 0644", "chmod 600 t"}};
  REQUIRE(ChecksText(checks, false) == "ok      disk   /a: 5 GiB\nwrong   token  mode 0644\n               -> chmod 600 t\n");
  REQUIRE(absl::StrContains(ChecksText(checks, true), "\x1b[31mwrong"));
  REQUIRE(ChecksJson(checks)["healthy"] == false);
  REQUIRE(ChecksJson({checks[0]})["healthy"] == true);
}

}  // namespace
}  // namespace espalier
