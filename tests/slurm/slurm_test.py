"""A fleet under a real Slurm on this machine: `espalier fleet up`, preemption, scancel, time limit; the masks stay the same.

python3 slurm_test.py BUILD_FOLDER     exit code 77: skipped, with the reason
"""

import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from cluster import Postgres
from fleet import *
from slurm_cluster import SlurmCluster, missing_programs

SPEC = ["--model", TINY, "--tokens", SAMPLES, "--target", "60%", "--head-granularity", "head", "--generations", "2", "--seed", "5"]
WORKERS = 3
TASK_MS = 4000
BEGUN = re.compile(r"\] started (\S+)$", re.M)


class Site:
    """The cluster with the fleet's folder, as somebody at a login node sees it."""

    def __init__(self, cluster, programs, folder, fleet):
        self.cluster, self.programs, self.folder, self.fleet = cluster, programs, folder, fleet
        self.outside = Programs(str(programs.bin.parent))
        self.programs.environment.update(cluster.environment)

    def up(self, *flags):
        code, out, err = self.programs.run("fleet", "up", "--slurm", "--fleet", self.fleet, "--workers", WORKERS, "--gpus", "1", "--name", "esp",
                                           *flags)
        check(code == 0, f"fleet up: exit code {code}: {err}")
        print("      " + out.replace(str(self.folder), "").strip().replace("\n", "\n      "), flush=True)
        return out

    def workers(self):
        """{job id of an array task: (node, state)}"""
        lines = self.cluster.run("squeue", "-h", "-r", "-n", "esp", "-o", "%i %T %N").splitlines()
        return {words[0]: (words[2] if len(words) > 2 else "", words[1]) for words in (line.split() for line in lines)}

    def running(self):
        return {job: node for job, (node, state) in self.workers().items() if state == "RUNNING"}

    def field(self, job, name):
        found = re.search(rf"\b{name}=(\S+)", self.cluster.run("scontrol", "show", "job", job, check=False))
        return found.group(1) if found else ""

    def log(self, job):
        path = self.fleet / "logs" / f"worker-{job}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def begun(self):
        logs = [path.read_text(errors="replace") for path in (self.fleet / "logs").glob("worker-*.log")]
        return collections.Counter(task for log in logs for task in BEGUN.findall(log))

    def address(self):
        return (self.fleet / "address").read_text().strip()

    def ask(self, command, *arguments, timeout=300):
        """As a client outside of the cluster: it knows an address and a token, and nothing of Slurm."""
        return self.outside.run(command, *arguments, "--coordinator", self.address(), "--token-file", self.fleet / "state" / "token", timeout=timeout)

    def submit(self):
        code, out, err = self.ask("submit", *SPEC, "--job-id", "j")
        check(code == 0, err)
        print(f"      submitted from outside the cluster: {out.split()[0]} at {self.address()}", flush=True)
        wait_until(lambda: len(self.begun()) > 3, 120, "tasks are begun")

    def finish(self, expected):
        """Waits for the job's end; its masks are those of a run that nothing happened to."""
        code, out, err = self.ask("watch", "j", timeout=600)
        check(code == 0, f"watch: {code}: {out[-500:]} {err}")
        code, _, err = self.ask("export", "j", "--output", self.folder / "out")
        check(code == 0, err)
        check(masks(read_json(self.folder / "out" / "result.json")) == expected, "the masks differ from those of an undisturbed run")
        print("      the job succeeded with the masks of an undisturbed run", flush=True)

    def begin_job(self):
        """A coordinator and all workers run, and the job is theirs."""
        self.up("--with-coordinator")
        wait_until(lambda: (self.fleet / "address").exists(), 60, "the coordinator's job writes its address")
        wait_until(lambda: len(self.running()) == WORKERS, 60, "all workers run")
        self.submit()

    def down(self):
        code, _, err = self.programs.run("fleet", "down", "--slurm", "--fleet", self.fleet, "--name", "esp", "--with-coordinator")
        check(code == 0, err)
        wait_until(lambda: not self.cluster.run("squeue", "-h", "-n", "esp,esp-coordinator").strip(), 60, "workers and coordinators are gone")

    def start_again(self, job):
        """Slurm holds what it requeues for two minutes; nobody here waits so long."""
        def is_released():
            self.cluster.run("scontrol", "update", f"JobId={job}", "StartTime=now", check=False)
            return job in self.running()
        try:
            wait_until(is_released, 240, f"{job} runs again")
        except AssertionError as error:
            raise AssertionError(f"{error}; now {self.workers()}, {job} waits for {self.field(job, 'Reason')}") from None


