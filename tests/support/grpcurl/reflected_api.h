// What a server tells of itself through reflection: a client that has never seen our .proto files.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include <google/protobuf/descriptor.h>
#include <grpcpp/grpcpp.h>

#include "absl/status/statusor.h"
#include "reflection.grpc.pb.h"

namespace espalier::testing {

using Metadata = std::vector<std::pair<std::string, std::string>>;

class ReflectedApi {
 public:
  ReflectedApi(std::shared_ptr<grpc::Channel> channel, Metadata metadata);

  absl::StatusOr<std::vector<std::string>> Services();
  // Fetches the file that declares `symbol` and what it imports. kNotFound says what the server answered.
  absl::Status Load(const std::string& symbol);
  const google::protobuf::DescriptorPool& pool() const { return pool_; }

 private:
  using Response = grpc::reflection::v1alpha::ServerReflectionResponse;
  absl::StatusOr<Response> Ask(const grpc::reflection::v1alpha::ServerReflectionRequest& request);
  absl::Status AddFiles(const Response& response);

  std::shared_ptr<grpc::Channel> channel_;
  Metadata metadata_;
  google::protobuf::DescriptorPool pool_;
  std::set<std::string> known_;
};

}  // namespace espalier::testing
