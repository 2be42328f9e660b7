"""Two coordinators on one PostgreSQL whose leader goes, whose standby goes, and whose database is slow."""

from stack import *

import harness
from cluster import Coordinator, Postgres


def standby_story(prometheus, programs, folder, expect):
    base = folder / "cluster"
    base.mkdir()
    postgres = Postgres(base)
    ports = [free_port(), free_port()]
    coordinators = []
    try:
        store = postgres.new_database("boards")

        def start(name, port):
            coordinators.append(Coordinator(programs, base, name, store, "--http", f"127.0.0.1:{port}", "--term-seconds", "30"))
            return coordinators[-1]

        leader = start("a", ports[0])
        harness.wait_until(leader.leads, 60, "the first coordinator leads")
        standby = start("b", ports[1])
        prometheus.aim("espalier-worker", [])
        prometheus.aim("espalier-coordinator", ports)
        harness.wait_until(lambda: prometheus.values("sum(espalier_standing_by) == 1", 3), 60, "the second one stands by")
        harness.wait_until(lambda: "EspalierStandbyMissing" not in prometheus.firing(), 30, "a standby is there")
        slow_database(prometheus, programs, postgres, leader, base, expect)
        standby.end()
        expect(prometheus, "the standby is killed", "EspalierStandbyMissing")
        standby = start("b", ports[1])
        harness.wait_until(lambda: prometheus.values("sum(espalier_standing_by) == 1", 3), 60, "it stands by again")
        leader.end()
        expect(prometheus, "the leader is killed and its term is not over", "EspalierNoLeader")
    finally:
        for coordinator in coordinators:
            coordinator.end()
        postgres.stop()


def slow_database(prometheus, programs, postgres, leader, base, expect):
    """Another program locks the table of events for a second, again and again."""
    environment = dict(programs.environment, ESPALIER_COORDINATOR=leader.address, ESPALIER_FAKE_TASK_MS="100")
    worker = subprocess.Popen([str(programs.bin / "espalier-fake-worker"), "--coordinator", leader.address, "--artifacts", str(base / "artifacts")],
                              env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    locker = None
    try:
        done = subprocess.run([str(programs.bin / "espalier"), "submit", "--model", str(harness.TINY), "--tokens", str(harness.SAMPLES), "--target", "60%",
                               "--head-granularity", "head", "--generations", "20", "--job-id", "slow"], env=environment, capture_output=True, text=True)
        harness.check(done.returncode == 0, done.stderr)
        script = ("while :; do psql -X -q -h \"$1\" -U espalier boards -c "
                  "'BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(1); COMMIT'; sleep 0.2; done")
        locker = subprocess.Popen(["sh", "-c", script, "sh", str(postgres.socket)], stdout=subprocess.DEVNULL, start_new_session=True)
        expect(prometheus, "the database makes writes wait", "EspalierStoreSlow")
    finally:
        if locker is not None:
            os.killpg(locker.pid, signal.SIGTERM)
            locker.wait()
        worker.kill()
        worker.wait()
