#include "worker/train/trainer.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "worker/model/device_runtime.h"
#include "worker/model/torch_status.h"
#include "worker/train/adamw.h"
#include "worker/train/flat_parameters.h"
#include "worker/train/learning_rate.h"
#include "worker/train/static_step.h"
#include "worker/train/step_compute.h"
#include "worker/train/train_stream.h"

namespace espalier {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;
SteadyTime Now() { return std::chrono::steady_clock::now(); }
double SecondsSince(SteadyTime start) { return std::chrono::duration<double>(Now() - start).count(); }

// Above this many floating-point operations a step keeps a GPU busy much longer than its kernels take to queue, and a
// graph would only hold a second set of activations.
constexpr double kGraphUpToFlops = 2e13;
// Padded tokens whose tensors are prepared on the device at once: 24 bytes each.
constexpr int64_t kPreparedTokens = int64_t{1} << 20;
// From this size on unused cached blocks are given back before a capture, which cannot reuse them.
constexpr int64_t kLargeModelParameters = 200'000'000;
constexpr double kProgressSeconds = 0.25;

// Waits for the stream on every way out, so that the caller may use and free what the run used.
class SynchronizeAtEnd {
 public:
  explicit SynchronizeAtEnd(const TrainStream& stream) : stream_(stream) {}
  ~SynchronizeAtEnd() {
    try {
      stream_.Synchronize();
    } catch (const std::exception&) {  // a lost device: the next call reports it
    }
  }

 private:
  const TrainStream& stream_;
};

// What a run was asked for, and what changes while it goes on.
struct TrainRun {
  TrainRun(const TrainStream& stream, const std::vector<Step>& run_steps, const TrainData& run_data,
           int64_t run_schedule_steps, const TrainProgressFunction& run_progress, std::stop_token run_stop)
      : steps(run_steps),
        data(run_data),
        schedule_steps(run_schedule_steps),
        progress(run_progress),
        stop(std::move(run_stop)),
        losses(stream, static_cast<int64_t>(run_steps.size())) {
    for (const Step& step : steps) total_tokens += Tokens(step);
  }

  const std::vector<Step>& steps;
  const TrainData& data;
  const int64_t schedule_steps;
  const TrainProgressFunction& progress;
  const std::stop_token stop;

  LossLog losses;  // of the steps that predict something
  int64_t checked_losses = 0;
  int64_t queued_tokens = 0;
  int64_t total_tokens = 0;
  std::vector<int64_t> tokens_behind;  // queued tokens after the step of each loss
  SteadyTime start = Now();
  SteadyTime reported = start;
  TrainResult result;
};

class FlatTrainer final : public Trainer {
 public:
  // To be called with `stream` entered.
  FlatTrainer(const TrainStream& stream, LanguageModel& model, const TrainSettings& settings,
              const TrainerOptions& options)
      : model_(model),
        settings_(settings),
        options_(options),
        device_(model.device()),
        own_stream_(stream),
        parameters_(FlattenParameters(model)),
        optimizer_(parameters_, settings, options.moments, options.masters),
        compute_(model, parameters_, {settings.loss, options.recompute_activations}) {
    learning_rate_ = torch::zeros({}, parameters_.flat.options().dtype(optimizer_.LearningRateDtype()));
    loss_ = torch::zeros({}, parameters_.flat.options().dtype(torch::kFloat32));
  }

  absl::StatusOr<TrainResult> Run(const std::vector<Step>& steps, const TrainData& data, int64_t schedule_steps,
                                  const TrainProgressFunction& progress, std::stop_token stop) override {
    return WithTorchStatus("training", device_, [&]() -> absl::StatusOr<TrainResult> {
      const c10::InferenceMode normal_mode(false);
      ESPALIER_RETURN_IF_ERROR(CheckRun(steps, data));
      const TrainStream stream(device_, &own_stream_);
      const TrainStream::Scope scope = stream.Enter();
      const SynchronizeAtEnd synchronize(stream);
      compute_.SetTeacher(data.teacher);
      TrainRun run(stream, steps, data, schedule_steps, progress, stop);
      ESPALIER_RETURN_IF_ERROR(is_static() ? RunStatic(run) : RunExact(run));
      FinishRun(run);
      return run.result;
    });
  }

