// Typed and bounded reading of config.json's fields. The first problem is kept; later reads then return their defaults.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "absl/status/status.h"

namespace espalier::checkpoint {

class ConfigFields {
 public:
  // `object` is what to read, `name` stands before messages (the path of config.json).
  ConfigFields(const nlohmann::json& object, std::string name) : object_(object), name_(std::move(name)) {}

  const absl::Status& status() const { return status_; }
  const nlohmann::json& object() const { return object_; }

  // Absent and null are the same, as in most of config.json.
  bool Has(const char* key) const;
  bool IsNull(const char* key) const;  // present, with the value null

  // Without a default the field has to be there. Numbers are refused outside of [min, max].
  int64_t Integer(const char* key, std::optional<int64_t> absent, int64_t min, int64_t max);
  double Number(const char* key, std::optional<double> absent, double min, double max);
  bool Boolean(const char* key, bool absent);
  std::string Text(const char* key, const std::string& absent);

  void Fail(const std::string& what);

 private:
  const nlohmann::json& object_;
  std::string name_;
  absl::Status status_;
};

}  // namespace espalier::checkpoint
