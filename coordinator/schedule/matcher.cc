#include "coordinator/schedule/matcher.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"

namespace espalier {
namespace {

// One call of Match.
class Matching {
 public:
  Matching(absl::Time now, const std::vector<QueuedTask>& queue, const std::vector<WorkerSlots>& workers,
           const MatcherOptions& options)
      : now_(now), queue_(queue), options_(options), workers_(workers), is_taken_(queue.size(), false) {
    for (const QueuedTask& task : queue_) classes_.emplace(task.task->job_id, task.numerics_class);
    for (const WorkerSlots& slots : workers_) last_layers_[slots.worker->worker_id] = slots.worker->last_layer;
  }

  MatchResult Run() {
    for (size_t i = 0; i < queue_.size(); ++i) GiveToHolder(static_cast<int>(i));
    // One task a worker and round, so that the first worker does not take everything.
    for (bool is_progress = true; is_progress;) {
      is_progress = false;
      for (WorkerSlots& slots : workers_) {
        if (slots.num_free > 0 && GiveNext(slots)) is_progress = true;
      }
    }
    Explain();
    return std::move(result_);
  }

 private:
  bool Fits(const QueuedTask& task, const WorkerEntry& worker) const {
    const std::string& numerics_class = classes_.at(task.task->job_id);
    return worker.description.device == task.device &&
           (numerics_class.empty() || numerics_class == worker.description.numerics_class);
  }

  static const StateKey* ResumeOf(const Task& task) {
    if (const auto* evaluate = std::get_if<EvaluateTask>(&task.payload); evaluate != nullptr && evaluate->resume) {
      return &*evaluate->resume;
    }
    if (const auto* finish = std::get_if<FinishTask>(&task.payload); finish != nullptr && finish->start) {
      return &*finish->start;
    }
    return nullptr;
  }

  void Give(int index, WorkerSlots& slots, std::string reason) {
    const Task& task = *queue_[index].task;
    is_taken_[index] = true;
    --slots.num_free;
    std::string& numerics_class = classes_[task.job_id];
    if (numerics_class.empty()) numerics_class = slots.worker->description.numerics_class;
    if (LayerOf(task) >= 0) last_layers_[slots.worker->worker_id][RunOf(task)] = LayerOf(task);
    result_.assignments.push_back({index, slots.worker->worker_id, std::move(reason)});
  }

  void GiveToHolder(int index) {
    const QueuedTask& task = queue_[index];
    const StateKey* state = ResumeOf(*task.task);
    if (state == nullptr) return;
    for (WorkerSlots& slots : workers_) {
      const WorkerEntry& worker = *slots.worker;
      if (!worker.Retains(*state) || !Fits(task, worker) || worker.is_draining) continue;
      if (task.failed_workers.contains(worker.worker_id)) continue;
      if (slots.num_free > 0) {
        Give(index, slots, "it retains the training state");
      } else if (now_ - task.wanted_since < options_.state_patience && first_waiting_.insert(worker.worker_id).second) {
        waits_for_holder_.insert(index);
      }
      return;
    }
  }

  // Whether another worker that is alive could take the task and has not failed it.
  bool HasFreshWorker(const QueuedTask& task) const {
    return std::any_of(workers_.begin(), workers_.end(), [&](const WorkerSlots& slots) {
      return Fits(task, *slots.worker) && !slots.worker->is_draining &&
             !task.failed_workers.contains(slots.worker->worker_id);
    });
  }

  bool MayTake(int index, const WorkerSlots& slots) const {
    const QueuedTask& task = queue_[index];
    if (is_taken_[index] || waits_for_holder_.contains(index) || !Fits(task, *slots.worker)) return false;
    return !task.failed_workers.contains(slots.worker->worker_id) || !HasFreshWorker(task);
  }

  bool GiveNext(WorkerSlots& slots) {
    for (size_t i = 0; i < queue_.size(); ++i) {
      const int index = static_cast<int>(i);
      if (!MayTake(index, slots)) continue;
      if (LayerOf(*queue_[i].task) < 0) {
        Give(index, slots, "first in the queue");
      } else {
        const int chosen = ChooseLayer(index, slots);
        Give(chosen, slots, absl::StrCat("layer ", LayerOf(*queue_[chosen].task), " of its run"));
      }
      return true;
    }
    return false;
  }

