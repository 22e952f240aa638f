"""Questions that are trained with passages in front of them, as retrieval will put them (RAFT, arXiv 2403.10131)."""

import random
from collections.abc import Sequence
from dataclasses import replace

from ray_ft.recipes.grounding.check import ungrounded
from ray_ft.rows import Chunk, Example, passage_text, user_message

NOT_IN_PASSAGES = "The passages do not say."
"""What is trained where the right passage is missing; evaluation knows it as declining."""


def in_context(
    examples: Sequence[Example], chunks: Sequence[Chunk], *, share: float, num_passages: int, without: float
) -> list[Example]:
    """A drawn share of the examples once more, with passages as evaluation shows them; each by its own hash.

    The passages are the right one and its neighbours; of a share `without`, the neighbours alone, and the answer is
    that they do not say.
    """
    places = {c.id: i for i, c in enumerate(chunks)}
    made = []
    for example in (e for e in examples if share and not e.dropped):
        lots = random.Random(f"{example.chunk_id}\0{example.prompt}")
        is_drawn, is_without = lots.random() < share, lots.random() < without
        place = places[example.chunk_id]
        nearest = sorted(range(len(chunks)), key=lambda i: abs(i - place))
        shown = nearest[1 : num_passages + 1] if is_without else nearest[:num_passages]
        texts = [passage_text(chunks[i]) for i in shown]
        # Where another passage says the same, declining would be wrong.
        is_said = is_without and any(not ungrounded(example.completion, t, question=example.prompt) for t in texts)
        if is_drawn and texts and not is_said:
            lots.shuffle(texts)
            one = replace(example, prompt=user_message(example.prompt, texts))
            made.append(replace(one, completion=NOT_IN_PASSAGES, evidence="") if is_without else one)
    return made
