"""A copy of a running coordinator's database, brought back elsewhere, continues the same search to the same masks.

python3 backup_test.py BUILD_FOLDER
"""

import contextlib
import json
import sqlite3
import subprocess
import sys

from harness import *

programs = Programs(sys.argv[1], fake=True, task_ms=40)


class Service:
    """A coordinator on SQLite and two workers."""

    def __init__(self, folder, state, workers=2):
        self.address = f"unix:{folder}/{state}.sock"
        self.processes = [subprocess.Popen([str(programs.bin / "espalier-coordinator"), "--listen", self.address, "--state", str(folder / state),
                                            "--artifacts", str(folder / "artifacts"), "--lease-seconds", "5"], stdout=subprocess.DEVNULL,
                                           stderr=subprocess.DEVNULL)]
        wait_until(lambda: self.run("list")[0] == 0, 60, "the coordinator answers")
        self.processes += [subprocess.Popen([programs.environment["ESPALIER_WORKER"], "--coordinator", self.address, "--artifacts",
                                             str(folder / "artifacts")], env=programs.environment, stdout=subprocess.DEVNULL,
                                            stderr=subprocess.DEVNULL) for _ in range(workers)]

    def run(self, *arguments):
        return programs.run(*arguments, "--coordinator", self.address)

    def finish(self, folder, name):
        code, _, err = self.run("watch", "a")
        check(code == 0, f"watch: {code}: {err}")
        code, _, err = self.run("export", "a", "--output", folder / name)
        check(code == 0, f"export: {code}: {err}")
        return masks(read_json(folder / name / "result.json"))

    def end(self):
        for process in reversed(self.processes):
            process.kill()
            process.wait()


def coordinator(*arguments):
    done = subprocess.run([str(programs.bin / "espalier-coordinator"), *map(str, arguments)], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


def count(path, sql):
    with contextlib.closing(sqlite3.connect(path)) as database:
        return database.execute(sql).fetchone()[0]


def test_a_copy_of_a_running_coordinator_continues_to_the_same_masks():
    with Folder() as folder:
        service = Service(folder, "first")
        try:
            code, _, err = service.run("submit", "--model", TINY, "--tokens", SAMPLES, "--target", "60%", "--head-granularity", "head",
                                       "--generations", "2", "--seed", "5", "--job-id", "a")
            check(code == 0, err)
            wait_until(lambda: len(json.loads(service.run("candidates", "a", "--format", "json")[1])) > 0, 60, "the search is under way")
            code, out, err = service.run("backup", "--output", folder / "copy")
            check(code == 0 and "bring it back" in out, f"{code}: {out}{err}")
            check((folder / "copy").stat().st_mode & 0o777 == 0o600, "others may read the copy")
            check(service.run("backup", "--output", folder / "copy")[0] == 3, "an existing file is not written over")
            code, err = coordinator("--state", folder / "first", "--backup", folder / "offline")
            check(code == 4 and "another coordinator" in err, f"offline, beside a running one: {code}: {err}")
            undisturbed = service.finish(folder, "out")
        finally:
            service.end()

        events = count(folder / "copy", "SELECT COUNT(*) FROM events")
        check(events > 0, "the copy holds what was committed before it")
        epoch = count(folder / "copy", "SELECT number FROM meta WHERE name = 'epoch'")
        code, err = coordinator("--state", folder / "second", "--restore", folder / "copy")
        check(code == 0, f"{code}: {err}")
        restored = folder / "second" / "coordinator.sqlite"
        check(count(restored, "SELECT number FROM meta WHERE name = 'epoch'") > epoch + 1000, "the epoch goes far on")
        code, err = coordinator("--state", folder / "second", "--restore", folder / "copy")
        check(code == 4 and "move it away" in err, f"restored over a database: {code}: {err}")
        service = Service(folder, "second")
        try:
            check(service.finish(folder, "again") == undisturbed, "masks differ after the copy was brought back")
        finally:
            service.end()

        # While nobody uses it.
        code, err = coordinator("--state", folder / "first", "--backup", folder / "offline")
        check(code == 0, f"{code}: {err}")
        check(count(folder / "offline", "SELECT COUNT(*) FROM events") > events, "all that was committed is in it")


def test_what_is_no_whole_copy_is_refused_with_what_it_is():
    with Folder() as folder:
        code, err = coordinator("--state", folder / "none", "--backup", folder / "x")
        check(code == 4 and "there is no database" in err, f"{code}: {err}")
        good = folder / "good" / "coordinator.sqlite"
        good.parent.mkdir()
        with sqlite3.connect(good) as database:
            database.executescript((SOURCE / "tests" / "contract" / "data" / "schema_1.sql").read_text())
        code, err = coordinator("--state", folder / "good", "--backup", folder / "copy")  # migrates on its way
        check(code == 0, f"{code}: {err}")
        content = (folder / "copy").read_bytes()

        def refused(name, data, words):
            (folder / name).write_bytes(data)
            code, err = coordinator("--state", folder / f"state-{name}", "--restore", folder / name)
            check(code == 4 and words in err, f"{name}: {code}: {err}")
            check(not (folder / f"state-{name}" / "coordinator.sqlite").exists(), f"{name}: a database was left")

        refused("rubbish", b"x" * 9000, "not a database")
        refused("truncated", content[:len(content) // 2], "restore a copy")
        with sqlite3.connect(folder / "copy") as database:
            payload = database.execute("SELECT payload FROM events ORDER BY sequence DESC LIMIT 1").fetchone()[0].encode()
        at = content.index(payload) + 8
        refused("flipped", content[:at] + (b"A" if content[at:at + 1] != b"A" else b"B") + content[at + 1:], "damaged")
        other = folder / "cookies"
        with sqlite3.connect(other) as database:
            database.execute("CREATE TABLE cookies (name TEXT)")
        refused("foreign", other.read_bytes(), "another program")
        with sqlite3.connect(folder / "copy") as database:
            database.execute("UPDATE meta SET number = 99 WHERE name = 'schema_version'")
        refused("newer", (folder / "copy").read_bytes(), "schema version 99")


if __name__ == "__main__":
    main([test_a_copy_of_a_running_coordinator_continues_to_the_same_masks, test_what_is_no_whole_copy_is_refused_with_what_it_is])
