// What the loop keeps. A score needs, of the weights that the removals so far have led to, only column norms; and these
// follow from C = W^T W [n, n] without W [d_out, n]. With M = H^-1, S the group that goes, L L^T = M_SS,
//
//   U = L^-1 M_S:    T = L^-T U    V = L^-1 (C_S: - C_SS T / 2)
//   M <- M - U^T U                 C <- C - U^T V - V^T U           score(S) = tr(M_SS^-1 C_SS)
//
// which is the published update of W and M (research note on ZipLM), squared. Rows of both matrices at the chosen column
// are the only things a step reads, so updates of single columns are put off: a block's steps add up rows u, v, each step
// corrects the two rows it reads by those so far, and the block ends in three matrix products. The diagonals are always
// current. Everything is double: the order decides all that follows, and the error of M grows with the condition of H.
#include "worker/prune/eliminate.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <limits>

#include "absl/strings/str_cat.h"
#include "common/base/strings.h"
#include "worker/prune/removal_kernel.h"

namespace espalier {
namespace {

constexpr double kTie = 1e-9;

// The lowest index whose score is the smallest, ties included; int64 [1], on the device.
torch::Tensor Lowest(const torch::Tensor& scores) {
  const torch::Tensor threshold = scores.amin().mul_(1 + kTie);
  torch::Tensor tied = torch::empty(scores.sizes(), scores.options().dtype(torch::kUInt8));
  at::le_out(tied, scores, threshold);
  return tied.argmax(0, /*keepdim=*/true);
}

// Positions of the `num_alive` groups that are not gone, ascending; without asking the device how many there are.
torch::Tensor AlivePositions(const torch::Tensor& gone, int64_t num_alive) {
  return std::get<1>(at::sort(gone, /*stable=*/true, /*dim=*/0, /*descending=*/false)).narrow(0, 0, num_alive);
}

absl::Status Cancelled() { return absl::CancelledError("the elimination was stopped"); }

// Removes groups of more than one column: few steps, each with large products, so nothing is put off.
class GroupElimination {
 public:
  GroupElimination(torch::Tensor inverse_nn, torch::Tensor gram_nn, int64_t group_size)
      : inverse_(std::move(inverse_nn)), gram_(std::move(gram_nn)), group_size_(group_size), alive_(inverse_.size(0) / group_size) {
    ids_ = torch::arange(alive_, inverse_.options().dtype(torch::kInt64));
  }

  // Removes the best group and returns its id, int64 [1] on the device.
  torch::Tensor Step() {
    const torch::Tensor inverse_SS = Blocks(inverse_), gram_SS = Blocks(gram_);
    const torch::Tensor factors = std::get<0>(at::linalg_cholesky_ex(inverse_SS));
    const torch::Tensor scores = Scores(factors, gram_SS).clamp_min_(0);
    const torch::Tensor position = Lowest(scores);
    const torch::Tensor id = ids_.index_select(0, position);
    if (alive_ > 1) {
      Update(position, factors.index_select(0, position)[0], gram_SS.index_select(0, position)[0]);
      Drop(position);
    }
    --alive_;
    return id;
  }

 private:
  torch::Tensor Blocks(const torch::Tensor& matrix) const {
    return matrix.view({alive_, group_size_, alive_, group_size_}).diagonal(0, 0, 2).permute({2, 0, 1}).contiguous();
  }
  // tr(M_SS^-1 C_SS) of every group, M_SS = L L^T. On CUDA with X = L^-1 as the sum over X C_SS X^T's diagonal: batched
  // products, where a Cholesky solve would go group by group.
  static torch::Tensor Scores(const torch::Tensor& factors, const torch::Tensor& gram_SS) {
    if (!factors.is_cuda()) return at::cholesky_solve(gram_SS, factors).diagonal(0, 1, 2).sum(1);
    const torch::Tensor one = torch::eye(factors.size(1), factors.options()).expand_as(factors);
    const torch::Tensor inverse_factors = at::linalg_solve_triangular(factors, one, /*upper=*/false);
    return inverse_factors.bmm(gram_SS).mul_(inverse_factors).sum({1, 2});
  }
  torch::Tensor RowsOf(const torch::Tensor& matrix, const torch::Tensor& position) const {
    return matrix.view({alive_, group_size_, -1}).index_select(0, position)[0];
  }

  void Update(const torch::Tensor& position, const torch::Tensor& factor, const torch::Tensor& gram_SS) {
    const torch::Tensor u = at::linalg_solve_triangular(factor, RowsOf(inverse_, position), /*upper=*/false);
    const torch::Tensor t = at::linalg_solve_triangular(factor.t(), u, /*upper=*/true);
    const torch::Tensor v =
        at::linalg_solve_triangular(factor, RowsOf(gram_, position).addmm(gram_SS, t, 1, -0.5), /*upper=*/false);
    inverse_.addmm_(u.t(), u, 1, -1);
    gram_.addmm_(u.t(), v, 1, -1).addmm_(v.t(), u, 1, -1);
  }

