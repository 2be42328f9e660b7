"""The whole service path with real processes and the engine without tensors: `espalier run`, coordinator, workers.

python3 service_test.py BUILD_FOLDER
"""

import sys

from harness import *

programs = Programs(sys.argv[1], fake=True, task_ms=5)
slow = Programs(sys.argv[1], fake=True, task_ms=60)


def arguments(folder, name, *more):
    return ["run", "--model", TINY, "--tokens", SAMPLES, "--target", "60%", "--head-granularity", "head", "--generations", "4",
            "--seed", "5", "--output", folder / name, *more]


def reference():
    """The masks that one worker without any fault finds; computed once."""
    if not hasattr(reference, "value"):
        with Folder() as folder:
            code, out, err = programs.run(*arguments(folder, "out", "--workers", "1", "--format", "json"))
            check(code == 0, f"exit code {code}: {err}")
            import json

            printed = json.loads(out)
            check(printed == read_json(folder / "out" / "result.json"), "--format json prints result.json")
            reference.value = masks(printed)
            check(len(reference.value[0]) == 4, f"four generations, not {reference.value[0]}")
            check((folder / "out" / "report.html").stat().st_size > 1000, "report.html is there")
            check(sorted(p.name for p in (folder / "out").iterdir()) == ["model", "report.html", "result.json"], "only the results lie in OUT")
            check(not servers_with(str(folder)), "no process is left")
    return reference.value


def test_three_workers_find_the_same_masks():
    with Folder() as folder:
        code, _, err = programs.run(*arguments(folder, "out", "--workers", "3"))
        check(code == 0, err)
        check(masks(read_json(folder / "out" / "result.json")) == reference(), "masks differ from those of one worker")


def test_killed_processes_do_not_change_the_masks():
    with Folder() as folder:
        seeded = random.Random(11)
        process = slow.start(*arguments(folder, "out", "--workers", "2", "--state", folder / "s"))
        kills = 0
        while process.poll() is None and kills < 6:
            time.sleep(seeded.uniform(0.3, 1.2))
            servers = sorted(servers_with(str(folder / "s")).items())
            coordinators = [pid for pid, command in servers if "coordinator" in command.split(" ")[0]]
            workers = [pid for pid, command in servers if "coordinator" not in command.split(" ")[0]]
            victims = coordinators if kills % 2 == 0 else workers
            if victims:
                os.kill(seeded.choice(victims), signal.SIGKILL)
                kills += 1
        _, err = process.communicate(timeout=200)
        check(process.returncode == 0, f"exit code {process.returncode}: {err}")
        check(kills >= 4, f"only {kills} kills")
        check(masks(read_json(folder / "out" / "result.json")) == reference(), "masks differ after kills")
        check(not servers_with(str(folder)), "a process is left")


def test_interrupted_runs_leave_nothing():
    for number in (signal.SIGINT, signal.SIGTERM):
        with Folder() as folder:
            process = slow.start(*arguments(folder, "out", "--workers", "2", "--state", folder / "s"))
            wait_until(lambda: len(servers_with(str(folder / "s"))) == 3, what="coordinator and two workers run")
            time.sleep(1)
            process.send_signal(number)
            _, err = process.communicate(timeout=30)
            check(process.returncode == 130, f"exit code {process.returncode} after {number}: {err}")
            check(not servers_with(str(folder)), f"processes are left after {number}")
            check(not (folder / "s" / "socket").exists(), "the socket is left")
            check(not (folder / "out").exists(), "OUT is half written")


def test_a_killed_run_takes_its_children_along_and_continues():
    with Folder() as folder:
        process = slow.start(*arguments(folder, "out", "--workers", "2", "--state", folder / "s"))
        wait_until(lambda: len(servers_with(str(folder / "s"))) == 3, what="coordinator and two workers run")
        time.sleep(2)
        process.kill()
        process.communicate()
        wait_until(lambda: not servers_with(str(folder / "s")), 10, "the children die with it")
        code, _, err = programs.run(*arguments(folder, "out", "--workers", "1", "--state", folder / "s"))
        check(code == 0, err)
        check(masks(read_json(folder / "out" / "result.json")) == reference(), "masks differ after continuing")
        # A finished job's state: its results are written again, elsewhere.
        code, _, err = programs.run(*arguments(folder, "again", "--workers", "1", "--state", folder / "s"), timeout=30)
        check(code == 0, err)
        check(read_json(folder / "again" / "result.json") == read_json(folder / "out" / "result.json"), "the results differ")
        # Another specification on the same state is refused.
        code, _, err = programs.run(*arguments(folder, "other", "--state", folder / "s"), "--recovery-tokens", "1k")
        check(code == 3 and "belongs to another job" in err, f"{code}: {err}")


