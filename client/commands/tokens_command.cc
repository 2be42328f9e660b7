#include "client/commands/tokens_command.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/exit_codes.h"
#include "client/process/child_process.h"
#include "client/process/python.h"

namespace espalier {
namespace {

// Becomes the Python program; returns only when that fails.
int RunTokens(const std::vector<std::string>& arguments) {
  const absl::StatusOr<std::string> script = FindSiblingProgram("espalier_tokens.py", "ESPALIER_TOKENS");
  if (!script.ok()) return Fail(script.status());
  const absl::StatusOr<std::string> python = FindPython();
  std::vector<std::string> words = {python.ok() ? *python : "python3", *script};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  std::fflush(nullptr);
  ::execvp(pointers[0], pointers.data());
  return Fail(absl::FailedPreconditionError(
      absl::StrCat("cannot start '", words[0], "': ", std::strerror(errno),
                   "; set ESPALIER_PYTHON to a python3 with tokenizers and numpy")));
}

}  // namespace

void AddTokensCommand(CLI::App& app, int& exit_code) {
  CLI::App* command = app.add_subcommand(
      "tokens", "turn text, JSONL or Parquet into a token file with a model's own tokenizer (tokens --help)");
  command->set_help_flag();  // everything behind the word is the Python program's
  command->prefix_command();
  command->callback([command, &exit_code] { exit_code = RunTokens(command->remaining()); });
}

}  // namespace espalier
