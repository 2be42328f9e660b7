"""Two coordinators on one PostgreSQL: the leader dies or is stopped during a job with four workers.

python3 failover_test.py BUILD_FOLDER [long]
"""

import shutil
import subprocess
import sys

from cluster import *

programs = Programs(sys.argv[1], fake=True, task_ms=80)
is_long = "long" in sys.argv[2:]
TAKE_OVER_LIMIT = 15  # seconds


def undisturbed(folder, postgres):
    """The masks and the tasks of a run that nothing happens to; computed once."""
    if not hasattr(undisturbed, "value"):
        cluster = Cluster(programs, folder, postgres, "undisturbed")
        try:
            cluster.submit()
            watch = cluster.watch()
            _, err = watch.communicate(timeout=200)
            check(watch.returncode == 0, f"watch: {watch.returncode}: {err}")
            undisturbed.value = cluster.masks(), cluster.tasks()
            check(cluster.repeated() == 0, "nothing is done twice where nothing happens")
        finally:
            cluster.end()
    return undisturbed.value


def disturb(cluster, number, after):
    """Sends `number` to the leader once `after` outcomes are committed; how long until the other one leads, and how many
    evaluations were under way."""
    wait_until(lambda: cluster.committed() >= after, 120, f"{after} outcomes are committed")
    began = time.monotonic()
    cluster.a.process.send_signal(number)
    under_way = cluster.number("SELECT COUNT(*) FROM attempts WHERE ended = 0")
    wait_until(cluster.b.leads, 60, "the other one leads")
    return time.monotonic() - began, under_way


def finish(cluster, watch, what, took, under_way):
    masks_found, tasks = undisturbed.value
    _, err = watch.communicate(timeout=200)
    check(watch.returncode == 0, f"the watch that was open all the time: {watch.returncode}: {err}")
    check(cluster.masks() == masks_found, "masks differ from those of the undisturbed run")
    lost = len(tasks - cluster.tasks())
    repeated = cluster.repeated()
    print(f"      {what}: taken over after {took:.1f} s, tasks lost: {lost}, evaluations repeated: {repeated} "
          f"(under way: {under_way}), same masks", flush=True)
    check(lost == 0 and cluster.tasks() == tasks, "the committed tasks are those of the undisturbed run")
    check(repeated <= under_way, f"{repeated} evaluations repeated, {under_way} were under way")
    check(took < TAKE_OVER_LIMIT, f"took over after {took:.1f} s")


def kill(folder, postgres, name, after):
    undisturbed(folder, postgres)
    cluster = Cluster(programs, folder, postgres, name)
    try:
        cluster.submit()
        watch = cluster.watch()
        took, under_way = disturb(cluster, signal.SIGKILL, after)
        finish(cluster, watch, f"kill -9 after {after} outcomes", took, under_way)
        # Who was killed comes back as the standby and says who leads.
        cluster.a.process.wait()
        cluster.a = Coordinator(programs, cluster.folder, "a", cluster.store)
        wait_until(lambda: f"the leader is at {cluster.b.address}" in cluster.a.says(), 30, "the standby knows the leader")
        code, _, err = programs.run("submit", "--model", TINY, "--tokens", SAMPLES, "--target", "60%", "--coordinator", cluster.a.address)
        check(code == 4 and "not the leader" in err and cluster.b.address in err, f"{code}: {err}")
        # A graceful end hands over at once.
        began = time.monotonic()
        cluster.b.process.terminate()
        check(cluster.b.process.wait(timeout=20) == 0, "the leader ends with 0")
        wait_until(cluster.a.leads, 20, "the standby leads")
        print(f"      SIGTERM: handed over after {time.monotonic() - began:.1f} s", flush=True)
    finally:
        cluster.end()


