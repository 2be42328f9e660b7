#include "common/security/redact.h"

#include "tests/support/catch.h"

namespace espalier::testing {
namespace {

TEST_CASE("WithoutPaths: paths go, the sentence stays", "[security]") {
  CHECK(WithoutPaths("cannot open '/data/my model/config.json': No such file") == "cannot open '<path>': No such file");
  CHECK(WithoutPaths("/a/b: reason") == "<path>: reason");
  CHECK(WithoutPaths("reads /a/b, then (/c/d) and x=/e/f;") == "reads <path>, then (<path>) and x=<path>;");
  CHECK(WithoutPaths("unix:/run/x.sock") == "unix:<path>");
  CHECK(WithoutPaths("file:///etc/passwd") == "file:<path>");
  CHECK(WithoutPaths("3 tasks/s, a/b and 1 / 2, '/' alone") == "3 tasks/s, a/b and 1 / 2, '/' alone");
  CHECK(WithoutPaths("one\nline\x1b[31m") == "one line [31m");
  CHECK(WithoutPaths("") == "");
  CHECK(WithoutPaths(std::string(5000, 'x')).size() == 2000);
  CHECK(WithoutPaths("'/never/closed") == "'<path>");
}

}  // namespace
}  // namespace espalier::testing
