#!/usr/bin/env python3
"""The commands of our documents, as a reader would run them: docs_test.py BUILD_FOLDER [quick|full|PAGE ...]

A fenced block of commands (sh, python) in these pages carries its mark on the line before it:

    <!-- test: run -->         run here in every make test, one after the other in one shell and folder
    <!-- test: full -->        the same, in make test-full only, because it takes longer
    <!-- test: llama -->       needs llama-cpp-python: run in make test-full where tools/setup_interop.sh put it
    <!-- test: grpcio -->      needs grpcio and grpcio-tools: as above, where tools/setup.sh --full put them
    <!-- test: make -->        targets that the Makefile has; what they do is tested by itself
    <!-- test: elsewhere -->   needs what is not here (a GPU, a cluster, a server): its flags are compared with --help
    <!-- test: NAME -->        security.md: its own test runs them

Where a page says how large something is to be, SMALLER below says how large it is here; what it replaces has to stand in
the page. An unmarked block, or an indented one, fails.
"""

import functools
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = ["README.md", "docs/tutorial.md", "docs/api.md", "docs/configuration.md"]
# Pages whose commands need clusters, GPUs or hours, or that have tests of their own: their flags are compared with --help.
OTHER_PAGES = ["docs/operations.md", "docs/security.md", "docs/limits.md", "docs/reliability.md", "docs/compatibility.md", "docs/performance.md",
               "docs/method.md", "docs/ARCHITECTURE.md"]  # fmt: skip
RUN, FULL = {"run"}, {"run", "full", "llama", "grpcio"}
MARKS = {*FULL, "make", "elsewhere"}
PROGRAMS = ["espalier", "espalier-coordinator", "espalier-worker", "espalier-bench", "espalier-coordinator-load"]
# What readers have of their own, and sizes for a 4M-parameter model on two cores.
SETTINGS = {
    "README.md": {"MODEL": str(ROOT / "examples/tiny"), "CORPUS": "corpus.jsonl"},
    "docs/tutorial.md": {"MODEL": str(ROOT / "examples/tiny"), "CORPUS": "corpus.jsonl"},
    "docs/api.md": {"MODEL": str(ROOT / "examples/tiny"), "TOKENS": str(ROOT / "examples/tiny-samples.npy")},
    "docs/configuration.md": {"MODEL": str(ROOT / "examples/tiny"), "TOKENS": str(ROOT / "examples/tiny-samples.npy")},
}
SMALLER = {
    "README.md": [
        ("--split train=0.98,test=0.02\n", "--split train=0.98,test=0.02 --sequence-length 128\n"),
        ("--device cuda --recovery-tokens 50M", "--device cpu --recovery-tokens 1024 --job .small.textproto"),
    ],
    "docs/tutorial.md": [
        ("export MODEL=/models/Llama-3.2-1B CORPUS=/data/corpus.jsonl\n", "\n"),
        ("--sequence-length 2048", "--sequence-length 128"),
        ("--device cuda:0", "--device cpu"),
        ("--device cuda", "--device cpu"),
        ("--recovery-tokens 50M", "--recovery-tokens 1024 --job .small.textproto"),
    ],
    "docs/api.md": [("\ntarget { share: 0.6 }\n", "\ntarget { share: 0.6 }\n$(cat .small.textproto)\n")],
    "docs/configuration.md": [],
}
# What has to stand in what the commands print.
EXPECTED = {
    "README.md": [],
    "docs/tutorial.md": ["data.train.npy  ", "Nothing is wrong.", "ladder it would get", "restricts the ladder", "jobs/llama-60", "fitness", "What gave most", "searched",
                         "out/report.html", "perplexity", "gguf  llama-60-q8.gguf"],
    "docs/api.md": ["espalier.v1.SearchService\n", "espalier.v1.SearchService.WatchJob\n", "optional .espalier.v1.JobSpec spec = 1|JobSpec spec = 1",
                    "NEMOTRON_NAS = 3", "\"bankBytes\"", "restricts the ladder", "\"name\": \"jobs/first\"", "\"state\": \"CANCELLED\""],
    "docs/configuration.md": ["training tokens, at most"],
}  # fmt: skip
SMALL_JOB = """
ladder { attention_levels: 3 ffn_levels: 5 }
calibration_tokens: 2048
additive_score_tokens: 256
phases {
  name: "short" generations: 1 offspring: 2 redraw_every: 1 same_kind_weight: 1 cross_kind_weight: 1
  stages { survivors: 1 train_tokens: 256 score_tokens: 256 }
  train { loss: KL learning_rate: 5e-4 }
}
play_off { tokens: 256 tokens_per_step: 256 }
play_off_score_tokens: 256
report_score_tokens: 256
evaluation_windows: 4
tokens_per_step: 256
"""
SECONDS = 420  # for a page; a quiet machine needs twenty


