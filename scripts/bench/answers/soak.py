"""A long mixed load on a CPU, through HTTP: the base and eight adapters, and everything else that clients do.

Whether something leaked, failed or drifted is decided by the limits below, which stand before the run.
"""

import asyncio
import json
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

from bench.answers.models import make_adapters, make_base
from bench.answers.servers import Running, free_port, ours
from bench.answers.soak_clients import BURST, Load

MAX_WRONG = 0
"""Greedy texts that differ from what the same request got alone, and answers with another status than theirs."""
MAX_RSS_GROWTH = 0.05
"""Of a process's resident memory, from the second quarter's median to the last quarter's."""
FREE_RSS_BYTES = 32 * 2**20
"""Growth that is no fault of a small process either."""
MAX_MORE_FILES = 16
"""Open file descriptors that the last quarter's median may have beyond the second quarter's; threads likewise."""
MAX_MORE_THREADS = 8
MAX_DRIFT = 1.5
"""The median over the last third's minutes of a latency (p50, p95), as a multiple of the first third's."""
SAMPLE_SECONDS = 5


def measure(folder: Path, *, minutes: float, output: Path | None) -> list[dict[str, Any]]:
    """Rows of samples and minutes as they come, which are written at once, and a last one with the verdict."""
    base = make_base(folder / "tiny", "tiny", dtype="float32")
    adapters = make_adapters(folder / "soak-adapters", base, 10, ranks=(8, 4, 16, 8))
    deployed = dict(list(adapters.items())[:8])
    coming = list(adapters.values())[8:]
    rows: list[dict[str, Any]] = []

    def note(row: dict[str, Any]) -> None:
        rows.append(row)
        line = json.dumps(row)
        print(line, flush=True)
        if output is not None:
            with output.open("a") as file:
                file.write(line + "\n")

    if output is not None:
        output.write_text("")
    roots = {"roots": [str((folder / "soak-adapters").resolve())]}
    server = ours(
        base, {name: str(Path(path).resolve()) for name, path in deployed.items()}, engine="transformers",
        port=free_port(), log=(folder / "soak.log").resolve(), package=Path(__file__).resolve().parents[3], more=roots,
    )  # fmt: skip
    with server as running:
        asyncio.run(_run(running, Load(running.url, ["base", *deployed], coming), minutes, note))
    note(verdict(rows))
    return rows


async def _run(running: Running, load: Load, minutes: float, note: Any) -> None:
    async with load:
        await load.learn()
        note({"kind": "alone", "texts": len(load.alone)})
        await load.burst()
        note({"kind": "burst", "requests": BURST, **load.take()})
        started = time.monotonic()
        clients = load.start()
        sampling = asyncio.create_task(_sample(running, started, note))
        try:
            for minute in range(1, max(1, round(minutes)) + 1):
                await asyncio.sleep(started + minute * 60 - time.monotonic())
                note({"kind": "minute", "minute": minute, **load.take()})
        finally:
            for task in (sampling, *clients):
                task.cancel()
            ended = await asyncio.gather(sampling, *clients, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error
        load.take()
        await load.burst()
        note({"kind": "burst", "requests": BURST, **load.take()})


async def _sample(running: Running, started: float, note: Any) -> None:
    while True:
        processes = {}
        for name, process in running.replicas("ray_ft").items():
            with process.oneshot():
                processes[name] = {
                    "pid": process.pid, "rss": process.memory_info().rss, "files": process.num_fds(),
                    "threads": process.num_threads(),
                }  # fmt: skip
        note({"kind": "sample", "second": round(time.monotonic() - started), "processes": processes})
        await asyncio.sleep(SAMPLE_SECONDS)


def verdict(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What the run has shown, held against the limits; `faults` is empty where all is well."""
    minutes = [row for row in rows if row["kind"] == "minute"]
    samples = [row for row in rows if row["kind"] == "sample"]
    counted: Counter[str] = Counter()
    for row in rows:
        counted.update(row.get("counts", {}))
    faults = [f"{key}: {count}" for key, count in counted.items() if key.startswith("wrong") and count > MAX_WRONG]
    grown = _grown(samples, faults)
    third = max(1, len(minutes) // 3)
    drift = {}
    for key in ("p50_s", "p95_s"):
        first, last = ([row[key] for row in part] for part in (minutes[:third], minutes[-third:]))
        drift[key] = round(statistics.median(last) / statistics.median(first), 2)
        if drift[key] > MAX_DRIFT:
            faults.append(f"{key} drifted by {drift[key]}")
    return {"kind": "verdict", "counts": dict(counted), "grown": grown, "drift": drift, "faults": faults}


def _grown(samples: list[dict[str, Any]], faults: list[str]) -> dict[str, Any]:
    """How each process has changed from the second quarter of the samples to the last; adds what is too much."""
    quarter = max(1, len(samples) // 4)
    early, late = samples[quarter : 2 * quarter] or samples, samples[-quarter:]
    grown: dict[str, Any] = {}
    for name, process in late[-1]["processes"].items():
        if {row["processes"].get(name, {}).get("pid") for row in samples} != {process["pid"]}:
            faults.append(f"{name} was not one process all the time")
            continue
        before, after = (
            {key: statistics.median(row["processes"][name][key] for row in part) for key in ("rss", "files", "threads")}
            for part in (early, late)
        )
        grown[name] = {key: round(after[key] - before[key]) for key in before} | {"rss_before": round(before["rss"])}
        room = {
            "rss": max(MAX_RSS_GROWTH * before["rss"], FREE_RSS_BYTES), "files": MAX_MORE_FILES,
            "threads": MAX_MORE_THREADS,
        }  # fmt: skip
        faults += [f"{name}: {key} grew by {grown[name][key]}" for key in room if grown[name][key] > room[key]]
    return grown
