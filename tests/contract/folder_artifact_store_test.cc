#include <fstream>

#include "tests/contract/artifact_store_contract.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace espalier::testing {
namespace {

TEST_CASE("FolderArtifactStore: keeps the contract", "[contract]") {
  TempDir temp;
  TempDir scratch;
  ArtifactStoreUnderTest under_test;
  under_test.scratch = scratch.path();
  under_test.open = [&] {
    auto store = OpenFolderArtifactStore(temp.path());
    REQUIRE_OK(store);
    return *std::move(store);
  };
  under_test.damage = [&](const std::string& digest) {
    std::fstream file(temp.path() + "/sha256/" + digest.substr(0, 2) + "/" + digest,
                      std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(5'000);
    file.put('!');
  };
  RunArtifactStoreContract(under_test);
}

}  // namespace
}  // namespace espalier::testing
