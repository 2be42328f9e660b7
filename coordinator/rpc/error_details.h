// The rich form of an error: google.rpc.Status with a google.rpc.BadRequest, as it travels in the trailer
// grpc-status-details-bin. Any client library of gRPC reads it.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace espalier {

// The path in front of a message "spec.target.share: 1.5 is not ..."; empty when the message does not begin with one.
std::string FieldOf(absl::string_view message);

// Serialized details with one field violation for a kInvalidArgument whose message names the field; else, and for one
// longer than 1 KiB, empty.
std::string ErrorDetails(const absl::Status& status);

}  // namespace espalier
