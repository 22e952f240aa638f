"""Clients of an endpoint: so many at a time, each asking the next question when it has its answer."""

import asyncio
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

Body = Callable[[int], dict[str, Any]]


@dataclass(frozen=True)
class Work:
    """What each request asks for; `models` take turns."""

    models: tuple[str, ...]
    prompt_tokens: int
    new_tokens: int
    num_ids: int
    text_only: bool = False  # for servers that take no token ids

    def body(self, number: int) -> dict[str, Any]:
        """The request of this number."""
        draw = random.Random(number)
        ids: Any = [draw.randrange(300, self.num_ids) for _ in range(self.prompt_tokens)]
        if self.text_only:
            ids = "".join(chr(97 + i % 26) for i in ids)
        body = {"model": self.models[number % len(self.models)], "prompt": ids, "max_tokens": self.new_tokens}
        return body | {"temperature": 0, "ignore_eos": True}


def throughput(url: str, work: Work, *, clients: int, requests: int) -> dict[str, float]:
    """New tokens a second of `requests` whole answers, and the median seconds of one."""
    return asyncio.run(_throughput(url, work, clients, requests))


def first_tokens(url: str, work: Work, *, clients: int, requests: int) -> dict[str, float]:
    """Seconds from the question to the first text of a stream: median and 95th percentile."""
    return asyncio.run(_first_tokens(url, work, clients, requests))


async def _throughput(url: str, work: Work, clients: int, requests: int) -> dict[str, float]:
    made, seconds = 0, []

    async def ask(client: httpx.AsyncClient, number: int) -> None:
        nonlocal made
        started = time.perf_counter()
        reply = await client.post(f"{url}/v1/completions", json=work.body(number))
        reply.raise_for_status()
        made += reply.json()["usage"]["completion_tokens"]
        seconds.append(time.perf_counter() - started)

    started = time.perf_counter()
    await _all(ask, clients, requests)
    took = time.perf_counter() - started
    return {"new_tokens_per_s": round(made / took, 1), "p50_s": round(at(seconds, 0.5), 4)}


async def _first_tokens(url: str, work: Work, clients: int, requests: int) -> dict[str, float]:
    seconds = []

    async def ask(client: httpx.AsyncClient, number: int) -> None:
        started, is_first = time.perf_counter(), True
        body = work.body(number) | {"stream": True}
        async with client.stream("POST", f"{url}/v1/completions", json=body) as reply:
            reply.raise_for_status()
            async for line in reply.aiter_lines():
                if is_first and line.startswith("data: {") and json.loads(line[6:])["choices"]:
                    seconds.append(time.perf_counter() - started)
                    is_first = False

    await _all(ask, clients, requests)
    return {"ttft_p50_s": round(at(seconds, 0.5), 4), "ttft_p95_s": round(at(seconds, 0.95), 4)}


async def _all(ask: Callable[[httpx.AsyncClient, int], Any], clients: int, requests: int) -> None:
    """Every client asks until no number is left."""
    numbers = iter(range(requests))

    async def one(client: httpx.AsyncClient) -> None:
        for number in numbers:
            await ask(client, number)

    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(timeout=600, limits=limits) as client:
        await asyncio.gather(*(one(client) for _ in range(clients)))


def at(values: list[float], share: float) -> float:
    """The value below which this share of them lies."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]
