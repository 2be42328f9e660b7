"""A Llama-like decoder whose layers may differ in width, for models pruned by Espalier.

Each layer is built from its own entry of the configuration (`config.per_layer_config[i]`). Removed units do not exist:
no module, no norm, no place in the cache. The attention layers' places in the cache are counted among themselves, so
that place 0 always knows the sequence length, also when layer 0 has no attention.

Shape letters: B rows, L positions, D hidden, H query heads, G KV heads, K head size, F FFN width, V vocabulary.
"""

import torch
from torch import nn
from transformers.cache_utils import DynamicCache
from transformers.generation import GenerationMixin
from transformers.masking_utils import create_causal_mask, create_sliding_window_causal_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel

from .configuration_espalier import EspalierConfig


class EspalierRMSNorm(nn.Module):
    def __init__(self, size, eps):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.variance_epsilon = eps

    def forward(self, hidden):
        wide = hidden.to(torch.float32)
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        return self.weight * wide.to(hidden.dtype)


class EspalierRotaryEmbedding(nn.Module):
    """Cosines and sines of the positions; types default, linear and llama3."""

    def __init__(self, config, device=None):
        super().__init__()
        self.config = config
        self.rope_type = config.rope_parameters["rope_type"]
        if self.rope_type not in ("default", "linear", "llama3"):
            raise ValueError(f"rope type {self.rope_type!r} is not supported")
        frequencies_K, self.attention_scaling = self.compute_frequencies(config, device)
        self.register_buffer("inv_freq", frequencies_K, persistent=False)
        self.register_buffer("original_inv_freq", frequencies_K.clone(), persistent=False)

    @staticmethod
    def compute_default_rope_parameters(config, device=None, **kwargs):
        exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float, device=device) / config.head_dim
        return 1.0 / (config.rope_parameters["rope_theta"] ** exponents), 1.0

    @classmethod
    def compute_frequencies(cls, config, device=None):
        rope_type = config.rope_parameters["rope_type"]
        if rope_type == "default":
            return cls.compute_default_rope_parameters(config, device)
        return ROPE_INIT_FUNCTIONS[rope_type](config, device)

    @torch.no_grad()
    def forward(self, hidden, position_ids):
        angles = position_ids[..., None].float() * self.inv_freq.to(device=hidden.device, dtype=torch.float)
        angles = torch.cat((angles, angles), dim=-1)
        cos = angles.cos() * self.attention_scaling
        sin = angles.sin() * self.attention_scaling
        return cos.to(hidden.dtype), sin.to(hidden.dtype)


def rotate(states, cos, sin):
    half = states.shape[-1] // 2
    rotated = torch.cat((-states[..., half:], states[..., :half]), dim=-1)
    return states * cos.unsqueeze(1) + rotated * sin.unsqueeze(1)


def eager_attention(module, query, key, value, attention_mask, scaling, dropout=0.0, **kwargs):
    groups = module.num_key_value_groups
    key = key.repeat_interleave(groups, dim=1)
    value = value.repeat_interleave(groups, dim=1)
    weights = torch.matmul(query, key.transpose(2, 3)) * scaling
    if attention_mask is not None:
        weights = weights + attention_mask[..., : key.shape[-2]]
    weights = nn.functional.softmax(weights, dim=-1, dtype=torch.float32).to(query.dtype)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


