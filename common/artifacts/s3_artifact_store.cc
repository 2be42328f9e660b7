#include "common/artifacts/s3_artifact_store.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/artifacts/artifact_counts.h"
#include "common/artifacts/artifact_names.h"
#include "common/artifacts/mapped_bytes.h"
#include "common/base/sha256.h"
#include "common/base/status_macros.h"

namespace espalier {
namespace {

constexpr char kDigestHeader[] = "x-amz-meta-espalier-sha256";
constexpr int64_t kMaxCopyBytes = int64_t{5} << 30;  // of one server-side copy
constexpr int64_t kMaxParts = 10'000;

absl::StatusOr<absl::Time> HttpTime(const std::string& text) {
  absl::Time time;
  std::string error;
  if (absl::ParseTime("%a, %d %b %Y %H:%M:%S GMT", text, absl::UTCTimeZone(), &time, &error)) return time;
  return absl::UnavailableError(absl::StrCat("object storage: '", text.substr(0, 60), "' is no time: ", error));
}

std::string HeaderOf(const S3Response& response, const std::string& name) {
  const auto found = response.headers.find(name);
  return found == response.headers.end() ? "" : found->second;
}

absl::StatusOr<int64_t> Number(const std::string& text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size() && number >= 0) return number;
  return absl::UnavailableError(absl::StrCat("object storage: '", text.substr(0, 60), "' is no number of bytes"));
}

// The pieces' bytes from `begin`, `length` of them, as views.
std::vector<std::string_view> Cut(const std::vector<std::string_view>& pieces, int64_t begin, int64_t length) {
  std::vector<std::string_view> cut;
  for (const std::string_view piece : pieces) {
    const auto size = static_cast<int64_t>(piece.size());
    if (begin < size && length > 0) {
      const int64_t taken = std::min(size - begin, length);
      cut.push_back(piece.substr(static_cast<size_t>(begin), static_cast<size_t>(taken)));
      length -= taken;
      begin = 0;
    } else {
      begin = std::max<int64_t>(0, begin - size);
    }
  }
  return cut;
}

struct ListedObject {
  std::string key;  // below the prefix
  int64_t bytes = 0;
  absl::Duration age;
  absl::Time put_time;
};

class S3ArtifactStore final : public ArtifactStore {
 public:
  S3ArtifactStore(const S3Location& location, const S3StoreOptions& options)
      : client_(location, options.client), part_bytes_(options.part_bytes) {}

  absl::Status CheckBucket() {
    S3Request request;
    request.query = {{"list-type", "2"}, {"max-keys", "1"}};
    return SendOk(request).status();
  }

  absl::StatusOr<std::string> Put(std::string_view content) override { return PutPieces({content}); }

  absl::StatusOr<std::string> PutPieces(const std::vector<std::string_view>& pieces) override {
    Sha256 hash;
    int64_t bytes = 0;
    for (const std::string_view piece : pieces) hash.Update(piece), bytes += static_cast<int64_t>(piece.size());
    const std::string digest = hash.FinishHex();
    ESPALIER_ASSIGN_OR_RETURN(const bool is_fresh, Refresh(digest, bytes));
    if (is_fresh) return digest;
    ESPALIER_RETURN_IF_ERROR(bytes > part_bytes_ ? Upload(digest, pieces, bytes) : PutObject(KeyOf(digest), pieces, digest));
    return digest;
  }

  absl::StatusOr<std::string> PutFile(const std::string& path) override {
    ESPALIER_ASSIGN_OR_RETURN(const MappedBytes file, MappedBytes::Open(path));
    return PutPieces({file.view()});
  }

  absl::StatusOr<std::string> Get(const std::string& digest) override {
    ESPALIER_RETURN_IF_ERROR(CheckArtifactDigest(digest));
    S3Request request;
    request.key = KeyOf(digest);
    ESPALIER_ASSIGN_OR_RETURN(S3Response response, SendOk(request));
    if (Sha256Hex(response.body) == digest) return std::move(response.body);
    // Aside for whoever wants to know, and out of the way of a rebuild.
    const bool is_moved = PutObject("damaged/" + digest, {response.body}, "").ok() && Remove(digest).ok();
    return absl::DataLossError(absl::StrCat("artifact ", digest, " is damaged: its content has another digest",
                                            is_moved ? absl::StrCat("; it was moved to damaged/", digest) : ""));
  }

  absl::StatusOr<std::string> GetRange(const std::string& digest, int64_t offset, int64_t length) override {
    ESPALIER_RETURN_IF_ERROR(CheckArtifactDigest(digest));
    if (offset < 0 || length < 0) return OutOfRange(digest, offset, length);
    if (length > 0) {
      S3Request request;
      request.key = KeyOf(digest);
      request.headers = {absl::StrCat("Range: bytes=", offset, "-", offset + length - 1)};
      absl::StatusOr<S3Response> response = SendOk(request);
      if (response.ok()) return std::move(response->body);
      if (!absl::IsOutOfRange(response.status())) return response.status();
    }
    ESPALIER_ASSIGN_OR_RETURN(const int64_t size, Size(digest));
    if (offset > size) return OutOfRange(digest, offset, length);
    return std::string();
  }

  absl::StatusOr<int64_t> Size(const std::string& digest) override {
    ESPALIER_RETURN_IF_ERROR(CheckArtifactDigest(digest));
    ESPALIER_ASSIGN_OR_RETURN(const S3Response response, Head(KeyOf(digest)));
    return Number(HeaderOf(response, "content-length"));
  }

  absl::Status Remove(const std::string& digest) override {
    ESPALIER_RETURN_IF_ERROR(CheckArtifactDigest(digest));
    return RemoveObject(KeyOf(digest));
  }

  absl::Status SetName(const std::string& name, std::string_view value) override {
    ESPALIER_RETURN_IF_ERROR(CheckArtifactName(name));
    return PutObject("names/" + name, {value}, "");
  }

  absl::StatusOr<std::string> GetName(const std::string& name) override {
    ESPALIER_RETURN_IF_ERROR(CheckArtifactName(name));
    S3Request request;
    request.key = "names/" + name;
    ESPALIER_ASSIGN_OR_RETURN(S3Response response, SendOk(request));
    return std::move(response.body);
  }

  absl::Status RemoveName(const std::string& name) override {
    ESPALIER_RETURN_IF_ERROR(CheckArtifactName(name));
    return RemoveObject("names/" + name);
  }

  absl::StatusOr<std::vector<StoredArtifact>> List() override {
    std::vector<StoredArtifact> found;
    ESPALIER_RETURN_IF_ERROR(ForEachObject("sha256/", [&](const ListedObject& object) {
      const std::string digest = object.key.substr(object.key.rfind('/') + 1);
      if (!IsArtifactDigest(digest) || object.key != KeyOf(digest)) return;  // none of ours
      found.push_back({digest, object.bytes, object.age, object.put_time});
    }));
    return found;
  }

  absl::StatusOr<std::vector<StoredName>> ListNames() override {
    std::vector<StoredName> listed, found;
    ESPALIER_RETURN_IF_ERROR(ForEachObject("names/", [&](const ListedObject& object) {
      listed.push_back({object.key.substr(object.key.find('/') + 1), "", object.age});
    }));
    for (StoredName& name : listed) {
      if (!CheckArtifactName(name.name).ok()) continue;  // none of ours
      absl::StatusOr<std::string> value = GetName(name.name);
      if (absl::IsNotFound(value.status())) continue;
      ESPALIER_RETURN_IF_ERROR(value.status());
      name.value = *std::move(value);
      found.push_back(std::move(name));
    }
    return found;
  }

  absl::Status Keep(const std::string& digest) override {
    ESPALIER_ASSIGN_OR_RETURN(const int64_t bytes, Size(digest));
    ESPALIER_ASSIGN_OR_RETURN(const bool is_fresh, Refresh(digest, bytes));
    if (is_fresh) return absl::OkStatus();
    ESPALIER_ASSIGN_OR_RETURN(const std::string content, Get(digest));
    return Put(content).status();
  }

  absl::StatusOr<bool> RemoveUnused(const std::string& digest, absl::Time put_time) override {
    ESPALIER_RETURN_IF_ERROR(CheckArtifactDigest(digest));
    const absl::StatusOr<S3Response> response = Head(KeyOf(digest));
    if (absl::IsNotFound(response.status())) return true;
    ESPALIER_RETURN_IF_ERROR(response.status());
    ESPALIER_ASSIGN_OR_RETURN(const absl::Time written, HttpTime(HeaderOf(*response, "last-modified")));
    if (written > put_time) return false;
    ESPALIER_RETURN_IF_ERROR(RemoveObject(KeyOf(digest)));
    return true;
  }