  // Of the run that the task `first` belongs to: the layer after the worker's last one, else the start of the largest gap
  // (its middle when another worker is coming up to the gap).
  int ChooseLayer(int first, const WorkerSlots& slots) const {
    const std::string run = RunOf(*queue_[first].task);
    std::map<int, int> free;  // layer -> index in the queue
    for (size_t i = 0; i < queue_.size(); ++i) {
      const int index = static_cast<int>(i);
      if (RunOf(*queue_[i].task) == run && MayTake(index, slots)) free.emplace(LayerOf(*queue_[i].task), index);
    }
    const auto& mine = last_layers_.at(slots.worker->worker_id);
    if (const auto last = mine.find(run); last != mine.end()) {
      for (const int next : {last->second, last->second + 1}) {
        if (const auto found = free.find(next); found != free.end()) return found->second;
      }
    }
    return free.at(StartOfLargestGap(free, run));
  }

  int StartOfLargestGap(const std::map<int, int>& free, const std::string& run) const {
    int best_start = free.begin()->first;
    int best_size = 0;
    for (auto at = free.begin(); at != free.end();) {
      const int start = at->first;
      int end = start;
      for (++at; at != free.end() && at->first == end + 1; ++at) ++end;
      const int size = end - start + 1;
      const bool is_approached = IsLastOfSomeone(run, start - 1);
      const int usable = is_approached ? size / 2 : size;
      if (usable > best_size || best_size == 0) {
        best_size = std::max(usable, 1);
        best_start = is_approached ? start + size / 2 : start;
      }
    }
    return best_start;
  }

  bool IsLastOfSomeone(const std::string& run, int layer) const {
    return std::any_of(last_layers_.begin(), last_layers_.end(), [&](const auto& item) {
      const auto last = item.second.find(run);
      return last != item.second.end() && last->second == layer;
    });
  }

  void Explain() {
    std::set<std::string> given;
    for (const Assignment& assignment : result_.assignments) given.insert(queue_[assignment.task].task->job_id);
    for (const QueuedTask& task : queue_) {
      const std::string& job_id = task.task->job_id;
      if (given.contains(job_id) || result_.waiting.contains(job_id)) continue;
      result_.waiting[job_id] = WhyNot(task);
    }
  }

  std::string WhyNot(const QueuedTask& task) const {
    if (workers_.empty()) return "there are no workers";
    const bool has_device = std::any_of(workers_.begin(), workers_.end(), [&](const WorkerSlots& slots) {
      return slots.worker->description.device == task.device;
    });
    if (!has_device) return task.device == DeviceKind::kCuda ? "no worker has a CUDA device" : "no worker computes on a CPU";
    const bool has_class =
        std::any_of(workers_.begin(), workers_.end(), [&](const WorkerSlots& slots) { return Fits(task, *slots.worker); });
    if (!has_class) return absl::StrCat("no worker is of the job's class '", classes_.at(task.task->job_id), "'");
    return "all workers that fit are busy";
  }

  absl::Time now_;
  const std::vector<QueuedTask>& queue_;
  const MatcherOptions& options_;
  std::vector<WorkerSlots> workers_;
  std::vector<bool> is_taken_;
  std::map<std::string, std::string> classes_;                     // by job; filled by the first grant
  std::map<std::string, std::map<std::string, int>> last_layers_;  // by worker and run
  std::set<std::string> first_waiting_;                            // busy workers that a task waits for
  std::set<int> waits_for_holder_;
  MatchResult result_;
};

}  // namespace

int LayerOf(const Task& task) {
  if (const auto* layer = std::get_if<BankLayerTask>(&task.payload)) return layer->layer;
  if (const auto* unit = std::get_if<AdditiveUnitTask>(&task.payload)) {
    const auto& units = task.context.ladder.units;
    if (unit->unit >= 0 && unit->unit < static_cast<int>(units.size())) return units[unit->unit].unit.layer;
  }
  return -1;
}

std::string RunOf(const Task& task) { return absl::StrCat(task.job_id, "/", Name(task.kind())); }

MatchResult Match(absl::Time now, const std::vector<QueuedTask>& queue, const std::vector<WorkerSlots>& workers,
                  const MatcherOptions& options) {
  return Matching(now, queue, workers, options).Run();
}

}  // namespace espalier
