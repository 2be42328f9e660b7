"""Real processes, real engine, the bundled tiny model, small budgets.

python3 real_test.py BUILD_FOLDER
"""

import json
import sys

from harness import *
from in_transformers import evaluation_windows, transformers_perplexity

programs = Programs(sys.argv[1])



def arguments(folder, name, *more):
    (folder / "job.textproto").write_text(SHORT_JOB)
    return ["run", "--model", TINY, "--tokens", SAMPLES, "--evaluate", SAMPLES, "--evaluate-tokens", "2048", "--job", folder / "job.textproto",
            "--output", folder / name, *more]


def test_a_run_from_end_to_end_is_what_it_says():
    with Folder() as folder:
        code, out, err = programs.run(*arguments(folder, "out", "--workers", "1", "--format", "json"))
        check(code == 0, f"exit code {code}: {err}")
        result = json.loads(out)
        check(result["parameters"] <= 2362560, result["parameters"])
        check(len(result["history"]) == 2, "two generations")
        for key in ("dense_parameters", "target_parameters", "mask", "fitness", "fitness_standard_error", "one_shot_fitness",
                    "one_shot_perplexity", "dense_perplexity", "perplexity", "sequence_length", "generations", "trained_tokens",
                    "scored_tokens", "seconds"):
            check(key in result, f"result.json has no {key}")
        for name in ("uniform", "additive"):
            for key in ("parameters", "one_shot_fitness", "one_shot_perplexity"):
                check(result[name][key] > 0, f"{name}.{key}")
            check(result[name]["parameters"] <= 2362560, name)
            check("recovered_perplexity" not in result[name], f"{name} is trained without --recover-yardsticks")
        check(result["one_shot_fitness"] < result["uniform"]["one_shot_fitness"], "worse than uniform")
        theirs, parameters = transformers_perplexity(folder / "out" / "model", evaluation_windows(SAMPLES, 128, 16))
        check(abs(theirs / result["perplexity"] - 1) < 1e-3, f"transformers: {theirs}, result.json: {result['perplexity']}")
        check(parameters == result["parameters"], f"transformers counts {parameters}")
        code, out, err = programs.run("evaluate", folder / "out" / "model", "--tokens", SAMPLES, "--evaluate-tokens", "2048",
                                      "--sequence-length", "128", "--format", "json")
        check(code == 0, err)
        check(abs(json.loads(out)["perplexity"] / result["perplexity"] - 1) < 1e-5, f"evaluate: {out}")
        inspected = json.loads(programs.run("inspect", folder / "out" / "model", "--format", "json")[1])
        check(inspected["parameters"]["total"] == result["parameters"], "inspect counts otherwise")
        test_a_run_from_end_to_end_is_what_it_says.masks = masks(result)


def test_three_workers_and_kills_find_the_same_masks():
    with Folder() as folder:
        seeded = random.Random(3)
        process = programs.start(*arguments(folder, "out", "--workers", "3", "--state", folder / "s"))
        kills = 0
        while process.poll() is None and kills < 4:
            time.sleep(seeded.uniform(1.5, 4))
            servers = sorted(servers_with(str(folder / "s")).items())
            victims = [pid for pid, command in servers if ("coordinator" in command.split(" ")[0]) == (kills % 2 == 0)]
            if victims:
                os.kill(seeded.choice(victims), signal.SIGKILL)
                kills += 1
        _, err = process.communicate(timeout=200)
        check(process.returncode == 0, f"exit code {process.returncode}: {err}")
        check(kills > 0, "it was over before anything was killed")
        found = masks(read_json(folder / "out" / "result.json"))
        check(found == test_a_run_from_end_to_end_is_what_it_says.masks, "masks differ")
        check(not servers_with(str(folder)), "a process is left")


if __name__ == "__main__":
    main([test_a_run_from_end_to_end_is_what_it_says, test_three_workers_and_kills_find_the_same_masks])
