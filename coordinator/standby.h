// A coordinator's time before it leads: it listens, refuses calls with who leads, and asks for the leadership.
#pragma once

#include <CLI/CLI.hpp>

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/http/http_server.h"
#include "coordinator/lead/leadership.h"
#include "coordinator/rpc/server.h"

namespace espalier {

struct StoreOptions {
  std::string store;      // empty: SQLite in the state folder
  std::string advertise;  // empty: where this coordinator listens
  double term_seconds = 6;
  std::string restore;  // commands instead of serving
  std::string backup;

  bool is_postgres() const { return !store.empty(); }
  bool is_command() const { return !backup.empty() || !restore.empty(); }
};
void AddStoreFlags(CLI::App& app, StoreOptions& options);
// What parsing cannot see: whether --store names PostgreSQL, and what goes with it.
absl::Status CheckStoreOptions(const StoreOptions& options, const std::string& artifacts);

// What --backup and --restore do with the state folder instead of serving.
absl::Status RunStoreCommand(const StoreOptions& options, const std::string& state);

// Until this process leads; nullptr when `wait` (see Leadership::StandBy) has said that it is to stop. `server` and
// `http` say where to listen meanwhile; `server->address` gets the port that was chosen. `http` may be null.
absl::StatusOr<std::unique_ptr<Leadership>> StandBy(const StoreOptions& options, ServerOptions* server,
                                                    const HttpOptions* http, const Clock* clock,
                                                    const std::function<bool(absl::Duration)>& wait);

}  // namespace espalier
