"""`espalier demo` as `make demo` runs it: what a newcomer sees first.

python3 demo_test.py BUILD_FOLDER
"""

import json
import re
import sys

from harness import *

programs = Programs(sys.argv[1])
fake = Programs(sys.argv[1], fake=True)


def test_the_demo_prunes_the_bundled_model_and_lets_it_write():
    with Folder() as folder:
        code, out, err = programs.run("demo", "--output", folder / "demo", timeout=580)
        check(code == 0, f"exit code {code}: {out}{err}")
        result = read_json(folder / "demo" / "result.json")
        # The mask: a column for each of 8 layers, below each row the heads and the neurons that are kept.
        lines = out.splitlines()
        check(any(line.split() == ["layer", *map(str, range(8))] for line in lines), f"no layers: {out}")
        for row, kind in (("attention", "attention"), ("FFN", "ffn")):
            at = next((i for i, line in enumerate(lines) if line.startswith(row)), None)
            check(at is not None and re.search("[█▁-▇·]", lines[at]), f"no picture of {row}: {out}")
            kept = [unit["kept_neurons"] if kind == "ffn" else len(unit["kept_heads"])
                    for unit in (result["mask"][f"{kind}[{layer}]"] for layer in range(8))]
            check(lines[at + 1].split() == [str(count or "-") for count in kept], f"{row}: not {kept} but {lines[at + 1]}")
        # Dense, uniform and searched beside each other.
        rows = {line.split()[0]: line.split()[1:] for line in lines if line.startswith(("dense ", "uniform ", "additive ", "searched "))}
        check(set(rows) == {"dense", "uniform", "additive", "searched"}, f"{rows}")
        check(rows["dense"][-1] == f"{result['dense_perplexity']:.2f}", f"{rows['dense']}")
        for name in ("uniform", "additive"):
            check(rows[name][2] == f"{result[name]['one_shot_perplexity']:.2f}", f"{name}: {rows[name]}")
        check(rows["searched"][2:] == [f"{result['one_shot_perplexity']:.2f}", f"{result['perplexity']:.2f}"], f"{rows['searched']}")
        check(result["dense_perplexity"] < result["perplexity"] < result["uniform"]["one_shot_perplexity"], f"{rows}")
        check(result["parameters"] <= result["target_parameters"] == int(0.6 * result["dense_parameters"]), f"{result['parameters']}")
        # A sentence that transformers generated: the prompt, and words of its own behind it.
        sentence = lines[lines.index("The pruned model in transformers:") + 1].strip()
        check(re.match(r"The old man looked at the sea and (\S+ ){4}", sentence), f"no sentence but: {sentence}")
        report = folder / "demo" / "report.html"
        check(f"Report: {report}" in lines and report.stat().st_size > 10000, f"no report: {lines[-1]}")
        check("generation 3  fitness" in err, f"no progress: {err}")
        check(not servers_with(str(folder)), "a process is left")
        print("      " + sentence, flush=True)


def test_an_export_that_transformers_cannot_load_fails_the_demo():
    """The engine without tensors: its export holds no model."""
    with Folder() as folder:
        code, out, err = fake.run("demo", "--output", folder / "demo")
        last = err.splitlines()[-1]
        check(code == 3, f"exit code {code}: {out}{err}")
        check(last.startswith("espalier: transformers could not load the pruned model") and "exit code 1" in last, f"{err}")
        check("The pruned model in transformers:" not in out and f"Report: {folder}/demo/report.html" in out, f"{out}")
        # JSON is nothing but JSON.
        code, out, err = fake.run("demo", "--output", folder / "again", "--format", "json")
        check(code == 0 and json.loads(out) == read_json(folder / "again" / "result.json"), f"{code}: {out}{err}")


if __name__ == "__main__":
    main([test_the_demo_prunes_the_bundled_model_and_lets_it_write, test_an_export_that_transformers_cannot_load_fails_the_demo])
