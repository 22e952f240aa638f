"""Rows of README and docs/benchmarks/answers.md, made of the files beside that page."""

import json
from statistics import median
from typing import Any

from document_blocks import REPOSITORY

BENCHMARKS = REPOSITORY / "docs" / "benchmarks"


def answer_rows(name: str, **wanted: object) -> list[dict[str, Any]]:
    """Rows of a file on answers that have these values."""
    rows = [json.loads(line) for line in (BENCHMARKS / name).read_text().splitlines()]
    return [row for row in rows if wanted.items() <= row.items()]


def speeds(name: str, **wanted: object) -> list[str]:
    """New tokens a second by the number of clients or requests at once, the best of some turns."""
    best: dict[int, float] = {}
    for row in answer_rows(name, **wanted):
        if "new_tokens_per_s" in row:
            count = row.get("clients", row.get("requests"))
            best[count] = max(best.get(count, 0), row["new_tokens_per_s"])
    return [f"{best[count]:,}" for count in sorted(best)]


def page_lines() -> list[str]:
    """The rows of the tables in docs/benchmarks/answers.md."""
    return [*_of_a_gpu(), *_of_two_cores(), *_of_written_data(), *_of_mixed_work(), *_of_the_routes(), *_of_an_hour()]


def _of_a_gpu() -> list[str]:
    lines, name = [], "answers-h200.jsonl"
    for who, told in (("base", "base"), ("16 adapters and base", "base and 16 adapters")):
        for server, called in (("vllm-serve", "`vllm serve`"), ("vllm", "this endpoint, engine vllm")):
            of = {"part": "endpoint", "server": server, "who": who}
            (first,) = (row for row in answer_rows(name, **of) if "ttft_p50_s" in row)
            cells = [
                f"{called}, {told}",
                *speeds(name, **of),
                f"{first['ttft_p50_s']:.3f}",
                f"{first['ttft_p95_s']:.3f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    by_who = [speeds(name, part="engine", who=who) for who in ("base", "one adapter")]
    for count, cells in zip((1, 8, 32, 128), zip(*by_who, strict=True), strict=True):
        lines.append(f"| {count} | {' | '.join(cells)} |")
    (exam,), (data,) = answer_rows(name, part="evaluation"), answer_rows(name, part="generator")
    seconds = data["passages"] / data["passages_per_s"]
    return [
        *lines,
        f"| evaluation | {exam['answers']} | {exam['seconds']} | | {exam['load_s']} s |",
        f"| generator | {data['answers_after']:,}, of {data['passages_per_s']} passages a second | {seconds:.0f} "
        f"| {data['parse']:.1%} | {data['load_s']} s |",
    ]


def _of_written_data() -> list[str]:
    (row,) = answer_rows("answers-cpu.jsonl", part="generator")
    cells = [row["answers_before_kill"], row["answers_after"], row["asked_twice"], f"{row['parse']:.1%}",
             row["characters_each"], row["passages_per_s"], f"{row['load_s']} s"]  # fmt: skip
    return [f"| {' | '.join(map(str, cells))} |"]


def readme_lines() -> list[str]:
    """README's rows on answers."""
    cells = []
    for who in ("base", "16 adapters and base"):
        ours, theirs = (
            speeds("answers-h200.jsonl", part="endpoint", server=s, who=who) for s in ("vllm", "vllm-serve")
        )
        ratios = [
            f"{float(a.replace(',', '')) / float(b.replace(',', '')):.2f}" for a, b in zip(ours, theirs, strict=True)
        ]
        cells.append((" / ".join(ours), " / ".join(theirs), " / ".join(ratios)))
    begin = "| answers over HTTP, new tokens/s at 1 / 32 / 128 clients, engine vllm: "
    return [
        f"{begin}{what} | {ours} | `vllm serve` {theirs} ({ratios}x) |"
        for what, (ours, theirs, ratios) in zip(("base", "base and 16 adapters mixed"), cells, strict=True)
    ]


def _of_two_cores() -> list[str]:
    name, lines = "answers-cpu.jsonl", list[str]()
    for server, called in (("ours", "this version"), ("earlier", "0de0c56")):
        found = {
            n: median(r["new_tokens_per_s"] for r in answer_rows(name, part="endpoint", server=server, clients=n))
            for n in (1, 32)
        }
        lines.append(f"| {called} | {found[1] + 1e-9:.1f} | {found[32] + 1e-9:.1f} |")
    return lines


def _of_mixed_work() -> list[str]:
    rows = answer_rows("answers-cpu.jsonl", part="mixed")
    called = {
        "one at a time": "transformers and PEFT, one at a time",
        "batches of 16": "transformers and PEFT, batches of 16 with `adapter_names`",
        "engine": "the transformers engine",
    }  # fmt: skip
    return [
        f"| {called[row['way']]} | {row['wall']} | {row['wall'] / rows[0]['wall']:.1f} | {row['equal']} of "
        f"{row['requests']} |"
        for row in rows
    ]


def _of_the_routes() -> list[str]:
    lines = []
    for row in answer_rows("answers-cpu.jsonl", part="overhead"):
        asked = {"json": "whole answers", "stream": "streams"}[row["kind"]]
        clients = f"{row['clients']} client{'s' if row['clients'] > 1 else ''}"
        times = [f"{row[name]:.1f} ms" for name in ("plain_p50_ms", "ours_p50_ms", "added_p50_ms", "added_cpu_ms")]
        lines.append(f"| {asked}, {clients} | {' | '.join(times)} |")
    return lines


def _of_an_hour() -> list[str]:
    minutes, samples = (answer_rows("soak-cpu.jsonl", kind=kind) for kind in ("minute", "sample"))
    lines = []
    for first in (0, 15, 30, 45):
        seconds = [median(row[key] for row in minutes[first : first + 15]) for key in ("p50_s", "p95_s")]
        mine = [row["processes"] for row in samples if first * 60 <= row["second"] < (first + 15) * 60]
        sizes = [median(row[name]["rss"] for row in mine) / 2**20 for name in ("ProxyActor", "gateway", "model")]
        cells = [f"{first + 1} to {first + 15}", *(f"{s:.2f} s" for s in seconds), *(f"{size:.0f}" for size in sizes)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines
