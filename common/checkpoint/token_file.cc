#include "common/checkpoint/token_file.h"

#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/check.h"
#include "common/base/status_macros.h"
#include "common/base/strings.h"
#include "common/checkpoint/mapped_file.h"

namespace espalier::checkpoint {
namespace {

enum class TokenType { kUint16, kUint32, kInt32, kInt64 };

struct NpyHeader {
  std::string descr;
  bool fortran_order = false;
  std::vector<int64_t> shape;
  size_t data_begin = 0;
};

absl::Status Refuse(const std::string& path, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat("'", path, "': ", what));
}

// The header is a Python literal: {'descr': '<u2', 'fortran_order': False, 'shape': (1024, 512), }.
class HeaderScanner {
 public:
  explicit HeaderScanner(std::string_view text) : text_(text) {}

  bool Parse(NpyHeader* header) {
    if (!Eat('{')) return false;
    int seen = 0;
    while (!Eat('}')) {
      std::string key;
      if (!Quoted(&key) || !Eat(':')) return false;
      if (key == "descr") {
        if (!Quoted(&header->descr)) return false;
      } else if (key == "fortran_order") {
        if (!Boolean(&header->fortran_order)) return false;
      } else if (key == "shape") {
        if (!Tuple(&header->shape)) return false;
      } else {
        return false;
      }
      ++seen;
      Eat(',');
    }
    Skip();
    return seen == 3 && text_.empty();
  }

