#include "tests/fuzz/targets.h"

#include <google/protobuf/stubs/logging.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

namespace espalier::fuzz {

const std::vector<Target>& Targets() {
  google::protobuf::SetLogHandler(nullptr);  // a line for each text that is no UTF-8
  static const std::vector<Target> targets = {
      {"safetensors", FuzzSafetensors, SafetensorsSeeds}, {"model_config", FuzzModelConfig, ModelConfigSeeds},
      {"token_file", FuzzTokenFile, TokenFileSeeds},      {"job_file", FuzzJobFile, JobFileSeeds},
      {"mask", FuzzMask, MaskSeeds},                      {"record", FuzzRecord, RecordSeeds},
      {"synchronize", FuzzSynchronize, SynchronizeSeeds}, {"http", FuzzHttp, HttpSeeds},
      {"settings", FuzzSettings, SettingsSeeds},
  };
  return targets;
}

void Demand(bool holds, const char* property) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", property);
  std::abort();
}

std::string FileOf(const std::string& path, size_t max_bytes) {
  std::ifstream file(path, std::ios::binary);
  std::string content{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  content.resize(std::min(content.size(), max_bytes));
  return content;
}

}  // namespace espalier::fuzz
