#include "common/wire/json_job_file.h"

#include <google/protobuf/util/json_util.h>

#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace espalier::wire {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

struct Position {
  int line = 1;
  int column = 0;
};

// Walks the text and counts lines; the lexer never reads beyond a key's closing quote before it reports the key.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, Position* position) : at_(at), position_(position) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    if (*at_ == '\n') {
      ++position_->line;
      position_->column = 0;
    } else {
      ++position_->column;
    }
    ++at_;
    return *this;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  Position* position_;
};

// Checks every key against the schema. Values are left to protobuf's reader.
class KeyChecker final : public nlohmann::json_sax<nlohmann::json> {
 public:
  KeyChecker(const Descriptor* root, const Position* position) : next_(root), position_(position) {}

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override {
    levels_.push_back({next_, {}});
    return true;
  }
  bool end_object() override {
    levels_.pop_back();
    next_ = levels_.empty() ? nullptr : levels_.back().last_type;
    return true;
  }
  bool start_array(std::size_t) override { return true; }
  bool end_array() override { return true; }

  bool key(string_t& name) override {
    Level& level = levels_.back();
    next_ = nullptr;
    if (level.type == nullptr) return true;  // an object where the schema has none: protobuf's reader says so
    const FieldDescriptor* field = level.type->FindFieldByName(name);
    if (field == nullptr) field = level.type->FindFieldByCamelcaseName(name);
    if (field == nullptr) return Refuse(absl::StrCat(level.type->name(), " has no field '", name, "'"));
    if (!level.seen.insert(field->number()).second) return Refuse(absl::StrCat("field '", name, "' is given twice"));
    lines_[name] = position_->line;
    next_ = field->message_type();
    level.last_type = next_;
    return true;
  }
  bool parse_error(std::size_t, const std::string& token, const nlohmann::json::exception&) override {
    return Refuse(absl::StrCat("no JSON near '", token.substr(token.size() > 40 ? token.size() - 40 : 0), "'"));
  }

  const std::string& error() const { return error_; }
  // The line of the last key that the text of an error names; 0 when it names none.
  int LineNamedIn(const std::string& text) const {
    int line = 0;
    size_t longest = 0;
    for (const auto& [name, at] : lines_) {
      if (name.size() > longest && text.find(name) != std::string::npos) {
        longest = name.size();
        line = at;
      }
    }
    return line;
  }

 private:
  struct Level {
    const Descriptor* type;
    std::set<int> seen;
    const Descriptor* last_type = nullptr;  // of the field whose value is being read, for lists of messages
  };

  bool Refuse(const std::string& what) {
    if (error_.empty()) error_ = absl::StrCat(position_->line, ":", position_->column, ": ", what);
    return false;
  }

  const Descriptor* next_;
  const Position* position_;
  std::vector<Level> levels_;
  std::map<std::string, int> lines_;
  std::string error_;
};

}  // namespace

absl::StatusOr<v1::JobSpec> ParseJsonJobFile(const std::string& text, const std::string& name) {
  Position position;
  KeyChecker checker(v1::JobSpec::descriptor(), &position);
  const CountingIterator first(text.data(), &position);
  const CountingIterator last(text.data() + text.size(), &position);
  if (!nlohmann::json::sax_parse(first, last, &checker)) {
    return absl::InvalidArgumentError(absl::StrCat(name, ":", checker.error()));
  }
  v1::JobSpec spec;
  const google::protobuf::util::Status status = google::protobuf::util::JsonStringToMessage(text, &spec);
  if (!status.ok()) {
    const std::string message(status.message().data(), status.message().size());
    const int line = checker.LineNamedIn(message);
    return absl::InvalidArgumentError(
        line > 0 ? absl::StrCat(name, ":", line, ": ", message) : absl::StrCat(name, ": ", message));
  }
  return spec;
}

}  // namespace espalier::wire
