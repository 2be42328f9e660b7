"""Real processes under real faults: whatever happens to workers, coordinator, network and disk, the masks are the same.

python3 faults_test.py BUILD_FOLDER [--full] [--repeat N] [--seed N] [TEST ...]

The faults come at points (numbers of tasks begun) drawn from the seed. --full adds the slow ones: network namespaces,
full disks, the real engine, longer mixtures.
"""

import argparse
import itertools
import sys
import urllib.request

import hard_faults
from fault_proxy import FaultProxy
from fleet import *

SPEC = ["--model", TINY, "--tokens", SAMPLES, "--target", "60%", "--head-granularity", "head", "--generations", "2", "--seed", "5"]
LEASE = 3.0


class Context:
    """What all tests of one round share: the programs, the seed, and what an undisturbed run finds."""

    spec = SPEC
    reference = None
    num_tasks = 0

    def __init__(self, build, seed, slowness=1):
        self.build = build
        self.random = random.Random(seed)
        self.slowness = slowness
        self.programs = Programs(build, fake=True, task_ms=self.ms(40))

    def ms(self, milliseconds):
        """How long tasks take: longer when an earlier try was over before its faults."""
        return milliseconds * self.slowness

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
        started_fleet(fleet, task_ms=context.ms(60))
        for point in context.points(3):
            fleet.reach(point)
            fleet.kill_coordinator(restart=False)
            fleet.struck("the coordinator was killed")
            fleet.start_coordinator()
        context.compare(fleet)
        repeated = {task: count for task, count in fleet.starts().items() if count > 1}
        check(not repeated, f"begun more than once: {repeated}")
        attempts = fleet.attempts()
        check(all(ended == COMMITTED for _, _, _, ended in attempts), "an attempt ended without its commit")
        check(all(attempt == 1 for _, attempt, _, _ in attempts), "a task was leased a second time")
        check(len({epoch for _, _, epoch, _ in attempts}) > 1, "only one coordinator granted leases")


