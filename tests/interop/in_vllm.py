"""Logits by vLLM's own code: in_vllm.py FOLDER IDS.npy LOGITS.npy, with the interpreter of .deps/vllm.

vLLM reads the configuration, chooses the class, builds it, maps and loads the tensors and computes the forward pass: all by
its code (ModelConfig, the registry, nemotron_nas.py, the default loader). Its wheel is made for GPUs, so on a CPU

- the platform is set to vLLM's CPU platform, which the wheel would not choose by itself;
- the one CUDA operator that the CPU path looks up without calling it is declared;
- the paged attention kernel, which the wheel has only for GPUs, is replaced by torch's scaled_dot_product_attention, with
  vLLM's numbers of heads, head size and scale.
"""

import os
import sys
import tempfile

os.environ.update(HF_HUB_OFFLINE="1", VLLM_LOGGING_LEVEL="ERROR", VLLM_NO_USAGE_STATS="1", VLLM_TARGET_DEVICE="cpu")

import numpy as np
import torch
import vllm.platforms
from vllm.platforms.cpu import CpuPlatform

vllm.platforms._current_platform = CpuPlatform()
torch.library.define("_C::silu_and_mul", "(Tensor! out, Tensor x) -> ()")

from vllm.config import CompilationConfig, DeviceConfig, LoadConfig, ModelConfig, VllmConfig, set_current_vllm_config
from vllm.distributed import init_distributed_environment, initialize_model_parallel
from vllm.forward_context import set_forward_context
from vllm.model_executor.layers.attention import Attention
from vllm.model_executor.model_loader import get_model


class CausalAttention(torch.nn.Module):
    """One sequence, [length, heads * size]."""

    def __init__(self, paged):
        super().__init__()
        self.size, self.scale = paged.head_size, paged.impl.scale

    def forward(self, query, key, value):
        length = query.shape[0]
        heads = [x.view(1, length, -1, self.size).transpose(1, 2) for x in (query, key, value)]
        mixed = torch.nn.functional.scaled_dot_product_attention(*heads, is_causal=True, scale=self.scale, enable_gqa=True)
        return mixed[0].transpose(0, 1).reshape(length, -1)


def replace_attention(module):
    for name, child in module.named_children():
        if isinstance(child, Attention):
            setattr(module, name, CausalAttention(child))
        else:
            replace_attention(child)


def main():
    folder, ids, output = sys.argv[1:]
    ids = torch.from_numpy(np.load(ids))
    config = VllmConfig(
        model_config=ModelConfig(
            model=folder, trust_remote_code=True, dtype="float32", enforce_eager=True, max_model_len=ids.shape[1]
        ),
        load_config=LoadConfig(use_tqdm_on_load=False),
        device_config=DeviceConfig("cpu"),
        compilation_config=CompilationConfig(custom_ops=["none"]),
    )
    rows = []
    with tempfile.TemporaryDirectory() as scratch, set_current_vllm_config(config), torch.no_grad():
        init_distributed_environment(1, 0, f"file://{scratch}/meeting", 0, backend="gloo")
        initialize_model_parallel(1, 1)
        model = get_model(vllm_config=config)
        replace_attention(model)
        with set_forward_context(None, config):
            for row in ids:
                rows.append(model.compute_logits(model(row, torch.arange(len(row)))).float())
        torch.distributed.destroy_process_group()
    np.save(output, torch.stack(rows).numpy())
    print(f"{type(model).__module__}.{type(model).__name__} of vLLM {vllm.__version__}")


if __name__ == "__main__":
    main()
