"""Readers of other runtimes' formats, built from their rules and from nothing of ours: each loads what `espalier export`
wrote and computes logits the way that runtime does, traps included.

    nemotron_nas(folder, tokens)   vLLM's nemotron_nas.py: block_configs by attribute, ffn_mult, the residual stream that
                                   begins at the first attention, tensors of removed parts are an error
    any_model(folder, tokens)      vLLM's AnyModel: the base model's configuration with each layer's changes
    gguf(path, tokens)             llama.cpp's deci.cpp: interleaved rotation, layers that end before the residual is
                                   added where there is no FFN, rope_freqs, Q8_0 blocks
"""

import json
import math
import pathlib
import struct

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import AutoConfig


def rms_norm(x, weight, epsilon):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon) * weight


def linear(x, tensors, name):
    result = x @ tensors[name + ".weight"].T
    return result + tensors[name + ".bias"] if name + ".bias" in tensors else result


def attend(q, k, v, window=0):
    """[length, heads, size]; KV heads are shared by consecutive query heads."""
    share = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(share, 1), v.repeat_interleave(share, 1)
    scores = torch.einsum("qhd,khd->hqk", q, k) / math.sqrt(q.shape[-1])
    length = q.shape[0]
    distance = torch.arange(length)[:, None] - torch.arange(length)[None, :]
    hidden = (distance < 0) | ((distance >= window) if window else False)
    weights = scores.masked_fill(hidden, -math.inf).softmax(-1)
    return torch.einsum("hqk,khd->qhd", weights, v).reshape(length, -1)


def frequencies(size, rope):
    """Of Hugging Face's rope_parameters: inverse frequencies, [size / 2]."""
    inverse = rope["rope_theta"] ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    kind = rope.get("rope_type", "default")
    if kind == "linear":
        return inverse / rope["factor"]
    if kind == "llama3":
        original = rope["original_max_position_embeddings"]
        wavelength = 2 * math.pi / inverse
        smooth = (original / wavelength - rope["low_freq_factor"]) / (rope["high_freq_factor"] - rope["low_freq_factor"])
        smooth = smooth.clamp(0, 1)
        return (1 - smooth) * inverse / rope["factor"] + smooth * inverse
    assert kind == "default", kind
    return inverse


