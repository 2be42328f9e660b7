#include "coordinator/rpc/error_details.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace espalier {
namespace {

constexpr char kBadRequestUrl[] = "type.googleapis.com/google.rpc.BadRequest";
constexpr size_t kMostBytes = 1024;  // of a message: trailers have 8 KiB by default, and it is in them three times
constexpr int kVarint = 0, kBytes = 2;  // wire types of protobuf

std::string Varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  bytes += static_cast<char>(value);
  return bytes;
}

std::string NumberField(int number, uint64_t value) { return Varint(number << 3 | kVarint) + Varint(value); }

std::string BytesField(int number, absl::string_view bytes) {
  return absl::StrCat(Varint(number << 3 | kBytes), Varint(bytes.size()), bytes);
}

bool IsNameCharacter(char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '_'; }

}  // namespace

std::string FieldOf(absl::string_view message) {
  size_t end = 0;
  bool is_inside = false;  // of brackets
  for (; end < message.size() && message[end] != ':'; ++end) {
    const char c = message[end];
    if (c == '[' || c == ']') {
      if ((c == '[') == is_inside || end == 0) return "";
      is_inside = !is_inside;
    } else if (c == '.' ? end == 0 || message[end - 1] == '.' : !IsNameCharacter(c)) {
      return "";
    }
  }
  if (is_inside || end == 0 || !absl::ascii_islower(message[0]) || message[end - 1] == '.') return "";
  if (message.substr(end, 2) != ": ") return "";
  return std::string(message.data(), end);
}

std::string ErrorDetails(const absl::Status& status) {
  if (status.code() != absl::StatusCode::kInvalidArgument || status.message().size() > kMostBytes) return "";
  const std::string field = FieldOf(status.message());
  if (field.empty()) return "";
  // Status: code 1, message 2, details 3. Any: type_url 1, value 2. BadRequest: field_violations 1. FieldViolation: field 1,
  // description 2.
  const std::string violation = BytesField(1, field) + BytesField(2, status.message().substr(field.size() + 2));
  const std::string detail = BytesField(1, kBadRequestUrl) + BytesField(2, BytesField(1, violation));
  return NumberField(1, static_cast<uint64_t>(status.code())) + BytesField(2, status.message()) + BytesField(3, detail);
}

}  // namespace espalier
