#include "common/checkpoint/token_file.h"

#include <cstring>
#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/checkpoint/folders.h"

namespace espalier::checkpoint {
namespace {

using testing::RequireMessage;
using testing::Write;

std::string Npy(const std::string& header, const std::string& data) {
  std::string padded = header;
  while ((10 + padded.size() + 1) % 64 != 0) padded += ' ';
  padded += '\n';
  std::string file = "\x93NUMPY";
  file += '\x01';
  file += '\0';
  file += static_cast<char>(padded.size() & 0xff);
  file += static_cast<char>(padded.size() >> 8);
  return file + padded + data;
}

std::string Header(const std::string& descr, const std::string& shape) {
  return "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }";
}

template <typename T>
std::string BytesOf(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

template <typename T>
void CheckReads(const std::string& descr) {
  espalier::testing::TempDir temp;
  Write(temp / "t.npy", Npy(Header(descr, "(2, 3)"), BytesOf<T>({5, 6, 7, 8, 9, 10})));
  auto file = TokenFile::Open(temp / "t.npy", 11);
  REQUIRE_OK(file);
  CHECK((*file)->num_tokens() == 6);
  CHECK((*file)->row_length() == 3);
  int64_t tokens[4] = {};
  (*file)->Read(1, 4, tokens);
  CHECK(std::vector<int64_t>(tokens, tokens + 4) == std::vector<int64_t>{6, 7, 8, 9});
}

TEST_CASE("TokenFile: every integer type, flat and in rows", "[checkpoint]") {
  CheckReads<uint16_t>("<u2");
  CheckReads<uint32_t>("<u4");
  CheckReads<int32_t>("<i4");
  CheckReads<int64_t>("<i8");
  espalier::testing::TempDir temp;
  Write(temp / "flat.npy", Npy(Header("<u2", "(4,)"), BytesOf<uint16_t>({1, 2, 3, 65535})));
  auto flat = TokenFile::Open(temp / "flat.npy", 0);
  REQUIRE_OK(flat);
  CHECK((*flat)->row_length() == 0);
  CHECK((*flat)->num_tokens() == 4);
}

TEST_CASE("TokenFile: a bad file is refused with its name and the value", "[checkpoint]") {
  espalier::testing::TempDir temp;
  const std::string path = temp / "bad.npy";
  const auto refusal = [&](const std::string& content, int vocabulary_size) {
    Write(path, content);
    return TokenFile::Open(path, vocabulary_size).status();
  };
  const std::string four = BytesOf<uint16_t>({1, 2, 3, 4});

  SECTION("ids beyond the vocabulary") {
    RequireMessage(refusal(Npy(Header("<u2", "(4,)"), BytesOf<uint16_t>({1, 4096, 3, 5000})), 4096),
                   {path, "4096", "position 1", "vocabulary of 4096"});
    RequireMessage(refusal(Npy(Header("<i4", "(2,)"), BytesOf<int32_t>({1, -7})), 4096), {"-7", "position 1"});
    RequireMessage(refusal(Npy(Header("<i8", "(2,)"), BytesOf<int64_t>({1, int64_t{1} << 40})), 4096),
                   {"1099511627776"});
  }
  SECTION("dtypes") {
    RequireMessage(refusal(Npy(Header("<f4", "(2,)"), four + four), 0), {"<f4", "uint16"});
    RequireMessage(refusal(Npy(Header(">u2", "(4,)"), four), 0), {">u2"});
    RequireMessage(refusal(Npy(Header("|O", "(4,)"), four), 0), {"|O"});
  }
  SECTION("order and dimensions") {
    RequireMessage(refusal(Npy("{'descr': '<u2', 'fortran_order': True, 'shape': (2, 2), }", four), 0), {"Fortran"});
    RequireMessage(refusal(Npy(Header("<u2", "(1, 2, 2)"), four), 0), {"3 dimensions"});
    RequireMessage(refusal(Npy(Header("<u2", "()"), BytesOf<uint16_t>({1})), 0), {"0 dimensions"});
    RequireMessage(refusal(Npy(Header("<u2", "(0,)"), ""), 0), {"no tokens"});
  }
  SECTION("sizes") {
    const absl::Status truncated = refusal(Npy(Header("<u2", "(5,)"), four), 0);
    CHECK(absl::IsDataLoss(truncated));
    RequireMessage(truncated, {"10 bytes", "8", "truncated"});
    RequireMessage(refusal(Npy(Header("<u2", "(3,)"), four), 0), {"2 bytes after"});
    RequireMessage(refusal(Npy(Header("<i8", "(4611686018427387904, 4)"), four), 0), {"overflow"});
    RequireMessage(refusal(Npy(Header("<i8", "(4611686018427387904,)"), four), 0), {"overflow"});
  }
  SECTION("another kind of file") {
    RequireMessage(refusal("", 0), {"not a numpy"});
    RequireMessage(refusal(std::string("PK\x03\x04") + four, 0), {"zip", ".npy"});
    RequireMessage(refusal("\xfd"
                           "7zXZ rest",
                           0),
                   {"xz", "decompress"});
    RequireMessage(refusal("the tokens", 0), {"not a numpy"});
    RequireMessage(refusal(std::string("\x93NUMPY\x01", 7), 0), {"truncated"});
    RequireMessage(refusal(Npy("{'descr': '<u2', 'shape': (4,), }", four), 0), {"header"});
    RequireMessage(refusal(Npy("{'descr': '<u2', 'fortran_order': maybe, 'shape': (4,), }", four), 0), {"header"});
    RequireMessage(TokenFile::Open(temp / "none.npy", 0).status(), {"none.npy"});
    RequireMessage(TokenFile::Open(temp.path(), 0).status(), {temp.path(), "not a regular file"});
  }
}

}  // namespace
}  // namespace espalier::checkpoint
