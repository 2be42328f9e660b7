#include "common/base/uuid.h"

#include <cstdint>
#include <random>

#include "absl/strings/str_format.h"

namespace espalier {

std::string NewUuid() {
  std::random_device device;
  const auto word = [&device] { return static_cast<uint32_t>(device()); };
  return absl::StrFormat("%08x-%04x-4%03x-%04x-%04x%08x", word(), word() & 0xFFFF, word() & 0xFFF, 0x8000 | (word() & 0x3FFF),
                         word() & 0xFFFF, word());
}

}  // namespace espalier