def reference(build):
    with Folder() as folder, Fleet(folder, Programs(build, fake=True, task_ms=2), lease=60) as fleet:
        fleet.start_coordinator()
        fleet.submit(*SPEC)
        fleet.start_worker()
        fleet.wait_done()
        return fleet.masks(), len(fleet.starts())


def write_settings(fleet, programs, more=""):
    (fleet / "logs").mkdir(parents=True)
    (fleet / "settings.sh").write_text(f"programs='{programs.bin}'\nworker_program='{programs.environment['ESPALIER_WORKER']}'\n"
                                       f"token_file='{fleet}/state/token'\nlisten=127.0.0.1:0\nlease_seconds=20\ndrain_seconds=2\n{more}")


def preempt(site):
    """Something more urgent wants the node of one worker: Slurm puts the worker back into the queue."""
    job, node = sorted(site.running().items())[0]
    urgent = site.cluster.run("sbatch", "--parsable", "-p", "urgent", "--gres=gpu:1", "-w", node, "-o", "/dev/null", "--wrap", "sleep 8").strip()
    wait_until(lambda: site.field(job, "Restarts") == "1", 60, f"{job} is requeued: {site.workers()} {site.cluster.log_tail()[-3000:]}")
    print(f"      {job} on {node} made way for job {urgent}: {site.field(job, 'JobState')}, restarts {site.field(job, 'Restarts')}", flush=True)
    check("told to end: draining" in site.log(job), f"no drain in the log: {site.log(job)[-1500:]}")
    wait_until(lambda: not site.cluster.run("squeue", "-h", "-j", urgent, check=False).strip(), 60, "the urgent job ends")
    site.start_again(job)
    return job


def cancel(site, spared):
    job = sorted(set(site.running()) - spared)[0]
    site.cluster.run("scancel", job)
    wait_until(lambda: job not in site.workers(), 60, f"{job} is gone")
    print(f"      {job} was cancelled: its log ends '{site.log(job).strip().splitlines()[-1]}'", flush=True)
    check("draining" in site.log(job), "no drain in the log")
    site.up()  # brings what is missing
    return job


def reach_the_time_limit(site, spared):
    job = sorted(set(site.running()) - {spared})[0]
    site.cluster.run("scontrol", "update", f"JobId={job}", "TimeLimit=1")
    # Slurm looks at the limits every half a minute; a minute before the end it sends USR1.
    wait_until(lambda: site.field(job, "Restarts") == "1", 120, f"{job} queues again: {site.log(job)[-1500:]}")
    print(f"      {job} reached its time limit: {site.field(job, 'JobState')}, restarts {site.field(job, 'Restarts')}", flush=True)
    check("the time limit is near: draining" in site.log(job) and "queueing again" in site.log(job), site.log(job)[-1500:])
    site.cluster.run("scontrol", "update", f"JobId={job}", "TimeLimit=30")
    site.start_again(job)
    return job


def test_preempted_cancelled_and_limited_workers_end_with_the_same_masks(build):
    expected, num_tasks = reference(build)
    programs = Programs(build, fake=True, task_ms=TASK_MS)
    with Folder() as folder:
        fleet = folder / "fleet"
        write_settings(fleet, programs)
        with SlurmCluster(folder / "slurm", nodes=WORKERS) as cluster:
            site = Site(cluster, programs, folder, fleet)
            site.begin_job()
            preempted = preempt(site)
            limited = reach_the_time_limit(site, preempted)
            cancel(site, {preempted, limited})
            site.finish(expected)
            begun = site.begun()
            print(f"      {len(begun)} tasks, {sum(begun.values()) - len(begun)} begun again (an undisturbed run has {num_tasks})", flush=True)
            told = sum(path.read_text(errors="replace").count("handing back") for path in (fleet / "logs").glob("worker-*.log"))
            check(told == 0, f"{told} workers were told twice, so they did not wait for what they ran")
            check(sum(begun.values()) - len(begun) <= 3, f"more than one task a loss was begun again: {begun.most_common(5)}")
            site.down()


