// Text form of stored bytes and foreign texts, and checksums over a row's fields.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "coordinator/store/job_store.h"

namespace espalier {

std::string EncodeBytes(const std::string& bytes);
absl::StatusOr<std::string> DecodeBytes(const std::string& text);  // kDataLoss

// 16 hexadecimal digits over the fields and their lengths.
std::string RowChecksum(std::initializer_list<std::string_view> fields);

std::string AttemptChecksum(const AttemptRecord& attempt);

// Messages of workers and files' names may hold any bytes; databases take UTF-8 without zeros. Others become '?'.
std::string CleanText(std::string_view text);

}  // namespace espalier
