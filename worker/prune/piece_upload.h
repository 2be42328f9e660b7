// Copies of a candidate's bank pieces from page-locked host memory to the device, on a stream of their own beside the
// task's work: they run while the dense model's slices are taken.
#pragma once

#include <torch/types.h>

#include <memory>
#include <utility>
#include <vector>

namespace espalier {

// What a device does for an upload. Confined to one thread, whose stream is "the caller's".
class DeviceCopies {
 public:
  virtual ~DeviceCopies() = default;
  virtual bool IsThere(const torch::Tensor& tensor) const = 0;
  // Memory on the device that belongs to the caller's stream: earlier work of that stream may still use it.
  virtual torch::Tensor Allocate(const torch::Tensor& like) = 0;
  // The copies' stream goes on when what the caller's stream has queued by now is done.
  virtual void WaitForCaller() = 0;
  virtual void Copy(const torch::Tensor& from_host, const torch::Tensor& to) = 0;
  // The caller's stream goes on when the copies queued by now are done.
  virtual void MakeCallerWait() = 0;
};

// Real ones; on CPU everything is there already.
std::unique_ptr<DeviceCopies> MakeDeviceCopies(torch::Device device);

class PieceUpload {
 public:
  // kShapes: nothing is copied, for a candidate whose weights are all written before they are read.
  enum class Contents { kCopied, kShapes };
  PieceUpload(std::unique_ptr<DeviceCopies> copies, Contents contents);
  // Memory that copies still write to must not go back to the caller's stream.
  ~PieceUpload();
  PieceUpload(const PieceUpload&) = delete;
  PieceUpload& operator=(const PieceUpload&) = delete;

  // The tensor on the device; its content is there after Await only. As it is when it is undefined or there already.
  // The host's tensor must live until Await.
  torch::Tensor Add(const torch::Tensor& tensor);
  // Queues the copies of what was added since the last call. May throw, as LibTorch does.
  void Start();
  // From here on the caller's stream may read the pieces, and their memory may be freed there.
  void Await();

 private:
  const std::unique_ptr<DeviceCopies> copies_;
  const Contents contents_;
  std::vector<std::pair<torch::Tensor, torch::Tensor>> added_;  // from the host, to the device
  std::vector<std::pair<torch::Tensor, torch::Tensor>> under_way_;
};

}  // namespace espalier
