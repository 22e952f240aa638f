"""prepare over a whole source tree on the processors of this machine: speed by step, memory, and every file's end.

    scripts/bench_data tree Python-3.11.2 --include Lib,Doc,Modules --cpus 2 --output tree.json

Recipes are code_summary, heading, keyword and query. --questions N asks an engine (a tiny transformer, made on the
spot) for the questions of up to N passages of a document; without it, headings are the questions.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
STEPS = {"read_items": "read, clean, sign", "place_documents": "copies and splits", "write_groups": "recipes, tokens"}
WORKER = ("ray::", "sandbox_child")  # of prepare, and the child process that parses for it


def main(argv: list[str] | None = None) -> int:
    """Print a table; 1 where a file is not accounted for or a worker took more than 2 GiB."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path)
    parser.add_argument("--include", default="", help="folders of the tree, with commas")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--questions", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder of the run, which a later one takes up")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        about = _measure(given, given.keep or Path(folder))
    print(_table(about))
    if given.output:
        given.output.write_text(json.dumps(about, indent=1) + "\n")
    return int(about["files"] != about["accounted"] or about["worker_bytes"] > 2 * 2**30)


def _measure(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    import ray

    from bench.data.steps import measured_steps
    from bench.data.watch import Watch
    from ray_ft.config import DataConfig, ModelConfig
    from ray_ft.data.prepare import prepare_training_set
    from ray_ft.engines import TransformersEngine
    from ray_ft.models.builtin import build_builtin
    from ray_ft.quiet import quiet_libraries
    from ray_ft.recipes import CodeSummary, Heading, Keyword, Query

    quiet_libraries()
    sources = [str(given.tree / part) if part else str(given.tree) for part in given.include.split(",")]
    trained = {} if given.questions else {"pretrain_steps": 0}  # only an engine needs weights that say something
    model = build_builtin("tiny", folder / "models", **trained)
    query = Query(questions_per_chunk=1, max_questions=given.questions) if given.questions else Query()
    data = DataConfig(
        sources=tuple(sources),
        recipes=(CodeSummary(), Heading(), Keyword(), query),
        generator=TransformersEngine(batch_size=8) if given.questions else None,
    )
    ray.init(address="local", num_cpus=given.cpus, include_dashboard=False, log_to_driver=False)
    with Watch() as watch, measured_steps(STEPS, cpu_seconds=watch.cpu_seconds) as steps:
        made = prepare_training_set(
            data,
            model=ModelConfig(name="builtin:tiny", max_seq_len=1024),
            model_path=str(model),
            output_path=str(folder / "data"),
            seed=0,
            inputs_digest="",
        )
        cpu_seconds = watch.cpu_seconds()
    ray.shutdown()
    paths = [path for source in sources for path in Path(source).rglob("*") if path.is_file()]
    return {
        "files": len(paths), "accounted": sum(made.files.values()), "states": made.files,
        "mb": sum(path.stat().st_size for path in paths) / 1e6, "cpus": given.cpus, "seconds": watch.seconds,
        "cpu_seconds": cpu_seconds, "steps": {STEPS[name]: step for name, step in steps.items()},
        "worker_bytes": watch.memory_of(*WORKER),
        "examples": made.num_examples, "documents": made.num_documents, "tokens": made.num_tokens,
    }  # fmt: skip


def _table(about: dict[str, Any]) -> str:
    lines = [
        f"{about['files']:,} files, {about['mb']:.1f} MB, {about['cpus']} processors: {about['seconds']:.0f} s, "
        f"{about['cpu_seconds']:.0f} s of processors; {about['accounted']:,} files accounted for",
        ", ".join(f"{number:,} {state}" for state, number in about["states"].items()),
        f"examples {about['examples']}, tokens {about['tokens']}",
        f"largest worker {about['worker_bytes'] / 2**30:.2f} GiB",
        "| step | wall s | s of processors | MB/s of a core | files/s of a core |\n|---|---|---|---|---|",
    ]
    whole = {"all": {"seconds": about["seconds"], "cpu_seconds": about["cpu_seconds"]}}
    for name, step in (about["steps"] | whole).items():
        cpu = max(step["cpu_seconds"], 0.01)
        rates = f"{about['mb'] / cpu:.2f} | {about['files'] / cpu:,.0f}"
        lines.append(f"| {name} | {step['seconds']:.1f} | {step['cpu_seconds']:.1f} | {rates} |")
    return "\n".join(lines)
