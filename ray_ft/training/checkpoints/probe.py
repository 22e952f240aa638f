"""What the model says in the middle of training, for those who load its adapter to compare: `engines/probe.py`.

Every rank takes part, because ZeRO-3 gathers weights in each forward pass. One pass of a few short prompts, without
dropout and without a random number, so a run ends in the same weights as without it.
"""

from functools import lru_cache

from ray_ft.engines.probe import MAX_TOKENS, NUM_LIKELIEST, TEXTS, Place, Probe, arithmetic_of
from ray_ft.kernels.attention import packed_lengths
from ray_ft.models.tokenizer import load_tokenizer
from ray_ft.training.backends.acceleration import uncompiled
from ray_ft.training.backends.base import Engine
from ray_ft.training.task import TrainingTask


def take_probe(engine: Engine, task: TrainingTask) -> Probe:
    """The likeliest next tokens at three places of each prompt; all ranks call it. The engine trains again after it."""
    import torch

    prompts = _prompts(task.base_path)
    device = next(engine.module.parameters()).device
    ids = torch.tensor(prompts, device=device)
    length = ids.shape[1]
    lengths = sorted({max(1, length // 3), max(1, 2 * length // 3), length})
    positions = torch.arange(length, device=device).repeat(len(prompts), 1)
    places = torch.tensor(lengths, device=device) - 1
    engine.eval()
    with torch.no_grad(), uncompiled():
        output = engine(
            input_ids=ids, position_ids=positions, use_cache=False, logits_to_keep=places, **packed_lengths(positions)
        )
        values, tokens = output.logits.float().log_softmax(dim=-1).topk(NUM_LIKELIEST, dim=-1)
    engine.train()
    found = tuple(
        Place(tuple(prompt[:size]), tuple(zip(tokens[row, at].tolist(), values[row, at].tolist(), strict=True)))
        for row, prompt in enumerate(prompts)
        for at, size in enumerate(lengths)
    )
    return Probe(found, arithmetic_of(task.precision, is_quantised=task.strategy.is_quantised), task.about_base)


@lru_cache(maxsize=1)
def _prompts(base_path: str) -> list[list[int]]:
    """Token ids, all of one length, so that nothing is filled up."""
    tokenizer = load_tokenizer(base_path)
    start = [] if tokenizer.bos_token_id is None else [int(tokenizer.bos_token_id)]
    texts = [start + list(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in TEXTS]
    length = min(MAX_TOKENS, *map(len, texts))
    return [ids[:length] for ids in texts]
