"""Prints a continuation of a prompt by a model folder, with transformers: python3 generate.py FOLDER [PROMPT]."""

import sys

import torch
import transformers


def main() -> None:
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: generate.py FOLDER [PROMPT]")
    folder = sys.argv[1]
    prompt = sys.argv[2] if len(sys.argv) == 3 else "The old man looked at the sea and"
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    # An export carries its own modelling code, written by espalier; the folder is one that you made yourself.
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True, dtype=torch.float32)
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=f"{folder}/tokenizer.json")
    tokens = tokenizer(prompt, return_tensors="pt").input_ids
    torch.manual_seed(0)
    output = model.eval().generate(tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=40, do_sample=True,
                                   temperature=0.7, top_k=40, pad_token_id=0)
    print(" ".join(tokenizer.decode(output[0], skip_special_tokens=True).split()))


if __name__ == "__main__":
    main()
