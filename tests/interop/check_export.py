#!/usr/bin/env python3
"""Checks an exported folder with transformers, so independently of our own reader.

    check_export.py perplexity FOLDER --tokens FILE.npy --sequence-length L [--windows N]
    check_export.py logits FOLDER --tokens FILE.npy --sequence-length L [--windows N] [--reference-logits FILE]
    check_export.py generate FOLDER [--prompt-tokens 1,2,3] [--new-tokens N]
    check_export.py parameters FOLDER

The windows are those of `espalier evaluate`: the file cut into non-overlapping windows of L tokens, N of them spread
evenly (0 for all). Prints one JSON object; exits with 1 when a comparison fails.
"""

import argparse
import json
import pathlib
import sys

import numpy as np
import torch
from safetensors.torch import load_file

from export_support import evaluation_windows, load_model, perplexity


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["perplexity", "logits", "generate", "parameters"])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--tokens", type=pathlib.Path)
    parser.add_argument("--sequence-length", type=int, default=512)
    parser.add_argument("--windows", type=int, default=128, help="0 for all")
    parser.add_argument(
        "--reference-logits", type=pathlib.Path, help="safetensors with `logits` [windows, L, vocabulary], float32"
    )
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--dtype", default="float32", help="float32, bfloat16 or auto")
    parser.add_argument("--prompt-tokens", default="1,2,3,4")
    parser.add_argument("--new-tokens", type=int, default=20)
    return parser.parse_args()


def check_logits(model, arguments):
    tokens = np.load(arguments.tokens).reshape(-1)
    length = arguments.sequence_length
    starts = evaluation_windows(len(tokens), length, arguments.windows)
    rows = torch.from_numpy(np.stack([tokens[start : start + length] for start in starts]).astype(np.int64))
    with torch.no_grad():
        logits = model(rows, use_cache=False).logits.float()
    result = {"windows": len(starts), "mean": logits.mean().item(), "max": logits.abs().max().item()}
    if arguments.reference_logits is None:
        return result, True
    reference = load_file(arguments.reference_logits)["logits"]
    if reference.shape != logits.shape:
        return {**result, "error": f"reference has shape {tuple(reference.shape)}, not {tuple(logits.shape)}"}, False
    result["max_difference"] = (logits - reference).abs().max().item()
    return result, result["max_difference"] <= arguments.tolerance


def check_generation(model, arguments):
    prompt = torch.tensor([[int(token) for token in arguments.prompt_tokens.split(",")]])
    options = dict(
        max_new_tokens=arguments.new_tokens, do_sample=False, attention_mask=torch.ones_like(prompt), pad_token_id=0
    )
    with_cache = model.generate(prompt, use_cache=True, **options)[0].tolist()
    without = model.generate(prompt, use_cache=False, **options)[0].tolist()
    return {"tokens": with_cache, "equal_without_cache": with_cache == without}, with_cache == without


def main():
    arguments = parse_arguments()
    model = load_model(arguments.folder, dtype=arguments.dtype)
    passed = True
    if arguments.what == "perplexity":
        value, windows, predictions = perplexity(
            model, np.load(arguments.tokens), arguments.sequence_length, arguments.windows
        )
        result = {"perplexity": value, "windows": windows, "predictions": predictions}
    elif arguments.what == "logits":
        result, passed = check_logits(model, arguments)
    elif arguments.what == "generate":
        result, passed = check_generation(model, arguments)
    else:
        # Each stored tensor once: tied weights are one parameter.
        result = {"parameters": sum(parameter.numel() for parameter in model.parameters())}
    print(json.dumps(result))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