class EspalierAttention(nn.Module):
    """`layer` is the layer's own configuration, `cache_index` its place among the layers that have attention."""

    def __init__(self, config, layer, layer_idx, cache_index):
        super().__init__()
        heads, kv_heads, size = layer.num_attention_heads, layer.num_key_value_heads, config.head_dim
        self.config = config
        self.layer_idx = layer_idx
        self.cache_index = cache_index
        self.head_dim = size
        self.scaling = size**-0.5
        self.attention_dropout = config.attention_dropout
        self.is_causal = True
        self.sliding_window = config.sliding_window
        self.query_to_kv = self.check_query_to_kv(layer, heads, kv_heads, layer_idx)
        self.kv_index_H = None
        self.num_key_value_groups = heads // kv_heads if self.query_to_kv is None else 1
        self.q_proj = nn.Linear(config.hidden_size, heads * size, bias=config.qkv_bias)
        self.k_proj = nn.Linear(config.hidden_size, kv_heads * size, bias=config.qkv_bias)
        self.v_proj = nn.Linear(config.hidden_size, kv_heads * size, bias=config.qkv_bias)
        self.o_proj = nn.Linear(heads * size, config.hidden_size, bias=config.output_bias)
        if config.qk_norm:
            self.q_norm = EspalierRMSNorm(size, config.rms_norm_eps)
            self.k_norm = EspalierRMSNorm(size, config.rms_norm_eps)
        else:
            self.q_norm = self.k_norm = None

    @staticmethod
    def check_query_to_kv(layer, heads, kv_heads, layer_idx):
        mapping = layer.query_to_kv
        if mapping is None:
            if heads % kv_heads != 0:
                raise ValueError(f"layer {layer_idx}: {heads} query and {kv_heads} KV heads need query_to_kv")
            return None
        if len(mapping) != heads or min(mapping) < 0 or max(mapping) >= kv_heads:
            raise ValueError(f"layer {layer_idx}: query_to_kv {mapping} fits no {heads} query and {kv_heads} KV heads")
        return tuple(mapping)

    def kv_index(self, device):
        # Kept out of the buffers, which loading may leave uninitialised.
        if self.kv_index_H is None or self.kv_index_H.device != device:
            self.kv_index_H = torch.tensor(self.query_to_kv, device=device)
        return self.kv_index_H

    def forward(self, hidden_states, position_embeddings, attention_mask=None, past_key_values=None, **kwargs):
        rows, positions = hidden_states.shape[:2]
        by_head = (rows, positions, -1, self.head_dim)
        query = self.q_proj(hidden_states).view(by_head)
        key = self.k_proj(hidden_states).view(by_head)
        value = self.v_proj(hidden_states).view(by_head).transpose(1, 2)
        if self.q_norm is not None:
            query, key = self.q_norm(query), self.k_norm(key)
        cos, sin = position_embeddings
        query = rotate(query.transpose(1, 2), cos, sin)
        key = rotate(key.transpose(1, 2), cos, sin)
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self.cache_index)
        if self.query_to_kv is not None:
            # Query heads share the KV heads unevenly: each gets a copy of its own, after the cache.
            index_H = self.kv_index(key.device)
            key, value = key.index_select(1, index_H), value.index_select(1, index_H)
        attend = eager_attention
        if self.config._attn_implementation != "eager":
            attend = ALL_ATTENTION_FUNCTIONS[self.config._attn_implementation]
        options = {"scaling": self.scaling, "dropout": self.attention_dropout if self.training else 0.0}
        output, weights = attend(
            self, query, key, value, attention_mask, sliding_window=self.sliding_window, **options, **kwargs
        )
        return self.o_proj(output.reshape(rows, positions, -1).contiguous()), weights


class EspalierMLP(nn.Module):
    def __init__(self, config, layer):
        super().__init__()
        width = layer.intermediate_size
        self.gate_proj = nn.Linear(config.hidden_size, width, bias=config.mlp_bias)
        self.up_proj = nn.Linear(config.hidden_size, width, bias=config.mlp_bias)
        self.down_proj = nn.Linear(width, config.hidden_size, bias=config.mlp_bias)

    def forward(self, hidden):
        return self.down_proj(nn.functional.silu(self.gate_proj(hidden)) * self.up_proj(hidden))


class EspalierDecoderLayer(GradientCheckpointingLayer):
    def __init__(self, config, layer, layer_idx, cache_index):
        super().__init__()
        skip = getattr(layer, "skip", ())
        self.self_attn = self.input_layernorm = self.mlp = self.post_attention_layernorm = None
        if "attention" not in skip:
            self.input_layernorm = EspalierRMSNorm(config.hidden_size, config.rms_norm_eps)
            self.self_attn = EspalierAttention(config, layer, layer_idx, cache_index)
        if "mlp" not in skip:
            self.post_attention_layernorm = EspalierRMSNorm(config.hidden_size, config.rms_norm_eps)
            self.mlp = EspalierMLP(config, layer)

    def forward(self, hidden_states, attention_mask=None, past_key_values=None, position_embeddings=None, **kwargs):
        weights = None
        if self.self_attn is not None:
            output, weights = self.self_attn(
                self.input_layernorm(hidden_states),
                position_embeddings=position_embeddings,
                attention_mask=attention_mask,
                past_key_values=past_key_values,
                **kwargs,
            )
            hidden_states = hidden_states + output
        if self.mlp is not None:
            hidden_states = hidden_states + self.mlp(self.post_attention_layernorm(hidden_states))
        return hidden_states, weights


