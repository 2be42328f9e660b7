"""The architecture's rules as a test: who may include what, what the programs link, how long a file may be."""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(sys.argv[1])
PROGRAMS = pathlib.Path(sys.argv[2])

TORCH = re.compile(r"^(torch|ATen|c10|caffe2)/")
TORCH_FOLDERS = ("worker/model/", "worker/prune/", "worker/train/", "worker/score/", "bench/", "tests/")
WIRE = re.compile(r"\.pb\.h$")
WIRE_FOLDERS = ("common/wire/", "coordinator/rpc/", "worker/session/", "client/", "tests/", "bench/")
PURE_FOLDERS = ("coordinator/search/", "coordinator/schedule/")
IMPURE_HEADERS = re.compile(
    r"^(thread|mutex|chrono|fstream|filesystem|iostream|ctime|future|condition_variable|unistd\.h|sys/.*|"
    r"spdlog/.*|grpcpp/.*|boost/.*|soci/.*|absl/time/clock\.h|absl/synchronization/.*|common/base/(files|clock)\.h|"
    r"common/(checkpoint|artifacts|wire)/.*|coordinator/(store|core|rpc|http)/.*)$")
# A folder may include our headers only from folders on its right.
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
    "coordinator/rpc": ["common/", "proto/", "coordinator/core", "coordinator/search", "coordinator/store/backup_source.h"],
    "coordinator/pages": ["common/base", "common/domain", "common/picture", "coordinator/core/page_snapshots.h",
                          "coordinator/core/views.h"],
    "coordinator/http": ["common/", "coordinator/core", "coordinator/pages", "coordinator/search"],
    "worker/model": ["common/base", "common/domain", "common/checkpoint"],
    "worker/score": ["common/base", "common/domain", "common/checkpoint", "worker/model"],
    "worker/prune": ["common/base", "common/domain", "common/checkpoint", "worker/model"],
    "worker/train": ["common/base", "common/domain", "common/checkpoint", "worker/model", "worker/score"],
    "worker/engine": ["common/base", "common/domain", "common/checkpoint", "common/artifacts", "worker/model",
                      "worker/score", "worker/prune", "worker/train"],
    "worker/session": ["common/base", "common/domain", "common/http", "common/security", "common/wire", "proto/",
                       "worker/engine/engine.h"],
    "client": ["common/", "proto/"],
}
MAX_LINES = 500
SUFFIXES = {".cc", ".h", ".py", ".cmake", ".sh"}

problems = []


def sources():
    listed = subprocess.run(["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"],
                            capture_output=True, text=True)
    if listed.returncode == 0:
        names = listed.stdout.splitlines()
    else:
        names = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file()]
    for name in names:
        path = ROOT / name
        if path.suffix in SUFFIXES and path.exists() and not name.startswith(("build", ".deps")):
            yield name, path.read_text(encoding="utf-8")


def check_include(name, header):
    if TORCH.match(header) and not name.startswith(TORCH_FOLDERS):
        problems.append(f"{name}: includes {header}; LibTorch belongs to worker/{{model,prune,train,score}}")
    if header == "torch/torch.h" and name.endswith(".h"):
        problems.append(f"{name}: a header includes torch/torch.h; use torch/types.h")
    if WIRE.search(header) and not name.startswith(WIRE_FOLDERS):
        problems.append(f"{name}: includes generated protobuf {header}")
    if name.startswith(PURE_FOLDERS) and IMPURE_HEADERS.match(header):
        problems.append(f"{name}: a pure folder includes {header}")
    if header.startswith("catch2/") and not name.startswith("tests/support/catch"):
        problems.append(f"{name}: includes {header}; use tests/support/catch.h")
    folder = str(pathlib.PurePosixPath(name).parent)
    rule = ALLOWED.get(folder)
    ours = header.startswith(("common/", "coordinator/", "worker/", "client/"))
    if rule is not None and ours and not header.startswith((folder + "/", *rule)):
        problems.append(f"{name}: includes {header}, which does not lie below {folder}")


def check_source(name, text):
    lines = text.count("\n")
    if lines > MAX_LINES:
        problems.append(f"{name}: {lines} lines; at most {MAX_LINES}")
    if name.endswith((".cc", ".h")):
        if name.endswith(".h") and "#pragma once" not in text:
            problems.append(f"{name}: no #pragma once")
        for header in re.findall(r'^#include [<"]([^>"]+)[>"]', text, re.MULTILINE):
            check_include(name, header)


def check_links():
    for program in ("espalier", "espalier-coordinator"):
        path = PROGRAMS / program
        if not path.exists():
            problems.append(f"{path} is not built")
            continue
        linked = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=True).stdout
        if "libtorch" in linked or "libc10" in linked:
            problems.append(f"{program} links LibTorch")


count = 0
for source_name, source_text in sources():
    count += 1
    check_source(source_name, source_text)
check_links()
if count < 50:
    problems.append(f"only {count} sources found under {ROOT}")
print("\n".join(problems) if problems else f"{count} sources follow the rules")
sys.exit(1 if problems else 0)
