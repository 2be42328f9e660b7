// A measurement as a table and as JSON.
#pragma once

#include <string>

#include "bench/coordinator_load/load_run.h"

namespace espalier::load {

std::string TableOf(const LoadResult& result);
std::string JsonOf(const LoadResult& result);

}  // namespace espalier::load
