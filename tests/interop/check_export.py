#!/usr/bin/env python3
"""Checks an exported folder with transformers, so independently of our own reader.

    check_export.py perplexity FOLDER --tokens FILE.npy --sequence-length L [--windows N]
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

from export_support import load_model, perplexity


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["perplexity", "generate", "parameters"])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--tokens", type=pathlib.Path)
    parser.add_argument("--sequence-length", type=int, default=512)
    parser.add_argument("--windows", type=int, default=128, help="0 for all")
    parser.add_argument("--dtype", default="float32", help="float32, bfloat16 or auto")
    parser.add_argument("--prompt-tokens", default="1,2,3,4")
    parser.add_argument("--new-tokens", type=int, default=20)
    return parser.parse_args()


def check_perplexity(model, tokens, length, windows):
    """Perplexity, windows and predictions over `windows` of the file `tokens`."""
    return perplexity(model, np.load(tokens), length, windows)


def check_generation(model, prompt, new_tokens):
    """Greedy, with a cache and without: what came out, and whether it is the same."""
    prompt = torch.tensor([prompt])
    options = dict(max_new_tokens=new_tokens, do_sample=False, attention_mask=torch.ones_like(prompt), pad_token_id=0)
    with_cache = model.generate(prompt, use_cache=True, **options)[0].tolist()
    without = model.generate(prompt, use_cache=False, **options)[0].tolist()
    return {"tokens": with_cache, "equal_without_cache": with_cache == without}, with_cache == without


def count_parameters(model):
    """Each stored tensor once: tied weights are one parameter."""
    return sum(parameter.numel() for parameter in model.parameters())


def main():
    arguments = parse_arguments()
    model = load_model(arguments.folder, dtype=arguments.dtype)
    passed = True
    if arguments.what == "perplexity":
        value, windows, predictions = check_perplexity(
            model, arguments.tokens, arguments.sequence_length, arguments.windows
        )
        result = {"perplexity": value, "windows": windows, "predictions": predictions}
    elif arguments.what == "generate":
        prompt = [int(token) for token in arguments.prompt_tokens.split(",")]
        result, passed = check_generation(model, prompt, arguments.new_tokens)
    else:
        result = {"parameters": count_parameters(model)}
    print(json.dumps(result))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
