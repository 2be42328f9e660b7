"""What lies in the artifact folder while jobs come and go: python3 artifacts_test.py BUILD_FOLDER"""

import sys

from fleet import *

SPEC = ["--model", TINY, "--tokens", SAMPLES, "--target", "60%", "--head-granularity", "head", "--generations", "1", "--seed"]


def files(fleet):
    return {path.name for path in (fleet.artifacts / "sha256").rglob("*") if path.is_file()}


def test_deleting_a_job_frees_the_disk_and_takes_nothing_from_another(build):
    flags = ["--artifact-grace-seconds", "1"]
    with Folder() as folder, Fleet(folder, Programs(build, fake=True, task_ms=2), lease=0.5, coordinator_flags=flags) as fleet:
        fleet.start_coordinator()
        fleet.submit(*SPEC, "5")
        fleet.start_worker()
        fleet.wait_done()
        of_first = files(fleet)
        check(len(of_first) > 8, f"a job of 8 layers leaves their bank and its result: {of_first}")
        code, _, err = fleet.ask("submit", *SPEC, "6", "--job-id", "k")  # the same bank, another result
        check(code == 0, f"submit: {err}")
        wait_until(lambda: '"SUCCEEDED"' in fleet.ask("get", "k", "--format", "json")[1], 60, "the second job is done")
        of_both = files(fleet)
        check(fleet.ask("delete", "j")[0] == 0, "delete")
        wait_until(lambda: len(files(fleet)) < len(of_both), 30, "the deleted job's own files go")
        time.sleep(3)  # rounds in which more could go
        left = files(fleet)
        check(fleet.ask("export", "k", "--output", folder / "out")[0] == 0, "the other job's result is whole")
        check(fleet.ask("delete", "k")[0] == 0, "delete")
        wait_until(lambda: not files(fleet), 30, "everything goes with the last job")
        check(left and "no artifact is collected" not in fleet.coordinator_log(), fleet.coordinator_log()[-500:])


if __name__ == "__main__":
    main([test_deleting_a_job_frees_the_disk_and_takes_nothing_from_another], sys.argv[1])
