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

std::string AttemptChecksum(const AttemptRecord& attempt) {
  const LeaseToken& token = attempt.token;
  return RowChecksum({token.job_id, token.task_id, std::to_string(token.attempt), std::to_string(token.epoch),
                      attempt.worker_id, attempt.input_digest, std::to_string(static_cast<int>(attempt.end)),
                      attempt.reason});
}

namespace {

// Bytes of the well-formed UTF-8 sequence at the beginning of `text`; 0 when there is none.
size_t SequenceLength(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return first == 0 ? 0 : 1;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const unsigned char second = byte(1);
  const bool is_overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool is_no_character = (first == 0xed && second > 0x9f) || (first == 0xf4 && second > 0x8f);
  return is_overlong || is_no_character ? 0 : length;
}

}  // namespace

std::string CleanText(std::string_view text) {
  std::string clean;
  clean.reserve(text.size());
  while (!text.empty()) {
    const size_t length = SequenceLength(text);
    if (length == 0) {
      clean.push_back('?');
    } else {
      clean.append(text.substr(0, length));
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return clean;
}

}  // namespace espalier
