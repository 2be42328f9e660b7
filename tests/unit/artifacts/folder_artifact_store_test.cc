#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

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

TEST_CASE("FolderArtifactStore: what was put is read back under its digest", "[artifacts]") {
  testing::TempDir temp;
  auto store = OpenStore(temp / "store");
  const std::string content = std::string("weights\0of a layer", 18);
  auto digest = store->Put(content);
  REQUIRE_OK(digest);
  CHECK(*digest == Sha256Hex(content));
  CHECK(store->Get(*digest).value() == content);
  CHECK(store->Size(*digest).value() == 18);
  CHECK(store->GetRange(*digest, 8, 4).value() == "of a");
  CHECK(store->GetRange(*digest, 14, 100).value() == "ayer");
  CHECK(absl::IsOutOfRange(store->GetRange(*digest, 19, 1).status()));
  CHECK(absl::IsOutOfRange(store->GetRange(*digest, -1, 1).status()));

  SECTION("the same content again, in pieces or from a file, is the same artifact") {
    REQUIRE_OK(WriteFileAtomically(temp / "source", content));
    CHECK(store->PutFile(temp / "source").value() == *digest);
    CHECK(store->PutPieces({std::string_view(content).substr(0, 5), std::string_view(content).substr(5)}).value() ==
          *digest);
    CHECK(FilesUnder(temp / "store") == 1);
    CHECK(fs::exists(temp / "source"));
  }
  SECTION("a file of several copy blocks is copied whole") {
    std::string large(3'000'001, 'x');
    large[2'999'999] = 'y';
    REQUIRE_OK(WriteFileAtomically(temp / "large", large));
    auto of_large = store->PutFile(temp / "large");
    REQUIRE_OK(of_large);
    CHECK(*of_large == Sha256Hex(large));
    CHECK(store->Get(*of_large).value() == large);
  }
  SECTION("removed, it is not found; removing again is fine") {
    REQUIRE_OK(store->Remove(*digest));
    CHECK(absl::IsNotFound(store->Get(*digest).status()));
    CHECK(absl::IsNotFound(store->Size(*digest).status()));
    REQUIRE_OK(store->Remove(*digest));
  }
  SECTION("another store on the same folder sees it") {
    CHECK(OpenStore(temp / "store")->Get(*digest).value() == content);
  }
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

TEST_CASE("FolderArtifactStore: many writers of the same and of other content leave only whole artifacts",
          "[artifacts]") {
  testing::TempDir temp;
  const std::string shared(200'000, 's');
  std::vector<std::thread> writers;
  std::vector<int> failures(8, 0);
  for (int writer = 0; writer < 8; ++writer) {
    writers.emplace_back([&, writer] {
      auto store = OpenFolderArtifactStore(temp.path());
      for (int round = 0; round < 10; ++round) {
        const bool stored = store.ok() && (*store)->Put(shared).ok() &&
                            (*store)->Put(std::to_string(writer) + "/" + std::to_string(round)).ok() &&
                            (*store)->SetName("bank/latest", std::string(1000, static_cast<char>('a' + writer))).ok();
        const bool read = stored && (*store)->Get(Sha256Hex(shared)).value_or("") == shared;
        const std::string name = (*store)->GetName("bank/latest").value_or("");
        failures[writer] += !read || name != std::string(1000, name.empty() ? ' ' : name[0]);
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  CHECK(failures == std::vector<int>(8, 0));
  CHECK(FilesUnder(temp / "sha256") == 81);
  CHECK(FilesUnder(temp / "tmp") == 0);
}

TEST_CASE("FolderArtifactStore: names are small mutable values", "[artifacts]") {
  testing::TempDir temp;
  auto store = OpenStore(temp.path());
  CHECK(absl::IsNotFound(store->GetName("bank/manifest").status()));
  REQUIRE_OK(store->SetName("bank/manifest", "first"));
  REQUIRE_OK(store->SetName("bank/manifest", "second"));
  CHECK(store->GetName("bank/manifest").value() == "second");
  REQUIRE_OK(store->RemoveName("bank/manifest"));
  REQUIRE_OK(store->RemoveName("bank/manifest"));
  CHECK(absl::IsNotFound(store->GetName("bank/manifest").status()));
  for (const char* name : {"", "..", "a/../b", "/a", "a/", "a//b", ".hidden", "a b", "a\nb", "x/.."}) {
    INFO(name);
    CHECK(absl::IsInvalidArgument(store->SetName(name, "x")));
    CHECK(absl::IsInvalidArgument(store->GetName(name).status()));
    CHECK(absl::IsInvalidArgument(store->RemoveName(name)));
  }
}

TEST_CASE("FolderArtifactStore: a digest that is none is refused before any path is made of it", "[artifacts]") {
  testing::TempDir temp;
  auto store = OpenStore(temp.path());
  for (const std::string& digest : {std::string(), std::string("../../etc/passwd"), std::string(64, 'G'),
                                    std::string(63, 'a'), std::string(64, 'A')}) {
    CHECK(absl::IsInvalidArgument(store->Get(digest).status()));
    CHECK(absl::IsInvalidArgument(store->Remove(digest)));
  }
  CHECK(absl::IsNotFound(store->Get(std::string(64, 'a')).status()));
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
