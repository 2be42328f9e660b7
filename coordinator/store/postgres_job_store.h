// JobStore in PostgreSQL through SOCI, for coordinators that stand by for each other.
//
// Decisions. The schema, the statements and the checksums are those of SQLite. Every transaction locks the epoch's row in
// share mode, so that nobody takes over in its midst and nothing of an older epoch is written after the first write of a
// newer one, however long a coordinator was stopped in between. A lost connection is made anew within a few seconds; after
// one that is lost during a commit the counter of transactions tells whether it went through.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "coordinator/store/job_store.h"

namespace espalier {

// `connection`: a URI or a libpq connection string. `epoch`: the one that this coordinator was elected with; nullopt
// raises it. Makes or migrates the tables. kUnavailable: nobody answers. kInvalidArgument: not a connection string, or the
// database of another program. kFailedPrecondition: it was written by a newer version.
absl::StatusOr<std::unique_ptr<JobStore>> OpenPostgresJobStore(const std::string& connection,
                                                               std::optional<int64_t> epoch);

}  // namespace espalier