 private:
  static std::string KeyOf(const std::string& digest) {
    return absl::StrCat("sha256/", digest.substr(0, 2), "/", digest);
  }
  static absl::Status OutOfRange(const std::string& digest, int64_t offset, int64_t length) {
    return absl::OutOfRangeError(
        absl::StrCat("bytes from ", offset, ", ", length, " of them, of artifact ", digest, ", which has fewer"));
  }

  absl::StatusOr<S3Response> SendOk(const S3Request& request) {
    ESPALIER_ASSIGN_OR_RETURN(S3Response response, client_.Send(request));
    ESPALIER_RETURN_IF_ERROR(client_.ToStatus(request, response));
    return response;
  }

  absl::StatusOr<S3Response> Head(const std::string& key) {
    S3Request request;
    request.method = "HEAD";
    request.key = key;
    return SendOk(request);
  }

  absl::Status RemoveObject(const std::string& key) {
    S3Request request;
    request.method = "DELETE";
    request.key = key;
    const absl::Status status = SendOk(request).status();
    return absl::IsNotFound(status) ? absl::OkStatus() : status;
  }

  absl::Status PutObject(const std::string& key, const std::vector<std::string_view>& pieces, const std::string& digest) {
    S3Request request;
    request.method = "PUT";
    request.key = key;
    request.body = pieces;
    request.body_digest = digest;  // the service refuses a body that arrives with another one
    if (!digest.empty()) request.headers = {absl::StrCat(kDigestHeader, ": ", digest)};
    return SendOk(request).status();
  }

  // Whether the artifact is there as we wrote it; makes it young by copying it onto itself, inside the service.
  absl::StatusOr<bool> Refresh(const std::string& digest, int64_t bytes) {
    const absl::StatusOr<S3Response> there = Head(KeyOf(digest));
    if (absl::IsNotFound(there.status())) return false;
    ESPALIER_RETURN_IF_ERROR(there.status());
    const bool is_ours = HeaderOf(*there, kDigestHeader) == digest && HeaderOf(*there, "content-length") == absl::StrCat(bytes);
    if (!is_ours || bytes > kMaxCopyBytes) return false;
    S3Request request;
    request.method = "PUT";
    request.key = KeyOf(digest);
    const S3Location& location = client_.location();
    request.headers = {absl::StrCat("x-amz-copy-source: /", location.bucket, "/", location.prefix, request.key),
                       "x-amz-metadata-directive: REPLACE", absl::StrCat(kDigestHeader, ": ", digest)};
    const absl::StatusOr<S3Response> copied = SendOk(request);
    if (absl::IsNotFound(copied.status())) return false;  // collected meanwhile
    ESPALIER_RETURN_IF_ERROR(copied.status());
    return !absl::StrContains(copied->body, "<Error>");  // a copy may fail after its 200
  }

  // In parts; what is left of an upload that fails is given up, and what is left when we die too, by the bucket's rules.
  absl::Status Upload(const std::string& digest, const std::vector<std::string_view>& pieces, int64_t bytes) {
    S3Request begin;
    begin.method = "POST";
    begin.key = KeyOf(digest);
    begin.query = {{"uploads", ""}};
    begin.headers = {absl::StrCat(kDigestHeader, ": ", digest)};
    ESPALIER_ASSIGN_OR_RETURN(const S3Response begun, SendOk(begin));
    const std::string id = XmlText(begun.body, "UploadId");
    if (id.empty()) return absl::UnavailableError("object storage: an upload in parts was begun without an id");
    const absl::Status status = UploadParts(digest, id, pieces, bytes);
    if (status.ok()) return status;
    S3Request abort;
    abort.method = "DELETE";
    abort.key = KeyOf(digest);
    abort.query = {{"uploadId", id}};
    client_.Send(abort).status().IgnoreError();
    return status;
  }

