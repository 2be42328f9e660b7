"""docs/operations.md and the alert rules speak of what is there: alerts, flags, files, exit codes (metrics: tests/observability).

python3 operations_test.py BUILD_FOLDER
"""

import pathlib
import re
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PAGE = (SOURCE / "docs" / "operations.md").read_text()
RULES = (SOURCE / "deploy" / "prometheus" / "alerts.yaml").read_text()
PROGRAMS = ["espalier-coordinator", "espalier-worker"]
COMMANDS = [["submit"], ["run"], ["fleet", "up"], ["fleet", "down"]]


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def test_every_alert_has_a_section_that_its_rule_points_to():
    alerts = re.findall(r"- alert: (\w+)", RULES)
    sections = re.findall(r"^### (\w+)$", PAGE, re.M)
    check(alerts and alerts == sections, f"alerts {alerts}, sections {sections}")
    links = re.findall(r"docs/operations\.md#(\w+)", RULES)
    check(links == [alert.lower() for alert in alerts], f"links: {links}")


def test_flags_exist(build):
    text = ""
    for command in [[name] for name in PROGRAMS] + [["espalier", *words] for words in COMMANDS]:
        done = subprocess.run([str(build / "bin" / command[0]), *command[1:], "--help"], capture_output=True, text=True, check=False)
        text += done.stdout
    page = re.sub(r"`(kubectl|systemctl|ss|gdb|pg_dump|pg_restore|sbatch)[^`]*`", "", PAGE)
    flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page))
    missing = sorted(flag for flag in flags if not re.search(rf"{flag}\b", text))
    check(flags and not missing, f"no program has {missing}")


def test_exit_codes_are_those_of_the_programs():
    sources = {"espalier": "client/exit_codes.h", "espalier-coordinator": "coordinator/main.cc", "espalier-worker": "worker/main.cc"}
    rows = [re.split(r"\s*\|\s*", line.strip("| ")) for line in PAGE.splitlines() if re.match(r"\| \d+ \|", line)]
    for column, (program, path) in enumerate(sources.items(), start=1):
        codes = {row[0] for row in rows if len(row) > column and row[column]}
        text = (SOURCE / path).read_text()
        named = set(re.findall(r"\bk\w+ = (\d+)[,;} ]", text)) | {"0"} if column < 3 else set(re.findall(r"constexpr int k\w+ = (\d+);", text)) | {"0"}
        check(codes == named, f"{program}: the page has {sorted(codes)}, {path} {sorted(named)}")


def test_files_exist():
    for path in re.findall(r"`((?:deploy|docs)/[\w/.@-]+)`", PAGE):
        check((SOURCE / path).exists(), path)


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    failed = 0
    for test in (test_every_alert_has_a_section_that_its_rule_points_to, lambda: test_flags_exist(folder),
                 test_exit_codes_are_those_of_the_programs, test_files_exist):
        name = getattr(test, "__name__", "").replace("<lambda>", "test_flags_exist")
        try:
            test()
            print(f"ok    {name}", flush=True)
        except Exception as error:  # the next test may still tell something
            failed += 1
            print(f"FAIL  {name}: {type(error).__name__}: {error}", flush=True)
    sys.exit(1 if failed else 0)
