"""The command: which parts, where to, and a line for each row."""

import argparse
import json
from pathlib import Path
from typing import Any

from bench.answers import endpoint, engine, generator, mixed, overhead, soak, variants

PARTS = ("mixed", "engine", "endpoint", "endpoint-gpu", "evaluation", "generator", "overhead", "soak", "variants")


def main() -> int:
    """Run the parts that are asked for; rows are printed, and written as JSON lines."""
    parser = argparse.ArgumentParser(prog="bench_answers", description=__doc__)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--work", type=Path, default=Path("outputs/bench-answers"), help="models are made here")
    parser.add_argument("--output", type=Path, help="JSON lines")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="of torch, for mixed")
    parser.add_argument("--shape", default="7b", help="for engine and variants: 7b or tiny")
    parser.add_argument("--counts", default="1,8,32,128", help="for engine: requests at a time")
    parser.add_argument(
        "--earlier", type=Path, help="for endpoint: the folder of an earlier version, measured in turns"
    )
    parser.add_argument("--engines", default="vllm-serve,vllm", help="for endpoint-gpu: one by one")
    parser.add_argument("--minutes", type=float, default=60, help="for soak")
    parser.add_argument("--questions", type=int, default=200, help="for evaluation")
    parser.add_argument("--model", help="for generator: a folder or builtin:NAME instead of --shape")
    parser.add_argument("--passages", type=int, default=1024, help="for generator")
    parser.add_argument("--killed-at", type=float, default=0, help="for generator: share of answers before a SIGKILL")
    parser.add_argument("--seconds", type=float, default=280, help="for variants: no more are begun after so many")
    parser.add_argument("--only", default="", help="for variants: these, e.g. 'none adapter,int8 adapter'")
    given = parser.parse_args()
    given.work = given.work.resolve()  # servers are started elsewhere
    given.work.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    if given.part == "soak":  # prints and writes as it goes
        return 1 if soak.measure(given.work, minutes=given.minutes, output=given.output)[-1]["faults"] else 0
    if given.part == "variants":  # and so does this
        dtype = "float32" if given.shape == "tiny" else "bfloat16"
        variants.measure(
            given.work,
            shape=given.shape,
            dtype=dtype,
            repeats=given.repeats,
            seconds=given.seconds,
            output=given.output,
            only=given.only,
        )  # fmt: skip
        return 0
    if given.part == "mixed":
        rows = mixed.measure(given.work, repeats=given.repeats, threads=given.threads)
    elif given.part == "endpoint":
        rows = endpoint.measure_cpu(given.work, earlier=given.earlier, repeats=given.repeats)
    elif given.part == "endpoint-gpu":
        rows = endpoint.measure_gpu(given.work, engines=tuple(given.engines.split(",")), repeats=given.repeats)
    elif given.part == "overhead":
        rows = overhead.measure(given.work, repeats=given.repeats)
    elif given.part == "generator":
        for name in given.engines.split(","):
            rows += generator.measure(
                given.work, engine=name, shape=given.shape, model=given.model, passages=given.passages,
                killed_at=given.killed_at,
            )  # fmt: skip
    elif given.part == "evaluation":
        dtype = "float32" if given.shape == "tiny" else "bfloat16"
        for name in given.engines.split(","):
            rows += engine.measure_evaluation(
                given.work, engine=name, shape=given.shape, dtype=dtype, num_questions=given.questions
            )
    else:
        tiny = given.shape == "tiny"
        rows = engine.measure(
            given.work, shape=given.shape, dtype="float32" if tiny else "bfloat16",
            counts=tuple(map(int, given.counts.split(","))), prompt=32 if tiny else 256, new=16 if tiny else 128,
            repeats=given.repeats,
        )  # fmt: skip
    lines = [json.dumps(row) for row in rows]
    print("\n".join(lines))
    if given.output:
        given.output.write_text("\n".join(lines) + "\n")
    return 0
