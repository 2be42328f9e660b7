#include "bench/trace.h"

#include <torch/csrc/autograd/profiler_kineto.h>

#include <set>

namespace espalier::bench {

namespace profiler = torch::autograd::profiler;
using torch::profiler::impl::ActivityType;

Trace::Trace(const std::string& path) : path_(path) {
  if (path_.empty()) return;
  const torch::profiler::impl::ProfilerConfig config(torch::profiler::impl::ProfilerState::KINETO);
  const std::set<ActivityType> activities = {ActivityType::CPU, ActivityType::CUDA};
  profiler::prepareProfiler(config, activities);
  profiler::enableProfiler(config, activities);
}

Trace::~Trace() {
  if (!path_.empty()) profiler::disableProfiler()->save(path_);
}

}  // namespace espalier::bench
