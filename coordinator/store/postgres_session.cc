#include "coordinator/store/postgres_session.h"

#include <libpq-fe.h>
#include <soci/postgresql/soci-postgresql.h>

#include <chrono>
#include <map>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/base/status_macros.h"
#include "coordinator/store/schema.h"

namespace espalier {
namespace {

constexpr int kReconnects = 4;
constexpr std::chrono::milliseconds kBetweenReconnects{250};
constexpr int kSchemaLock = kApplicationId;  // key of the advisory lock

// libpq's options by keyword; kInvalidArgument when the string is none.
absl::StatusOr<std::map<std::string, std::string>> ParseOptions(const std::string& connection) {
  char* error = nullptr;
  PQconninfoOption* options = PQconninfoParse(connection.c_str(), &error);
  if (options == nullptr) {
    PQfreemem(error);  // quotes the whole string, and there may be a password in it
    return absl::InvalidArgumentError("--store: libpq does not understand this URI or connection string");
  }
  std::map<std::string, std::string> values;
  for (const PQconninfoOption* option = options; option->keyword != nullptr; ++option) {
    if (option->val != nullptr) values[option->keyword] = option->val;
  }
  PQconninfoFree(options);
  return values;
}

absl::StatusOr<std::string> WithDefaults(const std::string& connection) {
  std::map<std::string, std::string> values;
  ESPALIER_ASSIGN_OR_RETURN(values, ParseOptions(connection));
  const std::map<std::string, std::string> defaults = {
      {"application_name", "espalier-coordinator"}, {"connect_timeout", "3"},      {"keepalives_idle", "3"},
      {"keepalives_interval", "2"},                 {"keepalives_count", "2"},     {"tcp_user_timeout", "8000"},
      {"target_session_attrs", "read-write"}};
  values.insert(defaults.begin(), defaults.end());
  values["client_encoding"] = "UTF8";
  std::string text;
  for (const auto& [keyword, value] : values) {
    absl::StrAppend(&text, keyword, "='", absl::StrReplaceAll(value, {{"\\", "\\\\"}, {"'", "\\'"}}), "' ");
  }
  return text;
}

// Of a new connection.
void SetUp(soci::session& session) {
  session << absl::StrCat("SET idle_in_transaction_session_timeout = ", absl::ToInt64Milliseconds(kPatienceInTransaction));
  session << "SET lock_timeout = 6000";
  session << "SET statement_timeout = 30000";
  std::string durability;
  session << "SHOW synchronous_commit", soci::into(durability);
  // An acknowledged result is on the server's disk, whatever the database's default.
  if (durability == "off") session << "SET synchronous_commit = on";
}

PGconn* ConnectionOf(soci::session* session) {
  if (session == nullptr || session->get_backend() == nullptr) return nullptr;
  return static_cast<soci::postgresql_session_backend*>(session->get_backend())->conn_;
}

absl::StatusCode CodeOfState(const std::string& state) {
  const std::string group = state.substr(0, 2);
  if (group == "08" || group == "57" || group == "40" || state == "25P03" || state == "55P03" || state == "53300") {
    return absl::StatusCode::kUnavailable;
  }
  if (group == "22") return absl::StatusCode::kInvalidArgument;
  if (group == "23") return absl::StatusCode::kAlreadyExists;
  if (group == "28" || state == "42501") return absl::StatusCode::kPermissionDenied;
  if (state == "3D000") return absl::StatusCode::kNotFound;
  if (state == "25006") return absl::StatusCode::kFailedPrecondition;  // a read-only server
  if (group == "53") return absl::StatusCode::kResourceExhausted;      // its disk is full, its memory is used up
  if (state == "XX001" || state == "XX002") return absl::StatusCode::kDataLoss;
  return absl::StatusCode::kInternal;
}

}  // namespace

bool IsPostgres(const std::string& store) {
  return absl::StartsWith(store, "postgresql://") || absl::StartsWith(store, "postgres://") ||
         (absl::StrContains(store, '=') && !absl::StartsWith(store, "/"));
}

std::string PostgresName(const std::string& connection) {
  auto options = ParseOptions(connection);
  if (!options.ok()) return "PostgreSQL";
  const auto value = [&](const char* keyword, const char* otherwise) {
    const auto found = options->find(keyword);
    return found == options->end() || found->second.empty() ? std::string(otherwise) : found->second;
  };
  return absl::StrCat("PostgreSQL database '", value("dbname", "(default)"), "' on '", value("host", "(default)"), "'");
}

absl::StatusOr<std::unique_ptr<soci::session>> ConnectPostgres(const std::string& connection) {
  ESPALIER_ASSIGN_OR_RETURN(const std::string complete, WithDefaults(connection));
  try {
    auto session = std::make_unique<soci::session>(soci::postgresql, complete);
    SetUp(*session);
    return session;
  } catch (const soci::soci_error& error) {
    const std::string message =
        absl::StrCat("cannot connect to ", PostgresName(connection), ": ", error.get_error_message());
    if (absl::StrContains(message, "authentication") || absl::StrContains(message, "does not exist")) {
      return absl::PermissionDeniedError(message);
    }
    return absl::UnavailableError(message);
  }
}

absl::Status ReconnectPostgres(soci::session& session, const std::string& connection) {
  std::string why;
  for (int attempt = 0; attempt < kReconnects; ++attempt) {
    if (attempt > 0) std::this_thread::sleep_for(kBetweenReconnects);
    try {
      session.reconnect();
      SetUp(session);
      return absl::OkStatus();
    } catch (const soci::soci_error& error) {
      why = error.get_error_message();
    }
  }
  return absl::UnavailableError(absl::StrCat(PostgresName(connection), " is gone: ", why));
}

absl::Status TranslatePostgres(const soci::soci_error& error, const std::string& what, soci::session* session,
                               const std::string& connection) {
  const std::string message =
      absl::StrCat(what, " in ", PostgresName(connection), ": ", error.get_error_message());
  const PGconn* raw = ConnectionOf(session);
  if (raw == nullptr || PQstatus(raw) != CONNECTION_OK) return absl::UnavailableError(message);
  const auto* postgres = dynamic_cast<const soci::postgresql_soci_error*>(&error);
  return absl::Status(postgres == nullptr ? absl::StatusCode::kInternal : CodeOfState(postgres->sqlstate()), message);
}

absl::Status PreparePostgresSchema(soci::session& session, const std::string& connection, bool migrates) {
  const std::string name = PostgresName(connection);
  try {
    soci::transaction transaction(session);
    // Two coordinators may be started on an empty database at the same time.
    session << absl::StrCat("SELECT pg_advisory_xact_lock(", kSchemaLock, ")");
    int num_tables = 0;
    int is_ours = 0;
    session << "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = current_schema()",
        soci::into(num_tables);
    if (num_tables == 0) {
      MakeSchema(session);
      transaction.commit();
      return absl::OkStatus();
    }
    session << "SELECT COUNT(*) FROM information_schema.columns WHERE table_schema = current_schema() AND"
               " ((table_name = 'meta' AND column_name IN ('name', 'number')) OR"
               " (table_name = 'events' AND column_name = 'sequence'))",
        soci::into(is_ours);
    if (is_ours != 3) {
      return absl::InvalidArgumentError(absl::StrCat(
          name, " holds the tables of another program; give the coordinator a database (or a schema) of its own"));
    }
    const int version = ReadSchemaVersion(session);
    if (version >= 2) {
      int application = 0;
      session << "SELECT number FROM meta WHERE name = 'application'", soci::into(application);
      if (application != kApplicationId) {
        return absl::InvalidArgumentError(absl::StrCat(name, " is of another program; give the coordinator its own"));
      }
    }
    if (migrates || version < 2 || version > kSchemaVersion) ESPALIER_RETURN_IF_ERROR(MigrateSchema(session, name));
    transaction.commit();
    return absl::OkStatus();
  } catch (const soci::soci_error& error) {
    return TranslatePostgres(error, "preparing the tables", &session, connection);
  }
}

}  // namespace espalier
