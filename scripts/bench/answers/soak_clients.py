"""The clients of a long mixed load: each asks its kind of request again and again, and counts what comes back."""

import asyncio
import itertools
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, Self

import aiohttp

from bench.answers.clients import at

PROMPTS = ("How is a lock released?", "join", "Name one error and say why it comes.", "List the words: rope, knot, bow")
NEW_TOKENS = 16
BURST = 64
"""Requests that are sent at the same moment, before the load and after it."""
PAUSE_SECONDS = 0.1
"""Between two requests of a client, at the mean."""
CLIENTS = {"whole": 5, "stream": 3, "sampled": 1, "cancel": 1, "bad": 1, "adapter": 1, "feedback": 1, "scrape": 1}

BAD: tuple[tuple[str, bytes, int], ...] = (
    ("/v1/completions", b"{", 400),
    ("/v1/completions", b'{"model": "base", "prompt": "\\ud800"}', 400),
    ("/v1/completions", b'{"model": "nobody", "prompt": "x"}', 404),
    ("/v1/completions", b'{"model": "base", "prompt": "x", "temperature": 9}', 400),
    ("/v1/chat/completions", b'{"model": "base", "messages": []}', 400),
    ("/v1/chat/completions", b"\xff\xfe", 400),
    ("/v1/completions", b'{"model": "base", "prompt": "' + b"word " * 200_000 + b'"}', 400),
    ("/v1/load_lora_adapter", b'{"lora_name": "x", "lora_path": "/etc"}', 404),
    ("/v1/nothing", b"{}", 404),
)
"""Route, body, and the status that it gets."""


