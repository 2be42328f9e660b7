// Where the sources and the build lie. Only paths.cc is compiled with the answers, so that a compiler cache serves the tests
// of every checkout.
#pragma once

#include <string>

namespace espalier::testing {

std::string SourcePath(const std::string& relative);  // "examples/tiny": that folder of the checkout
std::string BuildPath(const std::string& relative);   // "bin/espalier-coordinator": that file of the build

}  // namespace espalier::testing
