// JobStore in one SQLite file through SOCI.
//
// Decisions. WAL with synchronous=FULL: a commit is on the disk before it is acknowledged. One connection does all reads,
// writes and checkpoints, and holds the file exclusively (SQLite before 3.44.6 may lose commits when two connections
// checkpoint one WAL; without a second connection no shared memory is needed either). A lock file beside the database
// keeps a second coordinator out. Each row carries a checksum over its fields, so that a flipped byte is found when it is
// read (SQLite has none). Payloads are stored as base64 text, so that PostgreSQL can hold the same schema.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/store/job_store.h"

namespace espalier {

// Creates the file when there is none. kFailedPrecondition: another coordinator has it open, or it was written by a newer
// version. kInvalidArgument: it is no database of this program. kDataLoss: it is damaged. kResourceExhausted: the disk is
// full.
absl::StatusOr<std::unique_ptr<JobStore>> OpenSqliteJobStore(const std::string& path);

}  // namespace espalier
