// The folder that a pruned model is written to: what it may replace, and what it must stay away from. Asked before hours
// are spent, and again before anything is replaced.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace espalier {

// Whether `folder` may be written anew: it is not there, is empty, or holds one of our exports (a config.json with
// model_type "espalier"). Else kAlreadyExists: nothing else is ever replaced.
absl::Status CheckReplaceable(const std::string& folder);

// Whether `folder` neither is nor contains nor lies inside the folder `model`, links followed. Else kInvalidArgument with
// both. Folders that are not on this machine are apart.
absl::Status CheckApart(const std::string& folder, const std::string& model);

// Both of the above, and that none of `inputs` (files and folders that the work reads or keeps) lies in `folder`; empty
// paths among them are passed over.
absl::Status CheckModelTarget(const std::string& folder, const std::string& model, const std::vector<std::string>& inputs);

// Whether a GGUF may be written to the file `path`: nothing is there, or a GGUF (by its first bytes). Else kAlreadyExists.
absl::Status CheckGgufTarget(const std::string& path);

}  // namespace espalier
