"""What our routes add to a request: our endpoint over an engine that echoes, beside the least that echoes on Ray Serve.

Both stand on one Ray Serve, in two deployments each, and are asked in turns.
"""

import asyncio
import os
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.answers.clients import at
from bench.answers.servers import Running, free_port
from bench.answers.servers import running as start

REQUESTS = {1: 300, 8: 1200}
STREAMS = {1: 8, 8: 64}
WORDS = 64
SERVERS = ("plain", "ours")


def measure(folder: Path, *, repeats: int) -> list[dict[str, Any]]:
    """A row for each number of clients and kind of answer; milliseconds, over all turns together."""
    port = free_port()
    command = [sys.executable, "-m", "bench.answers.echo", str(port), str((folder / "echo").resolve())]
    log, environment = (folder / "echo.log").resolve(), {"PYTHONPATH": ":".join(sys.path[:2])}
    with start(command, port, log, environment, ready="/ours/v1/models") as server:
        return asyncio.run(_measure(server, repeats))


@dataclass
class Turns:
    """What came of all turns of one server."""

    answers: list[tuple[float, int]] = field(default_factory=list)  # seconds and pieces of text
    cpu_seconds: float = 0.0  # of proxy, gateway and model


async def _measure(running: Running, repeats: int) -> list[dict[str, Any]]:
    rows = []
    for kind, counts in (("json", REQUESTS), ("stream", STREAMS)):
        for clients, requests in counts.items():
            found = {server: Turns() for server in SERVERS}
            for server in SERVERS:
                await _turn(f"{running.url}/{server}", clients, requests // 4, kind == "stream")  # warm
            for turn in range(2 * repeats):
                for server in SERVERS if turn % 2 else SERVERS[::-1]:
                    before = _cpu_seconds(running, server)
                    found[server].answers += await _turn(
                        f"{running.url}/{server}", clients, requests // 2, kind == "stream"
                    )
                    found[server].cpu_seconds += _cpu_seconds(running, server) - before
            rows.append(_row(kind, clients, found))
            print(rows[-1], flush=True)
    return rows


def _row(kind: str, clients: int, found: dict[str, Turns]) -> dict[str, Any]:
    row: dict[str, Any] = {"kind": kind, "clients": clients, "requests": len(found["ours"].answers)}
    for server, turns in found.items():
        seconds = [took for took, _ in turns.answers]
        row[f"{server}_p50_ms"] = round(1e3 * at(seconds, 0.5), 2)
        row[f"{server}_p95_ms"] = round(1e3 * at(seconds, 0.95), 2)
        row[f"{server}_cpu_ms"] = round(1e3 * turns.cpu_seconds / len(seconds), 2)
        if kind == "stream":
            row[f"{server}_events_per_s"] = round(statistics.mean(num / took for took, num in turns.answers), 1)
    added = {f"added_{what}_ms": round(row[f"ours_{what}_ms"] - row[f"plain_{what}_ms"], 2) for what in ("p50", "cpu")}
    return row | added | {"load": round(os.getloadavg()[0], 1)}


def _cpu_seconds(running: Running, server: str) -> float:
    """CPU time so far of the proxy and of a server's two deployments."""
    return sum(sum(process.cpu_times()[:2]) for process in running.replicas(server).values())


async def _turn(url: str, clients: int, requests: int, is_streamed: bool) -> list[tuple[float, int]]:
    """Seconds and pieces of text of so many answers."""
    import aiohttp

    text = " ".join(f"w{number:02d}" for number in range(WORDS))
    body = {"model": "base", "prompt": text, "max_tokens": 4096} | ({"stream": True} if is_streamed else {})
    found, numbers = [], iter(range(requests))

    async def client(session: aiohttp.ClientSession) -> None:
        for _ in numbers:
            started = time.perf_counter()
            async with session.post(f"{url}/v1/completions", json=body) as reply:
                read = await reply.read()
            found.append((time.perf_counter() - started, read.count(b'"text":')))
            if reply.status != 200 or text.encode().rpartition(b" ")[2] not in read:
                raise SystemExit(f"{url}: {reply.status} {read[:300]!r}")

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(client(session) for _ in range(clients)))
    return found
