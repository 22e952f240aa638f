"""Code as it is, and with a hole in the middle."""

from typing import Any

import pytest

from ray_ft.config import parse_config
from ray_ft.errors import ConfigError
from ray_ft.recipes import CodeRaw
from ray_ft.rows import Chunk

MARKS = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")
CHUNKS = [Chunk(f"0:a.py#code_raw-{i}", "0:a.py", f"def f{i}(x):\n    return x + {i}\n", 9) for i in range(200)]


def test_a_hole_moves_the_middle_behind_the_end_and_loses_no_character() -> None:
    for chunk, example in zip(CHUNKS, CodeRaw(fim_fraction=1.0).examples(CHUNKS, None), strict=True):
        before, _, rest = example.completion.removeprefix(MARKS[0]).partition(MARKS[1])
        after, _, middle = rest.partition(MARKS[2])
        assert before + middle + after == chunk.text
        assert middle
        assert example.marks == MARKS


def test_the_drawn_fraction_has_a_hole_and_the_same_chunks_have_it_again() -> None:
    first, second = (CodeRaw(fim_fraction=0.5).examples(CHUNKS, None) for _ in range(2))
    assert first == second
    assert 70 <= sum(bool(e.marks) for e in first) <= 130  # 100 expected, standard deviation 7
    assert all(e.completion == c.text for e, c in zip(first, CHUNKS, strict=True) if not e.marks)
    assert not any(e.marks for e in CodeRaw().examples(CHUNKS, None))


def test_code_that_spells_a_mark_is_left_as_it_is() -> None:
    chunk = Chunk("0:a.py#code_raw-0", "0:a.py", "TOKEN = '<|fim_middle|>'\n", 9)
    (example,) = CodeRaw(fim_fraction=1.0).examples([chunk], None)
    assert (example.completion, example.marks) == (chunk.text, ())


@pytest.mark.parametrize(("key", "value"), [("fim_fraction", 1.5), ("fim_tokens", ["a", "a", "b"])])
def test_values_that_cannot_work_are_named(key: str, value: Any) -> None:
    recipes = [{"name": "code_raw", key: value}]
    raw = {"run_name": "x", "model": {"name": "m"}, "data": {"sources": ["docs"], "recipes": recipes}}
    with pytest.raises(ConfigError, match=rf"data\.recipes\.0\.{key}: .* must be"):
        parse_config(raw)
