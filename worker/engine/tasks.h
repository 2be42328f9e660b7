// The four kinds of task as functions of an opened task. Statuses as Engine::Run states them; kResourceExhausted stands
// for a full device (the engine then tries again on an empty one).
#pragma once

#include "absl/status/statusor.h"
#include "common/domain/task.h"
#include "worker/engine/engine_parts.h"

namespace espalier {

absl::StatusOr<BankLayerOutcome> RunBankLayer(TaskRun& run, const BankLayerTask& task);
absl::StatusOr<AdditiveUnitOutcome> RunAdditiveUnit(TaskRun& run, const AdditiveUnitTask& task);
absl::StatusOr<Measurement> RunEvaluate(TaskRun& run, const EvaluateTask& task);
absl::StatusOr<FinishOutcome> RunFinish(TaskRun& run, const FinishTask& task);

}  // namespace espalier
