"""Configuration of a model pruned by Espalier: a Llama-like decoder whose layers may differ in width.

The global fields are the dense model's. `per_layer_config` is transformers' sparse map from a layer to what differs
there: `num_attention_heads`, `num_key_value_heads`, `intermediate_size`, and `skip` with "attention" or "mlp" where the
unit was removed. `query_to_kv` is our own: which KV head each query head of the layer reads, where they do not share
them evenly.
"""

from typing import ClassVar

from transformers.configuration_utils import PreTrainedConfig

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
LAYER_KEYS = {"num_attention_heads", "num_key_value_heads", "intermediate_size", "query_to_kv", "skip"}
ATTENTION_KEYS = {"num_attention_heads", "num_key_value_heads", "query_to_kv"}


class EspalierConfig(PreTrainedConfig):
    model_type: ClassVar[str] = "espalier"
    keys_to_ignore_at_inference: ClassVar[list] = ["past_key_values"]

    base_model_type: str = "llama"
    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    query_to_kv: list | None = None
    hidden_act: str = "silu"
    max_position_embeddings: int = 2048
    initializer_range: float = 0.02
    rms_norm_eps: float = 1e-6
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list | None = None
    tie_word_embeddings: bool = False
    rope_parameters: dict | None = None
    attention_bias: bool = False
    mlp_bias: bool = False
    sliding_window: int | None = None
    attention_dropout: float = 0.0

    def __post_init__(self, **kwargs):
        if self.base_model_type not in FAMILIES:
            raise ValueError(f"base_model_type is {self.base_model_type!r}, which is none of {FAMILIES}")
        if self.hidden_act != "silu":
            raise ValueError(f"hidden_act is {self.hidden_act!r}; only 'silu' is supported")
        if self.num_key_value_heads is None:
            self.num_key_value_heads = self.num_attention_heads
        if self.head_dim is None:
            self.head_dim = self.hidden_size // self.num_attention_heads
        check_per_layer_config(kwargs.get("per_layer_config"), self.num_hidden_layers)
        super().__post_init__(**kwargs)

    @property
    def qkv_bias(self):
        """Whether the query, key and value projections have a bias, as the family has it."""
        return self.base_model_type == "qwen2" or self.attention_bias

    @property
    def output_bias(self):
        """Whether the attention's output projection has a bias."""
        return self.attention_bias and self.base_model_type in ("llama", "qwen3")

    @property
    def qk_norm(self):
        """Whether queries and keys are normalised by head."""
        return self.base_model_type == "qwen3"


def check_per_layer_config(per_layer_config, num_layers):
    """Refuses what the modelling code would not read: a silent difference would be another model."""
    for key, entry in (per_layer_config or {}).items():
        where = f"per_layer_config[{key!r}]"
        if not str(key).isdecimal() or int(key) >= num_layers:
            raise ValueError(f"{where} is no layer; the model has {num_layers}")
        unknown = set(entry) - LAYER_KEYS
        if unknown:
            raise ValueError(f"{where} has keys that are not supported: {sorted(unknown)}")
        skip = set(entry.get("skip", ()))
        if skip - {"attention", "mlp"}:
            raise ValueError(f"{where} skips {sorted(skip)}; known are 'attention' and 'mlp'")
        if "attention" in skip and ATTENTION_KEYS & set(entry):
            raise ValueError(f"{where} skips the attention and yet gives {sorted(ATTENTION_KEYS & set(entry))}")
        if "mlp" in skip and "intermediate_size" in entry:
            raise ValueError(f"{where} skips the mlp and yet gives its intermediate_size")


__all__ = ["EspalierConfig"]
