#include "client/shell/man_page.h"

#include <map>
#include <set>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "client/exit_codes.h"
#include "client/suggest/choices.h"
#include "client/suggest/usage_error.h"

namespace espalier {
namespace {

constexpr int kManyCommands = 4;  // that share a flag: it is explained once

// Text as roff prints it: no hyphen for a minus, no control line by accident.
std::string Roff(const std::string& text) {
  std::string roff = absl::StrReplaceAll(text, {{"\\", "\\e"}, {"-", "\\-"}, {"\n", " "}});
  if (!roff.empty() && (roff[0] == '.' || roff[0] == '\'')) roff.insert(0, "\\&");
  return roff;
}

std::vector<const CLI::App*> Subcommands(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App* sub) { return !sub->get_group().empty(); });
}

bool IsPositional(const CLI::Option& option) { return option.get_lnames().empty() && option.get_snames().empty(); }

std::string ValueOf(const CLI::Option& option) {
  const std::vector<std::string> known = ChoicesOf(const_cast<CLI::Option&>(option));
  if (!known.empty()) return absl::StrJoin(known, "|");
  const std::string type = option.get_type_name();
  return type.substr(0, type.find(':'));
}

std::string OptionLines(const CLI::Option& option) {
  std::string head;
  for (const std::string& name : option.get_snames()) absl::StrAppend(&head, head.empty() ? "" : ", ", "\\fB", Roff("-" + name), "\\fR");
  for (const std::string& name : option.get_lnames()) absl::StrAppend(&head, head.empty() ? "" : ", ", "\\fB", Roff("--" + name), "\\fR");
  if (option.get_items_expected_max() > 0) absl::StrAppend(&head, " \\fI", Roff(ValueOf(option)), "\\fR");
  std::string text = option.get_description();
  if (option.get_required()) absl::StrAppend(&text, " (required)");
  if (!option.get_default_str().empty()) absl::StrAppend(&text, " (", option.get_default_str(), ")");
  if (!option.get_envname().empty()) absl::StrAppend(&text, "; else from ", option.get_envname());
  return absl::StrCat(".TP\n", head, "\n", Roff(text), "\n");
}

std::string KeyOf(const CLI::Option& option) { return absl::StrCat(option.get_name(true), "\n", option.get_description()); }

void CountFlags(const CLI::App& command, std::map<std::string, int>& counts) {
  for (const CLI::Option* option : command.get_options()) {
    if (!IsPositional(*option)) ++counts[KeyOf(*option)];
  }
  for (const CLI::App* sub : Subcommands(command)) CountFlags(*sub, counts);
}

struct ManContext {
  std::map<std::string, int> counts;
  std::map<std::string, const CLI::Option*> shared;  // in their order of appearance: see `order`
  std::vector<const CLI::Option*> order;
  std::map<std::string, std::string> environment;  // by name: what it is for
};

void AppendCommand(const CLI::App& command, ManContext& context, std::string* page) {
  if (!CommandNames(command).empty()) {
    for (const CLI::App* sub : Subcommands(command)) AppendCommand(*sub, context, page);
    return;
  }
  std::string head = FullName(command);
  std::string flags;
  std::vector<std::string> shared;
  for (const CLI::Option* option : command.get_options()) {
    if (IsPositional(*option)) {
      absl::StrAppend(&head, option->get_required() ? " " : " [", absl::AsciiStrToUpper(option->get_name()),
                      option->get_required() ? "" : "]");
      continue;
    }
    if (!option->get_envname().empty()) context.environment[option->get_envname()] = option->get_description();
    if (context.counts[KeyOf(*option)] < kManyCommands) {
      flags += OptionLines(*option);
      continue;
    }
    if (context.shared.emplace(KeyOf(*option), option).second) context.order.push_back(option);
    for (const std::string& name : option->get_lnames()) {
      if (name != "help") shared.push_back("--" + name);
    }
  }
  absl::StrAppend(page, ".SS ", Roff(head), "\n", Roff(command.get_description()), ".\n");
  for (const CLI::Option* option : command.get_options()) {
    if (IsPositional(*option))
      absl::StrAppend(page, ".TP\n\\fI", Roff(absl::AsciiStrToUpper(option->get_name())), "\\fR\n", Roff(option->get_description()), "\n");
  }
  *page += flags;
  if (!shared.empty()) absl::StrAppend(page, ".PP\nAlso ", Roff(absl::StrJoin(shared, ", ")), ".\n");
}

std::string ExitStatus() {
  const std::string text = kExitCodesHelp;
  return absl::StrCat(".SH EXIT STATUS\n", Roff(text.substr(text.find(": ") + 2)), "\n");
}

constexpr char kExamples[] = R"(.SH EXAMPLES
Prune a model on this machine:
.PP
.nf
espalier run \-\-model MODEL \-\-tokens TOKENS.npy \-\-target 60% \-\-output OUT
.fi
.PP
Submit to a fleet, watch, understand, fetch:
.PP
.nf
export ESPALIER_COORDINATOR=host:7070
espalier submit \-\-model MODEL \-\-tokens TOKENS.npy \-\-target 60% \-\-job\-id first
espalier watch first
espalier explain first
espalier export first \-\-output OUT
.fi
)";

}  // namespace

std::string ManPage(const CLI::App& app, const std::string& version) {
  ManContext context;
  CountFlags(app, context.counts);
  std::string commands;
  for (const CLI::App* command : Subcommands(app)) AppendCommand(*command, context, &commands);
  std::string page = absl::StrCat(".TH ESPALIER 1 \"\" \"espalier ", Roff(version), "\" \"User Commands\"\n", ".SH NAME\nespalier \\- ",
                                  "searches for smaller language models\n.SH SYNOPSIS\n.B espalier\n.I COMMAND\n[flags]\n",
                                  ".SH DESCRIPTION\n", Roff(app.get_description()), "\n.SH COMMANDS\n", commands);
  absl::StrAppend(&page, ".SH COMMON FLAGS\n");
  for (const CLI::Option* option : context.order) page += OptionLines(*option);
  absl::StrAppend(&page, ".SH ENVIRONMENT\n");
  for (const auto& [name, text] : context.environment) absl::StrAppend(&page, ".TP\n.B ", Roff(name), "\n", Roff(text), "\n");
  absl::StrAppend(&page, ".TP\n.B NO_COLOR\nwhen it is not empty, no colours are written\n", kExamples, ExitStatus());
  return page;
}

}  // namespace espalier
