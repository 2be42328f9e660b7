#include "tests/support/grpcurl/reflected_api.h"

#include <google/protobuf/descriptor.pb.h>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace espalier::testing {

namespace reflection = grpc::reflection::v1alpha;

ReflectedApi::ReflectedApi(std::shared_ptr<grpc::Channel> channel, Metadata metadata)
    : channel_(std::move(channel)), metadata_(std::move(metadata)) {}

absl::StatusOr<ReflectedApi::Response> ReflectedApi::Ask(const reflection::ServerReflectionRequest& request) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
  for (const auto& [key, value] : metadata_) context.AddMetadata(key, value);
  const auto stub = reflection::ServerReflection::NewStub(channel_);
  const auto stream = stub->ServerReflectionInfo(&context);
  Response response;
  const bool is_answered = stream->Write(request) && stream->Read(&response);
  stream->WritesDone();
  const grpc::Status status = stream->Finish();
  if (!is_answered || !status.ok()) {
    return absl::UnavailableError(absl::StrCat("no reflection: ", static_cast<int>(status.error_code()), " ", status.error_message()));
  }
  if (response.has_error_response()) return absl::NotFoundError(response.error_response().error_message());
  return response;
}

absl::StatusOr<std::vector<std::string>> ReflectedApi::Services() {
  reflection::ServerReflectionRequest request;
  request.set_list_services("*");
  ESPALIER_ASSIGN_OR_RETURN(const Response response, Ask(request));
  std::vector<std::string> names;
  for (const auto& service : response.list_services_response().service()) names.push_back(service.name());
  return names;
}

absl::Status ReflectedApi::Load(const std::string& symbol) {
  reflection::ServerReflectionRequest request;
  request.set_file_containing_symbol(symbol);
  ESPALIER_ASSIGN_OR_RETURN(const Response response, Ask(request));
  return AddFiles(response);
}

// Imports first: a pool takes a file only when it knows what the file imports.
absl::Status ReflectedApi::AddFiles(const Response& response) {
  for (const std::string& bytes : response.file_descriptor_response().file_descriptor_proto()) {
    google::protobuf::FileDescriptorProto file;
    if (!file.ParseFromString(bytes)) return absl::DataLossError("the server sent what is no file descriptor");
    if (!known_.insert(file.name()).second) continue;
    for (const std::string& import : file.dependency()) {
      if (known_.contains(import)) continue;
      reflection::ServerReflectionRequest request;
      request.set_file_by_filename(import);
      ESPALIER_ASSIGN_OR_RETURN(const Response imported, Ask(request));
      ESPALIER_RETURN_IF_ERROR(AddFiles(imported));
    }
    if (pool_.FindFileByName(file.name()) == nullptr && pool_.BuildFile(file) == nullptr)
      return absl::DataLossError(absl::StrCat("the descriptor of ", file.name(), " does not fit the others"));
  }
  return absl::OkStatus();
}

}  // namespace espalier::testing
