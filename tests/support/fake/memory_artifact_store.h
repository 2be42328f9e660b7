// Artifacts in memory, with a clock that the test drives.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/artifacts/artifact_store.h"
#include "common/base/sha256.h"

namespace espalier::testing {

class MemoryArtifactStore final : public ArtifactStore {
 public:
  absl::StatusOr<std::string> Put(std::string_view content) override {
    const std::string digest = Sha256Hex(content);
    contents[digest] = {std::string(content), now};
    return digest;
  }
  absl::StatusOr<std::string> PutFile(const std::string& path) override {
    return absl::UnimplementedError(absl::StrCat("no files here: ", path));
  }
  absl::StatusOr<std::string> Get(const std::string& digest) override {
    const auto found = contents.find(digest);
    if (found == contents.end()) return absl::NotFoundError(absl::StrCat("no artifact ", digest));
    return found->second.first;
  }
  absl::StatusOr<std::string> GetRange(const std::string& digest, int64_t offset, int64_t length) override {
    absl::StatusOr<std::string> content = Get(digest);
    if (!content.ok()) return content;
    return content->substr(static_cast<size_t>(offset), static_cast<size_t>(length));
  }
  absl::StatusOr<int64_t> Size(const std::string& digest) override {
    const absl::StatusOr<std::string> content = Get(digest);
    if (!content.ok()) return content.status();
    return static_cast<int64_t>(content->size());
  }
  absl::Status Remove(const std::string& digest) override {
    contents.erase(digest);
    return absl::OkStatus();
  }
  absl::Status SetName(const std::string& name, std::string_view value) override {
    names[name] = {std::string(value), now};
    return absl::OkStatus();
  }
  absl::StatusOr<std::string> GetName(const std::string& name) override {
    const auto found = names.find(name);
    if (found == names.end()) return absl::NotFoundError(absl::StrCat("no name ", name));
    return found->second.first;
  }
  absl::Status RemoveName(const std::string& name) override {
    names.erase(name);
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<StoredArtifact>> List() override {
    std::vector<StoredArtifact> all;
    for (const auto& [digest, item] : contents) {
      all.push_back({digest, static_cast<int64_t>(item.first.size()), now - item.second, item.second});
    }
    return all;
  }
  absl::StatusOr<std::vector<StoredName>> ListNames() override {
    std::vector<StoredName> all;
    for (const auto& [name, item] : names) all.push_back({name, item.first, now - item.second});
    return all;
  }
  absl::Status Keep(const std::string& digest) override {
    const auto found = contents.find(digest);
    if (found == contents.end()) return absl::NotFoundError(absl::StrCat("no artifact ", digest));
    found->second.second = now;
    return absl::OkStatus();
  }
  absl::StatusOr<bool> RemoveUnused(const std::string& digest, absl::Time put_time) override {
    const auto found = contents.find(digest);
    if (found == contents.end()) return true;
    if (before_removal) before_removal(digest);
    if (found->second.second > put_time) return false;
    contents.erase(found);
    return true;
  }

  using Item = std::pair<std::string, absl::Time>;  // and when it was put
  std::map<std::string, Item> contents;
  std::map<std::string, Item> names;
  absl::Time now = absl::UnixEpoch();
  std::function<void(const std::string& digest)> before_removal;  // what others do at that moment
};

}  // namespace espalier::testing
