// Hidden: s3_test.py starts a server of the protocol, sets ESPALIER_TEST_S3 and the AWS variables, and runs these.
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/artifacts/s3_artifact_store.h"
#include "tests/contract/artifact_store_contract.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

namespace espalier::testing {
namespace {

constexpr char kSection[] = "s3";

// Another prefix each time, so that no test meets what another left.
S3Location NewLocation() {
  static int number = 0;
  const char* bucket = std::getenv("ESPALIER_TEST_S3");
  REQUIRE(bucket != nullptr);
  const auto location = ParseS3Location(absl::StrCat("s3://", bucket, "/", kSection, "/", ++number), "");
  REQUIRE_OK(location);
  return *location;
}

TEST_CASE("S3ArtifactStore: keeps the contract", "[.s3]") {
  TempDir scratch;
  const S3Location location = NewLocation();
  S3StoreOptions options;
  options.part_bytes = 5 << 20;  // the least that the protocol allows: large content goes up in three parts
  ArtifactStoreUnderTest under_test;
  under_test.scratch = scratch.path();
  under_test.open = [&] {
    auto store = OpenS3ArtifactStore(location, options);
    REQUIRE_OK(store);
    return *std::move(store);
  };
  under_test.damage = [&](const std::string& digest) {
    S3Client client(location, {});
    S3Request request;
    request.key = absl::StrCat("sha256/", digest.substr(0, 2), "/", digest);
    auto response = client.Send(request);
    REQUIRE_OK(response);
    response->body[5'000] ^= 1;
    S3Request put = request;
    put.method = "PUT";
    put.body = {response->body};
    REQUIRE(client.Send(put)->code == 200);
  };
  RunArtifactStoreContract(under_test);
}

TEST_CASE("S3ArtifactStore: more than a page of artifacts is listed whole", "[.s3]") {
  auto store = OpenS3ArtifactStore(NewLocation(), {});
  REQUIRE_OK(store);
  for (int i = 0; i < 1'010; ++i) REQUIRE_OK((*store)->Put(std::to_string(i)));
  CHECK((*store)->List().value().size() == 1'010);
}

TEST_CASE("S3ArtifactStore: an artifact that is put again is young again", "[.s3]") {
  auto store = OpenS3ArtifactStore(NewLocation(), {});
  REQUIRE_OK(store);
  const std::string digest = (*store)->Put("content").value();
  const auto put_time = [&] { return (*store)->List().value()[0].put_time; };
  const absl::Time first = put_time();
  absl::SleepFor(absl::Milliseconds(2'100));  // the service's clock has whole seconds
  REQUIRE_OK((*store)->Put("content"));
  CHECK_FALSE((*store)->RemoveUnused(digest, first).value());
  const absl::Time second = put_time();
  absl::SleepFor(absl::Milliseconds(2'100));
  REQUIRE_OK((*store)->Keep(digest));
  CHECK_FALSE((*store)->RemoveUnused(digest, second).value());
  CHECK((*store)->Get(digest).value() == "content");
  CHECK((*store)->RemoveUnused(digest, put_time()).value());
}

TEST_CASE("S3ArtifactStore: wrong keys are refused, and no message has them", "[.s3]") {
  const S3Location location = NewLocation();
  const std::string real = std::getenv("AWS_SECRET_ACCESS_KEY");
  ::setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret-0123456789", 1);
  const auto refused = OpenS3ArtifactStore(location, {});
  ::setenv("AWS_SECRET_ACCESS_KEY", real.c_str(), 1);
  REQUIRE(absl::IsPermissionDenied(refused.status()));
  CHECK_THAT(std::string(refused.status().message()), !Catch::Contains("wrong-secret") && !Catch::Contains(real));
  S3Location none = location;
  none.bucket = "no-such-bucket";
  CHECK(absl::IsNotFound(OpenS3ArtifactStore(none, {}).status()));
}

}  // namespace
}  // namespace espalier::testing
