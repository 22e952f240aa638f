"""Recent replies by their ids, what people say of them, and the data sets that come of it.

Replies are remembered in memory alone, the newest `MAX_REPLIES`, in at most `MAX_BYTES` of text. What is rated is
written down with its prompt and answer, because a model cannot be taught by a rating without them.
"""

import json
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ray_ft.errors import ConfigError
from ray_ft.serving.exchange import Ask

MAX_REPLIES = 2000
MAX_BYTES = 64 * 2**20
FEEDBACK_FILE = "feedback.jsonl"
MAX_FILE_BYTES = 256 * 2**20
"""Far above what people write by hand; a file that grows beyond it is fed by a program."""

Prompt = str | list[dict[str, Any]]
Form = Literal["raw", "messages", "preference"]


@dataclass(frozen=True)
class Reply:
    """One choice of a reply, as it is remembered."""

    id: str
    model: str  # name@version, or the base
    prompt: Prompt  # messages of a chat, or the text that was to be gone on with
    answer: str


class Replies:
    """What was answered lately. Belongs to one event loop."""

    def __init__(self) -> None:
        self._replies: OrderedDict[tuple[str, int], tuple[Reply, int]] = OrderedDict()
        self._num_bytes = 0

    def find(self, id: str, index: int) -> Reply | None:
        """A choice of a recent reply."""
        found = self._replies.get((id, index))
        return None if found is None else found[0]

    def remember(self, ask: Ask, index: int, text: str, *, model: str) -> None:
        """Keep one choice of an answer, and let go of the oldest."""
        prompt = _prompt(ask, index)
        if not ask.id or prompt is None:
            return
        size = 2 * (len(str(prompt)) + len(text))
        self._replies[ask.id, index] = Reply(ask.id, model, prompt, text), size
        self._num_bytes += size
        while self._replies and (len(self._replies) > MAX_REPLIES or self._num_bytes > MAX_BYTES):
            _, (_, size) = self._replies.popitem(last=False)
            self._num_bytes -= size


class FeedbackLog:
    """What people have said, one JSON line each, on the disk before they are thanked."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FEEDBACK_FILE
        self._lock = threading.Lock()

    def append(self, reply: Reply, *, score: float | None, other: Reply | None, comment: str) -> None:
        """Write one rating. Raises ConfigError where it cannot be written; half a line is never left behind."""
        line = {
            "time": int(time.time()),
            **asdict(reply),
            "score": score,
            "preferred_over": None if other is None else asdict(other),
            "comment": comment,
        }
        data = (json.dumps(line, ensure_ascii=True) + "\n").encode()
        with self._lock:
            try:
                with self.path.open("ab") as file:
                    before = file.tell()
                    if before + len(data) > MAX_FILE_BYTES:
                        raise ConfigError(f"{self.path} is full; move it away")
                    try:
                        file.write(data)
                        file.flush()
                        os.fsync(file.fileno())
                    except OSError:
                        with suppress(OSError):
                            os.ftruncate(file.fileno(), before)
                        raise
            except OSError as error:
                raise ConfigError(f"cannot write {self.path}: {error.strerror}") from None

    def rows(self, form: Form) -> Iterator[str]:
        """Lines of a data set, as JSON.

        `messages`: answers that were rated above 0 or preferred, as conversations or as prompt and completion, which
        `data.datasets` trains on. `preference`: prompt, chosen and rejected, as TRL's preference trainers read them; of
        answers that were rated alone, those to the same prompt are set against each other, the best and the worst.
        `raw`: every line as it was written.
        """
        lines = list(self._lines())
        if form == "raw":
            yield from map(json.dumps, lines)
        elif form == "messages":
            yield from map(json.dumps, _liked(lines))
        else:
            yield from map(json.dumps, _preferences(lines))

    def _lines(self) -> Iterator[dict[str, Any]]:
        try:
            with self.path.open(encoding="utf-8") as file:
                for line in file:
                    with suppress(ValueError):  # a line that a crash has cut off
                        yield json.loads(line)
        except FileNotFoundError:
            return


def _prompt(ask: Ask, index: int) -> Prompt | None:
    """What a choice answers; None for token ids, which say nothing without their tokenizer."""
    if ask.messages is not None:
        return [dict(message) for message in ask.messages]
    prompt = ask.prompts[index // ask.n]
    return prompt if isinstance(prompt, str) else None


def _liked(lines: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The last word on each answer counts; a comment alone says nothing of whether it is liked."""
    last = {(line["id"], line["answer"]): line for line in lines if _rates(line)}
    for line in last.values():
        if (line["score"] or 0) > 0 or line["preferred_over"] is not None:
            prompt, answer = line["prompt"], line["answer"]
            if isinstance(prompt, str):
                yield {"prompt": prompt, "completion": answer}
            else:
                yield {"messages": [*prompt, {"role": "assistant", "content": answer}]}


def _rates(line: dict[str, Any]) -> bool:
    return line["score"] is not None or line["preferred_over"] is not None


def _preferences(lines: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The last word on each two answers counts: who changes their mind does not teach both."""
    rated: dict[str, dict[str, float]] = {}
    preferred: dict[frozenset[tuple[str, str]], dict[str, Any]] = {}
    for line in lines:
        if (other := line["preferred_over"]) is not None:
            two = frozenset(((line["id"], line["answer"]), (other["id"], other["answer"])))
            preferred[two] = _pair(line["prompt"], line["answer"], other["answer"])
        elif line["score"] is not None:
            rated.setdefault(json.dumps(line["prompt"]), {})[line["answer"]] = line["score"]
    yield from preferred.values()
    for prompt, scores in rated.items():
        best, worst = max(scores, key=scores.__getitem__), min(scores, key=scores.__getitem__)
        if scores[best] > scores[worst]:
            yield _pair(json.loads(prompt), best, worst)


def _pair(prompt: Prompt, chosen: str, rejected: str) -> dict[str, Any]:
    if isinstance(prompt, str):
        return {"prompt": prompt, "chosen": chosen, "rejected": rejected}
    answers = ([{"role": "assistant", "content": text}] for text in (chosen, rejected))
    return dict(zip(("prompt", "chosen", "rejected"), (prompt, *answers), strict=True))
