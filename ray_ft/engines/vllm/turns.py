"""Who is next, as numbers for vLLM's queue of priorities."""

from ray_ft.engines.fair import VirtualClock
from ray_ft.engines.requests import GenerateRequest

BACKGROUND = 2**48
"""More tokens than are ever asked for while the engine is busy: what is in the background comes last."""

Line = tuple[str, str]


class Turns:
    """Start tags of requests, in tokens of virtual time; lower goes first."""

    def __init__(self) -> None:
        self._clock = VirtualClock[Line]()
        self._num_open = 0

    def take(self, request: GenerateRequest, num_tokens: int) -> int:
        """The priority of a request that may cost so many tokens."""
        line = (request.tenant, request.adapter or "")
        self._clock.join(line)
        self._num_open += 1
        return self._clock.take(line, num_tokens) + (BACKGROUND if request.is_background else 0)

    def begin(self, priority: int) -> None:
        """A request is being answered: who comes now gets no turn from before."""
        self._clock.begin(priority % BACKGROUND)

    def end(self) -> None:
        """A request is done; once all are, the past is forgotten."""
        self._num_open -= 1
        if not self._num_open:
            self._clock.forget()
