"""prepare on 1, 2, 4 ... processors of this machine: does its speed grow with them?

    scripts/bench_data cores --cores 1,2,4,8,16,32 --mb-per-core 14 --output cores.json

The corpus grows with the processors (weak scaling), so that every run takes about as long; efficiency is
speed(n) / (n * speed(1)). Every run is a process of its own, held to n processors together with all that it starts:
Ray's own processes, the driver and the workers share them. Beside each run stands what the machine gives: the same
parsing in n processes that know nothing of each other, which shared caches, memory and hyper-threads slow down too.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import cycle
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
ENTRY = Path(__file__).resolve().parents[2] / "bench_data"
CONTROL_SECONDS = 2.0
STEPS = ("read_items", "place_documents", "name_groups", "write_groups", "publish", "tidy")


def main(argv: list[str] | None = None) -> int:
    """Print a line for each number of processors; 1 where a run failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", default="1,2", help="numbers of processors, with commas")
    parser.add_argument("--mb-per-core", type=float, default=8.0)
    parser.add_argument("--output", type=Path, help="write the figures here as JSON after every run")
    parser.add_argument("--folder", type=Path, help="for corpus and runs; a temporary one if left out")
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no run after this time")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.run:
        return _run(**json.loads(given.run))
    cores = [int(n) for n in given.cores.split(",")]
    if max(cores) > len(os.sched_getaffinity(0)):
        parser.error(f"this process may use {len(os.sched_getaffinity(0))} processors")
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        return _measure(cores, given.mb_per_core, Path(folder), given.output, given.seconds)


