"""Answers through HTTP: ours beside an earlier version on a CPU, and beside `vllm serve` on a GPU, in one run each."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from bench.answers.clients import Work, first_tokens, throughput
from bench.answers.models import SHAPES, make_adapters, make_base
from bench.answers.servers import Running, free_port, ours, vllm_serve

HERE = Path(__file__).resolve().parents[3]
Server = Callable[[], AbstractContextManager[Running]]


def measure_cpu(folder: Path, *, earlier: Path | None, repeats: int) -> list[dict[str, Any]]:
    """One client and 32, 64 new tokens each, with the base alone; in turns where there is an earlier version."""
    base = make_base(folder / "tiny", "tiny", dtype="float32")
    work = Work(("base",), 32, 64, SHAPES["tiny"]["vocab_size"], text_only=True)
    packages = {"ours": HERE} | ({"earlier": earlier} if earlier else {})
    rows = []
    for repeat in range(repeats):
        for name, package in packages.items():
            log = (folder / f"{name}.log").resolve()
            with ours(base, {}, engine="transformers", port=free_port(), log=log, package=package) as server:
                throughput(server.url, work, clients=2, requests=4)
                for clients, requests in ((1, 24), (32, 96)):
                    found = throughput(server.url, work, clients=clients, requests=requests)
                    rows.append({"server": name, "clients": clients, "turn": repeat, **found})
                    print(rows[-1], flush=True)
    return rows


def measure_gpu(folder: Path, *, engines: tuple[str, ...], repeats: int) -> list[dict[str, Any]]:
    """1, 32 and 128 clients for the base and 16 adapters mixed with it; first tokens of 32 clients' streams."""
    base = make_base(folder / "7b", "7b", dtype="bfloat16")
    adapters = make_adapters(folder / "7b-adapters", base, 16)
    servers: dict[str, Server] = {}
    for name in engines:
        log = (folder / f"{name}.log").resolve()
        if name == "vllm-serve":
            servers[name] = partial(vllm_serve, base, adapters, port=free_port(), log=log, batch_size=128)
        else:
            options = {"batch_size": 128}
            servers[name] = partial(
                ours, base, adapters, engine=name, port=free_port(), log=log, package=HERE, options=options
            )
    rows = []
    for name, server in servers.items():
        started = time.perf_counter()
        with server() as running:
            print({"server": name, "ready_s": round(time.perf_counter() - started, 1)}, flush=True)
            for who, models in (("base", ("base",)), ("16 adapters and base", ("base", *sorted(adapters)))):
                work = Work(models, 256, 128, SHAPES["7b"]["vocab_size"])
                throughput(running.url, work, clients=128, requests=128)  # every adapter, every size of batch
                for clients in (1, 32, 128):
                    for repeat in range(repeats):
                        found = throughput(running.url, work, clients=clients, requests=max(4, clients))
                        rows.append({"server": name, "who": who, "clients": clients, "turn": repeat, **found})
                        print(rows[-1], flush=True)
                found = first_tokens(running.url, work, clients=32, requests=64)
                rows.append({"server": name, "who": who, "clients": 32, **found})
                print(rows[-1], flush=True)
    return rows