  absl::Status BeginAgain(const LanguageModel& fresh) override {
    const auto mine = NamedTensors(model_), theirs = NamedTensors(fresh);
    bool fits = mine.size() == theirs.size();
    for (size_t i = 0; fits && i < mine.size(); ++i) fits = mine[i].second.sizes() == theirs[i].second.sizes();
    if (!fits) return absl::InvalidArgumentError("the trainer cannot begin again with a candidate of another shape");
    return WithTorchStatus("preparing a candidate for training", device_, [&] {
      const torch::NoGradGuard no_grad;
      const TrainStream stream(device_, &own_stream_);
      const TrainStream::Scope scope = stream.Enter();
      const SynchronizeAtEnd synchronize(stream);
      std::vector<torch::Tensor> to, from;
      for (size_t i = 0; i < mine.size(); ++i) {
        to.push_back(mine[i].second.detach());
        from.push_back(theirs[i].second);
      }
      at::_foreach_copy_(to, from);
      optimizer_.TakeWeights();
      steps_taken_ = moment_steps_ = 0;
      return absl::OkStatus();
    });
  }

  absl::StatusOr<TrainState> Save(ContinueState format) const override {
    return SaveWith(format, [this](const torch::Tensor& tensor) { return ToHost(tensor); });
  }

  absl::StatusOr<TrainState> SaveOnDevice(ContinueState format) const override {
    return SaveWith(format, [](const torch::Tensor& tensor) { return tensor.clone(); });
  }

  absl::Status Restore(const TrainState& state) override {
    const absl::Status of_another_shape = absl::InvalidArgumentError(absl::StrCat(
        "the training state of mask ", state.mask_digest, " holds ", state.weights.defined() ? state.weights.numel() : 0,
        " weights, the candidate has ", parameters_.size(), ": it is of another shape"));
    if (!state.weights.defined() || state.weights.numel() != parameters_.size()) return of_another_shape;
    return WithTorchStatus("restoring a training state", device_, [&] {
      const torch::NoGradGuard no_grad;
      const TrainStream stream(device_, &own_stream_);
      const TrainStream::Scope scope = stream.Enter();
      const SynchronizeAtEnd synchronize(stream);
      optimizer_.ClearMoments();
      if (state.format == ContinueState::kFull &&
          !optimizer_.SetMoments(state.first_moments, state.first_scales, state.second_moments, state.second_scales))
        return of_another_shape;
      optimizer_.master().copy_(state.weights, true);
      optimizer_.PublishMaster();
      steps_taken_ = state.steps_taken;
      moment_steps_ = state.format == ContinueState::kFull ? state.moment_steps : 0;
      optimizer_.SetSteps(moment_steps_, steps_taken_);
      return absl::OkStatus();
    });
  }

  absl::Status RoundAsRetained(ContinueState format) override {
    if (format == ContinueState::kFull) return absl::OkStatus();
    return WithTorchStatus("rounding a training state", device_, [&] {
      const torch::NoGradGuard no_grad;
      const TrainStream stream(device_, &own_stream_);
      const TrainStream::Scope scope = stream.Enter();
      const SynchronizeAtEnd synchronize(stream);
      optimizer_.ClearMoments();
      optimizer_.master().copy_(optimizer_.master().to(torch::kBFloat16));
      optimizer_.PublishMaster();
      moment_steps_ = 0;
      return absl::OkStatus();
    });
  }

  int64_t steps_taken() const override { return steps_taken_; }
  int64_t num_parameters() const override { return parameters_.num_parameters; }
  int64_t state_bytes(ContinueState format) const override {
    if (format != ContinueState::kFull) return parameters_.size() * 2;
    const torch::Tensor& scales = optimizer_.first_scales();
    const auto of_one = [](const torch::Tensor& tensor) { return static_cast<int64_t>(tensor.element_size()); };
    return parameters_.size() * (of_one(optimizer_.master()) + 2 * of_one(optimizer_.first_moments())) +
           (scales.defined() ? 2 * static_cast<int64_t>(scales.nbytes()) : 0);
  }

 private:
  bool is_static() const {
    return options_.layout == BatchLayout::kStatic || (options_.layout == BatchLayout::kByDevice && device_.is_cuda());
  }

  absl::StatusOr<TrainState> SaveWith(ContinueState format, const std::function<torch::Tensor(const torch::Tensor&)>& copy) const {
    return WithTorchStatus("saving a training state", device_, [&]() -> absl::StatusOr<TrainState> {
      const torch::NoGradGuard no_grad;
      const TrainStream stream(device_, &own_stream_);
      const TrainStream::Scope scope = stream.Enter();
      const SynchronizeAtEnd synchronize(stream);
      TrainState state;
      state.format = format;
      state.steps_taken = steps_taken_;
      if (format == ContinueState::kFull) {
        state.moment_steps = moment_steps_;
        state.weights = copy(optimizer_.master());
        state.first_moments = copy(optimizer_.first_moments());
        state.second_moments = copy(optimizer_.second_moments());
        if (optimizer_.first_scales().defined()) {
          state.first_scales = copy(optimizer_.first_scales());
          state.second_scales = copy(optimizer_.second_scales());
        }
      } else {
        state.weights = copy(optimizer_.master().to(torch::kBFloat16));
      }
      return state;
    });
  }

