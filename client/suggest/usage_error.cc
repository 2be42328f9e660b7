#include "client/suggest/usage_error.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/suggest/did_you_mean.h"

namespace espalier {
namespace {

bool IsKnownFlag(const CLI::App& command, const std::string& flag) {
  return command.get_option_no_throw(flag) != nullptr;
}

CLI::App* SubcommandOf(const CLI::App& app, const std::string& name) {
  for (CLI::App* command : const_cast<CLI::App&>(app).get_subcommands([](CLI::App*) { return true; })) {
    if (command->get_name() == name) return command;
  }
  return nullptr;
}

}  // namespace

std::string FullName(const CLI::App& command) {
  return command.get_parent() == nullptr ? command.get_name()
                                         : absl::StrCat(FullName(*command.get_parent()), " ", command.get_name());
}

std::vector<std::string> CommandNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App* sub) { return !sub->get_group().empty(); }))
    names.push_back(command->get_name());
  return names;
}

std::vector<std::string> FlagNames(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

std::string UsageMessage(CLI::App& app, const std::vector<std::string>& arguments, const CLI::ParseError& error) {
  const CLI::App* command = &app;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    if (word == "--" || command->get_prefix_command()) break;
    if (absl::StartsWith(word, "--")) {
      const std::string flag = word.substr(0, word.find('='));
      if (!IsKnownFlag(*command, flag)) {
        return absl::StrCat("'", flag, "' is no flag of ", FullName(*command), DidYouMean(flag, FlagNames(*command)));
      }
      const bool takes_value = command->get_option_no_throw(flag)->get_items_expected_max() > 0;
      if (takes_value && flag == word) ++i;
      continue;
    }
    if (absl::StartsWith(word, "-")) continue;
    if (CLI::App* found = SubcommandOf(*command, word); found != nullptr) {
      command = found;
    } else if (!CommandNames(*command).empty()) {
      return absl::StrCat("'", word, "' is no command of ", FullName(*command),
                          DidYouMean(word, CommandNames(*command)));
    }
  }
  return error.what();
}

}  // namespace espalier
