#include "coordinator/rpc/method_roles.h"

namespace espalier {
namespace {

struct Row {
  std::string_view method;
  Role role;
};

constexpr Row kRows[] = {
    {"espalier.v1.SearchService.CreateJob", Role::kSubmit},
    {"espalier.v1.SearchService.GetJob", Role::kRead},
    {"espalier.v1.SearchService.ListJobs", Role::kRead},
    {"espalier.v1.SearchService.CancelJob", Role::kSubmit},
    {"espalier.v1.SearchService.PauseJob", Role::kSubmit},
    {"espalier.v1.SearchService.ResumeJob", Role::kSubmit},
    {"espalier.v1.SearchService.DeleteJob", Role::kSubmit},
    {"espalier.v1.SearchService.WatchJob", Role::kRead},
    {"espalier.v1.SearchService.ListCandidates", Role::kRead},
    {"espalier.v1.SearchService.GetCandidate", Role::kRead},
    {"espalier.v1.SearchService.ListWorkers", Role::kRead},
    {"espalier.v1.SearchService.ReadArtifact", Role::kRead},
    {"espalier.v1.SearchService.UploadArtifact", Role::kSubmit},
    {"espalier.v1.AdminService.Backup", Role::kSubmit},
    // Workers take artifacts from the folder that they share with the coordinator, so `work` is this alone.
    {"espalier.v1.WorkerService.Synchronize", Role::kWork},
};

}  // namespace

std::optional<Role> RoleFor(std::string_view full_method_name) {
  for (const Row& row : kRows) {
    if (row.method == full_method_name) return row.role;
  }
  return std::nullopt;
}

}  // namespace espalier
