"""A pruned model twice, without any of our C++: as the dense model of transformers with zeroed heads and neurons and
skipped units, and as the sliced tensors that an export of it holds."""

import dataclasses

import torch


@dataclasses.dataclass
class LayerMask:
    heads: list  # kept dense query heads; empty: the attention unit is removed
    neurons: list  # kept dense neurons; empty: the FFN unit is removed
    keep_kv_whole: bool = False


def kept_kv_heads(mask, config):
    groups = config.num_attention_heads // config.num_key_value_heads
    if mask.keep_kv_whole:
        return list(range(config.num_key_value_heads))
    return sorted({head // groups for head in mask.heads})


def query_to_kv(mask, config):
    kept = kept_kv_heads(mask, config)
    groups = config.num_attention_heads // config.num_key_value_heads
    return [kept.index(head // groups) for head in mask.heads]


def layer_shape(mask, config):
    """As the C++ tool that writes exports reads it."""
    mapping = query_to_kv(mask, config) if mask.heads else []
    return {
        "head_to_kv": mapping,
        "num_kv_heads": len(kept_kv_heads(mask, config)) if mask.heads else 0,
        "ffn_width": len(mask.neurons),
    }


def head_rows(heads, size):
    return torch.tensor([head * size + i for head in heads for i in range(size)], dtype=torch.long)


def mask_dense(model, masks):
    """Zeroes the columns that read removed heads and neurons; a removed unit adds nothing, so its biases go as well."""
    size = (
        model.config.head_dim
        if getattr(model.config, "head_dim", None)
        else model.config.hidden_size // model.config.num_attention_heads
    )
    with torch.no_grad():
        for layer, mask in zip(model.model.layers, masks):
            for linear, kept in (
                (layer.self_attn.o_proj, head_rows(mask.heads, size)),
                (layer.mlp.down_proj, torch.tensor(mask.neurons, dtype=torch.long)),
            ):
                zeros = torch.ones(linear.weight.shape[1], dtype=torch.bool)
                zeros[kept] = False
                linear.weight[:, zeros] = 0
                if len(kept) == 0 and linear.bias is not None:
                    linear.bias.zero_()


def sliced_tensors(model, masks):
    """The tensors of the physically smaller model, by Hugging Face name."""
    config = model.config
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    tensors = {name: tensor for name, tensor in model.state_dict().items() if "layers." not in name}
    if config.tie_word_embeddings:
        tensors.pop("lm_head.weight", None)
    for index, (layer, mask) in enumerate(zip(model.model.layers, masks)):
        prefix = f"model.layers.{index}."
        neurons = torch.tensor(mask.neurons, dtype=torch.long)
        query, key = head_rows(mask.heads, size), head_rows(kept_kv_heads(mask, config), size)
        rows = {"q_proj": query, "k_proj": key, "v_proj": key, "gate_proj": neurons, "up_proj": neurons}
        columns = {"o_proj": query, "down_proj": neurons}
        for name, tensor in layer.state_dict().items():
            of_attention = name.startswith(("self_attn.", "input_layernorm."))
            if not (mask.heads if of_attention else mask.neurons):
                continue
            part = name.split(".")[-2]
            if part in rows:
                tensor = tensor[rows[part]]
            elif part in columns and name.endswith("weight"):
                tensor = tensor[:, columns[part]]
            tensors[prefix + name] = tensor
    return {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
