"""What every recipe must keep: one suite over the registry, with a document and a source file of ordinary shape."""

import inspect
from pathlib import Path

import pytest

from ray_ft.config import parse_config
from ray_ft.data.formats import format_of
from ray_ft.errors import ConfigError
from ray_ft.recipes import RECIPES, Recipe
from ray_ft.rows import Chunk, Document, as_row, from_row

MARKDOWN = """# Operating the ferry

The ferry crosses the strait every 40 minutes. It carries 120 cars and takes `NorthPort` as its home harbour.

## Before departure

Check the ramp sensors, the ballast pumps and the passenger count. Départ interdit au-delà de 12 m/s de vent — 強風注意.

1. Read the wind gauge on the bridge.
2. Close the bow door and confirm the green lamp.
3. Report to harbour control on channel 12.

```python
def may_depart(wind_speed: float) -> bool:
    return wind_speed < 12.0
```

| Wind | Action |
|------|--------|
| < 12 | depart |
| >= 12 | wait |

## Emergency stop

Pull the red lever. Both engines stop within nine seconds, and the anchor drops when the depth allows it.
"""

PYTHON = '''"""Departure rules of the ferry."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Wind:
    """Wind over the deck, in metres per second."""

    speed: float
    gust: float

    def is_safe(self, limit: float = 12.0) -> bool:
        """Whether the ferry may leave: neither the mean wind nor the gusts exceed the limit.

        Gusts count for half.
        """
        # Harbour control agreed to this rule.
        return max(self.speed, math.sqrt(self.gust)) < limit


def crossing_minutes(distance_km: float, speed_knots: float) -> float:
    """Minutes for a crossing at constant speed."""
    return distance_km / (speed_knots * 1.852) * 60


def _undocumented(x):
    return [x for _ in range(3) if "é" in str(x)]
'''


def _document(path: str, text: str) -> Document:
    kind = format_of(path)
    assert kind is not None
    parsed = kind.parse(text)
    return Document(
        f"0123:{path}",
        parsed.text,
        path,
        kind.name,
        kind.language,
        parsed.blocks,
        parsed.metadata,
        parsed.definitions,
    )


DOCUMENTS = (_document("docs/ferry.md", MARKDOWN), _document("src/ferry.py", PYTHON))


def _count_words(text: str) -> int:
    """One token for four characters, rounded up: longer texts never count less."""
    return (len(text) + 3) // 4


def _chunks(recipe: Recipe) -> list[tuple[Document, list[Chunk]]]:
    return [(d, recipe.chunk(d, _count_words)) for d in DOCUMENTS if recipe.applies_to(d)]


@pytest.fixture(params=list(RECIPES))
def recipe(request: pytest.FixtureRequest) -> Recipe:
    return RECIPES[request.param]()


def test_a_recipe_is_named_as_it_is_registered(recipe: Recipe) -> None:
    assert RECIPES[recipe.name] is type(recipe)


def test_a_recipe_takes_at_least_one_kind_of_document_and_makes_examples(recipe: Recipe) -> None:
    examples = [e for _, chunks in _chunks(recipe) for e in recipe.examples(chunks, None)]
    assert examples
    assert all(e.completion.strip() and not e.dropped and e.recipe == recipe.name for e in examples)


@pytest.mark.parametrize("max_chunk_tokens", [8, 20, 64, 512])
def test_chunks_stand_in_their_document_and_keep_the_budget(recipe: Recipe, max_chunk_tokens: int) -> None:
    sized = type(recipe)(max_chunk_tokens=max_chunk_tokens)
    for document, chunks in _chunks(sized):
        for chunk in chunks:
            assert chunk.text == document.text[chunk.start : chunk.end]
            assert chunk.text.strip()
            assert chunk.num_tokens == _count_words(chunk.text) <= max_chunk_tokens


def test_chunk_ids_are_unique_and_begin_with_their_documents(recipe: Recipe) -> None:
    for document, chunks in _chunks(recipe):
        assert len({c.id for c in chunks}) == len(chunks)
        assert all(c.document_id == document.id and c.id.startswith(f"{document.id}#") for c in chunks)


