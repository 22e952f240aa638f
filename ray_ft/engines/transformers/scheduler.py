"""The thread that runs a model: answers begin and end at any step, and all that are open share its passes."""

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from ray_ft.engines.requests import EngineStatus, TokenLogprob
from ray_ft.engines.transformers.adapters import Adapter
from ray_ft.engines.transformers.lines import WaitingLines
from ray_ft.engines.transformers.passes import Passes
from ray_ft.engines.transformers.rows import Row
from ray_ft.engines.transformers.sampling import choose_tokens, log_probabilities, told_of
from ray_ft.errors import EngineStoppedError, GenerationError, first_line

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Scoring:
    """Pieces of texts to score, each fits a pass; what is known of their tokens comes when all are done."""

    pieces: deque[list[int]]  # ids, of which all but the first are predicted
    adapter: str | None
    num_logprobs: int | None = None  # of the likeliest in each place; None: no texts either
    scores: list[list[TokenLogprob]] = field(default_factory=list)
    done: "Future[list[list[TokenLogprob]]]" = field(default_factory=Future)


class Scheduler:
    """Owns the passes of a model. All public methods may be called from any thread."""

    def __init__(self, passes: Passes, *, max_rows: int, max_adapters: int, decode: Callable[..., str]) -> None:
        self._passes = passes
        self._max_rows = max_rows
        self._max_adapters = max_adapters
        self._decode = decode
        self._adapters: dict[str, Adapter] = {}  # all that are held
        self._offered: list[str] = []  # those of them that can be asked for
        self._needed: dict[str, int] = {}  # open requests of each adapter
        self._lock = threading.Lock()
        self._inbox: queue.SimpleQueue[Row | Scoring | None] = queue.SimpleQueue()
        self._waiting = WaitingLines()
        self._running: list[Row] = []
        self._scoring: list[Scoring] = []
        self._num_passes = 0
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    # --- from any thread ----------------------------------------------------------------------------------------------

    @property
    def names(self) -> tuple[str, ...]:
        """Adapters that can be asked for."""
        return tuple(self._offered)

    def offer(self, adapter: Adapter) -> None:
        """Let an adapter be asked for. Raises GenerationError where the name is taken."""
        with self._lock:
            if adapter.name in self._adapters:
                raise GenerationError(f"adapter {adapter.name!r} is loaded already")
            self._adapters[adapter.name] = adapter
            self._offered.append(adapter.name)

    def withdraw(self, name: str) -> None:
        """Let no more requests ask for an adapter; it is freed with the last of those that did."""
        with self._lock:
            if name in self._offered:
                self._offered.remove(name)
            self._inbox.put(Scoring(deque(), None))  # wakes the thread, which lets go of what nobody needs

    def add(self, row: Row) -> Callable[[], None]:
        """Hand an answer over; returns what cancels it. Raises GenerationError where its adapter is not there."""
        self._put(row, row.request.adapter)
        return row.cancelled.set

    def score(
        self, pieces: Sequence[list[int]], *, adapter: str | None, num_logprobs: int | None
    ) -> list[list[TokenLogprob]]:
        """Each piece's tokens after its first; waits for them."""
        scoring = Scoring(deque(pieces), adapter, num_logprobs)
        self._put(scoring, adapter)
        return scoring.done.result()

    def status(self) -> EngineStatus:
        """What there is to do. Raises GenerationError once the thread has ended."""
        self._check_alive()
        cache = self._passes.cache
        num_taken = cache.num_taken - self._passes.prefixes.num_places
        num_waiting = len(self._waiting) + self._inbox.qsize()
        num_bytes = cache.num_tokens * cache.token_bytes
        return EngineStatus(len(self._running), num_waiting, self.names, num_taken, cache.num_tokens, num_bytes)

    def close(self) -> None:
        """Stop after the current pass."""
        self._inbox.put(None)
        self._thread.join(timeout=60)

    def check_adapter(self, name: str | None) -> None:
        """Raise GenerationError where an adapter cannot be asked for."""
        if name is not None and name not in self._offered:
            known = ", ".join(self._offered) or "none"
            raise GenerationError(f"no adapter {name!r} is loaded; loaded are: {known}")

    def _put(self, new: Row | Scoring, adapter: str | None) -> None:
        with self._lock:
            self._check_alive()
            self.check_adapter(adapter)
            if adapter is not None:
                self._needed[adapter] = self._needed.get(adapter, 0) + 1
            self._inbox.put(new)

    def _release(self, name: str | None) -> None:
        if name is not None:
            with self._lock:
                self._needed[name] -= 1

    def _check_alive(self) -> None:
        if self._error is not None:
            raise EngineStoppedError(f"the engine has stopped: {first_line(self._error)}")

    # --- in the model's thread ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        error: Exception = EngineStoppedError("the model was closed")
        try:
            while self._take():
                self._drop_cancelled()
                self._begin()
                self._step()
                self._score()
                self._let_go()
        except Exception as bug:
            logger.exception("the engine's thread ends")
            error = bug
        with self._lock:  # whatever comes in later is refused
            self._error = error
        while not self._inbox.empty():
            self._sort(self._inbox.get())
        for row in [*self._running, *self._waiting]:
            row.fail(error)
        for scoring in self._scoring:
            scoring.done.set_exception(error)
        self._running, self._scoring = [], []

    def _take(self) -> bool:
        """Take in what is new; sleeps while there is nothing to do. False once the model is to be closed."""
        is_idle = not self._running and not len(self._waiting) and not self._scoring
        while is_idle or not self._inbox.empty():
            if (new := self._inbox.get()) is None:
                return False
            self._sort(new)
            is_idle = False
        return True

    def _sort(self, new: Row | Scoring | None) -> None:
        if isinstance(new, Row):
            self._waiting.add(new)
        elif new is not None and new.pieces:
            self._scoring.append(new)
        elif new is not None and not new.done.done():
            new.done.set_result(new.scores)
            self._release(new.adapter)

    def _drop_cancelled(self) -> None:
        for row in [row for row in self._running if row.cancelled.is_set()]:
            self._end(row)
        gone = [row for row in self._waiting if row.cancelled.is_set()]
        if gone:
            self._waiting.drop(lambda row: row in gone)
        for row in gone:
            self._release(row.request.adapter)

    def _begin(self) -> None:
        """Let answers begin while there is room for them."""
        while len(self._running) < self._max_rows:
            row = self._waiting.pick(self._can_begin)
            if row is None:
                return
            self._running.append(row)

    def _can_begin(self, row: Row) -> bool:
        """Whether there is room in the cache, and for its adapter in the stack; both are taken then."""
        name = row.request.adapter
        if name is not None and not self._bring_in(name):
            return False
        return self._passes.prefixes.begin(row)

    def _bring_in(self, name: str) -> bool:
        """Put an adapter into the stack, in the place of the one that was idle longest."""
        stack = self._passes.stack
        if name not in stack.resident:
            if len(stack.resident) >= self._max_adapters:
                busy = {row.request.adapter for row in self._running}
                idle = [n for n in stack.resident if n not in busy]
                if not idle:
                    return False
                stack.remove(min(idle, key=lambda n: stack.resident[n].last_used))
            stack.install(self._adapters[name])
        stack.resident[name].last_used = self._num_passes
        return True

    def _step(self) -> None:
        """One pass for all that are open; one answer's fault ends that answer, a pass's fault all of its answers."""
        if not self._running:
            return
        self._num_passes += 1
        try:
            chosen = self._passes.prefixes.share(self._running, room=self._passes.stretch)
            rows, logits = self._passes.advance(chosen)
            tokens = choose_tokens(logits, [row.choice for row in rows])
            told = log_probabilities(logits, tokens, [row.choice for row in rows], self._decode)
        except Exception as error:
            logger.exception("a pass failed")
            for row in list(self._running):
                self._end(row)
                row.fail(error)
            return
        for row, token, logprobs in zip(rows, tokens, told, strict=True):
            try:
                has_ended = row.accept(token, logprobs)
            except Exception as error:
                logger.exception("an answer failed")
                self._end(row)
                row.fail(error)
                continue
            if has_ended:
                self._end(row)

    def _end(self, row: Row) -> None:
        self._running.remove(row)
        self._passes.prefixes.end(row)
        self._release(row.request.adapter)
        if row.request.adapter is not None:
            self._passes.stack.resident[row.request.adapter].last_used = self._num_passes

    def _score(self) -> None:
        """One pass of texts to score; answers go on between them."""
        if not self._scoring:
            return
        scoring = self._scoring[0]
        try:
            if scoring.adapter is not None and not self._bring_in(scoring.adapter):
                return  # its adapter finds no room yet
            taken, num_tokens = list[list[int]](), 0
            while scoring.pieces and (not taken or num_tokens + len(scoring.pieces[0]) <= self._passes.stretch):
                taken.append(scoring.pieces.popleft())
                num_tokens += len(taken[-1])
            scores = self._passes.scores(taken, [scoring.adapter] * len(taken), most=scoring.num_logprobs or 0)
            text = self._decode if scoring.num_logprobs is not None else (lambda ids: "")
            scoring.scores += [
                [told_of(i, score, text) for i, score in zip(ids[1:], each, strict=True)]
                for ids, each in zip(taken, scores, strict=True)
            ]
            if not scoring.pieces:
                scoring.done.set_result(scoring.scores)
        except Exception as error:
            scoring.done.set_exception(error)
        if scoring.done.done():
            self._scoring.remove(scoring)
            self._release(scoring.adapter)

    def _let_go(self) -> None:
        """Free adapters that nobody may ask for and nobody waits for."""
        if len(self._offered) == len(self._adapters):
            return
        with self._lock:
            for name in [n for n in self._adapters if n not in self._offered and not self._needed.get(n)]:
                del self._adapters[name]
                self._needed.pop(name, None)
                self._passes.prefixes.forget(name)
                if name in self._passes.stack.resident:
                    self._passes.stack.remove(name)
