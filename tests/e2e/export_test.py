"""An export that the engine itself made, the whole way of a job, against transformers: its logits, its generation, its size.

The mask is given, so that it holds what is hard: heads kept unevenly inside a KV group, an attention unit and FFN units (the first
and a middle one) removed wholly. Then a little recovery, of the yardsticks too.

python3 export_test.py BUILD_FOLDER LOGITS_TOOL
"""

import json
import subprocess
import sys

import numpy

from harness import *

sys.path.insert(0, str(SOURCE / "tests" / "interop"))
from check_export import check_generation, check_perplexity, count_parameters  # noqa: E402
from export_support import evaluation_windows, load_model  # noqa: E402
from reference_logits import write_reference  # noqa: E402

programs = Programs(sys.argv[1])
LOGITS_TOOL = sys.argv[2]
TOLERANCE = 1e-4
RECOVERY_TOKENS = 1024
EVALUATED_TOKENS = 2048
# Heads or neurons taken from the tiny model's 6 heads in 2 KV groups and 512 neurons. One head removed leaves the groups uneven,
# whichever it is.
REMOVED = {"attention[0]": 1, "attention[2]": 6, "attention[3]": 2, "attention[5]": 1, "ffn[0]": 512, "ffn[1]": 256, "ffn[4]": 512,
           "ffn[7]": 256}
# What they cost, so that nothing is given back to make the mask full: a head 12288 (query and output), a KV group as much (key and
# value), a neuron 576, a unit removed wholly also its norm of 192.
PARAMETERS = 3935424 - (2 + 2) * 12288 - (6 + 2) * 12288 - (256 + 256) * 576 - 2 * 512 * 576 - 3 * 192
JOB = f"""
target {{ count: {PARAMETERS} }}
ladder {{ head_granularity: HEAD attention_levels: 7 ffn_levels: 3 }}
calibration_tokens: 2048
sequence_length: 128
additive_score_tokens: 256
play_off_score_tokens: 256
report_score_tokens: 256
seed: 7
"""


class Exported:
    """One run for all tests."""

    def __init__(self, folder):
        self.folder = folder / "out" / "model"
        (folder / "mask.json").write_text(json.dumps({unit: {"removed": count} for unit, count in REMOVED.items()}))
        (folder / "job.textproto").write_text(JOB)
        code, out, err = programs.run(
            "run", "--model", TINY, "--tokens", SAMPLES, "--evaluate", SAMPLES, "--evaluate-tokens", str(EVALUATED_TOKENS), "--job",
            folder / "job.textproto", "--generations", "0", "--first-parent", folder / "mask.json", "--recovery-tokens", str(RECOVERY_TOKENS),
            "--recover-yardsticks", "--workers", "2", "--output", folder / "out", "--format", "json")
        check(code == 0, f"exit code {code}: {err}")
        self.result = json.loads(out)
        self.model = load_model(self.folder, dtype="float32")


def test_the_export_has_the_mask_that_was_given(exported):
    found = {unit: entry["removed"] for unit, entry in exported.result["mask"].items() if entry["removed"] > 0}
    check(found == REMOVED, f"{found}")
    for layer in (0, 5):
        kept = exported.result["mask"][f"attention[{layer}]"]["kept_heads"]
        check(sorted(sum(head // 3 == group for head in kept) for group in (0, 1)) == [2, 3], f"attention[{layer}] keeps {kept}")
    attention, ffn = (exported.model.model.layers[layer] for layer in (2, 4))
    check(not any("self_attn" in name for name, _ in attention.named_parameters()), "attention[2] is still there")
    check(not any("mlp" in name for name, _ in ffn.named_parameters()), "ffn[4] is still there")


def test_transformers_counts_the_parameters_of_the_result(exported):
    counted = count_parameters(exported.model)
    check(counted == exported.result["parameters"] == PARAMETERS, f"{counted}, result.json: {exported.result['parameters']}, not {PARAMETERS}")
    inspected = json.loads(programs.run("inspect", exported.folder, "--format", "json")[1])
    check(inspected["parameters"]["total"] == counted, f"inspect counts {inspected['parameters']}")


def test_logits_of_real_tokens_equal_the_engines(exported):
    work = exported.folder.parent
    tokens = numpy.load(SAMPLES).reshape(-1).astype(numpy.int64)
    numpy.save(work / "tokens.npy", numpy.stack([tokens[first:first + 200] for first in evaluation_windows(len(tokens), 200, 6)]))
    for name, model in [("export", exported.model), ("dense", load_model(TINY, dtype="float32"))]:
        logits = write_reference(model, work / "tokens.npy", work / f"{name}.safetensors")
        check(logits.std() > 0.5, f"{name}: the logits are almost flat, so they would prove nothing: {logits.std()}")
    # The dense model's logits too, and crosswise: so small a difference is not what any two folders have.
    pairs = [(exported.folder, "export"), (TINY, "dense"), (exported.folder, "dense")]
    (work / "list.tsv").write_text("".join(f"{folder}\t{work}/tokens.npy\t{work}/{name}.safetensors\n" for folder, name in pairs))
    done = subprocess.run([LOGITS_TOOL, work / "list.tsv"], capture_output=True, text=True)
    check(done.returncode == 0, f"exit code {done.returncode}: {done.stdout}{done.stderr}")
    differences = [float(line.split("\t")[1]) for line in done.stdout.splitlines()]
    print(f"      largest difference: export {differences[0]:.2g}, dense {differences[1]:.2g}, of the two models {differences[2]:.2g}", flush=True)
    check(differences[0] <= TOLERANCE and differences[1] <= TOLERANCE, f"differs by more than {TOLERANCE}: {differences}")
    check(differences[2] > 1, f"the pruned model's logits are the dense one's: {differences}")


def test_perplexity_and_generation(exported):
    value, _, _ = check_perplexity(exported.model, SAMPLES, exported.result["sequence_length"], EVALUATED_TOKENS // 128)
    check(abs(value / exported.result["perplexity"] - 1) < 1e-3, f"transformers: {value}, result.json: {exported.result['perplexity']}")
    prompt = [int(token) for token in numpy.load(SAMPLES)[3][:12]]
    found, equal = check_generation(exported.model, prompt, 20)
    check(equal, f"with a cache it generates other tokens: {found}")
    check(len(found["tokens"]) > len(prompt), f"it generated nothing: {found}")


def test_yardsticks_are_recovered_when_that_is_asked(exported):
    check(exported.result["trained_tokens"] == 3 * RECOVERY_TOKENS, f"winner, uniform and additive train: {exported.result['trained_tokens']} tokens")
    for name in ("uniform", "additive"):
        before, after = (exported.result[name].get(key, 0) for key in ("one_shot_perplexity", "recovered_perplexity"))
        check(0 < after < before, f"{name}: {before} before, {after} after recovery")


if __name__ == "__main__":
    with Folder() as folder:
        main([test_the_export_has_the_mask_that_was_given, test_transformers_counts_the_parameters_of_the_result,
              test_logits_of_real_tokens_equal_the_engines, test_perplexity_and_generation, test_yardsticks_are_recovered_when_that_is_asked],
             Exported(folder))
