#include "common/security/tls_files.h"

#include <sys/stat.h>

#include "absl/time/clock.h"
#include "common/base/files.h"
#include "tests/support/catch.h"
#include "tests/support/certificates.h"
#include "tests/support/temp_dir.h"

namespace espalier::testing {
namespace {

std::string Refusal(const TlsFiles& files) {
  const absl::Status status = CheckTlsFiles(files, absl::Now());
  CHECK_FALSE(status.ok());
  CHECK_THAT(std::string(status.message()), !Catch::Contains("BEGIN"));
  return std::string(status.message());
}

TEST_CASE("TLS files: wrong ones are named before anything listens", "[security]") {
  const TempDir folder;
  const CertificateAuthority ca("test authority");
  ca.WriteTo(folder / "ca.pem");
  ca.Issue({}, folder / "a.pem", folder / "a.key");
  ca.Issue({}, folder / "b.pem", folder / "b.key");
  const TlsFiles good{folder / "ca.pem", folder / "a.pem", folder / "a.key"};
  REQUIRE_OK(CheckTlsFiles(good, absl::Now()));
  REQUIRE_OK(CheckTlsFiles({folder / "ca.pem", "", ""}, absl::Now()));
  REQUIRE_OK(ExpiryOf(folder / "a.pem"));
  CHECK(*ExpiryOf(folder / "a.pem") > absl::Now() + absl::Hours(23));

  CHECK_THAT(Refusal({"", folder / "a.pem", ""}), Catch::Contains("both or neither"));
  CHECK_THAT(Refusal({"", folder / "a.pem", folder / "b.key"}), Catch::Contains("does not belong"));
  CHECK_THAT(Refusal({"", folder / "none.pem", folder / "a.key"}), Catch::Contains("none.pem"));
  CHECK_THAT(Refusal({"", folder / "a.key", folder / "a.key"}), Catch::Contains("no PEM certificate"));
  CHECK_THAT(Refusal({folder / "a.key", "", ""}), Catch::Contains("no PEM certificate"));
  CHECK_THAT(Refusal({"", folder / "a.pem", folder / "a.pem"}), Catch::Contains("a.pem"));
  ca.Issue({.begins = -absl::Hours(48), .ends = -absl::Hours(1)}, folder / "old.pem", folder / "old.key");
  CHECK_THAT(Refusal({"", folder / "old.pem", folder / "old.key"}), Catch::Contains("ended at"));
  ca.Issue({.begins = absl::Hours(1)}, folder / "new.pem", folder / "new.key");
  CHECK_THAT(Refusal({"", folder / "new.pem", folder / "new.key"}), Catch::Contains("begins at"));
  REQUIRE(::chmod((folder / "a.key").c_str(), 0644) == 0);
  CHECK_THAT(Refusal(good), Catch::Contains("0644") && Catch::Contains("chmod 600"));
}

}  // namespace
}  // namespace espalier::testing
