#include "common/wire/job_file.h"

#include "tests/support/catch.h"

namespace espalier::testing {
namespace {

std::string ErrorOf(const std::string& text) {
  const auto spec = wire::ParseJobFile(text, "job.file");
  REQUIRE(spec.status().code() == absl::StatusCode::kInvalidArgument);
  return std::string(spec.status().message());
}

TEST_CASE("Job file: text format and JSON say the same", "[wire]") {
  const auto text = wire::ParseJobFile(R"(
    # a comment
    model_folder: "/models/tiny"
    target { share: 0.6 }
    phases { generations: 2 stages { survivors: 1 score_tokens: 1024 } }
    mode: RESTART
    seed: 18446744073709551615
  )", "job.textproto");
  const auto json = wire::ParseJobFile(R"({
    "model_folder": "/models/tiny",
    "target": {"share": 0.6},
    "phases": [{"generations": 2, "stages": [{"survivors": 1, "scoreTokens": "1024"}]}],
    "mode": "RESTART",
    "seed": "18446744073709551615"
  })", "job.json");
  REQUIRE_OK(text);
  REQUIRE_OK(json);
  CHECK(text->SerializeAsString() == json->SerializeAsString());
  CHECK(wire::ParseJobFile(wire::FormatJobFile(*text), "again")->SerializeAsString() == text->SerializeAsString());
}

TEST_CASE("Job file: an unknown field is refused with its line", "[wire]") {
  CHECK_THAT(ErrorOf("seed: 1\n\nofspring: 3\n"), Catch::StartsWith("job.file:3:") && Catch::Contains("ofspring"));
  CHECK_THAT(ErrorOf("target {\n  shares: 1\n}\n"), Catch::StartsWith("job.file:2:") && Catch::Contains("shares"));
  CHECK_THAT(ErrorOf("{\n  \"seed\": 1,\n  \"ofspring\": 3\n}"),
             Catch::StartsWith("job.file:3:") && Catch::Contains("'ofspring'"));
  CHECK_THAT(ErrorOf("{\n  \"phases\": [\n    {\"generations\": 1},\n    {\"generation\": 1}\n  ]\n}"),
             Catch::StartsWith("job.file:4:") && Catch::Contains("Phase has no field 'generation'"));
}

TEST_CASE("Job file: wrong values, repeated fields and broken syntax are refused with their line", "[wire]") {
  CHECK_THAT(ErrorOf("mode: RESTARTED"), Catch::StartsWith("job.file:1:"));
  CHECK_THAT(ErrorOf("seed: 1\nseed: 2"), Catch::StartsWith("job.file:2:"));
  CHECK_THAT(ErrorOf("seed: \"one\""), Catch::StartsWith("job.file:1:"));
  CHECK_THAT(ErrorOf("{\n\"seed\": 1,\n\"seed\": 2}"), Catch::StartsWith("job.file:3:") && Catch::Contains("twice"));
  CHECK_THAT(ErrorOf("{\n\"seed\":\n\"one\"}"), Catch::StartsWith("job.file:2:"));
  CHECK_THAT(ErrorOf("{\n\"seed\": 1,\n"), Catch::StartsWith("job.file:3:"));
  CHECK_THAT(ErrorOf("{\"mode\": \"RESTARTED\"}"), Catch::StartsWith("job.file:1:"));
}

}  // namespace
}  // namespace espalier::testing
