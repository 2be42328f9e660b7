#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "coordinator/store/leader_row.h"
#include "coordinator/store/postgres_session.h"
#include "coordinator/store/soci_job_store.h"

namespace espalier {
namespace {

// Seconds by the database's clock, which goes on during a transaction.
#define ESPALIER_DATABASE_NOW "EXTRACT(EPOCH FROM clock_timestamp())"

class PostgresLeaderRow final : public LeaderRow {
 public:
  PostgresLeaderRow(std::string connection, std::unique_ptr<soci::session> session, std::string holder,
                    std::string address)
      : connection_(std::move(connection)),
        session_(std::move(session)),
        holder_(std::move(holder)),
        address_(std::move(address)) {}

  absl::StatusOr<LeaderView> TryLead(absl::Duration term) override {
    LeaderView view;
    const absl::Status status = Run("asking who leads", [&] {
      // Without a lock first: asking must not wait for who is taking over.
      int is_free = 0;
      *session_ << "SELECT address, CASE WHEN expires_at <= " ESPALIER_DATABASE_NOW
                   " THEN 1 ELSE 0 END FROM leadership WHERE name = 'coordinator'",
          soci::into(view.address), soci::into(is_free);
      if (is_free == 0) return;
      view = Lead(term);
    });
    if (!status.ok()) return status;
    return view;
  }

  absl::Status Renew(int64_t epoch, absl::Duration term) override {
    long long num_rows = 0;
    const long long own_epoch = epoch;
    const double seconds = absl::ToDoubleSeconds(term);
    ESPALIER_RETURN_IF_ERROR(Run("prolonging the term", [&] {
      soci::statement update =
          (session_->prepare << "UPDATE leadership SET expires_at = " ESPALIER_DATABASE_NOW
                                " + :term WHERE name = 'coordinator' AND holder = :holder AND epoch = :epoch",
           soci::use(seconds, "term"), soci::use(holder_, "holder"), soci::use(own_epoch, "epoch"));
      update.execute(true);
      num_rows = update.get_affected_rows();
    }));
    if (num_rows == 1) return absl::OkStatus();
    return absl::AbortedError(absl::StrCat("another coordinator leads; the epoch of this one was ", epoch));
  }

  absl::Status Resign(int64_t epoch) override {
    const long long own_epoch = epoch;
    return Run("resigning", [&] {
      *session_ << "UPDATE leadership SET expires_at = 0, address = '' WHERE name = 'coordinator' AND holder = :holder AND"
                   " epoch = :epoch",
          soci::use(holder_, "holder"), soci::use(own_epoch, "epoch");
    });
  }

 private:
  // In one transaction; who else tries waits for its end and then sees that the row is taken.
  LeaderView Lead(absl::Duration term) {
    const double seconds = absl::ToDoubleSeconds(term);
    soci::transaction transaction(*session_);
    int is_free = 0;
    *session_ << "SELECT CASE WHEN expires_at <= " ESPALIER_DATABASE_NOW
                 " THEN 1 ELSE 0 END FROM leadership WHERE name = 'coordinator' FOR UPDATE",
        soci::into(is_free);
    if (is_free == 0) return {};
    // Waits for a transaction of the former leader that is under way, at most kPatienceInTransaction.
    const int64_t epoch = TakeNext(*session_, "epoch");
    const long long own_epoch = epoch;
    *session_ << "UPDATE leadership SET holder = :holder, address = :address, epoch = :epoch, expires_at = "
                 ESPALIER_DATABASE_NOW " + :term WHERE name = 'coordinator'",
        soci::use(holder_, "holder"), soci::use(address_, "address"), soci::use(own_epoch, "epoch"),
        soci::use(seconds, "term");
    transaction.commit();
    return {epoch, ""};
  }

  template <typename Body>
  absl::Status Run(const char* what, const Body& body) {
    if (is_lost_) {
      ESPALIER_RETURN_IF_ERROR(ReconnectPostgres(*session_, connection_));
      is_lost_ = false;
    }
    try {
      body();
      return absl::OkStatus();
    } catch (const soci::soci_error& error) {
      const absl::Status status = TranslatePostgres(error, what, session_.get(), connection_);
      is_lost_ = absl::IsUnavailable(status);
      return status;
    }
  }

  const std::string connection_;
  std::unique_ptr<soci::session> session_;
  const std::string holder_;
  const std::string address_;
  bool is_lost_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<LeaderRow>> OpenPostgresLeaderRow(const std::string& connection, const std::string& holder,
                                                                 const std::string& address) {
  ESPALIER_ASSIGN_OR_RETURN(std::unique_ptr<soci::session> session, ConnectPostgres(connection));
  ESPALIER_RETURN_IF_ERROR(PreparePostgresSchema(*session, connection, false));
  return std::make_unique<PostgresLeaderRow>(connection, std::move(session), holder, address);
}

}  // namespace espalier
