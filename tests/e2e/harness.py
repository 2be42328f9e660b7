"""What the end-to-end tests share: starting the programs, finding and killing their processes, comparing results."""

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
TINY = SOURCE / "examples" / "tiny"
SAMPLES = SOURCE / "examples" / "tiny-samples.npy"
SHORT_STAGES = ((2, 0, 1024), (1, 1024, 1024))  # survivors, trained tokens, scored tokens


def short_job(generations: int = 2, offspring: int = 4, stages=SHORT_STAGES, seed: int = 7) -> str:
    """A whole job for the real engine on the tiny model; by default of some seconds."""
    lines = "\n".join(f"  stages {{ survivors: {survivors} train_tokens: {trained} score_tokens: {scored} }}"
                      for survivors, trained, scored in stages)
    return f"""
target {{ count: 2362560 }}
ladder {{ head_granularity: HEAD attention_levels: 4 ffn_levels: 5 }}
calibration_tokens: 8192
sequence_length: 128
additive_score_tokens: 1024
phases {{
  name: "short" generations: {generations} offspring: {offspring} redraw_every: 1 same_kind_weight: 1 cross_kind_weight: 1
{lines}
  train {{ loss: KL learning_rate: 5e-4 }}
}}
play_off {{ tokens: 1024 tokens_per_step: 512 }}
play_off_score_tokens: 1024
report_score_tokens: 1024
recovery {{ tokens: 4096 tokens_per_step: 1024 }}
tokens_per_step: 512
seed: {seed}
"""


SHORT_JOB = short_job()


class Programs:
    """The build's programs; `fake` puts the engine without tensors in the worker's place."""

    def __init__(self, build: str, fake: bool = False, task_ms: int = 0):
        self.bin = pathlib.Path(build) / "bin"
        self.environment = dict(os.environ)
        if fake:
            self.environment["ESPALIER_WORKER"] = str(self.bin / "espalier-fake-worker")
            self.environment["ESPALIER_FAKE_TASK_MS"] = str(task_ms)

    def start(self, *arguments, **options) -> subprocess.Popen:
        return subprocess.Popen([str(self.bin / "espalier"), *map(str, arguments)], env=self.environment, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, **options)

    def run(self, *arguments, timeout: float = 300):
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return process.returncode, out, err


def processes_with(text: str) -> dict:
    """Living processes (no zombies) whose command line names `text`: {pid: command line}."""
    found = {}
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = (entry / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if text in command and state != "Z":
            found[int(entry.name)] = command
    return found


def servers_with(text: str) -> dict:
    """Only coordinators and workers."""
    return {pid: command for pid, command in processes_with(text).items()
            if "espalier-coordinator" in command.split(" ")[0] or "worker" in command.split(" ")[0]}


def wait_until(condition, seconds: float = 30, what: str = ""):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"did not happen within {seconds} s: {what}")


def masks(result: dict):
    """What must be equal whatever ran the job: the parents' masks by generation, their fitness, and the outcome."""
    history = [(g["generation"], g["parent_mask_digest"], g["fitness"]) for g in result["history"]]
    return history, result["mask"], result["fitness"], result["parameters"]


def read_json(path) -> dict:
    with open(path) as file:
        return json.load(file)


class Folder:
    """A temporary folder with a short, unique path; removed at the end."""

    def __init__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="esp-e2e-"))

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        for pid in servers_with(str(self.path)):  # a test that failed may have left some
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.path, ignore_errors=True)


def check(condition, message: str):
    if not condition:
        raise AssertionError(message)


def main(tests, *arguments):
    """Runs all functions, or those named on the command line, and says how long each took."""
    failed = 0
    for test in tests:
        began = time.monotonic()
        try:
            test(*arguments)
            print(f"ok    {test.__name__}  {time.monotonic() - began:.1f} s", flush=True)
        except Exception as error:  # the next test may still tell something
            failed += 1
            print(f"FAIL  {test.__name__}  {time.monotonic() - began:.1f} s: {type(error).__name__}: {error}", flush=True)
    sys.exit(1 if failed else 0)


__all__ = ["Programs", "Folder", "TINY", "SAMPLES", "SHORT_JOB", "short_job", "SOURCE", "processes_with", "servers_with", "wait_until",
           "masks", "read_json", "check", "main", "random", "signal", "os", "time"]
