#include "coordinator/search/bank_progress.h"

#include "common/base/check.h"
#include "coordinator/search/task_factory.h"

namespace espalier {

BankProgress::BankProgress(const SearchPlan* plan) : plan_(plan), layers_(plan->inputs.dense.num_layers) {
  for (int layer = 0; layer < num_layers(); ++layer) wanted_.Add(BankLayer(*plan_, layer, 0));
}

int BankProgress::num_built() const { return num_layers() - wanted_.size(); }

void BankProgress::Tell(const Task& task, const BankLayerOutcome& outcome) {
  layers_[std::get<BankLayerTask>(task.payload).layer].outcome = outcome;
  const std::string task_id = task.task_id;  // `task` may lie in wanted_
  wanted_.Remove(task_id);
}

bool BankProgress::TellLost(const std::string& artifact_digest) {
  bool is_known = false;
  for (int index = 0; index < num_layers(); ++index) {
    Layer& layer = layers_[index];
    if (!layer.outcome.has_value() || layer.outcome->artifact_digest != artifact_digest) continue;
    is_known = true;
    layer.outcome.reset();
    ++layer.num_lost;
    wanted_.Add(BankLayer(*plan_, index, layer.num_lost));
  }
  return is_known;
}

bool BankProgress::Refresh(Bank* bank) const {
  ESPALIER_CHECK(is_complete());
  BankReference reference;
  reference.key = plan_->bank_key;
  HeadOrders head_orders;
  for (const Layer& layer : layers_) {
    reference.layer_digests.push_back(layer.outcome->artifact_digest);
    head_orders.push_back(layer.outcome->head_order);
  }
  if (reference == bank->reference) return false;
  const bool is_first = bank->reference.layer_digests.empty();
  bank->reference = std::move(reference);
  if (!is_first) ++bank->revision;
  bank->cost = BuildCostTable(plan_->inputs.dense, plan_->ladder, plan_->spec.cost, head_orders);
  bank->head_orders = std::move(head_orders);
  return true;
}

}  // namespace espalier