class Block:
    def __init__(self, page, line, language, mark, text):
        self.page, self.line, self.language, self.mark, self.text = page, line, language, mark, text

    @property
    def place(self):
        return f"{self.page}:{self.line}"


def blocks_of(page):
    """Every fenced block with commands; complaints about those that no test would look at."""
    blocks, problems, mark, fence, is_generated = [], [], "", None, False
    for number, line in enumerate((ROOT / page).read_text().splitlines(), start=1):
        if fence is not None:
            if line.strip() == "```":
                blocks.append(Block(page, fence[0], fence[1], mark, "\n".join(fence[2]) + "\n"))
                fence, mark = None, ""
            else:
                fence[2].append(line)
            continue
        is_generated = line == "<!-- generated -->" or (is_generated and line != "<!-- end of generated -->")
        if found := re.fullmatch(r"<!-- test: (.+) -->", line):
            mark = found.group(1)
        elif line.startswith("```"):
            fence = (number, line[3:].strip(), [])
        elif re.match(r"    \S", line) and not is_generated and not re.match(r"\s+(\d+\.|[-*])\s", line):
            problems.append(f"{page}:{number}: an indented block: fence it and mark it")
    for block in blocks:
        if block.language in ("sh", "python") and block.mark not in MARKS:
            problems.append(f"{block.place}: mark '{block.mark}' is none of {', '.join(sorted(MARKS))}")
    return [block for block in blocks if block.language in ("sh", "python")], problems


@functools.lru_cache(maxsize=None)
def help_of(call):
    """--help of the command, or of as many of its first words as are one (a job's name is not)."""
    while True:
        done = subprocess.run([*call, "--help"], capture_output=True, text=True, check=False)
        if done.returncode == 0 or len(call) == 1:
            return done.stdout
        call = call[:-1]


def flags_missing(block, build):
    """Flags of our programs in the block that their --help does not name."""
    missing = []
    for command in re.split(r"\n(?!\s)|[|;&]\s", block.text.replace("\\\n", " ")):
        words = command.split()
        while words and re.match(r"\w+=", words[0]):
            words.pop(0)
        name = pathlib.PurePath(words[0]).name if words else ""
        if name not in PROGRAMS or not (build / "bin" / name).exists():
            continue
        call = [str(build / "bin" / name), *(word for word in words[1:3] if re.fullmatch("[a-z][a-z-]+", word))]
        text = help_of(tuple(call))
        for flag in re.findall(r"(?<=\s)--[a-z][a-z-]*", " ".join(words[1:])):
            if not re.search(rf"{flag}\b(?!-)", text):
                missing.append(f"{block.place}: {' '.join(call[1:]) or name} has no {flag}")
    return missing


def commands_of(page):
    """Commands in fences, indented blocks and inline code, as one block each."""
    text = (ROOT / page).read_text()
    spans = re.findall(r"```sh\n(.*?)```", text, re.S) + re.findall(r"(?:^    .*\n)+", text, re.M)
    spans += [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text, flags=re.S))]
    texts = ["\n".join(line.strip() if line.startswith("    espalier") else line for line in span.splitlines()) for span in spans]
    return [Block(page, 0, "sh", "elsewhere", text) for text in texts if "espalier" in text]


def links_missing(page):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / page).read_text())
    return [f"{page}: links to {path}, which is not there" for path in links if not ((ROOT / page).parent / path).exists()]