  torch::Tensor ToHost(const torch::Tensor& tensor) const {
    const auto on_host = tensor.options().device(torch::kCPU).pinned_memory(device_.is_cuda());
    const torch::Tensor host = torch::empty(tensor.sizes(), on_host);
    host.copy_(tensor, true);
    return host;
  }

  absl::Status CheckRun(const std::vector<Step>& steps, const TrainData& data) const {
    if (settings_.loss != Loss::kCrossEntropy && data.teacher == nullptr) {
      return absl::InvalidArgumentError("a loss towards the dense model needs the dense model (TrainData::teacher)");
    }
    return CheckSteps(steps, data);
  }

  // The whole work of a step on its batches: what a graph captures.
  void TakeStep(const std::vector<StepBatch>& batches) {
    torch::Tensor loss;
    std::vector<torch::Tensor> gradients;
    for (const StepBatch& batch : batches) compute_.Accumulate(batch, loss, gradients);
    optimizer_.Step(gradients, learning_rate_);
    const torch::NoGradGuard no_grad;
    loss_.copy_(loss);
  }

  void SetLearningRate(int64_t schedule_steps) {
    const torch::NoGradGuard no_grad;
    learning_rate_.fill_(LearningRate(settings_, steps_taken_, schedule_steps));
  }

  // Books a step whose work is queued. False: a loss that has arrived is not finite, the run ends with that result.
  bool AfterStep(const Step& step, TrainRun& run) {
    run.queued_tokens += Tokens(step);
    if (Predictions(step) > 0) {
      ++steps_taken_;
      ++moment_steps_;
      run.losses.Record(loss_);
      run.tokens_behind.push_back(run.queued_tokens);
      run.losses.WaitForOldSteps(false);
    }
    if (!CheckLosses(run)) return false;
    if (run.progress && SecondsSince(run.reported) >= kProgressSeconds && run.checked_losses > 0) {
      run.reported = Now();
      const int64_t tokens = run.tokens_behind[run.checked_losses - 1];
      run.progress({tokens, run.total_tokens, static_cast<double>(tokens) / SecondsSince(run.start),
                    run.losses.At(run.checked_losses - 1)});
    }
    return true;
  }

  static bool CheckLosses(TrainRun& run) {
    for (const int64_t arrived = run.losses.arrived(); run.checked_losses < arrived; ++run.checked_losses) {
      const double loss = run.losses.At(run.checked_losses);
      if (std::isfinite(loss)) continue;
      run.result.finite = false;
      run.result.infeasible_reason =
          absl::StrCat("the training loss became ", loss, " in step ", run.checked_losses + 1, " of the run, after ",
                       run.tokens_behind[run.checked_losses], " tokens");
      return false;
    }
    return true;
  }

  absl::Status RunExact(TrainRun& run) {
    compute_.Reserve(LayoutOf(run.steps, 0).length);
    for (const Step& step : run.steps) {
      if (run.stop.stop_requested()) return absl::CancelledError("training was cancelled");
      if (Predictions(step) > 0) {
        SetLearningRate(run.schedule_steps);
        TakeStep(ExactBatches(step, run.data, options_.micro_batch_tokens));
      }
      if (!AfterStep(step, run)) break;
    }
    return absl::OkStatus();
  }

  absl::Status RunStatic(TrainRun& run) {
    PrepareStatic(LayoutOf(run.steps, options_.micro_batch_tokens), run.data);
    const StepLayout& layout = static_step_->layout();
    const int64_t step_tokens = layout.passes * layout.rows * layout.length;
    const size_t steps_at_once = static_cast<size_t>(std::max<int64_t>(1, kPreparedTokens / step_tokens));
    for (size_t first = 0; first < run.steps.size(); first += steps_at_once) {
      const size_t count = std::min(steps_at_once, run.steps.size() - first);
      const StaticSteps prepared = MakeStaticSteps(run.steps, first, count, layout, run.data);
      for (size_t i = 0; i < count; ++i) {
        const Step& step = run.steps[first + i];
        if (run.stop.stop_requested()) return absl::CancelledError("training was cancelled");
        if (Predictions(step) > 0) QueueStatic(prepared, first, i, run);
        if (!AfterStep(step, run)) return absl::OkStatus();
      }
    }
    return absl::OkStatus();
  }

