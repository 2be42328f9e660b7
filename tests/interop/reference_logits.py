#!/usr/bin/env python3
"""transformers' fp32 logits (eager attention) of a model folder for given tokens.

    reference_logits.py FOLDER TOKENS.npy OUT.safetensors

TOKENS.npy is [rows, length] or [length]; OUT holds `logits`, [rows, length, vocabulary], float32. Dense folders and our
own exports alike.
"""

import argparse
import pathlib

import numpy as np
import torch
from safetensors.torch import save_file

from export_support import load_model


def write_reference(model, tokens_path, output):
    """The logits, also written to `output`."""
    tokens = torch.from_numpy(np.atleast_2d(np.load(tokens_path)).astype(np.int64))
    with torch.no_grad():
        logits = model(tokens, use_cache=False).logits.float().contiguous()
    save_file({"logits": logits}, output)
    return logits


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("tokens", type=pathlib.Path)
    parser.add_argument("output", type=pathlib.Path)
    arguments = parser.parse_args()
    model = load_model(arguments.folder, dtype=torch.float32, attention="eager")
    write_reference(model, arguments.tokens, arguments.output)


if __name__ == "__main__":
    main()
