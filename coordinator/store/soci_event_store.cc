// The events of SociJobStore and the bank manifest.
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/store/row_checksum.h"
#include "coordinator/store/soci_job_store.h"

namespace espalier {
namespace {

std::string EventChecksum(const EventRecord& event) {
  return RowChecksum({std::to_string(event.sequence), event.job_id, std::to_string(static_cast<int>(event.kind)),
                      event.task_id, std::to_string(event.attempt), event.input_digest, event.payload, event.reason,
                      event.artifact});
}

std::string BankChecksum(const BankLayerRecord& bank) {
  return RowChecksum(
      {bank.key, std::to_string(bank.layer), std::to_string(bank.revision), bank.artifact, bank.outcome});
}

// Without the epoch.
LeaseToken TokenOf(const EventRecord& event) { return {0, event.job_id, event.task_id, event.attempt}; }

}  // namespace

absl::Status SociJobStore::CheckCommit(const EventRecord& event) {
  int count = 0;
  statements_.Run("SELECT COUNT(*) FROM jobs WHERE job_id = :job", soci::use(event.job_id, "job"), soci::into(count));
  if (count == 0) return absl::NotFoundError(absl::StrCat("there is no job '", event.job_id, "'"));
  if (event.task_id.empty()) return absl::OkStatus();
  long long sequence = 0;
  if (statements_.Run("SELECT sequence FROM events WHERE job_id = :job AND task_id = :task",
                      soci::use(event.job_id, "job"), soci::use(event.task_id, "task"), soci::into(sequence))) {
    return absl::AlreadyExistsError(
        absl::StrCat(event.job_id, "/", event.task_id, " was committed as event ", sequence));
  }
  if (event.kind != EventKind::kOutcome || event.attempt == 0) return absl::OkStatus();
  ESPALIER_ASSIGN_OR_RETURN(const std::optional<AttemptRecord> attempt, ReadAttempt(TokenOf(event)));
  if (attempt.has_value() && attempt->input_digest == event.input_digest) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(event.job_id, "/", event.task_id, " attempt ", event.attempt,
                                                    " was never granted with input ", event.input_digest));
}

void SociJobStore::InsertEvent(const EventRecord& event) {
  const long long sequence = event.sequence;
  const int kind = static_cast<int>(event.kind);
  soci::indicator has_task = event.task_id.empty() ? soci::i_null : soci::i_ok;
  const std::string payload = EncodeBytes(event.payload);
  const std::string checksum = EventChecksum(event);
  statements_.Run(
      "INSERT INTO events (sequence, job_id, kind, task_id, attempt, input_digest, payload, reason, artifact,"
      " elapsed_seconds, checksum) VALUES (:sequence, :job, :kind, :task, :attempt, :digest, :payload, :reason,"
      " :artifact, :elapsed, :checksum)",
      soci::use(sequence, "sequence"), soci::use(event.job_id, "job"), soci::use(kind, "kind"),
      soci::use(event.task_id, has_task, "task"), soci::use(event.attempt, "attempt"),
      soci::use(event.input_digest, "digest"), soci::use(payload, "payload"), soci::use(event.reason, "reason"),
      soci::use(event.artifact, "artifact"), soci::use(event.elapsed_seconds, "elapsed"),
      soci::use(checksum, "checksum"));
}

