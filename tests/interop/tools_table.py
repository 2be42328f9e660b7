#!/usr/bin/env python3
"""Exports in the tools that people use: tools_table.py WRITE_EXPORT ESPALIER [ROW ...]

The bundled model with units removed in the first, a middle and the last layer, exported by ourselves, loaded by each tool
and compared with the masked dense model; for llama.cpp also small random models of other families. Prints a table; exits
with 1 when a row fails.
"""

import contextlib
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

from export_support import evaluation_windows, load_model, perplexity  # first: it sets the environment

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback, Trainer, TrainingArguments

from masked_reference import LayerMask, layer_shape, mask_dense, sliced_tensors
from runtime_export_test import VARIANTS, make_model
from runtime_readers import any_model, nemotron_nas

ROOT = pathlib.Path(__file__).resolve().parents[2]
DENSE = ROOT / "examples/tiny"
HEADS, NEURONS, HALF, NONE = list(range(6)), list(range(512)), list(range(256)), []
# 8 layers; by groups of three heads where the runtime allows it, all heads or none for Nemotron-NAS. In layer 0 the FFN is
# gone: its attention is what GGUF and Nemotron-NAS cannot lose.
GROUPS = [[HEADS, NONE], [HEADS, NEURONS], [HEADS[3:], NEURONS], [NONE, NEURONS], [HEADS, NONE], [HEADS, NEURONS],
          [HEADS[:3], HALF], [HEADS, NONE]]  # fmt: skip
WHOLE = [[HEADS, NONE], [HEADS, NEURONS], [HEADS, NEURONS], [NONE, NEURONS], [HEADS, NONE], [HEADS, NEURONS],
         [HEADS, HALF], [NONE, NEURONS]]  # fmt: skip
# For perplexities: without layer 0's FFN the bundled model is worse than a guess.
MILD = [[HEADS, HALF], *GROUPS[1:]]
# Of the families' models, with 5 layers, 4 heads by two, 512 neurons.
FAMILY = [[HEADS[:4], NONE], [HEADS[2:4], HALF], [NONE, NONE], [NONE, HALF], [HEADS[:2], NONE]]
LENGTH, WINDOWS = 256, 24


class Setting:
    """The masked dense models, our exports of them, and tokens to measure on."""

    def __init__(self, root, write_export, espalier):
        self.root, self.write_export, self.espalier = root, write_export, espalier
        self.tokens = np.load(ROOT / "examples/tiny-samples.npy").reshape(-1)[: LENGTH * WINDOWS]
        self.ids = torch.from_numpy(self.tokens.astype(np.int64).reshape(WINDOWS, LENGTH))
        np.save(root / "tokens.npy", self.tokens)
        self.masked, self.folder = {}, {}
        for name, layers in (("groups", GROUPS), ("mild", MILD), ("whole", WHOLE)):
            self.masked[name], self.folder[name] = self.make(name, layers, DENSE)

    def make(self, name, layers, folder):
        dense = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        masks = [LayerMask(heads, neurons) for heads, neurons in layers]
        work = self.root / name
        work.mkdir()
        save_file(sliced_tensors(dense, masks), work / "tensors.safetensors")
        (work / "layers.json").write_text(json.dumps([layer_shape(mask, dense.config) for mask in masks]))
        self.run(self.write_export, folder, work / "layers.json", work / "tensors.safetensors", work / "export")
        mask_dense(dense, masks)
        return dense, work / "export"

    def run(self, *command):
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
        return done.stdout

    def export(self, name, runtime, file, *more):
        output = self.root / file
        self.run(self.espalier, "export", self.folder[name], "--runtime", runtime, "--output", output, *more)
        return output

    def our_perplexity(self, name):
        report = self.run(self.espalier, "evaluate", self.folder[name], "--tokens", self.root / "tokens.npy",
                          "--sequence-length", LENGTH, "--evaluate-tokens", "0", "--format", "json")  # fmt: skip
        return json.loads(report)["perplexity"]


def logits_row(setting, model):
    with torch.no_grad():
        expected, found = setting.masked["groups"](setting.ids[:4]).logits, model(setting.ids[:4]).logits.float()
    difference = (found - expected).abs().max().item()
    assert difference < 1e-4, difference
    return f"logits within {difference:.1e} of the masked dense model"


def transformers_logits(setting):
    return logits_row(setting, load_model(setting.folder["groups"], dtype=torch.float32))


