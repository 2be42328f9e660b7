// The jobs that are simulated, and what an undisturbed run of each gives.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/domain/job.h"
#include "common/domain/job_inputs.h"
#include "coordinator/search/job_program.h"
#include "tests/unit/search/fake_evaluator.h"
#include "tests/unit/search/summary.h"

namespace espalier::simulation {

using testing::Summary;

struct CatalogJob {
  std::string name;
  JobSpec spec;  // resolved
  JobInputs inputs;
  std::unique_ptr<testing::FakeEvaluator> evaluator;
  std::string poison;  // digest of a mask that kills its worker when the seed has poison; empty: none
  std::string result;  // Summary of the undisturbed run
  int num_tasks = 0;   // of the undisturbed run
};

constexpr int kNumCatalogJobs = 6;
// Made once in a process; `index` below kNumCatalogJobs.
const CatalogJob& CatalogJobOf(int index);

}  // namespace espalier::simulation
