"""Faults that need root or the real engine: full disks, cut networks, and what a worker's death costs. For faults_test.py.

A test that cannot run here returns the reason.
"""

import uuid

from fleet import *


class SmallDisk:
    """A tmpfs of its own; `fill` leaves no byte."""

    def __init__(self, path, megabytes):
        path.mkdir()
        self.path = path
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)], capture_output=True, text=True)
        self.refusal = done.stderr.strip() if done.returncode != 0 else ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if not self.refusal:
            subprocess.run(["umount", "-l", str(self.path)], check=False)

    def fill(self):
        with open(self.path / "filler", "wb", buffering=0) as filler:
            for size in (1 << 16, 1 << 12, 1):
                try:
                    while True:
                        filler.write(b"x" * size)
                except OSError:
                    pass

    def free(self):
        (self.path / "filler").unlink()


def begun_fleet(context, fleet, spec, **options):
    fleet.start_coordinator()
    fleet.submit(*spec)
    for _ in range(3):
        fleet.start_worker(**options)


def test_a_full_disk_under_the_state_stops_nothing_for_good(context):
    """No result is acknowledged while the disk is full; when there is room again the job goes on by itself."""
    with Folder() as folder, SmallDisk(folder / "disk", 6) as disk, \
            Fleet(folder, context.programs, lease=60, state=folder / "disk" / "state") as fleet:
        if disk.refusal:
            return f"mounting a tmpfs is not allowed here: {disk.refusal}"
        begun_fleet(context, fleet, context.spec)
        for point in context.points(2):
            fleet.reach(point)
            disk.fill()
            fleet.struck("the disk was filled")
            time.sleep(context.random.uniform(1, 3))
            code, _, err = fleet.ask("submit", *context.spec, "--job-id", f"other{point}")
            check(code == 6, f"a job was taken without room for it, or refused otherwise: exit code {code}: {err}")
            disk.free()
        context.compare(fleet)
        check("the store refused" in fleet.coordinator_log(), "the coordinator met no full disk")
        check(len(fleet.alive()) == 3, "a worker has left")
        check(fleet.coordinator.poll() is None, f"the coordinator ended: {fleet.coordinator_log()[-800:]}")
        fleet.attempts()


def test_a_full_disk_under_the_artifacts_fails_no_job(context):
    """Workers that cannot write say so, and the tasks are tried again until there is room."""
    with Folder() as folder, SmallDisk(folder / "disk", 2) as disk, \
            Fleet(folder, context.programs, lease=60, artifacts=folder / "disk" / "artifacts") as fleet:
        if disk.refusal:
            return f"mounting a tmpfs is not allowed here: {disk.refusal}"
        fleet.start_coordinator()
        disk.fill()
        fleet.submit(*context.spec)
        for _ in range(3):
            fleet.start_worker()
        check(fleet.wait_for_starts(1), "nothing was begun")
        wait_until(lambda: any("is run again in" in worker.text() for worker in fleet.workers), 60, "a worker meets the full disk")
        time.sleep(context.random.uniform(1, 3))
        check(not any(worker.finished() for worker in fleet.workers), "a task that must write was finished on a full disk")
        disk.free()
        context.compare(fleet)


class CutNetwork:
    """A network namespace with a cable to this machine: what runs in it reaches the coordinator only by that."""

    def __init__(self, subnet):
        self.name = f"esp{uuid.uuid4().hex[:8]}"
        self.here, self.there = f"10.213.{subnet}.1", f"10.213.{subnet}.2"
        self.refusal = ""
        try:
            self._ip("netns", "add", self.name)
            self._ip("link", "add", self.name, "type", "veth", "peer", "name", "eth0", "netns", self.name)
            self._ip("address", "add", f"{self.here}/24", "dev", self.name)
            self._ip("link", "set", self.name, "up")
            self._ip("-n", self.name, "address", "add", f"{self.there}/24", "dev", "eth0")
            self._ip("-n", self.name, "link", "set", "eth0", "up")
        except (OSError, AssertionError) as error:
            self.refusal = str(error)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["ip", "netns", "delete", self.name], capture_output=True, check=False)

    @staticmethod
    def _ip(*arguments):
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
        check(done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr.strip()}")

    @property
    def prefix(self):
        return ["ip", "netns", "exec", self.name]

    def cut(self):
        self._ip("link", "set", self.name, "down")

    def mend(self):
        self._ip("link", "set", self.name, "up")


