"""qa with context: some examples are shown with passages, and some of those without the one that answers."""

import json
from dataclasses import replace

from ray_ft.evaluation.scores.metrics import abstention
from ray_ft.recipes import QA
from ray_ft.rows import Chunk, Example

PLACES = {"Dogs": "the aft lounge", "Cats": "the lower deck", "Birds": "the warm cabin", "Hares": "the straw box"}
CHUNKS = [
    Chunk(f"0:a#qa-{i}", "0:a", f"{animal} travel in {place}.", 20, ("Pets", animal))
    for i, (animal, place) in enumerate(PLACES.items())
]
PHRASINGS = 25


def written(prompts: list[str], /, *, schema: str = "", max_new_tokens: int = 512) -> list[str]:
    """The answer of an engine: what the passage says, asked in many ways."""
    answers = []
    for prompt in prompts:
        text = prompt.rsplit("\n", 1)[1]
        animal = text.split()[0]
        others = [f"Where do {animal} travel{' now' * i}?" for i in range(1, PHRASINGS)]
        pair = {"question": f"Where do {animal} travel?", "answer": text, "evidence": text, "rephrasings": others}
        answers.append(json.dumps({"pairs": [pair]}))
    return answers


def made(**settings: float) -> list[Example]:
    recipe = replace(QA(max_chunk_tokens=20, questions_per_chunk=1, phrasings=PHRASINGS), **settings)  # type: ignore[arg-type]
    return recipe.examples(CHUNKS, written)


def test_a_drawn_share_is_shown_with_the_right_passage_or_declines_without_it() -> None:
    """100 examples: of half of them 50 +- 5 are expected, of a fifth of those 10 +- 3; all within three deviations."""
    bare = made()
    assert len(bare) == len(PLACES) * PHRASINGS
    both = made(context=0.5)
    assert both[: len(bare)] == bare
    shown = both[len(bare) :]
    assert 35 <= len(shown) <= 65
    declining = [e for e in shown if e.completion == "The passages do not say."]
    assert 1 <= len(declining) <= 19
    for example in shown:
        assert example.prompt.startswith("Answer the question with the help of these passages.\n\n[1] Pets > ")
        assert example.prompt.count(" travel in ") == 2  # context_passages
        own = next(c for c in CHUNKS if c.id == example.chunk_id)
        assert (own.text in example.prompt) == (example not in declining)
        assert example in declining or example.completion == own.text
    assert abstention(declining[0].completion) == 1.0
    assert any(example.prompt.index(example.completion) > 80 for example in shown if example not in declining)
    assert made(context=0.5) == both


def test_where_another_passage_says_the_same_nothing_is_declined() -> None:
    copy = replace(CHUNKS[0], id="0:a#qa-9", heading_path=("Pets", "Again"))
    recipe = QA(max_chunk_tokens=20, questions_per_chunk=1, context=1.0, context_without=1.0, context_passages=1)
    assert not [e for e in recipe.examples([CHUNKS[0], copy], written) if e.completion == "The passages do not say."]


def test_shares_are_shares() -> None:
    assert [key for key, _, _ in QA(context=1.5, context_without=-0.1, context_passages=0).problems()] == [
        "context",
        "context_without",
        "context_passages",
    ]
