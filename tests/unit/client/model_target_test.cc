#include "client/service/model_target.h"

#include <filesystem>
#include <string>

#include "common/base/files.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;
using absl::StatusCode;

constexpr char kDense[] = R"({"model_type": "llama"})";
constexpr char kExport[] = R"({"model_type": "espalier", "base_model_type": "llama"})";

std::string Folder(const testing::TempDir& home, const std::string& name, const std::string& config) {
  const std::string folder = home / name;
  REQUIRE_OK(CreateFolders(folder));
  if (!config.empty()) REQUIRE_OK(WriteFileAtomically(folder + "/config.json", config));
  return folder;
}

TEST_CASE("Model target: only nothing, an empty folder or an export of ours is replaced", "[client]") {
  const testing::TempDir home;
  CHECK(CheckReplaceable(home / "absent").ok());
  CHECK(CheckReplaceable(Folder(home, "empty", "")).ok());
  CHECK(CheckReplaceable(Folder(home, "export", kExport)).ok());
  const absl::Status dense = CheckReplaceable(Folder(home, "dense", kDense));
  CHECK(dense.code() == StatusCode::kAlreadyExists);
  CHECK_THAT(std::string(dense.message()), Catch::Contains(home / "dense") && Catch::Contains("no export of espalier"));
  CHECK(CheckReplaceable(Folder(home, "torn", "{\"model_type\": \"espa")).code() == StatusCode::kAlreadyExists);
  CHECK(CheckReplaceable(Folder(home, "list", "[\"espalier\"]")).code() == StatusCode::kAlreadyExists);
  REQUIRE_OK(WriteFileAtomically(home / "file", "x"));
  CHECK(CheckReplaceable(home / "file").code() == StatusCode::kAlreadyExists);
  fs::create_symlink(home / "gone", home / "dangling");
  CHECK(CheckReplaceable(home / "dangling").code() == StatusCode::kAlreadyExists);
}

TEST_CASE("Model target: a folder that is, holds or lies in the model's is refused, however it is spelt", "[client]") {
  const testing::TempDir home;
  const std::string model = Folder(home, "sub/model", kDense);
  Folder(home, "out", "");
  CHECK(CheckApart(home / "out/model", model).ok());
  CHECK(CheckApart(home / "sub/model2", model).ok());
  CHECK(CheckApart(home / "out", home / "elsewhere/model").ok());

  const absl::Status same = CheckApart(home / "out/../sub/./model/", model);
  CHECK(same.code() == StatusCode::kInvalidArgument);
  CHECK_THAT(std::string(same.message()), Catch::Contains("which is the model folder '" + model));
  CHECK_THAT(std::string(CheckApart(home / "sub/model/new/model", model).message()), Catch::Contains("lies inside"));
  CHECK_THAT(std::string(CheckApart(home / "sub", model).message()), Catch::Contains("contains"));

  fs::create_directory_symlink(home / "sub", home / "link");
  CHECK(CheckApart(home / "link/model", model).code() == StatusCode::kInvalidArgument);
  fs::create_directory_symlink(model, home / "out/model");
  CHECK(CheckApart(home / "out/model", model).code() == StatusCode::kInvalidArgument);
}

TEST_CASE("Model target: an earlier export is not replaced while it is, or holds, what the work reads", "[client]") {
  const testing::TempDir home;
  const std::string model = Folder(home, "dense", kDense);
  const std::string target = Folder(home, "out/model", kExport);
  REQUIRE_OK(WriteFileAtomically(home / "tokens.npy", "t"));
  REQUIRE_OK(WriteFileAtomically(target + "/tokens.npy", "t"));
  CHECK(CheckModelTarget(target, model, {home / "tokens.npy", "", home / "state"}).ok());
  CHECK(CheckModelTarget(target, target, {}).code() == StatusCode::kInvalidArgument);
  const absl::Status tokens = CheckModelTarget(target, model, {home / "tokens.npy", target + "/tokens.npy"});
  CHECK(tokens.code() == StatusCode::kInvalidArgument);
  CHECK_THAT(std::string(tokens.message()), Catch::Contains(target + "/tokens.npy"));
  CHECK(CheckModelTarget(target, model, {target + "/state/new"}).code() == StatusCode::kInvalidArgument);
}

TEST_CASE("Model target: a GGUF replaces a GGUF and no other file", "[client]") {
  const testing::TempDir home;
  REQUIRE_OK(WriteFileAtomically(home / "old.gguf", "GGUF\3"));
  REQUIRE_OK(WriteFileAtomically(home / "model.safetensors", std::string(64, '\0')));
  REQUIRE_OK(WriteFileAtomically(home / "short", "GG"));
  CHECK(CheckGgufTarget(home / "new.gguf").ok());
  CHECK(CheckGgufTarget(home / "old.gguf").ok());
  CHECK(CheckGgufTarget(home / "model.safetensors").code() == StatusCode::kAlreadyExists);
  CHECK(CheckGgufTarget(home / "short").code() == StatusCode::kAlreadyExists);
}

}  // namespace
}  // namespace espalier
