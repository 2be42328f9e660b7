#include "coordinator/store/postgres_job_store.h"

#include <utility>

#include "common/base/status_macros.h"
#include "coordinator/store/postgres_session.h"
#include "coordinator/store/soci_job_store.h"

namespace espalier {

absl::StatusOr<std::unique_ptr<JobStore>> OpenPostgresJobStore(const std::string& connection,
                                                               std::optional<int64_t> epoch) {
  ESPALIER_ASSIGN_OR_RETURN(std::unique_ptr<soci::session> session, ConnectPostgres(connection));
  ESPALIER_RETURN_IF_ERROR(PreparePostgresSchema(*session, connection, true));
  SqlDialect dialect;
  dialect.translate = [connection, raw = session.get()](const soci::soci_error& error, const std::string& what) {
    return TranslatePostgres(error, what, raw, connection);
  };
  dialect.epoch_query = "SELECT number FROM meta WHERE name = 'epoch' FOR SHARE";
  dialect.reconnect = [connection](soci::session& lost) { return ReconnectPostgres(lost, connection); };
  int64_t own_epoch = epoch.value_or(0);
  if (!epoch.has_value()) ESPALIER_RETURN_IF_ERROR(SociJobStore::RaiseEpoch(*session, dialect, &own_epoch));
  return std::make_unique<SociJobStore>(std::move(session), std::move(dialect), own_epoch);
}

}  // namespace espalier
