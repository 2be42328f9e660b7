#!/usr/bin/env python3
"""Exports for other runtimes against readers built from their rules: runtime_export_test.py WRITE_EXPORT ESPALIER

For several families and masks, with parts removed in the first, a middle and the last layer: what `espalier export
--runtime` writes gives the logits of the masked dense model, by a reader that shares no code with the writer.
"""

import json
import pathlib
import subprocess
import sys
import unittest

from export_support import load_model  # noqa: F401  first: it sets the environment

import torch
from safetensors.torch import load_file
from transformers import AutoConfig

import export_test
from export_test import ExportCase, make_model
from masked_reference import LayerMask
from runtime_readers import Gguf, any_model, gguf, nemotron_nas

ESPALIER = ""
WIDE = dict(intermediate_size=512, num_hidden_layers=5, hidden_size=64, num_attention_heads=4, num_key_value_heads=2)
VARIANTS = {
    "wide-llama3": ("llama", {**WIDE, "rope_parameters": make_model.LLAMA3_ROPE}, "float32", "", None),
    "wide-biases": ("llama", {**WIDE, "attention_bias": True, "mlp_bias": True}, "float32", "", None),
    "wide-linear": (
        "llama",
        {**WIDE, "rope_parameters": dict(rope_type="linear", rope_theta=10000.0, factor=2.5)},
        "float32",
        "60KB",
        None,
    ),
    "wide-qwen2": ("qwen2", {**WIDE, "tie_word_embeddings": True}, "float32", "", None),
    "wide-mistral": ("mistral", {**WIDE, "sliding_window": 64, "head_dim": 20}, "float32", "", None),
    "wide-bf16": ("llama", WIDE, "bfloat16", "", None),
    "wide-qwen3": ("qwen3", {**WIDE, "head_dim": 32}, "float32", "", None),
}
HEADS, NEURONS = list(range(4)), list(range(512))
HALF, NONE = NEURONS[:256], []
# Units removed alone and together, in the first, a middle and the last layer.
MASKS = {
    "attention_gone": [[HEADS, HALF], [HEADS, NEURONS], [NONE, HALF], [HEADS, NEURONS], [NONE, NEURONS]],
    "ffn_gone": [[HEADS, NONE], [HEADS, NEURONS], [HEADS, NONE], [NONE, HALF], [HEADS, NONE]],
    "layers_gone": [[HEADS, HALF], [NONE, NONE], [HEADS, NEURONS], [NONE, HALF], [NONE, NONE]],
    "first_layer_gone": [[NONE, NONE], [HEADS, NEURONS], [NONE, HALF], [HEADS, HALF], [HEADS, NONE]],
    "groups_gone": [[HEADS[2:], HALF], [HEADS, NONE], [HEADS[:2], NEURONS], [NONE, NONE], [HEADS[:2], HALF]],
    "first_attention_gone": [[NONE, NEURONS], [HEADS[:2], HALF], [NONE, NONE], [HEADS, NONE], [NONE, HALF]],
    "odd_widths": [[HEADS, NEURONS[:100]], [HEADS, NEURONS[:33]], [NONE, NEURONS[:1]], [HEADS, NEURONS], [HEADS, HALF]],
    "uneven": [[HEADS, NEURONS], [HEADS, HALF], [[0, 1, 2], HALF], [HEADS, NEURONS], [HEADS, NEURONS]],
}
HOLDS = {
    "nemotron-nas": ("attention_gone", "ffn_gone", "layers_gone", "first_layer_gone"),
    "vllm-anymodel": tuple(name for name in MASKS if name != "uneven"),
    "gguf": ("attention_gone", "ffn_gone", "layers_gone", "groups_gone", "odd_widths"),
}
REFUSES = {
    "nemotron-nas": {"groups_gone": "attention[1]", "first_attention_gone": "attention[0]", "uneven": "attention[2]",
                     "odd_widths": "ffn[0]"},
    "vllm-anymodel": {"uneven": "attention[2]"},
    "gguf": {"first_layer_gone": "attention[0]", "first_attention_gone": "attention[0]", "uneven": "attention[2]"},
}
READERS = {"nemotron-nas": nemotron_nas, "vllm-anymodel": any_model, "gguf": gguf}


def espalier_export(source, runtime, output, *more):
    command = [ESPALIER, "export", source, "--runtime", runtime, "--output", output, *more]
    return subprocess.run(command, capture_output=True, text=True)


