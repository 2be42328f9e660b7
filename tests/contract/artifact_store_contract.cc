#include "tests/contract/artifact_store_contract.h"

#include <algorithm>
#include <set>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "common/base/sha256.h"
#include "tests/support/catch.h"

namespace espalier::testing {
namespace {

const std::string& Content() {
  static const std::string content("weights\0of a layer", 18);
  return content;
}

void CheckContent(const ArtifactStoreUnderTest& under_test) {
  const auto store = under_test.open();
  const auto digest = store->Put(Content());
  REQUIRE_OK(digest);
  CHECK(*digest == Sha256Hex(Content()));
  CHECK(store->Get(*digest).value() == Content());
  CHECK(store->Size(*digest).value() == 18);
  CHECK(store->GetRange(*digest, 8, 4).value() == "of a");
  CHECK(store->GetRange(*digest, 14, 100).value() == "ayer");
  CHECK(store->GetRange(*digest, 18, 5).value().empty());
  CHECK(store->GetRange(*digest, 3, 0).value().empty());
  CHECK(absl::IsOutOfRange(store->GetRange(*digest, 19, 1).status()));
  CHECK(absl::IsOutOfRange(store->GetRange(*digest, -1, 1).status()));
  CHECK(under_test.open()->Get(*digest).value() == Content());

  const auto empty = store->Put("");
  REQUIRE_OK(empty);
  CHECK(store->Get(*empty).value().empty());
  CHECK(store->Size(*empty).value() == 0);
}

void CheckSameContent(const ArtifactStoreUnderTest& under_test) {
  const auto store = under_test.open();
  const std::string digest = store->Put(Content()).value();
  const std::string source = under_test.scratch + "/source";
  REQUIRE_OK(WriteFileAtomically(source, Content()));
  CHECK(store->PutFile(source).value() == digest);
  CHECK(store->PutPieces({std::string_view(Content()).substr(0, 5), std::string_view(Content()).substr(5)}).value() == digest);
  const auto all = store->List();
  REQUIRE_OK(all);
  CHECK(all->size() == 1);
  CHECK(ReadFile(source, 100).value() == Content());
  CHECK(absl::IsNotFound(store->PutFile(under_test.scratch + "/none").status()));
}

void CheckLarge(const ArtifactStoreUnderTest& under_test) {
  const auto store = under_test.open();
  std::string large(13'000'001, 'x');
  for (size_t i = 0; i < large.size(); i += 4099) large[i] = static_cast<char>(i % 251);
  const std::string source = under_test.scratch + "/large";
  REQUIRE_OK(WriteFileAtomically(source, large));
  const auto of_file = store->PutFile(source);
  REQUIRE_OK(of_file);
  CHECK(*of_file == Sha256Hex(large));
  CHECK(store->Get(*of_file).value() == large);
  CHECK(store->GetRange(*of_file, 12'999'990, 100).value() == large.substr(12'999'990));
  REQUIRE_OK(store->Remove(*of_file));
  const std::string_view view = large;
  CHECK(store->PutPieces({view.substr(0, 6'000'000), view.substr(6'000'000, 1), view.substr(6'000'001)}).value() == *of_file);
  CHECK(store->Get(*of_file).value() == large);
}

void CheckRemoval(const ArtifactStoreUnderTest& under_test) {
  const auto store = under_test.open();
  const std::string digest = store->Put(Content()).value();
  REQUIRE_OK(store->Remove(digest));
  CHECK(absl::IsNotFound(store->Get(digest).status()));
  CHECK(absl::IsNotFound(store->Size(digest).status()));
  CHECK(absl::IsNotFound(store->GetRange(digest, 0, 1).status()));
  REQUIRE_OK(store->Remove(digest));
  for (const std::string& wrong :
       {std::string(), std::string("../../etc/passwd"), std::string(64, 'G'), std::string(63, 'a'), std::string(64, 'A')}) {
    CHECK(absl::IsInvalidArgument(store->Get(wrong).status()));
    CHECK(absl::IsInvalidArgument(store->GetRange(wrong, 0, 1).status()));
    CHECK(absl::IsInvalidArgument(store->Size(wrong).status()));
    CHECK(absl::IsInvalidArgument(store->Remove(wrong)));
    CHECK(absl::IsInvalidArgument(store->RemoveUnused(wrong, absl::InfiniteFuture()).status()));
  }
}

void CheckDamage(const ArtifactStoreUnderTest& under_test) {
  const auto store = under_test.open();
  const std::string content(10'000, 'w');
  const std::string digest = store->Put(content).value();
  under_test.damage(digest);
  SECTION("found by a reader, and gone afterwards") {
    const absl::Status status = store->Get(digest).status();
    CHECK(absl::IsDataLoss(status));
    CHECK(status.message().find(digest) != absl::string_view::npos);
    CHECK(absl::IsNotFound(store->Get(digest).status()));
  }
  SECTION("found by a writer") {}
  REQUIRE_OK(store->Put(content));
  CHECK(store->Get(digest).value() == content);
}

void CheckNames(const ArtifactStoreUnderTest& under_test) {
  const auto store = under_test.open();
  CHECK(absl::IsNotFound(store->GetName("bank/manifest").status()));
  REQUIRE_OK(store->SetName("bank/manifest", "first"));
  REQUIRE_OK(store->SetName("bank/manifest", "second"));
  REQUIRE_OK(store->SetName("other", ""));
  CHECK(under_test.open()->GetName("bank/manifest").value() == "second");
  auto names = store->ListNames();
  REQUIRE_OK(names);
  std::sort(names->begin(), names->end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  REQUIRE(names->size() == 2);
  CHECK((*names)[0].name == "bank/manifest");
  CHECK((*names)[0].value == "second");
  CHECK((*names)[0].age < absl::Minutes(5));
  CHECK((*names)[1].name == "other");
  REQUIRE_OK(store->RemoveName("bank/manifest"));
  REQUIRE_OK(store->RemoveName("bank/manifest"));
  CHECK(absl::IsNotFound(store->GetName("bank/manifest").status()));
  for (const char* name : {"", "..", "a/../b", "/a", "a/", "a//b", ".hidden", "a b", "a\nb", "x/.."}) {
    INFO(name);
    CHECK(absl::IsInvalidArgument(store->SetName(name, "x")));
    CHECK(absl::IsInvalidArgument(store->GetName(name).status()));
    CHECK(absl::IsInvalidArgument(store->RemoveName(name)));
  }
}

void CheckCollecting(const ArtifactStoreUnderTest& under_test) {
  const auto store = under_test.open();
  CHECK(store->List().value().empty());
  const std::string first = store->Put("first").value(), second = store->Put("second one").value();
  const auto all = store->List();
  REQUIRE_OK(all);
  std::set<std::string> digests;
  for (const StoredArtifact& artifact : *all) {
    digests.insert(artifact.digest);
    CHECK(artifact.bytes == (artifact.digest == first ? 5 : 10));
    CHECK(artifact.age >= absl::Seconds(-2));
    CHECK(artifact.age < absl::Minutes(5));
  }
  CHECK(digests == std::set<std::string>{first, second});
  const absl::Time put_time = all->front().digest == first ? all->front().put_time : all->back().put_time;
  CHECK_FALSE(store->RemoveUnused(first, put_time - absl::Seconds(2)).value());
  CHECK(store->Get(first).value() == "first");
  REQUIRE_OK(store->Keep(first));
  CHECK(store->Get(first).value() == "first");
  CHECK(store->RemoveUnused(first, put_time + absl::Hours(1)).value());
  CHECK(absl::IsNotFound(store->Get(first).status()));
  CHECK(absl::IsNotFound(store->Keep(first)));
  CHECK(store->RemoveUnused(first, put_time).value());  // there is none
  CHECK(store->Get(second).value() == "second one");
}

// Whatever the order: an artifact whose Put has returned is there until it is old.
void CheckWritersAndCollector(const ArtifactStoreUnderTest& under_test) {
  const std::string shared(100'000, 's');
  const std::string digest = Sha256Hex(shared);
  std::vector<std::thread> threads;
  std::vector<int> failures(4, 0);
  for (int writer = 0; writer < 4; ++writer) {
    threads.emplace_back([&, writer, store = under_test.open()] {  // opened here: it asserts, which one thread may
      for (int round = 0; round < 5; ++round) {
        const std::string own = absl::StrCat(writer, "/", round);
        const bool is_put = store->Put(shared).ok() && store->Put(own).ok() &&
                            store->SetName("bank/latest", std::string(1000, static_cast<char>('a' + writer))).ok();
        const std::string name = store->GetName("bank/latest").value_or("");
        const bool is_there = store->Get(Sha256Hex(own)).value_or("") == own && store->Get(digest).value_or("") == shared;
        failures[writer] += !is_put || !is_there || name != std::string(1000, name.empty() ? ' ' : name[0]);
      }
    });
  }
  threads.emplace_back([&, store = under_test.open()] {  // finds all of it young
    for (int round = 0; round < 10; ++round) (void)store->RemoveUnused(digest, absl::Now() - absl::Minutes(5));
  });
  for (std::thread& thread : threads) thread.join();
  CHECK(failures == std::vector<int>(4, 0));
  CHECK(under_test.open()->List().value().size() == 21);
}

}  // namespace

void RunArtifactStoreContract(const ArtifactStoreUnderTest& under_test) {
  SECTION("what was put is read back under its digest") { CheckContent(under_test); }
  SECTION("the same content again, in pieces or from a file, is the same artifact") { CheckSameContent(under_test); }
  SECTION("large content is stored whole, from a file and from pieces") { CheckLarge(under_test); }
  SECTION("what was removed is not found, and a digest that is none is refused") { CheckRemoval(under_test); }
  SECTION("a changed byte is data loss, and the artifact can be written again") { CheckDamage(under_test); }
  SECTION("names are small mutable values") { CheckNames(under_test); }
  SECTION("what is old is listed and removed, what is young is not") { CheckCollecting(under_test); }
  SECTION("many writers and a collector leave only whole artifacts") { CheckWritersAndCollector(under_test); }
}

}  // namespace espalier::testing
