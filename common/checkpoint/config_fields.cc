#include "common/checkpoint/config_fields.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "common/checkpoint/strict_json.h"

namespace espalier::checkpoint {

bool ConfigFields::Has(const char* key) const {
  const auto found = object_.find(key);
  return found != object_.end() && !found->is_null();
}

bool ConfigFields::IsNull(const char* key) const {
  const auto found = object_.find(key);
  return found != object_.end() && found->is_null();
}

int64_t ConfigFields::Integer(const char* key, std::optional<int64_t> absent, int64_t min, int64_t max) {
  if (!Has(key)) {
    if (!absent.has_value()) Fail(absl::StrCat("'", key, "' is missing"));
    return absent.value_or(min);
  }
  const nlohmann::json& value = object_[key];
  const bool fits = value.is_number_unsigned() ? value.get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX)
                                               : value.is_number_integer();
  if (!fits || value.get<int64_t>() < min || value.get<int64_t>() > max) {
    Fail(absl::StrCat("'", key, "' is ", ShortText(value), ", not a whole number from ", min, " to ", max));
    return absent.value_or(min);
  }
  return value.get<int64_t>();
}

double ConfigFields::Number(const char* key, std::optional<double> absent, double min, double max) {
  if (!Has(key)) {
    if (!absent.has_value()) Fail(absl::StrCat("'", key, "' is missing"));
    return absent.value_or(min);
  }
  const nlohmann::json& value = object_[key];
  if (!value.is_number() || !(value.get<double>() >= min) || !(value.get<double>() <= max)) {
    Fail(absl::StrCat("'", key, "' is ", ShortText(value), ", not a number from ", min, " to ", max));
    return absent.value_or(min);
  }
  return value.get<double>();
}

bool ConfigFields::Boolean(const char* key, bool absent) {
  if (!Has(key)) return absent;
  const nlohmann::json& value = object_[key];
  if (!value.is_boolean()) {
    Fail(absl::StrCat("'", key, "' is ", ShortText(value), ", not true or false"));
    return absent;
  }
  return value.get<bool>();
}

std::string ConfigFields::Text(const char* key, const std::string& absent) {
  if (!Has(key)) return absent;
  const nlohmann::json& value = object_[key];
  if (!value.is_string()) {
    Fail(absl::StrCat("'", key, "' is ", ShortText(value), ", not a text"));
    return absent;
  }
  return value.get<std::string>();
}

void ConfigFields::Fail(const std::string& what) {
  if (status_.ok()) status_ = absl::InvalidArgumentError(absl::StrCat("'", name_, "': ", what));
}

}  // namespace espalier::checkpoint
