#include <sys/stat.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "common/base/sha256.h"
#include "common/security/secret_file.h"
#include "common/security/token_authority.h"
#include "common/security/token_table.h"
#include "tests/support/catch.h"
#include "tests/support/driven_clock.h"
#include "tests/support/temp_dir.h"

namespace espalier::testing {
namespace {

constexpr char kAnna[] = "anna-token-0123456789";
constexpr char kWorker[] = "worker-token-0123456789";
constexpr char kReader[] = "reader-token-0123456789";

std::string Message(const absl::Status& status) { return std::string(status.message()); }

void WriteSecret(const std::string& path, const std::string& text, mode_t mode = 0600) {
  REQUIRE_OK(WriteFileAtomically(path, text));
  REQUIRE(::chmod(path.c_str(), mode) == 0);
}

TEST_CASE("TokenTable: lines give roles by token or by its digest, and one token may have several", "[security]") {
  const std::string text = absl::StrCat("# who may do what\n\nsubmit ", kAnna, " anna\n  work\tsha256:", Sha256Hex(kWorker),
                                        "  gpu-7\r\nread ", kReader, " grafana\nwork ", kReader, " grafana\n");
  const auto table = TokenTable::Parse(text, "tokens");
  REQUIRE_OK(table);
  CHECK(table->size() == 3);
  REQUIRE(table->Find(kAnna) != nullptr);
  CHECK(table->Find(kAnna)->name == "anna");
  CHECK(table->Find(kAnna)->roles.ToText() == "read, submit");  // who submits may read
  REQUIRE(table->Find(kWorker) != nullptr);
  CHECK(table->Find(kWorker)->roles.ToText() == "work");
  CHECK(table->Find(kReader)->roles.ToText() == "read, work");
  CHECK(table->Find("") == nullptr);
  CHECK(table->Find(std::string(kAnna) + "0") == nullptr);
  CHECK(table->Find(Sha256Hex(kWorker)) == nullptr);  // the digest is no token
}

TEST_CASE("TokenTable: a wrong line is named by its number, never by its content", "[security]") {
  const std::string canary = "canary-secret-0123456789";
  for (const std::string& line : {"admin " + canary + " anna", canary + " read anna", "read " + canary,
                                  "read " + canary + " anna more", std::string("read short anna"),
                                  "read sha256:" + canary + " anna", "read " + canary + " an/na", std::string("")}) {
    CAPTURE(line);
    const auto table = TokenTable::Parse("# first\n" + line + "\n", "tokens");
    REQUIRE_FALSE(table.ok());
    CHECK_THAT(Message(table.status()), Catch::Contains("'tokens'") && !Catch::Contains("canary"));
    if (!line.empty()) CHECK_THAT(Message(table.status()), Catch::Contains("line 2"));
  }
  CHECK_FALSE(TokenTable::Parse(absl::StrCat("read ", kAnna, " a\nwork ", kAnna, " b\n"), "tokens").ok());
}

TEST_CASE("TokenAuthority: no token, a wrong one and one without the role are told apart", "[security]") {
  const TempDir folder;
  WriteSecret(folder / "tokens", absl::StrCat("read ", kReader, " grafana\n"));
  const DrivenClock clock;
  const auto authority = TokenAuthority::FromFile(folder / "tokens", TokenAuthority::Format::kTable, &clock,
                                                  absl::Seconds(1), nullptr);
  REQUIRE_OK(authority);
  for (const std::string& header :
       {std::string(), std::string("Bearer "), std::string(kReader), absl::StrCat("Basic ", kReader),
        absl::StrCat("bearer ", kReader), absl::StrCat("Bearer  ", kReader), absl::StrCat("Bearer ", kReader, " ")}) {
    CAPTURE(header);
    const absl::Status status = (*authority)->Check(header, Role::kRead).status();
    CHECK(status.code() == absl::StatusCode::kUnauthenticated);
    CHECK_THAT(Message(status), !Catch::Contains("0123456789"));
  }
  const std::string right = absl::StrCat("Bearer ", kReader);
  REQUIRE_OK((*authority)->Check(right, Role::kRead));
  const absl::Status lacking = (*authority)->Check(right, Role::kWork).status();
  CHECK(lacking.code() == absl::StatusCode::kPermissionDenied);
  CHECK_THAT(Message(lacking), Catch::Contains("grafana") && Catch::Contains("work") && !Catch::Contains(kReader));
}

TEST_CASE("TokenAuthority: a changed file counts at the next look, a broken one changes nothing", "[security]") {
  const TempDir folder;
  const std::string path = folder / "tokens";
  WriteSecret(path, absl::StrCat("submit ", kAnna, " anna\n"));
  DrivenClock clock;
  std::vector<std::string> errors;
  const auto authority =
      TokenAuthority::FromFile(path, TokenAuthority::Format::kTable, &clock, absl::Seconds(1),
                               [&](const std::string& what, bool is_error) { if (is_error) errors.push_back(what); });
  REQUIRE_OK(authority);
  const auto passes = [&](const char* token) {
    clock.Pass(absl::Seconds(2));
    return (*authority)->Check(absl::StrCat("Bearer ", token), Role::kRead).ok();
  };
  CHECK(passes(kAnna));
  WriteSecret(path, absl::StrCat("submit ", kAnna, " anna\nread ", kReader, " grafana\n"));
  CHECK((*authority)->Check(absl::StrCat("Bearer ", kReader), Role::kRead).status().code() ==
        absl::StatusCode::kUnauthenticated);  // not looked at yet
  CHECK(passes(kReader));
  CHECK(passes(kAnna));
  WriteSecret(path, absl::StrCat("read ", kReader, " grafana\n"));
  CHECK_FALSE(passes(kAnna));  // revoked
  CHECK(passes(kReader));

  WriteSecret(path, "rubbish\n");
  CHECK(passes(kReader));
  CHECK(errors.size() == 1);
  REQUIRE(::unlink(path.c_str()) == 0);
  CHECK(passes(kReader));
  WriteSecret(path, absl::StrCat("read ", kAnna, " anna\n"), 0644);
  CHECK(passes(kReader));
  CHECK_FALSE(passes(kAnna));
  CHECK(errors.size() == 3);
  REQUIRE(::chmod(path.c_str(), 0600) == 0);
  CHECK(passes(kAnna));
  CHECK_FALSE(passes(kReader));
}

TEST_CASE("Secret files: only what others cannot read or change is read", "[security]") {
  const TempDir folder;
  const std::string path = folder / "token";
  for (const mode_t mode : {0644, 0640, 0604, 0660, 0700, 0601}) {
    CAPTURE(mode);
    WriteSecret(path, "a-token-of-some-length\n", mode);
    const absl::Status status = ReadToken(path).status();
    CHECK(status.code() == absl::StatusCode::kPermissionDenied);
    CHECK_THAT(Message(status), Catch::Contains("chmod 600") && Catch::Contains(path) && !Catch::Contains("a-token"));
  }
  for (const mode_t mode : {0600, 0400}) {
    WriteSecret(path, "a-token-of-some-length\n", mode);
    REQUIRE_OK(ReadToken(path));
    CHECK(*ReadToken(path) == "a-token-of-some-length");
  }
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK(ReadToken(folder / "pipe").status().code() == absl::StatusCode::kInvalidArgument);
  CHECK(ReadToken(folder / "none").status().code() == absl::StatusCode::kNotFound);
  WriteSecret(path, "short\n");
  CHECK_THAT(Message(ReadToken(path).status()), Catch::Contains("shorter") && !Catch::Contains("'short'"));
  WriteSecret(path, "read a-token-of-some-length anna\n");
  CHECK_THAT(Message(ReadToken(path).status()), Catch::Contains("more than one"));
}

TEST_CASE("Secret files: a token is made once, for its owner alone", "[security]") {
  const TempDir folder;
  const auto made = ReadOrMakeToken(folder / "token");
  REQUIRE_OK(made);
  CHECK(made->size() == 64);
  struct stat info;
  REQUIRE(::stat((folder / "token").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0600);
  CHECK(*ReadOrMakeToken(folder / "token") == *made);
  CHECK(*ReadOrMakeToken(folder / "other") != *made);
}

TEST_CASE("Secret files: a new folder is its owner's alone, one that others can look into is told", "[security]") {
  const TempDir folder;
  const auto made = CreatePrivateFolder(folder / "a/b/");
  REQUIRE_OK(made);
  CHECK_FALSE(*made);
  struct stat info;
  REQUIRE(::stat((folder / "a/b").c_str(), &info) == 0);
  CHECK((info.st_mode & 0777) == 0700);
  CHECK_FALSE(*CreatePrivateFolder(folder / "a/b"));
  REQUIRE(::chmod((folder / "a/b").c_str(), 0750) == 0);
  CHECK(*CreatePrivateFolder(folder / "a/b"));
  WriteSecret(folder / "file", "x");
  CHECK(CreatePrivateFolder(folder / "file").status().code() == absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace espalier::testing
