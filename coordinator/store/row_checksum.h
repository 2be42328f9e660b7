// Text form of stored bytes, and a checksum over a row's fields.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace espalier {

std::string EncodeBytes(const std::string& bytes);
absl::StatusOr<std::string> DecodeBytes(const std::string& text);  // kDataLoss

// 16 hexadecimal digits over the fields and their lengths.
std::string RowChecksum(std::initializer_list<std::string_view> fields);

}  // namespace espalier