def kill_coordinator(job, fleet):
    """At once, as when its node dies (`scancel` would let it hand over)."""
    for pid in servers_with(str(fleet)):
        if f"SLURM_JOB_ID={job}\0".encode() in pathlib.Path(f"/proc/{pid}/environ").read_bytes():
            os.kill(pid, signal.SIGKILL)
            return
    raise AssertionError(f"no coordinator of job {job}")


def test_a_standby_follows_a_coordinator_that_is_killed(build):
    """As docs/operations.md says: two jobs of coordinator.sbatch on one PostgreSQL."""
    expected, _ = reference(build)
    programs = Programs(build, fake=True, task_ms=TASK_MS // 4)
    with Folder() as folder:
        postgres = Postgres(folder)
        fleet = folder / "fleet"
        write_settings(fleet, programs, more=f"coordinator_flags=(--store '{postgres.new_database('slurm')}')\n")
        try:
            with SlurmCluster(folder / "slurm", nodes=WORKERS) as cluster:
                site = Site(cluster, programs, folder, fleet)
                leader = re.search(r"coordinator +job (\d+)", site.up("--with-coordinator")).group(1)
                wait_until(lambda: (fleet / "address").exists(), 60, "the coordinator's job writes its address")
                standby = cluster.run("sbatch", "--parsable", "--job-name=esp-coordinator", f"--output={fleet}/logs/coordinator-%j.log",
                                      str(fleet / "coordinator.sbatch"), str(fleet)).strip()
                log = fleet / "logs" / f"coordinator-{standby}.log"
                wait_until(lambda: log.exists() and "standing by" in log.read_text(), 60, "the second one stands by")
                site.submit()
                first, began = site.address(), time.monotonic()
                kill_coordinator(leader, fleet)
                wait_until(lambda: site.address() != first, 60, f"the standby leads: {log.read_text()[-1000:]}")
                print(f"      job {leader} was killed; job {standby} leads at {site.address()} after {time.monotonic() - began:.1f} s", flush=True)
                site.finish(expected)
                site.down()
        finally:
            postgres.stop()


def test_a_lost_controller_and_a_lost_node(build):
    """slurmctld is killed and comes back: nobody notices. A node loses power: its worker's task is another's, Slurm queues the worker again."""
    expected, _ = reference(build)
    programs = Programs(build, fake=True, task_ms=TASK_MS // 2)
    with Folder() as folder:
        fleet = folder / "fleet"
        write_settings(fleet, programs)
        with SlurmCluster(folder / "slurm", nodes=WORKERS) as cluster:
            site = Site(cluster, programs, folder, fleet)
            site.begin_job()
            before = site.running()
            cluster.kill_controller()
            begun = len(site.begun())
            wait_until(lambda: len(site.begun()) >= begun + WORKERS + 1, 120, "tasks are begun while nobody controls the cluster")
            cluster.start_controller()
            wait_until(lambda: site.running() == before, 60, f"the same workers run: {before}, {site.workers()}")
            print(f"      without slurmctld {len(site.begun()) - begun} tasks were begun; it came back and found {len(before)} workers", flush=True)

            where = cluster.run("squeue", "-h", "-n", "esp-coordinator", "-o", "%N").strip()
            job, node = next((job, node) for job, node in sorted(before.items()) if node != where)
            check(cluster.kill_node(node) >= 2, "nothing ran on the node")
            wait_until(lambda: site.field(job, "Restarts") == "1", 120, f"{job} is requeued: {site.workers()} {cluster.log_tail()[-3000:]}")
            print(f"      {node} was lost: Slurm queues {job} again, {sorted(site.running())} run on", flush=True)
            cluster.start_node(node)
            site.start_again(job)
            site.finish(expected)
            again = sum(site.begun().values()) - len(site.begun())
            print(f"      {len(site.begun())} tasks, {again} begun again", flush=True)
            check(again <= 1, f"more than the lost node's task was begun again: {site.begun().most_common(3)}")
            site.down()


if __name__ == "__main__":
    if missing_programs():
        print(f"SKIPPED: no {', '.join(missing_programs())}; tools/setup.sh --full installs them (tools/packages-full.txt)")
        sys.exit(77)
    tests = [test_preempted_cancelled_and_limited_workers_end_with_the_same_masks, test_a_standby_follows_a_coordinator_that_is_killed,
             test_a_lost_controller_and_a_lost_node]
    main([test for test in tests if test.__name__ in sys.argv[2:] or not sys.argv[2:]], sys.argv[1])
