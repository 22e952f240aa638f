"""What stands between the routes and the copies of the model: who may answer now, and what is deployed next.

A backend itself: it holds an answer's version until the answer has ended, refuses what failed its gate, and waits for
what is being loaded.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

from ray_ft.config import ServingConfig
from ray_ft.errors import ModelError, first_line
from ray_ft.serving.exchange import AdapterBackend, Ask, Piece, Status
from ray_ft.serving.refusals import Refusal
from ray_ft.serving.registry.feedback import Replies
from ray_ft.serving.registry.names import AT
from ray_ft.serving.registry.registry import Registry, not_ready, version_of
from ray_ft.serving.registry.traffic import Shadows
from ray_ft.serving.registry.versions import Version, copy_adapter

logger = logging.getLogger(__name__)


class LoadedAlreadyError(ModelError):
    """A name has a version that answers, or soon will."""


class Desk:
    """`Backend` over the copies of the model, and the changes to what they hold. Belongs to one event loop."""

    def __init__(
        self, registry: Registry, backend: AdapterBackend, serving: ServingConfig, *, roots: Sequence[str | Path] = ()
    ) -> None:
        self.registry = registry
        self.roots = tuple(Path(root).resolve() for root in roots)
        self.shadows = Shadows(registry, backend)
        self.replies = Replies()
        self._backend = backend
        self._wait_s = serving.adapter_wait_s
        self._keep = serving.keep_versions
        self._loading: dict[str, asyncio.Task[Version]] = {}  # by name@version
        self._names: dict[str, asyncio.Lock] = {}
        self._syncing: set[asyncio.Task[None]] = set()

    # --- answering ----------------------------------------------------------------------------------------------------

    async def status(self) -> Status:
        """How the model is doing; raises when it cannot answer."""
        return await self._backend.status()

    async def answer(self, ask: Ask) -> list[Piece] | Refusal:
        """All choices, each in one piece."""
        with self._lease(ask.adapter):
            if (refusal := await self._hindrance(ask.adapter)) is not None:
                return refusal
            answer = await self._backend.answer(ask)
            if not isinstance(answer, Refusal):
                for piece in answer:
                    self._remember(ask, piece.index, piece.text)
                self.shadows.mirror(ask)
            return answer

    async def stream(self, ask: Ask) -> AsyncGenerator[list[Piece] | Refusal, None]:
        """An empty list once the ask is accepted, then pieces as they come; or a refusal at any point."""
        with self._lease(ask.adapter):
            if (refusal := await self._hindrance(ask.adapter)) is not None:
                yield refusal
                return
            texts: dict[int, list[str]] = {}
            async with aclosing(self._backend.stream(ask)) as stream:
                async for item in stream:
                    for piece in () if isinstance(item, Refusal) else item:
                        texts.setdefault(piece.index, []).append(piece.text)
                        if piece.finish_reason is not None:
                            self._remember(ask, piece.index, "".join(texts.pop(piece.index)))
                    yield item
                    if item == []:
                        self.shadows.mirror(ask)

    async def tokenize(
        self, ask: Ask, *, add_special_tokens: bool, with_texts: bool
    ) -> list[tuple[int, str | None]] | Refusal:
        """Ids of the ask's only prompt, each with its text where that is wanted."""
        return await self._backend.tokenize(ask, add_special_tokens=add_special_tokens, with_texts=with_texts)

    async def detokenize(self, ids: Sequence[int]) -> str | Refusal:
        """Text of ids, special tokens included."""
        return await self._backend.detokenize(ids)

    def _remember(self, ask: Ask, index: int, text: str) -> None:
        self.replies.remember(ask, index, text, model=ask.adapter or self.registry.base.id)

    @contextmanager
    def _lease(self, key: str | None) -> Iterator[None]:
        """Hold a version; with the last answer of one that has been unloaded, the copies let go of it too."""
        try:
            with self.registry.lease(key):
                yield
        finally:
            if key is not None and version_of(key) not in self.registry.held:
                task = asyncio.create_task(self._sync())
                self._syncing.add(task)
                task.add_done_callback(self._syncing.discard)

    async def _hindrance(self, key: str | None) -> Refusal | None:
        """Why a version cannot answer, after having waited for it to be loaded."""
        version = None if key is None else self.registry.version(key)
        if key is None or version is None:
            return None
        if version.state == "loading" and (task := self._loading.get(key)) is not None:
            await asyncio.wait([task], timeout=self._wait_s)
            version = self.registry.version(key) or version
        if version.state == "ready":
            return None
        if version.state == "failed":
            return not_ready(version, key)
        return Refusal(503, f"the adapter is still being loaded after {self._wait_s:g} s", code="adapter_loading")

    # --- deploying ----------------------------------------------------------------------------------------------------

    async def deploy(
        self,
        name: str,
        folder: str | Path,
        *,
        step: int | None = None,
        run: str = "",
        is_trusted: bool = False,
        may_replace: bool = True,
    ) -> Version:
        """Copy an adapter, load it, and let the name mean it once it has passed its gate.

        The version is returned as it turned out, failed ones too. Raises ModelError where there is nothing to copy, or,
        without `may_replace`, where the name is taken. Only folders below the roots are read, from which a relative
        path leads on, unless `is_trusted`. A caller that goes away does not stop it.
        """
        below = None if is_trusted else self.roots
        if not is_trusted:
            folder = next((p for root in self.roots if (p := root / folder).is_dir()), Path(folder))
        async with self._names.setdefault(name, asyncio.Lock()):
            taken = self.registry.state.adapters.get(name)
            if not may_replace and taken is not None and any(v.state != "failed" for v in taken.versions):
                raise LoadedAlreadyError(
                    f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, set "
                    "'load_inplace' to True."
                )
            copied = await asyncio.to_thread(copy_adapter, name, folder, self.registry.folder, below=below)
            version = self.registry.adopt(name, copied, source=str(folder), step=step, run=run)
            if version.state == "ready":
                self.registry.settle(name, version.id, state="ready", probe=version.probe)
                return version
            task = self._load(name, version)
        return await asyncio.shield(task)

    async def remove(self, name: str) -> None:
        """Forget a name; answers that are being made end as they began."""
        async with self._names.setdefault(name, asyncio.Lock()):
            self.registry.remove(name)
        await self._sync()

    async def resume(self) -> None:
        """Go on with what was being loaded when the gateway ended."""
        for name, adapter in self.registry.state.adapters.items():
            for version in adapter.versions:
                if version.state == "loading":
                    self._load(name, version)

    async def probe_of(self, version: Version) -> dict[str, Any] | None:
        """What came of a version's probe; the copies know, of those that the endpoint began with."""
        if version.state != "ready" or version.probe is not None:
            return version.probe
        return (await self._backend.load(version.id)).probe

    async def _sync(self) -> None:
        """Tell the copies; one that cannot be told finds out by itself, or when it starts again."""
        try:
            await self._backend.sync()
        except Exception as error:
            logger.warning("the copies of the model were not told what is deployed now: %s", first_line(error))

    def _load(self, name: str, version: Version) -> "asyncio.Task[Version]":
        key = f"{name}{AT}{version.id}"
        if key not in self._loading:
            self._loading[key] = task = asyncio.create_task(self._loaded(name, version))
            task.add_done_callback(lambda _: self._loading.pop(key, None))
        return self._loading[key]

    async def _loaded(self, name: str, version: Version) -> Version:
        try:
            verdict = await self._backend.load(version.id)
            reason, probe = verdict.reason, verdict.probe
        except Exception as error:  # the copy that was asked has gone
            logger.exception("version %s of %r was not loaded", version.id, name)
            reason, probe = f"it could not be loaded: {first_line(error)}", None
        state = "failed" if reason else "ready"
        self.registry.settle(name, version.id, state=state, reason=reason, probe=probe)
        await asyncio.to_thread(self.registry.prune, name, self._keep)
        await self._sync()
        adapter = self.registry.state.adapters.get(name)
        settled = None if adapter is None else adapter.version(version.id)
        if settled is None:
            raise ModelError(f"adapter {name!r} was unloaded while it was being loaded")
        return settled
