// One fuzzer of libFuzzer: ESPALIER_FUZZ_TARGET says which target it drives.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "tests/fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const espalier::fuzz::Target* const target = [] {
    for (const espalier::fuzz::Target& candidate : espalier::fuzz::Targets()) {
      if (std::string_view(candidate.name) == ESPALIER_FUZZ_TARGET) return &candidate;
    }
    std::abort();
  }();
  target->run(std::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}
