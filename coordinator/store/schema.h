// The tables, and how those of an older version become those of this one. Plain SQL that SQLite and PostgreSQL both take.
#pragma once

#include <soci/soci.h>

#include <string>

#include "absl/status/status.h"

namespace espalier {

inline constexpr int kSchemaVersion = 3;

// "esp1": what tells our databases from others. SQLite keeps it in the file's header, every database in meta.
inline constexpr int kApplicationId = 0x65737031;

// Makes the schema of `version` in a database without tables (tests make older ones). In the caller's transaction.
void MakeSchema(soci::session& session, int version = kSchemaVersion);

// Brings an older schema to this version, step by step, in the caller's transaction. `where` names the database in
// messages. kFailedPrecondition: it is of a later version, which the message names.
absl::Status MigrateSchema(soci::session& session, const std::string& where);

// Of a database that has the table meta.
int ReadSchemaVersion(soci::session& session);

}  // namespace espalier
