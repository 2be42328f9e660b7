#include "common/domain/task.h"

namespace espalier {

const char* Name(TaskKind kind) {
  switch (kind) {
    case TaskKind::kBankLayer: return "bank_layer";
    case TaskKind::kAdditiveUnit: return "additive_unit";
    case TaskKind::kEvaluate: return "evaluate";
    case TaskKind::kFinish: return "finish";
  }
  return "unknown";
}

}  // namespace espalier
