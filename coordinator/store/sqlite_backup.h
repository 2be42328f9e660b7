// Copies of the coordinator's SQLite database, made and brought back while no coordinator uses it.
//
// A running coordinator makes its copy itself (BackupSource).
#pragma once

#include <string>

#include "absl/status/status.h"

namespace espalier {

// Under the database's exclusive lock. kFailedPrecondition: a coordinator uses it. kNotFound: there is none.
// kAlreadyExists: `output` exists.
absl::Status BackUpSqliteFile(const std::string& database, const std::string& output);

// Makes `database` from `copy`, which is checked first: page structure, whose it is, version, the
// checksums of every job's rows (those of banks are checked when they are read). Epochs
// go far on, so that no lease of the time after the copy is taken for one of the time after its return.
// kAlreadyExists: there is a database already. kInvalidArgument, kDataLoss, kFailedPrecondition: as of OpenSqliteJobStore.
absl::Status RestoreSqliteFile(const std::string& copy, const std::string& database);

}  // namespace espalier
