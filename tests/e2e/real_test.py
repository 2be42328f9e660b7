"""Real processes, real engine, the bundled tiny model, small budgets.

python3 real_test.py BUILD_FOLDER
"""

import hashlib
import json
import shlex
import subprocess
import sys

from harness import *
from in_transformers import evaluation_windows, transformers_perplexity

programs = Programs(sys.argv[1])



def arguments(folder, name, *more):
    (folder / "job.textproto").write_text(SHORT_JOB)
    return ["run", "--model", TINY, "--tokens", SAMPLES, "--evaluate", SAMPLES, "--evaluate-tokens", "2048", "--job", folder / "job.textproto",
            "--output", folder / name, *more]


def check_provenance(result, out):
    """Everything that a result came from has its digest, and those of the export are its files'."""
    said = result["provenance"]
    digests, versions = said["digests"], said["versions"]
    for name in ("model", "tokens", "evaluation", "result"):
        check(len(digests[name]) == 64, f"{name}: {digests}")
    check(len(digests["bank"]["key"]) == 64 and len(digests["bank"]["layers"]) == 8, f"bank: {digests}")
    for name, digest in digests["export"].items():
        check(hashlib.sha256((out / "model" / name).read_bytes()).hexdigest() == digest, f"{name} is another file")
    check("model.safetensors" in digests["export"], digests["export"])
    check(all(versions.get(name) for name in ("espalier", "engine", "torch")), versions)
    check(said["seed"] == 7 and said["job"]["recovery"]["tokens"] == "4096" and said["device"].startswith("cpu"), said)


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
        check_provenance(result, folder / "out")
        for name in ("uniform", "additive"):
            for key in ("parameters", "one_shot_fitness", "one_shot_perplexity"):
                check(result[name][key] > 0, f"{name}.{key}")
            check(result[name]["parameters"] <= 2362560, name)
            check("recovered_perplexity" not in result[name], f"{name} is trained without --recover-yardsticks")
        check(result["one_shot_fitness"] < result["uniform"]["one_shot_fitness"], "worse than uniform")
        theirs, parameters = transformers_perplexity(folder / "out" / "model", evaluation_windows(SAMPLES, 128, 16))
        check(abs(theirs / result["perplexity"] - 1) < 1e-3, f"transformers: {theirs}, result.json: {result['perplexity']}")
        check(parameters == result["parameters"], f"transformers counts {parameters}")
        again = shlex.split(result["evaluate_command"])
        check(again[:2] == ["espalier", "evaluate"] and "--sequence-length" in again, again)
        code, out, err = programs.run(*again[1:], "--format", "json")
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


def foreign_configs(removed, dense):
    """config.json as Puzzletron's two versions write it, for the mask {unit: removed}."""
    heads, kv_heads, width = dense["num_attention_heads"], dense["num_key_value_heads"], dense["intermediate_size"]
    first, second = [], []
    for layer in range(dense["num_hidden_layers"]):
        has_attention, kept = f"attention[{layer}]" not in removed, width - removed.get(f"ffn[{layer}]", 0)
        first.append({"attention": {"no_op": not has_attention, "num_key_value_heads": kv_heads if has_attention else None},
                      "ffn": {"no_op": kept == 0, "intermediate_size": kept or None}})
        attention = {"num_query_heads": heads, "num_kv_heads": kv_heads} if has_attention else {"no_op": True}
        ffn = {"intermediate_size": kept} if kept else {"no_op": True}
        second.append({"subblock_configs": [{"kind": "attention", **attention}, {"kind": "ffn", **ffn}]})
    return {"puzzletron-1": {**dense, "block_configs": first}, "puzzletron-2": {**dense, "block_configs": second}}


def test_an_exported_result_seeds_another_search_in_every_schema():
    with Folder() as folder:
        code, _, err = programs.run(*arguments(folder, "out", "--workers", "1", "--generations", "0", "--recovery-tokens", "0", "--runtime",
                                               "nemotron-nas"))
        check(code == 0, f"exit code {code}: {err}")
        removed = {unit: entry["removed"] for unit, entry in read_json(folder / "out/result.json")["mask"].items() if entry["removed"]}
        check(any(unit.startswith("attention") for unit in removed) and any(unit.startswith("ffn") for unit in removed), str(removed))
        seeds = [folder / "out/model"]
        for runtime in ("nemotron-nas", "vllm-anymodel"):
            seeds.append(folder / runtime)
            code, _, err = programs.run("export", folder / "out/model", "--runtime", runtime, "--output", seeds[-1])
            check(code == 0, err)
        for name, config in foreign_configs(removed, read_json(TINY / "config.json")).items():
            seeds.append(folder / name)
            seeds[-1].mkdir()
            (seeds[-1] / "config.json").write_text(json.dumps(config))
        state = folder / "state"
        coordinator = subprocess.Popen([programs.bin / "espalier-coordinator", "--state", state, "--ready-file", folder / "ready", "--log-level", "off"],
                                       stdout=subprocess.DEVNULL)
        try:
            wait_until((folder / "ready").exists, 60, "the coordinator is ready")

            def submit(seed):
                return programs.run("submit", "--coordinator", f"unix:{state}/coordinator.sock", "--validate-only", "--format", "json", "--model", TINY,
                                    "--tokens", SAMPLES, "--target", "2362560", "--first-parent", seed)

            for seed in seeds:
                code, out, err = submit(seed)
                check(code == 0, f"{seed.name}: {err}")
                spec = json.loads(out)["spec"]
                found = {entry["unit"]: entry["removed"] for entry in spec["given_mask"]["removed"] if entry["removed"]}
                check((spec["first_parent"], found) == ("GIVEN", removed), f"{seed.name}: {found}, not {removed}")
            hybrid = {**read_json(TINY / "config.json"), "block_configs": [{"block_type": "mamba"}] * 8}
            (folder / "puzzletron-2/config.json").write_text(json.dumps(hybrid))
            code, _, err = submit(folder / "puzzletron-2")
            check(code != 0 and "block_configs[0]" in err and "mamba" in err, f"{code}: {err}")
        finally:
            coordinator.terminate()
            coordinator.wait(timeout=20)


if __name__ == "__main__":
    main([test_an_exported_result_seeds_another_search_in_every_schema, test_a_run_from_end_to_end_is_what_it_says, test_three_workers_and_kills_find_the_same_masks])
