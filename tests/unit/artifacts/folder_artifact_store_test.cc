#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "common/artifacts/artifact_store.h"
#include "common/base/files.h"
#include "common/base/sha256.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace espalier {
namespace {

namespace fs = std::filesystem;

std::string PathOf(const std::string& folder, const std::string& digest) {
  return folder + "/sha256/" + digest.substr(0, 2) + "/" + digest;
}

int FilesUnder(const std::string& folder) {
  int count = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) count += entry.is_regular_file();
  return count;
}

std::unique_ptr<ArtifactStore> OpenStore(const std::string& folder) {
  auto store = OpenFolderArtifactStore(folder);
  REQUIRE_OK(store);
  return *std::move(store);
}

void FlipByte(const std::string& path, int64_t position) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(position);
  const char byte = static_cast<char>(file.get());
  file.seekp(position);
  file.put(static_cast<char>(byte ^ 1));
}

TEST_CASE("FolderArtifactStore: a flipped byte is data loss, the file is moved aside and can be written again",
          "[artifacts]") {
  testing::TempDir temp;
  auto store = OpenStore(temp.path());
  const std::string content(10'000, 'w');
  const std::string digest = store->Put(content).value();
  FlipByte(PathOf(temp.path(), digest), 5'000);

  SECTION("found by a reader") {
    const absl::Status status = store->Get(digest).status();
    CHECK(absl::IsDataLoss(status));
    CHECK(status.message().find(digest) != absl::string_view::npos);
    CHECK(absl::IsNotFound(store->Get(digest).status()));
    CHECK(fs::exists(temp / "damaged/" + digest));
    REQUIRE_OK(store->Put(content));
    CHECK(store->Get(digest).value() == content);
  }
  SECTION("found by a writer, who replaces it") {
    REQUIRE_OK(store->Put(content));
    CHECK(store->Get(digest).value() == content);
  }
  SECTION("a file cut short is data loss too") {
    fs::resize_file(PathOf(temp.path(), digest), 100);
    CHECK(absl::IsDataLoss(store->Get(digest).status()));
  }
}

void MakeOlder(const std::string& path, absl::Duration by) {
  fs::last_write_time(path, fs::last_write_time(path) - absl::ToChronoNanoseconds(by));
}

TEST_CASE("FolderArtifactStore: an artifact is as old as its last Put", "[artifacts]") {
  testing::TempDir temp;
  auto store = OpenStore(temp.path());
  const std::string digest = store->Put("content").value();
  const std::string path = PathOf(temp.path(), digest);
  MakeOlder(path, absl::Hours(30));
  CHECK(absl::AbsDuration(store->List().value()[0].age - absl::Hours(30)) < absl::Minutes(1));

  const absl::Time put_time = store->List().value()[0].put_time;
  SECTION("not put again, it is removed") {
    CHECK_FALSE(store->RemoveUnused(digest, put_time - absl::Seconds(1)).value());
    CHECK(store->RemoveUnused(digest, put_time).value());
    CHECK_FALSE(fs::exists(path));
  }
  SECTION("kept, it is young") {
    REQUIRE_OK(store->Keep(digest));
    CHECK(store->List().value()[0].age < absl::Minutes(1));
    CHECK_FALSE(store->RemoveUnused(digest, put_time).value());
    CHECK(store->Get(digest).value() == "content");
  }
  SECTION("put again, it is young, and its content was not written anew") {
    const auto node_of = [&] {
      struct stat info{};
      REQUIRE(::stat(path.c_str(), &info) == 0);
      return info.st_ino;
    };
    const auto before = node_of();
    CHECK(store->Put("content").value() == digest);
    CHECK(node_of() == before);
    CHECK_FALSE(store->RemoveUnused(digest, put_time).value());
    CHECK(store->Get(digest).value() == "content");
  }
  CHECK(FilesUnder(temp / "tmp") == 0);
}

TEST_CASE("FolderArtifactStore: files of another process with our number are nobody's obstacle", "[artifacts]") {
  testing::TempDir temp;
  auto store = OpenStore(temp.path());
  // As in containers, where every process has number 1: what another machine writes right now.
  for (int i = 0; i < 50; ++i) {
    std::ofstream(temp / "tmp/put.tmp-" + std::to_string(::getpid()) + "-" + std::to_string(i)) << "another's";
  }
  const auto digest = store->Put("content");
  REQUIRE_OK(digest);
  CHECK(store->Get(*digest).value() == "content");
  CHECK(FilesUnder(temp / "tmp") == 50);
}

// Runs the body in a child process, whose limits and mounts are its own; its exit status.
template <typename Body>
int InChild(const Body& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

// 0: refused as it should be and nothing left.
int PutTooMuch(const std::string& folder) {
  auto store = OpenFolderArtifactStore(folder);
  if (!store.ok()) return 10;
  const absl::StatusOr<std::string> small = (*store)->Put("small");
  if (!small.ok()) return 11;
  const absl::Status status = (*store)->Put(std::string(4'000'000, 'f')).status();
  if (!absl::IsResourceExhausted(status)) return 12;
  if (FilesUnder(folder) != 1) return 13;
  return (*store)->Get(*small).value_or("") == "small" ? 0 : 14;
}

TEST_CASE("FolderArtifactStore: a full disk is resource exhaustion and leaves nothing behind", "[artifacts]") {
  testing::TempDir temp;
  SECTION("a limit on the size of files") {
    CHECK(InChild([&] {
            ::signal(SIGXFSZ, SIG_IGN);
            const rlimit limit{1'000'000, 1'000'000};
            if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return 1;
            return PutTooMuch(temp.path());
          }) == 0);
  }
  SECTION("a small tmpfs") {
    const int result = InChild([&] {
      if (::unshare(::geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) != 0) return 77;
      if (::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return 77;
      if (::mount("none", temp.path().c_str(), "tmpfs", 0, "size=1m") != 0) return 77;
      return PutTooMuch(temp.path());
    });
    if (result == 77) {
      WARN("no tmpfs can be mounted here; only the limit on the size of files was tried");
    } else {
      CHECK(result == 0);
    }
  }
}

}  // namespace
}  // namespace espalier
