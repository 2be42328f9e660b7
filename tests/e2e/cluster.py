"""A PostgreSQL of the test's own, coordinators that share it, and workers that follow whoever leads."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

from harness import *

SKIPPED = 77  # exit code: ctest's SKIP_RETURN_CODE


class Postgres:
    def __init__(self, folder: pathlib.Path):
        self.folder = folder / "pg"
        self.folder.mkdir()
        os.chmod(folder, 0o755)
        self.process = subprocess.Popen([str(SOURCE / "tests" / "support" / "postgres.sh"), str(self.folder)], stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline().strip() != "ready":
            print("SKIPPED: PostgreSQL's server (Debian: postgresql) is not installed or did not start")
            sys.exit(SKIPPED if self.process.wait() == 77 else 1)
        self.socket = self.folder / "data" / "socket"

    def new_database(self, name: str) -> str:
        self.ask("postgres", f"CREATE DATABASE {name}")
        return f"host={self.socket} user=espalier dbname={name}"

    def ask(self, database: str, sql: str) -> list:
        """Rows of strings."""
        out = subprocess.run(["psql", "-X", "-A", "-t", "-F", "\t", "-h", str(self.socket), "-U", "espalier", database, "-c", sql],
                             capture_output=True, text=True, check=True).stdout
        return [line.split("\t") for line in out.splitlines()]

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=30)


class Coordinator:
    """`address`: None for a Unix socket in its folder."""

    def __init__(self, programs: Programs, folder: pathlib.Path, name: str, store: str, *more, address: str | None = None):
        self.name = name
        self.state = folder / name
        self.state.mkdir(exist_ok=True)
        self.address = address or f"unix:{self.state}/c"
        self.ready = self.state / "ready"
        self.ready.unlink(missing_ok=True)
        self.log = open(self.state / "log", "a")
        self.process = subprocess.Popen([str(programs.bin / "espalier-coordinator"), "--state", str(self.state), "--listen", self.address,
                                         "--artifacts", str(folder / "artifacts"), "--store", store, "--ready-file", str(self.ready),
                                         "--lease-seconds", "20", *map(str, more)], stdout=self.log, stderr=self.log)

    def leads(self) -> bool:
        return self.ready.exists()

    def says(self) -> str:
        return (self.state / "log").read_text()

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
        self.log.close()


class Cluster:
    """Two coordinators on a database of their own (`store`: on this one, which is there), and workers. `more`: flags of the
    coordinators; `caller`: of workers and commands; `ports`: on which they listen at localhost instead of on Unix sockets."""

    def __init__(self, programs: Programs, folder: pathlib.Path, postgres: Postgres, name: str, workers: int = 4, more=(), store: str = "",
                 caller=(), ports=(None, None)):
        self.programs = programs
        self.postgres = postgres
        self.database = name
        self.folder = folder / name
        self.folder.mkdir(exist_ok=True)
        self.store = store or postgres.new_database(name)
        self.more = more
        self.caller = [str(word) for word in caller]
        addresses = [port and f"localhost:{port}" for port in ports]
        self.a = Coordinator(programs, self.folder, "a", self.store, *more, address=addresses[0])
        wait_until(self.a.leads, 60, "the first coordinator leads")
        self.b = Coordinator(programs, self.folder, "b", self.store, *more, address=addresses[1])
        self.addresses = f"{self.a.address},{self.b.address}"
        self.workers = [subprocess.Popen([programs.environment["ESPALIER_WORKER"], "--coordinator", self.addresses, "--artifacts",
                                          str(self.folder / "artifacts"), *self.caller], env=programs.environment, stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL) for _ in range(workers)]

    def run(self, *arguments, timeout: float = 120):
        return self.programs.run(*arguments, "--coordinator", self.addresses, *self.caller, timeout=timeout)

    def submit(self, job: str = "a"):
        code, _, err = self.run("submit", "--model", TINY, "--tokens", SAMPLES, "--target", "60%", "--head-granularity", "head",
                                "--generations", "4", "--seed", "5", "--job-id", job)
        check(code == 0, f"submit: {code}: {err}")

    def watch(self, job: str = "a") -> subprocess.Popen:
        return self.programs.start("watch", job, "--coordinator", self.addresses, *self.caller)

    def masks(self, job: str = "a"):
        code, _, err = self.run("export", job, "--output", self.folder / f"out-{job}")
        check(code == 0, f"export: {code}: {err}")
        return masks(read_json(self.folder / f"out-{job}" / "result.json"))

    def number(self, sql: str) -> int:
        return int(self.postgres.ask(self.database, sql)[0][0])

    def committed(self) -> int:
        return self.number("SELECT COUNT(*) FROM events WHERE kind = 0")

    def tasks(self) -> set:
        return {row[0] for row in self.postgres.ask(self.database, "SELECT task_id FROM events WHERE kind = 0 AND job_id = 'a'")}

    def repeated(self) -> int:
        return self.number("SELECT COUNT(*) FROM attempts WHERE attempt > 1 AND job_id = 'a'")

    def end(self):
        for worker in self.workers:
            worker.kill()
            worker.wait()
        self.a.end()
        self.b.end()
