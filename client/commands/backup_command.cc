#include <sys/stat.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/commands/commands.h"
#include "client/exit_codes.h"
#include "client/render/output.h"
#include "common/base/atomic_file.h"
#include "common/base/sha256.h"
#include "common/base/status_macros.h"

namespace espalier {
namespace {

struct BackupFlags {
  RemoteFlags remote;
  std::string output;
};

// The number of bytes. The file appears whole or not at all.
absl::StatusOr<int64_t> FetchBackup(Connection& connection, const std::string& output) {
  if (struct stat info; ::stat(output.c_str(), &info) == 0) {
    return absl::AlreadyExistsError(absl::StrCat("'", output, "' exists; name another --output"));
  }
  ESPALIER_ASSIGN_OR_RETURN(const std::unique_ptr<AtomicFile> file, AtomicFile::Create(output));
  grpc::ClientContext context;
  connection.Prepare(context, absl::Hours(1));
  const auto reader = connection.admin_stub().Backup(&context, v1::BackupRequest());
  v1::BackupResponse response;
  Sha256 digest;
  int64_t num_bytes = 0;
  std::string told;
  while (reader->Read(&response)) {
    digest.Update(response.data());
    num_bytes += static_cast<int64_t>(response.data().size());
    if (!response.sha256().empty()) told = response.sha256();
    if (absl::Status status = file->Append(response.data()); !status.ok()) {
      context.TryCancel();
      return status;
    }
  }
  const grpc::Status status = reader->Finish();
  if (!status.ok()) return connection.InWords(status);
  if (told != digest.FinishHex()) return absl::DataLossError("the copy arrived damaged; call again");
  ESPALIER_RETURN_IF_ERROR(file->Commit(output));
  return num_bytes;
}

int Backup(const BackupFlags& flags) {
  ::umask(077);  // job specifications name people's files
  const auto connection = Connect(flags.remote);
  if (!connection.ok()) return Fail(connection.status());
  // An answer of the one that leads, before the stream is begun.
  v1::ListJobsRequest request;
  request.set_page_size(1);
  const auto found = (*connection)->Call(&v1::SearchService::Stub::ListJobs, request);
  if (!found.ok()) return Fail(found.status());
  const absl::StatusOr<int64_t> num_bytes = FetchBackup(**connection, flags.output);
  if (!num_bytes.ok()) return Fail(num_bytes.status());
  const nlohmann::ordered_json json = {{"output", flags.output}, {"bytes", *num_bytes}};
  if (!PrintOutput(flags.remote.format, [&json] { return json; }, {flags.output})) {
    std::printf("%s  %lld bytes\nbring it back with: espalier-coordinator --state NEW_FOLDER --restore %s\n",
                flags.output.c_str(), static_cast<long long>(*num_bytes), flags.output.c_str());
  }
  return kExitOk;
}

}  // namespace

void AddBackupCommand(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<BackupFlags>();
  CLI::App* command = app.add_subcommand("backup", "copy the database of a running coordinator (artifacts are not in it)");
  command->add_option("--output", flags->output, "file to write")->required()->type_name("FILE");
  AddRemoteFlags(*command, flags->remote);
  command->callback([flags, &exit_code] { exit_code = Backup(*flags); });
}

}  // namespace espalier
