// What every ArtifactStore must do. An implementation's test gives what is needed to run the suite against it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "common/artifacts/artifact_store.h"

namespace espalier::testing {

struct ArtifactStoreUnderTest {
  std::function<std::unique_ptr<ArtifactStore>()> open;  // another handle on the same content
  std::function<void(const std::string& digest)> damage;  // changes a byte of what is stored, its size stays
  std::string scratch;  // a folder for files
};

void RunArtifactStoreContract(const ArtifactStoreUnderTest& under_test);

}  // namespace espalier::testing
