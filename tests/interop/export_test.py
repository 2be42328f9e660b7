#!/usr/bin/env python3
"""Exports against transformers: export_test.py WRITE_EXPORT [VARIANT ...]

For each variant of tools/make_model.py and several masks: the export, loaded with its own modelling code, gives the
logits of the masked dense model, generates the same with and without a cache, survives save_pretrained, and has the
parameters that the C++ reader counts.
"""

import json
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest
import warnings

from export_support import load_model  # first: it sets the environment

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM
from transformers.utils import logging

from masked_reference import LayerMask, layer_shape, mask_dense, sliced_tensors

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import make_model  # noqa: E402

WRITE_EXPORT = ""
VARIANTS = [
    "llama-gqa",
    "llama-mha-bias",
    "llama-tied",
    "llama-rope-llama3-old",
    "llama-rope-linear-old",
    "mistral-window",
    "qwen2-tied",
    "qwen3",
    "qwen3-bias-tied",
    "llama-bf16",
]


def masks_of(config, name):
    """Masks by name; the small models have 3 layers, 6 query heads and 96 neurons."""
    heads, neurons = list(range(config.num_attention_heads)), list(range(config.intermediate_size))
    pick = random.Random(name).sample
    some = sorted(pick(neurons, 40))
    groups = config.num_attention_heads // config.num_key_value_heads
    return {
        "intact": [LayerMask(heads, neurons)] * 3,
        "group": [LayerMask(heads[groups:], some), LayerMask(heads[:groups], neurons), LayerMask(heads, some[:5])],
        "uneven": [
            LayerMask(sorted(pick(heads, 5)), some),
            LayerMask(sorted(pick(heads, 4)), neurons),
            LayerMask(sorted(pick(heads, 1)), some[:1]),
        ],
        "kv_whole": [LayerMask(heads[:1], some, True), LayerMask(heads[1:], neurons, True), LayerMask(heads, some)],
        "first_attention_gone": [LayerMask([], some), LayerMask(heads[1:], []), LayerMask(heads, neurons)],
        "layers_gone": [LayerMask([], []), LayerMask(heads[:5], some), LayerMask([], [])],
        "all_attention_gone": [LayerMask([], neurons), LayerMask([], some), LayerMask([], neurons)],
    }


class CaptureWarnings:
    """Everything transformers logs as a warning, and Python's own warnings."""

    def __enter__(self):
        import logging as python_logging

        self.messages = []
        self.handler = python_logging.Handler(python_logging.WARNING)
        self.handler.emit = lambda record: self.messages.append(record.getMessage())
        logging.get_logger("transformers").addHandler(self.handler)
        self.catcher = warnings.catch_warnings(record=True)
        self.caught = self.catcher.__enter__()
        warnings.simplefilter("always")
        return self

    def __exit__(self, *exception):
        self.catcher.__exit__(*exception)
        logging.get_logger("transformers").removeHandler(self.handler)
        self.messages += [str(warning.message) for warning in self.caught]


class ExportCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="espalier-export-")
        cls.root = pathlib.Path(cls.temporary.name)
        for name in cls.variants():
            make_model.make_variant(name, cls.root / name, seed=3)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def write(self, variant, mask_name):
        """(masked dense model, masks, folder of the export, parameters that C++ counted)"""
        folder = self.root / variant
        dense = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", attn_implementation="eager").eval()
        masks = masks_of(dense.config, variant)[mask_name]
        tensors = sliced_tensors(dense, masks)
        work = self.root / f"{variant}-{mask_name}"
        work.mkdir(exist_ok=True)
        save_file(tensors, work / "tensors.safetensors")
        (work / "layers.json").write_text(json.dumps([layer_shape(mask, dense.config) for mask in masks]))
        output = work / "export"
        done = subprocess.run(
            [WRITE_EXPORT, folder, work / "layers.json", work / "tensors.safetensors", output],
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        mask_dense(dense, masks)
        return dense, masks, output, int(done.stdout)


class ExportTest(ExportCase):
    @classmethod
    def variants(cls):
        return VARIANTS

    def check_variant(self, variant, mask_name):
        dense, masks, folder, parameters = self.write(variant, mask_name)
        half = dense.dtype == torch.bfloat16
        with CaptureWarnings() as captured:
            model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True, dtype="auto").eval()
        self.assertEqual(captured.messages, [])
        self.assertEqual(sum(parameter.numel() for parameter in model.parameters()), parameters)
        self.assertEqual(model.dtype, dense.dtype)
        torch.manual_seed(1)
        tokens = torch.randint(0, dense.config.vocab_size, (2, 33))
        with torch.no_grad():
            expected = dense.float()(tokens).logits
            for attention in ("eager", "sdpa"):
                wide = load_model(folder, dtype=torch.float32, attention=attention)
                difference = (wide(tokens).logits - expected).abs().max().item()
                self.assertLess(
                    difference, 1e-5 * max(1.0, expected.abs().max().item()), f"{variant} {mask_name} {attention}"
                )
            # The number format of the checkpoint itself: as close as that format allows.
            relative = (model(tokens).logits.float() - expected).norm() / expected.norm()
            self.assertLess(relative.item(), 3e-2 if half else 1e-5)
        self.check_generation(load_model(folder, dtype=torch.float32), tokens)
        self.check_save(model, tokens, folder)

    def check_generation(self, model, tokens):
        prompt, mask = tokens[:, :7], torch.ones(2, 7, dtype=torch.long)
        options = dict(max_new_tokens=9, min_new_tokens=9, do_sample=False, pad_token_id=0)
        without = model.generate(prompt, attention_mask=mask, use_cache=False, **options)
        with CaptureWarnings() as captured:
            with_cache = model.generate(prompt, attention_mask=mask, use_cache=True, **options)
        self.assertEqual(captured.messages, [])
        self.assertTrue(torch.equal(without, with_cache))
        # Padding on the left must not be seen; three beams reorder the cache.
        padded = torch.cat([torch.zeros(2, 3, dtype=torch.long), prompt], dim=1)
        padded_mask = torch.cat([torch.zeros(2, 3, dtype=torch.long), mask], dim=1)
        self.assertTrue(
            torch.equal(model.generate(padded, attention_mask=padded_mask, **options)[:, 10:], without[:, 7:])
        )
        beams = [
            model.generate(prompt, attention_mask=mask, num_beams=3, use_cache=use, **options) for use in (True, False)
        ]
        self.assertTrue(torch.equal(*beams))

    def check_save(self, model, tokens, folder):
        again = folder.parent / "saved"
        model.save_pretrained(again)
        loaded = AutoModelForCausalLM.from_pretrained(again, trust_remote_code=True, dtype="auto").eval()
        with torch.no_grad():
            self.assertTrue(torch.equal(loaded(tokens).logits, model(tokens).logits))
        first, second = load_file(folder / "model.safetensors"), load_file(again / "model.safetensors")
        self.assertEqual(set(first), set(second))