class RuntimeExportTest(ExportCase):
    @classmethod
    def variants(cls):
        make_model.VARIANTS.update(VARIANTS)
        export_test.masks_of = lambda config, name: {
            key: [LayerMask(heads, neurons) for heads, neurons in layers] for key, layers in MASKS.items()
        }
        return VARIANTS

    def check(self, variant, mask_name, runtime):
        dense, _, folder, _ = self.write(variant, mask_name)
        output = folder.parent / f"{self._testMethodName}-{runtime}"  # a folder, or with gguf a file
        done = espalier_export(folder, runtime, output)
        self.assertEqual(done.returncode, 0, done.stderr)
        torch.manual_seed(1)
        tokens = torch.randint(0, dense.config.vocab_size, (33,))
        with torch.no_grad():
            expected = dense.float()(tokens[None]).logits[0]
            found = READERS[runtime](output, tokens)
        scale = max(1.0, expected.abs().max().item())
        self.assertLess((found - expected).abs().max().item() / scale, 2e-5)
        return output, tokens, expected

    def refuses(self, variant, mask_name, runtime, unit):
        _, _, folder, _ = self.write(variant, mask_name)
        output = folder.parent / ("refused-" + runtime)
        done = espalier_export(folder, runtime, output)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(unit, done.stderr)
        self.assertFalse(output.exists())

    def test_what_fits_gives_the_masked_logits(self):
        for runtime, masks in HOLDS.items():
            for mask_name in masks:
                with self.subTest(runtime=runtime, mask=mask_name):
                    self.check("wide-llama3", mask_name, runtime)

    def test_what_does_not_fit_is_refused_by_its_unit(self):
        for runtime, masks in REFUSES.items():
            for mask_name, unit in masks.items():
                with self.subTest(runtime=runtime, mask=mask_name):
                    self.refuses("wide-llama3", mask_name, runtime, unit)

    def test_every_family_that_a_runtime_knows(self):
        for variant in VARIANTS:
            for runtime in READERS:
                with self.subTest(runtime=runtime, variant=variant):
                    if variant == "wide-qwen3" and runtime != "vllm-anymodel":
                        self.refuses(variant, "ffn_gone", runtime, "q/k norms")
                    else:
                        self.check(variant, "ffn_gone", runtime)

    def test_gguf_in_eight_bits_stays_close_and_halves_exact(self):
        output, tokens, expected = self.check("wide-llama3", "ffn_gone", "gguf")
        for kind, bound in (("f16", 2e-3), ("bf16", 2e-2), ("q8_0", 5e-2)):
            path = output.with_name(kind + ".gguf")
            done = espalier_export(output.parent / "export", "gguf", path, "--gguf-type", kind)
            self.assertEqual(done.returncode, 0, done.stderr)
            with torch.no_grad():
                relative = ((gguf(path, tokens) - expected).norm() / expected.norm()).item()
            self.assertLess(relative, bound, kind)
            self.assertGreater(relative, 0)
        self.assertEqual(Gguf(path).types["blk.0.attn_q.weight"], 8)

    def test_gguf_in_eight_bits_keeps_rows_that_are_no_multiple_of_its_blocks_in_half_precision(self):
        output, tokens, expected = self.check("wide-llama3", "odd_widths", "gguf")
        path = output.with_name("odd.gguf")
        done = espalier_export(output.parent / "export", "gguf", path, "--gguf-type", "q8_0")
        self.assertEqual(done.returncode, 0, done.stderr)
        types = Gguf(path).types
        self.assertEqual([types[f"blk.{layer}.ffn_down.weight"] for layer in range(5)], [1, 1, 1, 8, 8])  # 100, 33, 1, 512, 256 wide
        self.assertEqual(types["blk.0.ffn_up.weight"], 8)  # its rows are as long as the hidden size
        with torch.no_grad():
            self.assertLess(((gguf(path, tokens) - expected).norm() / expected.norm()).item(), 5e-2)

    def test_a_sliding_window_becomes_the_longest_context_where_the_runtime_has_none(self):
        for variant, longest in (("wide-mistral", 64), ("wide-llama3", 256)):
            output, _, _ = self.check(variant, "ffn_gone", "gguf")
            self.assertEqual(Gguf(output).pairs["deci.context_length"], longest)
            output, _, _ = self.check(variant, "ffn_gone", "nemotron-nas")
            self.assertEqual(json.loads((output / "config.json").read_text())["max_position_embeddings"], longest)
        config = json.loads((self.check("wide-mistral", "ffn_gone", "vllm-anymodel")[0] / "config.json").read_text())
        self.assertEqual((config["sliding_window"], config["max_position_embeddings"]), (64, 256))

    def test_the_checkpoints_number_format_is_kept(self):
        for runtime in ("nemotron-nas", "vllm-anymodel"):
            output, _, _ = self.check("wide-bf16", "ffn_gone", runtime)
            kept = [tensor.dtype for shard in output.glob("*.safetensors") for tensor in load_file(shard).values()]
            self.assertEqual(set(kept), {torch.bfloat16})
        output, _, _ = self.check("wide-bf16", "ffn_gone", "gguf")
        self.assertEqual(Gguf(output).types["blk.0.attn_q.weight"], 30)  # BF16, unless --gguf-type says otherwise

    def test_a_nemotron_configuration_survives_saving(self):
        output, _, _ = self.check("wide-llama3", "ffn_gone", "nemotron-nas")
        config = AutoConfig.from_pretrained(output, trust_remote_code=True)
        again = json.loads(config.to_json_string(use_diff=False))
        self.assertEqual(again["block_configs"], json.loads((output / "config.json").read_text())["block_configs"])
        self.assertIs(config.block_configs[2].ffn.no_op, True)

    def test_a_written_folder_is_not_overwritten_and_a_source_is_checked(self):
        output, _, _ = self.check("wide-llama3", "ffn_gone", "nemotron-nas")
        again = espalier_export(output.parent / "export", "nemotron-nas", output)
        self.assertIn("holds something already", again.stderr)
        self.assertIn("config.json", espalier_export(output.parent / "none", "gguf", output.parent / "x.gguf").stderr)

    def test_huggingface_copies_what_loads(self):
        _, _, folder, _ = self.write("wide-llama3", "uneven")
        output = folder.parent / "copy"
        self.assertEqual(espalier_export(folder, "huggingface", output).returncode, 0)
        for file in folder.iterdir():
            self.assertEqual(file.read_bytes(), (output / file.name).read_bytes(), file.name)


if __name__ == "__main__":
    export_test.WRITE_EXPORT, ESPALIER = sys.argv[1:3]
    torch.set_num_threads(1)
    unittest.main(argv=sys.argv[:1])
