#include "client/suggest/choices.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "client/suggest/did_you_mean.h"

namespace espalier {
namespace {

constexpr char kValidatorName[] = "known values";

CLI::Validator Named(CLI::Validator validator, const std::vector<std::string>& words) {
  validator.name(kValidatorName);
  validator.description(absl::StrCat("{", absl::StrJoin(words, ","), "}"));
  return validator;
}

}  // namespace

std::string NotOneOf(const std::string& word, const std::vector<std::string>& words) {
  return absl::StrCat("'", word, "' is not one of ", absl::StrJoin(words, ", "), DidYouMean(word, words));
}

CLI::Validator OneOf(const std::vector<std::string>& words) {
  const auto check = [words](std::string& given) {
    return std::find(words.begin(), words.end(), given) != words.end() ? std::string() : NotOneOf(given, words);
  };
  return Named(CLI::Validator(check, ""), words);
}

CLI::Validator KnownValues(const std::vector<std::string>& words) {
  return Named(CLI::Validator([](std::string&) { return std::string(); }, ""), words);
}

std::vector<std::string> ChoicesOf(CLI::Option& option) {
  try {
    std::string text = option.get_validator(kValidatorName)->get_description();
    text = text.substr(1, text.size() - 2);
    return absl::StrSplit(text, ',', absl::SkipEmpty());
  } catch (const CLI::OptionNotFound&) {
    return {};
  }
}

}  // namespace espalier
