"""The adapters that vLLM holds: which name means which of them, and when one may go."""

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from ray_ft.engines.vllm.versions import VLLM
from ray_ft.errors import GenerationError, ModelError, first_line


class HeldAdapters:
    """LoRARequests by name. All methods may be called from any thread.

    vLLM removes an adapter under the answers that it is giving, and then reads its folder again, where another may lie;
    so one goes only with the last request that began with it.
    """

    def __init__(self, vllm: VLLM, engine: Any, call: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._vllm, self._engine, self._call = vllm, engine, call
        self._lock = threading.Lock()
        self._by_name: dict[str, Any] = {}
        self._needed: Counter[int] = Counter()  # open requests of each id
        self._leaving: set[int] = set()
        self._ids = itertools.count(1)  # none is used twice: caches know an adapter by it

    @property
    def names(self) -> tuple[str, ...]:
        """Adapters that can be asked for."""
        return tuple(self._by_name)

    def load(self, name: str, folder: str) -> None:
        """Load an adapter that has passed the gate. Raises ModelError, or GenerationError where the name is taken."""
        self._refuse_taken(name)
        number = next(self._ids)
        # Batches and the prefix cache know an adapter by its name, so that each version has one of its own.
        lora = self._vllm.LoRARequest(lora_name=f"{name}#{number}", lora_int_id=number, lora_path=str(folder))
        try:
            is_loaded = self._call(self._engine.add_lora(lora))
        except Exception as error:
            raise ModelError(f"adapter {name!r} ({folder}): vLLM cannot load it: {first_line(error)}") from error
        if not is_loaded:
            raise ModelError(f"adapter {name!r} ({folder}): vLLM has not loaded it")
        try:
            with self._lock:
                self._refuse_taken(name)
                self._by_name[name] = lora
        except GenerationError:
            self._call(self._engine.remove_lora(number))
            raise

    def withdraw(self, name: str) -> int | None:
        """Let no more requests ask for an adapter; returns the id that may be removed now, if any."""
        with self._lock:
            lora = self._by_name.pop(name, None)
            if lora is None:
                return None
            self._leaving.add(lora.lora_int_id)
            return self._gone(lora.lora_int_id)

    def need(self, name: str | None) -> Any:
        """The LoRARequest of a name, held until `release`; None for the base. Raises GenerationError."""
        if name is None:
            return None
        with self._lock:
            lora = self._find(name)
            self._needed[lora.lora_int_id] += 1
            return lora

    def release(self, lora: Any) -> int | None:
        """A request is done with an adapter; returns the id that may be removed now, if any."""
        if lora is None:
            return None
        with self._lock:
            self._needed[lora.lora_int_id] -= 1
            return self._gone(lora.lora_int_id)

    def check(self, name: str | None) -> None:
        """Raise GenerationError where an adapter cannot be asked for."""
        if name is not None:
            self._find(name)

    def _find(self, name: str) -> Any:
        if name not in self._by_name:
            known = ", ".join(self._by_name) or "none"
            raise GenerationError(f"no adapter {name!r} is loaded; loaded are: {known}")
        return self._by_name[name]

    def _refuse_taken(self, name: str) -> None:
        if name in self._by_name:
            raise GenerationError(f"adapter {name!r} is loaded already")

    def _gone(self, number: int) -> int | None:
        if number not in self._leaving or self._needed[number]:
            return None
        self._leaving.discard(number)
        del self._needed[number]
        return number
