"""A server's base and adapters as a `LoadedModel`: prompts are made here, by the base's own tokenizer."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from ray_ft.engines.loop_thread import LoopThread
from ray_ft.engines.openai.client import make_client, no_answer, response_format
from ray_ft.engines.prompted import PromptedModel
from ray_ft.engines.prompts import Prompts
from ray_ft.engines.requests import Deliver, EngineStatus, FinishReason, GenerateRequest, TextDelta, TokenLogprob
from ray_ft.errors import EngineStoppedError, GenerationError, ModelError, first_line
from ray_ft.models.config_json import load_model_config

if TYPE_CHECKING:
    from ray_ft.engines.openai import OpenAIEngine

NO_SCORES = "bits per byte need it: set evaluation.num_documents=0, or take engine vllm or transformers"


class ServerModel(PromptedModel):
    """A model over a server's completions; answers come in a thread that does nothing else."""

    def __init__(self, engine: "OpenAIEngine", prompts: Prompts, model_path: str, adapters: Mapping[str, str]) -> None:
        self._engine = engine
        self._models = dict(adapters)  # names on the server
        self._lock = threading.Lock()
        self._open: set[Future[None]] = set()
        self._is_closed = False
        self._client = make_client(engine, "AsyncOpenAI")
        self._thread = LoopThread("openai")
        self._in_flight = asyncio.Semaphore(engine.max_in_flight)
        try:
            longest = engine.max_seq_len or self._thread.call(self._context()) or _own_context(model_path)
        except BaseException:
            self._thread.end()
            raise
        super().__init__(prompts, max_seq_len=longest)

    def submit(self, request: GenerateRequest, deliver: Deliver) -> Callable[[], None]:
        """Ask, and have the answer delivered as it comes; returns what cancels it."""
        asked, num_prompt_tokens = self._asked(request)
        is_cancelled = threading.Event()

        def send(item: TextDelta | Exception) -> None:
            if not is_cancelled.is_set():
                deliver(item)

        with self._lock:
            self._check_open()
            future = self._thread.start(self._answer(request, asked, num_prompt_tokens, send))
            self._open.add(future)
        future.add_done_callback(self._open.discard)

        def cancel() -> None:
            is_cancelled.set()
            future.cancel()

        return cancel

    def scores(
        self, pieces: Sequence[list[int]], *, adapter: str | None, num_logprobs: int | None
    ) -> list[list[TokenLogprob]]:
        """Each piece's tokens after its first, from a server that says what its prompts' tokens cost."""
        model = self._name(adapter)
        self._check_open()
        return self._thread.call(self._score_all(pieces, model, num_logprobs or 0))

    def load_adapter(self, name: str, folder: str) -> None:
        """The server loads its own adapters: only those that the config names can be asked for."""
        if name not in self._engine.adapters:
            raise ModelError(f"adapter {name!r}: engine openai loads none; name the server's in engine.adapters")
        self._models[name] = self._engine.adapters[name]

    def unload_adapter(self, name: str) -> None:
        """Ask for it no more."""
        self._models.pop(name, None)

    def status(self) -> EngineStatus:
        """How many answers are open here."""
        self._check_open()
        num = len(self._open)
        num_running = min(num, self._engine.max_in_flight)
        return EngineStatus(num_running, num - num_running, tuple(self._models))

    def close(self) -> None:
        """Hang up; open answers end in an error."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        self._thread.call(self._hang_up())
        self._thread.end()

    # --- in the loop's thread -----------------------------------------------------------------------------------------

    async def _answer(
        self,
        request: GenerateRequest,
        asked: dict[str, Any],
        num_prompt_tokens: int,
        send: Callable[[TextDelta | Exception], None],
    ) -> None:
        """Pass on what the server streams; being cancelled hangs up, which servers understand."""
        import openai

        reading = _Reading(request, num_prompt_tokens, self._prompts)
        try:
            async with self._in_flight, await self._client.completions.create(**asked) as stream:
                async for chunk in stream:
                    if (delta := reading.read(chunk)) is not None and request.is_streamed:
                        send(delta)
            send(reading.last())
        except asyncio.CancelledError:
            send(EngineStoppedError("the model was closed"))  # reaches nobody where the answer was cancelled
            raise
        except (openai.BadRequestError, openai.UnprocessableEntityError, openai.NotFoundError) as error:
            send(GenerationError(f"the server refused: {first_line(error)}"[:300]))
        except openai.OpenAIError as error:
            send(no_answer(self._engine, asked["model"], error))
        except Exception as error:
            send(error if isinstance(error, GenerationError) else no_answer(self._engine, asked["model"], error))

    async def _score_all(self, pieces: Sequence[list[int]], model: str, most: int) -> list[list[TokenLogprob]]:
        return await asyncio.gather(*(self._score(ids, model, most) for ids in pieces))

    async def _score(self, ids: list[int], model: str, most: int) -> list[TokenLogprob]:
        import openai

        where = f"{self._engine.base_url} (model {model})"
        prompt = ids if self._engine.prompts == "ids" else self._prompts.decode(ids, skip_special_tokens=False)
        try:
            async with self._in_flight:
                response = await self._client.completions.create(
                    model=model, prompt=prompt, max_tokens=1, temperature=0.0, echo=True, logprobs=max(most, 1)
                )
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            raise GenerationError(
                f"{where} does not score prompts: {first_line(error)}"[:300] + f"; {NO_SCORES}"
            ) from None
        except openai.OpenAIError as error:
            raise no_answer(self._engine, model, error) from None
        told = response.choices[0].logprobs
        losses = list(told.token_logprobs or ()) if told is not None else []
        if len(losses) not in (len(ids), len(ids) + 1) or None in losses[1 : len(ids)]:
            raise GenerationError(f"{where} gives no log-probabilities of a prompt's tokens; {NO_SCORES}")
        texts = list(told.tokens or ())[1 : len(ids)] or [""] * (len(ids) - 1)
        tops = list(told.top_logprobs or ())[1 : len(ids)] or [None] * (len(ids) - 1)
        return [
            TokenLogprob(i, text, float(logprob), _likeliest(self._prompts, top, most))
            for i, text, logprob, top in zip(ids[1:], texts, losses[1 : len(ids)], tops, strict=True)
        ]

    async def _context(self) -> int | None:
        """How long a context the server says that the model has."""
        import openai

        try:
            listed = await self._client.models.list()
        except (openai.NotFoundError, openai.PermissionDeniedError):  # many have no such list
            return None
        except openai.OpenAIError as error:
            raise no_answer(self._engine, self._engine.model, error) from None
        found = [m for m in listed.data if m.id == self._engine.model]
        length = (found[0].model_extra or {}).get("max_model_len") if found else None
        return int(length) if isinstance(length, int) else None

    async def _hang_up(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.close()

    # --- from any thread ----------------------------------------------------------------------------------------------

    def _asked(self, request: GenerateRequest) -> tuple[dict[str, Any], int]:
        """What the server is asked, and how many tokens the prompt has. Raises GenerationError."""
        model = self._name(request.adapter)
        ids, max_tokens = self._ids_and_room(request)
        if request.schema and self._engine.structured_output == "none":
            raise GenerationError("engine.structured_output is none, and this answer has to keep to a JSON schema")
        asked: dict[str, Any] = {
            "model": model,
            "prompt": ids if self._engine.prompts == "ids" else self.detokenize(ids),
            "max_tokens": max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": request.seed,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        optional = {
            "stop": [stop for stop in request.stop if stop],
            "presence_penalty": request.presence_penalty,
            "frequency_penalty": request.frequency_penalty,
            "logit_bias": {str(i): bias for i, bias in request.logit_bias},
        }
        asked |= {key: value for key, value in optional.items() if value}
        if request.num_logprobs is not None:
            asked["logprobs"] = request.num_logprobs
        beyond = {
            "top_k": request.top_k,
            "min_p": request.min_p,
            "repetition_penalty": request.repetition_penalty if request.repetition_penalty != 1 else 0,
            "ignore_eos": request.ignore_end,
            **response_format(self._engine, request.schema),
        }
        asked["extra_body"] = {key: value for key, value in beyond.items() if value}
        return asked, len(ids)

    def _name(self, adapter: str | None) -> str:
        if adapter is None:
            return self._engine.model
        if adapter not in self._models:
            known = ", ".join(self._models) or "none"
            raise GenerationError(f"no adapter {adapter!r} is loaded; loaded are: {known}")
        return self._models[adapter]

    def _check_open(self) -> None:
        if self._is_closed:
            raise EngineStoppedError("the model was closed")


class _Reading:
    """Makes pieces of the chunks of a stream; the last is held back until the usage has come."""

    def __init__(self, request: GenerateRequest, num_prompt_tokens: int, prompts: Prompts) -> None:
        self._request, self._num_prompt_tokens, self._prompts = request, num_prompt_tokens, prompts
        self._texts: list[str] = []  # that are not delivered
        self._logprobs: list[TokenLogprob] = []
        self._reason: str | None = None
        self._num_tokens = self._num_cached = 0
        self._is_counted = False

    def read(self, chunk: Any) -> TextDelta | None:
        """A piece, where the chunk brings text that is not the last."""
        if chunk.usage is not None:
            self._num_tokens, self._is_counted = chunk.usage.completion_tokens, True
            self._num_cached = getattr(chunk.usage.prompt_tokens_details, "cached_tokens", None) or 0
        for choice in chunk.choices:
            self._texts.append(choice.text or "")
            if not self._is_counted:  # servers count at the end
                self._num_tokens += len(self._prompts.encode_text(choice.text or ""))
            self._logprobs += self._told(choice.logprobs)
            self._reason = choice.finish_reason or self._reason
        text = "".join(self._texts)
        if self._reason is not None or not text or not self._request.is_streamed:
            return None
        logprobs = tuple(self._logprobs)
        self._texts, self._logprobs = [], []
        return TextDelta(text, None, self._num_prompt_tokens, self._num_tokens, logprobs)

    def last(self) -> TextDelta:
        """What ends the answer. Raises GenerationError where the stream broke off."""
        if self._reason not in ("stop", "length"):
            raise GenerationError(f"the server ended the answer: {self._reason or 'its stream broke off'}")
        reason: FinishReason = "stop" if self._reason == "stop" else "length"
        text, logprobs = "".join(self._texts), tuple(self._logprobs)
        return TextDelta(
            text, reason, self._num_prompt_tokens, self._num_tokens, logprobs, num_cached_tokens=self._num_cached
        )

    def _told(self, logprobs: Any) -> list[TokenLogprob]:
        if logprobs is None or not logprobs.tokens:
            return []
        most = self._request.num_logprobs or 0
        tops = logprobs.top_logprobs or [None] * len(logprobs.tokens)
        told = []
        for token, logprob, top in zip(logprobs.tokens, logprobs.token_logprobs, tops, strict=True):
            likeliest = _likeliest(self._prompts, top, most)
            told.append(TokenLogprob(_id(self._prompts, token), token, float(logprob), likeliest))
        return told


def _likeliest(prompts: Prompts, top: Mapping[str, float] | None, most: int) -> tuple[tuple[int, str, float], ...]:
    likeliest = sorted((top or {}).items(), key=lambda pair: -pair[1])[:most]
    return tuple((_id(prompts, text), text, float(logprob)) for text, logprob in likeliest)


def _id(prompts: Prompts, token: str) -> int:
    """The id of a token's text; -1 where that is not one token, as parts of a character are not."""
    ids = prompts.encode_text(token)
    return ids[0] if len(ids) == 1 else -1


def _own_context(model_path: str) -> int:
    config: dict[str, Any] = dict(load_model_config(model_path)[0])
    longest = config.get("max_position_embeddings") or (config.get("text_config") or {}).get("max_position_embeddings")
    if longest is None:
        raise ModelError(f"{model_path}: config.json has no max_position_embeddings; set engine.max_seq_len")
    return int(longest)
