// Connections to PostgreSQL: how they are made, and what its errors mean.
#pragma once

#include <soci/soci.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "coordinator/store/postgres_name.h"

namespace espalier {

// How long the server lets a transaction of ours wait for us: a coordinator that is stopped in the midst of one must not
// hold its locks for longer than others wait before they lead.
inline constexpr absl::Duration kPatienceInTransaction = absl::Seconds(4);

// Connects. Adds what the connection string leaves out: short time-outs, so that a server that is gone is noticed.
// kInvalidArgument: the string is none. kUnavailable: nobody answers. kPermissionDenied: refused.
absl::StatusOr<std::unique_ptr<soci::session>> ConnectPostgres(const std::string& connection);

// Once more, for a session whose connection is lost; within a few seconds or kUnavailable.
absl::Status ReconnectPostgres(soci::session& session, const std::string& connection);

// kUnavailable: the connection is gone, or the server threw the transaction out.
absl::Status TranslatePostgres(const soci::soci_error& error, const std::string& what, soci::session* session,
                               const std::string& connection);

// Makes the tables in an empty database, in one transaction that only one program at a time is in. An older schema is
// left as it is unless `migrates` (but for version 1, which knew no leadership). kInvalidArgument: the database holds
// another program's tables. kFailedPrecondition: it is of a later version.
absl::Status PreparePostgresSchema(soci::session& session, const std::string& connection, bool migrates);

}  // namespace espalier
