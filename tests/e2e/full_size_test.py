"""The README's own size: eight generations of the bundled model, single heads, by one worker, by three, and by three of which some
are killed with SIGKILL, and the coordinator too. Half an hour of two cores and more.

python3 full_size_test.py BUILD_FOLDER [evaluation tokens.npy]
"""

import sys

from harness import *
from in_transformers import evaluation_windows, transformers_perplexity

programs = Programs(sys.argv[1])
EVALUATION = sys.argv[2] if len(sys.argv) > 2 else SAMPLES
MINUTES = 60


def arguments(folder, name, workers):
    return ["run", "--model", TINY, "--tokens", SAMPLES, "--evaluate", EVALUATION, "--target", "2362560", "--head-granularity", "head",
            "--generations", "8", "--seed", "7", "--workers", str(workers), "--output", folder / name, "--state", folder / f"state-{name}"]


def finish(process):
    _, err = process.communicate(timeout=MINUTES * 60)
    check(process.returncode == 0, f"exit code {process.returncode}: {err[-2000:]}")


def summary(result):
    return (f"{result['parameters']} parameters, one-shot {result['one_shot_fitness']:.4f}, uniform {result['uniform']['one_shot_fitness']:.4f}, "
            f"perplexity {result['perplexity']:.5f}, {result['seconds']:.0f} s")


def test_one_worker_finds_the_reference():
    with Folder() as folder:
        finish(programs.start(*arguments(folder, "one", 1)))
        result = read_json(folder / "one" / "result.json")
        print("  one worker:", summary(result), flush=True)
        check(result["parameters"] <= 2362560, "over the target")
        check(len(result["history"]) == 8, "eight generations")
        check(result["one_shot_fitness"] <= 0.85 * result["uniform"]["one_shot_fitness"], "not far enough below uniform")
        theirs, parameters = transformers_perplexity(folder / "one" / "model", evaluation_windows(EVALUATION, result["sequence_length"], 128))
        print(f"  transformers: {parameters} parameters, perplexity {theirs:.5f}", flush=True)
        check(abs(theirs / result["perplexity"] - 1) < 1e-3, f"transformers: {theirs}, result.json: {result['perplexity']}")
        check(parameters == result["parameters"], f"transformers counts {parameters}")
        test_one_worker_finds_the_reference.found = masks(result)


def test_three_workers_find_the_same():
    with Folder() as folder:
        finish(programs.start(*arguments(folder, "three", 3)))
        result = read_json(folder / "three" / "result.json")
        print("  three workers:", summary(result), flush=True)
        check(masks(result) == test_one_worker_finds_the_reference.found, "three workers found something else")


def test_kills_change_nothing():
    with Folder() as folder:
        seeded = random.Random(11)
        process = programs.start(*arguments(folder, "killed", 3))
        killed = {"coordinator": 0, "worker": 0}
        while process.poll() is None:
            time.sleep(seeded.uniform(20, 60))
            servers = sorted(servers_with(str(folder / "state-killed")).items())
            kind = "coordinator" if killed["coordinator"] <= killed["worker"] else "worker"
            victims = [pid for pid, command in servers if ("coordinator" in command.split(" ")[0]) == (kind == "coordinator")]
            if victims and sum(killed.values()) < 12:
                os.kill(seeded.choice(victims), signal.SIGKILL)
                killed[kind] += 1
        finish(process)
        result = read_json(folder / "killed" / "result.json")
        print("  killed on the way:", killed, summary(result), flush=True)
        check(min(killed.values()) >= 2, f"too few kills: {killed}")
        check(masks(result) == test_one_worker_finds_the_reference.found, "the kills changed the search")
        check(not servers_with(str(folder)), "a process is left")


if __name__ == "__main__":
    main([test_one_worker_finds_the_reference, test_three_workers_find_the_same, test_kills_change_nothing])
