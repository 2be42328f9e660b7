"""A disk that is full: one line, exit code 6, nothing half written. The disk is a small tmpfs, in a namespace of its own where only root
may mount one here; exit code 77: neither is allowed.

python3 full_disk_test.py BUILD_FOLDER
"""

import shutil
import subprocess
import sys

from harness import *

programs = Programs(sys.argv[1], fake=True)


def mount(folder):
    return subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True).returncode == 0


def test_a_full_disk():
    with Folder() as folder:
        small = folder / "small"
        small.mkdir()
        if not mount(small):
            shutil.rmtree(folder)  # what follows does not come back here
            if os.environ.get("ESPALIER_TEST_NAMESPACE") or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode != 0:
                print("SKIPPED: neither mounting a tmpfs nor a namespace to do so is allowed here", flush=True)
                os._exit(77)
            os.environ["ESPALIER_TEST_NAMESPACE"] = "1"
            os.execvp("unshare", ["unshare", "-rm", sys.executable, *sys.argv])
        try:
            try:
                (small / "filler").write_bytes(b"x" * (4 << 20))
            except OSError:
                pass
            code, out, err = programs.run("run", "--model", TINY, "--tokens", SAMPLES, "--target", "60%", "--generations", "0", "--workers", "1",
                                          "--output", small / "out", "--state", folder / "s", timeout=60)
            check(code == 6, f"exit code {code}: {err}")
            lines = [line for line in err.splitlines() if line.startswith("espalier: ")]
            check(len(lines) == 1 and err.splitlines()[-1] == lines[0], f"not one line of error: {err}")
            check(str(small) in lines[0] and "No space left" in lines[0], lines[0])
            check([path.name for path in small.iterdir()] == ["filler"], f"left behind: {list(small.iterdir())}")
            check(not servers_with(str(folder)), "a process is left")
            print(f"      {lines[0].replace(str(folder), '')}", flush=True)
            # Room again: the same command finishes from its state.
            (small / "filler").unlink()
            code, out, err = programs.run("run", "--model", TINY, "--tokens", SAMPLES, "--target", "60%", "--generations", "0", "--workers", "1",
                                          "--output", small / "out", "--state", folder / "s", timeout=60)
            check(code == 0 and (small / "out" / "result.json").exists(), f"exit code {code}: {err}")
        finally:
            subprocess.run(["umount", "-l", str(small)], check=False)


if __name__ == "__main__":
    main([test_a_full_disk])
