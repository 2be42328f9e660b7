"""Perplexity at equal size: what each way of choosing a mask is worth before and after recovery.

For every method and seed: search with the real service (`espalier run`), recovery towards the dense model's distribution,
then the same mask recovered with cross-entropy. Prints one table of means and standard deviations over the seeds and
writes every run's figures to a JSON file. Standard library only, so that it runs beside the bundle on a GPU machine.

    python3 bench/quality.py --espalier BIN/espalier --model small --tokens train.npy --evaluate test.npy \
        --target 11584896 --devices 0,1 --json quality.json
"""

import argparse
import json
import os
import pathlib
import queue
import statistics
import subprocess
import threading
import time

RECOVERY = {
    "kl": "loss: KL learning_rate: 1e-3",
    "cross-entropy": "loss: CROSS_ENTROPY learning_rate: 5e-4",
}

# name -> (job file text, flags)
METHODS = {
    "uniform": ("", ["--first-parent", "uniform", "--generations", "0"]),
    "additive": ("", ["--generations", "0"]),
    "balanced": ("", []),
    "darwinlm": ("", ["--preset", "darwinlm", "--generations", "10"]),
}


def read_variants(path):
    """More methods from a JSON file: name -> {"job": job file text, "flags": [...]}."""
    for name, variant in json.loads(pathlib.Path(path).read_text()).items():
        METHODS[name] = (variant.get("job", ""), variant.get("flags", []))


def job_text(method, recovery, tokens):
    settings = f"{RECOVERY[recovery]} warmup_steps: 20 cosine_to: 0.1"
    return f"{METHODS[method][0]}\nrecovery {{ tokens: {tokens} tokens_per_step: 16384 train {{ {settings} }} }}\n"


class Runner:
    def __init__(self, options):
        self.options = options
        self.folder = pathlib.Path(options.work)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = threading.Lock()
        self.figures = []

    def run(self, device, name, text, flags, seed):
        output = self.folder / name
        job = self.folder / f"{name}.textproto"
        job.write_text(text)
        command = [self.options.espalier, "run", "--job", str(job), "--model", self.options.model, "--tokens",
                   self.options.tokens, "--evaluate", self.options.evaluate, "--evaluate-tokens", "0", "--target",
                   self.options.target, "--head-granularity", "head", "--seed", str(seed), "--output", str(output), *flags]
        environment = dict(os.environ)
        if device == "cpu":
            command += ["--device", "cpu"]
        else:
            command += ["--device", "cuda"]
            environment["CUDA_VISIBLE_DEVICES"] = device
        start = time.monotonic()
        with open(self.folder / f"{name}.log", "w") as log:
            code = subprocess.run(command, stdout=log, stderr=log, env=environment, stdin=subprocess.DEVNULL).returncode
        if code != 0:
            raise RuntimeError(f"{name}: exit code {code}; see {self.folder / (name + '.log')}")
        result = json.loads((output / "result.json").read_text())
        result["wall_seconds"] = time.monotonic() - start
        return result

    def measure(self, device, method, seed):
        name = f"{method}-{seed}"
        tokens = self.options.recovery_tokens
        found = self.run(device, f"{name}-kl", job_text(method, "kl", tokens), METHODS[method][1], seed)
        mask = self.folder / f"{name}-mask.json"
        mask.write_text(json.dumps(found["mask"]))
        row = {"method": method, "seed": seed, "parameters": found["parameters"],
               "one_shot_perplexity": found["one_shot_perplexity"], "kl": found["perplexity"],
               "trained_tokens": found["trained_tokens"], "seconds": found["wall_seconds"],
               "engine_seconds": found["engine_seconds"], "chosen_because": found.get("chosen_because", ""),
               "history": found.get("history")}
        if not self.options.only_kl:
            flags = [flag for flag in METHODS[method][1] if flag in ("--preset", "darwinlm")]
            again = self.run(device, f"{name}-ce", job_text(method, "cross-entropy", tokens),
                             [*flags, "--first-parent", str(mask), "--generations", "0"], seed)
            row["cross-entropy"] = again["perplexity"]
        with self.lock:
            self.figures.append(row)
            print({key: value for key, value in row.items() if key != "history"}, flush=True)

    def work(self, device, work):
        while True:
            try:
                method, seed = work.get_nowait()
            except queue.Empty:
                return
            try:
                self.measure(device, method, seed)
            except (RuntimeError, OSError, KeyError, ValueError) as error:
                print(f"{method} seed {seed} failed: {error}", flush=True)


def mean_and_spread(values):
    values = [value for value in values if value is not None]
    if not values:
        return "-"
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.2f} ± {spread:.2f}"


def print_table(figures):
    columns = ["method", "seeds", "one-shot", "cross-entropy", "kl", "train tokens", "run seconds"]
    rows = []
    for method in dict.fromkeys(row["method"] for row in sorted(figures, key=lambda row: list(METHODS).index(row["method"]))):
        mine = [row for row in figures if row["method"] == method]
        rows.append([method, str(len(mine)), mean_and_spread([row["one_shot_perplexity"] for row in mine]),
                     mean_and_spread([row.get("cross-entropy") for row in mine]), mean_and_spread([row["kl"] for row in mine]),
                     f"{statistics.mean(row['trained_tokens'] for row in mine) / 1e6:.2f}M",
                     mean_and_spread([row["seconds"] for row in mine])])
    widths = [max(len(row[i]) for row in [columns, *rows]) for i in range(len(columns))]
    for row in [columns, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--espalier", default="build/bin/espalier")
    parser.add_argument("--model", required=True)
    parser.add_argument("--tokens", required=True)
    parser.add_argument("--evaluate", required=True)
    parser.add_argument("--target", default="60%")
    parser.add_argument("--recovery-tokens", type=int, default=5_000_000)
    parser.add_argument("--methods", default="additive,balanced,darwinlm")
    parser.add_argument("--variants", help="JSON file with more methods")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--devices", default="0", help="CUDA device numbers, or cpu; one run at a time on each")
    parser.add_argument("--only-kl", action="store_true", help="leave the recovery with cross-entropy out")
    parser.add_argument("--work", default="quality-runs")
    parser.add_argument("--json", default="quality.json")
    options = parser.parse_args()
    if options.variants:
        read_variants(options.variants)
    work = queue.Queue()
    for seed in options.seeds.split(","):
        for method in options.methods.split(","):
            work.put((method, int(seed)))
    runner = Runner(options)
    threads = [threading.Thread(target=runner.work, args=(device, work)) for device in options.devices.split(",")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pathlib.Path(options.json).write_text(json.dumps(runner.figures, indent=1))
    print_table(runner.figures)


if __name__ == "__main__":
    main()
