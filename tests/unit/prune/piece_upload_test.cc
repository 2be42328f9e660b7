#include "worker/prune/piece_upload.h"

#include <string>

#include "tests/support/catch.h"

namespace espalier {
namespace {

// A device whose copies happen as late as they may: when the caller's stream waits for them.
struct FakeDevice {
  std::string calls;
  std::vector<torch::Tensor> there;
  std::vector<std::pair<torch::Tensor, torch::Tensor>> queued;
  bool breaks = false;  // at the second copy
};

class LateCopies final : public DeviceCopies {
 public:
  explicit LateCopies(FakeDevice& device) : device_(device) {}
  bool IsThere(const torch::Tensor& tensor) const override {
    for (const torch::Tensor& each : device_.there) {
      if (each.is_same(tensor)) return true;
    }
    return false;
  }
  torch::Tensor Allocate(const torch::Tensor& like) override {
    device_.calls += "a";
    device_.there.push_back(torch::full_like(like, -1));
    return device_.there.back();
  }
  void WaitForCaller() override { device_.calls += "w"; }
  void Copy(const torch::Tensor& from_host, const torch::Tensor& to) override {
    device_.calls += "c";
    if (device_.breaks && !device_.queued.empty()) throw std::runtime_error("the device is lost");
    device_.queued.emplace_back(from_host, to);
  }
  void MakeCallerWait() override {
    device_.calls += "m";
    for (auto& [from, to] : device_.queued) to.copy_(from);
    device_.queued.clear();
  }

 private:
  FakeDevice& device_;
};

TEST_CASE("PieceUpload: pieces are allocated before the copies' stream waits, and are there after Await", "[prune]") {
  FakeDevice device;
  PieceUpload upload(std::make_unique<LateCopies>(device), PieceUpload::Contents::kCopied);
  const torch::Tensor first = upload.Add(torch::full({3}, 1.0F)), second = upload.Add(torch::full({2}, 2.0F));
  CHECK(device.calls == "aa");
  upload.Start();
  CHECK(device.calls == "aawcc");
  CHECK(first[0].item<float>() == -1);
  upload.Await();
  CHECK(device.calls == "aawccm");
  CHECK(first[0].item<float>() == 1);
  CHECK(second[1].item<float>() == 2);

  // What comes later is copied alone, and what was awaited is not awaited again.
  const torch::Tensor third = upload.Add(torch::full({1}, 3.0F));
  upload.Start();
  upload.Start();
  upload.Await();
  upload.Await();
  CHECK(device.calls == "aawccmawcm");
  CHECK(third[0].item<float>() == 3);
}

TEST_CASE("PieceUpload: what is on the device or undefined comes back as it is", "[prune]") {
  FakeDevice device;
  PieceUpload upload(std::make_unique<LateCopies>(device), PieceUpload::Contents::kCopied);
  device.there.push_back(torch::ones({3}));
  CHECK(upload.Add(device.there[0]).is_same(device.there[0]));
  CHECK_FALSE(upload.Add(torch::Tensor()).defined());
  upload.Start();
  upload.Await();
  CHECK(device.calls.empty());
}

TEST_CASE("PieceUpload: memory that copies write to is not given back before they are done", "[prune]") {
  FakeDevice device;
  {
    PieceUpload upload(std::make_unique<LateCopies>(device), PieceUpload::Contents::kCopied);
    upload.Add(torch::full({3}, 1.0F));
    upload.Start();
  }
  CHECK(device.calls == "awcm");
  CHECK(device.queued.empty());

  device = FakeDevice();
  device.breaks = true;
  {
    PieceUpload upload(std::make_unique<LateCopies>(device), PieceUpload::Contents::kCopied);
    upload.Add(torch::full({3}, 1.0F));
    upload.Add(torch::full({3}, 1.0F));
    CHECK_THROWS(upload.Start());
  }
  CHECK(device.calls == "aawccm");
  CHECK(device.queued.empty());

  // Not started: nothing to wait for.
  device = FakeDevice();
  { PieceUpload(std::make_unique<LateCopies>(device), PieceUpload::Contents::kCopied).Add(torch::ones({1})); }
  CHECK(device.calls == "a");
}

TEST_CASE("PieceUpload: for shapes alone nothing is copied", "[prune]") {
  FakeDevice device;
  PieceUpload upload(std::make_unique<LateCopies>(device), PieceUpload::Contents::kShapes);
  const torch::Tensor piece = upload.Add(torch::full({3, 2}, 1.0F));
  upload.Start();
  upload.Await();
  CHECK(device.calls == "a");
  CHECK(piece.sizes() == at::IntArrayRef({3, 2}));
}

}  // namespace
}  // namespace espalier