def test_commands_of_a_coordinator():
    with Folder() as folder:
        import json
        import subprocess

        address = f"unix:{folder}/c"
        coordinator = subprocess.Popen([str(programs.bin / "espalier-coordinator"), "--listen", address, "--state", str(folder / "s"),
                                        "--artifacts", str(folder / "a"), "--lease-seconds", "5"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        worker = None
        try:
            wait_until(lambda: programs.run("list", "--coordinator", address)[0] == 0, what="the coordinator answers")
            spec = ["--model", TINY, "--tokens", SAMPLES, "--target", "60%", "--generations", "1", "--coordinator", address]
            code, out, err = programs.run("submit", *spec, "--validate-only")
            check(code == 0 and "training tokens" in out, f"{code}: {out}{err}")
            code, out, err = programs.run("submit", *spec, "--job-id", "first")
            check(code == 0 and out.strip() == "jobs/first", f"{code}: {out}{err}")
            check("first" in programs.run("list", "--coordinator", address)[1], "list names the job")
            check(programs.run("pause", "first", "--coordinator", address)[0] == 0, "pause")
            state = json.loads(programs.run("get", "first", "--coordinator", address, "--format", "json")[1])["state"]
            check(state == "PAUSED", state)
            check(programs.run("delete", "first", "--coordinator", address)[0] == 3, "a job that has not ended cannot be deleted")
            check(programs.run("export", "first", "--output", folder / "x", "--coordinator", address)[0] == 3, "nothing to export yet")
            check(programs.run("resume", "first", "--coordinator", address)[0] == 0, "resume")
            worker = subprocess.Popen([programs.environment["ESPALIER_WORKER"], "--coordinator", address, "--artifacts", str(folder / "a")],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            code, out, err = programs.run("watch", "first", "--coordinator", address)
            check(code == 0 and "searched" in out, f"{code}: {out}{err}")
            out = programs.run("get", "first", "--coordinator", address)[1]
            check("expected, at most" in out and "device time" in out and "running time" in out, f"the estimate beside what it took: {out}")
            check(len(json.loads(programs.run("workers", "--coordinator", address, "--format", "json")[1])) == 1, "one worker is known")
            check("parent" in programs.run("candidates", "first", "--coordinator", address)[1], "candidates")
            code, _, err = programs.run("export", "jobs/first", "--output", folder / "x", "--coordinator", address)
            check(code == 0 and (folder / "x" / "model" / "config.json").exists(), err)
            (folder / "x" / "model" / "of the earlier export").write_text("")
            code, _, err = programs.run("export", "first", "--output", folder / "x", "--coordinator", address)
            check(code == 0 and not (folder / "x" / "model" / "of the earlier export").exists(), f"an export replaces an export: {err}")
            names = sorted(path.name for path in (folder / "x").iterdir())
            check(names == ["model", "report.html", "result.json"], f"something is left beside it: {names}")
            (folder / "foreign" / "model").mkdir(parents=True)
            (folder / "foreign" / "model" / "config.json").write_text('{"model_type": "llama"}')
            code, _, err = programs.run("export", "first", "--output", folder / "foreign", "--coordinator", address)
            check(code == 3 and "no export of espalier" in err, f"{code}: {err}")
            check([path.name for path in (folder / "foreign").rglob("*")] == ["model", "config.json"], "a model of others was touched")
            code, _, err = programs.run("export", "first", "--runtime", "gguf", "--output", folder / "x.gguf", "--coordinator", address)
            check(code != 0 and "config.json" in err, f"the fake engine's model is fetched, and is none: {code}: {err}")
            check(not list(folder.glob("x.gguf*")), "a failed conversion leaves nothing behind")
            check(programs.run("cancel", "first", "--coordinator", address)[0] == 3, "a job that has ended cannot be cancelled")
            check(programs.run("delete", "first", "--coordinator", address)[0] == 0, "delete")
            check(programs.run("get", "first", "--coordinator", address)[0] == 3, "a deleted job is gone")
        finally:
            for process in (worker, coordinator):
                if process is not None:
                    process.terminate()
                    process.wait(timeout=20)


if __name__ == "__main__":
    main([test_three_workers_find_the_same_masks, test_killed_processes_do_not_change_the_masks, test_interrupted_runs_leave_nothing,
          test_a_killed_run_takes_its_children_along_and_continues, test_commands_of_a_coordinator])
