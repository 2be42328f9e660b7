#!/usr/bin/env python3
"""Makes random models for tests and benchmarks: small ones of every family and feature, and large shapes, quickly.

    make_model.py --variant llama-gqa OUT          one small model (see --list), made with transformers itself
    make_model.py --all-variants OUT               every variant, each in OUT/<variant>
    make_model.py --shape llama-3.1-8b OUT         a large shape with random weights, written shard by shard
    make_model.py --tokens 65536 --vocabulary 128256 OUT.npy [--row-length 1024]

The same seed gives the same files. Weights are normal with a standard deviation of 0.02 (in small models 0.15, biases
and norms too, so that every feature shows in the logits).
"""

import argparse
import json
import pathlib
import sys

import numpy as np

SMALL = dict(
    vocab_size=131,
    hidden_size=48,
    intermediate_size=96,
    num_hidden_layers=3,
    num_attention_heads=6,
    num_key_value_heads=2,
    max_position_embeddings=256,
    rms_norm_eps=1e-5,
    bos_token_id=0,
    eos_token_id=1,
    attention_dropout=0.0,
)
LLAMA3_ROPE = dict(
    rope_type="llama3",
    rope_theta=10000.0,
    factor=8.0,
    low_freq_factor=1.0,
    high_freq_factor=4.0,
    original_max_position_embeddings=32,
)

# family, changes of SMALL, number format, shard size ("" for one file), how config.json is rewritten.
VARIANTS = {
    "llama-gqa": ("llama", {}, "float32", "", None),
    "llama-mha-bias": ("llama", dict(num_key_value_heads=6, attention_bias=True, mlp_bias=True), "float32", "", None),
    "llama-head-dim": ("llama", dict(head_dim=20), "float32", "", None),
    "llama-tied": ("llama", dict(tie_word_embeddings=True), "float32", "", None),
    "llama-mqa": ("llama", dict(num_key_value_heads=1), "float32", "", None),
    "llama-rope-llama3": ("llama", dict(rope_parameters=LLAMA3_ROPE), "float32", "", None),
    "llama-rope-llama3-old": ("llama", dict(rope_parameters=LLAMA3_ROPE), "float32", "", "rope_type"),
    "llama-rope-linear": (
        "llama",
        dict(rope_parameters=dict(rope_type="linear", rope_theta=500000.0, factor=2.5)),
        "float32",
        "",
        None,
    ),
    "llama-rope-linear-old": (
        "llama",
        dict(rope_parameters=dict(rope_type="linear", rope_theta=500000.0, factor=2.5)),
        "float32",
        "",
        "type",
    ),
    "llama-rope-theta-old": (
        "llama",
        dict(rope_parameters=dict(rope_type="default", rope_theta=30000.0)),
        "float32",
        "",
        "rope_type",
    ),
    "llama-sharded": ("llama", {}, "float32", "60KB", None),
    "llama-fp16": ("llama", {}, "float16", "", None),
    "llama-bf16": ("llama", {}, "bfloat16", "", None),
    "mistral": ("mistral", dict(sliding_window=None), "float32", "", None),
    "mistral-window": ("mistral", dict(sliding_window=64), "float32", "", None),
    "mistral-head-dim": ("mistral", dict(sliding_window=None, head_dim=16), "bfloat16", "", None),
    "qwen2-tied": ("qwen2", dict(tie_word_embeddings=True), "float32", "", None),
    "qwen2.5": (
        "qwen2",
        dict(tie_word_embeddings=False, use_sliding_window=False, sliding_window=64),
        "float32",
        "",
        None,
    ),
    "qwen3": ("qwen3", dict(head_dim=32), "float32", "", None),
    "qwen3-bias-tied": ("qwen3", dict(head_dim=16, attention_bias=True, tie_word_embeddings=True), "float32", "", None),
}

