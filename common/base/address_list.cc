#include "common/base/address_list.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"

namespace espalier {

std::vector<std::string> SplitAddresses(const std::string& text) {
  std::vector<std::string> addresses;
  for (const absl::string_view part : absl::StrSplit(text, ',')) {
    const absl::string_view address = absl::StripAsciiWhitespace(part);
    if (!address.empty()) addresses.emplace_back(address);
  }
  return addresses;
}

}  // namespace espalier
