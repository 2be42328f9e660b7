"""deploy/systemd: systemd's own checks of the units, and an exposure no worse than what they have now.

python3 systemd_test.py     exit code 77: skipped, with the reason
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

UNITS = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "systemd"
# systemd-analyze's exposure, 0.0 (locked away) to 10.0 (as without any setting). A GPU's devices cost the worker some.
WORST = {"espalier-coordinator.service": 2.0, "espalier-worker@.service": 3.0}


# Flags whose value is a folder or file that the program writes.
WRITTEN = re.compile(r"--(?:artifacts|state|ready-file)[ =](\S+)")
# Folders that systemd makes for a unit and leaves writable, and the variable that names each.
MADE = {"StateDirectory": ("/var/lib/", "${STATE_DIRECTORY}"), "RuntimeDirectory": ("/run/", "${RUNTIME_DIRECTORY}"),
        "CacheDirectory": ("/var/cache/", "${CACHE_DIRECTORY}")}


def values(unit, key):
    return [word for line in re.findall(rf"^{key}=(.*)$", unit, re.M) for word in line.split()]


def refused_paths(unit):
    """What the unit's own command and the examples in its comments write, and its settings do not let it write."""
    writable, variables = [path.lstrip("-") for path in values(unit, "ReadWritePaths")], {}
    for key, (root, variable) in MADE.items():
        for name in values(unit, key):
            writable.append(root + name)
            variables[variable] = root + name
    examples = re.findall(r"^(?:ExecStart=.*|Environment=.*|#\s+[A-Z_]+_FLAGS=.*)$", unit, re.M)
    named = [path for line in examples for path in WRITTEN.findall(line)]
    named += [path for line in examples for path in re.findall(r"unix:(/[^\s\"]+)", line)]
    named = [variables.get(path, path) for path in named if not path.startswith("s3:")]
    if "strict" not in values(unit, "ProtectSystem"):
        return named, []
    return named, [path for path in named if not any(path == root or path.startswith(root + "/") for root in writable)]


def test_units_may_write_what_their_examples_name():
    seen = []
    for unit in UNITS.iterdir():
        named, refused = refused_paths(unit.read_text())
        assert not refused, f"{unit.name}: ProtectSystem=strict keeps it from writing {refused}, which its own example names"
        seen += named
    assert {"/shared/artifacts", "/var/lib/espalier", "/run/espalier/coordinator.sock"} <= set(seen), f"the examples name {seen}"
    for unit in UNITS.iterdir():
        without = re.sub(r"^(ReadWritePaths|StateDirectory|RuntimeDirectory)=.*\n", "", unit.read_text(), flags=re.M)
        assert refused_paths(without)[1], f"{unit.name}: without its writable folders the check finds nothing"


def analyze(*arguments):
    return subprocess.run(["systemd-analyze", *map(str, arguments)], capture_output=True, text=True)


def test_units_are_valid():
    with tempfile.TemporaryDirectory() as folder:
        for unit in UNITS.iterdir():
            # The programs are not installed here; systemd only asks whether there is one.
            text = re.sub(r"/opt/espalier/bin/\S+", "/bin/true", unit.read_text())
            path = pathlib.Path(folder) / unit.name.replace("@.", "@0.")
            path.write_text(text)
            done = analyze("verify", "--man=no", path)
            mine = [line for line in done.stderr.splitlines() if "espalier" in line]
            assert done.returncode == 0 and not mine, f"{unit.name}: {done.returncode}: {done.stderr}"


def test_a_mistake_would_be_found():
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "wrong.service"
        path.write_text("[Service]\nExecStart=/bin/true\nProtectSystm=strict\n")
        assert "ProtectSystm" in analyze("verify", "--man=no", path).stderr, "an unknown key passed"


def test_exposure_is_low():
    for unit, worst in WORST.items():
        done = analyze("security", "--offline=true", f"--threshold={int(worst * 10)}", "--no-pager", UNITS / unit)
        last = [line for line in done.stdout.splitlines() if "Overall exposure" in line]
        print("      " + (last[0].strip() if last else done.stderr.strip()), flush=True)
        assert last and float(re.search(r": ([0-9.]+)", last[0]).group(1)) <= worst, done.stdout[-3000:] + done.stderr


if __name__ == "__main__":
    has_systemd = shutil.which("systemd-analyze") is not None
    failed = 0
    for test in (test_units_may_write_what_their_examples_name, *((test_units_are_valid, test_a_mistake_would_be_found,
                                                                   test_exposure_is_low) if has_systemd else ())):
        try:
            test()
            print(f"ok    {test.__name__}", flush=True)
        except Exception as error:  # the next test may still tell something
            failed += 1
            print(f"FAIL  {test.__name__}: {type(error).__name__}: {error}", flush=True)
    if not has_systemd:
        print("SKIPPED: the rest; no systemd-analyze (package systemd)")
    sys.exit(1 if failed else 0 if has_systemd else 77)
