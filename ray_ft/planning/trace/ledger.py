"""Which storages live when: all that a traced step makes and drops, and the most that lives at once in its phases."""

import weakref
from collections.abc import Callable
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.weak import WeakIdKeyDictionary

BLOCK = 512  # CUDA's caching allocator rounds to this many bytes


class Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is active, counts what is made; entered inside FakeTensorMode, so that nothing has any data.

    What is released is counted whenever that happens. `working` gives the bytes that an operator's kernel allocates for
    itself, by the operator's name.
    """

    def __init__(self, working: dict[str, Callable[..., int]] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.working = working or {}
        self._known: Any = WeakIdKeyDictionary()
        self._events: list[tuple[int, int]] = []  # storage, bytes (negative when it is released)
        self._marks: list[tuple[int, str]] = []  # from which event on a phase runs
        self._next = 0
        self.paused = False  # while PyTorch itself works with tensors that a run would not have

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if self.paused:
            return out
        self.note(out)
        if (working := self.working.get(str(func))) is not None:
            self._next += 1
            extra = working(*args)
            self._events += [(self._next, extra), (self._next, -extra)]
        return out

    def note(self, tensors: Any) -> None:
        """Count the storages of the tensors, each once."""
        import torch

        for tensor in tree_iter(tensors):
            if not isinstance(tensor, torch.Tensor):
                continue
            storage = tensor.untyped_storage()
            if storage in self._known:
                continue
            self._next += 1
            size = -(-storage.nbytes() // BLOCK) * BLOCK
            self._known[storage] = self._next
            self._events.append((self._next, size))
            weakref.finalize(storage, self._events.append, (self._next, -size))

    def mark(self, phase: str) -> None:
        self._marks.append((len(self._events), phase))

    def storages(self, tensors: Any) -> set[int]:
        """The ledger's numbers of the tensors' storages."""
        return {self._known[t.untyped_storage()] for t in tensors if t.untyped_storage() in self._known}

    def live(self) -> int:
        """Bytes that live now."""
        return sum(size for _, size in self._events)

    def peaks(self, *, without: set[int]) -> dict[str, int]:
        """Most bytes that lived at once in each phase, leaving some storages out."""
        found: dict[str, int] = {}
        marks = [*self._marks, (len(self._events) + 1, "")]
        total, phase = 0, ""
        for index, (storage, size) in enumerate(self._events):
            while marks and marks[0][0] <= index:
                phase = marks.pop(0)[1]
                found[phase] = max(found.get(phase, 0), total)
            if storage not in without:
                total += size
            if phase:
                found[phase] = max(found.get(phase, 0), total)
        return found
