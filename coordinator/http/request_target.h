// The target of a request: "/jobs?page=2".
#pragma once

#include <map>
#include <optional>
#include <string>

namespace espalier {

struct RequestTarget {
  std::string path;                          // decoded
  std::map<std::string, std::string> query;  // decoded; the last of equal names
};

// Total: what is no percent-encoding stays as it is.
RequestTarget ParseRequestTarget(const std::string& target);

std::string ValueIn(const RequestTarget& target, const char* name);              // empty when it is not there
std::optional<int> NumberIn(const RequestTarget& target, const char* name);      // nullopt when it is none from 0 to 1,000,000

// Browsers send "Basic BASE64(NAME:TOKEN)" where programs send "Bearer TOKEN": the former as the latter, anything else as
// it is. The name does not count.
std::string BearerOf(const std::string& authorization);

}  // namespace espalier
