"""What engines have answered so far: found again by what was asked, so that no finished answer is asked for twice.

Answers lie in journals, written one by one as they come. An answer belongs to a request and to the engine as it is
configured, not to a run or a document: a second run, other recipes and changed files take over what still applies.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

from ray_ft.data.run.journal import Journal, Ref, read_body
from ray_ft.data.run.segments import entries_in
from ray_ft.engines import WriteRequest, Written
from ray_ft.errors import GenerationError
from ray_ft.rows import MAX_NEW_TOKENS

BOUND = re.compile(r', "max(?:Items|Length)": \d+')


class NotAnswered(GenerationError):
    """A recipe asked what the engine has not answered yet."""

    def __init__(self) -> None:
        super().__init__("the engine's answers are not complete; run prepare again to go on with them")


@dataclass(frozen=True)
class ResponseCache:
    """Where answers lie, and whose: `identity` is the engine's, `run` tells this run's refusals from older ones."""

    folder: str
    identity: str
    run: str
    round: int = 0  # answers that come later are not looked for again within a round

    def key(self, request: WriteRequest) -> bytes:
        """32 bytes that stand for a request to this engine; a schema's bounds and more room make no other one."""
        room = min(request.max_new_tokens, MAX_NEW_TOKENS)
        asked = asdict(request) | {"schema": BOUND.sub("", request.schema), "max_new_tokens": room}
        if request.system is None:  # as before there was the field
            del asked["system"]
        text = json.dumps([self.identity, asked], sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode()).digest()

    def keep(self, journal: Journal, request: WriteRequest, written: Written) -> None:
        """Note an answer, or a refusal, which counts for this run only."""
        journal.done(self.key(request), (self.run, written.error), written.text)


class Answered:
    """An engine that has answered already: what a recipe may ask. What it has not is noted in `missing`."""

    def __init__(self, at: ResponseCache) -> None:
        self.at = at
        self.known = find_responses(at)
        self.missing: dict[bytes, WriteRequest] = {}

    def __call__(self, prompts: list[str], /, *, schema: str = "", max_new_tokens: int = MAX_NEW_TOKENS) -> list[str]:
        """The answers, "" for refused ones. Raises NotAnswered when one is missing."""
        requests = [WriteRequest(prompt, schema, max_new_tokens) for prompt in prompts]
        keys = [self.at.key(request) for request in requests]
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in self.known}
        if missing:
            self.missing |= missing
            raise NotAnswered
        return [read_body(ref, str) if (ref := self.known[key]) is not None else "" for key in keys]


@lru_cache(maxsize=2)
def find_responses(at: ResponseCache) -> dict[bytes, Ref | None]:
    """Where each answer lies, by its request's key; None for those that were refused in this run."""
    found: dict[bytes, Ref | None] = {}
    for entry in entries_in(at.folder):
        head = entry.head_as(tuple[str, str])
        if entry.ref is None or head is None:
            continue
        run, error = head
        if not error:
            found[entry.key] = entry.ref
        elif run == at.run:
            found.setdefault(entry.key, None)
    return found


def as_row(request: WriteRequest) -> dict[str, str]:
    """A request on its way through Ray Data."""
    return {"request": json.dumps(asdict(request))}


def from_rows(rows: Sequence[str]) -> list[WriteRequest]:
    """Inverse of `as_row`, each request once."""
    return list(dict.fromkeys(WriteRequest(**json.loads(row)) for row in rows))