def targets_missing(block):
    """Targets of `make` in the block that are not in the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = re.findall(r"^make ([a-z-]+)", block.text, re.M)
    return [f"{block.place}: the Makefile has no {name}" for name in named if name not in targets]


def smaller(page, text, used):
    for large, small in SMALLER[page]:
        if large in text:
            used.add(large)
            text = text.replace(large, small)
    return text


def script_of(page, marks, python):
    """One shell script of the page's blocks; says which one it is in, so that a failure can be placed."""
    blocks, _ = blocks_of(page)
    used, lines = set(), ["set -eu -o pipefail"]
    for block in blocks:
        if block.mark not in marks:
            continue
        text = smaller(page, block.text, used)
        if block.language == "python":
            text = f"{python[block.mark]} - <<'END_OF_PYTHON'\n{text}END_OF_PYTHON\n"
        elif block.mark in ("llama", "grpcio"):
            text = text.replace("python3 ", f"{python[block.mark]} ")
        lines += [f"echo \"--- {block.place} after $SECONDS s\"", f"echo '{block.place}' > .place", text]
    return "\n".join(lines), used


def prepare(folder, build):
    """Programs by name, and what a reader of the page has: a clone of the repository, a corpus."""
    path = folder / ".path"
    path.mkdir()
    for program in PROGRAMS[:3]:
        (path / program).symlink_to(build / "bin" / program)
    (path / "grpcurl").symlink_to(build / "grpcurl" / "grpcurl")
    (path / "python3").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (path / "python3").chmod(0o755)
    for name in ("proto", "examples"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "build").symlink_to(build)
    (folder / ".small.textproto").write_text(SMALL_JOB)
    write_corpus(folder / "corpus.jsonl")
    return path


def write_corpus(path, documents=320):
    """Text that the bundled model wrote, as a user would have some."""
    import numpy as np
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(ROOT / "examples/tiny/tokenizer.json"))
    rows = np.load(ROOT / "examples/tiny-samples.npy")[:documents]
    path.write_text("".join(json.dumps({"text": tokenizer.decode(row.tolist())}) + "\n" for row in rows))


def with_packages(names):
    """A Python that has them, or ""."""
    for candidate in (ROOT / ".deps/interop/bin/python", ROOT / ".deps/grpc/bin/python", pathlib.Path(sys.executable)):
        if candidate.exists() and subprocess.run([candidate, "-c", f"import {', '.join(names)}"], capture_output=True, check=False).returncode == 0:
            return str(candidate)
    return ""


