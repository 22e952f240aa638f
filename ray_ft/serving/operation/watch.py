"""Stands before whatever answers: lets asks in within the key's rights and limits, and counts what comes back."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from typing import Any

from ray_ft.serving.access.keys import EVERYONE
from ray_ft.serving.access.limits import Admission, Limits, TooMuch, cost_of
from ray_ft.serving.access.record import CURRENT, AskRecord, current_key
from ray_ft.serving.adapters import Models
from ray_ft.serving.exchange import Ask, Backend, Piece, Status
from ray_ft.serving.operation.drain import CUT_OFF, CutOffError, Drain
from ray_ft.serving.refusals import Refusal


class WatchedBackend:
    """A `Backend` over another one. What it does not know goes to that one untouched."""

    def __init__(
        self,
        backend: Backend,
        catalogue: Models,
        limits: Limits,
        drain: Drain,
        *,
        max_new_tokens: int,
        may_sleep: bool = False,
    ) -> None:
        self._backend = backend
        self._catalogue = catalogue
        self._limits = limits
        self._drain = drain
        self._max_new_tokens = max_new_tokens
        self._may_sleep = may_sleep
        self._status: Status | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    async def status(self) -> Status:
        """The model's; where all copies may be gone while nobody asks, the last one: a probe must not wake them."""
        if self._may_sleep and self._status is not None:
            return replace(self._status, num_open=self._limits.num_answers, num_waiting=0)
        self._status = await self._backend.status()
        return self._status

    async def answer(self, ask: Ask) -> list[Piece] | Refusal:
        """As the backend's, or a refusal before it is asked, or at the deadline of a drain."""
        opened = self._open(ask)
        if isinstance(opened, Refusal):
            return opened
        ask, admission, record = opened
        with admission, _failures_noted(record):
            try:
                async with self._drain.deadline():
                    pieces = await self._backend.answer(ask)
            except CutOffError:
                pieces = CUT_OFF
            if isinstance(pieces, Refusal):
                return _refused(pieces, record, admission)
            for piece in pieces:
                record.count(piece, is_streamed=False)
            record.close()
            admission.num_used = record.num_tokens
            return pieces

    async def stream(self, ask: Ask) -> AsyncGenerator[list[Piece] | Refusal, None]:
        """As `answer`, in pieces."""
        opened = self._open(ask)
        if isinstance(opened, Refusal):
            yield opened
            return
        ask, admission, record = opened
        with admission, _failures_noted(record):
            async with aclosing(self._backend.stream(ask)) as items:
                while True:
                    try:
                        async with self._drain.deadline():
                            item = await anext(items, None)
                    except CutOffError:
                        item = CUT_OFF
                    if item is None:
                        record.close()
                        return
                    if isinstance(item, Refusal):
                        yield _refused(item, record, admission)
                        return
                    for piece in item:
                        record.count(piece, is_streamed=True)
                    if any(piece.finish_reason for piece in item):
                        admission.num_used = record.num_tokens
                    yield item

    def _open(self, ask: Ask) -> tuple[Ask, Admission, AskRecord] | Refusal:
        # what the server asks on its own account is nobody's and takes room alone
        request, key = (None, EVERYONE) if ask.is_background else (CURRENT.get(), current_key())
        if not key.allows(ask.adapter):  # however a route came by the name
            return Refusal(404, f"The model {ask.adapter!r} does not exist", code="model_not_found", param="model")
        admitted = self._limits.admit(key, cost_of(ask, max_new_tokens=self._max_new_tokens))
        if isinstance(admitted, TooMuch):
            if request is not None:
                request.refused = admitted.refusal.code or ""
                request.retry_after = admitted.retry_after
            return admitted.refusal
        record = self._record(ask)
        if request is not None:
            request.asks.append(record)
        return (replace(ask, tenant=key.id) if key.id else ask), admitted, record

    def _record(self, ask: Ask) -> AskRecord:
        for model in self._catalogue.models:
            if model.adapter == ask.adapter:
                return AskRecord(model.id, model.version, ask.n)
        name, _, version = (ask.adapter or "").partition("@")
        return AskRecord(name, version, ask.n)


@contextmanager
def _failures_noted(record: AskRecord) -> Iterator[None]:
    """A backend that fails is no client that goes away."""
    try:
        yield
    except Exception:
        record.finish = "error"
        raise


def _refused(refusal: Refusal, record: AskRecord, admission: Admission) -> Refusal:
    """What a backend refuses costs nothing but what it has delivered."""
    record.finish = "error" if refusal.status >= 500 else "refused"
    admission.num_used = record.num_tokens
    return refusal
