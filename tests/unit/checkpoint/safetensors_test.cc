#include "common/checkpoint/safetensors.h"

#include <cstring>
#include <string>

#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/checkpoint/folders.h"

namespace espalier::checkpoint {
namespace {

using testing::RequireMessage;
using testing::Write;

std::string FileOf(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  return file + header + data;
}

absl::Status RefusalOfHeader(const std::string& header, const std::string& data) {
  return ParseSafetensorsHeader(FileOf(header, data), "model.safetensors", nullptr).status();
}

TEST_CASE("Safetensors: what was written is read back, with scalars, empty tensors and metadata", "[checkpoint]") {
  espalier::testing::TempDir temp;
  const std::string weights = "0123456789abcdefghijklmn";
  const std::vector<TensorToWrite> tensors = {{"b.weight", Dtype::kBFloat16, {3, 4}, weights},
                                              {"a.scalar", Dtype::kInt64, {}, std::string_view(weights).substr(0, 8)},
                                              {"empty", Dtype::kFloat32, {0, 7}, ""}};
  const std::string file = SerializeSafetensors(tensors, {{"format", "pt"}, {"note", "x \"y\""}});
  CHECK(file == SerializeSafetensors(tensors, {{"format", "pt"}, {"note", "x \"y\""}}));
  Write(temp / "m.safetensors", file);
  auto opened = SafetensorsFile::Open(temp / "m.safetensors");
  REQUIRE_OK(opened);
  const auto& read = (*opened)->tensors();
  REQUIRE(read.size() == 3);
  CHECK(read.at("b.weight").shape == std::vector<int64_t>{3, 4});
  CHECK(read.at("b.weight").dtype == Dtype::kBFloat16);
  CHECK((read.at("b.weight").begin) % 8 == 0);
  CHECK((*opened)->Bytes(read.at("b.weight")) == weights);
  CHECK((*opened)->Bytes(read.at("a.scalar")) == "01234567");
  CHECK(read.at("a.scalar").num_elements() == 1);
  CHECK((*opened)->Bytes(read.at("empty")).empty());
  CHECK((*opened)->metadata().at("note") == "x \"y\"");
}

TEST_CASE("Safetensors: a bad file is refused with file, tensor and value", "[checkpoint]") {
  const std::string good = R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  const std::string data(8, 'x');
  REQUIRE_OK(RefusalOfHeader(good, data));
  REQUIRE_OK(RefusalOfHeader(good + "   ", data));
  REQUIRE_OK(RefusalOfHeader("{}", ""));

  SECTION("too short for a header") {
    RequireMessage(ParseSafetensorsHeader("abc", "m", nullptr).status(), {"'m'", "3 bytes", "truncated"});
  }
  SECTION("a header that claims terabytes") {
    std::string file = FileOf(good, data);
    const uint64_t claimed = uint64_t{5} << 40;
    std::memcpy(file.data(), &claimed, 8);
    RequireMessage(ParseSafetensorsHeader(file, "m", nullptr).status(), {"'m'", "5497558138880"});
    const uint64_t all_ones = ~uint64_t{0};
    std::memcpy(file.data(), &all_ones, 8);
    RequireMessage(ParseSafetensorsHeader(file, "m", nullptr).status(), {"18446744073709551615"});
  }
  SECTION("a header longer than the file") {
    std::string file = FileOf(good, "");
    file.resize(40);
    const absl::Status status = ParseSafetensorsHeader(file, "m", nullptr).status();
    CHECK(absl::IsDataLoss(status));
    RequireMessage(status, {"'m'", "truncated"});
  }
  SECTION("data cut off") {
    const absl::Status status = RefusalOfHeader(good, "xxxx");
    CHECK(absl::IsDataLoss(status));
    RequireMessage(status, {"'model.safetensors'", "tensor 't'", "[0, 8]", "4 bytes", "truncated"});
  }
  SECTION("pickles and archives") {
    RequireMessage(
        ParseSafetensorsHeader(std::string("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j", 12), "m", nullptr).status(),
        {"pickle", "safetensors"});
    RequireMessage(ParseSafetensorsHeader(std::string("PK\x03\x04 archive/data.pkl"), "m", nullptr).status(), {"zip"});
    RequireMessage(ParseSafetensorsHeader("version https://git-lfs.github.com/spec/v1\noid", "m", nullptr).status(),
                   {"Git LFS"});
  }
  SECTION("not JSON, or not an object") {
    RequireMessage(RefusalOfHeader("{\"t\":", data), {"not valid JSON"});
    RequireMessage(RefusalOfHeader("[1, 2, 3]", ""), {"does not begin"});
    RequireMessage(RefusalOfHeader("{\"t\": 3}", ""), {"tensor 't'", "no object"});
    RequireMessage(RefusalOfHeader("{\"t\":{\"a\":{\"b\":{\"c\":{\"d\":1}}}}}", ""), {"deeper"});
  }
  SECTION("a key that stands twice") {
    RequireMessage(
        RefusalOfHeader(
            R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
            data),
        {"'t'", "twice"});
    RequireMessage(RefusalOfHeader(R"({"t":{"dtype":"F32","shape":[2],"shape":[1],"data_offsets":[0,8]}})", data),
                   {"'shape'", "twice"});
  }
  SECTION("metadata that is no text") {
    RequireMessage(RefusalOfHeader(R"({"__metadata__":{"a":1}})", ""), {"__metadata__", "'a'"});
  }
  SECTION("dtypes") {
    RequireMessage(RefusalOfHeader(R"({"t":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}})", data), {"'t'", "F8_E4M3"});
    RequireMessage(RefusalOfHeader(R"({"t":{"shape":[8],"data_offsets":[0,8]}})", data), {"dtype null"});
  }
  SECTION("shapes") {
    RequireMessage(RefusalOfHeader(R"({"t":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", data),
                   {"'t'", "[3]", "12", "8"});
    RequireMessage(RefusalOfHeader(R"({"t":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", data), {"-2"});
    RequireMessage(RefusalOfHeader(R"({"t":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", data), {"2.0"});
    RequireMessage(RefusalOfHeader(R"({"t":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}})", data),
                   {"overflow"});
    RequireMessage(RefusalOfHeader(R"({"t":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8]}})", data),
                   {"'t'"});
    RequireMessage(RefusalOfHeader(R"({"t":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8]}})", data),
                   {"rank 9"});
  }
  SECTION("offsets") {
    RequireMessage(RefusalOfHeader(R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", data), {"'t'", "[8, 0]"});
    RequireMessage(RefusalOfHeader(R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", data), {"two numbers"});
    RequireMessage(RefusalOfHeader(R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", data), {"[4, 12]", "outside"});
    RequireMessage(
        RefusalOfHeader(R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[18446744073709551608,18446744073709551615]}})",
                data),
        {"18446744073709551608"});
  }
  SECTION("overlaps, holes and rests") {
    const std::string twice =
        R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})";
    RequireMessage(RefusalOfHeader(twice, std::string(12, 'x')), {"'b'", "overlaps", "'a'"});
    const std::string same =
        R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
    RequireMessage(RefusalOfHeader(same, data), {"overlaps"});
    RequireMessage(RefusalOfHeader(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", data),
                   {"'a'", "hole", "4 bytes"});
    RequireMessage(RefusalOfHeader(good, data + "rest"), {"4 bytes", "no tensor"});
  }
  SECTION("unprintable names and unknown keys") {
    RequireMessage(RefusalOfHeader("{\"a\\n\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", data),
                   {"unprintable"});
    RequireMessage(RefusalOfHeader(R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"more":1}})", data), {"'more'"});
  }
}

TEST_CASE("Safetensors: no cut and no flipped byte of a header makes the reader crash or read outside",
          "[checkpoint]") {
  testing::OwnedTensors owned;
  testing::AddTensor(&owned, "first", Dtype::kFloat16, {3, 5});
  testing::AddTensor(&owned, "second", Dtype::kFloat32, {7});
  const std::string file = SerializeSafetensors(owned.tensors, {{"format", "pt"}});
  for (size_t length = 0; length < file.size(); ++length) {
    CHECK_FALSE(ParseSafetensorsHeader(file.substr(0, length), "cut", nullptr).ok());
  }
  int accepted = 0;
  for (size_t position = 0; position < file.size() - 58; ++position) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = file;
      changed[position] = static_cast<char>(changed[position] ^ (1 << bit));
      const auto parsed = ParseSafetensorsHeader(changed, "flipped", nullptr);
      if (!parsed.ok()) continue;
      ++accepted;
      for (const auto& [name, info] : *parsed) {
        REQUIRE(info.begin >= 0);
        REQUIRE(info.end <= static_cast<int64_t>(changed.size()));
      }
    }
  }
  CHECK(accepted > 0);  // a letter of a name may change
}

}  // namespace
}  // namespace espalier::checkpoint