class Load:
    """All clients of one endpoint. `alone` is each greedy request's text when nothing else was asked."""

    def __init__(self, url: str, models: list[str], coming: list[str]) -> None:
        self._url, self._models, self._coming = url, models, coming
        self.alone: dict[tuple[str, str, bool], str] = {}
        self._counts: Counter[str] = Counter()
        self._seconds: list[float] = []
        self._random = random.Random(0)
        self._last_id = ""

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(self._url, connector=connector, timeout=aiohttp.ClientTimeout(300))
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._session.close()

    def take(self) -> dict[str, Any]:
        """What was counted since the last time, with latencies of whole answers."""
        seconds, counts = self._seconds, dict(self._counts)
        self._seconds, self._counts = [], Counter()
        told = {f"p{share}_s": round(at(seconds, share / 100), 4) for share in (50, 95, 99) if seconds}
        return {"counts": counts, **told}

    async def learn(self) -> None:
        """Ask everything once, one by one."""
        for model, prompt, is_chat in itertools.product(self._models, PROMPTS, (False, True)):
            self.alone[model, prompt, is_chat] = await self._text(model, prompt, is_chat)
        for folder in self._coming:
            await self._load(folder)
            self.alone[folder, PROMPTS[0], False] = await self._text("coming", PROMPTS[0], False)
            await self._unload()

    async def burst(self) -> None:
        """Ask for all models at the same moment."""
        asked = [(self._models[n % len(self._models)], PROMPTS[n % len(PROMPTS)], n % 2 == 0) for n in range(BURST)]
        await asyncio.gather(*(self._checked(*one) for one in asked))

    def start(self) -> list["asyncio.Task[None]"]:
        """Start all clients."""
        kinds: dict[str, Callable[[], Awaitable[None]]] = {
            "whole": self._whole, "stream": self._stream, "sampled": self._sampled, "cancel": self._cancel,
            "bad": self._bad, "adapter": self._adapter, "feedback": self._feedback, "scrape": self._scrape,
        }  # fmt: skip
        return [asyncio.create_task(self._repeat(kind, kinds[kind])) for kind, n in CLIENTS.items() for _ in range(n)]

    async def _repeat(self, kind: str, ask: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await ask()
                self._counts[kind] += 1
            except (aiohttp.ClientError, TimeoutError, ValueError, KeyError) as error:
                self._wrong(f"{kind}: {type(error).__name__} {error}"[:200])
            await asyncio.sleep(self._random.expovariate(1 / PAUSE_SECONDS))

    # --- kinds of requests --------------------------------------------------------------------------------------------

    async def _whole(self) -> None:
        started = monotonic()
        await self._checked(*self._any())
        self._seconds.append(monotonic() - started)

    async def _stream(self) -> None:
        model, prompt, _ = self._any()
        text = ""
        body = _body(model, prompt, True) | {"stream": True}
        async with self._session.post("/v1/chat/completions", json=body) as reply:
            async for line in reply.content:
                if line.startswith(b"data: {"):
                    for choice in json.loads(line[6:])["choices"]:
                        text += choice["delta"].get("content") or ""
        self._compare(text, model, prompt, True)

    async def _sampled(self) -> None:
        model, prompt, is_chat = self._any()
        body = _body(model, prompt, is_chat) | {"temperature": 1, "n": 2, "seed": self._random.randrange(1000)}
        await self._post(_route(is_chat), body)

    async def _cancel(self) -> None:
        model, prompt, _ = self._any()
        body = _body(model, prompt, True) | {"stream": True, "max_tokens": 400, "ignore_eos": True}
        async with self._session.post("/v1/chat/completions", json=body) as reply:
            await reply.content.readany()
            reply.close()  # in the middle of the answer

    async def _bad(self) -> None:
        route, body, status = self._random.choice(BAD)
        headers = {"content-type": "application/json"}
        async with self._session.post(route, data=body, headers=headers) as reply:
            await reply.read()
            if reply.status != status:
                self._wrong(f"{route} {body[:60]!r} got {reply.status}")

    async def _adapter(self) -> None:
        folder = self._random.choice(self._coming)
        await self._load(folder)
        self._compare(await self._text("coming", PROMPTS[0], False), folder, PROMPTS[0], False)
        await self._unload()

    async def _feedback(self) -> None:
        await self._post("/v1/feedback", {"id": self._last_id, "score": 1})

    async def _scrape(self) -> None:
        for route in ("/metrics", "/health", "/ready", "/v1/models"):
            async with self._session.get(route) as reply:
                await reply.read()
                if reply.status != 200:
                    self._wrong(f"{route} got {reply.status}")

    # --- what they share ----------------------------------------------------------------------------------------------

    def _any(self) -> tuple[str, str, bool]:
        return self._random.choice(self._models), self._random.choice(PROMPTS), self._random.random() < 0.5

    async def _checked(self, model: str, prompt: str, is_chat: bool) -> None:
        self._compare(await self._text(model, prompt, is_chat), model, prompt, is_chat)

    async def _text(self, model: str, prompt: str, is_chat: bool) -> str:
        reply = json.loads(await self._post(_route(is_chat), _body(model, prompt, is_chat)))
        self._last_id = reply["id"]
        choice = reply["choices"][0]
        return str(choice["message"]["content"] if is_chat else choice["text"])

    def _compare(self, text: str, model: str, prompt: str, is_chat: bool) -> None:
        self._counts["texts compared"] += 1
        if text != self.alone[model, prompt, is_chat]:
            self._wrong(f"text of {model} for {prompt!r}: {text!r}"[:200])

    async def _load(self, folder: str) -> None:
        await self._post("/v1/load_lora_adapter", {"lora_name": "coming", "lora_path": folder})

    async def _unload(self) -> None:
        await self._post("/v1/unload_lora_adapter", {"lora_name": "coming"})

    async def _post(self, route: str, body: dict[str, Any]) -> bytes:
        async with self._session.post(route, json=body) as reply:
            read = await reply.read()
            if reply.status != 200:
                raise ValueError(f"{route} got {reply.status}: {read[:150]!r}")
            return read

    def _wrong(self, what: str) -> None:
        self._counts[f"wrong {what}"] += 1


def _route(is_chat: bool) -> str:
    return "/v1/chat/completions" if is_chat else "/v1/completions"


def _body(model: str, prompt: str, is_chat: bool) -> dict[str, Any]:
    asked: dict[str, Any] = {"messages": [{"role": "user", "content": prompt}]} if is_chat else {"prompt": prompt}
    return {"model": model, "max_tokens": NEW_TOKENS, "temperature": 0, **asked}
