#include "coordinator/schedule/matcher.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "coordinator/schedule/why_waiting.h"

namespace espalier {
namespace {

constexpr int kMostLookedAt = 32;  // tasks of a stage, so that a burst of leases stays cheap

// A task that trains a mask from its assembled weights; nullptr for all others.
const EvaluateTask* FreshTraining(const Task& task) {
  const auto* evaluate = std::get_if<EvaluateTask>(&task.payload);
  return evaluate != nullptr && !evaluate->resume.has_value() && evaluate->stream.end > 0 ? evaluate : nullptr;
}

bool IsOfOneStage(const EvaluateTask& a, const EvaluateTask& b) {
  return a.stream.end == b.stream.end && a.stream.key == b.stream.key && a.score == b.score;
}

// One call of Match.
class Matching {
 public:
  Matching(absl::Time now, const std::vector<JobDemand>& jobs, const std::vector<WorkerSlots>& free,
           const WorkerTable& workers, absl::Duration silence, const MatcherOptions& options)
      : now_(now), silence_(silence), options_(options), workers_(workers), free_(free) {
    for (const JobDemand& demand : jobs) {
      index_[demand.job_id] = static_cast<int>(jobs_.size());
      Job& job = jobs_.emplace_back();
      job.demand = &demand;
      job.requirements = demand.requirements;
      job.served = demand.served;
      job.workers = demand.workers;
      job.front = demand.queue->ready().begin();
    }
    for (size_t i = 0; i < free_.size(); ++i) slot_of_[free_[i].worker->worker_id] = i;
    given_.resize(free_.size());
  }

  MatchResult Run() {
    std::map<int, std::set<int>, std::greater<>> by_priority;
    for (size_t i = 0; i < jobs_.size(); ++i) by_priority[jobs_[i].demand->priority].insert(static_cast<int>(i));
    for (const auto& [priority, members] : by_priority) {
      for (WorkerSlots& slots : free_) GiveRetained(members, slots);
      Fill(members);
    }
    for (const Job& job : jobs_) {
      if (!job.demand->is_idle || !job.taken.empty() || job.demand->queue->empty()) continue;
      result_.waiting[job.demand->job_id] = WhyWaiting(now_, job.requirements, workers_, silence_);
    }
    return std::move(result_);
  }

 private:
  struct Job {
    const JobDemand* demand = nullptr;
    Requirements requirements;  // with the class of the first grant
    double served = 0;
    std::set<std::string> workers;
    std::set<int64_t> taken;
    std::map<int64_t, ReadyTask>::const_iterator front;  // all before it are taken
  };

  bool MayWork(const Job& job, const WorkerEntry& worker) const {
    if (!Fits(job.requirements, worker.description)) return false;
    const int limit = job.demand->max_workers;
    return limit == 0 || static_cast<int>(job.workers.size()) < limit || job.workers.contains(worker.worker_id);
  }

  bool HasFailed(const Job& job, const Task& task, const std::string& worker_id) const {
    return job.demand->attempts != nullptr && job.demand->attempts->FailedWorkers(task.task_id).contains(worker_id);
  }

  // Whether the worker could take the task now or later.
  bool IsCapable(const Job& job, const Task& task, const WorkerEntry& worker) const {
    return worker.IsPresent(now_, silence_) && !worker.is_draining && !worker.is_quarantined &&
           Fits(job.requirements, worker.description) && !HasFailed(job, task, worker.worker_id);
  }

  void Give(Job& job, int64_t position, WorkerSlots& slots, std::string reason) {
    const Task& task = *job.demand->queue->ready().at(position).task;
    const WorkerEntry& worker = *slots.worker;
    job.taken.insert(position);
    while (job.front != job.demand->queue->ready().end() && job.taken.contains(job.front->first)) ++job.front;
    --slots.num_free;
    ++given_[static_cast<size_t>(&slots - free_.data())];
    if (job.requirements.numerics_class.empty()) job.requirements.numerics_class = worker.description.numerics_class;
    if (job.demand->max_workers > 0) job.workers.insert(worker.worker_id);
    job.served += job.demand->task_seconds / job.demand->weight;
    if (LayerOf(task) >= 0) given_layers_[RunOf(task)][worker.worker_id] = LayerOf(task);
    result_.assignments.push_back({job.demand->job_id, &task, worker.worker_id, std::move(reason)});
  }

