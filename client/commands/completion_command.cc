#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/commands/commands.h"
#include "client/exit_codes.h"

namespace espalier {
namespace {

std::vector<std::string> Commands(CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](CLI::App*) { return true; }))
    names.push_back(command->get_name());
  return names;
}

std::vector<std::string> Options(CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

// Words for options whose values are known.
const char kKnownValues[] = R"(
    --preset) words="balanced darwinlm" ;;
    --mode) words="restart continue" ;;
    --head-granularity) words="head kv-group" ;;
    --device) words="cpu cuda" ;;
    --runtime) words="huggingface gguf nemotron-nas vllm-anymodel" ;;
    --format) words="table json yaml name" ;;)";

std::string BashScript(CLI::App& app) {
  std::string cases;
  for (CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) {
    absl::StrAppend(&cases, "      ", command->get_name(), ") words=\"", absl::StrJoin(Options(*command), " "),
                    "\" ;;\n");
  }
  return absl::StrCat(
      "_espalier() {\n  local current=\"${COMP_WORDS[COMP_CWORD]}\" previous=\"${COMP_WORDS[COMP_CWORD-1]}\" "
      "words=\"\"\n",
      "  case \"$previous\" in", kKnownValues,
      "\n    --*)\n      if [[ \"$current\" != -* ]]; then return; fi ;;\n  esac\n",
      "  if [[ -z \"$words\" && $COMP_CWORD -eq 1 ]]; then words=\"", absl::StrJoin(Commands(app), " "),
      " --help --version\"; fi\n",
      "  if [[ -z \"$words\" && \"$current\" == -* ]]; then\n    case \"${COMP_WORDS[1]}\" in\n", cases,
      "    esac\n  fi\n", "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n}\n",
      "complete -o default -F _espalier espalier\n");
}

std::string ZshScript(CLI::App& app) {
  return absl::StrCat("autoload -U +X bashcompinit && bashcompinit\n", BashScript(app));
}

}  // namespace

void AddCompletionCommand(CLI::App& app, int& exit_code) {
  auto shell = std::make_shared<std::string>();
  CLI::App* command = app.add_subcommand("completion", "print a completion script: source <(espalier completion bash)");
  command->add_option("shell", *shell, "bash or zsh")->required()->check(CLI::IsMember({"bash", "zsh"}));
  command->callback([&app, shell, &exit_code] {
    std::printf("%s", (*shell == "bash" ? BashScript(app) : ZshScript(app)).c_str());
    exit_code = kExitOk;
  });
}

}  // namespace espalier