 private:
  void Skip() {
    while (!text_.empty() && (text_.front() == ' ' || text_.front() == '\n')) text_.remove_prefix(1);
  }
  bool Eat(char c) {
    Skip();
    if (text_.empty() || text_.front() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  bool Quoted(std::string* value) {
    Skip();
    if (text_.empty() || (text_.front() != '\'' && text_.front() != '"')) return false;
    const size_t end = text_.find(text_.front(), 1);
    if (end == std::string_view::npos) return false;
    *value = std::string(text_.substr(1, end - 1));
    text_.remove_prefix(end + 1);
    return true;
  }
  bool Boolean(bool* value) {
    Skip();
    for (const auto& [word, meaning] : {std::pair<std::string_view, bool>{"True", true}, {"False", false}}) {
      if (!text_.starts_with(word)) continue;
      text_.remove_prefix(word.size());
      *value = meaning;
      return true;
    }
    return false;
  }
  bool Tuple(std::vector<int64_t>* values) {
    if (!Eat('(')) return false;
    while (!Eat(')')) {
      Skip();
      const size_t digits = std::min(text_.find_first_not_of("0123456789"), text_.size());
      int64_t value = 0;
      if (!absl::SimpleAtoi(ToAbsl(text_.substr(0, digits)), &value) || value < 0) return false;
      values->push_back(value);
      text_.remove_prefix(digits);
      Eat(',');
    }
    return true;
  }

  std::string_view text_;
};

absl::StatusOr<NpyHeader> ReadHeader(std::string_view bytes, const std::string& path) {
  using namespace std::string_view_literals;
  if (!bytes.starts_with("\x93NUMPY"sv)) {
    const std::string kind = ForeignKind(bytes);
    return Refuse(path, kind.empty() ? "this is not a numpy .npy file"
                                     : absl::StrCat("this is ", kind, ", not a numpy .npy file"));
  }
  if (bytes.size() < 12)
    return absl::DataLossError(
        absl::StrCat("'", path, "': ", bytes.size(), " bytes are too few for a .npy file; is it truncated?"));
  const int major = bytes[6];
  if (major < 1 || major > 3) return Refuse(path, absl::StrCat("version ", major, " of the .npy format is not known"));
  const size_t length_bytes = major == 1 ? 2 : 4;
  uint32_t length = 0;
  std::memcpy(&length, bytes.data() + 8, length_bytes);
  NpyHeader header;
  header.data_begin = 8 + length_bytes + length;
  if (length > 65536 || header.data_begin > bytes.size()) {
    return Refuse(path, absl::StrCat("the .npy header claims ", length, " bytes; is the file truncated?"));
  }
  if (!HeaderScanner(bytes.substr(8 + length_bytes, length)).Parse(&header))
    return Refuse(path, "the .npy header cannot be read");
  return header;
}

absl::StatusOr<TokenType> TypeOf(const std::string& descr, const std::string& path) {
  if (descr == "<u2") return TokenType::kUint16;
  if (descr == "<u4") return TokenType::kUint32;
  if (descr == "<i4") return TokenType::kInt32;
  if (descr == "<i8") return TokenType::kInt64;
  return Refuse(path, absl::StrCat("dtype '", descr,
                                   "' is not supported; tokens are uint16, uint32, int32 or int64, little-endian"));
}

int64_t BytesOf(TokenType type) { return type == TokenType::kUint16 ? 2 : type == TokenType::kInt64 ? 8 : 4; }

template <typename T>
void Convert(const char* bytes, int64_t count, int64_t* out) {
  for (int64_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, bytes + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
    out[i] = static_cast<int64_t>(value);
  }
}

class NpyTokenFile final : public TokenFile {
 public:
  NpyTokenFile(std::unique_ptr<MappedFile> file, TokenType type, size_t data_begin, int64_t num_tokens, int row_length)
      : file_(std::move(file)),
        type_(type),
        data_begin_(data_begin),
        num_tokens_(num_tokens),
        row_length_(row_length) {}

  const std::string& path() const override { return file_->path(); }
  int64_t num_tokens() const override { return num_tokens_; }
  int row_length() const override { return row_length_; }

  void Read(int64_t begin, int64_t count, int64_t* out) const override {
    ESPALIER_CHECK(begin >= 0 && count >= 0 && begin <= num_tokens_ - count);
    const char* bytes = file_->bytes().data() + data_begin_ + begin * BytesOf(type_);
    switch (type_) {
      case TokenType::kUint16:
        return Convert<uint16_t>(bytes, count, out);
      case TokenType::kUint32:
        return Convert<uint32_t>(bytes, count, out);
      case TokenType::kInt32:
        return Convert<int32_t>(bytes, count, out);
      case TokenType::kInt64:
        return Convert<int64_t>(bytes, count, out);
    }
  }

  absl::Status CheckIds(int vocabulary_size) const {
    constexpr int64_t kChunk = 1 << 16;
    std::vector<int64_t> ids(static_cast<size_t>(std::min(kChunk, num_tokens_)));
    for (int64_t begin = 0; begin < num_tokens_; begin += kChunk) {
      const int64_t count = std::min(kChunk, num_tokens_ - begin);
      Read(begin, count, ids.data());
      for (int64_t i = 0; i < count; ++i) {
        const int64_t id = ids[static_cast<size_t>(i)];
        if (id < 0 || id >= vocabulary_size) {
          return Refuse(path(), absl::StrCat("token id ", id, " at position ", begin + i,
                                             " is outside of the model's vocabulary of ", vocabulary_size));
        }
      }
    }
    return absl::OkStatus();
  }

 private:
  std::unique_ptr<MappedFile> file_;
  TokenType type_;
  size_t data_begin_;
  int64_t num_tokens_;
  int row_length_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TokenFile>> TokenFile::Open(const std::string& path, int vocabulary_size) {
  ESPALIER_ASSIGN_OR_RETURN(std::unique_ptr<MappedFile> file, MappedFile::Open(path));
  ESPALIER_ASSIGN_OR_RETURN(const NpyHeader header, ReadHeader(file->bytes(), path));
  ESPALIER_ASSIGN_OR_RETURN(const TokenType type, TypeOf(header.descr, path));
  const size_t rank = header.shape.size();
  if (rank != 1 && rank != 2)
    return Refuse(path, absl::StrCat("it has ", rank, " dimensions; tokens are a list or a table of rows"));
  if (header.fortran_order && rank == 2)
    return Refuse(path, "its rows lie in Fortran order; save it with numpy.ascontiguousarray");
  int64_t num_tokens = 1;
  for (const int64_t size : header.shape) {
    if (__builtin_mul_overflow(num_tokens, size, &num_tokens)) return Refuse(path, "its shape overflows");
  }
  if (num_tokens == 0) return Refuse(path, "it holds no tokens");
  int64_t wanted = 0;
  const int64_t there = static_cast<int64_t>(file->bytes().size() - header.data_begin);
  if (__builtin_mul_overflow(num_tokens, BytesOf(type), &wanted)) return Refuse(path, "its shape overflows");
  if (wanted > there) {
    return absl::DataLossError(absl::StrCat("'", path, "': ", num_tokens, " tokens of '", header.descr, "' take ",
                                            wanted, " bytes, the file holds ", there, "; is it truncated?"));
  }
  if (wanted < there) return Refuse(path, absl::StrCat(there - wanted, " bytes after the last token"));
  if (rank == 2 && header.shape[1] > INT32_MAX) return Refuse(path, "its rows are too long");
  const int row_length = rank == 2 ? static_cast<int>(header.shape[1]) : 0;
  auto result = std::make_unique<NpyTokenFile>(std::move(file), type, header.data_begin, num_tokens, row_length);
  if (vocabulary_size > 0) ESPALIER_RETURN_IF_ERROR(result->CheckIds(vocabulary_size));
  return result;
}

}  // namespace espalier::checkpoint