  void GiveRetained(const std::set<int>& members, WorkerSlots& slots) {
    if (slots.num_free <= 0 || slots.worker->states.empty()) return;
    std::set<std::pair<int, int64_t>> resumed;  // (job, position): the queues' order
    for (const RetainedState& state : slots.worker->states) {
      const auto found = index_.find(state.key.job_id);
      if (found == index_.end() || !members.contains(found->second)) continue;
      for (const int64_t position : jobs_[found->second].demand->queue->ResumingFrom(state.key)) {
        resumed.insert({found->second, position});
      }
    }
    for (const auto& [index, position] : resumed) {
      if (slots.num_free <= 0) return;
      Job& job = jobs_[index];
      if (job.taken.contains(position) || !MayWork(job, *slots.worker)) continue;
      if (HasFailed(job, *job.demand->queue->ready().at(position).task, slots.worker->worker_id)) continue;
      Give(job, position, slots, "it retains the training state");
    }
  }

  // One task a worker and round, those with the fewest leases first: of two cards that both have room the emptier one is
  // faster. What is left then goes round among those that have room.
  void Fill(const std::set<int>& members) {
    std::set<std::pair<double, int>> order;  // (served, job)
    for (const int index : members) {
      if (jobs_[index].front != jobs_[index].demand->queue->ready().end()) order.insert({jobs_[index].served, index});
    }
    // Who got nothing may get something once others are full; when nobody got anything nothing has changed.
    for (bool is_progress = FillEmptiest(order); is_progress && !order.empty();) {
      is_progress = false;
      for (WorkerSlots& slots : free_) {
        if (slots.num_free > 0 && GiveNext(order, slots)) is_progress = true;
        if (order.empty()) break;
      }
    }
  }

  // Whether it gave anything.
  bool FillEmptiest(std::set<std::pair<double, int>>& order) {
    const size_t given_before = result_.assignments.size();
    std::map<int, std::vector<size_t>> by_leases;
    for (size_t i = 0; i < free_.size(); ++i) {
      if (free_[i].num_free > 0) by_leases[free_[i].worker->num_leases + given_[i]].push_back(i);
    }
    while (!by_leases.empty() && !order.empty()) {
      const auto least = by_leases.extract(by_leases.begin());
      for (const size_t i : least.mapped()) {
        if (order.empty()) break;
        if (!GiveNext(order, free_[i]) || free_[i].num_free <= 0) continue;
        by_leases[least.key() + 1].push_back(i);
      }
    }
    return result_.assignments.size() > given_before;
  }

  bool GiveNext(std::set<std::pair<double, int>>& order, WorkerSlots& slots) {
    for (auto at = order.begin(); at != order.end(); ++at) {
      const int index = at->second;
      Job& job = jobs_[index];
      if (!MayWork(job, *slots.worker)) continue;
      const auto& ready = job.demand->queue->ready();
      const auto found = std::find_if(job.front, ready.end(), [&](const auto& item) {
        return MayTake(job, item.first, item.second, *slots.worker);
      });
      if (found == ready.end()) continue;
      order.erase(at);
      if (LayerOf(*found->second.task) < 0) {
        const auto [position, reason] = ChooseOfStage(job, found, *slots.worker);
        Give(job, position, slots, reason);
      } else {
        const int64_t chosen = ChooseLayer(job, RunOf(*found->second.task), *slots.worker);
        Give(job, chosen, slots, absl::StrCat("layer ", LayerOf(*ready.at(chosen).task), " of its run"));
      }
      if (job.front != ready.end()) order.insert({job.served, index});
      return true;
    }
    return false;
  }

  // Of the first task's stage that of a mask which the worker has trained before; else the first.
  std::pair<int64_t, const char*> ChooseOfStage(const Job& job, std::map<int64_t, ReadyTask>::const_iterator first,
                                                const WorkerEntry& worker) {
    const std::pair<int64_t, const char*> in_order = {first->first, "first in the queue"};
    const EvaluateTask* of_first = FreshTraining(*first->second.task);
    if (of_first == nullptr || worker.trained_masks.empty()) return in_order;
    int looked = 0;
    for (auto at = first; at != job.demand->queue->ready().end() && looked < kMostLookedAt; ++at, ++looked) {
      const EvaluateTask* other = FreshTraining(*at->second.task);
      if (other == nullptr || !IsOfOneStage(*of_first, *other)) break;
      if (!worker.HasTrained(other->mask_digest) || !MayTake(job, at->first, at->second, worker)) continue;
      return {at->first, "it has trained the mask before"};
    }
    return in_order;
  }

