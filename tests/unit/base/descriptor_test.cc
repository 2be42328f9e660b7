#include "common/base/descriptor.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/base/files.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace espalier {
namespace {

Descriptor Null() { return Descriptor(::open("/dev/null", O_RDWR | O_CLOEXEC)); }
bool IsOpenInProcess(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST_CASE("Descriptor: what it holds is closed once, by the last owner", "[base]") {
  int first = -1;
  int second = -1;
  {
    Descriptor a = Null();
    first = a.get();
    Descriptor b = std::move(a);
    CHECK_FALSE(a.is_open());
    CHECK(b.get() == first);
    CHECK(IsOpenInProcess(first));
    a = Null();
    second = a.get();
    b = std::move(a);  // closes the first
    CHECK_FALSE(IsOpenInProcess(first));
    CHECK(b.get() == second);
  }
  CHECK_FALSE(IsOpenInProcess(second));
}

TEST_CASE("Descriptor: what could not be opened keeps its reason and closes nothing", "[base]") {
  const Descriptor missing(::open("/no/such/file", O_RDONLY | O_CLOEXEC));
  CHECK(absl::IsNotFound(ErrnoStatus("cannot open", "/no/such/file")));
  CHECK_FALSE(missing.is_open());
  CHECK(Descriptor().Close() == 0);
}

TEST_CASE("Descriptor: a close that fails is told", "[base]") {
  Descriptor file = Null();
  ::close(file.get());
  CHECK(file.Close() != 0);
  CHECK_FALSE(file.is_open());
}

TEST_CASE("WriteAll: everything is written, and a full device is called so", "[base]") {
  const testing::TempDir folder;
  const std::string path = folder / "file";
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  const std::string bytes(3 << 20, 'x');
  REQUIRE(WriteAll(file, bytes, path).ok());
  const auto read = ReadFile(path, 4 << 20);
  REQUIRE(read.ok());
  CHECK(*read == bytes);
  const Descriptor full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  CHECK(absl::IsResourceExhausted(WriteAll(full, "x", "/dev/full")));
}

}  // namespace
}  // namespace espalier