def transformers_generation(setting):
    model = load_model(setting.folder["groups"], dtype=torch.float32)
    prompt = setting.ids[:2, :16]
    options = dict(max_new_tokens=24, do_sample=False, attention_mask=torch.ones_like(prompt), pad_token_id=0)
    outputs = [generator.generate(prompt, use_cache=cache, **options)
               for generator, cache in ((model, True), (model, False), (setting.masked["groups"], True))]  # fmt: skip
    assert all(torch.equal(outputs[0], other) for other in outputs[1:])
    return "24 greedy tokens equal with cache, without, and by the masked dense model"


def transformers_saving(setting):
    model = load_model(setting.folder["groups"], dtype=torch.float32)
    model.save_pretrained(setting.root / "saved")
    return logits_row(setting, load_model(setting.root / "saved", dtype=torch.float32)) + ", saved and loaded again"


def transformers_device_map(setting):
    model = AutoModelForCausalLM.from_pretrained(
        setting.folder["groups"], dtype=torch.float32, trust_remote_code=True, device_map="auto"
    )
    return logits_row(setting, model.eval().cpu()) + f", device_map {getattr(model, 'hf_device_map', 'auto')}"


def transformers_bf16(setting):
    wide, narrow = (load_model(setting.folder["mild"], dtype=kind) for kind in (torch.float32, torch.bfloat16))
    values = [perplexity(model, setting.tokens, LENGTH, 0)[0] for model in (wide, narrow)]
    assert abs(values[1] / values[0] - 1) < 0.01
    return f"perplexity {values[1]:.3f} in bf16, {values[0]:.3f} in fp32"


