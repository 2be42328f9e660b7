#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "client/commands/commands.h"
#include "client/exit_codes.h"
#include "client/job_flags.h"
#include "client/render/format.h"
#include "client/render/output.h"
#include "client/render/table.h"
#include "client/result/report_from_job.h"
#include "common/base/uuid.h"

namespace espalier {
namespace {

struct SubmitFlags {
  JobFlags job;
  RemoteFlags remote;
  std::string job_id;
  std::string request_id;
  bool validate_only = false;
};

void PrintTime(const v1::TimeEstimate& time) {
  std::string device_time = "unknown", end = "unknown";
  if (time.has_device_seconds()) {
    device_time = absl::StrFormat("about %s (%.2f hours)", FormatSeconds(time.device_seconds()), time.device_seconds() / 3600);
  }
  if (time.has_seconds()) {
    const absl::Time when = absl::Now() + absl::Seconds(time.seconds());
    const std::string devices = time.num_devices() == 1 ? "1 device" : absl::StrCat(time.num_devices(), " devices");
    end = absl::StrFormat("about %s after its start with %s for itself: %s", FormatSeconds(time.seconds()),
                          devices, absl::FormatTime("%Y-%m-%d %H:%M %Z", when, absl::LocalTimeZone()));
  } else if (time.has_device_seconds()) {
    end = "unknown: no worker is there that could take its tasks";
  }
  std::printf("device time         %s\n", device_time.c_str());
  std::printf("end                 %s\n", end.c_str());
  if (!time.basis().empty()) std::printf("basis of the times  %s\n", time.basis().c_str());
}

void PrintPreview(const v1::JobPreview& preview) {
  std::vector<std::vector<std::string>> rows = {{"", "tokens or parameters"}};
  const auto add = [&rows](const char* name, int64_t value) {
    rows.push_back({name, FormatCount(static_cast<double>(value))});
  };
  add("dense parameters", preview.dense_parameters());
  add("dense cost", preview.dense_cost());
  add("target cost", preview.target_cost());
  add("training tokens, at most", preview.train_tokens());
  add("scored tokens, at most", preview.score_tokens());
  add("recovery tokens", preview.recovery_tokens());
  add("evaluations", preview.num_evaluations());
  std::printf("%s", FormatTable(rows).c_str());
  std::printf("level bank          %s\n", FormatBytes(static_cast<double>(preview.bank_bytes())).c_str());
  std::printf("candidate's memory  about %s in training, activations of a whole step included\n",
              FormatBytes(static_cast<double>(preview.device_bytes())).c_str());
  PrintTime(preview.time());
  for (const std::string& warning : preview.warnings()) std::printf("note: %s\n", warning.c_str());
}

int Submit(const SubmitFlags& flags) {
  const absl::StatusOr<v1::JobSpec> spec = ToSpec(flags.job);
  if (!spec.ok()) return Fail(spec.status());
  const auto connection = Connect(flags.remote);
  if (!connection.ok()) return Fail(connection.status());
  v1::CreateJobRequest request;
  *request.mutable_spec() = *spec;
  request.set_job_id(flags.job_id);
  request.set_request_id(flags.request_id.empty() ? NewUuid() : flags.request_id);
  request.set_validate_only(flags.validate_only);
  const absl::StatusOr<v1::CreateJobResponse> response =
      (*connection)->Call(&v1::SearchService::Stub::CreateJob, request, absl::Minutes(30), [] { return true; });
  if (!response.ok()) return Fail(response.status());
  const v1::Job& job = response->job();
  std::vector<std::string> names;
  if (!job.name().empty()) names.push_back(job.name());
  if (PrintOutput(flags.remote.format, [&job] { return MessageJson(job); }, names)) return kExitOk;
  if (flags.validate_only) {
    PrintPreview(job.preview());
  } else {
    std::printf("%s\n", job.name().c_str());
  }
  return kExitOk;
}

}  // namespace

void AddSubmitCommand(CLI::App& app, int& exit_code) {
  auto flags = std::make_shared<SubmitFlags>();
  CLI::App* command = app.add_subcommand("submit", "start a job on a coordinator and print its name");
  AddJobFlags(*command, flags->job);
  command->add_option("--job-id", flags->job_id, "the job's id (letters, digits and hyphens; else one is made)");
  command->add_option("--request-id", flags->request_id, "a UUID: the same request sent again gets the same job");
  command->add_flag("--validate-only", flags->validate_only, "only check, and say what the job would cost");
  AddRemoteFlags(*command, flags->remote);
  command->callback([flags, &exit_code] { exit_code = Submit(*flags); });
}

}  // namespace espalier
