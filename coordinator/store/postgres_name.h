// What may be asked about a --store without a connection.
#pragma once

#include <string>

namespace espalier {

// Whether a --store names PostgreSQL: a URI (postgresql://...) or a libpq connection string (keyword=value ...).
bool IsPostgres(const std::string& store);

// "PostgreSQL database 'searches' on 'db.example'": for messages; never the password.
std::string PostgresName(const std::string& connection);

}  // namespace espalier