def transformers_trainer(setting):
    model = AutoModelForCausalLM.from_pretrained(
        setting.folder["groups"], dtype=torch.float32, trust_remote_code=True
    )
    before = model.model.layers[1].mlp.up_proj.weight.detach().clone()
    arguments = TrainingArguments(
        output_dir=str(setting.root / "trainer"), max_steps=2, per_device_train_batch_size=2, learning_rate=1e-3,
        gradient_checkpointing=True, report_to=[], save_strategy="no", use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    rows = [{"input_ids": row, "labels": row} for row in setting.ids]
    trainer = Trainer(model=model, args=arguments, train_dataset=rows)
    trainer.remove_callback(PrinterCallback)
    loss = trainer.train().training_loss
    assert math.isfinite(loss) and not torch.equal(before, model.model.layers[1].mlp.up_proj.weight)
    return f"two steps with gradient checkpointing, loss {loss:.3f}"


def peft_step(setting):
    from peft import LoraConfig, get_peft_model

    base = load_model(setting.folder["groups"], dtype=torch.float32)
    with torch.no_grad():
        before = base(setting.ids[:2]).logits.clone()
    model = get_peft_model(base, LoraConfig(r=4, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM"))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(2):
        loss = model(setting.ids[:2], labels=setting.ids[:2]).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    merged = model.merge_and_unload()
    with torch.no_grad():
        change = (merged(setting.ids[:2]).logits - before).abs().max().item()
    assert math.isfinite(loss.item()) and change > 1e-3
    return f"two LoRA steps on pruned projections, merged; logits moved by {change:.2f}"


def lm_eval_row(setting):
    from lm_eval.models.huggingface import HFLM
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    tokenizer = AutoTokenizer.from_pretrained(DENSE)
    tokenizer.eos_token = "<|endoftext|>"  # what a text's first token is predicted from
    texts = [tokenizer.decode(row[:128]) for row in setting.ids[:8]]
    task = setting.root / "task"
    task.mkdir(exist_ok=True)
    (task / "data.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (task / "local.yaml").write_text(
        "task: espalier_local\ndataset_path: json\ndataset_kwargs:\n  data_files:\n"
        f"    test: {task / 'data.jsonl'}\ntest_split: test\noutput_type: loglikelihood_rolling\n"
        'doc_to_text: ""\ndoc_to_target: "{{text}}"\nmetric_list:\n  - metric: byte_perplexity\n    aggregation: weighted_perplexity\n'
        "    higher_is_better: false\n"
        "metadata:\n  version: 1\n"
    )
    values = {}
    for name, model in (
        ("dense", load_model(DENSE, dtype=torch.float32)),
        ("masked", setting.masked["mild"]),
        ("pruned", load_model(setting.folder["mild"], dtype=torch.float32)),
    ):
        wrapped = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=4, max_length=256)
        result = simple_evaluate(wrapped, tasks=["espalier_local"], task_manager=TaskManager(include_path=str(task)),
                                 bootstrap_iters=0)  # fmt: skip
        values[name] = result["results"]["espalier_local"]["byte_perplexity,none"]
    assert abs(values["pruned"] / values["masked"] - 1) < 1e-4 and values["dense"] < values["pruned"]
    return "byte perplexity: " + ", ".join(f"{name} {value:.4f}" for name, value in values.items())


def gguf_package(setting):
    from gguf import GGUFReader, dequantize

    reader = GGUFReader(setting.export("groups", "gguf", "package.gguf", "--gguf-type", "q8_0"))
    exact = GGUFReader(setting.export("groups", "gguf", "exact.gguf", "--gguf-type", "f32"))
    worst = 0.0
    for small, full in zip(reader.tensors, exact.tensors):
        assert small.name == full.name and list(small.shape) == list(full.shape)
        values = dequantize(full.data, full.tensor_type)
        error = np.abs(dequantize(small.data, small.tensor_type) - values).max() / max(np.abs(values).max(), 1e-9)
        worst = max(worst, float(error))
    assert worst < 0.005, worst
    return f"{len(reader.tensors)} tensors, {len(reader.fields)} fields; Q8_0 within {100 * worst:.2f} % of the largest value"


def llama_perplexity(setting, path):
    """Over the windows of `espalier evaluate`; and 16 greedy tokens."""
    from llama_cpp import Llama

    model = Llama(str(path), n_ctx=LENGTH, n_batch=LENGTH, logits_all=True, verbose=False, n_gpu_layers=0)
    total = count = 0
    for start in evaluation_windows(len(setting.tokens), LENGTH, 0):
        window = [int(token) for token in setting.tokens[start : start + LENGTH]]
        model.reset()
        model.eval(window)
        scores = torch.from_numpy(np.array(model.scores[: LENGTH - 1])).double().log_softmax(-1)
        total -= scores[torch.arange(LENGTH - 1), torch.tensor(window[1:])].sum().item()
        count += LENGTH - 1
    model.reset()
    prompt = [int(token) for token in setting.tokens[:16]]
    generated = []
    for token in model.generate(prompt, top_k=1, temp=0.0, repeat_penalty=1.0):
        generated.append(token)
        if len(generated) == 16:
            break
    text = "A line of text, then another.\n"
    same_ids = model.tokenize(text.encode(), add_bos=False, special=False)
    assert same_ids == AutoTokenizer.from_pretrained(DENSE)(text, add_special_tokens=False)["input_ids"]
    return math.exp(total / count), prompt, generated


def llama_row(setting, kind):
    path = setting.export("mild", "gguf", f"llama-{kind}.gguf", "--gguf-type", kind)
    ours = setting.our_perplexity("mild")
    theirs, prompt, generated = llama_perplexity(setting, path)
    assert abs(theirs / ours - 1) < 0.005, (theirs, ours)
    ids = torch.tensor([prompt])
    expected = setting.masked["mild"].generate(
        ids, max_new_tokens=16, do_sample=False, attention_mask=torch.ones_like(ids), pad_token_id=0
    )[0, 16:].tolist()
    same = sum(a == b for a, b in zip(generated, expected))
    assert kind == "q8_0" or same == len(expected), (generated, expected)
    return f"perplexity {theirs:.4f}, ours {ours:.4f} ({100 * (theirs / ours - 1):+.3f} %); {same} of 16 greedy tokens equal"


def llama_f32(setting):
    return llama_row(setting, "f32")


def llama_q8(setting):
    return llama_row(setting, "q8_0")


def llama_family(variant, feature):
    """A small random model: its logits say more than its perplexity does."""

    def row(setting):
        from llama_cpp import Llama

        make_model.VARIANTS[variant] = VARIANTS[variant]
        make_model.make_variant(variant, setting.root / f"dense-{variant}", seed=3)
        masked, setting.folder[variant] = setting.make(variant, FAMILY, setting.root / f"dense-{variant}")
        path = setting.export(variant, "gguf", f"{variant}.gguf", "--gguf-type", "f32", "--without-tokenizer")
        length = 64  # the window of Mistral here is the longest that the file allows
        ids = [int(token) for token in torch.randint(0, masked.config.vocab_size, (length,), generator=torch.Generator().manual_seed(1))]
        model = Llama(str(path), n_ctx=length, n_batch=length, logits_all=True, verbose=False, n_gpu_layers=0)
        model.eval(ids)
        found = torch.from_numpy(np.array(model.scores[:length])).double()
        with torch.no_grad():
            expected = masked(torch.tensor([ids])).logits[0].double()
        error = ((found - expected).norm() / expected.norm()).item()
        best = (found.argmax(-1) == expected.argmax(-1)).double().mean().item()
        assert error < 2e-3, error  # llama.cpp keeps keys and values in half precision
        return f"{feature}: logits within {100 * error:.3f} % of the masked dense model (norm), the likeliest token equal at {100 * best:.0f} %"

    return row


def reader_row(setting, name, runtime, reader):
    output = setting.export(name, runtime, runtime)
    with torch.no_grad():
        found = torch.stack([reader(output, row) for row in setting.ids[:4]])
        expected = setting.masked[name](setting.ids[:4]).logits
    difference = (found - expected).abs().max().item()
    assert difference < 1e-3, difference
    return f"logits within {difference:.1e} of the masked dense model"


def nemotron_row(setting):
    return reader_row(setting, "whole", "nemotron-nas", nemotron_nas)


def vllm_row(setting):
    """The same folder in vLLM's own code, which has an interpreter of its own (tools/setup_interop.sh)."""
    python = ROOT / ".deps/vllm/bin/python"
    if not python.exists():
        raise ImportError("tools/setup_interop.sh makes .deps/vllm")
    folder, ids, logits = setting.export("whole", "nemotron-nas", "vllm"), setting.root / "ids.npy", setting.root / "logits.npy"
    np.save(ids, setting.ids[:4].numpy())
    who = setting.run(python, ROOT / "tests/interop/in_vllm.py", folder, ids, logits).splitlines()[-1]
    with torch.no_grad():
        difference = (torch.from_numpy(np.load(logits)) - setting.masked["whole"](setting.ids[:4]).logits).abs().max().item()
    assert difference < 1e-3, difference
    return f"logits within {difference:.1e} of the masked dense model, by {who}"


def any_model_row(setting):
    return reader_row(setting, "groups", "vllm-anymodel", any_model)


ROWS = {
    "transformers-logits": ("huggingface", "transformers", transformers_logits),
    "transformers-generation": ("huggingface", "transformers: generate", transformers_generation),
    "transformers-saving": ("huggingface", "transformers: save_pretrained", transformers_saving),
    "transformers-device-map": ("huggingface", "transformers: device_map", transformers_device_map),
    "transformers-bf16": ("huggingface", "transformers: bf16", transformers_bf16),
    "transformers-trainer": ("huggingface", "transformers: Trainer", transformers_trainer),
    "peft": ("huggingface", "PEFT: LoRA", peft_step),
    "lm-eval": ("huggingface", "lm-evaluation-harness", lm_eval_row),
    "gguf-package": ("gguf", "gguf package", gguf_package),
    "llama-f32": ("gguf f32", "llama-cpp-python", llama_f32),
    "llama-q8": ("gguf q8_0", "llama-cpp-python", llama_q8),
    "llama-llama3-rope": ("gguf f32", "llama-cpp-python", llama_family("wide-llama3", "Llama, rope llama3")),
    "llama-linear-rope": ("gguf f32", "llama-cpp-python", llama_family("wide-linear", "Llama, rope linear")),
    "llama-biases": ("gguf f32", "llama-cpp-python", llama_family("wide-biases", "Llama, biases everywhere")),
    "llama-qwen2": ("gguf f32", "llama-cpp-python", llama_family("wide-qwen2", "Qwen2, QKV biases, tied")),
    "llama-mistral": ("gguf f32", "llama-cpp-python", llama_family("wide-mistral", "Mistral, heads of 20")),
    "nemotron-nas": ("nemotron-nas", "reader by vLLM's rules", nemotron_row),
    "vllm": ("nemotron-nas", "vLLM's loader and model", vllm_row),
    "vllm-anymodel": ("vllm-anymodel", "reader by AnyModel's rules", any_model_row),
}


@contextlib.contextmanager
def said_into(path):
    """What the tools say of themselves would stand between the rows: it goes into a file, also what their C++ says."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(path, "w") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)


def main():
    write_export, espalier, *wanted = sys.argv[1:]
    failed = []
    with tempfile.TemporaryDirectory(prefix="espalier-interop-") as root:
        setting = Setting(pathlib.Path(root), write_export, espalier)
        print(f"{'export':<14} {'tool':<30} {'loaded':<7} numbers", flush=True)
        for key in wanted or ROWS:
            export, tool, check = ROWS[key]
            said = setting.root / f"{key}.log"
            try:
                with said_into(said):
                    loaded, numbers = "yes", check(setting)
            except ImportError as error:
                loaded, numbers = "no", f"NOT INSTALLED: {error}"
            except Exception as error:  # each row says what is wrong, and the others still run
                loaded, numbers = "no", f"FAILED: {type(error).__name__}: {str(error).strip()[:300]}"
            if loaded == "no":
                failed.append(key)
            print(f"{export:<14} {tool:<30} {loaded:<7} {numbers}", flush=True)
            if loaded == "no":
                print("".join(said.read_text(errors="replace").splitlines(keepends=True)[-20:]), file=sys.stderr)
    if failed:
        print(f"{len(failed)} of {len(wanted or ROWS)} rows failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