def add_variant_test(variant):
    def test(self):
        dense = AutoConfig.from_pretrained(self.root / variant)
        every = masks_of(dense, variant)
        for mask_name in every if variant in ("llama-gqa", "qwen3") else ("uneven", "first_attention_gone"):
            with self.subTest(variant=variant, mask=mask_name):
                self.check_variant(variant, mask_name)

    setattr(ExportTest, "test_" + variant.replace("-", "_").replace(".", "_"), test)


class LoadingTest(ExportCase):
    """Once, on one variant: what does not depend on the family."""

    @classmethod
    def variants(cls):
        return ["llama-gqa"]

    def test_stock_classes_refuse_the_folder(self):
        _, _, folder, _ = self.write("llama-gqa", "uneven")
        with self.assertRaises(ValueError):
            AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=False)

    def test_weights_that_do_not_fit_are_refused(self):
        _, _, folder, _ = self.write("llama-gqa", "uneven")
        tensors = load_file(folder / "model.safetensors")
        changes = {
            "a missing tensor": {"model.layers.1.mlp.up_proj.weight": None},
            "another shape": {"model.layers.1.mlp.up_proj.weight": torch.zeros(7, 48)},
            "a tensor of no unit": {"model.layers.1.mlp.more.weight": torch.zeros(7)},
        }
        for what, change in changes.items():
            changed = {name: tensor for name, tensor in {**tensors, **change}.items() if tensor is not None}
            save_file(changed, folder / "model.safetensors", metadata={"format": "pt"})
            with self.subTest(what), self.assertRaises((ValueError, RuntimeError)):
                AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)

    def test_a_config_that_does_not_fit_is_refused(self):
        _, _, folder, _ = self.write("llama-gqa", "group")
        config = json.loads((folder / "config.json").read_text())
        for change in (
            {"num_attention_heads": 5},
            {"hidden_size": 3},
            {"skip": ["ffn"]},
            {"skip": ["mlp"], "intermediate_size": 3},
            {"num_attention_heads": 3, "query_to_kv": [0, 0, 5]},
        ):
            (folder / "config.json").write_text(json.dumps({**config, "per_layer_config": {"0": change}}))
            with self.subTest(change=change), self.assertRaises(Exception):
                AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)

    def test_training_with_checkpointing_and_the_base_model(self):
        _, _, folder, _ = self.write("llama-gqa", "first_attention_gone")
        model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True, dtype=torch.float32)
        tokens = torch.randint(0, 131, (2, 16))
        gradients = []
        for checkpointing in (False, True):
            model.zero_grad()
            model.train()
            if checkpointing:
                model.gradient_checkpointing_enable()
            model(tokens, labels=tokens).loss.backward()
            gradients.append({name: parameter.grad.clone() for name, parameter in model.named_parameters()})
        for name, gradient in gradients[0].items():
            self.assertTrue(torch.allclose(gradient, gradients[1][name], atol=1e-6), name)
        base = AutoModel.from_pretrained(folder, trust_remote_code=True, dtype=torch.float32).eval()
        output = base(tokens, output_hidden_states=True)
        self.assertEqual(len(output.hidden_states), 4)
        self.assertTrue(
            torch.allclose(output.last_hidden_state, model.eval().model(tokens).last_hidden_state, atol=1e-6)
        )

    def test_static_cache(self):
        _, _, folder, _ = self.write("llama-gqa", "first_attention_gone")
        model = load_model(folder, dtype=torch.float32)
        prompt = torch.tensor([[5, 6, 7]])
        options = dict(max_new_tokens=8, do_sample=False, attention_mask=torch.ones_like(prompt), pad_token_id=0)
        static = model.generate(prompt, cache_implementation="static", disable_compile=True, **options)
        self.assertTrue(torch.equal(static, model.generate(prompt, **options)))


if __name__ == "__main__":
    WRITE_EXPORT = sys.argv[1]
    VARIANTS = sys.argv[2:] or VARIANTS
    torch.set_num_threads(1)
    for name in VARIANTS:
        add_variant_test(name)
    unittest.main(argv=sys.argv[:1])