def test_the_same_document_gives_the_same_examples(recipe: Recipe) -> None:
    first, second = ([recipe.examples(c, None) for _, c in _chunks(recipe)] for _ in range(2))
    assert first == second


def test_every_example_names_a_chunk_of_its_document(recipe: Recipe) -> None:
    for document, chunks in _chunks(recipe):
        ids = {c.id for c in chunks}
        assert all(e.chunk_id in ids and e.document_id == document.id for e in recipe.examples(chunks, None))


def test_an_empty_document_gives_nothing(recipe: Recipe) -> None:
    language = "python" if recipe.handles_code else ""
    assert recipe.chunk(Document("0:x", "", "x", "text", language), _count_words) == []
    assert recipe.examples([], None) == []


def test_an_engine_that_writes_nonsense_loses_no_example_silently(recipe: Recipe) -> None:
    for _, chunks in _chunks(recipe):
        for example in recipe.examples(chunks, lambda prompts, **_: ["", *["zqx 77"] * len(prompts)][: len(prompts)]):
            assert example.dropped or example.origin != "generated" or "zqx" not in example.completion


def test_chunks_and_examples_survive_the_way_through_arrow(recipe: Recipe) -> None:
    for _, chunks in _chunks(recipe):
        assert [from_row(Chunk, as_row(c)) for c in chunks] == chunks


def test_a_recipe_can_be_named_in_a_config(recipe: Recipe) -> None:
    raw = {"run_name": "x", "model": {"name": "m"}, "data": {"sources": ["docs"], "recipes": [recipe.name]}}
    assert parse_config(raw).data.recipes == (recipe,)


def test_a_chunk_budget_too_small_to_hold_a_sentence_is_refused(recipe: Recipe) -> None:
    recipes = [{"name": recipe.name, "max_chunk_tokens": 3}]
    raw = {"run_name": "x", "model": {"name": "m"}, "data": {"sources": ["docs"], "recipes": recipes}}
    with pytest.raises(ConfigError, match=r"data\.recipes\.0\.max_chunk_tokens: 3 must be at least 16"):
        parse_config(raw)


def test_a_recipe_is_one_file_of_at_most_120_lines_and_one_line_of_the_registry() -> None:
    folder = Path(inspect.getfile(Recipe)).parent
    registry = (folder / "__init__.py").read_text().splitlines()
    for name in RECIPES:
        source = Path(inspect.getfile(RECIPES[name]))
        lines = source.read_text().splitlines()
        assert len(lines) <= 120, f"{source.name} has {len(lines)} lines"
        assert sum(f"ray_ft.recipes.{source.stem} import" in line for line in registry) == 1


def test_a_file_of_a_dozen_lines_adds_a_recipe() -> None:
    source = """
from dataclasses import dataclass
from ray_ft.recipes.base import RECIPES, Recipe
from ray_ft.recipes.chunking.chunks import make_passages
from ray_ft.rows import Example

@RECIPES.register("shout")
@dataclass(frozen=True)
class Shout(Recipe):
    name: str = "shout"
    def chunk(self, document, count_tokens):
        return make_passages(document, recipe=self.name, max_tokens=self.max_chunk_tokens, count_tokens=count_tokens)
    def examples(self, chunks, generate):
        return [Example(c.text, c.text.upper(), c.id, c.document_id, self.name) for c in chunks]
"""
    try:
        exec(compile(source, "shout.py", "exec", dont_inherit=True), {"__name__": "shout"})
        raw = {"run_name": "x", "model": {"name": "m"}, "data": {"sources": ["docs"], "recipes": ["shout"]}}
        (shout,) = parse_config(raw).data.recipes
        chunks = shout.chunk(DOCUMENTS[0], _count_words)
        assert [e.completion for e in shout.examples(chunks, None)] == [c.text.upper() for c in chunks]
    finally:
        RECIPES._classes.pop("shout", None)