def answered_calls(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        found = re.search(r'^espalier_worker_coordinator_calls_total{[^}]*result="answered"[^}]*} (\d+)', answer.read().decode(), re.M)
    return int(found.group(1))


def test_a_restart_costs_a_running_worker_one_synchronize(context):
    """Workers in the midst of long tasks: one answered call each, and the tasks go on under the leases that they had."""
    ports = [free_port(), free_port()]
    with Folder() as folder, Fleet(folder, context.programs, lease=20) as fleet:  # busy workers call every 20 / 3 s
        fleet.start_coordinator()
        fleet.submit(*SPEC)
        for port in ports:
            fleet.start_worker(task_ms=context.ms(12_000), flags=["--metrics-listen", f"127.0.0.1:{port}"])
        wait_until(lambda: all(worker.started() for worker in fleet.workers), 60, "both workers have a task")
        tasks = [worker.running() for worker in fleet.workers]
        fleet.kill_coordinator(restart=False)
        before = [answered_calls(port) for port in ports]
        fleet.start_coordinator()
        calls = {}
        for port, earlier in itertools.cycle(zip(ports, before)):
            if port not in calls and answered_calls(port) > earlier:
                time.sleep(0.3)  # whatever there is to say to the new coordinator is said at once
                calls[port] = answered_calls(port) - earlier
            if len(calls) == len(ports):
                break
            check(any(worker.is_alive() and worker.running() for worker in fleet.workers), "the tasks ended, and a worker has not called")
            time.sleep(0.05)
        if [worker.running() for worker in fleet.workers] != tasks or None in tasks:
            raise Missed("a task ended while the coordinator was away")
        check(list(calls.values()) == [1, 1], f"answered calls of each worker after the restart: {calls}")
        wait_until(lambda: all(task in dict(worker.finished()) for worker, task in zip(fleet.workers, tasks)), 60 * context.slowness, "the tasks end")
        check(fleet.num_stopped() == 0, "a worker stopped its task")
        wait_until(lambda: all(len(worker.started()) > 1 for worker in fleet.workers), 60, "both have a new task, so the reports were taken")
        code, _, err = fleet.ask("cancel", "j")
        check(code == 0, f"cancel: {err}")
        rows = {row[0]: row for row in fleet.attempts() if f"j/{row[0]}" in tasks}
        check(sorted(rows.values()) == sorted((task.removeprefix("j/"), 1, 1, COMMITTED) for task in tasks),
              f"not committed under the first attempt of the first coordinator: {rows}")


def test_killed_workers_lose_only_what_they_ran(context):
    with Folder() as folder, Fleet(folder, context.programs, lease=LEASE) as fleet:
        started_fleet(fleet, task_ms=context.ms(60))
        deaths = 0
        for point in context.points(2):
            fleet.reach(point)
            context.random.choice(fleet.alive()).process.kill()
            fleet.struck("a worker was killed")
            deaths += 1
            fleet.start_worker(task_ms=context.ms(60))
        context.compare(fleet)
        repeated = sum(fleet.starts().values()) - Context.num_tasks
        check(deaths == 2 and repeated <= deaths + fleet.num_stopped(),
              f"{repeated} tasks begun again after {deaths} deaths and {fleet.num_stopped()} stops")


def test_a_lost_fleet_is_replaced(context):
    """All workers die at once, twice; new ones do again what those ran, and nothing else."""
    with Folder() as folder, Fleet(folder, context.programs, lease=LEASE) as fleet:
        started_fleet(fleet, task_ms=context.ms(60))
        lost = 0
        for point in context.points(2):
            fleet.reach(point)
            dead = fleet.alive()
            for worker in dead:
                worker.process.kill()
            for worker in dead:
                worker.process.wait()
            fleet.struck("all workers were killed")
            check(len(dead) == 3 and not fleet.alive(), f"{len(dead)} workers were killed, {len(fleet.alive())} live")
            lost += len(dead)
            for _ in range(3):
                fleet.start_worker(task_ms=context.ms(60))
        context.compare(fleet)
        repeated = sum(fleet.starts().values()) - Context.num_tasks
        check(repeated <= lost + fleet.num_stopped(), f"{repeated} tasks begun again after {lost} deaths")
        if not any(ended == EXPIRED for _, _, _, ended in fleet.attempts()):
            raise Missed("no worker had a task when it died")


def pause_one_with_a_task(context, fleet):
    """Stops a worker that is in the midst of a task; returns both."""
    for _ in range(50):
        fleet.struck("a worker was to be stopped")
        for worker in context.random.sample(fleet.alive(), len(fleet.alive())):
            worker.process.send_signal(signal.SIGSTOP)
            wait_until(lambda: state_of(worker.process) == "T", 10, "the worker stands still")
            if task := worker.running():
                return worker, task
            worker.process.send_signal(signal.SIGCONT)
        time.sleep(0.05)
    raise Missed("no worker was met with a task")


def state_of(process):
    with open(f"/proc/{process.pid}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0]


def test_a_paused_worker_wakes_to_a_task_that_is_anothers(context):
    """SIGSTOP in the midst of a task until its lease is over and another worker has begun it, SIGCONT: one of the two results counts, once.

    Mostly the other's: the woken worker hears that its lease is gone. It may have ended the task before it hears that.
    """
    with Folder() as folder, Fleet(folder, context.programs, lease=LEASE) as fleet:
        started_fleet(fleet, task_ms=context.ms(60))
        fleet.reach(context.points(1)[0])
        worker, task = pause_one_with_a_task(context, fleet)
        wait_until(lambda: fleet.starts()[task] == 2, 60, f"another worker begins {task}")
        check(len([1 for begun, _ in worker.started() if begun == task]) == 1, "the worker that stands still began it")
        worker.process.send_signal(signal.SIGCONT)
        context.compare(fleet)
        check(len(fleet.alive()) == 3, "a worker that woke up has left")
        ends = [ended for name, _, _, ended in sorted(fleet.attempts()) if f"j/{name}" == task]
        is_one_counted = ends.count(COMMITTED) == 1 and (ends[0], ends[-1]) in ((EXPIRED, COMMITTED), (COMMITTED, HANDED_BACK))
        check(is_one_counted, f"how the attempts of {task} ended: {ends}")


def pause_coordinator_at(context, fleet, seconds):
    """Nothing is granted meanwhile but what was on its way."""
    fleet.coordinator.send_signal(signal.SIGSTOP)
    wait_until(lambda: state_of(fleet.coordinator) == "T", 10, "the coordinator stands still")
    fleet.struck("the coordinator was stopped")
    time.sleep(0.3)
    before = fleet.num_starts()
    time.sleep(seconds)
    during = fleet.num_starts() - before
    fleet.coordinator.send_signal(signal.SIGCONT)
    check(during <= len(fleet.alive()), f"{during} tasks were begun while the coordinator stood still")


def test_a_paused_coordinator_finds_its_workers_again(context):
    with Folder() as folder, Fleet(folder, context.programs, lease=LEASE) as fleet:
        started_fleet(fleet)
        for point in context.points(2):
            fleet.reach(point)
            pause_coordinator_at(context, fleet, LEASE * context.random.uniform(1.1, 1.5))
        context.compare(fleet)
        check(len(fleet.alive()) == 3, "a worker has left")


def test_a_drained_worker_finishes_and_leaves(context):
    """SIGTERM: what runs is finished, nothing new is taken, exit code 0, and no task is begun again."""
    with Folder() as folder, Fleet(folder, context.programs, lease=20) as fleet:
        started_fleet(fleet, workers=2, task_ms=context.ms(60))
        drained = 0
        for point in context.points(3):
            fleet.reach(point)
            # One that has begun: before that it is only a process that starts, and a signal simply ends it.
            worker = context.random.choice(wait_until(lambda: [worker for worker in fleet.alive() if worker.started()], 60, "a worker has begun"))
            worker.process.terminate()
            fleet.struck("a worker was told to drain")
            drained += 1
            check(worker.process.wait(timeout=10) == 0, f"exit code {worker.process.returncode}: {worker.text()[-500:]}")
            check(len(worker.started()) == len(worker.finished()), "it left with a task unfinished")
            check("draining" in worker.text(), f"it did not drain: {worker.text()[-500:]}")
            fleet.start_worker(task_ms=context.ms(60))
        context.compare(fleet)
        check(drained == 3 and sum(fleet.starts().values()) == Context.num_tasks, f"a task was begun again; {drained} workers drained")


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
                fleet.reach(point)
                fleet.struck("the network was disturbed")
                before = proxy.cuts
                disturb_network(context, proxy)
                wait_until(lambda: proxy.cuts > before, 30, "the proxy cuts a connection")
            proxy.heal()
            context.compare(fleet)
            check(len(fleet.alive()) == 3, "a worker gave up")
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
                fleet.reach(point)
                fleet.struck("something was to happen")
                context.random.choice([kill_a_worker, drain_a_worker, pause_a_worker, lose_the_fleet, restart_the_coordinator,
                                       pause_the_coordinator, lambda c, f, p: disturb_network(c, p)])(context, fleet, proxy)
            proxy.heal()
            context.compare(fleet)
            fleet.attempts()
    finally:
        proxy.close()


def kill_a_worker(context, fleet, proxy):
    context.random.choice(fleet.alive()).process.kill()
    fleet.start_worker(address=proxy.address)


def lose_the_fleet(context, fleet, proxy):
    dead = fleet.alive()
    for worker in dead:
        worker.process.kill()
    for _ in dead:
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
LONG = [test_a_restart_costs_a_running_worker_one_synchronize, test_a_lost_fleet_is_replaced, test_a_paused_coordinator_finds_its_workers_again, test_a_second_signal_hands_back_at_once,
        test_a_proxy_delays_swallows_and_cuts, *hard_faults.TESTS]


def run_slower_until_struck(test, build, seed):
    """On a starved machine a job may be over before its fault: then again, with tasks that take longer."""
    for slowness in (1, 3):
        try:
            return test(Context(build, seed, slowness))
        except Missed as missed:
            print(f"      {test.__name__} once more, slower: {missed}", flush=True)
    return test(Context(build, seed, 9))


def run_round(tests, build, seed):
    """Returns the names of the tests that failed."""
    failed = []
    for test in [undisturbed, *tests]:
        began = time.monotonic()
        try:
            skipped = run_slower_until_struck(test, build, f"{seed} {test.__name__}")
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
