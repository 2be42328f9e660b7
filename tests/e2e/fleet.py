"""A coordinator and workers as processes of their own, each with its log, for the tests that disturb them."""

import collections
import datetime
import json
import re
import shutil
import socket
import sqlite3
import subprocess

from harness import *

STARTED = re.compile(r"^(\S+ \S+) \w+ \[\d+\] started (\S+)$", re.M)
FINISHED = re.compile(r"^(\S+ \S+) \w+ \[\d+\] finished (\S+) in", re.M)


def seconds_of(text):
    return datetime.datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f").timestamp()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# How attempts end, in the store.
COMMITTED, FAILED, EXPIRED, HANDED_BACK = 1, 2, 3, 4


class Missed(AssertionError):
    """A fault came too late, or struck nobody: nothing was shown. Such a test is run again with slower tasks."""


class Worker:
    def __init__(self, process, log):
        self.process = process
        self.log = log

    def text(self):
        return self.log.read_text(errors="replace")

    def started(self):
        return [(task, seconds_of(at)) for at, task in STARTED.findall(self.text())]

    def finished(self):
        return [(task, seconds_of(at)) for at, task in FINISHED.findall(self.text())]

    def running(self):
        """The task that it has begun and not ended, or None."""
        ended = {task for task, _ in self.finished()}
        return next((task for task, _ in reversed(self.started()) if task not in ended), None)

    def is_alive(self):
        return self.process.poll() is None

    def lost_seconds(self, died_at):
        """Of the task that was running when the worker died; 0 when none was."""
        started, finished = self.started(), self.finished()
        return died_at - started[-1][1] if len(started) > len(finished) else 0.0


class Fleet:
    """`address` is what the coordinator listens on; None: a Unix socket in the folder. A TCP port survives restarts."""

    def __init__(self, folder, programs, lease=1.0, address=None, state=None, artifacts=None, coordinator_flags=()):
        self.folder = folder
        self.programs = programs
        self.lease = lease
        self.state = state or folder / "state"
        self.artifacts = artifacts or folder / "artifacts"
        self.address = address or f"unix:{folder}/socket"
        self.coordinator_flags = coordinator_flags
        self.coordinator = None
        self.workers = []
        self.restarts = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for worker in self.workers:
            self._end(worker.process)
        self._end(self.coordinator)

    @staticmethod
    def _end(process):
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()

    def token_flags(self):
        return [] if self.address.startswith("unix:") else ["--token-file", self.state / "token"]

    def start_coordinator(self, wait=True):
        log = open(self.folder / "coordinator.log", "ab")
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        command = [self.programs.bin / "espalier-coordinator", "--listen", self.address, "--state", self.state, "--artifacts",
                   self.artifacts, "--lease-seconds", self.lease, "--ready-file", ready, *self.coordinator_flags]
        self.coordinator = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log)
        if wait:
            wait_until(ready.exists, seconds=90, what=f"the coordinator answers: {self.coordinator_log()[-800:]}")

    def coordinator_log(self):
        return (self.folder / "coordinator.log").read_text(errors="replace")

    def kill_coordinator(self, restart=True):
        self.coordinator.kill()
        self.coordinator.wait()
        self.restarts += 1
        if restart:
            self.start_coordinator()

    def start_worker(self, address=None, task_ms=None, prefix=(), flags=()):
        log = self.folder / f"worker-{len(self.workers)}.log"
        program = self.programs.environment.get("ESPALIER_WORKER", self.programs.bin / "espalier-worker")
        environment = dict(self.programs.environment, OMP_NUM_THREADS="1")
        if task_ms is not None:
            environment["ESPALIER_FAKE_TASK_MS"] = str(task_ms)
        command = [*prefix, program, "--coordinator", address or self.address, "--artifacts", self.artifacts, *self.token_flags(), *flags]
        with open(log, "wb") as out:
            process = subprocess.Popen([str(word) for word in command], env=environment, stdout=out, stderr=out)
        worker = Worker(process, log)
        self.workers.append(worker)
        return worker

    def alive(self):
        return [worker for worker in self.workers if worker.is_alive()]

    def ask(self, command, *arguments, timeout=60):
        return self.programs.run(command, *arguments, "--coordinator", self.address, *self.token_flags(), timeout=timeout)

    def submit(self, *spec):
        code, _, err = self.ask("submit", *spec, "--job-id", "j")
        check(code == 0, f"submit: exit code {code}: {err}")

    def job(self):
        """The job as JSON; None while nobody answers."""
        code, out, _ = self.ask("get", "j", "--format", "json")
        return json.loads(out) if code == 0 else None

    def starts(self):
        """How often each task was started, over all workers that ever were."""
        return collections.Counter(task for worker in self.workers for task, _ in worker.started())

    def num_stopped(self):
        """Tasks that a living worker stopped: its own clock said that the lease was over (a starved machine), or it was told to."""
        return sum(worker.text().count("stopping the task in slot") for worker in self.workers)

    def num_starts(self):
        return sum(self.starts().values())

    def wait_for_starts(self, number, seconds=200):
        """True once so many tasks were started; False when the job ended before."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.num_starts() >= number:
                return True
            if any("/finish" in task for task in self.starts()):
                return False
            time.sleep(0.02)
        raise AssertionError(f"only {self.num_starts()} of {number} tasks were started within {seconds} s: {self.coordinator_log()[-1500:]}")

    def is_over(self):
        return any("/finish" in task for worker in self.workers for task, _ in worker.finished())

    def reach(self, number):
        """Waits until so many tasks were started."""
        if not self.wait_for_starts(number):
            raise Missed(f"the job ended before its task number {number}")

    def struck(self, what):
        """Called when a fault was made: the job must have been under way."""
        if self.is_over():
            raise Missed(f"the job was over: {what}")

    def wait_done(self, seconds=300):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            job = self.job()
            if job is not None and job["state"] in ("SUCCEEDED", "FAILED", "CANCELLED"):
                check(job["state"] == "SUCCEEDED", f"the job is {job['state']}: {job.get('failure', '')}")
                return
            time.sleep(0.4)
        raise AssertionError(f"the job is not done within {seconds} s: {self.job()}; {self.coordinator_log()[-1500:]}")

    def masks(self):
        code, _, err = self.ask("export", "j", "--output", self.folder / "out")
        check(code == 0, f"export: exit code {code}: {err}")
        result = masks(read_json(self.folder / "out" / "result.json"))
        shutil.rmtree(self.folder / "out")
        return result

    def attempts(self):
        """Rows (task, attempt, epoch, how it ended) of the store, which nobody else has open: the coordinator is ended."""
        self.coordinator.terminate()
        check(self.coordinator.wait(timeout=20) == 0, "the coordinator ends with 0 after SIGTERM")
        database = sqlite3.connect(self.state / "coordinator.sqlite")
        try:
            rows = database.execute("SELECT task_id, attempt, epoch, ended FROM attempts").fetchall()
            committed = database.execute("SELECT task_id, COUNT(*) FROM events WHERE task_id IS NOT NULL GROUP BY task_id").fetchall()
        finally:
            database.close()
        check(all(count == 1 for _, count in committed), "a task was committed twice")
        return rows