  void Drop(const torch::Tensor& position) {
    const torch::Tensor gone = torch::zeros({alive_}, inverse_.options().dtype(torch::kUInt8)).index_fill_(0, position, 1);
    const torch::Tensor keep = AlivePositions(gone, alive_ - 1);
    for (torch::Tensor* matrix : {&inverse_, &gram_}) {
      const torch::Tensor rows = matrix->view({alive_, group_size_, alive_, group_size_}).index_select(0, keep);
      const int64_t columns = (alive_ - 1) * group_size_;
      *matrix = rows.index_select(2, keep).view({columns, columns});
    }
    ids_ = ids_.index_select(0, keep);
  }

  torch::Tensor inverse_, gram_;  // of the groups still there
  int64_t group_size_;
  int64_t alive_;
  torch::Tensor ids_;
};

// Says once in a process why removals are not fused.
void SayWhyNotFused(const absl::Status& status) {
  static std::atomic<bool> said = false;
  if (said.exchange(true)) return;
  std::fprintf(stderr, "espalier worker: level banks take longer, since removals are not one kernel: %s\n",
               ToString(status.message()).c_str());
}

// Removes single columns, updates put off by blocks.
class ColumnElimination {
 public:
  // `kernel` takes a block's steps where it is not null.
  ColumnElimination(const torch::Tensor& inverse_nn, const torch::Tensor& gram_nn, int64_t block_columns, const RemovalKernel* kernel)
      : kernel_(kernel), block_columns_(block_columns), alive_(inverse_nn.size(0)) {
    base_ = torch::stack({inverse_nn, gram_nn}, 1);
    diagonals_ = torch::stack({inverse_nn.diagonal(), gram_nn.diagonal()});
    ids_ = torch::arange(alive_, base_.options().dtype(torch::kInt64));
    MakeLate();
  }

  int64_t alive() const { return alive_; }

  // Removes the next block's columns and writes their ids to the front of `order`; returns how many.
  int64_t RunBlock(torch::Tensor order) {
    const int64_t steps = std::min(block_columns_, alive_);
    if (!RunFused(order, steps)) {
      for (int64_t step = 0; step < steps; ++step) Step(step, order.narrow(0, step, 1));
    }
    alive_ -= steps;
    if (alive_ > 0) Settle(steps);
    return steps;
  }

 private:
  void MakeLate() {
    const int64_t parts = kernel_ == nullptr ? 2 : 3;
    late_ = torch::empty({parts, block_columns_, base_.size(0)}, base_.options());
  }

  bool RunFused(const torch::Tensor& order, int64_t steps) {
    if (kernel_ == nullptr) return false;
    const absl::Status status = kernel_->Run({base_, late_, diagonals_, ids_, order, alive_}, steps);
    if (status.ok()) return true;
    SayWhyNotFused(status);
    kernel_ = nullptr;
    MakeLate();
    return false;
  }

  void Step(int64_t step, torch::Tensor id) {
    torch::Tensor inverse_diagonal = diagonals_[0], gram_diagonal = diagonals_[1];
    const torch::Tensor position = Lowest((gram_diagonal / inverse_diagonal).clamp_min_(0));
    at::index_select_out(id, ids_, 0, position);
    if (alive_ - step == 1) return;

    const torch::Tensor rows = base_.index_select(0, position)[0];
    torch::Tensor u = late_[0][step], v = late_[1][step];
    CorrectRows(step, position, rows, u, v);
    const torch::Tensor at_position = diagonals_.index_select(1, position);  // M_ss, C_ss
    const torch::Tensor scale = at_position[0].rsqrt();
    u.mul_(scale);
    v.addcmul_(u, at_position[1] * scale, -0.5).mul_(scale);
    inverse_diagonal.addcmul_(u, u, -1);
    gram_diagonal.addcmul_(u, v, -2);
    // A column that is gone has an infinite norm for good: it is never the lowest again.
    inverse_diagonal.index_fill_(0, position, 1);
    gram_diagonal.index_fill_(0, position, std::numeric_limits<double>::infinity());
  }

  // The current rows of M and C at the position: the base's, less what the block's steps so far took away.
  void CorrectRows(int64_t step, const torch::Tensor& position, const torch::Tensor& rows, torch::Tensor inverse_row,
                   torch::Tensor gram_row) const {
    if (step == 0) {
      inverse_row.copy_(rows[0]);
      gram_row.copy_(rows[1]);
      return;
    }
    const torch::Tensor late_u = late_[0].narrow(0, 0, step), late_v = late_[1].narrow(0, 0, step);
    const torch::Tensor there = late_.narrow(1, 0, step).index_select(2, position).squeeze(2);  // [2, step]
    at::addmv_out(inverse_row, rows[0], late_u.t(), there[0], 1, -1);
    at::addmv_out(gram_row, rows[1], late_u.t(), there[1], 1, -1);
    gram_row.addmv_(late_v.t(), there[0], 1, -1);
  }

