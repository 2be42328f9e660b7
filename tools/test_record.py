#!/usr/bin/env python3
"""What ctest wrote down with --output-junit: test_record.py FILE

Prints why each skipped test was skipped, and as last line how many tests passed and failed. A skipped test is in neither
number. For tools/test_full.py: read() gives the tests one by one.
"""

import dataclasses
import pathlib
import re
import sys
import xml.etree.ElementTree

OUTCOMES = {"run": "passed", "fail": "FAILED", "notrun": "skipped", "disabled": "skipped"}
REMARKS = {"passed": r"^ *(skip .*|.*\bskipped: .*|.*SKIPPED.*)", "skipped": r"(?i)\bskipped: *(.*)", "FAILED": r"^ *(?:FAIL\b|FAILED:?|.*Error:) *(.*)"}


@dataclasses.dataclass
class Test:
    name: str
    outcome: str  # passed, FAILED or skipped
    seconds: float
    remark: str  # of a skipped one the reason (of a passed one: what of it was skipped), of a failed one its first complaint


def read(path):
    try:
        # What a test printed may hold bytes that XML has no way to say.
        text = re.sub(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", pathlib.Path(path).read_text(errors="replace"))
        return [_test(case) for case in xml.etree.ElementTree.fromstring(text).iter("testcase")]
    except (OSError, xml.etree.ElementTree.ParseError):
        return []


def _test(case):
    outcome = OUTCOMES.get(case.get("status"), "FAILED")
    message = "".join(found.get("message", "") for found in (case.find("skipped"), case.find("failure")) if found is not None)
    if outcome == "skipped" and case.get("status") == "notrun" and not message.startswith("SKIP_"):
        outcome = "FAILED"  # its program is missing, say
    message = message or {"FAILED": "no complaint: ended by a signal or its time limit", "skipped": "switched off"}.get(outcome, "")
    found = re.search(REMARKS[outcome], case.findtext("system-out") or "", re.M)
    return Test(case.get("name"), outcome, float(case.get("time") or 0), found.group(1).strip() if found else message)


def main():
    tests = read(sys.argv[1])
    for test in tests:
        if test.outcome == "skipped":
            print(f"skipped: {test.name}: {test.remark}")
    outcomes = [test.outcome for test in tests]
    print(f"{outcomes.count('passed')} passed, {outcomes.count('FAILED') if tests else 1} failed")


if __name__ == "__main__":
    main()
