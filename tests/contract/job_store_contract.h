// What every JobStore must do. An implementation's test gives a factory and runs the suite.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "coordinator/store/job_store.h"

namespace espalier::testing {

// Opens the store once more over the same durable content, as after a restart; the one before has been destroyed unless
// the test is about two of them.
using StoreFactory = std::function<std::unique_ptr<JobStore>()>;

void RunJobStoreContract(const StoreFactory& open);

// For the tests of one store: its specification is longer than a page of a database likes.
JobRecord LargeJob(const std::string& id);

}  // namespace espalier::testing
