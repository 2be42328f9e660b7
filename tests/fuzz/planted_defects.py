"""Whether the fuzzers can find anything: into the source behind each of them a defect is planted, and it must be found.

python3 planted_defects.py BUILD_FOLDER [SECONDS]

The build folder is that of `make fuzz`. The altered source is compiled aside and linked before the right one; the tree and the
build's own objects stay as they are.
"""

import pathlib
import re
import shlex
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(sys.argv[1]).resolve()
SECONDS = int(sys.argv[2]) if len(sys.argv) > 2 else 120

# Target, source, what stands there, what is planted.
DEFECTS = [
    ("safetensors", "common/checkpoint/safetensors.cc",
     "if (file.size() < 10)", "if (file.empty())"),
    ("model_config", "common/checkpoint/model_config_reader.cc",
     'Integer("num_attention_heads", std::nullopt, 1, kMaxWidth)', 'Integer("num_attention_heads", std::nullopt, 0, kMaxWidth)'),
    ("token_file", "common/checkpoint/token_file.cc",
     "if (id < 0 || id >= vocabulary_size)", "if (id >= vocabulary_size)"),
    ("job_file", "common/wire/job_file.cc",
     "if (first != std::string::npos && text[first] == '{')", "if (text[first] == '{')"),
    ("mask", "common/wire/mask_conversion.cc",
     "if (unit.removed.empty() || unit.removed.front() != 0)", "if (unit.removed.front() != 0)"),
    ("record", "common/wire/task_conversion.cc",
     "proto.set_position(key.position);", "proto.set_position(key.position < 0 ? -key.position : key.position / 2);"),
    ("synchronize", "coordinator/core/report.cc",
     "if (granted != nullptr && (granted->epoch", "if ((granted->epoch"),
    ("http", "coordinator/http/request_target.cc",
     'return found == target.query.end() ? "" : found->second;', "return found->second;"),
    ("settings", "common/security/token_table.cc",
     "token.size() == 64 && std::all_of", "std::all_of"),
]


def commands_of(target):
    """The commands that make the fuzzer: (compilations, the last one, which links)."""
    lines = subprocess.run(["ninja", "-C", BUILD, "-t", "commands", f"bin/fuzz-{target}"], check=True, capture_output=True, text=True)
    lines = [line for line in lines.stdout.splitlines() if line and not line.startswith("ninja:")]
    return [line for line in lines if " -c " in line], lines[-1]


def build(target, source, text, folder):
    """The fuzzer with this text in the source's place."""
    compilations, link = commands_of(target)
    part = "/".join(source.split("/")[:2]) + "/CMakeFiles/"  # any object of the same library has the right flags
    flags = next(shlex.split(line) for line in compilations if f"-o {part}" in line)
    planted = folder / "planted.cc"
    planted.write_text(text)
    planted_object = folder / "planted.o"
    flags[flags.index("-o") + 1] = str(planted_object)
    flags[flags.index("-c") + 1] = str(planted)
    if "-MF" in flags:
        flags[flags.index("-MF") + 1] = str(folder / "planted.d")
    subprocess.run(flags, cwd=BUILD, check=True)
    program = folder / f"fuzz-{target}"
    words = shlex.split(re.sub(r"^: && | && :$", "", link))
    at = words.index("-o")
    words[at + 1] = str(program)
    words[at:at] = [str(planted_object), "-Wl,--allow-multiple-definition"]  # of two definitions the first one counts
    subprocess.run(words, cwd=BUILD, check=True)
    return program


def find(target, source, before, after):
    right = (SOURCE / source).read_text()
    if right.count(before) != 1:
        return f"{source} has changed: '{before}' stands in it {right.count(before)} times; plant another defect"
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        program = build(target, source, right.replace(before, after), folder)
        (folder / "corpus").mkdir()
        began = time.monotonic()
        run = subprocess.run([program, f"-max_total_time={SECONDS}", "-max_len=65536", "-timeout=20", "-rss_limit_mb=2048", "-seed=1",
                              f"-artifact_prefix={folder}/", folder / "corpus", BUILD / "seeds" / target],
                             capture_output=True, text=True, errors="replace")
        took = time.monotonic() - began
    if run.returncode == 0:
        return f"not found in {SECONDS} s"
    said = re.search(r"(does not hold: .*|SUMMARY: .*|runtime error: .*)", run.stderr)
    tries = re.findall(r"^#(\d+)", run.stderr, re.M)
    print(f"planted: {target}: found after {took:.1f} s and {tries[-1] if tries else 0} inputs or more: "
          f"{said.group(1)[:150] if said else run.stderr[-300:]}", flush=True)
    return "" if said else "it ended otherwise than by the defect"


failed = 0
for defect in DEFECTS:
    if problem := find(*defect):
        failed += 1
        print(f"planted: {defect[0]}: {problem}", flush=True)
print(f"planted: {len(DEFECTS) - failed} of {len(DEFECTS)} defects found")
sys.exit(1 if failed else 0)
