#include "client/suggest/choices.h"
#include "client/suggest/did_you_mean.h"
#include "client/suggest/usage_error.h"
#include "tests/support/catch.h"

namespace espalier {
namespace {

// What a small program says about a command line.
std::string Said(std::vector<std::string> arguments) {
  CLI::App app("", "espalier");
  app.require_subcommand(1);
  std::string format, job;
  CLI::App* watch = app.add_subcommand("watch");
  watch->add_option("job", job)->required();
  watch->add_option("--format", format)->check(OneOf({"table", "json"}));
  app.add_subcommand("workers");
  app.add_subcommand("hidden")->group("");
  CLI::App* fleet = app.add_subcommand("fleet");
  fleet->require_subcommand(1);
  fleet->add_subcommand("down")->add_option("--workers", job);
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());  // as CLI11 takes them
  try {
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    return UsageMessage(app, arguments, error);
  }
  return "";
}

TEST_CASE("DidYouMean: the nearest word within reach, or the only one that begins so") {
  REQUIRE(EditDistance("wacth", "watch") == 1);
  REQUIRE(EditDistance("", "abc") == 3);
  REQUIRE(NearestWord("wacth", {"watch", "workers"}) == "watch");
  REQUIRE(NearestWord("WATCH", {"watch"}) == "watch");
  REQUIRE(NearestWord("comp", {"completion", "watch"}) == "completion");
  REQUIRE(NearestWord("co", {"completion", "compare"}).empty());
  REQUIRE(NearestWord("zebra", {"watch", "workers"}).empty());
  REQUIRE(NearestWord("", {"a"}).empty());
  REQUIRE(NearestWord("x", {"y"}).empty());
  REQUIRE(DidYouMean("lsit", {"list"}) == "; did you mean 'list'?");
}

TEST_CASE("UsageMessage: a mistyped command, subcommand, flag or value gets the one that was meant") {
  REQUIRE(Said({"wacth", "first"}) == "'wacth' is no command of espalier; did you mean 'watch'?");
  REQUIRE(Said({"fleet", "dwon"}) == "'dwon' is no command of espalier fleet; did you mean 'down'?");
  REQUIRE(Said({"watch", "first", "--fromat", "json"}) ==
          "'--fromat' is no flag of espalier watch; did you mean '--format'?");
  REQUIRE(Said({"watch", "first", "--fromat=json"}) ==
          "'--fromat' is no flag of espalier watch; did you mean '--format'?");
  REQUIRE(Said({"watch", "first", "--format", "jsn"}) ==
          "--format: 'jsn' is not one of table, json; did you mean 'json'?");
  REQUIRE(Said({"fleet", "down", "--format", "json"}) == "'--format' is no flag of espalier fleet down");
}

TEST_CASE("UsageMessage: a hidden command is never proposed, a right line says nothing") {
  REQUIRE(Said({"hiden"}) == "'hiden' is no command of espalier");
  REQUIRE(Said({"watch", "first", "--format", "json"}).empty());
}

TEST_CASE("ChoicesOf: the values of checked and of merely named ones") {
  CLI::App app("");
  std::string text;
  REQUIRE(ChoicesOf(*app.add_option("--a", text)->check(OneOf({"x", "y"}))) == std::vector<std::string>{"x", "y"});
  REQUIRE(ChoicesOf(*app.add_option("--b", text)->check(KnownValues({"z"}))) == std::vector<std::string>{"z"});
  REQUIRE(ChoicesOf(*app.add_option("--c", text)).empty());
}

}  // namespace
}  // namespace espalier
