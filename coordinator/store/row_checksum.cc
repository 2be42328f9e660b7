#include "coordinator/store/row_checksum.h"

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/base/sha256.h"

namespace espalier {

std::string EncodeBytes(const std::string& bytes) { return absl::Base64Escape(bytes); }

absl::StatusOr<std::string> DecodeBytes(const std::string& text) {
  std::string bytes;
  if (!absl::Base64Unescape(text, &bytes)) return absl::DataLossError("a stored payload is damaged");
  return bytes;
}

std::string RowChecksum(std::initializer_list<std::string_view> fields) {
  Sha256 digest;
  for (const std::string_view field : fields) {
    const std::string length = absl::StrCat(field.size(), ":");
    digest.Update(length);
    digest.Update(field);
  }
  return digest.FinishHex().substr(0, 16);
}

}  // namespace espalier
