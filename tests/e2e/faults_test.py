"""Real processes under real faults: whatever happens to workers, coordinator, network and disk, the masks are the same.

python3 faults_test.py BUILD_FOLDER [--full] [--repeat N] [--seed N] [TEST ...]

The faults come at points (numbers of tasks begun) drawn from the seed. --full adds the slow ones: network namespaces,
full disks, the real engine, longer mixtures.
"""

import argparse
import sys

import hard_faults
from fault_proxy import FaultProxy
from fleet import *

SPEC = ["--model", TINY, "--tokens", SAMPLES, "--target", "60%", "--head-granularity", "head", "--generations", "2", "--seed", "5"]
COMMITTED = 1  # AttemptEnd::kCommitted in the store
LEASE = 3.0


class Context:
    """What all tests of one round share: the programs, the seed, and what an undisturbed run finds."""

    spec = SPEC
    reference = None
    num_tasks = 0

    def __init__(self, build, seed):
        self.build = build
        self.random = random.Random(seed)
        self.programs = Programs(build, fake=True, task_ms=40)

    def points(self, count, first=2):
        """Numbers of begun tasks at which something happens."""
        return sorted(self.random.sample(range(first, Context.num_tasks * 3 // 4), count))

    def compare(self, fleet):
        fleet.wait_done()
        check(fleet.masks() == Context.reference, "the masks differ from those of an undisturbed run")


def undisturbed(context):
    """One worker, nothing happens: this is what all others must find."""
    with Folder() as folder, Fleet(folder, Programs(context.build, fake=True, task_ms=2), lease=60) as fleet:
        fleet.start_coordinator()
        fleet.submit(*SPEC)
        fleet.start_worker()
        fleet.wait_done()
        found = fleet.masks()
        check(Context.reference in (None, found), "two undisturbed runs differ")
        Context.reference, Context.num_tasks = found, len(fleet.starts())
        print(f"      {Context.num_tasks} tasks", flush=True)
        check(len(fleet.attempts()) == Context.num_tasks, "every task is leased once")


def started_fleet(fleet, workers=3, **options):
    fleet.start_coordinator()
    fleet.submit(*SPEC)
    for _ in range(workers):
        fleet.start_worker(**options)


def test_a_restarted_coordinator_costs_no_task(context):
    """kill -9, three times, with a long lease: workers go on meanwhile, are adopted, and no task is begun twice."""
    with Folder() as folder, Fleet(folder, context.programs, lease=60) as fleet:
        started_fleet(fleet, task_ms=60)
        for point in context.points(3):
            check(fleet.wait_for_starts(point), "the job was over before the coordinator was killed")
            fleet.kill_coordinator()
        context.compare(fleet)
        repeated = {task: count for task, count in fleet.starts().items() if count > 1}
        check(not repeated, f"begun more than once: {repeated}")
        attempts = fleet.attempts()
        check(all(ended == COMMITTED for _, _, _, ended in attempts), "an attempt ended without its commit")
        check(len({epoch for _, _, epoch, _ in attempts}) > 1, "only one coordinator granted leases")


def test_killed_workers_lose_only_what_they_ran(context):
    with Folder() as folder, Fleet(folder, context.programs, lease=LEASE) as fleet:
        started_fleet(fleet, task_ms=60)
        deaths = 0
        for point in context.points(2):
            if not fleet.wait_for_starts(point):
                break
            context.random.choice(fleet.alive()).process.kill()
            deaths += 1
            fleet.start_worker(task_ms=60)
        context.compare(fleet)
        repeated = sum(fleet.starts().values()) - Context.num_tasks
        check(deaths == 2 and repeated <= deaths + fleet.num_stopped(),
              f"{repeated} tasks begun again after {deaths} deaths and {fleet.num_stopped()} stops")


def test_a_paused_worker_wakes_to_a_task_that_is_anothers(context):
    """SIGSTOP for longer than the lease, SIGCONT: its late report counts for nothing, or it finds its lease renewed."""
    with Folder() as folder, Fleet(folder, context.programs, lease=LEASE) as fleet:
        started_fleet(fleet, task_ms=60)
        for point in context.points(1):
            if not fleet.wait_for_starts(point):
                break
            worker = context.random.choice(fleet.alive())
            worker.process.send_signal(signal.SIGSTOP)
            time.sleep(LEASE * context.random.uniform(1.2, 1.6))
            worker.process.send_signal(signal.SIGCONT)
        context.compare(fleet)
        check(len(fleet.alive()) == 3, "a worker that woke up has left")
        fleet.attempts()


def test_a_paused_coordinator_finds_its_workers_again(context):
    with Folder() as folder, Fleet(folder, context.programs, lease=LEASE) as fleet:
        started_fleet(fleet)
        for point in context.points(2):
            if not fleet.wait_for_starts(point):
                break
            fleet.coordinator.send_signal(signal.SIGSTOP)
            time.sleep(LEASE * context.random.uniform(1.1, 1.5))
            fleet.coordinator.send_signal(signal.SIGCONT)
        context.compare(fleet)
        check(len(fleet.alive()) == 3, "a worker has left")


def test_a_drained_worker_finishes_and_leaves(context):
    """SIGTERM: what runs is finished, nothing new is taken, exit code 0, and no task is begun again."""
    with Folder() as folder, Fleet(folder, context.programs, lease=20) as fleet:
        started_fleet(fleet, workers=2, task_ms=60)
        for point in context.points(3):
            if not fleet.wait_for_starts(point):
                break
            # One that has begun: before that it is only a process that starts, and a signal simply ends it.
            worker = context.random.choice([worker for worker in fleet.alive() if worker.started()])
            worker.process.terminate()
            check(worker.process.wait(timeout=10) == 0, f"exit code {worker.process.returncode}: {worker.text()[-500:]}")
            check(len(worker.started()) == len(worker.finished()), "it left with a task unfinished")
            fleet.start_worker(task_ms=60)
        context.compare(fleet)
        check(sum(fleet.starts().values()) == Context.num_tasks, "a task was begun again")


def test_a_second_signal_hands_back_at_once(context):
    """The task that was half done is another worker's long before the lease ends."""
    with Folder() as folder, Fleet(folder, context.programs, lease=300) as fleet:
        started_fleet(fleet, workers=1, task_ms=10_000)
        check(fleet.wait_for_starts(1), "nothing was begun")
        first = fleet.workers[0]
        first.process.terminate()
        time.sleep(0.2)
        first.process.terminate()  # so soon after the first, that is the same one, passed on twice
        time.sleep(1.2)
        check(first.is_alive() and "handing back" not in first.text(), "the first signal lets the task finish")
        first.process.terminate()
        # The fake engine looks at its stop once a tenth of a task.
        check(first.process.wait(timeout=8) == 0, f"exit code {first.process.returncode}")
        check(len(first.finished()) == 0, "it finished the task")
        second = fleet.start_worker(task_ms=2)
        wait_until(lambda: first.started()[0][0] in fleet.starts() and fleet.starts()[first.started()[0][0]] == 2, 60, "the task is begun again")
        check(second.started(), "by the other worker")
        context.compare(fleet)


def test_a_proxy_delays_swallows_and_cuts(context):
    port = free_port()
    proxy = FaultProxy(port)
    try:
        with Folder() as folder, Fleet(folder, context.programs, lease=LEASE, address=f"127.0.0.1:{port}") as fleet:
            started_fleet(fleet, address=proxy.address)
            for point in context.points(5):
                if not fleet.wait_for_starts(point):
                    break
                disturb_network(context, proxy)
            proxy.heal()
            context.compare(fleet)
            check(len(fleet.alive()) == 3, "a worker gave up")
            check(proxy.cuts > 0, "the proxy cut nothing")
            fleet.attempts()
    finally:
        proxy.close()


def disturb_network(context, proxy):
    fault = context.random.choice(["cut", "slow", "gone", "answers lost", "refused"])
    seconds = context.random.uniform(0.3, 1.6) * LEASE
    if fault == "slow":
        proxy.slow(context.random.uniform(0.02, 0.3))
    elif fault == "gone":
        proxy.swallow("requests", "answers")
    elif fault == "answers lost":
        proxy.swallow("answers")
    elif fault == "refused":
        proxy.refuse()
    if fault != "cut":
        time.sleep(seconds)
    proxy.cut()
    proxy.heal()


def test_everything_at_once(context, num_faults=4):
    """A mixture: workers and coordinator killed, paused and drained, the network cut, in the seed's order."""
    port = free_port()
    proxy = FaultProxy(port)
    try:
        with Folder() as folder, Fleet(folder, context.programs, lease=LEASE, address=f"127.0.0.1:{port}") as fleet:
            started_fleet(fleet, address=proxy.address)
            for point in context.points(num_faults):
                if not fleet.wait_for_starts(point):
                    break
                context.random.choice([kill_a_worker, drain_a_worker, pause_a_worker, restart_the_coordinator, pause_the_coordinator,
                                       lambda c, f, p: disturb_network(c, p)])(context, fleet, proxy)
            proxy.heal()
            context.compare(fleet)
            fleet.attempts()
    finally:
        proxy.close()


def kill_a_worker(context, fleet, proxy):
    context.random.choice(fleet.alive()).process.kill()
    fleet.start_worker(address=proxy.address)


def drain_a_worker(context, fleet, proxy):
    context.random.choice(fleet.alive()).process.terminate()
    fleet.start_worker(address=proxy.address)


def pause_a_worker(context, fleet, proxy):
    worker = context.random.choice(fleet.alive())
    worker.process.send_signal(signal.SIGSTOP)
    time.sleep(LEASE * context.random.uniform(0.3, 1.5))
    worker.process.send_signal(signal.SIGCONT)


def restart_the_coordinator(context, fleet, proxy):
    fleet.kill_coordinator(restart=False)
    time.sleep(context.random.uniform(0, LEASE))
    fleet.start_coordinator()


def pause_the_coordinator(context, fleet, proxy):
    fleet.coordinator.send_signal(signal.SIGSTOP)
    time.sleep(LEASE * context.random.uniform(0.3, 1.3))
    fleet.coordinator.send_signal(signal.SIGCONT)


SHORT = [test_a_restarted_coordinator_costs_no_task, test_killed_workers_lose_only_what_they_ran,
         test_a_paused_worker_wakes_to_a_task_that_is_anothers, test_a_drained_worker_finishes_and_leaves, test_everything_at_once]
LONG = [test_a_paused_coordinator_finds_its_workers_again, test_a_second_signal_hands_back_at_once,
        test_a_proxy_delays_swallows_and_cuts, *hard_faults.TESTS]


def run_round(tests, build, seed):
    """Returns the names of the tests that failed."""
    failed = []
    for test in [undisturbed, *tests]:
        began = time.monotonic()
        try:
            skipped = test(Context(build, f"{seed} {test.__name__}"))
            print(f"{'skip ' if skipped else 'ok   '} {test.__name__}  {time.monotonic() - began:.1f} s{': ' + skipped if skipped else ''}", flush=True)
        except Exception as error:  # the next test may still tell something
            failed.append(test.__name__)
            print(f"FAIL  {test.__name__}  {time.monotonic() - began:.1f} s: {type(error).__name__}: {error}", flush=True)
            print(f"      again: python3 tests/e2e/faults_test.py {build} --full --seed {seed} {test.__name__}", flush=True)
    return failed


def run(arguments, tests):
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--full", action="store_true", help="the slow tests too")
    parser.add_argument("--repeat", type=int, default=1, help="rounds, each with the next seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("tests", nargs="*")
    flags = parser.parse_intermixed_args(arguments)
    chosen = [test for test in tests if test.__name__ in flags.tests] if flags.tests else tests if flags.full else SHORT
    failures = []
    for seed in range(flags.seed, flags.seed + flags.repeat):
        if flags.repeat > 1:
            print(f"round {seed - flags.seed + 1} of {flags.repeat}, seed {seed}", flush=True)
        failures += [f"{name} (seed {seed})" for name in run_round(chosen, flags.build, seed)]
    print(f"{flags.repeat} round(s) of {len(chosen)} tests, {len(failures)} failures{': ' if failures else ''}{', '.join(failures)}", flush=True)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    run(sys.argv[1:], SHORT + LONG)