def stop(folder, postgres, name, after):
    undisturbed(folder, postgres)
    cluster = Cluster(programs, folder, postgres, name)
    try:
        cluster.submit()
        watch = cluster.watch()
        took, under_way = disturb(cluster, signal.SIGSTOP, after)
        # What reaches the stopped one meanwhile lies in its socket when it wakes.
        ghost = programs.start("submit", "--model", TINY, "--tokens", SAMPLES, "--target", "60%", "--job-id", "ghost", "--coordinator",
                               cluster.a.address)
        time.sleep(1)
        cluster.a.process.send_signal(signal.SIGCONT)
        code = cluster.a.process.wait(timeout=30)
        check(code == 5, f"the woken one ends with {code}: {cluster.a.says()[-500:]}")
        _, err = ghost.communicate(timeout=60)
        check(ghost.returncode != 0, "a job was accepted by who does not lead")
        finish(cluster, watch, f"SIGSTOP after {after} outcomes", took, under_way)
        check(cluster.number("SELECT COUNT(*) FROM jobs") == 1, "the woken one stored a job")
        late = cluster.number("SELECT COUNT(*) FROM attempts WHERE epoch = 1 AND position > "
                              "(SELECT MIN(position) FROM attempts WHERE epoch > 1)")
        check(late == 0, f"{late} leases of the old epoch after the first of the new one")
        print("      the woken one wrote nothing and ended with exit code 5", flush=True)
    finally:
        cluster.end()


def test_a_killed_leader_is_followed_without_loss(folder, postgres):
    kill(folder, postgres, "killed", 25)


def test_a_stopped_leader_is_followed_and_writes_nothing_when_it_wakes(folder, postgres):
    stop(folder, postgres, "stopped", 30)


def test_at_any_time(folder, postgres):
    seeded = random.Random(3)
    for turn in range(6):
        (kill if turn % 2 == 0 else stop)(folder, postgres, f"turn{turn}", seeded.randrange(1, 60))


def test_a_dump_brought_back_continues_to_the_same_masks(folder, postgres):
    """As docs/operations.md says: the database while the coordinators run, then the artifacts."""
    masks_found, _ = undisturbed(folder, postgres)
    there = ["-h", str(postgres.socket), "-U", "espalier"]
    cluster = Cluster(programs, folder, postgres, "dumped")
    try:
        cluster.submit()
        wait_until(lambda: cluster.committed() >= 25, 120, "25 outcomes are committed")
        for worker in cluster.workers:  # what the dump holds must not depend on how long it takes
            worker.send_signal(signal.SIGSTOP)
        with open(folder / "dump", "wb") as dump:
            subprocess.run(["pg_dump", *there, "--format=custom", "dumped"], stdout=dump, check=True)
        shutil.copytree(cluster.folder / "artifacts", folder / "restored" / "artifacts")
        dumped = cluster.committed()
        for worker in cluster.workers:
            worker.send_signal(signal.SIGCONT)
        wait_until(lambda: cluster.committed() >= dumped + 10, 120, "ten more, which the dump does not have")
    finally:
        cluster.end()
    store = postgres.new_database("restored")
    subprocess.run(["pg_restore", *there, "--dbname=restored", str(folder / "dump")], check=True)
    postgres.ask("restored", "UPDATE meta SET number = number + 1000000 WHERE name = 'epoch'")
    cluster = Cluster(programs, folder, postgres, "restored", store=store)
    try:
        _, err = (watch := cluster.watch()).communicate(timeout=200)
        check(watch.returncode == 0, f"watch: {watch.returncode}: {err}")
        check(cluster.masks() == masks_found, "masks differ after the dump was brought back")
        print(f"      {dumped} outcomes came back with the dump, those after it were found again: same masks", flush=True)
    finally:
        cluster.end()


if __name__ == "__main__":
    with Folder() as path:
        server = Postgres(path)
        tests = [test_a_killed_leader_is_followed_without_loss, test_a_stopped_leader_is_followed_and_writes_nothing_when_it_wakes]
        if is_long:
            tests = [test_at_any_time, test_a_dump_brought_back_continues_to_the_same_masks]
        try:
            main(tests, path, server)
        finally:
            server.stop()