LARGE = {
    "llama-3.1-8b": dict(
        model_type="llama",
        vocab_size=128256,
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        max_position_embeddings=131072,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
        rope_parameters=dict(
            rope_type="llama3",
            rope_theta=500000.0,
            factor=8.0,
            low_freq_factor=1.0,
            high_freq_factor=4.0,
            original_max_position_embeddings=8192,
        ),
    ),
    "llama-2-7b": dict(
        model_type="llama",
        vocab_size=32000,
        hidden_size=4096,
        intermediate_size=11008,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=32,
        max_position_embeddings=4096,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
        rope_parameters=dict(rope_type="default", rope_theta=10000.0),
    ),
    "qwen3-8b": dict(
        model_type="qwen3",
        vocab_size=151936,
        hidden_size=4096,
        intermediate_size=12288,
        num_hidden_layers=36,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
        max_position_embeddings=40960,
        rms_norm_eps=1e-6,
        tie_word_embeddings=False,
        rope_parameters=dict(rope_type="default", rope_theta=1000000.0),
    ),
    "qwen2.5-1.5b": dict(
        model_type="qwen2",
        vocab_size=151936,
        hidden_size=1536,
        intermediate_size=8960,
        num_hidden_layers=28,
        num_attention_heads=12,
        num_key_value_heads=2,
        max_position_embeddings=131072,
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
        rope_parameters=dict(rope_type="default", rope_theta=1000000.0),
    ),
}
ARCHITECTURES = dict(
    llama="LlamaForCausalLM", mistral="MistralForCausalLM", qwen2="Qwen2ForCausalLM", qwen3="Qwen3ForCausalLM"
)
SHARD_BYTES = 4_000_000_000


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--variant", choices=sorted(VARIANTS))
    what.add_argument("--all-variants", action="store_true")
    what.add_argument("--shape", help=f"one of {', '.join(sorted(LARGE))}, with -N-layers behind it for another depth")
    what.add_argument("--tokens", type=int, help="write so many random tokens instead of a model")
    what.add_argument("--list", action="store_true", help="print the variants and shapes")
    parser.add_argument("output", nargs="?", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", help="where random numbers of large shapes are made")
    parser.add_argument("--vocabulary", type=int, default=131)
    parser.add_argument("--row-length", type=int, default=0, help="rows of this length instead of one dimension")
    arguments = parser.parse_args()
    if arguments.output is None and not arguments.list:
        parser.error("name the output")
    return arguments


def rewrite_rope(path, type_key):
    """The spelling of before transformers 5: rope_theta beside rope_scaling, which names its type by `type_key`."""
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    rope_type = rope.pop("rope_type")
    config["rope_scaling"] = None if rope_type == "default" else {type_key: rope_type, **rope}
    config["torch_dtype"] = config.pop("dtype")
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def make_variant(name, folder, seed):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    family, changes, number_format, shard_size, old_rope = VARIANTS[name]
    config = AutoConfig.for_model(family, **{**SMALL, **changes})
    generator = torch.Generator().manual_seed(seed * 1000 + sorted(VARIANTS).index(name))
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter_name, parameter in sorted(model.named_parameters()):
            center = 1.0 if "norm" in parameter_name else 0.0
            parameter.copy_(center + 0.15 * torch.randn(parameter.shape, generator=generator))
    model.to(getattr(torch, number_format)).save_pretrained(
        folder, **(dict(max_shard_size=shard_size) if shard_size else {})
    )
    if old_rope:
        rewrite_rope(folder / "config.json", old_rope)


def large_shapes(config):
    """The tensors of a large shape in the order of the layers: (name, shape)."""
    hidden, ffn = config["hidden_size"], config["intermediate_size"]
    size = config.get("head_dim", hidden // config["num_attention_heads"])
    query, key = config["num_attention_heads"] * size, config["num_key_value_heads"] * size
    yield "model.embed_tokens.weight", (config["vocab_size"], hidden)
    for index in range(config["num_hidden_layers"]):
        layer = f"model.layers.{index}."
        yield layer + "input_layernorm.weight", (hidden,)
        for part, rows in (("q", query), ("k", key), ("v", key)):
            yield f"{layer}self_attn.{part}_proj.weight", (rows, hidden)
            if config["model_type"] == "qwen2":
                yield f"{layer}self_attn.{part}_proj.bias", (rows,)
        yield layer + "self_attn.o_proj.weight", (hidden, query)
        if config["model_type"] == "qwen3":
            yield layer + "self_attn.q_norm.weight", (size,)
            yield layer + "self_attn.k_norm.weight", (size,)
        yield layer + "post_attention_layernorm.weight", (hidden,)
        yield layer + "mlp.gate_proj.weight", (ffn, hidden)
        yield layer + "mlp.up_proj.weight", (ffn, hidden)
        yield layer + "mlp.down_proj.weight", (hidden, ffn)
    yield "model.norm.weight", (hidden,)
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", (config["vocab_size"], hidden)


def large_config(shape):
    name, depth = shape, None
    if name.endswith("-layers"):
        name, _, depth = name.removesuffix("-layers").rpartition("-")
    if name not in LARGE or (depth is not None and not depth.isdecimal()):
        sys.exit(f"make_model.py: no shape {shape!r}; known: {', '.join(sorted(LARGE))}, each also with -N-layers")
    config = dict(LARGE[name])
    if depth is not None:
        config["num_hidden_layers"] = int(depth)
    config.update(
        architectures=[ARCHITECTURES[config["model_type"]]],
        dtype="bfloat16",
        hidden_act="silu",
        bos_token_id=0,
        eos_token_id=1,
    )
    return config


def plan_shards(config):
    shards, room = [[]], SHARD_BYTES
    for name, shape in large_shapes(config):
        size = 2 * int(np.prod(shape))
        if shards[-1] and size > room:
            shards.append([])
            room = SHARD_BYTES
        shards[-1].append((name, shape))
        room -= size
    return shards


def make_large(shape, folder, seed, device):
    import torch
    from safetensors.torch import save_file

    config = large_config(shape)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    generator = torch.Generator(device=device).manual_seed(seed)
    shards = plan_shards(config)
    weight_map, total = {}, 0
    for number, shard in enumerate(shards, 1):
        file = "model.safetensors" if len(shards) == 1 else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        tensors = {}
        for name, size in shard:
            if name.endswith("norm.weight"):
                tensors[name] = torch.ones(size, dtype=torch.bfloat16)
            else:
                values = torch.empty(size, dtype=torch.bfloat16, device=device).normal_(0.0, 0.02, generator=generator)
                tensors[name] = values.cpu()
            weight_map[name] = file
            total += tensors[name].numel() * 2
        save_file(tensors, folder / file, metadata={"format": "pt"})
    if len(shards) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")
    print(f"{folder}: {total // 2} parameters in {len(shards)} file{'s' if len(shards) > 1 else ''}")


def make_tokens(count, vocabulary, row_length, path, seed):
    dtype = np.uint16 if vocabulary <= 65536 else np.uint32
    tokens = np.random.Generator(np.random.PCG64(seed)).integers(0, vocabulary, size=count).astype(dtype)
    if row_length:
        tokens = tokens[: count // row_length * row_length].reshape(-1, row_length)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, tokens)


def main():
    arguments = parse_arguments()
    if arguments.list:
        print("\n".join(["variants: " + " ".join(VARIANTS), "shapes: " + " ".join(LARGE)]))
    elif arguments.tokens:
        make_tokens(arguments.tokens, arguments.vocabulary, arguments.row_length, arguments.output, arguments.seed)
    elif arguments.shape:
        make_large(arguments.shape, arguments.output, arguments.seed, arguments.device)
    else:
        for name in VARIANTS if arguments.all_variants else [arguments.variant]:
            make_variant(name, arguments.output / name if arguments.all_variants else arguments.output, arguments.seed)


if __name__ == "__main__":
    main()
