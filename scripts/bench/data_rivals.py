"""prepare beside datatrove: the same files from disk to tokens, near copies removed, in turns on this machine.

    python3 -m venv rival && rival/bin/pip install 'datatrove[processing]' tokenizers xxhash
    scripts/bench_data rivals Python-3.11.2 --rival rival/bin/python --max-mb 12 --rounds 2

Both read the same list of files, tell copies by 21 bands of 6 hashes over runs of five words, redact personal data,
tokenise with the same tokenizer and write texts and tokens. ray_ft does more on the way: it parses structure, compares
doubtful pairs word for word, looks for secrets and minified files, draws splits, cuts passages at headings and
definitions, packs rows, writes tables and questions for evaluation, and can be resumed; datatrove counts as clean what
it is given. Processor time is that of all processes of a run, Ray's included.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
SUFFIXES = (".py", ".rst", ".md", ".txt", ".c", ".h")
HERE = Path(__file__).resolve().parent


def main(argv: list[str] | None = None) -> int:
    """Print a table; 1 where the rival took less processor time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path, nargs="?")
    parser.add_argument("--rival", help="interpreter of an environment that has datatrove")
    parser.add_argument("--max-mb", type=float, default=12.0)
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--ours", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.ours:
        return _ours(*given.ours)
    from ray_ft.base_model import build_builtin

    with tempfile.TemporaryDirectory() as folder:
        model = build_builtin("tiny", Path(folder) / "models", pretrain_steps=0)
        files = _sample(given.tree, given.max_mb * 1e6, Path(folder) / "corpus")
        listed = Path(folder) / "files.json"
        listed.write_text(json.dumps(files))
        mb = sum(Path(file).stat().st_size for file in files) / 1e6
        rows = [
            _run(name, Path(folder), f"{name}_{number}", listed, model, given)
            for number in range(given.rounds)
            for name in ("ray_ft", "datatrove")
        ]
    print(f"{len(files):,} files, {mb:.1f} MB, {given.cpus} processors, best of {given.rounds} rounds in turns")
    print("| | s of processors | MB/s of a core | wall s |\n|---|---|---|---|")
    best = {name: min((r for r in rows if r["name"] == name), key=lambda r: r["cpu_seconds"]) for name in
            ("ray_ft", "datatrove")}  # fmt: skip
    for name, row in best.items():
        wall = min(r["seconds"] for r in rows if r["name"] == name)
        print(f"| {name} | {row['cpu_seconds']:.1f} | {mb / row['cpu_seconds']:.2f} | {wall:.1f} |")
    if given.output:
        given.output.write_text(json.dumps({"mb": mb, "files": len(files), "runs": rows}, indent=1) + "\n")
    return int(best["datatrove"]["cpu_seconds"] < best["ray_ft"]["cpu_seconds"])


def _sample(tree: Path, max_bytes: float, folder: Path) -> list[str]:
    """Copies of every so many files of the tree below a folder, so that both read just these."""
    found = sorted(p for p in tree.rglob("*") if p.suffix in SUFFIXES and p.is_file())
    sizes = [path.stat().st_size for path in found]
    step = max(1, round(sum(sizes) / max_bytes))
    chosen = []
    for path in found[::step]:
        copy = folder / path.relative_to(tree)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
        chosen.append(str(copy))
    return chosen


def _run(name: str, folder: Path, run: str, listed: Path, model: Path, given: argparse.Namespace) -> dict[str, Any]:
    """One run in a process of its own, watched with all that it starts."""
    from bench.data_watch import Watch

    output = str(folder / run)
    if name == "ray_ft":
        command = [sys.executable, str(HERE.parent / "bench_data"), "rivals", "--ours", str(folder / "corpus")]
        command += [str(model), output, str(given.cpus)]
    else:
        command = [given.rival, str(HERE / "rival_datatrove.py"), str(listed), str(model / "tokenizer.json"), output]
        command += [str(given.cpus)]
    environment = os.environ | {"TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}
    with Watch() as watch:
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        cpu_seconds = watch.cpu_seconds()
    if done.returncode:
        raise SystemExit(f"{name} ended with {done.returncode}:\n{done.stdout[-3000:]}")
    print(f"{name}: {watch.seconds:.1f} s, {cpu_seconds:.1f} s of processors", flush=True)
    return {"name": name, "seconds": watch.seconds, "cpu_seconds": cpu_seconds}


def _ours(corpus: str, model: str, output: str, cpus: str) -> int:
    import ray

    from ray_ft.config import DataConfig, ModelConfig
    from ray_ft.data.prepare import prepare_training_set
    from ray_ft.quiet import quiet_libraries
    from ray_ft.recipes import Paragraph

    quiet_libraries()
    ray.init(address="local", num_cpus=int(cpus), include_dashboard=False, log_to_driver=False)
    prepare_training_set(
        DataConfig(sources=(corpus,), recipes=(Paragraph(),)),
        model=ModelConfig(name="builtin:tiny", max_seq_len=1024),
        model_path=model,
        output_path=output,
        seed=0,
        inputs_digest="",
    )
    ray.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
