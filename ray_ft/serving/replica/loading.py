"""A replica that loads its own model, and the versions of adapters that its endpoint has deployed."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

from ray_ft.engines import Engine, LoadedModel
from ray_ft.engines.probe import arithmetic_of
from ray_ft.errors import ModelError
from ray_ft.serving.exchange import Ask, Piece, Verdict
from ray_ft.serving.refusals import Refusal
from ray_ft.serving.registry.registry import read_state, version_of
from ray_ft.serving.replica.replica import ModelReplica
from ray_ft.serving.replica.residency import Held, Residency

SYNC_SECONDS = 2
"""How often a copy of the model looks whether others have deployed something."""


class AdapterReplica(ModelReplica):
    """Answers for the base and for every version that is deployed; `ask.adapter` is `name@version`."""

    def __init__(
        self,
        model: LoadedModel,
        folder: str | Path,
        *,
        max_new_tokens: int,
        adapter_wait_s: float = 30.0,
        arithmetic: str = "float32",
    ) -> None:
        super().__init__(model, max_new_tokens=max_new_tokens)
        self._adapter_wait_s = adapter_wait_s
        self.residency = Residency(model, folder, arithmetic=arithmetic)

    async def load(self, version: str) -> Verdict:
        """What comes of loading a version."""
        return (await asyncio.shield(asyncio.wrap_future(self.residency.load(version)))).verdict

    async def sync(self) -> None:
        """Begin to load what is deployed now, let go of the rest."""
        await asyncio.get_running_loop().run_in_executor(None, self.residency.sync)

    async def stream(self, ask: Ask) -> AsyncGenerator[list[Piece] | Refusal, None]:
        """As the base class; a version that is not there yet is waited for."""
        if ask.adapter is not None:
            held = await self._held(version_of(ask.adapter))
            if isinstance(held, Refusal):
                yield held
                return
            ask = replace(ask, adapter=held.name)
        async with aclosing(super().stream(ask)) as stream:
            async for item in stream:
                yield item

    def close(self) -> None:
        """Let go of the model."""
        self.residency.close()
        super().close()

    async def _held(self, version: str) -> Held | Refusal:
        loading = asyncio.wrap_future(self.residency.load(version))
        try:
            held = await asyncio.wait_for(asyncio.shield(loading), self._adapter_wait_s)
        except TimeoutError:
            return Refusal(
                503, f"the adapter is still being loaded after {self._adapter_wait_s:g} s", code="adapter_loading"
            )
        if held.verdict.reason:
            message = f"The adapter cannot answer: {held.verdict.reason}"
            return Refusal(400, message, code="adapter_not_ready", param="model")
        return held


class LoadingReplica(AdapterReplica):
    """How Ray Serve starts a copy of the model: the base, then the deployed versions, and then whatever changes.

    Raises ModelError where the base, or an adapter that the endpoint began with, cannot be loaded.
    """

    def __init__(
        self,
        engine: Engine,
        model_path: str,
        folder: str,
        *,
        max_new_tokens: int,
        adapter_wait_s: float,
        chat_template: str | None = None,
    ) -> None:
        model = engine.load(model_path, {}, chat_template=chat_template)
        super().__init__(
            model,
            folder,
            max_new_tokens=max_new_tokens,
            adapter_wait_s=adapter_wait_s,
            arithmetic=served_arithmetic(engine),
        )
        state = read_state(folder)
        self.residency.sync(state.wanted)
        for name, adapter in state.adapters.items():
            for version in adapter.versions:
                reason = self.residency.load(version.id).result().verdict.reason if version.state == "ready" else ""
                if reason:
                    raise ModelError(f"adapter {name!r} ({version.source}): {reason}")
        self._stopped = threading.Event()
        threading.Thread(target=self._follow, name="deployed", daemon=True).start()

    def close(self) -> None:
        """Let go of the model."""
        self._stopped.set()
        super().close()

    def _follow(self) -> None:
        while not self._stopped.wait(SYNC_SECONDS):
            self.residency.sync()


def served_arithmetic(engine: Engine) -> str:
    """How coarse an engine computes here."""
    dtype = getattr(engine, "dtype", "auto")
    if dtype == "auto":
        import torch

        dtype = "16 bits" if torch.cuda.is_available() else "float32"
    return arithmetic_of(dtype, is_quantised=getattr(engine, "quantization", "none") not in ("none", None))
