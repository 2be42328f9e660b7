// A PostgreSQL server of the test's own (tests/support/postgres.sh). One for each test program, started when first asked
// for; every test makes a database of its own in it.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "tests/support/paths.h"
#include "tests/support/temp_dir.h"

namespace espalier::testing {

class PostgresServer {
 public:
  static PostgresServer& Shared() {
    static PostgresServer server;
    return server;
  }
  ~PostgresServer() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGINT);  // fast shutdown
    ::waitpid(pid_, nullptr, 0);
  }
  PostgresServer(const PostgresServer&) = delete;
  PostgresServer& operator=(const PostgresServer&) = delete;

  bool is_running() const { return is_ready_; }
  std::string folder() const { return folder_.path() + "/data/socket"; }

  // Connection string of a new, empty database.
  std::string NewDatabase() {
    const std::string name = "test" + std::to_string(++num_databases_);
    Execute("postgres", "CREATE DATABASE " + name);
    return ConnectionTo(name);
  }
  std::string ConnectionTo(const std::string& database) const {
    return "host=" + folder() + " user=espalier dbname=" + database;
  }
  // By psql. The exit code.
  int Execute(const std::string& database, const std::string& sql) const {
    return std::system(("psql -q -X -v ON_ERROR_STOP=1 -h '" + folder() + "' -U espalier " + database + " -c \"" + sql +
                        "\" > /dev/null 2>&1")
                           .c_str());
  }
  int ExecuteFile(const std::string& database, const std::string& path) const {
    return std::system(("psql -q -X -v ON_ERROR_STOP=1 -h '" + folder() + "' -U espalier " + database + " -f '" + path +
                        "' > /dev/null 2>&1")
                           .c_str());
  }

 private:
  PostgresServer() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return;
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    std::string script = SourcePath("tests/support/postgres.sh");
    std::string folder = folder_.path();
    char* arguments[] = {script.data(), folder.data(), nullptr};
    const int error = ::posix_spawn(&pid_, script.c_str(), &actions, nullptr, arguments, environ);
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    char line[8] = {};
    is_ready_ = error == 0 && ::read(ends[0], line, sizeof(line)) > 0 && std::string(line).starts_with("ready");
    ::close(ends[0]);
  }

  TempDir folder_;
  pid_t pid_ = -1;
  bool is_ready_ = false;
  int num_databases_ = 0;
};

// In front of a test: says so and ends it where there is no server.
#define ESPALIER_NEEDS_POSTGRES()                                                              \
  if (!::espalier::testing::PostgresServer::Shared().is_running()) {                           \
    WARN("SKIPPED: PostgreSQL's server (Debian: postgresql) is not installed or did not start"); \
    return;                                                                                    \
  }

}  // namespace espalier::testing
