"""The tokens of parts of a document, put together from those of the whole, are those of the parts by themselves."""

import random
from typing import Any

import pytest
from small_tokenizers import (
    composing,
    deepseek,
    gemma,
    gpt_2,
    greedy_for_space,
    llama_2,
    llama_3,
    phi,
    several_words,
    text_of,
    unigram,
    wordpiece,
)
from tokenizers import Tokenizer

from ray_ft.data.tokenization.ascii_words import ids_of
from ray_ft.data.tokenization.document_tokens import LONGEST, STRETCH, DocumentTokens, Splicer, Verbatim

HELLO = ["<|im_start|>assistant\n", "Write: a, b. ", ""]

EXACT = [deepseek, phi, gpt_2, llama_3, composing, gemma, unigram]
WITHOUT_SPACES = [wordpiece]
MARKED = [llama_2]
AS_IT_STANDS = [several_words, greedy_for_space]


def splicer(backend: Tokenizer) -> Splicer:
    content, special = Tokenizer.from_str(backend.to_str()), Tokenizer.from_str(backend.to_str())
    content.encode_special_tokens = True
    return Splicer(content, special)


@pytest.mark.parametrize("make", [*EXACT, *WITHOUT_SPACES, *MARKED, *AS_IT_STANDS])
def test_counts_and_ids_are_those_of_the_span_by_itself(make: Any) -> None:
    parts = splicer(make())
    rng = random.Random(7)
    for seed in range(3):
        text = text_of(seed)
        tokens = DocumentTokens(text, parts)
        lines = [0, *(i + 1 for i, c in enumerate(text) if c == "\n"), len(text)]
        for _ in range(150):
            pool = lines if rng.random() < 0.5 else range(len(text) + 1)
            start, end = sorted(rng.choices(pool, k=2))
            if rng.random() < 0.7:
                end = start + len(text[start:end].rstrip())
            piece = text[start:end]
            assert tokens.count(start, end) == len(ids_of(parts.content, [piece])[0])
            before, after = rng.choice(HELLO), rng.choice(["<|im_end|>", "\n", ""])
            ids = tokens.ids(start, end, before=before, after=after)
            assert ids == ids_of(parts.special, [before + piece + after])[0]


def test_the_edges_of_spans_are_counted_by_their_words_without_asking_the_tokenizer_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "".join(c for c in text_of(5).replace("x" * 40, "x") if c.isascii())
    tokens = DocumentTokens(text, splicer(gpt_2()))
    spans = [(start, start + 400) for start in range(0, len(text) - 400, 31)]

    def count() -> int:
        return sum(tokens.count(start, end) for start, end in spans)

    total, asked = count(), []  # each edge has been seen
    monkeypatch.setattr("ray_ft.data.tokenization.ascii_words.ids_of", lambda _, texts: asked.append(texts) or [])
    monkeypatch.setattr("ray_ft.data.tokenization.document_tokens.num_ids", lambda _, texts: asked.append(texts) or 0)
    assert count() == total
    assert asked == []


@pytest.mark.parametrize("make", [*EXACT, *WITHOUT_SPACES, *MARKED, *AS_IT_STANDS])
def test_ids_of_whole_lines_are_those_that_they_have_by_themselves(make: Any) -> None:
    parts = splicer(make())
    text = text_of(11)
    tokens = DocumentTokens(text, parts)
    starts = [0, *(i + 1 for i, c in enumerate(text[:-1]) if c == "\n")]
    for start in starts:
        for length in (20, 150, 600):
            end = start + len(text[start : text.find("\n", start + length)].rstrip())
            assert tokens.ids(start, end) == ids_of(parts.special, [text[start:end]])[0]


@pytest.mark.parametrize("make", [*EXACT, *WITHOUT_SPACES, *MARKED, *AS_IT_STANDS])
@pytest.mark.parametrize(
    "prompt",
    [
        "<|im_start|>user\nWrite: a, b.<|im_end|>\n",
        "Ask <|end|> it. ",
        "<|end|> x<|end|>",
        "Ask<|end of turn|>",
        "No",
        "",
    ],
)
def test_ids_of_a_prompt_and_of_all_behind_it_are_those_of_one_text(make: Any, prompt: str) -> None:
    parts = splicer(make())
    text = text_of(4)
    tokens = DocumentTokens(text, parts)
    for start, end in ((0, 400), (17, 900), (300, 360)):
        piece = text[start:end]
        found = Verbatim(tokens, start, end).ids_behind(prompt, opening="It is: ", after="<|im_end|>")
        assert found == tuple(ids_of(parts.special, [prompt, f"{prompt}It is: {piece}<|im_end|>"]))


@pytest.mark.parametrize("make", [*EXACT, *MARKED])
def test_most_of_a_document_is_tokenised_once(make: Any) -> None:
    class Watched:
        def __init__(self, backend: Tokenizer) -> None:
            self.backend, self.num_characters = backend, 0

        def __getattr__(self, name: str) -> Any:
            return getattr(self.backend, name)

        def encode_batch_fast(self, texts: list[str], **options: Any) -> Any:
            self.num_characters += sum(map(len, texts))
            return self.backend.encode_batch_fast(texts, **options)

    made = splicer(make())
    assert made.is_exact
    text = "The ferry leaves at 9 from gate B.\n    Crew board first, at 8.\n" * 200
    tokens = DocumentTokens(text, made)
    watched = Watched(made.content)
    tokens._splicer = Splicer(watched, watched)
    for start in range(0, len(text) - 640, 640):
        tokens.count(start, start + 630)
        tokens.ids(start, start + 630, before="Write it. ", after="<|im_end|>")
    assert watched.num_characters < 0.2 * 2 * len(text)


@pytest.mark.parametrize("make", AS_IT_STANDS)
def test_tokenizers_whose_texts_do_not_fall_apart_are_known(make: Any) -> None:
    assert not splicer(make()).is_exact


def test_tokenizers_that_mark_the_first_word_of_a_text_are_known() -> None:
    assert splicer(gpt_2()).is_plain_at_start
    assert not splicer(llama_2()).is_plain_at_start


@pytest.mark.parametrize("make", [*EXACT, *MARKED])
def test_tokens_of_a_long_text_begin_where_the_tokenizer_says(make: Any) -> None:
    made = splicer(make())
    text = text_of(3, num_sentences=1500)
    assert len(text) > 2 * STRETCH  # several stretches
    encoding = made.content.encode(text, add_special_tokens=False)
    assert list(DocumentTokens(text, made).starts) == [first for first, _ in encoding.offsets]


def test_a_long_text_without_spaces_is_still_counted_exactly() -> None:
    made = splicer(gpt_2())
    text = "".join(random.Random(1).choices("abcdefgh", k=3 * LONGEST)) + " and an end of several words.\n" * 20
    tokens = DocumentTokens(text, made)
    start = 3 * LONGEST - 300
    assert tokens.count(start, len(text)) == len(ids_of(made.content, [text[start:]])[0])
    assert tokens.find(text[-300:], 0, len(text)) is None


def test_words_are_found_where_it_saves_work() -> None:
    made = splicer(gpt_2())
    text = text_of(5)
    tokens = DocumentTokens(text, made)
    found = tokens.find(text[100:500], 50, 600)
    assert found is not None
    assert (found.start, found.end) == (100, 500)
    assert tokens.find(text[100:120], 50, 600) is None
    assert tokens.find(text[100:500], 200, 600) is None
