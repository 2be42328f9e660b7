#include "common/security/path_roots.h"

#include <filesystem>
#include <fstream>

#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace espalier::testing {
namespace {

namespace fs = std::filesystem;

// allowed/model/config.json, allowed/tokens.npy, allowed-too/x, secret/file
struct Folders {
  Folders() {
    fs::create_directories(folder / "allowed/model");
    fs::create_directories(folder / "allowed-too");
    fs::create_directories(folder / "secret");
    for (const char* file : {"allowed/model/config.json", "allowed/tokens.npy", "allowed-too/x", "secret/file"}) {
      std::ofstream(folder / file) << "x";
    }
  }
  TempDir folder;
};

absl::StatusCode CodeOf(const PathRoots& roots, const std::string& path) { return roots.Check("spec.f", path).code(); }

TEST_CASE("PathRoots: only what lies beneath a root passes, whatever way it is named", "[security]") {
  const Folders f;
  const auto roots = PathRoots::Open({f.folder / "allowed/"});
  REQUIRE_OK(roots);
  CHECK_FALSE(roots->is_unrestricted());
  for (const char* good : {"allowed", "allowed/model", "allowed/model/", "allowed//tokens.npy", "allowed/./tokens.npy"}) {
    CAPTURE(good);
    CHECK(CodeOf(*roots, f.folder / good) == absl::StatusCode::kOk);
  }
  for (const char* outside : {"secret/file", "secret", "allowed-too/x", "secret/none", ""}) {
    CAPTURE(outside);
    CHECK(CodeOf(*roots, f.folder / outside) == absl::StatusCode::kPermissionDenied);
  }
  for (const char* wrong : {"allowed/../secret/file", "allowed/model/../../secret", "allowed/.."}) {
    CAPTURE(wrong);
    CHECK(CodeOf(*roots, f.folder / wrong) == absl::StatusCode::kInvalidArgument);
  }
  CHECK(CodeOf(*roots, "allowed/model") == absl::StatusCode::kInvalidArgument);
  CHECK(CodeOf(*roots, "") == absl::StatusCode::kInvalidArgument);
  CHECK(CodeOf(*roots, (f.folder / "allowed") + std::string("\0/etc", 5)) == absl::StatusCode::kInvalidArgument);
  CHECK(CodeOf(*roots, "/" + std::string(5000, 'a')) == absl::StatusCode::kInvalidArgument);
  CHECK(CodeOf(*roots, f.folder / "allowed/none") == absl::StatusCode::kNotFound);
  CHECK(CodeOf(*roots, "/proc/self/root" + (f.folder / "secret/file")) == absl::StatusCode::kPermissionDenied);
}

TEST_CASE("PathRoots: a symbolic link is judged by where it leads, and the answer does not say where", "[security]") {
  const Folders f;
  const auto roots = PathRoots::Open({f.folder / "allowed"});
  REQUIRE_OK(roots);
  const auto link = [&](const std::string& target, const std::string& name) {
    fs::create_symlink(target, f.folder / name);
  };
  link(f.folder / "secret/file", "allowed/absolute");
  link("../secret", "allowed/relative");
  link("/proc/self/cwd", "allowed/magic");
  link("chain2", "allowed/chain1");
  link("relative/file", "allowed/chain2");
  for (const char* name : {"absolute", "relative", "relative/file", "chain1", "magic"}) {
    CAPTURE(name);
    const absl::Status status = roots->Check("spec.tokens_path", f.folder / ("allowed/" + std::string(name)));
    CHECK(status.code() == absl::StatusCode::kPermissionDenied);
    CHECK_THAT(std::string(status.message()), Catch::StartsWith("spec.tokens_path:") && Catch::Contains("--allow-root") &&
                                                  !Catch::Contains("secret"));
  }
  link("../tokens.npy", "allowed/model/inside");
  CHECK(CodeOf(*roots, f.folder / "allowed/model/inside") == absl::StatusCode::kOk);
  link("loop", "allowed/loop");
  CHECK(CodeOf(*roots, f.folder / "allowed/loop") == absl::StatusCode::kNotFound);
  // From outside in: the name is what the caller may use.
  link(f.folder / "allowed/tokens.npy", "secret/in");
  CHECK(CodeOf(*roots, f.folder / "secret/in") == absl::StatusCode::kPermissionDenied);
}

TEST_CASE("PathRoots: a folder passes only when every link in it stays inside", "[security]") {
  const Folders f;
  const auto roots = PathRoots::Open({f.folder / "allowed"});
  REQUIRE_OK(roots);
  // As in a hub's cache: the entries are links to blobs beneath the same root.
  fs::create_directories(f.folder / "allowed/blobs");
  std::ofstream(f.folder / "allowed/blobs/1") << "x";
  fs::create_symlink("../blobs/1", f.folder / "allowed/model/model.safetensors");
  CHECK(CodeOf(*roots, f.folder / "allowed/model") == absl::StatusCode::kOk);
  fs::create_symlink(f.folder / "secret/file", f.folder / "allowed/model/tokenizer.json");
  const absl::Status status = roots->Check("spec.model_folder", f.folder / "allowed/model");
  CHECK(status.code() == absl::StatusCode::kPermissionDenied);
  CHECK_THAT(std::string(status.message()), Catch::Contains("tokenizer.json") && !Catch::Contains("secret"));
  fs::remove(f.folder / "allowed/model/tokenizer.json");
  fs::create_symlink("/nowhere/at/all", f.folder / "allowed/model/tokenizer.json");  // no hint whether it is there
  CHECK(roots->Check("spec.model_folder", f.folder / "allowed/model") == status);
}

TEST_CASE("PathRoots: a root may itself be reached through a link", "[security]") {
  const Folders f;
  fs::create_directory_symlink(f.folder / "allowed", f.folder / "alias");
  const auto roots = PathRoots::Open({f.folder / "alias"});
  REQUIRE_OK(roots);
  CHECK(CodeOf(*roots, f.folder / "alias/model") == absl::StatusCode::kOk);
  CHECK(CodeOf(*roots, f.folder / "allowed/model") == absl::StatusCode::kOk);
  CHECK(CodeOf(*roots, f.folder / "secret") == absl::StatusCode::kPermissionDenied);
}

TEST_CASE("PathRoots: without a root everything passes; a root that allows everything or nothing is refused", "[security]") {
  CHECK(PathRoots().is_unrestricted());
  CHECK(CodeOf(PathRoots(), "/etc/passwd") == absl::StatusCode::kOk);
  const Folders f;
  for (const std::string& wrong : {std::string("/"), std::string("relative"), std::string(), f.folder / "none",
                                   f.folder / "allowed/tokens.npy"}) {
    CAPTURE(wrong);
    CHECK(PathRoots::Open({wrong}).status().code() == absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace espalier::testing
