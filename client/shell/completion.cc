#include "client/shell/completion.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/suggest/choices.h"
#include "client/suggest/usage_error.h"

namespace espalier {
namespace {

struct CommandWords {
  std::string path;  // "watch", "fleet up"
  std::vector<std::string> subcommands;
  std::vector<std::string> flags;
  std::vector<std::string> value_flags;  // that take a value nobody knows: files are offered
  std::vector<std::pair<std::string, std::vector<std::string>>> choices;  // by flag; "" for the word without a flag
  bool takes_job = false;
  bool takes_folder = false;
};

CommandWords WordsOf(const CLI::App& command, const std::string& path) {
  CommandWords words;
  words.path = path;
  words.subcommands = CommandNames(command);
  words.flags = FlagNames(command);
  for (const CLI::Option* option : command.get_options()) {
    const std::vector<std::string> known = ChoicesOf(const_cast<CLI::Option&>(*option));
    if (option->get_lnames().empty()) {
      const std::string name = option->get_name();
      words.takes_job = words.takes_job || name == "job" || name == "source";
      words.takes_folder = words.takes_folder || name == "source" || path == "explain";
      if (!known.empty()) words.choices.emplace_back("", known);
      continue;
    }
    if (option->get_items_expected_max() == 0) continue;
    for (const std::string& name : option->get_lnames()) {
      if (known.empty()) {
        words.value_flags.push_back("--" + name);
      } else {
        words.choices.emplace_back("--" + name, known);
      }
    }
  }
  return words;
}

void Collect(const CLI::App& command, const std::string& path, std::vector<CommandWords>* all) {
  all->push_back(WordsOf(command, path));
  for (const CLI::App* sub : command.get_subcommands([](const CLI::App* app) { return !app->get_group().empty(); }))
    Collect(*sub, path.empty() ? sub->get_name() : absl::StrCat(path, " ", sub->get_name()), all);
}

// The branches of the script that know the commands.
std::string Cases(const std::vector<CommandWords>& all) {
  std::string known, value, words;
  for (const CommandWords& command : all) {
    for (const auto& [flag, choices] : command.choices) {
      if (!flag.empty())
        absl::StrAppend(&known, "    '", command.path, ":", flag, "') words=\"", absl::StrJoin(choices, " "), "\" ;;\n");
    }
    for (const std::string& flag : command.value_flags)
      absl::StrAppend(&value, value.empty() ? "" : "|", "'", command.path, ":", flag, "'");
    std::string plain = absl::StrJoin(command.subcommands, " ");
    for (const auto& [flag, choices] : command.choices) {
      if (flag.empty()) plain = absl::StrJoin(choices, " ");
    }
    absl::StrAppend(&words, "      '", command.path, "') flags=\"", absl::StrJoin(command.flags, " "), "\" words=\"", plain,
                    "\"", command.takes_job ? " jobs=1" : "", command.takes_folder ? " folders=1" : "", " ;;\n");
  }
  return absl::StrCat("  case \"$command:$previous\" in\n", known, "    ", value, ") return ;;\n  esac\n",
                      "  if [[ -z \"$words\" ]]; then\n    case \"$command\" in\n", words, "    esac\n");
}

// The names of commands that have commands, for finding out which one is meant.
std::string Parents(const std::vector<CommandWords>& all) {
  std::vector<std::string> parents;
  for (const CommandWords& command : all) {
    if (!command.path.empty() && !command.subcommands.empty()) parents.push_back(command.path);
  }
  return parents.empty() ? "''" : absl::StrJoin(parents, "|");
}

constexpr char kJobsFunction[] = R"BASH(# The jobs of the coordinator that the line or the environment names.
_espalier_jobs() {
  local -a given access
  local i
  given=(${COMP_LINE})
  access=()
  for ((i = 1; i < ${#given[@]}; ++i)); do
    case "${given[i]}" in
      --coordinator=*|--token-file=*|--tls-*=*) access+=("${given[i]}") ;;
      --coordinator|--token-file|--tls-*) access+=("${given[i]}" "${given[i+1]}") ;;
    esac
  done
  "${given[0]}" )BASH";

}  // namespace

std::string BashCompletion(const CLI::App& app) {
  std::vector<CommandWords> all;
  Collect(app, "", &all);
  return absl::StrCat(
      kJobsFunction, kJobNamesCommand, " \"${access[@]}\" 2>/dev/null\n}\n\n", R"BASH(_espalier() {
  local current="${COMP_WORDS[COMP_CWORD]}" previous="${COMP_WORDS[COMP_CWORD-1]}"
  local command="" words="" flags="" jobs="" folders="" names
  # bash takes --flag=value apart
  if [[ "$current" == "=" ]]; then
    current=""
  elif [[ "$previous" == "=" ]]; then
    previous="${COMP_WORDS[COMP_CWORD-2]}"
  fi
  if [[ $COMP_CWORD -gt 1 ]]; then command="${COMP_WORDS[1]}"; fi
  case "$command" in
    )BASH",
      Parents(all), R"BASH() if [[ $COMP_CWORD -gt 2 ]]; then command="$command ${COMP_WORDS[2]}"; fi ;;
  esac
)BASH",
      Cases(all), R"BASH(    if [[ "$current" == -* ]]; then
      words="$flags"
    elif [[ -n "$jobs" ]]; then
      names="$(_espalier_jobs)"
      if [[ "$current" == jobs/* ]]; then names="$(for name in $names; do echo "jobs/$name"; done)"; fi
      words="$words $names"
    fi
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  if [[ -n "$folders" && "$current" != -* ]]; then COMPREPLY+=($(compgen -d -- "$current")); fi
}
complete -o default -F _espalier espalier
)BASH");
}

std::string ZshCompletion(const CLI::App& app) {
  return absl::StrCat("autoload -U +X compinit && compinit -u\nautoload -U +X bashcompinit && bashcompinit\n",
                      BashCompletion(app));
}

}  // namespace espalier
