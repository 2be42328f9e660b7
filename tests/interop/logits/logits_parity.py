#!/usr/bin/env python3
"""The engine's logits in fp32 equal those of transformers within 1e-4, for every family and feature.

Makes the random models of tools/make_model.py and takes the bundled one; ESPALIER_TEST_MODELS names a folder of further
ones (model folders, or .tar.xz of them). For each: reference logits with transformers, then the tool compares.
"""

import argparse
import importlib.util
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging

TOLERANCE = 1e-4
LENGTH = 56  # beyond the original positions of the llama3 rope variants, within every sliding window


def make_variants(source, folder):
    spec = importlib.util.spec_from_file_location("make_model", source / "tools" / "make_model.py")
    make_model = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_model)
    for name in make_model.VARIANTS:
        make_model.make_variant(name, folder / name, seed=1)
    return [folder / name for name in make_model.VARIANTS]


def further_models(folder):
    """Those of ESPALIER_TEST_MODELS; archives are unpacked into `folder`."""
    if not os.environ.get("ESPALIER_TEST_MODELS"):
        print("ESPALIER_TEST_MODELS is not set: no models but the bundled and the random ones")
        return []
    models = pathlib.Path(os.environ["ESPALIER_TEST_MODELS"])
    for path in sorted(models.glob("*.tar.xz")):
        with tarfile.open(path) as archive:
            archive.extractall(folder / path.name)
    found = [path.parent for root in (models, folder) for path in sorted(root.glob("**/config.json"))]
    if not found:
        sys.exit(f"ESPALIER_TEST_MODELS: no model in {models}")
    return found


def write_reference(model_folder, tokens_path, reference_path):
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32, attn_implementation="eager").eval()
    generator = torch.Generator().manual_seed(5)
    tokens = torch.randint(model.config.vocab_size, (2, LENGTH), generator=generator)
    np.save(tokens_path, tokens.numpy())
    with torch.no_grad():
        logits = model(tokens).logits.float().contiguous()
    if logits.std() < 0.1:
        sys.exit(f"{model_folder}: the reference logits are almost flat, so they would prove nothing")
    save_file({"logits": logits}, reference_path)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--source", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory(prefix="espalier-logits-") as temporary:
        work = pathlib.Path(temporary)
        folders = make_variants(arguments.source, work / "variants")
        folders += [path.parent for path in sorted((arguments.source / "examples").glob("**/config.json"))]
        if len(folders) == len(list((work / "variants").iterdir())):
            sys.exit("no bundled model under examples/")
        folders += further_models(work / "further")
        lines = []
        for index, folder in enumerate(folders):
            tokens, reference = work / f"{index}.npy", work / f"{index}.safetensors"
            write_reference(folder, tokens, reference)
            lines.append(f"{folder}\t{tokens}\t{reference}\n")
        (work / "list.tsv").write_text("".join(lines))
        ran = subprocess.run([arguments.tool, work / "list.tsv"], stdout=subprocess.PIPE, text=True)
        print(ran.stdout, end="")
        differences = dict(line.split("\t", 1) for line in ran.stdout.splitlines())
        if ran.returncode != 0 or len(differences) != len(folders):
            sys.exit(f"the tool ended with {ran.returncode} after {len(differences)} of {len(folders)} models")
        too_far = [folder for folder, difference in differences.items() if not float(difference) <= TOLERANCE]
        if too_far:
            sys.exit(f"differs by more than {TOLERANCE}: {', '.join(too_far)}")
        print(f"{len(folders)} models, largest difference {max(float(d) for d in differences.values()):.3g}")


if __name__ == "__main__":
    main()