def run_page(page, build, is_full):
    marks, python = (set(FULL) if is_full else set(RUN)), {"run": "python3", "full": "python3"}
    for mark, names, setup in (("llama", ["llama_cpp"], "tools/setup_interop.sh"), ("grpcio", ["grpc", "grpc_tools"], "tools/setup.sh --full")):
        python[mark] = with_packages(names) if is_full else ""
        if is_full and not python[mark] and any(block.mark == mark for block in blocks_of(page)[0]):
            print(f"      {page}: blocks marked {mark} are skipped: no Python here has {names[0]} ({setup})")
        if not python[mark]:
            marks.discard(mark)
    script, used = script_of(page, marks, python)
    unused = [large for large, _ in SMALLER[page] if large not in (ROOT / page).read_text()]
    if unused:
        raise AssertionError(f"{page} does not say {unused}: mend SMALLER in {__file__}")
    with tempfile.TemporaryDirectory(prefix="esp-docs-") as name:
        folder = pathlib.Path(name)
        path = prepare(folder, build)
        environment = {**os.environ, **SETTINGS[page], "PATH": f"{path}:{os.environ['PATH']}", "HOME": name, "OMP_NUM_THREADS": "1",
                       "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / ".hf")}  # fmt: skip
        process = subprocess.Popen(["bash", "-c", script], cwd=folder, env=environment, text=True, start_new_session=True, stdin=subprocess.DEVNULL,
                                   stdout=open(folder / ".output", "w"), stderr=subprocess.STDOUT)  # fmt: skip
        try:
            code = process.wait(timeout=SECONDS * (4 if is_full else 1))
        except subprocess.TimeoutExpired:
            code = "none in time"
        finally:  # what the page left running in the background goes with it
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
        if code != 0:
            place = (folder / ".place").read_text().strip() if (folder / ".place").exists() else page
            raise AssertionError(f"{place}: exit code {code}\n{(folder / '.output').read_text()[-3000:]}")
        output = (folder / ".output").read_text()
        missing = [texts for texts in EXPECTED[page] if not any(text in output for text in texts.split("|"))]
        if missing:
            raise AssertionError(f"{page}: nothing printed {missing}\n{output[-3000:]}")
        if page == "README.md" and is_full:
            check_picture(folder)
        if "--show" in sys.argv:
            print(output)


def check_picture(folder):
    """README's picture can be made from the report that its commands left."""
    command = [sys.executable, ROOT / "tools/readme_picture.py", folder / "out/report.html", folder / "demo.svg"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode != 0 or xml.etree.ElementTree.parse(folder / "demo.svg").getroot().tag != "{http://www.w3.org/2000/svg}svg":
        raise AssertionError(f"tools/readme_picture.py: {done.stderr}")


def check_page(page, build):
    blocks, problems = blocks_of(page)
    for block in blocks:
        problems += flags_missing(block, build) + targets_missing(block)
    problems += links_missing(page)
    if problems:
        raise AssertionError("\n".join(problems))


def check_variables():
    """The table of environment variables in configuration.md has those that the sources read."""
    named = set(re.findall(r"`(ESPALIER_[A-Z_]+)`", (ROOT / "docs/configuration.md").read_text()))
    sources = [path for folder in ("client", "coordinator", "worker", "common") for path in (ROOT / folder).rglob("*.cc")]
    read = set(re.findall(r'"(ESPALIER_[A-Z_]+)"', "".join(path.read_text() for path in sources)))
    if len(read) < 8 or named != read:
        raise AssertionError(f"docs/configuration.md: sources read {sorted(read - named)} beside it, and not {sorted(named - read)}")


def check_evidence():
    """The tests and rows of make interop that compatibility.md names are there."""
    lists = "".join(path.read_text() for path in (ROOT / "tests").rglob("CMakeLists.txt"))
    cases = re.findall(r'TEST_CASE\("([^"]+)"', "".join(path.read_text() for path in (ROOT / "tests").rglob("*_test.cc")))
    scripts = [name for names in re.findall(r"foreach\(name ([^)]*)\)", lists) for name in names.split()]
    known = [*re.findall(r'add_test\(NAME "([^"$]+)"', lists), *(f"e2e: {name}" for name in scripts)]
    suites = set(re.findall(r"espalier_test_suite\((\w+)", lists))
    rows = set(re.findall(r'^    "([a-z0-9-]+)": \(', (ROOT / "tests/interop/tools_table.py").read_text(), re.M))
    missing = []
    for span in re.findall(r"`([^`\n]+)`", re.sub(r"\s*\n(?!\|)", " ", (ROOT / "docs/compatibility.md").read_text())):
        suite, _, case = span.partition(": ")
        start = span.removesuffix(" ...")
        if suite in suites or re.fullmatch(r"\w+_tests?", span):
            is_there = suite in suites and any(name.startswith(case.removesuffix(" ...")) for name in cases)
        elif suite in ("interop", "e2e", "docs", "proto", "deploy"):
            is_there = any(name.startswith(start) for name in known)
        elif re.fullmatch(r"(llama|transformers|nemotron|vllm)-(f32|q8|nas|anymodel|\*)|peft|lm-eval", span):
            is_there = any(row.startswith(span.removesuffix("*")) for row in rows)
        else:
            continue
        if not is_there:
            missing.append(span)
    if missing or len(known) < 20 or not rows:
        raise AssertionError(f"docs/compatibility.md names what is not there: {missing}")


def check_other_page(page, build):
    problems = links_missing(page)
    for block in commands_of(page):
        problems += flags_missing(block, build)
    if problems:
        raise AssertionError("\n".join(problems))


def main():
    build, words = pathlib.Path(sys.argv[1]).resolve(), [word for word in sys.argv[2:] if not word.startswith("-")]
    is_full = "full" in words
    chosen = [page for page in PAGES + OTHER_PAGES if page in words] or PAGES + OTHER_PAGES
    steps = [(page, "flags, links", lambda page=page: check_other_page(page, build)) for page in chosen if page in OTHER_PAGES]
    if "docs/compatibility.md" in chosen:
        steps.append(("docs/compatibility.md", "tests that it names", check_evidence))
    if "docs/configuration.md" in chosen:
        steps.append(("docs/configuration.md", "variables", check_variables))
    for page in (page for page in chosen if page in PAGES):
        steps.append((page, "marks, flags, links", lambda page=page: check_page(page, build)))
        steps.append((page, "commands", lambda page=page: run_page(page, build, is_full)))
    failed = 0
    for page, what, action in steps:
        began = time.monotonic()
        try:
            action()
            print(f"ok    {page}: {what}  {time.monotonic() - began:.1f} s", flush=True)
        except AssertionError as error:
            failed += 1
            print(f"FAIL  {page}: {what}\n{error}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