  absl::Status UploadParts(const std::string& digest, const std::string& id, const std::vector<std::string_view>& pieces,
                           int64_t bytes) {
    const int64_t part_bytes = std::max(part_bytes_, (bytes + kMaxParts - 1) / kMaxParts);
    std::string parts = "<CompleteMultipartUpload>";
    for (int64_t part = 0; part * part_bytes < bytes; ++part) {
      S3Request request;
      request.method = "PUT";
      request.key = KeyOf(digest);
      request.query = {{"partNumber", absl::StrCat(part + 1)}, {"uploadId", id}};
      request.body = Cut(pieces, part * part_bytes, part_bytes);
      ESPALIER_ASSIGN_OR_RETURN(const S3Response response, SendOk(request));
      absl::StrAppend(&parts, "<Part><PartNumber>", part + 1, "</PartNumber><ETag>", HeaderOf(response, "etag"), "</ETag></Part>");
    }
    absl::StrAppend(&parts, "</CompleteMultipartUpload>");
    S3Request complete;
    complete.method = "POST";
    complete.key = KeyOf(digest);
    complete.query = {{"uploadId", id}};
    complete.body = {parts};
    ESPALIER_ASSIGN_OR_RETURN(const S3Response response, SendOk(complete));
    const std::string code = XmlText(response.body, "Code");  // it may fail after its 200
    return code.empty() ? absl::OkStatus() : absl::UnavailableError(absl::StrCat("object storage: upload in parts: ", code));
  }

  absl::Status ForEachObject(const std::string& below, const std::function<void(const ListedObject&)>& visit) {
    const std::string prefix = client_.location().prefix + below;
    std::string next;
    do {
      S3Request request;
      if (!next.empty()) request.query.emplace_back("continuation-token", next);
      request.query.emplace_back("list-type", "2");
      request.query.emplace_back("prefix", prefix);
      ESPALIER_ASSIGN_OR_RETURN(const S3Response response, SendOk(request));
      ESPALIER_ASSIGN_OR_RETURN(const absl::Time now, HttpTime(HeaderOf(response, "date")));
      for (size_t at = 0; (at = response.body.find("<Contents>", at)) != std::string::npos; ++at) {
        const std::string entry = XmlText(response.body, "Contents", at);
        ListedObject object;
        const std::string key = XmlText(entry, "Key");
        if (!absl::StartsWith(key, prefix)) continue;
        object.key = key.substr(client_.location().prefix.size());
        ESPALIER_ASSIGN_OR_RETURN(object.bytes, Number(XmlText(entry, "Size")));
        absl::Time written;
        std::string error;
        if (!absl::ParseTime(absl::RFC3339_full, XmlText(entry, "LastModified"), &written, &error)) {
          return absl::UnavailableError(absl::StrCat("object storage: LastModified of ", object.key, ": ", error));
        }
        object.put_time = written;
        object.age = now - written;
        visit(object);
      }
      const bool is_cut = XmlText(response.body, "IsTruncated") == "true";
      const std::string token = XmlText(response.body, "NextContinuationToken");
      if (is_cut && (token.empty() || token == next)) return absl::UnavailableError("object storage: a list that does not end");
      next = is_cut ? token : "";
    } while (!next.empty());
    return absl::OkStatus();
  }

  S3Client client_;
  const int64_t part_bytes_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ArtifactStore>> OpenS3ArtifactStore(const S3Location& location, const S3StoreOptions& options) {
  auto store = std::make_unique<S3ArtifactStore>(location, options);
  ESPALIER_RETURN_IF_ERROR(store->CheckBucket());
  return store;
}

namespace {

absl::StatusOr<std::unique_ptr<ArtifactStore>> OpenUncounted(const std::string& where, const std::string& endpoint) {
  if (!IsObjectStorage(where)) {
    if (!endpoint.empty()) return absl::InvalidArgumentError("--artifact-endpoint: is for --artifacts s3://BUCKET/PREFIX");
    return OpenFolderArtifactStore(where);
  }
  ESPALIER_ASSIGN_OR_RETURN(const S3Location location, ParseS3Location(where, endpoint));
  return OpenS3ArtifactStore(location, {});
}

}  // namespace

absl::StatusOr<std::unique_ptr<ArtifactStore>> OpenArtifactStore(const std::string& where, const std::string& endpoint) {
  ESPALIER_ASSIGN_OR_RETURN(std::unique_ptr<ArtifactStore> store, OpenUncounted(where, endpoint));
  return CountOperations(std::move(store), &ArtifactCounts::OfProcess());
}

bool IsObjectStorage(const std::string& where) { return absl::StartsWith(where, "s3://"); }

}  // namespace espalier
