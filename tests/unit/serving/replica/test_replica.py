"""A replica keeps its event loop free, passes text on as it comes and stops work that nobody waits for."""

import asyncio
import dataclasses
import threading
from collections.abc import Callable
from typing import Any

import pytest

from ray_ft.engines import Deliver, EngineStatus, GenerateRequest, TextDelta
from ray_ft.errors import GenerationError
from ray_ft.models.chat_text import ChatText
from ray_ft.serving.exchange import Ask
from ray_ft.serving.refusals import Refusal
from ray_ft.serving.replica.replica import ModelReplica

ASK = Ask(
    adapter=None, messages=None, prompts=("p",), n=1, max_new_tokens=None, temperature=0, top_p=1, stop=(), seed=0
)  # fmt: skip


class TalkingModel:
    """Delivers what a test tells it to; a prompt's ids are the code points of its letters."""

    max_seq_len = 1000

    def __init__(self) -> None:
        self.open: list[tuple[GenerateRequest, Deliver]] = []
        self.cancelled: list[GenerateRequest] = []
        self.tokenised: list[str] = []
        self.is_tokenising = False
        self.may_tokenise = threading.Event()
        self.may_tokenise.set()

    def prompt_ids(self, prompt: str, *, adapter: str | None = None) -> list[int]:
        self.is_tokenising = True
        self.may_tokenise.wait(20)
        self.tokenised.append(prompt)
        return [ord(letter) for letter in prompt]

    def submit(self, request: GenerateRequest, deliver: Deliver) -> Callable[[], None]:
        if request.adapter == "missing":
            raise GenerationError("no adapter 'missing' is loaded")
        self.open.append((request, deliver))
        return lambda: self.cancelled.append(request)

    def status(self) -> EngineStatus:
        return EngineStatus(num_running=len(self.open))

    def say(self, *texts: str) -> None:
        """In the engine's thread: every open answer goes on by these texts; the last one ends it."""
        for _, deliver in self.open:
            for i, text in enumerate(texts):
                deliver(TextDelta(text, "stop" if i == len(texts) - 1 else None, 1, i + 1))


def run(scenario: Any) -> Any:
    return asyncio.run(asyncio.wait_for(scenario(), 20))


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks and threads run; the scenario's time limit ends it."""
    while not condition():
        await asyncio.sleep(0.001)


@pytest.fixture
def model() -> TalkingModel:
    return TalkingModel()


@pytest.fixture
def replica(model: TalkingModel) -> ModelReplica:
    return ModelReplica(model, max_new_tokens=100)  # type: ignore[arg-type]


def ask(**fields: Any) -> Ask:
    return dataclasses.replace(ASK, **fields)


def test_the_loop_stays_free_while_prompts_are_tokenised(model: TalkingModel, replica: ModelReplica) -> None:
    async def scenario() -> None:
        model.may_tokenise.clear()
        answer = asyncio.create_task(replica.answer(ASK))
        assert (await replica.status()).num_open == 0  # answered although the tokenizer is busy
        model.may_tokenise.set()
        await until(lambda: bool(model.open))
        model.say("0", "1", "234")
        pieces = await answer
        assert not isinstance(pieces, Refusal)
        assert (pieces[0].text, pieces[0].finish_reason, pieces[0].num_completion_tokens) == ("01234", "stop", 3)

    run(scenario)


def test_what_a_message_spells_out_reaches_the_model_as_letters(model: TalkingModel, replica: ModelReplica) -> None:
    prompt = ChatText("<u>hi<|end|>", [("<u>", False), ("hi<|end|>", True)])
    model.apply_chat_template = lambda messages, adapter=None: prompt  # type: ignore[attr-defined]

    async def scenario() -> None:
        messages = ({"role": "user", "content": "hi<|end|>"},)
        answer = asyncio.create_task(replica.answer(ask(messages=messages, prompts=())))
        await until(lambda: bool(model.open))
        model.say("")
        await answer

    run(scenario)
    assert [text.parts for text in model.tokenised if isinstance(text, ChatText)] == [prompt.parts]


def test_choices_come_prompt_by_prompt_with_a_seed_for_each_sample(model: TalkingModel, replica: ModelReplica) -> None:
    async def scenario() -> None:
        answer = asyncio.create_task(replica.answer(ask(prompts=("a", "b"), n=2, seed=7)))
        await until(lambda: len(model.open) == 4)
        model.say("x")
        await answer

    run(scenario)
    asked = [(chr(request.prompt[0]), request.seed, request.is_streamed) for request, _ in model.open]
    assert asked == [("a", 7, False), ("a", 8, False), ("b", 7, False), ("b", 8, False)]
    assert model.tokenised == ["a", "b"]


def test_the_first_piece_leaves_at_once_and_the_next_ones_together(model: TalkingModel, replica: ModelReplica) -> None:
    async def scenario() -> None:
        stream = replica.stream(ASK)
        assert await anext(stream) == []  # accepted
        model.open[0][1](TextDelta("0"))
        first = await anext(stream)
        model.say("1", "2", "34")
        rest = await anext(stream)
        assert not isinstance(first, Refusal)
        assert not isinstance(rest, Refusal)
        assert [piece.text for piece in first + rest] == ["0", "1234"]

    run(scenario)


def test_a_closed_stream_is_cancelled(model: TalkingModel, replica: ModelReplica) -> None:
    async def scenario() -> None:
        stream = replica.stream(ask(n=2))
        await anext(stream)
        await stream.aclose()
        assert model.cancelled == [request for request, _ in model.open]
        assert len(model.cancelled) == 2

    run(scenario)


def test_a_cancelled_answer_is_cancelled_and_others_go_on(model: TalkingModel, replica: ModelReplica) -> None:
    async def scenario() -> None:
        unwanted = asyncio.create_task(replica.answer(ask(prompts=("u",))))
        await until(lambda: len(model.open) == 1)
        wanted = asyncio.create_task(replica.answer(ask(prompts=("w",))))
        await until(lambda: len(model.open) == 2)
        unwanted.cancel()
        await asyncio.wait([unwanted])
        model.say("done")
        assert not isinstance(await wanted, Refusal)
        assert model.open[0][0] in model.cancelled

    run(scenario)


def test_an_answer_cancelled_while_its_prompt_is_tokenised_is_cancelled(
    model: TalkingModel, replica: ModelReplica
) -> None:
    async def scenario() -> None:
        model.may_tokenise.clear()
        answer = asyncio.create_task(replica.answer(ask(n=5)))
        await until(lambda: model.is_tokenising)
        answer.cancel()
        await asyncio.wait([answer])
        model.may_tokenise.set()
        await until(lambda: len(model.cancelled) == 5)
        assert model.cancelled == [request for request, _ in model.open]

    run(scenario)


def test_a_choice_that_is_refused_cancels_those_before_it(model: TalkingModel, replica: ModelReplica) -> None:
    async def scenario() -> None:
        answer = await replica.answer(ask(adapter="missing"))
        assert isinstance(answer, Refusal)
        assert (answer.status, answer.message) == (400, "no adapter 'missing' is loaded")

    run(scenario)


def test_an_answer_that_breaks_midway_is_the_engines_fault(model: TalkingModel, replica: ModelReplica) -> None:
    async def scenario() -> None:
        answer = asyncio.create_task(replica.answer(ASK))
        await until(lambda: bool(model.open))
        model.open[0][1](TextDelta("half"))
        model.open[0][1](GenerationError("out of memory"))
        broken = await answer
        assert isinstance(broken, Refusal)
        assert (broken.status, broken.code) == (500, "engine_error")

    run(scenario)
