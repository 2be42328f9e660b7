// write_seeds FOLDER: FOLDER/<target>/seed-<n>, for the fuzzers to begin with.
#include <cstdio>
#include <filesystem>
#include <string>

#include "common/base/files.h"
#include "tests/fuzz/targets.h"

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  for (const espalier::fuzz::Target& target : espalier::fuzz::Targets()) {
    const std::string folder = std::string(argv[1]) + "/" + target.name;
    std::filesystem::create_directories(folder);
    int number = 0;
    for (const std::string& seed : target.seeds()) {
      const absl::Status status = espalier::WriteFileAtomically(folder + "/seed-" + std::to_string(number++), seed);
      if (!status.ok()) {
        std::fprintf(stderr, "%s\n", std::string(status.message()).c_str());
        return 1;
      }
    }
  }
}
