"""A replica keeps its event loop free, advances answers in turn and stops work that nobody waits for."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ray_ft.engines import GenerateRequest, TextDelta
from ray_ft.models.chat_text import ChatText
from ray_ft.serving.exchange import Ask
from ray_ft.serving.refusals import Refusal
from ray_ft.serving.replica.replica import ModelReplica

ASK = Ask(
    adapter=None, messages=None, prompts=("p",), n=1, max_new_tokens=None, temperature=0, top_p=1, stop=(), seed=0
)  # fmt: skip


class SteppedModel:
    """Gives one token for every permit; notes which prompt each token was for."""

    max_seq_len = 1000

    def __init__(self, num_tokens: int = 5) -> None:
        self.num_tokens = num_tokens
        self.permits = threading.Semaphore(0)
        self.served: list[str] = []
        self.closed: list[str] = []

    def count_tokens(self, text: str) -> int:
        return 1

    def stream(self, request: GenerateRequest) -> Iterator[TextDelta]:
        try:
            for i in range(self.num_tokens):
                self.permits.acquire()
                self.served.append(request.prompt)
                yield TextDelta(f"{i}", "stop" if i == self.num_tokens - 1 else None, 1, i + 1)
        finally:
            self.closed.append(request.prompt)


def ask(**fields: Any) -> Ask:
    import dataclasses

    return dataclasses.replace(ASK, **fields)


def run(coroutine: Any) -> Any:
    return asyncio.run(asyncio.wait_for(coroutine, 20))


async def open_answers(replica: ModelReplica, count: int) -> None:
    """Let other tasks and the model's thread run until so many answers are open; the caller's time limit ends it."""
    while (await replica.status()).num_open != count:
        await asyncio.sleep(0.001)


@pytest.fixture
def model() -> SteppedModel:
    return SteppedModel()


@pytest.fixture
def replica(model: SteppedModel) -> Iterator[ModelReplica]:
    replica = ModelReplica(model, max_new_tokens=100)  # type: ignore[arg-type]
    yield replica
    model.permits.release(1000)
    replica.close()


def test_the_loop_stays_free_while_the_model_works(model: SteppedModel, replica: ModelReplica) -> None:
    async def scenario() -> None:
        answer = asyncio.create_task(replica.answer(ASK))
        await open_answers(replica, 1)
        assert (await replica.status()).num_open == 1  # answered although the model is busy
        model.permits.release(5)
        pieces = await answer
        assert not isinstance(pieces, Refusal)
        assert (pieces[0].text, pieces[0].finish_reason, pieces[0].num_completion_tokens) == ("01234", "stop", 5)

    run(scenario())


def test_what_a_message_spells_out_reaches_the_model_as_letters(model: SteppedModel, replica: ModelReplica) -> None:
    prompt = ChatText("<u>hi<|end|>", [("<u>", False), ("hi<|end|>", True)])
    model.apply_chat_template = lambda messages: prompt  # type: ignore[attr-defined]
    model.permits.release(5)
    run(replica.answer(ask(messages=({"role": "user", "content": "hi<|end|>"},), prompts=())))
    assert {served.parts for served in model.served if isinstance(served, ChatText)} == {prompt.parts}
    assert len(model.served) == 5


def test_answers_advance_in_turn(model: SteppedModel, replica: ModelReplica) -> None:
    async def scenario() -> None:
        answers = asyncio.create_task(replica.answer(ask(prompts=("a", "b", "c"))))
        model.permits.release(15)
        await answers
        assert model.served == ["a", "b", "c"] * 5

    run(scenario())


def test_the_first_piece_leaves_at_once_and_the_next_ones_together(model: SteppedModel, replica: ModelReplica) -> None:
    async def scenario() -> None:
        stream = replica.stream(ASK)
        assert await anext(stream) == []  # accepted
        model.permits.release(1)
        first = await anext(stream)
        model.permits.release(4)
        rest = await anext(stream)
        assert not isinstance(first, Refusal)
        assert not isinstance(rest, Refusal)
        assert [piece.text for piece in first + rest] == ["0", "1234"]

    run(scenario())


def test_a_closed_stream_frees_its_row_at_the_next_token(model: SteppedModel, replica: ModelReplica) -> None:
    async def scenario() -> None:
        stream = replica.stream(ASK)
        await anext(stream)
        model.permits.release(1)
        await anext(stream)
        await stream.aclose()
        model.permits.release(1)  # the token that was being made
        await open_answers(replica, 0)
        assert len(model.served) <= 2
        assert model.closed == ["p"]

    run(scenario())


def test_a_cancelled_answer_frees_its_row_and_others_go_on(model: SteppedModel, replica: ModelReplica) -> None:
    async def scenario() -> None:
        unwanted = asyncio.create_task(replica.answer(ask(prompts=("unwanted",))))
        wanted = asyncio.create_task(replica.answer(ask(prompts=("wanted",))))
        await open_answers(replica, 2)
        unwanted.cancel()
        await asyncio.wait([unwanted])
        model.permits.release(6)  # five for the wanted answer, at most one for the token that was being made
        assert not isinstance(await wanted, Refusal)
        assert model.served.count("unwanted") <= 1

    run(scenario())


def test_a_cancelled_answer_that_waits_is_never_started(model: SteppedModel, replica: ModelReplica) -> None:
    async def scenario() -> None:
        running = asyncio.create_task(replica.answer(ask(prompts=tuple(f"p{i}" for i in range(8)))))
        await open_answers(replica, 8)
        waiting = asyncio.create_task(replica.answer(ask(prompts=("late",))))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        model.permits.release(8 * 5)
        await running
        assert "late" not in model.served

    run(scenario())
