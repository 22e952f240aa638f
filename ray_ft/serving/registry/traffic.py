"""Shadow traffic: some requests are asked again of another model, after all others, and the answers kept aside."""

import asyncio
import json
import logging
import random
import time
from dataclasses import replace

from ray_ft.serving.exchange import Ask, Backend
from ray_ft.serving.refusals import ApiError, Refusal
from ray_ft.serving.registry.registry import Registry

logger = logging.getLogger(__name__)

MAX_OPEN = 4
"""Shadow answers that are made at a time; what comes beyond is dropped, so that a slow candidate piles nothing up."""
SHADOW_FILE = "shadow.jsonl"
MAX_FILE_BYTES = 64 * 2**20


class Shadows:
    """Asks again what the rules of the registry say. Belongs to one event loop; never delays nor breaks a reply."""

    def __init__(self, registry: Registry, backend: Backend) -> None:
        self.num_asked, self.num_dropped = 0, 0
        self._registry, self._backend = registry, backend
        self._open: set[asyncio.Task[None]] = set()
        self._random = random.Random()

    def mirror(self, ask: Ask) -> None:
        """Ask another model too, where a rule wants it and there is room."""
        for of, rule in self._registry.state.shadows.items():
            try:
                if self._registry.find(of).adapter != ask.adapter or self._random.random() >= rule.sample:
                    continue
                to = self._registry.find(rule.to)
            except ApiError:
                continue  # what the rule speaks of has been unloaded
            if len(self._open) >= MAX_OPEN:
                self.num_dropped += 1
                continue
            self.num_asked += 1
            again = replace(ask, adapter=to.adapter, is_streamed=False, is_background=True, id="")
            task = asyncio.create_task(self._ask(again, of=of, to=rule.to, version=to.version, reply=ask.id))
            self._open.add(task)
            task.add_done_callback(self._open.discard)

    async def _ask(self, ask: Ask, *, of: str, to: str, version: str, reply: str) -> None:
        began = time.monotonic()
        try:
            with self._registry.lease(ask.adapter):
                answer = await self._backend.answer(ask)
            if isinstance(answer, Refusal):
                self.num_dropped += 1
                return
            line = {
                "id": reply,
                "of": of,
                "to": to,
                "version": version,
                "seconds": round(time.monotonic() - began, 3),
                "texts": [piece.text for piece in answer],
            }
            await asyncio.to_thread(self._append, json.dumps(line, ensure_ascii=False) + "\n")
        except Exception:
            self.num_dropped += 1
            logger.warning("a shadow answer failed", exc_info=True)

    def _append(self, line: str) -> None:
        path = self._registry.folder.parent / SHADOW_FILE
        if not path.is_file() or path.stat().st_size < MAX_FILE_BYTES:
            with path.open("a", encoding="utf-8", errors="replace") as file:
                file.write(line)
