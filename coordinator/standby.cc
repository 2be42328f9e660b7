#include "coordinator/standby.h"

#include <spdlog/spdlog.h>

#include <iostream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/base/uuid.h"
#include "common/http/process_metrics.h"
#include "coordinator/rpc/standby_server.h"
#include "coordinator/store/leader_row.h"
#include "coordinator/store/postgres_name.h"
#include "coordinator/store/sqlite_backup.h"

namespace espalier {
namespace {

HttpRouter MakeStandbyRouter(const StandbyServer* server) {
  HttpRouter router;
  router.open = {"/healthz", "/readyz"};
  router.exact["/healthz"] = [](const std::string&) { return HttpResponse{.body = "ok\n"}; };
  router.exact["/readyz"] = [server](const std::string&) {
    const std::string leader = server->leader();
    return HttpResponse{.status = 503,
                        .body = absl::StrCat("standby; ", leader.empty() ? "nobody leads" : "the leader is at " + leader, "\n")};
  };
  router.exact["/metrics"] = [](const std::string&) {
    return HttpResponse{.content_type = "text/plain; version=0.0.4; charset=utf-8",
                        .body = "# HELP espalier_standing_by Whether this coordinator waits for another one's end.\n"
                                "# TYPE espalier_standing_by gauge\nespalier_standing_by 1\n" +
                                ProcessMetricsText()};
  };
  return router;
}

}  // namespace

void AddStoreFlags(CLI::App& app, StoreOptions& options) {
  app.add_option("--store", options.store,
                 "PostgreSQL, as postgresql://USER@HOST/DATABASE or a libpq connection string; several coordinators may "
                 "share it, one leads; default: SQLite in STATE. Keep passwords in PGPASSFILE")
      ->envname("ESPALIER_STORE");
  app.add_option("--advertise", options.advertise, "Where callers find this coordinator, told by standbys; default: --listen");
  app.add_option("--term-seconds", options.term_seconds, "A leader silent for so long is followed by another coordinator")
      ->check(CLI::Range(2.0, 300.0))
      ->capture_default_str();
  app.add_option("--backup", options.backup, "Write a copy of STATE's database to this file and end (nobody else uses it)");
  app.add_option("--restore", options.restore, "Make STATE's database from this copy and end");
}

absl::Status CheckStoreOptions(const StoreOptions& options, const std::string& artifacts) {
  if (!options.is_postgres()) return absl::OkStatus();
  if (!IsPostgres(options.store)) {
    return absl::InvalidArgumentError(
        "--store: needs postgresql://... or a libpq connection string such as 'host=db dbname=espalier'; SQLite needs none");
  }
  if (artifacts.empty()) {
    return absl::InvalidArgumentError("--store: needs --artifacts, a folder or bucket that all coordinators and workers see");
  }
  if (!options.backup.empty() || !options.restore.empty()) {
    return absl::InvalidArgumentError("--backup, --restore: are for SQLite; use pg_dump and pg_restore");
  }
  return absl::OkStatus();
}

absl::Status RunStoreCommand(const StoreOptions& options, const std::string& state) {
  const std::string database = state + "/coordinator.sqlite";
  if (!options.backup.empty()) return BackUpSqliteFile(database, options.backup);
  ESPALIER_RETURN_IF_ERROR(CreateFolders(state));
  return RestoreSqliteFile(options.restore, database);
}

absl::StatusOr<std::unique_ptr<Leadership>> StandBy(const StoreOptions& options, ServerOptions* server,
                                                    const HttpOptions* http, const Clock* clock,
                                                    const std::function<bool(absl::Duration)>& wait) {
  ESPALIER_ASSIGN_OR_RETURN(const std::unique_ptr<StandbyServer> standby, StandbyServer::Start(*server));
  server->address = standby->address();
  const std::string address = options.advertise.empty() ? server->address.ToText() : options.advertise;
  std::unique_ptr<HttpServer> pages;
  if (http != nullptr) {
    ESPALIER_ASSIGN_OR_RETURN(pages, HttpServer::Start(*http, MakeStandbyRouter(standby.get())));
  }
  std::unique_ptr<LeaderRow> row;
  while (row == nullptr) {
    auto opened = OpenPostgresLeaderRow(options.store, NewUuid(), address);
    if (opened.ok()) {
      row = *std::move(opened);
      break;
    }
    if (!absl::IsUnavailable(opened.status())) return opened.status();
    spdlog::warn("{}", ToString(opened.status().message()));
    if (!wait(absl::Seconds(2))) return std::unique_ptr<Leadership>();
  }
  TermOptions term;
  term.term = absl::Seconds(options.term_seconds);
  term.margin = term.term / 6;
  return Leadership::StandBy(std::move(row), term, clock, wait,
                             [&](const std::string& leader, const absl::Status& database) {
                               standby->SetLeader(leader);
                               if (!database.ok()) {
                                 spdlog::warn("standing by: {}", ToString(database.message()));
                                 return;
                               }
                               std::cout << "standing by on " << server->address.ToText() << std::endl;
                               spdlog::info("standing by; {}", leader.empty() ? "nobody leads" : "the leader is at " + leader);
                             });
}

}  // namespace espalier