class EspalierPreTrainedModel(PreTrainedModel):
    config_class = EspalierConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _no_split_modules = ["EspalierDecoderLayer"]
    _skip_keys_device_placement = ["past_key_values"]
    _supports_flash_attn = True
    _supports_sdpa = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True

    @classmethod
    def from_pretrained(cls, *args, output_loading_info=False, **kwargs):
        # transformers makes up weights that a folder lacks, with a warning only.
        model, info = super().from_pretrained(*args, output_loading_info=True, **kwargs)
        wrong = [f"{name} is missing" for name in sorted(info["missing_keys"])]
        unexpected = sorted(name for name in info["unexpected_keys"] if "layers." in name)
        wrong += [f"{name} belongs to no unit" for name in unexpected]
        wrong += [f"{key[0]} has another shape" for key in sorted(info["mismatched_keys"])]
        if wrong:
            more = f" and {len(wrong) - 1} more" if wrong[1:] else ""
            raise ValueError(f"the weights do not fit config.json: {wrong[0]}{more}")
        return (model, info) if output_loading_info else model


class EspalierModel(EspalierPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        layers = list(config.per_layer_config)
        if len(layers) != config.num_hidden_layers:
            raise ValueError(
                f"per_layer_config describes {len(layers)} layers, the model has {config.num_hidden_layers}"
            )
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, config.pad_token_id)
        self.layers = nn.ModuleList()
        self.num_attention_layers = 0
        for index, layer in enumerate(layers):
            self.layers.append(EspalierDecoderLayer(config, layer, index, self.num_attention_layers))
            self.num_attention_layers += self.layers[-1].self_attn is not None
        self.norm = EspalierRMSNorm(config.hidden_size, config.rms_norm_eps)
        self.rotary_emb = EspalierRotaryEmbedding(config)
        self.gradient_checkpointing = False
        self.post_init()

    def make_mask(self, hidden, attention_mask, past_key_values, position_ids):
        if self.num_attention_layers == 0 or isinstance(attention_mask, dict):
            return None
        make = create_causal_mask if self.config.sliding_window is None else create_sliding_window_causal_mask
        return make(
            config=self.config,
            inputs_embeds=hidden,
            attention_mask=attention_mask,
            past_key_values=past_key_values,
            position_ids=position_ids,
        )

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        position_ids=None,
        past_key_values=None,
        inputs_embeds=None,
        use_cache=None,
        output_attentions=None,
        output_hidden_states=None,
        return_dict=None,
        **kwargs,
    ):
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give exactly one of input_ids and inputs_embeds")
        use_cache = self.config.use_cache if use_cache is None else use_cache
        output_attentions = self.config.output_attentions if output_attentions is None else output_attentions
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        if self.gradient_checkpointing and self.training:
            use_cache = False
        hidden = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        if position_ids is None:
            seen = past_key_values.get_seq_length() if past_key_values is not None else 0
            position_ids = (torch.arange(hidden.shape[1], device=hidden.device) + seen).unsqueeze(0)
        mask = self.make_mask(hidden, attention_mask, past_key_values, position_ids)
        position_embeddings = self.rotary_emb(hidden, position_ids)
        all_hidden, all_weights = [], []
        for layer in self.layers:
            all_hidden.append(hidden)
            hidden, weights = layer(
                hidden,
                attention_mask=mask,
                past_key_values=past_key_values,
                position_embeddings=position_embeddings,
                **kwargs,
            )
            all_weights.append(weights)
        hidden = self.norm(hidden)
        output = BaseModelOutputWithPast(
            last_hidden_state=hidden,
            past_key_values=past_key_values if use_cache else None,
            hidden_states=(*all_hidden, hidden) if output_hidden_states else None,
            attentions=tuple(all_weights) if output_attentions else None,
        )
        return output if return_dict is None or return_dict else output.to_tuple()


class EspalierForCausalLM(EspalierPreTrainedModel, GenerationMixin):
    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}

    def __init__(self, config):
        super().__init__(config)
        self.model = EspalierModel(config)
        self.vocab_size = config.vocab_size
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        position_ids=None,
        past_key_values=None,
        inputs_embeds=None,
        labels=None,
        use_cache=None,
        output_attentions=None,
        output_hidden_states=None,
        return_dict=None,
        logits_to_keep=0,
        **kwargs,
    ):
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            use_cache=use_cache,
            output_attentions=output_attentions,
            output_hidden_states=output_hidden_states,
            **{name: value for name, value in kwargs.items() if name != "num_items_in_batch"},
        )
        keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, keep, :])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs)
        output = CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )
        return output if return_dict is None or return_dict else output.to_tuple()

    def _get_static_cache_init_shape(self):
        # The cache's places are counted among the attention layers, so its tensors are made at the first use.
        return None


__all__ = ["EspalierForCausalLM", "EspalierModel", "EspalierPreTrainedModel"]
