"""Texts tokenised word by word get the ids that the tokenizer gives them, and what it cannot do so is left to it."""

import random
from typing import Any

import pytest
from small_tokenizers import (
    LLAMA_3,
    byte_level,
    composing,
    gemma,
    gpt_2,
    llama_2,
    llama_3,
    phi,
    text_of,
    unigram,
    wordpiece,
)
from tokenizers import AddedToken, Regex, Tokenizer, pre_tokenizers

from ray_ft.data.tokenization.ascii_words import MAX_WORDS, NUM_COMPARED, Words, ascii_pattern, ids_of
from ray_ft.data.tokenization.document_tokens import Splicer

QWEN = LLAMA_3.replace(r"\p{N}{1,3}", r"\p{N}")
GPT_4O = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TIKTOKEN = LLAMA_3.replace("]?", "]?+").replace("]+[", "]++[").replace(r"\p{L}+", r"\p{L}++")


def by(rule: str) -> Tokenizer:
    split = pre_tokenizers.Split(Regex(rule), behavior="isolated")
    return byte_level(
        pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    )


def words_of(backend: Tokenizer) -> Words | None:
    backend.encode_special_tokens = True
    return Words.of(backend)


@pytest.mark.parametrize(
    "make", [gpt_2, llama_3, composing, phi, lambda: by(QWEN), lambda: by(GPT_4O), lambda: by(TIKTOKEN)]
)
def test_ids_are_those_of_the_tokenizer(make: Any) -> None:
    backend = make()
    words = words_of(backend)
    assert words is not None
    rng = random.Random(3)
    for seed in range(NUM_COMPARED + 4):
        text = text_of(seed, 40).encode("ascii", "ignore").decode()
        noise = "".join(rng.choices(" \t\n\r\f\v\x1c'_-#aZ9.,(/", k=300))
        for one in (text, noise, "", "<|im_end|> it'S"):
            found = words.ids(one)
            assert found is not None
            assert found.tolist() == ids_of(backend, [one])[0]


@pytest.mark.parametrize("make", [gemma, unigram, wordpiece, llama_2, lambda: by(r"(\p{L}+)|\s+|.")])
def test_tokenizers_with_other_rules_are_left_alone(make: Any) -> None:
    assert words_of(make()) is None


@pytest.mark.parametrize("rule", [r"\p{Greek}+", r"\X", r"^a", r"[a&&b]", r"[[:alpha:]]+", r"(a)", r"\h+", "("])
def test_rules_beyond_pythons_patterns_are_known(rule: str) -> None:
    assert ascii_pattern(rule) is None


def test_other_characters_and_tokens_of_their_own_are_left_to_the_tokenizer() -> None:
    backend = gpt_2()
    backend.add_tokens([AddedToken("<think>", normalized=False)])
    words = words_of(backend)
    assert words is not None
    assert words.ids("Größe") is None
    assert words.ids("a <think> b") is None
    assert words.ids("a think b") is not None
    assert words.ids(f"a {'b' * 101} c") is None


@pytest.mark.parametrize("make", [gpt_2, llama_3, composing, lambda: by(QWEN), lambda: by(GPT_4O)])
def test_where_a_text_falls_apart_other_characters_cost_no_more_than_the_words_that_hold_them(make: Any) -> None:
    class Asked:
        """Counts the characters that the tokenizer is asked for."""

        def __init__(self, backend: Tokenizer) -> None:
            self.backend, self.num_asked = backend, 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self.backend, name)

        def encode_batch_fast(self, texts: list[str], **options: Any) -> Any:
            self.num_asked += sum(map(len, texts))
            return self.backend.encode_batch_fast(texts, **options)

    backend = make()
    assert Splicer(backend, backend).is_exact
    asked = Asked(backend)
    words = Words.of(asked)
    assert words is not None
    texts = [text_of(seed, 40).replace("x" * 40, "x") for seed in range(40)]
    for text in (*texts, "—", " — ", "a\u00a0 b — c", "\n\u0301 e\u0301 x  é  \n\n é", "é" + " \u2003 " * 9):
        found = words.ids(text, falls_apart=True)
        assert found is not None
        assert found.tolist() == ids_of(backend, [text])[0]
    # Eight texts of ASCII and eight others are tokenised as a whole, and each word of a few sentences once.
    assert asked.num_asked < sum(map(len, texts)) / 2


def test_long_stretches_of_other_characters_are_left_to_the_tokenizer() -> None:
    words = words_of(gpt_2())
    assert words is not None
    assert words.ids(f"Größe {'東' * 101}", falls_apart=True) is None
    assert words.ids("Größe 東", falls_apart=True) is not None


def test_a_tokenizer_that_makes_something_else_of_a_text_is_believed() -> None:
    class Odd:
        """Gives a whole text other ids than its words."""

        def __init__(self, backend: Tokenizer) -> None:
            self.backend = backend

        def __getattr__(self, name: str) -> Any:
            return getattr(self.backend, name)

        def encode_batch_fast(self, texts: list[str], **options: Any) -> Any:
            return self.backend.encode_batch_fast([t.replace("gate B", "gate C") for t in texts], **options)

    words = Words.of(Odd(gpt_2()))
    assert words is not None
    assert words.ids("ferry at nine") is not None
    assert words.ids("ferry at gate B") is None
    assert words.ids("ferry at nine") is None


def test_no_more_words_are_remembered_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray_ft.data.tokenization.ascii_words.MAX_WORDS", 50)
    assert MAX_WORDS > 50
    backend = gpt_2()
    words = words_of(backend)
    assert words is not None
    for number in range(300):
        text = f"ferry w{number * 7919} at {number}"
        found = words.ids(text)
        assert found is not None
        assert found.tolist() == ids_of(backend, [text])[0]
    assert len(words._known) < 60
