#include <cstdio>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "client/commands/commands.h"
#include "client/doctor/check.h"
#include "client/doctor/credentials.h"
#include "client/doctor/machine.h"
#include "client/doctor/programs.h"
#include "client/exit_codes.h"
#include "client/render/format.h"
#include "client/render/output.h"
#include "client/render/terminal.h"
#include "client/run/interrupt.h"
#include "client/suggest/choices.h"
#include "common/base/strings.h"

namespace espalier {
namespace {

constexpr absl::Duration kDoctorPatience = absl::Seconds(5);
constexpr char kVersionMetadata[] = "espalier-version";  // as coordinator/rpc sends it

struct DoctorFlags {
  RemoteFlags remote;
  std::string device;
  std::vector<std::string> addresses;
  std::vector<std::string> folders;
};

std::string RemedyForCall(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
      return "is it running there, is the address right, does it speak TLS (--tls-ca), is a firewall between?";
    case absl::StatusCode::kUnauthenticated:
      return "name a token that it knows with --token-file";
    case absl::StatusCode::kPermissionDenied:
      return "the token's role does not allow it: docs/security.md lists the roles";
    default:
      return "its log says more";
  }
}

Check Unreachable(const absl::Status& status) {
  return {"coordinator", Verdict::kWrong, ToString(status.message()), RemedyForCall(status)};
}

Check CheckFleet(Connection& connection) {
  v1::ListWorkersRequest request;
  request.set_page_size(1000);
  const auto response =
      connection.Call(&v1::SearchService::Stub::ListWorkers, request, kDoctorPatience, [] { return !IsInterrupted(); });
  if (!response.ok()) return {"fleet", Verdict::kWrong, ToString(response.status().message()), RemedyForCall(response.status())};
  int lost = 0, quarantined = 0, other = 0;
  for (const v1::Worker& worker : response->workers()) {
    lost += worker.state() == v1::Worker::LOST;
    quarantined += worker.state() == v1::Worker::QUARANTINED;
    other += worker.description().software_version() != ESPALIER_VERSION;
  }
  const int present = response->workers_size() - lost;
  Check check{"fleet", Verdict::kOk, absl::StrCat(present, present == 1 ? " worker" : " workers", " there, ", lost, " lost, ",
                                                  quarantined, " in quarantine, ", other, " of another version")};
  if (present > quarantined && other == 0) return check;
  check.verdict = Verdict::kWarning;
  check.remedy = present <= quarantined ? "no worker takes tasks: start some (espalier-worker, or espalier fleet up)"
                                        : "use programs of one build on all machines";
  return check;
}

std::vector<Check> CheckCoordinator(const RemoteFlags& flags) {
  if (flags.coordinator.empty())
    return {{"coordinator", Verdict::kSkipped, "none named (--coordinator, ESPALIER_COORDINATOR)"}};
  const auto connection = Connect(flags);
  if (!connection.ok()) return {Unreachable(connection.status())};
  v1::ListJobsRequest request;
  request.set_page_size(1);
  // Finds the leader of several.
  const auto found = (*connection)->Call(&v1::SearchService::Stub::ListJobs, request, kDoctorPatience, [] { return !IsInterrupted(); });
  if (!found.ok()) return {Unreachable(found.status())};
  grpc::ClientContext context;
  (*connection)->Prepare(context, kDoctorPatience);
  v1::ListJobsResponse response;
  const absl::Time began = absl::Now();
  const grpc::Status status = (*connection)->stub().ListJobs(&context, request, &response);
  if (!status.ok()) return {Unreachable((*connection)->InWords(status))};
  const double milliseconds = absl::ToDoubleMilliseconds(absl::Now() - began);
  const auto& metadata = context.GetServerInitialMetadata();
  const auto entry = metadata.find(kVersionMetadata);
  const std::string version = entry == metadata.end() ? "" : std::string(entry->second.data(), entry->second.size());
  Check check{"coordinator", Verdict::kOk,
              absl::StrCat(flags.coordinator, ": answers in ", FormatNumber(milliseconds, 1), " ms, ",
                           version.empty() ? "does not tell its version" : absl::StrCat("version ", version))};
  if (version != ESPALIER_VERSION) {
    check.verdict = Verdict::kWarning;
    check.remedy = absl::StrCat("this program is ", ESPALIER_VERSION, ": use programs of one build");
  }
  return {check, CheckFleet(**connection)};
}

template <typename Checks>
void Append(std::vector<Check>& all, const Checks& more) {
  all.insert(all.end(), more.begin(), more.end());
}

int Doctor(const DoctorFlags& flags) {
  CatchInterrupts();
  std::vector<Check> checks = {CheckMachine()};
  const char* temporary = std::getenv("TMPDIR");
  std::vector<std::string> folders = flags.folders;
  if (folders.empty()) folders = {".", temporary != nullptr && *temporary != '\0' ? temporary : "/tmp"};
  for (const std::string& folder : folders) checks.push_back(CheckDisk(folder));
  Append(checks, CheckPrograms(ESPALIER_VERSION));
  Append(checks, CheckDevices(flags.device == "cuda"));
  for (const std::string& address : flags.addresses) checks.push_back(CheckAddress(address));
  // No address given: that programs of this machine can talk at all, as `espalier run` needs it.
  if (flags.addresses.empty()) checks.push_back(CheckAddress("127.0.0.1:0"));
  Append(checks, CheckCertificates(flags.remote.tls, absl::Now()));
  checks.push_back(CheckToken(flags.remote.token_file));
  if (IsInterrupted()) return Fail(absl::CancelledError("interrupted"));
  Append(checks, CheckCoordinator(flags.remote));
  std::vector<std::string> wrong;
  for (const Check& check : checks) {
    if (check.verdict == Verdict::kWrong) wrong.push_back(check.name);
  }
  if (!PrintOutput(flags.remote.format, [&checks] { return ChecksJson(checks); }, wrong)) {
    std::printf("%s\n%s\n", ChecksText(checks, WantsColours(stdout)).c_str(),
                wrong.empty() ? "Nothing is wrong." : absl::StrCat(wrong.size(), " wrong; -> says what to do.").c_str());
  }
  if (wrong.empty()) return kExitOk;
  return wrong.size() == 1 && wrong[0] == "coordinator" ? kExitUnreachable : kExitBadInput;
}

}  // namespace

void AddDoctorCommand(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<DoctorFlags>();
  CLI::App* command = app.add_subcommand(
      "doctor", "check machine, disks, programs, LibTorch, GPU, addresses, certificates, token and coordinator");
  command->add_option("--device", flags->device, "where candidates shall be trained: without a GPU cuda is wrong")
      ->check(OneOf({"cpu", "cuda"}));
  command->add_option("--listen", flags->addresses, "HOST:PORT or unix:PATH that a coordinator shall listen on");
  command->add_option("--folder", flags->folders, "of states, artifacts or results: is there room (here and TMPDIR)")
      ->type_name("FOLDER");
  AddRemoteFlags(*command, flags->remote);
  command->callback([flags, &exit_code] { exit_code = Doctor(*flags); });
}

}  // namespace espalier
