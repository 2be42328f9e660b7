"""What the checks against transformers share: loading a folder, and the windows of an evaluation."""

import json
import math
import os
import pathlib

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging

logging.disable_progress_bar()


def is_export(folder):
    return json.loads((pathlib.Path(folder) / "config.json").read_text()).get("model_type") == "espalier"


def load_model(folder, dtype="auto", attention=None):
    """A dense folder as stock transformers reads it, an export with its own modelling code."""
    options = {"attn_implementation": attention} if attention else {}
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, trust_remote_code=is_export(folder), **options)
    return model.eval()


def evaluation_windows(num_tokens, length, wanted):
    """First tokens of the windows that `espalier evaluate` uses: non-overlapping, spread evenly, 0 for all."""
    there = num_tokens // length
    count = there if wanted == 0 else min(wanted, there)
    return [i * there // count * length for i in range(count)]


def perplexity(model, tokens, length, wanted, batch=8):
    """Over L-1 predictions of each window; sums in double precision."""
    flat = np.asarray(tokens).reshape(-1)
    starts = evaluation_windows(len(flat), length, wanted)
    total, count = 0.0, 0
    for first in range(0, len(starts), batch):
        rows = np.stack([flat[start : start + length] for start in starts[first : first + batch]]).astype(np.int64)
        ids = torch.from_numpy(rows).to(model.device)
        with torch.no_grad():
            logits = model(ids, use_cache=False).logits[:, :-1].float()
        losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        total += losses.double().sum().item()
        count += losses.numel()
    return math.exp(total / count), len(starts), count
