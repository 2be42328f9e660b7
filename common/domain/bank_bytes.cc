#include "common/domain/bank_bytes.h"

namespace espalier {

int64_t BankBytes(const ModelConfig& dense, const Ladder& ladder) {
  int64_t columns = 0;
  for (const UnitLadder& unit : ladder.units) {
    const int64_t columns_each = unit.unit.kind == UnitKind::kAttention ? dense.head_size : 1;
    for (int level = 1; level < unit.num_levels(); ++level) columns += (unit.size - unit.removed[level]) * columns_each;
  }
  return columns * dense.hidden_size * BytesPerParameter(dense.number_format);
}

}  // namespace espalier