def rotate_halves(x, inverse):
    angles = (torch.arange(x.shape[0], dtype=torch.float64)[:, None] * inverse)[:, None, :]
    cos, sin = angles.cos().float(), angles.sin().float()
    first, second = x.chunk(2, -1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


def rotate_pairs(x, inverse):
    angles = (torch.arange(x.shape[0], dtype=torch.float64)[:, None] * inverse)[:, None, :]
    cos, sin = angles.cos().float(), angles.sin().float()
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([even * cos - odd * sin, odd * cos + even * sin], -1).flatten(-2)


def load_weights(folder):
    tensors = {}
    for shard in sorted(pathlib.Path(folder).glob("*.safetensors")):
        tensors.update({name: tensor.float() for name, tensor in load_file(shard).items()})
    return tensors


def hf_attention(x, tensors, prefix, heads, kv_heads, size, inverse, epsilon, window=0):
    q = linear(x, tensors, prefix + "q_proj").view(len(x), heads, size)
    k = linear(x, tensors, prefix + "k_proj").view(len(x), kv_heads, size)
    v = linear(x, tensors, prefix + "v_proj").view(len(x), kv_heads, size)
    if prefix + "q_norm.weight" in tensors:
        q = rms_norm(q, tensors[prefix + "q_norm.weight"], epsilon)
        k = rms_norm(k, tensors[prefix + "k_norm.weight"], epsilon)
    mixed = attend(rotate_halves(q, inverse), rotate_halves(k, inverse), v, window)
    return linear(mixed, tensors, prefix + "o_proj")


def hf_ffn(x, tensors, prefix):
    gate = torch.nn.functional.silu(linear(x, tensors, prefix + "gate_proj"))
    return linear(gate * linear(x, tensors, prefix + "up_proj"), tensors, prefix + "down_proj")


def logits_of(x, tensors, tied):
    return x @ tensors["model.embed_tokens.weight" if tied else "lm_head.weight"].T


class Checked(dict):
    """Tensors that remember which were read and have the shapes that the configuration asks for."""

    def __init__(self, tensors):
        super().__init__(tensors)
        self.read = set()

    def take(self, name, shape):
        assert tuple(self[name].shape) == tuple(shape), (name, tuple(self[name].shape), shape)
        self.read.add(name)

    def finish(self):
        assert self.read == set(self), f"tensors that nothing asks for: {set(self) - self.read}"


def expect_attention(tensors, prefix, hidden, heads, kv_heads, size, bias, output_bias):
    for name, rows in (("q_proj", heads), ("k_proj", kv_heads), ("v_proj", kv_heads)):
        tensors.take(f"{prefix}{name}.weight", (rows * size, hidden))
        if bias:
            tensors.take(f"{prefix}{name}.bias", (rows * size,))
    tensors.take(f"{prefix}o_proj.weight", (hidden, heads * size))
    if output_bias:
        tensors.take(f"{prefix}o_proj.bias", (hidden,))


def expect_ffn(tensors, prefix, hidden, width, bias):
    for name, shape in (("gate_proj", (width, hidden)), ("up_proj", (width, hidden)), ("down_proj", (hidden, width))):
        tensors.take(f"{prefix}{name}.weight", shape)
        if bias:
            tensors.take(f"{prefix}{name}.bias", shape[:1])


def nemotron_nas(folder, tokens):
    config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
    assert config.architectures == ["DeciLMForCausalLM"] and config.model_type == "nemotron-nas"
    tensors = Checked(load_weights(folder))
    hidden, heads, epsilon = config.hidden_size, config.num_attention_heads, config.rms_norm_eps
    size = getattr(config, "head_dim", None) or hidden // heads
    output_bias = getattr(config, "attention_bias", False)
    bias = config.qkv_bias if hasattr(config, "qkv_bias") else output_bias
    inverse = frequencies(size, config.rope_parameters)
    assert len(config.block_configs) == config.num_hidden_layers
    tensors.take("model.embed_tokens.weight", (config.vocab_size, hidden))
    x, residual = tensors["model.embed_tokens.weight"][tokens], None

    def norm(x, residual, name):
        tensors.take(name, (hidden,))
        if residual is None:
            raise AssertionError("the norm of an FFN is entered without a residual: vLLM fails here")
        return rms_norm(x + residual, tensors[name], epsilon), x + residual

    for index, block in enumerate(config.block_configs):
        prefix = f"model.layers.{index}."
        if not block.attention.no_op:
            assert heads % block.attention.n_heads_in_group == 0
            kv_heads = heads // block.attention.n_heads_in_group
            expect_attention(tensors, prefix + "self_attn.", hidden, heads, kv_heads, size, bias, output_bias)
            if residual is None:
                tensors.take(prefix + "input_layernorm.weight", (hidden,))
                residual, x = x, rms_norm(x, tensors[prefix + "input_layernorm.weight"], epsilon)
            else:
                x, residual = norm(x, residual, prefix + "input_layernorm.weight")
            x = hf_attention(x, tensors, prefix + "self_attn.", heads, kv_heads, size, inverse, epsilon)
        if not block.ffn.no_op:
            width = int(2 * block.ffn.ffn_mult * hidden / 3) if hasattr(block.ffn, "ffn_mult") else None
            width = block.ffn.intermediate_size if width is None else width + -width % 256
            expect_ffn(tensors, prefix + "mlp.", hidden, width, getattr(config, "mlp_bias", False))
            x, residual = norm(x, residual, prefix + "post_attention_layernorm.weight")
            x = hf_ffn(x, tensors, prefix + "mlp.")
    x, _ = norm(x, residual, "model.norm.weight")
    if not config.tie_word_embeddings:
        tensors.take("lm_head.weight", (config.vocab_size, hidden))
    tensors.finish()
    return logits_of(x, tensors, config.tie_word_embeddings)


def any_model(folder, tokens):
    raw = json.loads((pathlib.Path(folder) / "config.json").read_text())
    assert raw["architectures"] == ["AnyModel"] and "block_configs" not in raw and "head_dim" in raw
    AutoConfig.from_pretrained(folder)  # stock transformers reads the configuration
    tensors = Checked(load_weights(folder))
    changes = raw.get("per_layer_config", {})
    hidden, size, epsilon = raw["hidden_size"], raw["head_dim"], raw["rms_norm_eps"]
    qwen2 = raw["base_architecture"] == "Qwen2ForCausalLM"
    bias, output_bias = qwen2 or raw.get("attention_bias", False), not qwen2 and raw.get("attention_bias", False)
    window = (raw.get("sliding_window") or 0) if raw.get("use_sliding_window", True) else 0
    inverse = frequencies(size, raw["rope_parameters"])
    tensors.take("model.embed_tokens.weight", (raw["vocab_size"], hidden))
    x = tensors["model.embed_tokens.weight"][tokens]
    for index in range(raw["num_hidden_layers"]):
        layer = {**raw, **changes.get(str(index), {})}
        skip = layer.get("skip", [])
        assert set(skip) <= {"attention", "mlp"}
        prefix = f"model.layers.{index}."
        if "attention" not in skip:
            heads, kv_heads = layer["num_attention_heads"], layer["num_key_value_heads"]
            expect_attention(tensors, prefix + "self_attn.", hidden, heads, kv_heads, size, bias, output_bias)
            if raw["base_architecture"] == "Qwen3ForCausalLM":
                tensors.take(prefix + "self_attn.q_norm.weight", (size,))
                tensors.take(prefix + "self_attn.k_norm.weight", (size,))
            tensors.take(prefix + "input_layernorm.weight", (hidden,))
            y = rms_norm(x, tensors[prefix + "input_layernorm.weight"], epsilon)
            x = x + hf_attention(y, tensors, prefix + "self_attn.", heads, kv_heads, size, inverse, epsilon, window)
        if "mlp" not in skip:
            expect_ffn(tensors, prefix + "mlp.", hidden, layer["intermediate_size"], raw.get("mlp_bias", False))
            tensors.take(prefix + "post_attention_layernorm.weight", (hidden,))
            y = rms_norm(x, tensors[prefix + "post_attention_layernorm.weight"], epsilon)
            x = x + hf_ffn(y, tensors, prefix + "mlp.")
    tensors.take("model.norm.weight", (hidden,))
    if not raw["tie_word_embeddings"]:
        tensors.take("lm_head.weight", (raw["vocab_size"], hidden))
    tensors.finish()
    return logits_of(rms_norm(x, tensors["model.norm.weight"], epsilon), tensors, raw["tie_word_embeddings"])


class Gguf:
    """The format by its specification: version 3, little-endian, alignment from general.alignment."""

    SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}

    def __init__(self, path):
        self.bytes, self.at = pathlib.Path(path).read_bytes(), 0
        assert self.take(4) == b"GGUF" and self.scalar("<I") == 3
        num_tensors, num_pairs = self.scalar("<Q"), self.scalar("<Q")
        self.pairs = {}
        for _ in range(num_pairs):
            key = self.text()
            assert key not in self.pairs, key
            self.pairs[key] = self.value(self.scalar("<I"))
        infos = []
        for _ in range(num_tensors):
            name, rank = self.text(), self.scalar("<I")
            shape = [self.scalar("<Q") for _ in range(rank)][::-1]
            infos.append((name, shape, self.scalar("<I"), self.scalar("<Q")))
        alignment = self.pairs.get("general.alignment", 32)
        begin = self.at + -self.at % alignment
        self.types = {name: kind for name, _, kind, _ in infos}
        self.tensors = {}
        for name, shape, kind, offset in infos:
            assert offset % alignment == 0
            self.tensors[name] = self.tensor(begin + offset, shape, kind)

    def take(self, count):
        self.at += count
        assert self.at <= len(self.bytes)
        return self.bytes[self.at - count : self.at]

    def scalar(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def text(self):
        return self.take(self.scalar("<Q")).decode()

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind == 9:
            inner, count = self.scalar("<I"), self.scalar("<Q")
            return [self.value(inner) for _ in range(count)]
        return self.scalar(self.SCALARS[kind])

    def tensor(self, begin, shape, kind):
        count = math.prod(shape)
        size = {0: 4 * count, 1: 2 * count, 8: count // 32 * 34, 30: 2 * count}[kind]
        assert begin + size <= len(self.bytes)
        data = self.bytes[begin : begin + size]
        if kind == 8:
            assert shape[-1] % 32 == 0
            blocks = np.frombuffer(data, dtype=np.dtype([("d", "<f2"), ("q", "i1", 32)]))
            values = blocks["d"].astype(np.float32)[:, None] * blocks["q"]
        elif kind == 30:
            values = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            values = np.frombuffer(data, {0: "<f4", 1: "<f2"}[kind]).astype(np.float32)
        return torch.from_numpy(np.ascontiguousarray(values).reshape(shape).copy())


def gguf(path, tokens):
    file = Gguf(path)
    pairs, tensors = file.pairs, file.tensors
    assert pairs["general.architecture"] == "deci"
    layers, hidden = pairs["deci.block_count"], pairs["deci.embedding_length"]
    heads, kv_heads = pairs["deci.attention.head_count"], pairs["deci.attention.head_count_kv"]
    widths, epsilon = pairs["deci.feed_forward_length"], pairs["deci.attention.layer_norm_rms_epsilon"]
    assert len(heads) == len(kv_heads) == len(widths) == layers
    assert heads[0] > 0, "llama.cpp takes the head size from layer 0"
    size = pairs["deci.attention.key_length"]
    assert size == pairs["deci.attention.value_length"] == pairs["deci.rope.dimension_count"]
    inverse = pairs["deci.rope.freq_base"] ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    if pairs.get("deci.rope.scaling.type") == "linear":
        inverse = inverse / pairs["deci.rope.scaling.factor"]
    if "rope_freqs.weight" in tensors:
        inverse = inverse / tensors["rope_freqs.weight"].double()
    used = {"token_embd.weight", "output_norm.weight", "output.weight", "rope_freqs.weight"}
    x = tensors["token_embd.weight"][tokens]
    for i in range(layers):
        prefix = f"blk.{i}."
        names = {name for name in tensors if name.startswith(prefix)}
        residual = x
        if heads[i] == 0:
            y = x
        else:
            assert heads[i] % kv_heads[i] == 0 and kv_heads[i] > 0
            y = rms_norm(x, tensors[prefix + "attn_norm.weight"], epsilon)
            q = linear(y, tensors, prefix + "attn_q").view(len(x), heads[i], size)
            k = linear(y, tensors, prefix + "attn_k").view(len(x), kv_heads[i], size)
            v = linear(y, tensors, prefix + "attn_v").view(len(x), kv_heads[i], size)
            y = linear(attend(rotate_pairs(q, inverse), rotate_pairs(k, inverse), v), tensors, prefix + "attn_output")
            used |= {name for name in names if ".attn_" in name}
        if widths[i] == 0:
            assert i + 1 < layers, "llama.cpp loses the choice of output rows here"
            continue  # as llama.cpp: before anything is added, and inpL stays
        if heads[i] > 0:
            y = y + residual
        used |= {name for name in names if ".ffn_" in name}
        assert tensors[prefix + "ffn_up.weight"].shape == (widths[i], hidden)
        z = rms_norm(y, tensors[prefix + "ffn_norm.weight"], epsilon)
        z = torch.nn.functional.silu(linear(z, tensors, prefix + "ffn_gate")) * linear(z, tensors, prefix + "ffn_up")
        x = y + linear(z, tensors, prefix + "ffn_down")
    assert set(tensors) <= used, f"tensors that llama.cpp does not create: {set(tensors) - used}"
    x = rms_norm(x, tensors["output_norm.weight"], epsilon)
    return x @ tensors.get("output.weight", tensors["token_embd.weight"]).T
