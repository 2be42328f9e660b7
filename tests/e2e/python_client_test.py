#!/usr/bin/env python3
"""examples/python/submit.py against a real coordinator with a fake worker: python_client_test.py BUILD_FOLDER

Needs tests/e2e/requirements.txt, in .deps/grpc (tools/setup.sh --full) or in the interpreter that runs this; exit code 77:
skipped, neither has it.
"""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile

from harness import SAMPLES, SOURCE, TINY, wait_until

OURS = SOURCE / ".deps" / "grpc" / "bin" / "python"

try:
    import grpc  # noqa: F401
    from grpc_tools import protoc
except ImportError as error:
    if OURS.exists() and pathlib.Path(sys.prefix) != OURS.parent.parent:
        sys.exit(subprocess.run([str(OURS), *sys.argv], check=False).returncode)
    print(f"SKIPPED: {error}; tools/setup.sh --full installs it (tests/e2e/requirements.txt)")
    sys.exit(77)

JOB = f"""
model_folder: "{TINY}"
tokens_path: "{SAMPLES}"
target {{ share: 0.6 }}
stop {{ generations: 1 }}
"""


def make_stubs(folder):
    import grpc_tools

    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    protos = sorted(str(path) for path in (SOURCE / "proto/espalier/v1").glob("*.proto"))
    folder.mkdir()
    words = ["protoc", f"-I{SOURCE / 'proto'}", f"-I{well_known}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    assert protoc.main(words + protos) == 0


def main():
    programs = pathlib.Path(sys.argv[1]) / "bin"
    with tempfile.TemporaryDirectory(prefix="espalier-python-") as name:
        root = pathlib.Path(name)
        make_stubs(root / "stubs")
        (root / "job.textproto").write_text(JOB)
        address, state = f"unix:{root / 'socket'}", root / "state"
        processes = []

        def start(program, *arguments):
            with open(root / f"{program}.log", "w") as log:
                processes.append(subprocess.Popen([programs / program, *map(str, arguments)], stdout=log, stderr=log))

        try:
            start("espalier-coordinator", "--state", state, "--listen", address, "--ready-file", root / "ready")
            wait_until((root / "ready").exists, 60, "coordinator ready")
            start("espalier-fake-worker", "--coordinator", address, "--artifacts", state / "artifacts")
            done = subprocess.run(
                [sys.executable, SOURCE / "examples/python/submit.py", address, root / "job.textproto", root / "out"],
                env={**os.environ, "PYTHONPATH": str(root / "stubs")}, capture_output=True, text=True, timeout=240,
            )  # fmt: skip
        finally:
            for process in reversed(processes):
                process.send_signal(signal.SIGTERM)
            for process in processes:
                process.wait(60)
        print(done.stdout, done.stderr)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert lines[0].startswith("submitted jobs/") and lines[-2].startswith("SUCCEEDED"), lines
        assert "parameters, perplexity" in lines[-1], lines
        assert any((root / "out").iterdir()), "no file was fetched"
    return 0


if __name__ == "__main__":
    sys.exit(main())
