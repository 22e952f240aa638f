"""A loaded model that answers by a script, for tests of what stands around an engine."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray_ft.engines import Deliver, EngineStatus, GenerateRequest, LoadedModel, TextDelta
from ray_ft.errors import GenerationError


class ScriptedModel(LoadedModel):
    """Answers "<model> <seed> <temperature>: <prompt>", one word per token, and breaks at the word "explode".

    Words are tokens; a word gets its id when it is first seen. Everything is delivered before `submit` returns.
    """

    def __init__(self, *, max_seq_len: int = 50) -> None:
        self.max_seq_len = max_seq_len
        self.requests: list[GenerateRequest] = []
        self.cancelled = 0
        self.is_closed = False
        self.adapters: dict[str, str] = {}
        self._words: list[str] = []

    def prompt(self, request: GenerateRequest) -> str:
        """The prompt as text."""
        return request.prompt if isinstance(request.prompt, str) else self.detokenize(request.prompt)

    def submit(self, request: GenerateRequest, deliver: Deliver) -> Callable[[], None]:
        if not request.prompt:
            raise GenerationError("the prompt is empty; give at least one token")
        self.requests.append(request)
        prompt = self.prompt(request)
        words = f"{request.adapter} {request.seed} {request.temperature}: {prompt}".split(" ")
        kept = words[: request.max_new_tokens]
        for i, word in enumerate(kept):
            if "explode" in word:
                deliver(RuntimeError("the device is on fire\nand more lines"))
                break
            last = i == len(kept) - 1
            reason: Any = None if not last else "stop" if len(kept) == len(words) else "length"
            deliver(TextDelta(word if last else word + " ", reason, len(prompt.split(" ")), i + 1))
        return self._count_cancelled

    def _count_cancelled(self) -> None:
        self.cancelled += 1

    def apply_chat_template(
        self, messages: Sequence[Mapping[str, Any]], *, tools: Any = None, **template_kwargs: Any
    ) -> str:
        return " ".join(f"{m['role']}={m['content']}" for m in messages)

    def token_ids(self, text: str) -> list[int]:
        words = text.split(" ")
        self._words += [word for word in dict.fromkeys(words) if word not in self._words]
        return [self._words.index(word) for word in words]

    def prompt_ids(self, prompt: str) -> list[int]:
        return self.token_ids(prompt) if prompt else []

    def detokenize(self, ids: Sequence[int]) -> str:
        return " ".join(self._words[i] for i in ids)

    def negative_log_likelihood(self, texts: list[str], *, adapter: str | None) -> list[float]:
        return [float(len(self.token_ids(text))) for text in texts]

    def load_adapter(self, name: str, folder: str) -> None:
        self.adapters[name] = folder

    def unload_adapter(self, name: str) -> None:
        self.adapters.pop(name, None)

    def status(self) -> EngineStatus:
        if self.is_closed:
            raise GenerationError("the model was closed")
        return EngineStatus(adapters=tuple(self.adapters))

    def close(self) -> None:
        self.is_closed = True
