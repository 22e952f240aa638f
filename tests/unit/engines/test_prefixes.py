"""What begins like a text that was read is not read again, and answers are what they would have been."""

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from random_adapter import write_random_adapter

from ray_ft.engines import GenerateRequest, LoadedModel, TransformersEngine
from ray_ft.engines.transformers.key_values import prefixes as module

COMMON = "The ferry company's handbook says what every captain has to know before the first crossing of the day. " * 3
QUESTIONS = ("When does it leave?", "Who opens the gate, and with which key?", "Why?", "What does a ticket cost?")


@pytest.fixture(scope="module")
def adapters(tiny_model_path: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("adapters")
    return {n: write_random_adapter(tiny_model_path, folder / n, seed=i, std=0.3) for i, n in enumerate(("a", "b"))}


@pytest.fixture
def model(tiny_model_path: str, adapters: dict[str, str]) -> Iterator[LoadedModel]:
    loaded = TransformersEngine(batch_size=4).load(tiny_model_path, adapters)
    yield loaded
    loaded.close()


def ask(question: str, **options: Any) -> GenerateRequest:
    return GenerateRequest(COMMON + question, max_new_tokens=12, ignore_end=True, **options)


def reused(model: Any) -> int:
    return int(model._scheduler._passes.prefixes.num_reused)


def texts(model: LoadedModel, requests: list[GenerateRequest]) -> list[str]:
    return [result.text for result in model.generate(requests)]


@pytest.fixture
def unshared(tiny_model_path: str, adapters: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> LoadedModel:
    """The same model, which reads everything itself."""
    monkeypatch.setattr(module.Prefixes, "_longest", lambda self, row: (None, 0))
    return TransformersEngine(batch_size=1).load(tiny_model_path, adapters)


def test_answers_are_those_of_a_model_that_reads_all_itself(
    tiny_model_path: str, adapters: dict[str, str], unshared: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [ask(q, adapter=name) for q in QUESTIONS for name in (None, "a", "b")] * 2
    alone = texts(unshared, requests)
    assert len(set(alone)) > 6, "the texts must tell the models and the questions apart"
    monkeypatch.undo()
    model = TransformersEngine(batch_size=5).load(tiny_model_path, adapters)
    assert texts(model, requests) == alone
    common = len(model.token_ids(COMMON)) - 2
    assert reused(model) >= (len(requests) - 3) * common  # each of the three models has read it once
    model.close()


def test_a_conversation_goes_on_where_it_was(model: LoadedModel) -> None:
    first = model.generate([ask(QUESTIONS[0])])[0]
    ids = [*model.prompt_ids(COMMON + QUESTIONS[0]), *first.token_ids]
    longer = GenerateRequest((*ids, *model.token_ids(" And then?")), max_new_tokens=3)
    before = reused(model)
    model.generate([longer])
    assert reused(model) - before == len(ids) - 1  # the last token of an answer is never read


def test_others_share_nothing(model: LoadedModel) -> None:
    texts(model, [ask(QUESTIONS[0], tenant="one", adapter="a")])
    texts(model, [ask(QUESTIONS[0], tenant="two", adapter="a"), ask(QUESTIONS[0], tenant="one", adapter="b")])
    texts(model, [ask(QUESTIONS[0], tenant="one"), GenerateRequest("Never" + COMMON, max_new_tokens=2)])
    assert reused(model) == 0
    texts(model, [ask(QUESTIONS[1], tenant="one", adapter="a")])
    assert reused(model) > 0


def test_an_adapter_that_comes_back_under_its_name_shares_nothing_with_the_one_that_left(
    model: LoadedModel, adapters: dict[str, str]
) -> None:
    of_a, of_b = (texts(model, [ask(QUESTIONS[0], adapter=name)])[0] for name in ("a", "b"))
    assert of_a != of_b
    model.unload_adapter("a")
    while "a" in model._scheduler._adapters:  # type: ignore[attr-defined]  # it goes with the engine's next turn
        texts(model, [GenerateRequest("x", max_new_tokens=1)])
    model.load_adapter("a", adapters["b"])
    before = reused(model)
    assert texts(model, [ask(QUESTIONS[0], adapter="a")]) == [of_b]
    assert reused(model) == before


def test_what_is_remembered_makes_room(model: LoadedModel) -> None:
    passes = model._scheduler._passes  # type: ignore[attr-defined]
    draw, size = random.Random(0), model.max_seq_len
    for _ in range(3 * module.MAX_ENDED):
        ids = tuple(draw.randrange(10, 200) for _ in range(draw.randrange(33, 200)))
        model.generate([GenerateRequest(ids, max_new_tokens=2)])
    assert len(passes.prefixes._ended) == module.MAX_ENDED
    assert model.status().cached_tokens == 0
    whole = [GenerateRequest(tuple(draw.randrange(10, 200) for _ in range(size - 2)), max_new_tokens=2)] * 4
    assert [r.num_completion_tokens for r in model.generate(whole)] == [2] * 4
    for text in list(passes.prefixes._ended):
        passes.prefixes._drop(text)
    assert (passes.cache.num_taken, passes.prefixes._texts) == (0, {})


def test_cancelled_answers_and_failed_passes_leave_nothing_taken(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = model._scheduler._passes  # type: ignore[attr-defined]
    alone = texts(model, [ask(QUESTIONS[1])])
    stream = model.stream(replace(ask(QUESTIONS[0]), max_new_tokens=200))
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert texts(model, [ask(QUESTIONS[1])]) == alone  # by then the other is gone
    real, failures = passes.forward, iter((True,))

    def forward(*given: Any) -> Any:
        if next(failures, False):
            raise RuntimeError("out of luck")
        return real(*given)

    monkeypatch.setattr(passes, "forward", forward)
    with pytest.raises(RuntimeError, match="out of luck"):
        model.generate([ask(QUESTIONS[2])])
    assert texts(model, [ask(QUESTIONS[1])]) == alone
    assert model.status().cached_tokens == 0