  // Ends a block: the late updates reach the base, and the base shrinks when an eighth of it is dead.
  void Settle(int64_t steps) {
    const torch::Tensor u = late_[0].narrow(0, 0, steps), v = late_[1].narrow(0, 0, steps);
    base_.select(1, 0).addmm_(u.t(), u, 1, -1);
    if (late_.size(0) == 3 && steps == block_columns_) {  // U^T V + V^T U as one product: C is read and written once
      const torch::Tensor rows = late_.flatten(0, 1);
      base_.select(1, 1).addmm_(rows.narrow(0, 0, 2 * steps).t(), rows.narrow(0, steps, 2 * steps), 1, -1);
    } else {
      base_.select(1, 1).addmm_(u.t(), v, 1, -1).addmm_(v.t(), u, 1, -1);
    }
    if (alive_ * 8 > base_.size(0) * 7) return;
    const torch::Tensor gone = diagonals_[1].isinf().to(torch::kUInt8);
    const torch::Tensor keep = AlivePositions(gone, alive_);
    base_ = base_.index_select(0, keep).index_select(2, keep);
    diagonals_ = diagonals_.index_select(1, keep);
    ids_ = ids_.index_select(0, keep);
    MakeLate();
  }

  const RemovalKernel* kernel_;
  int64_t block_columns_;
  int64_t alive_;            // columns not yet removed
  torch::Tensor base_;       // [columns, 2, columns]: rows of M and C as of the last block's end
  torch::Tensor diagonals_;  // [2, columns]: of M and C, current
  torch::Tensor ids_;        // [columns]: dense index of each column of base_
  torch::Tensor late_;       // [2 or 3, block, columns]: u, v (and u again) of the block's steps so far
};

// The kernel for these columns, and how many removals it takes at once; null where there is none.
const RemovalKernel* FindKernel(const torch::Tensor& inverse_nn, const EliminateOptions& options, int64_t& block_columns) {
  if (!inverse_nn.is_cuda() || !options.fused_removals) return nullptr;
  const absl::StatusOr<const RemovalKernel*> kernel = RemovalKernel::For(inverse_nn.device());
  if (!kernel.ok()) {
    SayWhyNotFused(kernel.status());
    return nullptr;
  }
  const int64_t fitting = (*kernel)->BlockColumns(inverse_nn.size(0), block_columns);
  if (fitting == 0) {
    SayWhyNotFused(absl::UnavailableError(absl::StrCat(inverse_nn.size(0), " columns do not fit the device's shared memory")));
    return nullptr;
  }
  block_columns = fitting;
  return *kernel;
}

std::vector<int> ToHost(const torch::Tensor& order) {
  const torch::Tensor host = order.to(torch::kCPU, torch::kInt32).contiguous();
  return std::vector<int>(host.const_data_ptr<int>(), host.const_data_ptr<int>() + host.numel());
}

}  // namespace

absl::StatusOr<std::vector<int>> EliminateGreedily(const PreparedProblem& prepared, int64_t group_size, const EliminateOptions& options,
                                                   const std::function<void(int64_t)>& progress, std::stop_token stop) {
  const int64_t num_groups = prepared.damped_nn.size(0) / group_size;
  torch::Tensor inverse_nn;
  {
    const auto [factor, info] = at::linalg_cholesky_ex(prepared.damped_nn);
    if (info.item<int>() != 0) {
      return absl::InvalidArgumentError("the second moments are singular: raise the damping, or calibrate on more tokens");
    }
    inverse_nn = at::cholesky_inverse(factor);
  }
  torch::Tensor gram_nn = prepared.weight_on.t().mm(prepared.weight_on);
  torch::Tensor order = torch::empty({num_groups}, inverse_nn.options().dtype(torch::kInt64));
  if (group_size > 1) {
    GroupElimination elimination(std::move(inverse_nn), std::move(gram_nn), group_size);
    for (int64_t gone = 0; gone < num_groups; ++gone) {
      if (stop.stop_requested()) return Cancelled();
      order.narrow(0, gone, 1).copy_(elimination.Step());
      if (progress) progress(gone + 1);
    }
    return ToHost(order);
  }
  int64_t block = options.block_columns > 0 ? options.block_columns : (order.is_cuda() ? 128 : 64);
  const RemovalKernel* const kernel = FindKernel(inverse_nn, options, block);
  ColumnElimination elimination(inverse_nn, gram_nn, block, kernel);
  inverse_nn.reset();
  gram_nn.reset();
  for (int64_t gone = 0; gone < num_groups;) {
    if (stop.stop_requested()) return Cancelled();
    gone += elimination.RunBlock(order.narrow(0, gone, num_groups - gone));
    if (progress) progress(gone);
  }
  return ToHost(order);
}

}  // namespace espalier
