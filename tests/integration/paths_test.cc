// Where the files of a job may lie, asked over the wire.
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "tests/integration/remote.h"
#include "tests/integration/service.h"

namespace espalier::testing {
namespace {

namespace fs = std::filesystem;

TEST_CASE("Roots: a job may name files beneath them only, and the error names the field alone", "[integration]") {
  const TempDir folder;
  fs::create_directories(folder / "allowed");
  fs::create_directories(folder / "secret");
  fs::copy(ModelFolder(), folder / "allowed/model", fs::copy_options::recursive);
  fs::copy(TokensPath(), folder / "allowed/tokens.npy");
  std::ofstream(folder / "secret/file") << "canary-content";
  fs::create_symlink("../secret/file", folder / "allowed/escape");
  fs::create_symlink(folder / "secret", folder / "allowed/escape-folder");
  const auto roots = PathRoots::Open({folder / "allowed"});
  REQUIRE_OK(roots);
  ServerOptions options;
  options.roots = *roots;
  const Service service("", std::nullopt, options);
  const Client client(service.address(), "");
  v1::CreateJobRequest request;
  *request.mutable_spec() = ShortSpec();
  request.set_validate_only(true);
  const auto create = [&](const std::string& model, const std::string& tokens, const std::string& evaluation) {
    request.mutable_spec()->set_model_folder(model);
    request.mutable_spec()->set_tokens_path(tokens);
    request.mutable_spec()->set_evaluation_path(evaluation);
    v1::Job job;
    const grpc::Status status = client.Create(request, &job);
    CHECK_THAT(status.error_message(), !Catch::Contains("canary") && !Catch::Contains("secret/file"));
    return status;
  };
  const std::string model = folder / "allowed/model";
  const std::string tokens = folder / "allowed/tokens.npy";
  const grpc::Status good = create(model, tokens, "");
  INFO(good.error_message());
  CHECK(good.ok());

  const auto refuses = [](const grpc::Status& status, grpc::StatusCode code, const std::string& field) {
    INFO(status.error_message());
    CHECK(status.error_code() == code);
    CHECK_THAT(status.error_message(), Catch::StartsWith(field + ":"));
  };
  using grpc::StatusCode;
  refuses(create(ModelFolder(), tokens, ""), StatusCode::PERMISSION_DENIED, "spec.model_folder");
  refuses(create(model, TokensPath(), ""), StatusCode::PERMISSION_DENIED, "spec.tokens_path");
  refuses(create(model, "/etc/passwd", ""), StatusCode::PERMISSION_DENIED, "spec.tokens_path");
  refuses(create(model, tokens, folder / "allowed/escape"), StatusCode::PERMISSION_DENIED, "spec.evaluation_path");
  refuses(create(folder / "allowed/escape-folder", tokens, ""), StatusCode::PERMISSION_DENIED, "spec.model_folder");
  refuses(create(folder / "allowed", tokens, ""), StatusCode::PERMISSION_DENIED, "spec.model_folder");  // links in it
  refuses(create(model, folder / "allowed/none", ""), StatusCode::NOT_FOUND, "spec.tokens_path");
  request.mutable_spec()->set_tokens_path(folder / "allowed/../allowed/tokens.npy");
  v1::Job job;
  refuses(client.Create(request, &job), StatusCode::INVALID_ARGUMENT, "spec.tokens_path");
  // A pipe must not hold up the thread that reads it.
  REQUIRE(::mkfifo((folder / "allowed/pipe").c_str(), 0600) == 0);
  refuses(create(model, folder / "allowed/pipe", ""), StatusCode::INVALID_ARGUMENT, "spec.tokens_path");
}

}  // namespace
}  // namespace espalier::testing
