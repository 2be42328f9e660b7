#include "common/checkpoint/strict_json.h"

#include <set>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace espalier::checkpoint {
namespace {

using nlohmann::json;

// nlohmann's own parser keeps the last of two equal keys without a word; its event interface shows both.
class StrictBuilder final : public nlohmann::json_sax<json> {
 public:
  explicit StrictBuilder(int max_depth) : max_depth_(max_depth) {}

  json root;
  std::string error;

  bool null() override { return Add(json(nullptr)); }
  bool boolean(bool value) override { return Add(json(value)); }
  bool number_integer(number_integer_t value) override { return Add(json(value)); }
  bool number_unsigned(number_unsigned_t value) override { return Add(json(value)); }
  bool number_float(number_float_t value, const string_t&) override { return Add(json(value)); }
  bool string(string_t& value) override { return Add(json(value)); }
  bool binary(binary_t&) override { return false; }

  bool start_object(std::size_t) override { return Open(json::object()); }
  bool start_array(std::size_t) override { return Open(json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(string_t& value) override {
    if (open_.back()->contains(value)) {
      error = absl::StrCat("key '", value, "' stands twice in one object");
      return false;
    }
    keys_.back() = value;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    error = absl::StrCat("not valid JSON at byte ", position);
    return false;
  }

 private:
  json* Insert(json value) {
    if (open_.empty()) {
      root = std::move(value);
      return &root;
    }
    json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &(parent[keys_.back()] = std::move(value));
  }
  bool Add(json value) {
    Insert(std::move(value));
    return true;
  }
  bool Open(json value) {
    if (static_cast<int>(open_.size()) >= max_depth_) {
      error = absl::StrCat("nested deeper than ", max_depth_, " levels");
      return false;
    }
    open_.push_back(Insert(std::move(value)));
    keys_.emplace_back();
    return true;
  }
  bool Close() {
    open_.pop_back();
    keys_.pop_back();
    return true;
  }

  int max_depth_;
  std::vector<json*> open_;  // from the root to the innermost; stable, because only the innermost grows
  std::vector<std::string> keys_;
};

}  // namespace

absl::StatusOr<json> ParseStrictJson(std::string_view text, const std::string& name, int max_depth) {
  StrictBuilder builder(max_depth);
  bool parsed = false;
  try {
    parsed = json::sax_parse(text.begin(), text.end(), &builder);
  } catch (const std::exception& exception) {
    builder.error = exception.what();
  }
  if (!parsed || !builder.error.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", name, "': ", builder.error.empty() ? "not valid JSON" : builder.error));
  }
  return std::move(builder.root);
}

std::string ShortText(const json& value) {
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() > 120) text = text.substr(0, 117) + "...";
  return text;
}

}  // namespace espalier::checkpoint
