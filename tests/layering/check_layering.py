"""The architecture's rules as a test: who may include what, what the programs link, how long a file may be, which words never appear.

check_layering.py SOURCE_TREE FOLDER_OF_PROGRAMS
"""

import pathlib
import re
import subprocess
import sys

TORCH = re.compile(r"^(torch|ATen|c10|caffe2)/")
TORCH_FOLDERS = ("worker/model/", "worker/prune/", "worker/train/", "worker/score/", "bench/", "tests/")
WIRE = re.compile(r"\.pb\.h$")
WIRE_FOLDERS = ("common/wire/", "coordinator/rpc/", "worker/session/", "client/", "bench/coordinator_load/", "tests/")
PURE_FOLDERS = ("coordinator/search/", "coordinator/schedule/")
IMPURE_HEADERS = re.compile(
    r"^(thread|mutex|chrono|fstream|filesystem|iostream|ctime|future|condition_variable|unistd\.h|sys/.*|"
    r"spdlog/.*|grpcpp/.*|boost/.*|soci/.*|absl/time/clock\.h|absl/synchronization/.*|common/base/(files|clock)\.h|"
    r"common/(checkpoint|artifacts|wire)/.*|coordinator/(store|core|rpc|http)/.*)$")
# A folder may include our headers from itself and from what stands on its right. A folder below one of these follows the longest name
# that it begins with; one that begins with none has no place yet and is an error.
ALLOWED = {
    "common/base": [],
    "common/domain": ["common/base"],
    "common/checkpoint": ["common/base", "common/domain"],
    "common/picture": ["common/base"],
    "common/artifacts": ["common/base", "common/security/secret_file.h"],
    "common/security": ["common/base"],
    "common/http": ["common/base", "common/security"],
    "common/wire": ["common/base", "common/domain"],
    "coordinator/search": ["common/base", "common/domain"],
    "coordinator/schedule": ["common/base", "common/domain"],
    "coordinator/store": ["common/base", "common/domain", "common/wire"],
    "coordinator/lead": ["common/base", "coordinator/store/leader_row.h"],
    "coordinator/core": ["common/", "coordinator/search", "coordinator/schedule", "coordinator/store"],
    "coordinator/rpc": ["common/", "coordinator/core", "coordinator/search", "coordinator/store/backup_source.h"],
    "coordinator/pages": ["common/base", "common/domain", "common/picture", "coordinator/core/page_snapshots.h",
                          "coordinator/core/views.h"],
    "coordinator/http": ["common/", "coordinator/core", "coordinator/pages", "coordinator/search"],
    "worker/model": ["common/base", "common/domain", "common/checkpoint"],
    "worker/score": ["common/base", "common/domain", "common/checkpoint", "worker/model"],
    "worker/prune": ["common/base", "common/domain", "common/checkpoint", "worker/model"],
    "worker/train": ["common/base", "common/domain", "common/checkpoint", "worker/model", "worker/score"],
    "worker/engine": ["common/base", "common/domain", "common/checkpoint", "common/artifacts", "worker/model",
                      "worker/score", "worker/prune", "worker/train"],
    "worker/session": ["common/base", "common/domain", "common/http", "common/security", "common/wire", "common/artifacts/artifact_counts.h",
                       "worker/engine/engine.h"],
    "client/process": ["common/base"],
    "client/suggest": [],
    "client/result": ["common/base", "common/domain", "common/picture"],
    "client/render": ["common/base", "common/picture", "client/result"],
    "client/explain": ["common/base", "common/domain", "common/picture", "client/render", "client/result"],
    "client/service": ["common/", "client/result"],
    "client/shell": ["client/exit_codes.h", "client/suggest"],
    "client/run": ["common/", "client/process", "client/render", "client/result", "client/service"],
    "client/doctor": ["common/base", "common/security", "client/process", "client/render", "client/run"],
    "client/fleet": ["common/base", "client/process", "client/run"],
    "client/watch": ["common/base", "common/picture", "client/commands/job_names.h", "client/render", "client/run",
                     "client/service"],
    "client/commands": ["common/", "client/"],
    "bench": ["common/", "worker/", "coordinator/search"],
    "bench/coordinator_load": ["common/", "coordinator/search", "tests/unit/search/fake_evaluator.h"],
    "tests": ["common/", "coordinator/", "worker/", "client/", "bench/"],
}
# The programs themselves: files of exactly these folders.
TOPS = {
    "coordinator": ["common/", "coordinator/"],
    "worker": ["common/", "worker/engine/engine.h", "worker/engine/devices.h", "worker/engine/one_shot.h", "worker/session"],
    "client": ["common/", "client/"],
}
OURS = ("common/", "coordinator/", "worker/", "client/", "bench/", "tests/")
# What no committed text holds: another machine's paths, whence packages come (that is a setting of the machine), and work not done.
WORDS = {
    "a path of one machine": re.compile(r"(?<![\w.$}])/(?:home|work|root|Users)/\w"),
    "a registry's host": re.compile(r"\b(?:pypi\.org|pythonhosted\.org|download\.pytorch\.org|deb\.debian\.org|docker\.io|ghcr\.io|quay\.io|nvcr\.io)\b"),
    "work not done": re.compile(r"\b(?:TODO|FIXME)\b|\bnot (?:yet )?implemented\b"),
}
WORDS_EXEMPT = (
    "tests/layering/",  # the words themselves
    "tests/unit/client/slurm_fleet_test.cc",  # a made-up path with a quote in it
    "tests/e2e/security_test.py",  # sed's s/work/read/
)
MAX_LINES = 500
SUFFIXES = {".cc", ".h", ".py", ".cmake", ".sh"}



