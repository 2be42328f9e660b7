#include "worker/prune/piece_upload.h"

#include <ATen/ops/empty_like.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <exception>

namespace espalier {
namespace {

class NoCopies final : public DeviceCopies {
 public:
  bool IsThere(const torch::Tensor&) const override { return true; }
  torch::Tensor Allocate(const torch::Tensor& like) override { return at::empty_like(like); }
  void WaitForCaller() override {}
  void Copy(const torch::Tensor& from_host, const torch::Tensor& to) override { to.copy_(from_host); }
  void MakeCallerWait() override {}
};

// The copies' stream is of high priority only because those come from a pool of their own: no task works on one.
class StreamCopies final : public DeviceCopies {
 public:
  explicit StreamCopies(torch::Device device)
      : device_(device),
        caller_(c10::impl::VirtualGuardImpl(device.type()).getStream(device)),
        own_(c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device, /*isHighPriority=*/true)) {}

  bool IsThere(const torch::Tensor& tensor) const override { return tensor.device() == device_; }
  torch::Tensor Allocate(const torch::Tensor& like) override {
    const c10::StreamGuard on(caller_);
    return at::empty_like(like, like.options().device(device_).pinned_memory(false));
  }
  void WaitForCaller() override { Order(caller_, own_); }
  void Copy(const torch::Tensor& from_host, const torch::Tensor& to) override {
    const c10::StreamGuard on(own_);
    to.copy_(from_host, /*non_blocking=*/true);
  }
  void MakeCallerWait() override { Order(own_, caller_); }

 private:
  void Order(const c10::Stream& before, const c10::Stream& after) const {
    c10::Event event(device_.type());
    event.record(before);
    event.block(after);
  }

  const torch::Device device_;
  const c10::Stream caller_;
  const c10::Stream own_;
};

}  // namespace

std::unique_ptr<DeviceCopies> MakeDeviceCopies(torch::Device device) {
  if (!device.is_cuda()) return std::make_unique<NoCopies>();
  return std::make_unique<StreamCopies>(device);
}

PieceUpload::PieceUpload(std::unique_ptr<DeviceCopies> copies, Contents contents)
    : copies_(std::move(copies)), contents_(contents) {}

PieceUpload::~PieceUpload() {
  try {
    Await();
  } catch (const std::exception&) {  // a lost device: the next call reports it
  }
}

torch::Tensor PieceUpload::Add(const torch::Tensor& tensor) {
  if (!tensor.defined() || copies_->IsThere(tensor)) return tensor;
  torch::Tensor there = copies_->Allocate(tensor);
  if (contents_ == Contents::kCopied) added_.emplace_back(tensor, there);
  return there;
}

void PieceUpload::Start() {
  if (added_.empty()) return;
  copies_->WaitForCaller();
  for (auto& pair : added_) {
    under_way_.push_back(std::move(pair));
    copies_->Copy(under_way_.back().first, under_way_.back().second);
  }
  added_.clear();
}

void PieceUpload::Await() {
  if (under_way_.empty()) return;
  copies_->MakeCallerWait();
  under_way_.clear();
}

}  // namespace espalier
