#include "coordinator/core/artifact_collector.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/artifacts/artifact_names.h"
#include "common/base/status_macros.h"

namespace espalier {
namespace {

constexpr char kCoordinators[] = "coordinators/";

// At most so many at a time: meanwhile outcomes that name one of them wait.
constexpr size_t kBatch = 64;

}  // namespace

ArtifactCollector::ArtifactCollector(Coordinator* coordinator, ArtifactStore* artifacts, std::string identity,
                                     CollectorOptions options)
    : coordinator_(coordinator), artifacts_(artifacts), identity_(std::move(identity)), options_(options) {}

absl::StatusOr<std::string> ArtifactCollector::WhyNotAlone(const std::vector<StoredName>& names) {
  const std::string own = absl::StrCat(kCoordinators, identity_);
  bool is_known = false;
  std::string other;
  for (const StoredName& name : names) {
    if (name.name == own) is_known = true;
    if (absl::StartsWith(name.name, kCoordinators) && name.name != own) other = name.name;
  }
  if (!is_known) ESPALIER_RETURN_IF_ERROR(artifacts_->SetName(own, "collects artifacts that none of its jobs refers to"));
  if (other.empty()) return "";
  return absl::StrCat("a coordinator with another database uses these artifacts too (names/", other,
                      "); when it is gone for good, remove that name");
}

void ArtifactCollector::NoteReleased(const ArtifactReferences& references, absl::Time now) {
  for (const std::string& digest : referenced_) {
    if (!references.digests.contains(digest)) released_.emplace(digest, now);
  }
  for (const std::string& digest : references.released) released_.emplace(digest, now);
  std::erase_if(released_, [&](const auto& item) { return references.digests.contains(item.first); });
  referenced_ = references.digests;
}

absl::Duration ArtifactCollector::MinAge(const std::string& digest, absl::Time now) const {
  const auto released = released_.find(digest);
  if (released == released_.end()) return now - *began_ < options_.grace ? absl::InfiniteDuration() : options_.stray_age;
  return now - released->second < options_.grace ? absl::InfiniteDuration() : options_.grace;
}

absl::Status ArtifactCollector::RemoveNames(const std::vector<StoredName>& names, const std::set<std::string>& dead,
                                            absl::Time now) {
  if (dead.empty()) return absl::OkStatus();
  ESPALIER_RETURN_IF_ERROR(coordinator_->ConfirmLeads());
  for (const StoredName& name : names) {
    if (!dead.contains(name.name)) continue;
    ESPALIER_RETURN_IF_ERROR(artifacts_->RemoveName(name.name));
    if (IsArtifactDigest(name.value)) released_.emplace(name.value, now);
  }
  return absl::OkStatus();
}

absl::StatusOr<CollectorReport> ArtifactCollector::Run(absl::Time now) {
  CollectorReport report;
  if (!began_.has_value()) began_ = now;
  // What is there first, who refers to it afterwards: what comes in between is not looked at.
  ESPALIER_ASSIGN_OR_RETURN(const std::vector<StoredArtifact> stored, artifacts_->List());
  ESPALIER_ASSIGN_OR_RETURN(const std::vector<StoredName> names, artifacts_->ListNames());
  ESPALIER_ASSIGN_OR_RETURN(report.reason, WhyNotAlone(names));
  if (!report.reason.empty()) return report;
  ESPALIER_ASSIGN_OR_RETURN(ArtifactReferences references, coordinator_->ReferencedArtifacts());

  std::set<std::string> living, dead;
  for (const std::string& id : references.job_ids) living.insert(RecoveryNamePrefix(id));
  for (const StoredName& name : names) {
    const std::string prefix = RecoveryNamePrefixOf(name.name);
    if (!prefix.empty() && !living.contains(prefix) && name.age >= options_.grace) {
      dead.insert(name.name);
    } else if (IsArtifactDigest(name.value)) {
      references.digests.insert(name.value);
    }
  }
  NoteReleased(references, now);

  std::vector<StoredArtifact> due;
  std::set<std::string> there;
  for (const StoredArtifact& artifact : stored) {
    const bool is_due = !references.digests.contains(artifact.digest) && artifact.age >= MinAge(artifact.digest, now);
    if (is_due) due.push_back(artifact);
    there.insert(artifact.digest);
    ++report.num_left;
    report.left_bytes += artifact.bytes;
  }
  ESPALIER_RETURN_IF_ERROR(RemoveNames(names, dead, now));
  std::erase_if(released_, [&](const auto& item) { return item.second < now && !there.contains(item.first); });
  ESPALIER_RETURN_IF_ERROR(Collect(due, report));
  return report;
}

absl::Status ArtifactCollector::Collect(const std::vector<StoredArtifact>& due, CollectorReport& report) {
  for (auto next = due.begin(); next != due.end();) {
    std::vector<std::string> batch;
    std::map<std::string, const StoredArtifact*> listed;
    for (; next != due.end() && batch.size() < kBatch; ++next) {
      batch.push_back(next->digest);
      listed[next->digest] = &*next;
    }
    const absl::StatusOr<std::vector<std::string>> taken = coordinator_->BeginCollecting(batch);
    absl::Status status = taken.status();
    for (const std::string& digest : taken.value_or(std::vector<std::string>())) {
      const StoredArtifact& artifact = *listed.at(digest);
      const absl::StatusOr<bool> is_gone = artifacts_->RemoveUnused(digest, artifact.put_time);
      status.Update(is_gone.status());
      if (!is_gone.ok() || !*is_gone) continue;
      released_.erase(digest);
      ++report.num_removed, --report.num_left;
      report.removed_bytes += artifact.bytes, report.left_bytes -= artifact.bytes;
    }
    coordinator_->EndCollecting();
    ESPALIER_RETURN_IF_ERROR(status);
  }
  return absl::OkStatus();
}

}  // namespace espalier