def files(root):
    """Names of committed or new files, and their text; none that holds no text."""
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard"],
                            capture_output=True, text=True)
    if listed.returncode == 0:
        names = listed.stdout.splitlines()
    else:
        names = [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]
    for name in names:
        path = root / name
        if name.startswith(("build", ".deps", "out/")) or not path.is_file():
            continue
        try:
            yield name, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def rule_for(folder):
    """The folder that the rule is of, and what it may include; None: there is no rule."""
    if folder in TOPS:
        return folder, TOPS[folder]
    for above in (pathlib.PurePosixPath(folder), *pathlib.PurePosixPath(folder).parents):
        if str(above) in ALLOWED:
            return str(above), ALLOWED[str(above)]
    return None


def included(name, header):
    """What is wrong with this include."""
    if TORCH.match(header) and not name.startswith(TORCH_FOLDERS):
        yield f"{name}: includes {header}; LibTorch belongs to worker/{{model,prune,train,score}}"
    if header == "torch/torch.h" and name.endswith(".h"):
        yield f"{name}: a header includes torch/torch.h; use torch/types.h"
    if WIRE.search(header) and not name.startswith(WIRE_FOLDERS):
        yield f"{name}: includes generated protobuf {header}"
    if name.startswith(PURE_FOLDERS) and IMPURE_HEADERS.match(header):
        yield f"{name}: a pure folder includes {header}"
    if header.startswith("catch2/") and not name.startswith("tests/support/catch"):
        yield f"{name}: includes {header}; use tests/support/catch.h"
    folder = str(pathlib.PurePosixPath(name).parent)
    rule = rule_for(folder)
    own = header.startswith(rule[0] + "/") if rule and folder not in TOPS else str(pathlib.PurePosixPath(header).parent) == folder
    if rule is not None and header.startswith(OURS) and not own and not header.startswith(tuple(rule[1])):
        yield f"{name}: includes {header}, which does not lie below {rule[0]}"


def check_source(name, text):
    lines = text.count("\n")
    if lines > MAX_LINES:
        yield f"{name}: {lines} lines; at most {MAX_LINES}"
    if name.endswith((".cc", ".h")):
        if rule_for(str(pathlib.PurePosixPath(name).parent)) is None:
            yield f"{name}: its folder has no rule; give it one in ALLOWED and a line in docs/ARCHITECTURE.md"
        if name.endswith(".h") and "#pragma once" not in text:
            yield f"{name}: no #pragma once"
        for header in re.findall(r'^#include [<"]([^>"]+)[>"]', text, re.MULTILINE):
            yield from included(name, header)


def check_words(name, text):
    if name.startswith(WORDS_EXEMPT):
        return
    for what, pattern in WORDS.items():
        for number, line in enumerate(text.splitlines(), 1):
            if found := pattern.search(line):
                yield f"{name}:{number}: {what}: {found[0]}"


def check_tree(root):
    """The problems of a source tree, and how many source files it has."""
    problems, count = [], 0
    for name, text in files(root):
        problems += check_words(name, text)
        if pathlib.PurePosixPath(name).suffix in SUFFIXES:
            count += 1
            problems += check_source(name, text)
    return problems, count


def check_links(programs):
    for program in ("espalier", "espalier-coordinator"):
        path = programs / program
        if not path.exists():
            yield f"{path} is not built"
            continue
        linked = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=True).stdout
        if "libtorch" in linked or "libc10" in linked:
            yield f"{program} links LibTorch"


def main():
    root, programs = map(pathlib.Path, sys.argv[1:3])
    problems, count = check_tree(root)
    problems += check_links(programs)
    if count < 50:
        problems.append(f"only {count} sources found under {root}")
    print("\n".join(problems) if problems else f"{count} sources follow the rules")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