absl::Status SociJobStore::InsertCommit(const EventCommit& commit, int64_t* sequence) {
  const EventRecord& event = commit.event;
  ESPALIER_RETURN_IF_ERROR(CheckCommit(event));
  EventRecord stored = event;
  stored.reason = CleanText(event.reason);
  *sequence = stored.sequence = Take("sequence");
  InsertEvent(stored);
  statements_.Run("UPDATE jobs SET elapsed_seconds = :elapsed WHERE job_id = :job",
                  soci::use(event.elapsed_seconds, "elapsed"), soci::use(event.job_id, "job"));
  if (event.kind == EventKind::kOutcome && event.attempt > 0) {
    ESPALIER_ASSIGN_OR_RETURN(std::optional<AttemptRecord> attempt, ReadAttempt(TokenOf(event)));
    attempt->end = AttemptEnd::kCommitted;
    WriteAttemptEnd(*attempt);
  }
  if (commit.bank.has_value()) EnterBankLayer(*commit.bank);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<int64_t>> SociJobStore::CommitAll(const std::vector<EventCommit>& commits) {
  std::vector<int64_t> sequences(commits.size());
  const absl::Status status = InTransaction("committing events", [&]() -> absl::Status {
    for (size_t i = 0; i < commits.size(); ++i) ESPALIER_RETURN_IF_ERROR(InsertCommit(commits[i], &sequences[i]));
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return sequences;
}

void SociJobStore::EnterBankLayer(const BankLayerRecord& bank) {
  int present = 0;
  int revisions = 0;
  *session_ << "SELECT COUNT(*) FROM bank_layers WHERE bank_key = :key AND layer = :layer AND is_lost = 0",
      soci::use(bank.key, "key"), soci::use(bank.layer, "layer"), soci::into(present);
  if (present > 0) return;
  *session_ << "SELECT COUNT(*) FROM bank_layers WHERE bank_key = :key AND layer = :layer", soci::use(bank.key, "key"),
      soci::use(bank.layer, "layer"), soci::into(revisions);
  BankLayerRecord added = bank;
  added.revision = revisions + 1;
  const std::string outcome = EncodeBytes(added.outcome);
  const std::string checksum = BankChecksum(added);
  *session_ << "INSERT INTO bank_layers (bank_key, layer, revision, artifact, outcome, is_lost, checksum) VALUES"
               " (:key, :layer, :revision, :artifact, :outcome, 0, :checksum)",
      soci::use(added.key, "key"), soci::use(added.layer, "layer"), soci::use(added.revision, "revision"),
      soci::use(added.artifact, "artifact"), soci::use(outcome, "outcome"), soci::use(checksum, "checksum");
}

absl::StatusOr<std::vector<EventRecord>> SociJobStore::LoadEvents(const std::string& job_id, int64_t after_sequence) {
  std::vector<EventRecord> events;
  const absl::Status status = Reading("loading events", [&]() -> absl::Status {
    events.clear();
    const long long after = after_sequence;
    const soci::rowset<soci::row> rows =
        (session_->prepare << "SELECT sequence, kind, task_id, attempt, input_digest, payload, reason, artifact,"
                              " elapsed_seconds, checksum FROM events WHERE job_id = :job AND sequence > :after"
                              " ORDER BY sequence",
         soci::use(job_id, "job"), soci::use(after, "after"));
    for (const soci::row& row : rows) {
      EventRecord& event = events.emplace_back();
      event.sequence = row.get<long long>(0);
      event.job_id = job_id;
      event.kind = static_cast<EventKind>(row.get<int>(1));
      if (row.get_indicator(2) == soci::i_ok) event.task_id = row.get<std::string>(2);
      event.attempt = row.get<int>(3);
      event.input_digest = row.get<std::string>(4);
      ESPALIER_ASSIGN_OR_RETURN(event.payload, DecodeBytes(row.get<std::string>(5)));
      event.reason = row.get<std::string>(6);
      event.artifact = row.get<std::string>(7);
      event.elapsed_seconds = row.get<double>(8);
      if (row.get<std::string>(9) != EventChecksum(event)) {
        return absl::DataLossError(
            absl::StrCat("the stored event ", event.sequence, " of job '", job_id, "' is damaged (checksum)"));
      }
    }
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return events;
}

absl::StatusOr<std::optional<BankLayerRecord>> SociJobStore::FindBankLayer(const std::string& key, int layer) {
  std::optional<BankLayerRecord> found;
  const absl::Status status = Reading("looking up a bank layer", [&]() -> absl::Status {
    BankLayerRecord bank;
    bank.key = key;
    bank.layer = layer;
    std::string outcome, checksum;
    *session_ << "SELECT revision, artifact, outcome, checksum FROM bank_layers WHERE bank_key = :key AND layer = :layer"
                 " AND is_lost = 0",
        soci::use(key, "key"), soci::use(layer, "layer"), soci::into(bank.revision), soci::into(bank.artifact),
        soci::into(outcome), soci::into(checksum);
    if (!session_->got_data()) return absl::OkStatus();
    ESPALIER_ASSIGN_OR_RETURN(bank.outcome, DecodeBytes(outcome));
    if (checksum != BankChecksum(bank)) {
      return absl::DataLossError(absl::StrCat("the stored layer ", layer, " of bank ", key, " is damaged (checksum)"));
    }
    found = std::move(bank);
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return found;
}

absl::Status SociJobStore::LoseBankLayers(const std::string& artifact) {
  return InTransaction("noting a lost artifact", [&]() -> absl::Status {
    *session_ << "UPDATE bank_layers SET is_lost = 1 WHERE artifact = :artifact", soci::use(artifact, "artifact");
    return absl::OkStatus();
  });
}

}  // namespace espalier