def test_a_cut_network_heals(context):
    """Two of three workers live behind a cable that is pulled for less and for more than a lease."""
    with CutNetwork(context.random.randrange(1, 250)) as network:
        if network.refusal:
            return f"no network namespaces here: {network.refusal}"
        address = f"{network.here}:{free_port()}"
        with Folder() as folder, Fleet(folder, context.programs, lease=3, address=address, coordinator_flags=["--insecure"]) as fleet:
            fleet.start_coordinator()
            fleet.submit(*context.spec)
            fleet.start_worker(task_ms=context.ms(150))
            behind = [fleet.start_worker(task_ms=context.ms(150), prefix=network.prefix) for _ in range(2)]
            for seconds, point in zip((1.0, 6.0), context.points(2, first=6)):
                fleet.reach(point)
                wait_until(lambda: all(worker.started() for worker in behind), 60, "all workers take part")
                network.cut()
                fleet.struck("the cable was pulled")
                time.sleep(0.5)  # what they hold they may finish
                before = [len(worker.started()) for worker in behind]
                time.sleep(seconds - 0.5)
                check(before == [len(worker.started()) for worker in behind], "a worker got a task through a cable that was pulled")
                network.mend()
            context.compare(fleet)
            check(len(fleet.alive()) == 3, "a worker gave up")
            if not any(ended == EXPIRED for _, _, _, ended in fleet.attempts()):
                raise Missed("no worker behind the cable had a task when it was pulled for longer than a lease")


def test_what_a_death_costs_with_the_real_engine(context):
    """The real worker on the tiny model: a killed worker loses the task that it ran, never more; the masks are the same."""
    programs = Programs(context.build)
    lease = 5.0

    def spec(folder):
        (folder / "job.textproto").write_text(SHORT_JOB)
        return ["--model", TINY, "--tokens", SAMPLES, "--job", folder / "job.textproto"]

    with Folder() as folder, Fleet(folder, programs, lease=60) as fleet:
        fleet.start_coordinator()
        fleet.submit(*spec(folder))
        fleet.start_worker()
        fleet.wait_done(900)
        expected, tasks = fleet.masks(), len(fleet.starts())
        longest = max(end - dict(fleet.workers[0].started())[task] for task, end in fleet.workers[0].finished())
    with Folder() as folder, Fleet(folder, programs, lease=lease) as fleet:
        fleet.start_coordinator()
        fleet.submit(*spec(folder))
        for _ in range(2):
            fleet.start_worker()
        lost, waits = [], []
        for point in sorted(context.random.sample(range(4, tasks * 3 // 4), 4)):
            check(fleet.wait_for_starts(point, 600), "the job was over before anybody was killed")
            victim = context.random.choice([worker for worker in fleet.alive() if worker.started()] or fleet.alive())
            victim.process.kill()
            victim.process.wait()
            died_at = time.time()
            lost.append(victim.lost_seconds(died_at))
            fleet.start_worker()
            if lost[-1] > 0:
                waits.append((victim.started()[-1][0], died_at))
        fleet.wait_done(900)
        check(fleet.masks() == expected, "the masks differ from those of an undisturbed run")
        again = [later - died for task, died in waits for worker in fleet.workers for begun, later in worker.started()
                 if begun == task and later > died]
        print(f"      {len(lost)} deaths: {sum(lost):.2f} task seconds thrown away, {sum(lost) / len(lost):.2f} a death, at most {max(lost):.2f} "
              f"(the longest task undisturbed {longest:.2f} s); begun again after {', '.join(f'{wait:.1f}' for wait in again)} s "
              f"(lease {lease:.0f} s)", flush=True)
        check(len(lost) == 4, f"{len(lost)} workers were killed")
        repeated = sum(fleet.starts().values()) - len(fleet.starts())
        check(repeated <= len(lost) + fleet.num_stopped(), f"{repeated} tasks begun again after {len(lost)} deaths")


TESTS = [test_a_full_disk_under_the_state_stops_nothing_for_good, test_a_full_disk_under_the_artifacts_fails_no_job,
         test_a_cut_network_heals, test_what_a_death_costs_with_the_real_engine]
