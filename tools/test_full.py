#!/usr/bin/env python3
"""Everything there is to test, what is quickest first: test_full.py BUILD_FOLDER JOBS [EXCEPT] (make test-full EXCEPT=...)

Goes on to the end whatever fails, then prints one table: each slow suite, each other step, what was skipped and why. Exits
with 1 if anything failed. The whole output of each step is kept in BUILD_FOLDER/test-full/. EXCEPT: a regular expression; the
steps and slow suites that it matches are left out, which the table says.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import time

import test_record
from test_record import Test

ROOT = pathlib.Path(__file__).resolve().parents[1]
INTEROP = "by its own command: it compiles llama.cpp and installs some GB"
LEFT_OUT = "left out by EXCEPT"


class Full:
    def __init__(self, build, jobs, left_out=""):
        self.build, self.jobs = build, jobs
        self.left_out = left_out
        self.logs = build / "test-full"
        self.logs.mkdir(exist_ok=True)
        self.rows = []

    def run(self, name, *command):
        """Shows and keeps what the command prints. Returns its exit code, its output and its seconds."""
        print(f"=== {name}", flush=True)
        began, lines = time.monotonic(), []
        with open(self.logs / (re.sub(r"\W+", "-", name) + ".log"), "w", encoding="utf-8") as log:
            process = subprocess.Popen([str(word) for word in command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                       errors="replace")  # fmt: skip
            for line in process.stdout:
                print(line, end="", flush=True)
                log.write(line)
                lines.append(line.rstrip())
        return process.wait(), lines, time.monotonic() - began

    def step(self, name, *command):
        """Something that is one row: it passes, fails, or says in a line "...: skipped, WHY"."""
        if self._is_left_out(name):
            return
        code, lines, seconds = self.run(name, *command)
        last = next((line for line in reversed(lines) if line.strip()), "")
        reason = next((found.group(1) for line in lines if (found := re.match(r"[\w-]+: skipped[,:] (.*)", line))), "")
        outcome = "FAILED" if code else "skipped" if reason else "passed"
        self.rows.append(Test(name, outcome, seconds, reason if outcome == "skipped" else last))

    def suites(self, name, *selection, each):
        """Tests of ctest; a row for each of them, or one for all and one for each that did not pass."""
        if self._is_left_out(name):
            return
        if each and self.left_out:
            listed = subprocess.run(["ctest", "--test-dir", self.build, "--show-only=json-v1", *selection], capture_output=True, text=True, check=True)
            names = [test["name"] for test in json.loads(listed.stdout)["tests"]]
            selection = (*selection, "-E", "^(" + "|".join(re.escape(test) for test in names if self._is_left_out(test)) + ")$")
        record = self.logs / (re.sub(r"\W+", "-", name) + ".xml")
        code, lines, seconds = self.run(name, "env", f"TEST_RECORD={record}", "tools/run_tests.sh", self.build, *selection)
        tests = test_record.read(record)
        if not each or not tests or (code and all(test.outcome != "FAILED" for test in tests)):
            self.rows.append(Test(name, "FAILED" if code else "passed", seconds, lines[-1] if lines else ""))
        self.rows += [test for test in tests if each or test.outcome != "passed"]

    def _is_left_out(self, name):
        is_it = bool(self.left_out and re.search(self.left_out, name))
        if is_it:
            self.rows.append(Test(name, "skipped", 0, LEFT_OUT))
        return is_it

    def table(self):
        width = max(len(row.name) for row in self.rows)
        print(f"\n{'suite':{width}}  result   seconds  remark")
        for row in self.rows:
            print(f"{row.name:{width}}  {row.outcome:7}  {row.seconds:7.0f}  {row.remark}".rstrip())
        outcomes = [row.outcome for row in self.rows]
        print(f"\n{', '.join(f'{outcomes.count(word)} {word.lower()}' for word in ('passed', 'FAILED', 'skipped'))}; outputs: {self.logs}")
        return 1 if "FAILED" in outcomes else 0


def main():
    full = Full(pathlib.Path(sys.argv[1]).resolve(), *sys.argv[2:4])
    full.suites("make test", "-LE", "full|gpu|interop", "-j", full.jobs, each=False)
    full.step("the bundle, for the container files", "tools/bundle.sh", full.build)
    full.suites("slow suites", "-L", "full", "-LE", "gpu|interop", each=True)
    full.step("ASan and UBSan", "make", "--no-print-directory", "test-asan")
    full.step("ThreadSanitizer", "make", "--no-print-directory", "test-tsan")
    full.step("fuzzers, 30 s each", "make", "--no-print-directory", "fuzz", "SECONDS=30")
    full.step("fuzzers find planted defects", "make", "--no-print-directory", "fuzz-planted")
    if shutil.which("nvidia-smi"):
        full.suites("on a GPU", "-L", "gpu", each=True)
    else:
        full.rows.append(Test("on a GPU (ctest -L gpu)", "skipped", 0, "no NVIDIA card here"))
    full.rows.append(Test("make interop", "skipped", 0, INTEROP))
    return full.table()


if __name__ == "__main__":
    sys.exit(main())