  // Step `index` of the prepared ones, which begin with step `first` of the run.
  void QueueStatic(const StaticSteps& prepared, size_t first, size_t index, TrainRun& run) {
    SetLearningRate(run.schedule_steps);
    const Step& step = run.steps[first + index];
    if (!Holds(static_step_->layout(), step)) {
      TakeStep(ExactBatches(step, run.data, options_.micro_batch_tokens));
      return;
    }
    static_step_->Load(prepared, static_cast<int64_t>(index), run.data);
    const StaticStep::Work work = [this](const std::vector<StepBatch>& batches) { TakeStep(batches); };
    if (WantsGraph(static_cast<int64_t>(run.steps.size() - first - index))) {
      const SteadyTime start = Now();
      const bool large = parameters_.num_parameters >= kLargeModelParameters;
      // A refusal is kept in the step; the run goes on without a graph.
      const absl::Status captured = static_step_->Capture(work, large ? CaptureRoom::kEverything : CaptureRoom::kWhenShort);
      if (!captured.ok()) SayOnce(captured);
      run.result.capture_seconds += SecondsSince(start);
    }
    // A step before a capture runs as the graph will, so that the libraries are ready for its shapes.
    const int64_t rows = IsGraphSized() ? static_step_->num_rows() : static_cast<int64_t>(step.size());
    static_step_->Run(work, rows);
  }

  // Training goes on, but several times slower: somebody should know.
  static void SayOnce(const absl::Status& refused) {
    static std::once_flag once;
    std::call_once(once, [&] {
      std::fprintf(stderr, "espalier: a training step is not captured as a CUDA graph, training is slower: %s\n",
                   refused.ToString().c_str());
    });
  }

  void PrepareStatic(const StepLayout& layout, const TrainData& data) {
    if (static_step_ != nullptr && static_step_->Serves(layout, data)) return;
    static_step_.reset();  // its graph's memory first
    compute_.Reserve(layout.length);
    static_step_ = std::make_unique<StaticStep>(layout, data);
  }

  // Whether a graph of the static step can pay: the kernels of larger ones take longer than queuing them.
  bool IsGraphSized() const {
    if (!options_.use_graph || !device_.is_cuda()) return false;
    const int64_t tokens = static_step_->num_rows() * static_step_->layout().length;
    return 6.0 * static_cast<double>(parameters_.num_parameters) * static_cast<double>(tokens) <= kGraphUpToFlops;
  }

  bool WantsGraph(int64_t steps_left) const {
    if (!IsGraphSized() || static_step_->has_graph() || !static_step_->graph_refusal().empty()) return false;
    if (!static_step_->ran_without_graph() && !StepGraph::HasCaptured()) return false;
    return steps_left >= options_.graph_from_steps;
  }

  void FinishRun(TrainRun& run) {
    run.losses.WaitForOldSteps(true);
    TrainResult& result = run.result;
    const int64_t num_losses = run.losses.recorded();
    if (result.finite && CheckLosses(run)) {
      // A last step may have broken the weights without any later loss to show it.
      const torch::NoGradGuard no_grad;
      if (num_losses > 0 && !std::isfinite(optimizer_.master().sum().item<float>())) {
        result.finite = false;
        result.infeasible_reason = "the weights were no longer finite after the last training step";
      }
    }
    if (num_losses > 0) {
      result.first_loss = run.losses.At(0);
      result.last_loss = run.losses.At(num_losses - 1);
    }
    result.tokens = run.queued_tokens;
    result.steps = num_losses;
    result.seconds = SecondsSince(run.start);
    result.used_graph = static_step_ != nullptr && static_step_->has_graph();
    if (static_step_ != nullptr) result.graph_refusal = static_step_->graph_refusal();
  }

  const LanguageModel& model_;
  const TrainSettings settings_;
  const TrainerOptions options_;
  const torch::Device device_;
  const TrainStream own_stream_;  // for callers on the default stream; nothing is tied to it
  FlatParameters parameters_;
  FlatAdamW optimizer_;
  StepCompute compute_;
  torch::Tensor learning_rate_, loss_;
  std::unique_ptr<StaticStep> static_step_;
  int64_t steps_taken_ = 0;
  int64_t moment_steps_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Trainer>> Trainer::Create(LanguageModel* candidate, const TrainSettings& settings,
                                                         const TrainerOptions& options) {
  if (options.masters == MastersFormat::kBFloat16 && candidate->embedding_VD.scalar_type() != torch::kBFloat16) {
    return absl::InvalidArgumentError(absl::StrCat("masters in bf16 need a candidate in bf16, this one is in ",
                                                   c10::toString(candidate->embedding_VD.scalar_type())));
  }
  return WithTorchStatus("preparing a candidate for training", candidate->device(),
                         [&]() -> absl::StatusOr<std::unique_ptr<Trainer>> {
                           const c10::InferenceMode normal_mode(false);
                           const TrainStream stream(candidate->device());
                           const TrainStream::Scope scope = stream.Enter();
                           const SynchronizeAtEnd synchronize(stream);
                           return std::make_unique<FlatTrainer>(stream, *candidate, settings, options);
                         });
}

}  // namespace espalier
