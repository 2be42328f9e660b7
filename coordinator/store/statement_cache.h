// Statements that are parsed once and run many times: parsing takes SQLite longer than what most of ours do.
#pragma once

#include <soci/soci.h>

#include <memory>
#include <string>
#include <unordered_map>

namespace espalier {

class StatementCache {
 public:
  explicit StatementCache(soci::session& session) : session_(session) {}
  StatementCache(const StatementCache&) = delete;
  StatementCache& operator=(const StatementCache&) = delete;

  // Runs a statement that reads at most one row, with soci::use and soci::into as `exchanges`. Whether there was a row;
  // false for a statement that reads nothing. Throws soci::soci_error.
  template <typename... Exchanges>
  bool Run(const std::string& sql, const Exchanges&... exchanges) {
    soci::statement& statement = Prepared(sql);
    const Bound bound(statement);
    (statement.exchange(exchanges), ...);
    statement.define_and_bind();
    const bool has_row = statement.execute(true);
    // To its end: an open one would hold on to what the database looked like then.
    if (has_row) {
      while (statement.fetch()) {
      }
    }
    return has_row;
  }

  // Before the session's connection is made anew: statements belong to the old one.
  void Clear() { statements_.clear(); }

 private:
  // What is bound belongs to one run.
  class Bound {
   public:
    explicit Bound(soci::statement& statement) : statement_(statement) {}
    ~Bound() { statement_.bind_clean_up(); }
    Bound(const Bound&) = delete;
    Bound& operator=(const Bound&) = delete;

   private:
    soci::statement& statement_;
  };

  soci::statement& Prepared(const std::string& sql) {
    const auto found = statements_.find(sql);
    if (found != statements_.end()) return *found->second;
    auto statement = std::make_unique<soci::statement>(session_);
    statement->alloc();
    statement->prepare(sql);
    return *(statements_[sql] = std::move(statement));
  }

  soci::session& session_;
  std::unordered_map<std::string, std::unique_ptr<soci::statement>> statements_;
};

}  // namespace espalier
