"""What transformers makes of an exported folder, on the windows that `espalier evaluate` uses."""

import math

import numpy


def evaluation_windows(tokens_file, length, wanted):
    """`wanted` windows of `length` tokens, window floor(i * n / wanted) for each i, as common/domain/evaluation_windows.h has it."""
    tokens = numpy.load(tokens_file).astype(numpy.int64).reshape(-1)
    total = len(tokens) // length
    wanted = min(wanted, total)
    return numpy.stack([tokens[at * length:(at + 1) * length] for at in (i * total // wanted for i in range(wanted))])


def transformers_perplexity(folder, windows):
    """Perplexity in fp32, and the parameters that transformers counts."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True, dtype=torch.float32).eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for batch in torch.tensor(windows).split(16):
            logits = model(batch).logits[:, :-1]
            total += torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), batch[:, 1:].reshape(-1), reduction="sum").item()
            count += batch[:, 1:].numel()
    return math.exp(total / count), sum(p.numel() for p in model.parameters())
