// The row by which coordinators that share a database agree on who leads. All times in it are the database's own.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace espalier {

struct LeaderView {
  std::optional<int64_t> epoch;  // set: the caller leads now, under this epoch
  std::string address;           // of who leads otherwise; empty when nobody does
};

// One program at a time uses an instance; every call is bounded to a few seconds.
class LeaderRow {
 public:
  virtual ~LeaderRow() = default;

  // Leads if nobody does (the row has expired): raises the epoch in the same transaction.
  virtual absl::StatusOr<LeaderView> TryLead(absl::Duration term) = 0;
  // Puts the end of this term off to `term` from the database's now. kAborted when another one leads.
  virtual absl::Status Renew(int64_t epoch, absl::Duration term) = 0;
  // Ends the term at once, so that the next one need not wait for it. Harmless when another one leads.
  virtual absl::Status Resign(int64_t epoch) = 0;
};

// `holder` names this process (a UUID), `address` is where its callers find it. Makes the tables in an empty database.
// Errors as of OpenPostgresJobStore.
absl::StatusOr<std::unique_ptr<LeaderRow>> OpenPostgresLeaderRow(const std::string& connection, const std::string& holder,
                                                                 const std::string& address);

}  // namespace espalier
