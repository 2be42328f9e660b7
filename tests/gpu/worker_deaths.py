"""What the death of a worker costs: a search whose workers are killed one after the other, and the seconds that were lost.

python3 worker_deaths.py BIN_FOLDER --model FOLDER --tokens FILE [--device cuda:0] [--workers 2] [--slots 4] [--every 10]
                         [--seconds 50] [JOB FLAGS OF espalier submit ...]

Two workers share one card by default. Every so often the one that has run for longest is killed (SIGKILL) in the middle of
its tasks and a new one is started at once, as a supervisor does. From the workers' logs and the coordinator's database:

  lost        task seconds that were spent on attempts which never counted, and the seconds of a card in which they ran
  idle        until the new worker began its first task: process, LibTorch, model
  again       until another attempt of a lost task began (at most the lease, when nobody reports the death)
"""

import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from fleet import *  # noqa: E402


def union_seconds(spans):
    """Of intervals that overlap, as tasks in the slots of one card do."""
    total, end = 0.0, float("-inf")
    for begin, until in sorted(spans):
        total += max(0.0, until - max(begin, end))
        end = max(end, until)
    return total


def running(worker, now):
    """[(task, since)] of what it is at."""
    left = dict(worker.started())
    for task, _ in worker.finished():
        left.pop(task, None)
    return [(task, since) for task, since in left.items() if since <= now]


def kill_in_turn(fleet, flags, start):
    deaths = []
    end = time.monotonic() + flags.seconds
    while time.monotonic() < end - flags.every / 2:
        time.sleep(flags.every)
        job = fleet.job()
        if job is None or job["state"] not in ("QUEUED", "RUNNING"):
            break
        victim = next((worker for worker in fleet.alive() if running(worker, time.time())), None)
        if victim is None:
            continue
        victim.process.kill()
        victim.process.wait()
        died_at = time.time()
        deaths.append((victim, died_at, running(victim, died_at), start()))
    time.sleep(max(0.0, end - time.monotonic()))
    return deaths


def table(fleet, deaths):
    lost_tasks, lost_card, idle, again = [], [], [], []
    for number, (victim, died_at, tasks, heir) in enumerate(deaths, 1):
        lost_tasks.append(sum(died_at - since for _, since in tasks))
        lost_card.append(union_seconds([(since, died_at) for _, since in tasks]))
        begun = heir.started()
        if begun:
            idle.append(begun[0][1] - died_at)
        later = [at - died_at for task, _ in tasks for worker in fleet.workers for name, at in worker.started()
                 if name == task and worker is not victim and at > died_at]
        again += later
        print(f"death {number}: {len(tasks)} tasks, {lost_tasks[-1]:.2f} task seconds, {lost_card[-1]:.2f} s of the card; new worker begins after "
              f"{f'{idle[-1]:.2f} s' if begun else '-'}; begun again after {', '.join(f'{x:.2f}' for x in later) or '-'} s", flush=True)
    return lost_tasks, lost_card, idle, again


def mean(values):
    return sum(values) / len(values) if values else float("nan")


def report(fleet, deaths, lease):
    lost_tasks, lost_card, idle, again = table(fleet, deaths)
    useful = [(end - dict(worker.started())[task]) for worker in fleet.workers for task, end in worker.finished()]
    attempts = fleet.attempts()
    repeated = sum(fleet.starts().values()) - len(fleet.starts())
    print(f"{len(useful)} tasks finished in {sum(useful):.1f} task seconds ({mean(useful):.2f} s each); {len(attempts)} attempts, "
          f"{sum(1 for row in attempts if row[3] == 1)} committed, {repeated} begun more than once")
    print(f"a death: {mean(lost_tasks):.2f} task seconds and {mean(lost_card):.2f} s of the card thrown away (most {max(lost_card):.2f}), "
          f"{mean(idle):.2f} s until the new worker begins, {mean(again):.2f} s until a lost task is begun again (lease {lease:.0f} s)")
    print(f"all {len(deaths)} deaths: {sum(lost_card):.2f} s of the card lost; {100 * sum(lost_tasks) / (sum(lost_tasks) + sum(useful)):.1f} % of all task seconds")


def run():
    parser = argparse.ArgumentParser(allow_abbrev=False)  # --mode is for submit, not short for --model
    parser.add_argument("bin")
    parser.add_argument("--model", required=True)
    parser.add_argument("--tokens", required=True)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--every", type=float, default=10)
    parser.add_argument("--seconds", type=float, default=50)
    parser.add_argument("--lease", type=float, default=5)
    flags, job_flags = parser.parse_known_args()
    programs = Programs(str(pathlib.Path(flags.bin).resolve().parent))
    with Folder() as folder, Fleet(folder, programs, lease=flags.lease) as fleet:
        fleet.start_coordinator()
        fleet.submit("--model", pathlib.Path(flags.model).resolve(), "--tokens", pathlib.Path(flags.tokens).resolve(), "--device",
                     flags.device.split(":")[0], *job_flags)

        def start():
            return fleet.start_worker(flags=["--device", flags.device, "--slots", flags.slots])

        for _ in range(flags.workers):
            start()
        wait_until(lambda: fleet.num_starts() >= 1, 60, "a task is begun")
        deaths = kill_in_turn(fleet, flags, start)
        job = fleet.job()
        print(f"after {flags.seconds:.0f} s the job is {job['state']}, {job.get('progress', {})}", flush=True)
        if not deaths:
            sys.exit("nobody was killed in the middle of a task: the job was over, or nothing ran")
        for worker in fleet.alive():
            worker.process.kill()
        report(fleet, deaths, flags.lease)


if __name__ == "__main__":
    run()
