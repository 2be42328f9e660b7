// The part of grpcurl that docs/api.md uses, so that its sessions can be run where grpcurl is not packaged:
//
//   grpcurl -plaintext [-unix] [-H 'name: value'] [-d JSON] ADDRESS list [SERVICE] | describe SYMBOL | SERVICE/METHOD
//
// It knows nothing of the services but what reflection tells.
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/util/json_util.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "common/base/status_macros.h"
#include "tests/support/grpcurl/reflected_api.h"

namespace espalier::testing {
namespace {

using google::protobuf::Message;

struct Arguments {
  bool is_plain = false;
  bool is_unix = false;
  Metadata metadata;
  std::string data;
  std::vector<std::string> words;  // address, verb, symbol
};

absl::StatusOr<Arguments> Parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "-plaintext") {
      arguments.is_plain = true;
    } else if (word == "-unix") {
      arguments.is_unix = true;
    } else if ((word == "-d" || word == "-H") && i + 1 < argc) {
      const std::string value = argv[++i];
      if (word == "-d") {
        arguments.data = value;
      } else {
        const std::pair<std::string, std::string> header = absl::StrSplit(value, absl::MaxSplits(": ", 1));
        arguments.metadata.push_back(header);
      }
    } else if (word.starts_with("-")) {
      return absl::InvalidArgumentError(absl::StrCat("flag ", word, " is not among those that the documents use"));
    } else {
      arguments.words.push_back(word);
    }
  }
  if (!arguments.is_plain || arguments.words.size() < 2 || arguments.words.size() > 3)
    return absl::InvalidArgumentError("usage: grpcurl -plaintext [-unix] [-H HEADER] [-d JSON] ADDRESS VERB [SYMBOL]");
  return arguments;
}

absl::Status List(ReflectedApi* api, const std::string& service) {
  if (service.empty()) {
    ESPALIER_ASSIGN_OR_RETURN(const std::vector<std::string> names, api->Services());
    for (const std::string& name : names) std::cout << name << "\n";
    return absl::OkStatus();
  }
  ESPALIER_RETURN_IF_ERROR(api->Load(service));
  const auto* found = api->pool().FindServiceByName(service);
  if (found == nullptr) return absl::NotFoundError(absl::StrCat(service, " is no service"));
  for (int i = 0; i < found->method_count(); ++i) std::cout << found->method(i)->full_name() << "\n";
  return absl::OkStatus();
}

absl::Status Describe(ReflectedApi* api, const std::string& symbol) {
  ESPALIER_RETURN_IF_ERROR(api->Load(symbol));
  if (const auto* message = api->pool().FindMessageTypeByName(symbol)) {
    std::cout << symbol << " is a message:\n" << message->DebugString();
  } else if (const auto* service = api->pool().FindServiceByName(symbol)) {
    std::cout << symbol << " is a service:\n" << service->DebugString();
  } else if (const auto* values = api->pool().FindEnumTypeByName(symbol)) {
    std::cout << symbol << " is an enum:\n" << values->DebugString();
  } else {
    return absl::NotFoundError(absl::StrCat(symbol, " is neither message nor service nor enum"));
  }
  return absl::OkStatus();
}

absl::Status Print(const Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(message, &text, options);
  if (!status.ok()) return absl::InternalError(std::string(status.message()));
  std::cout << text << std::flush;
  return absl::OkStatus();
}

// One request, any number of answers, each printed as it comes.
absl::Status Exchange(const std::shared_ptr<grpc::Channel>& channel, const Arguments& arguments, const std::string& path,
                      const Message& request, Message* response) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  for (const auto& [key, value] : arguments.metadata) context.AddMetadata(key, value);
  grpc::CompletionQueue queue;
  void* tag = nullptr;
  bool is_done = false;
  const auto call = stub.PrepareCall(&context, path, &queue);
  const auto wait = [&] { return queue.Next(&tag, &is_done) && is_done; };
  const std::string bytes = request.SerializeAsString();
  const grpc::Slice slice(bytes);
  call->StartCall(nullptr);
  if (wait()) {
    call->WriteLast(grpc::ByteBuffer(&slice, 1), {}, nullptr);
    wait();
    for (grpc::ByteBuffer answer;;) {
      call->Read(&answer, nullptr);
      if (!wait()) break;
      grpc::ProtoBufferReader reader(&answer);
      if (!response->ParseFromZeroCopyStream(&reader)) return absl::DataLossError("an answer cannot be read");
      ESPALIER_RETURN_IF_ERROR(Print(*response));
    }
  }
  grpc::Status status;
  call->Finish(&status, nullptr);
  queue.Next(&tag, &is_done);
  if (status.ok()) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

absl::Status Call(ReflectedApi* api, const std::shared_ptr<grpc::Channel>& channel, const Arguments& arguments) {
  const std::pair<std::string, std::string> names = absl::StrSplit(arguments.words[1], absl::MaxSplits('/', 1));
  ESPALIER_RETURN_IF_ERROR(api->Load(names.first));
  const auto* method = api->pool().FindMethodByName(absl::StrCat(names.first, ".", names.second));
  if (method == nullptr) return absl::NotFoundError(absl::StrCat(arguments.words[1], " is no method"));
  if (method->client_streaming()) return absl::InvalidArgumentError("a method that takes a stream");
  google::protobuf::DynamicMessageFactory factory;
  const std::unique_ptr<Message> request(factory.GetPrototype(method->input_type())->New());
  const std::unique_ptr<Message> response(factory.GetPrototype(method->output_type())->New());
  if (!arguments.data.empty()) {
    const auto status = google::protobuf::util::JsonStringToMessage(arguments.data, request.get());
    if (!status.ok()) return absl::InvalidArgumentError(absl::StrCat("-d: ", std::string(status.message())));
  }
  return Exchange(channel, arguments, absl::StrCat("/", arguments.words[1]), *request, response.get());
}

absl::Status Run(int argc, char** argv) {
  ESPALIER_ASSIGN_OR_RETURN(const Arguments arguments, Parse(argc, argv));
  const std::string& address = arguments.words[0];
  const auto channel = grpc::CreateChannel(arguments.is_unix ? "unix:" + address : address, grpc::InsecureChannelCredentials());
  ReflectedApi api(channel, arguments.metadata);
  const std::string& verb = arguments.words[1];
  const std::string symbol = arguments.words.size() > 2 ? arguments.words[2] : "";
  if (verb == "list") return List(&api, symbol);
  if (verb == "describe") return Describe(&api, symbol);
  return Call(&api, channel, arguments);
}

}  // namespace
}  // namespace espalier::testing

int main(int argc, char** argv) {
  const absl::Status status = espalier::testing::Run(argc, argv);
  if (status.ok()) return 0;
  std::cerr << "ERROR:\n  Code: " << absl::StatusCodeToString(status.code()) << "\n  Message: " << status.message() << "\n";
  return 1;
}
