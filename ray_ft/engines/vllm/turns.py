"""Who is next, as numbers for vLLM's queue of priorities: lines of a tenant and an adapter take turns by their tokens.

Start-time fair queueing (Goyal, Vin, Cheng 1996), as the transformers engine has it.
"""

from ray_ft.engines.requests import GenerateRequest

BACKGROUND = 2**48
"""More tokens than are ever asked for while the engine is busy: what is in the background comes last."""

Line = tuple[str, str]


class Turns:
    """Start tags of requests, in tokens of virtual time; lower goes first."""

    def __init__(self) -> None:
        self._ends: dict[Line, int] = {}
        self._now = 0
        self._num_open = 0

    def take(self, request: GenerateRequest, num_tokens: int) -> int:
        """The priority of a request that may cost so many tokens."""
        line = (request.tenant, request.adapter or "")
        start = max(self._ends.get(line, 0), self._now)
        self._ends[line] = start + num_tokens
        self._num_open += 1
        return start + (BACKGROUND if request.is_background else 0)

    def begin(self, priority: int) -> None:
        """A request is being answered: who comes now gets no turn from before."""
        self._now = max(self._now, priority % BACKGROUND)

    def end(self) -> None:
        """A request is done; once all are, the past is forgotten."""
        self._num_open -= 1
        if not self._num_open:
            self._ends.clear()
            self._now = 0
