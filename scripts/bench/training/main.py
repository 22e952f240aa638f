"""`scripts/bench_training`: chooses what to measure, runs it, and writes JSON and Markdown."""

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from bench.timed_steps.processes import num_gpus
from bench.training import kills
from bench.training.launch import run_spec
from bench.training.parts import PARTS, Setting, filling
from bench.training.spec import Spec
from bench.training.tables import beside_one_worker, markdown, with_shares

DESCRIPTION = """Measure ray_ft's training beside other stacks in one run: tokens per second, the share of the chip's
rate, peak memory, loss curves, packing and scaling. Every contender gets processes of its own, and what fails or is not
installed becomes a row that says so. `bench_training kills` asks instead whether killed runs end as others do."""


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench_training", description=DESCRIPTION)
    parser.add_argument(
        "--only", default="lora,qlora", help=f"parts ({', '.join(PARTS)}) or contenders, e.g. lora,qlora/ours*"
    )
    parser.add_argument("--output", type=Path, default=Path("outputs/bench"), help="folder of training.json and .md")
    parser.add_argument("--tiny", action="store_true", help="a tiny model and few steps; in fp32 where there is no GPU")
    parser.add_argument("--rival-site", default="", help="PYTHONPATH on which Unsloth is installed")
    parser.add_argument("--micro-batch", type=int, default=4, help="rows of a forward pass")
    parser.add_argument("--sequence", type=int, default=2048, help="tokens of a row")
    parser.add_argument("--warmup", type=int, default=4, help="steps before the timed ones")
    parser.add_argument("--steps", type=int, default=12, help="timed steps")
    parser.add_argument("--timeout", type=float, default=180, help="seconds for a contender, loading included")
    parser.add_argument("--gpus", type=int, default=None, help="GPUs to use; default: all")
    parser.add_argument("--scratch", type=Path, default=None, help="folder for 15 GB of weights; default: temporary")
    parser.add_argument(
        "--train",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="keys of the train section for ray_ft, e.g. compile=false",
    )
    parser.add_argument("--list", action="store_true", help="print what would be measured")
    parser.add_argument(
        "--filling", type=Path, metavar="JSON", help="measure nothing: how full batches of the short examples are"
    )
    parser.add_argument("--merge", type=Path, nargs="+", metavar="JSON", help="only join files of earlier runs")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """0 if every contender that could run gave figures, within their tolerance where there is one."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["kills"]:  # which measures no speed
        return kills.main(arguments[1:])
    options = parse(arguments)
    if options.filling:
        options.filling.write_text(json.dumps(filling(), indent=1) + "\n")
        return 0
    if options.merge:
        runs = [run for path in options.merge for run in json.loads(path.read_text())]
        write(runs, options.output)
        return 0
    scratch = options.scratch or Path(tempfile.mkdtemp(prefix="bench-"))
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        return measure(options, scratch.resolve())
    finally:
        if options.scratch is None:
            shutil.rmtree(scratch, ignore_errors=True)


def measure(options: argparse.Namespace, scratch: Path) -> int:
    gpus = num_gpus()
    sizes = {"micro_batch": 2, "sequence": 64, "warmup": 1, "steps": 2} if options.tiny else {}
    for name in ("micro_batch", "sequence", "warmup", "steps"):
        sizes.setdefault(name, getattr(options, name))
    allowed = gpus if options.gpus is None else options.gpus
    setting = Setting(scratch=scratch, rival_site=options.rival_site, tiny=options.tiny, gpus=max(1, allowed), **sizes)
    settings = dict(map(key_and_value, options.train))
    specs = [replace(s, options=s.options | {"train": settings}) for s in chosen(options.only, setting)]
    if options.list:
        print("\n".join(f"{spec.name:32} {spec.stack}" for spec in specs))
        return 0
    folder = options.output.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    rate = run_spec(setting.spec("rate", "rate", "bf16 product", "rate"), folder=folder, timeout=options.timeout)
    run: dict[str, Any] = {"rate": rate, "rows": []}
    print(f"rate: {rate.get('flops_per_second', 0) / 1e12:.1f} TFLOP/s on {rate.get('device')}", flush=True)
    for spec in specs:
        row = run_one(spec, setting, folder=folder, timeout=options.timeout, gpus=gpus)
        run["rows"].append(beside_one_worker(with_shares(row, rate.get("flops_per_second", float("nan"))), run["rows"]))
        write([run], folder)  # after each, so that a run that is cut off leaves what it has
        print(one_line(run["rows"][-1]), flush=True)
    print((folder / "training.md").read_text())
    failed = ("error" in row and not row.get("skipped") for row in run["rows"])
    return int(any(failed) or not all(row.get("within", True) for row in run["rows"]))


def chosen(only: str, setting: Setting) -> list[Spec]:
    """Specs that a part's name or a pattern on part/contender asks for."""
    patterns = [pattern.strip() for pattern in only.split(",") if pattern.strip()]
    unknown = [pattern for pattern in patterns if pattern.split("/")[0] not in PARTS]
    if unknown:
        raise SystemExit(f"--only: no part {unknown[0]!r}; choose from {', '.join(PARTS)}, or part/contender")
    specs = []
    for name in dict.fromkeys(pattern.split("/")[0] for pattern in patterns):
        wanted = [p if "/" in p else f"{p}/*" for p in patterns if p.split("/")[0] == name]
        specs += [s for s in PARTS[name](setting) if any(fnmatch(s.name, pattern) for pattern in wanted)]
    if not specs:
        raise SystemExit(f"--only: nothing matches {only!r}; --list shows what there is")
    return specs


def run_one(spec: Spec, setting: Setting, *, folder: Path, timeout: float, gpus: int) -> dict[str, Any]:
    """The row of a spec; what this machine cannot run is left out with its reason."""
    row = vars(spec) | {"skipped": True}
    if spec.needs_gpu and gpus == 0:
        return row | {"error": "needs a CUDA GPU"}
    weights = spec.options.get("weights")
    if weights and not Path(weights).is_dir():
        made = run_spec(
            replace(spec, contender="weights", run="save_weights", world_size=1), folder=folder, timeout=timeout
        )
        if "error" in made:
            return row | {"error": made["error"], "skipped": "not installed" in made["error"]}
        for file in Path(spec.options["base"]).glob("tokenizer*"):
            shutil.copy(file, weights)
    return run_spec(spec, folder=folder, timeout=timeout)


def one_line(row: dict[str, Any]) -> str:
    seconds = f"{row.get('wall_seconds', 0):.0f} s"
    if "error" in row:
        return f"{row['part']}/{row['contender']}: {row['error']} ({seconds})"
    if "tokens_per_second" not in row:
        within = f"within tolerance: {row['within']}" if "within" in row else f"loss {row['losses'][-1]:.4f}"
        return f"{row['part']}/{row['contender']}: {within} ({seconds})"
    return (
        f"{row['part']}/{row['contender']}: {row['tokens_per_second']:,.0f} tokens/s, share {row['share']:.3f}, "
        f"{row.get('peak_gib', 0):.1f} GiB ({seconds})"
    )


def write(runs: list[dict[str, Any]], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "training.json").write_text(json.dumps(runs, indent=1))
    (folder / "training.md").write_text(markdown(runs))


def key_and_value(text: str) -> tuple[str, Any]:
    """KEY=VALUE with a JSON value, or a bare word."""
    key, _, value = text.partition("=")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value
