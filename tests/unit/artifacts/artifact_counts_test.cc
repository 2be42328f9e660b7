#include "common/artifacts/artifact_counts.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace espalier {
namespace {

TEST_CASE("ArtifactCounts: each operation is noted with how it ended, and its answer is the store's", "[artifacts]") {
  const testing::TempDir folder;
  auto opened = OpenFolderArtifactStore(folder.path());
  REQUIRE_OK(opened);
  ArtifactCounts counts;
  const std::unique_ptr<ArtifactStore> store = CountOperations(*std::move(opened), &counts);
  const auto digest = store->Put("whole");
  REQUIRE_OK(digest);
  CHECK(store->Get(*digest).value() == "whole");
  CHECK(store->GetRange(*digest, 1, 2).value() == "ho");
  CHECK(store->Size(*digest).value() == 5);
  CHECK(store->Size(std::string(64, '0')).status().code() == absl::StatusCode::kNotFound);
  REQUIRE_OK(store->SetName("names/a", *digest));
  CHECK(store->List()->size() == 1);

  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path())) {
    if (entry.path().filename().string().find(*digest) != std::string::npos) std::ofstream(entry.path()) << "whale";
  }
  CHECK(store->Get(*digest).status().code() == absl::StatusCode::kDataLoss);
  CHECK(store->Get(*digest).status().code() == absl::StatusCode::kNotFound);  // it was moved aside

  CHECK(counts.Of(ArtifactOperation::kWrite, ArtifactResult::kSucceeded) == 1);
  CHECK(counts.Of(ArtifactOperation::kRead, ArtifactResult::kSucceeded) == 2);
  CHECK(counts.Of(ArtifactOperation::kRead, ArtifactResult::kDamaged) == 1);
  CHECK(counts.Of(ArtifactOperation::kRead, ArtifactResult::kMissing) == 1);
  CHECK(counts.Of(ArtifactOperation::kLook, ArtifactResult::kSucceeded) == 1);
  CHECK(counts.Of(ArtifactOperation::kLook, ArtifactResult::kMissing) == 1);
  CHECK(counts.Of(ArtifactOperation::kChange, ArtifactResult::kSucceeded) == 1);
  CHECK(counts.Of(ArtifactOperation::kList, ArtifactResult::kSucceeded) == 1);
  CHECK(counts.Of(ArtifactOperation::kRead, ArtifactResult::kFailed) == 0);
  int pairs = 0;
  int64_t noted = 0;
  counts.ForEach([&](ArtifactOperation, ArtifactResult, int64_t count) { ++pairs, noted += count; });
  CHECK(pairs == 30);
  CHECK(noted == 9);
}

TEST_CASE("ArtifactCounts: what a store of --artifacts does counts for the process", "[artifacts]") {
  const testing::TempDir folder;
  const auto store = OpenArtifactStore(folder.path(), "");
  REQUIRE_OK(store);
  const int64_t before = ArtifactCounts::OfProcess().Of(ArtifactOperation::kWrite, ArtifactResult::kSucceeded);
  REQUIRE_OK((*store)->Put("content"));
  CHECK(ArtifactCounts::OfProcess().Of(ArtifactOperation::kWrite, ArtifactResult::kSucceeded) == before + 1);
}

}  // namespace
}  // namespace espalier
