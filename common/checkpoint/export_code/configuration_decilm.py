"""Configuration of a Nemotron-NAS folder written by Espalier: Llama's, and block_configs as objects.

Servers (vLLM, SGLang, TensorRT-LLM) bring the model's code and read block_configs[i].attention.no_op and so on by
attribute; config.json holds plain dictionaries.
"""

from transformers import LlamaConfig


class _Part:
    """One half of a layer. Only what config.json says is an attribute: vLLM tests for the presence of some."""

    def __init__(self, values):
        self.__dict__.update(values)

    def __eq__(self, other):
        return isinstance(other, _Part) and self.__dict__ == other.__dict__


class _Block:
    def __init__(self, attention, ffn):
        self.attention = _Part(attention)
        self.ffn = _Part(ffn)

    def __eq__(self, other):
        return isinstance(other, _Block) and self.__dict__ == other.__dict__

    def to_dict(self):
        return {"attention": dict(self.attention.__dict__), "ffn": dict(self.ffn.__dict__)}


class DeciLMConfig(LlamaConfig):
    model_type = "nemotron-nas"

    def __init__(self, block_configs=None, **kwargs):
        super().__init__(**kwargs)
        self.block_configs = [
            block if isinstance(block, _Block) else _Block(block["attention"], block["ffn"])
            for block in block_configs or []
        ]

    def to_dict(self):
        blocks, self.block_configs = self.block_configs, []
        try:
            result = super().to_dict()
        finally:
            self.block_configs = blocks
        result["block_configs"] = [block.to_dict() for block in blocks]
        return result


DeciLMConfig.register_for_auto_class("AutoConfig")