  bool MayTake(const Job& job, int64_t position, const ReadyTask& ready, const WorkerEntry& worker) {
    if (job.taken.contains(position) || WaitsForHolder(job, ready)) return false;
    if (!HasFailed(job, *ready.task, worker.worker_id)) return true;
    return std::none_of(workers_.all().begin(), workers_.all().end(),
                        [&](const auto& other) { return IsCapable(job, *ready.task, other.second); });
  }

  // The first task of a busy worker that retains its state.
  bool WaitsForHolder(const Job& job, const ReadyTask& ready) {
    const StateKey* state = ResumeOf(*ready.task);
    if (state == nullptr || now_ - ready.wanted_since >= options_.state_patience) return false;
    for (const std::string& id : workers_.HoldersOf(*state)) {
      if (!IsCapable(job, *ready.task, *workers_.Find(id))) continue;
      if (const auto slot = slot_of_.find(id); slot != slot_of_.end() && free_[slot->second].num_free > 0) return false;
      return first_waiting_.emplace(id, ready.task).first->second == ready.task;
    }
    return false;
  }

  // Of a run: the layer after the worker's last one, else the start of the largest gap (its middle when another worker is
  // coming up to the gap).
  int64_t ChooseLayer(const Job& job, const std::string& run, const WorkerEntry& worker) {
    std::map<int, int64_t> open;  // layer -> position
    for (const auto& [position, ready] : job.demand->queue->ready()) {
      if (LayerOf(*ready.task) < 0 || RunOf(*ready.task) != run || !MayTake(job, position, ready, worker)) continue;
      open.emplace(LayerOf(*ready.task), position);
    }
    const std::map<std::string, int> last_layers = LastLayers(run);
    if (const auto last = last_layers.find(worker.worker_id); last != last_layers.end()) {
      for (const int next : {last->second, last->second + 1}) {
        if (const auto found = open.find(next); found != open.end()) return found->second;
      }
    }
    std::set<int> reached;
    for (const auto& [id, layer] : last_layers) reached.insert(layer);
    return open.at(StartOfLargestGap(open, reached));
  }

  // By worker, with what was given in this call.
  std::map<std::string, int> LastLayers(const std::string& run) const {
    std::map<std::string, int> last_layers;
    if (const auto given = given_layers_.find(run); given != given_layers_.end()) last_layers = given->second;
    for (const auto& [id, worker] : workers_.all()) {
      if (!worker.IsPresent(now_, silence_)) continue;
      if (const auto last = worker.last_layer.find(run); last != worker.last_layer.end()) {
        last_layers.emplace(id, last->second);
      }
    }
    return last_layers;
  }

  static int StartOfLargestGap(const std::map<int, int64_t>& open, const std::set<int>& reached) {
    int best_start = open.begin()->first;
    int best_size = 0;
    for (auto at = open.begin(); at != open.end();) {
      const int start = at->first;
      int end = start;
      for (++at; at != open.end() && at->first == end + 1; ++at) ++end;
      const int size = end - start + 1;
      const bool is_approached = reached.contains(start - 1);
      const int usable = is_approached ? size / 2 : size;
      if (usable > best_size || best_size == 0) {
        best_size = std::max(usable, 1);
        best_start = is_approached ? start + size / 2 : start;
      }
    }
    return best_start;
  }

  absl::Time now_;
  absl::Duration silence_;
  const MatcherOptions& options_;
  const WorkerTable& workers_;
  std::vector<WorkerSlots> free_;
  std::vector<int> given_;                 // to each of them in this call
  std::map<std::string, size_t> slot_of_;  // by worker
  std::vector<Job> jobs_;
  std::map<std::string, int> index_;                               // of jobs_
  std::map<std::string, std::map<std::string, int>> given_layers_;  // by run and worker
  std::map<std::string, const Task*> first_waiting_;               // busy workers and the task that waits for each
  MatchResult result_;
};

}  // namespace

MatchResult Match(absl::Time now, const std::vector<JobDemand>& jobs, const std::vector<WorkerSlots>& free,
                  const WorkerTable& workers, absl::Duration silence, const MatcherOptions& options) {
  return Matching(now, jobs, free, workers, silence, options).Run();
}

}  // namespace espalier
