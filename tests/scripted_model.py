"""A loaded model that answers by a script, for tests of what stands around an engine."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray_ft.engines import Deliver, EngineStatus, GenerateRequest, LoadedModel, TextDelta, TokenLogprob
from ray_ft.errors import EngineStoppedError, GenerationError, MissingDependencyError, PromptTooLongError


class ScriptedModel(LoadedModel):
    """Answers "<model> <seed> <temperature>: <prompt>", one word per token, and breaks at the word "explode".

    Words are tokens; a word gets its id when it is first seen. Everything is delivered before `submit` returns.
    `says` replaces the answer. The k-th word of an answer has the log-probability -k / 8, and the likeliest words are
    itself and "other", half as likely as it. A grammar is installed unless `has_grammar` is unset: the answer then is
    what `says`, whatever the schema.
    """

    def __init__(self, *, max_seq_len: int = 50) -> None:
        self.max_seq_len = max_seq_len
        self.requests: list[GenerateRequest] = []
        self.scored: list[tuple[str | None, int]] = []
        self.cancelled = 0
        self.is_closed = False
        self.adapters: dict[str, str] = {}
        self.says = ""
        self.has_grammar = True
        self.template_kwargs: dict[str, Any] = {}
        self._words: list[str] = []

    def prompt(self, request: GenerateRequest) -> str:
        """The prompt as text."""
        return request.prompt if isinstance(request.prompt, str) else self.detokenize(request.prompt)

    def submit(self, request: GenerateRequest, deliver: Deliver) -> Callable[[], None]:
        self.status()
        if not request.prompt:
            raise GenerationError("the prompt is empty; give at least one token")
        if request.schema and not self.has_grammar:
            raise MissingDependencyError("answers in JSON need a grammar: pip install 'ray_ft[grammar]'")
        if wrong := [i for i in (*request.prompt, *dict(request.logit_bias)) if isinstance(i, int) and i >= 1_000_000]:
            raise GenerationError(f"the prompt has token id {wrong[0]}")
        self.requests.append(request)
        prompt = self.prompt(request)
        words = (self.says or f"{request.adapter} {request.seed} {request.temperature}: {prompt}").split(" ")
        kept = words[: request.max_new_tokens]
        for i, word in enumerate(kept):
            if "explode" in word:
                deliver(RuntimeError("the device is on fire\nand more lines"))
                break
            last = i == len(kept) - 1
            reason: Any = None if not last else "stop" if len(kept) == len(words) else "length"
            text = word if last else word + " "
            told = self._told(text, i, request.num_logprobs)
            deliver(TextDelta(text, reason, len(prompt.split(" ")), i + 1, told))
        return self._count_cancelled

    def _told(self, text: str, place: int, num_logprobs: int | None) -> tuple[TokenLogprob, ...]:
        if num_logprobs is None:
            return ()
        top = ((place, text, -place / 8), (99, "other", -place / 8 - 0.69))
        return (TokenLogprob(place, text, -place / 8, top[:num_logprobs]),)

    def _count_cancelled(self) -> None:
        self.cancelled += 1

    def apply_chat_template(
        self, messages: Sequence[Mapping[str, Any]], *, tools: Any = None, adapter: Any = None, **template_kwargs: Any
    ) -> str:
        self.template_kwargs = template_kwargs
        turns = [f"tools={','.join(tool['function']['name'] for tool in tools)}"] if tools else []
        for message in messages:
            calls = "".join(
                f"<tool_call>{json.dumps(c['function'])}</tool_call>" for c in message.get("tool_calls", ())
            )
            answered = f"{message['tool_call_id']}:" if "tool_call_id" in message else ""
            turns.append(f"{message['role']}={answered}{message['content']}{calls}")
        return " ".join(turns)

    def token_ids(self, text: str) -> list[int]:
        words = text.split(" ")
        self._words += [word for word in dict.fromkeys(words) if word not in self._words]
        return [self._words.index(word) for word in words]

    def prompt_ids(self, prompt: str, *, adapter: str | None = None) -> list[int]:
        if len(prompt) > 1000 * self.max_seq_len:
            raise PromptTooLongError(f"the prompt has {len(prompt)} characters, which are more than the context can be")
        return self.token_ids(prompt) if prompt else []

    def detokenize(self, ids: Sequence[int]) -> str:
        return " ".join(self._words[i] if i < len(self._words) else f"#{i}" for i in ids)

    def negative_log_likelihood(self, texts: list[str], *, adapter: str | None) -> list[float]:
        return [float(len(self.token_ids(text))) for text in texts]

    def prompt_logprobs(
        self, prompts: Sequence[Sequence[int]], *, adapter: str | None, num_logprobs: int
    ) -> list[list[TokenLogprob]]:
        """The k-th token of a prompt as the k-th of an answer, and nothing of the first."""
        self.scored.append((adapter, num_logprobs))
        told = []
        for ids in prompts:
            if any(i >= 1_000_000 for i in ids):
                raise GenerationError("the prompt has token id 1000000")
            words = [self.detokenize([i]) for i in ids]
            first = TokenLogprob(ids[0], words[0], math.nan)
            told.append([first, *(self._told(word, k, num_logprobs)[0] for k, word in enumerate(words) if k)])
        return told

    def load_adapter(self, name: str, folder: str) -> None:
        self.adapters[name] = folder

    def unload_adapter(self, name: str) -> None:
        self.adapters.pop(name, None)

    def status(self) -> EngineStatus:
        if self.is_closed:
            raise EngineStoppedError("the model was closed")
        return EngineStatus(adapters=tuple(self.adapters))

    def close(self) -> None:
        self.is_closed = True
