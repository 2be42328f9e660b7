"""A generation of the published schedule the way one would write it by hand: transformers, torch.optim.AdamW, one sequence a step.

Each offspring is a deep copy of the dense model with the removed heads and neurons zeroed (kept at zero through their gradients), trained
with cross-entropy through stages of growing token budget and scored by its KL divergence from the dense model; the best go on. Beside it,
when given, what `espalier-bench generation --json` measured on the same machine:

    python3 bench/peer_transformers.py --model small --tokens train.npy --espalier generation.json
"""

import argparse
import copy
import json
import random
import statistics
import time

import numpy
import torch
import transformers

STAGES = [(8, 10_000, 1024), (4, 50_000, 2048), (2, 100_000, 4096), (1, 200_000, 8192)]  # survivors, train tokens, score tokens


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--tokens", required=True)
    parser.add_argument("--espalier", help="JSON of espalier-bench generation")
    parser.add_argument("--generations", type=int, default=1)
    parser.add_argument("--offspring", type=int, default=16)
    parser.add_argument("--sequence-length", type=int, default=1024)
    parser.add_argument("--kept-share", type=float, default=0.5, help="of heads and neurons")
    parser.add_argument("--json")
    return parser.parse_args()


class ZeroedCopy:
    """A copy of the dense model without some of its heads and neurons, at the dense size."""

    def __init__(self, dense, kept_share, seeded):
        self.model = copy.deepcopy(dense).train()
        config = dense.config
        head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self.masks = []
        for layer in self.model.model.layers:
            heads = self.pick(config.num_attention_heads, kept_share, seeded).repeat_interleave(head_size)
            neurons = self.pick(config.intermediate_size, kept_share, seeded)
            self.masks.append((layer.self_attn.o_proj.weight, heads[None, :]))
            self.masks.append((layer.mlp.down_proj.weight, neurons[None, :]))
        self.zero()

    @staticmethod
    def pick(count, share, seeded):
        mask = torch.zeros(count, dtype=torch.bfloat16, device="cuda")
        mask[seeded.sample(range(count), max(1, round(count * share)))] = 1
        return mask

    @torch.no_grad()
    def zero(self):
        for weight, mask in self.masks:
            weight.mul_(mask)
            if weight.grad is not None:
                weight.grad.mul_(mask)

    def train(self, windows):
        optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-5, fused=True)
        for window in windows:
            loss = self.model(input_ids=window[None], labels=window[None]).loss
            loss.backward()
            self.zero()
            optimizer.step()
            self.zero()
            optimizer.zero_grad(set_to_none=True)


@torch.no_grad()
def divergence(dense, candidate, windows):
    total = 0.0
    for window in windows:
        reference = torch.log_softmax(dense(window[None]).logits.float(), -1)
        found = torch.log_softmax(candidate(window[None]).logits.float(), -1)
        total += torch.nn.functional.kl_div(found, reference, log_target=True, reduction="sum").item() / window.numel()
    return total / len(windows)


def generation(dense, tokens, options, seeded):
    alive = [(random.Random(seeded.random()), None) for _ in range(options.offspring)]
    for survivors, train_tokens, score_tokens in STAGES:
        train = draw(tokens, train_tokens // options.sequence_length, seeded)
        score = draw(tokens, max(1, score_tokens // options.sequence_length), seeded)
        fitness = []
        for index, (mask_seed, _) in enumerate(alive):
            state = mask_seed.getstate()
            candidate = ZeroedCopy(dense, options.kept_share, mask_seed)  # every stage starts from the pruned weights again
            mask_seed.setstate(state)
            candidate.train(train)
            fitness.append((divergence(dense, candidate.model.eval(), score), index))
        alive = [alive[index] for _, index in sorted(fitness)[:survivors]]
    torch.cuda.synchronize()


def draw(tokens, count, seeded):
    return tokens[torch.tensor(seeded.sample(range(len(tokens)), count), device="cuda")]


def main():
    options = arguments()
    transformers.logging.set_verbosity_error()
    dense = transformers.AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.bfloat16).cuda().eval()
    ids = numpy.load(options.tokens).reshape(-1).astype(numpy.int64)
    windows = len(ids) // options.sequence_length
    tokens = torch.from_numpy(ids[:windows * options.sequence_length]).view(windows, -1).cuda()
    seeded = random.Random(1)
    warm = ZeroedCopy(dense, options.kept_share, seeded)
    warm.train(draw(tokens, 4, seeded))
    seconds = []
    for _ in range(options.generations):
        torch.cuda.synchronize()
        began = time.monotonic()
        generation(dense, tokens, options, seeded)
        seconds.append(time.monotonic() - began)
    result = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "transformers": transformers.__version__,
              "seconds": statistics.median(seconds), "runs": seconds}
    print(f"{'by hand, transformers ' + transformers.__version__:40} {result['seconds']:8.2f} s a generation")
    if options.espalier:
        with open(options.espalier) as file:
            rows = json.load(file)["rows"]
        for row in rows:
            name = f"espalier {row['mode']}, {row['tokens_per_step']} tokens a step, {row['slots']} slots"
            print(f"{name:40} {row['seconds']:8.2f} s a generation, {result['seconds'] / row['seconds']:6.1f} times faster")
    if options.json:
        with open(options.json, "w") as file:
            json.dump(result, file, indent=1)


if __name__ == "__main__":
    main()