def _measure(cores: list[int], mb_per_core: float, folder: Path, output: Path | None, seconds: float) -> int:
    from bench.data.corpus import num_bytes_of, write_corpus
    from ray_ft.models.builtin import build_builtin

    started = time.monotonic()
    model = build_builtin("tiny", folder / "models", pretrain_steps=0)
    write_corpus(folder / "corpus", max(cores), int(mb_per_core * 1e6))
    num_bytes = [num_bytes_of(folder / "corpus" / f"part_{number:02d}") for number in range(max(cores))]
    print(f"{_machine()}\n{sum(num_bytes) / 1e6:.0f} MB made in {time.monotonic() - started:.0f} s", flush=True)
    rows: list[dict[str, Any]] = []
    failed = 0
    for n in cores:
        if time.monotonic() - started > seconds:
            print(f"no time is left for {n} processors", flush=True)
            break
        job = {"n": n, "corpus": str(folder / "corpus"), "model": str(model), "output": str(folder / f"run_{n}")}
        done = subprocess.run(
            [sys.executable, str(ENTRY), "cores", "--run", json.dumps(job)],
            env=os.environ | ONE_THREAD, stdout=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode or not lines:
            print(f"{n}: failed ({done.returncode})\n{done.stdout[-2000:]}", flush=True)
            failed = 1
            continue
        row = json.loads(lines[-1]) | {"mb": sum(num_bytes[:n]) / 1e6}
        rows.append(_compared(row, rows[0] if rows else row))
        print(_line(rows[-1]), flush=True)
        if output:
            output.write_text(json.dumps({"machine": _machine(), "runs": rows}, indent=1) + "\n")
    print(_table(rows))
    return failed


def _compared(row: dict[str, Any], first: dict[str, Any]) -> dict[str, Any]:
    """With rates, and efficiency beside the first run."""
    row |= {
        "mb_per_second": row["mb"] / row["seconds"],
        "documents_per_second": row["documents"] / row["seconds"],
        "examples_per_second": row["examples"] / row["seconds"],
        "cpu_seconds_per_mb": row["cpu_seconds"] / row["mb"],
    }
    scale = row["n"] / first["n"]
    row["efficiency"] = row["mb_per_second"] / first.get("mb_per_second", row["mb_per_second"]) / scale
    row["machine_efficiency"] = row["alone_mb_per_second"] / first["alone_mb_per_second"] / scale
    return row


def _line(row: dict[str, Any]) -> str:
    steps = ", ".join(f"{name} {seconds:.1f}" for name, seconds in row["steps"].items() if seconds >= 0.05)
    return (
        f"{row['n']} processors: {row['mb']:.0f} MB in {row['seconds']:.1f} s, {row['mb_per_second']:.2f} MB/s, "
        f"efficiency {row['efficiency']:.2f}, of the machine itself {row['machine_efficiency']:.2f}; "
        f"{row['cpu_seconds']:.0f} s of processors, driver {row['driver_seconds']:.1f} s ({steps})"
    )


def _table(rows: list[dict[str, Any]]) -> str:
    heads = ("processors", "MB", "wall s", "MB/s", "documents/s", "examples/s", "efficiency", "unconnected processes")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    lines += [
        f"| {r['n']} | {r['mb']:.0f} | {r['seconds']:.1f} | {r['mb_per_second']:.2f} "
        f"| {r['documents_per_second']:,.0f} | {r['examples_per_second']:,.0f} "
        f"| {r['efficiency']:.2f} | {r['machine_efficiency']:.2f} |"
        for r in sorted(rows, key=lambda r: int(r["n"]))
    ]
    return "\n".join(lines)


def _run(n: int, corpus: str, model: str, output: str) -> int:
    """One run on n processors; prints what it took as JSON."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:n])
    from bench.data.steps import measured_steps

    alone = _alone(n, Path(corpus))
    import psutil  # type: ignore[import-untyped,unused-ignore]
    import ray

    ray.init(address="local", num_cpus=n, include_dashboard=False, log_to_driver=False, object_store_memory=2**30)
    _wait_for_workers(n)
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    before = _cpu_seconds(processes)
    started, own = time.monotonic(), time.process_time()
    with measured_steps(STEPS) as steps:
        made = _prepare([f"{corpus}/part_{number:02d}" for number in range(n)], model, output)
    seconds = time.monotonic() - started
    after = _cpu_seconds([psutil.Process(), *psutil.Process().children(recursive=True)])
    used = sum(taken - before.get(process, 0.0) for process, taken in after.items())
    print(
        json.dumps(
            {
                "n": n, "seconds": seconds, "cpu_seconds": used, "driver_seconds": time.process_time() - own,
                "documents": sum(made.num_documents.values()), "examples": sum(made.num_examples.values()),
                "files": made.files, "alone_mb_per_second": alone,
                "steps": {name.strip("_"): step["seconds"] for name, step in steps.items()},
            }
        ),
        flush=True,
    )  # fmt: skip
    ray.shutdown()
    return 0


def _prepare(sources: list[str], model: str, output: str) -> Any:
    from ray_ft.config import DataConfig, ModelConfig
    from ray_ft.data.prepare import prepare_training_set
    from ray_ft.recipes import CodeSummary, Heading, Keyword, Paragraph

    recipes = (CodeSummary(), Paragraph(), Heading(), Keyword())
    return prepare_training_set(
        DataConfig(sources=tuple(sources), recipes=recipes),
        model=ModelConfig(name="builtin:tiny", max_seq_len=1024),
        model_path=model,
        output_path=output,
        seed=0,
        inputs_digest="",
    )


def _wait_for_workers(n: int) -> None:
    """Return when n workers have imported what tasks need: a cluster that is up, as others find it."""
    import ray

    def ready() -> int:
        import ray_ft.data.build.stage
        import ray_ft.data.ingest.stage  # noqa: F401

        time.sleep(0.5)  # long enough that no worker takes two
        return os.getpid()

    task = ray.remote(num_cpus=1)(ready)
    ray.get([task.remote() for _ in range(n)])


def _cpu_seconds(processes: list[Any]) -> dict[Any, float]:
    """User and system time of each process that lives."""
    import psutil  # type: ignore[import-untyped,unused-ignore]

    taken = {}
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        taken[process] = times.user + times.system
    return taken


def _alone(n: int, corpus: Path) -> float:
    """MB/s that n processes parse together when nothing connects them."""
    with ProcessPoolExecutor(n) as pool:
        return sum(pool.map(_parse_alone, [str(corpus / f"part_{number:02d}") for number in range(n)]))


def _parse_alone(folder: str) -> float:
    from ray_ft.data.dedup.heads import heads_of
    from ray_ft.data.documents import SourceFile
    from ray_ft.data.filters.apply import Cleaning
    from ray_ft.data.ingest.stage import parse_item
    from ray_ft.overlap import Runs

    paths = sorted(Path(folder).rglob("*.py"))
    files = [SourceFile(path.name, str(path), path.stat().st_size) for path in paths]
    heads_of(parse_item(files[0], Cleaning()), Runs({}))
    started, num_bytes = time.monotonic(), 0
    for file in cycle(files):
        heads_of(parse_item(file, Cleaning()), Runs({}))
        num_bytes += file.num_bytes
        if time.monotonic() - started > CONTROL_SECONDS:
            break
    return num_bytes / 1e6 / (time.monotonic() - started)


def _machine() -> str:
    """Processor, and how many of them there are."""
    names = [line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")]
    cores = {(p, c) for p, c in zip(_numbers("physical id"), _numbers("core id"), strict=False)}
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} processors on {len(cores) or '?'} cores"


def _numbers(key: str) -> list[str]:
    return [line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith(key)]


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.is_file() else []
