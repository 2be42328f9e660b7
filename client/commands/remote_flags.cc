#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"

namespace espalier {

void AddFormatFlag(CLI::App& command, std::string& format) {
  command.add_option("--format", format, "text or json")->check(CLI::IsMember({"text", "json"}))->capture_default_str();
}

void AddRemoteFlags(CLI::App& command, RemoteFlags& flags) {
  command.add_option("--coordinator", flags.coordinator, "HOST:PORT or unix:PATH")->envname("ESPALIER_COORDINATOR");
  command.add_option("--token-file", flags.token_file, "file with the bearer token")->envname("ESPALIER_TOKEN_FILE");
  AddFormatFlag(command, flags.format);
}

absl::StatusOr<std::unique_ptr<Connection>> Connect(const RemoteFlags& flags) {
  return Connection::Open({flags.coordinator, flags.token_file});
}

std::string FullJobName(const std::string& name) {
  return absl::StartsWith(name, "jobs/") ? name : absl::StrCat("jobs/", name);
}

}  // namespace espalier
