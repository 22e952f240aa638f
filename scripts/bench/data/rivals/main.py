"""prepare beside datatrove and data-juicer: the same files from disk to tokens, near copies removed, in turns.

    python3 -m venv trove && trove/bin/pip install 'datatrove[processing]' orjson tokenizers xxhash
    python3 -m venv juicer && juicer/bin/pip install py-data-juicer aiohttp transformers torch
    scripts/bench_data rivals Python-3.11.2 --datatrove trove/bin/python --data-juicer juicer/bin/python --max-mb 20

All read the same list of files, tell copies by 21 bands of 6 hashes over runs of five words, redact personal data and
tokenise with the same tokenizer; ray_ft and datatrove write texts and tokens, data-juicer writes texts and counts
tokens. ray_ft does more on the way: it parses structure, compares doubtful pairs word for word, looks for secrets and
minified files, draws splits, cuts passages at headings and definitions, packs rows, writes tables and questions for
evaluation, and can be resumed; the others count as clean what they are given. Processor time is that of all processes
of a run, Ray's included.
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
OURS = "ray_ft"
RIVALS = {"datatrove": ("rival_datatrove.py", "tokenizer.json"), "data-juicer": ("rival_data_juicer.py", "")}
HERE = Path(__file__).resolve().parent
ENTRY = HERE.parents[2] / "bench_data"


def main(argv: list[str] | None = None) -> int:
    """Print a table; 1 where every rival took less processor time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tree", type=Path, nargs="?")
    for rival in RIVALS:
        parser.add_argument(f"--{rival}", help=f"interpreter of an environment that has {rival}")
    parser.add_argument("--max-mb", type=float, default=12.0)
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--ours", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.ours:
        return _ours(*given.ours)
    interpreters = {name: getattr(given, name.replace("-", "_")) for name in RIVALS}
    if not given.tree or not any(interpreters.values()):
        parser.error(f"give a folder, and an interpreter for at least one of --{', --'.join(RIVALS)}")
    from ray_ft.models.builtin import build_builtin

    with tempfile.TemporaryDirectory() as folder:
        model = build_builtin("tiny", Path(folder) / "models", pretrain_steps=0)
        files = _sample(given.tree, given.max_mb * 1e6, Path(folder) / "corpus")
        listed = Path(folder) / "files.json"
        listed.write_text(json.dumps(files))
        mb = sum(Path(file).stat().st_size for file in files) / 1e6
        names = [OURS, *(name for name, python in interpreters.items() if python)]
        rows = [
            _run(name, interpreters.get(name, ""), Path(folder), f"{name}_{number}", listed, model, given.cpus)
            for number in range(given.rounds)
            for name in names
        ]
    print(f"{len(files):,} files, {mb:.1f} MB, {given.cpus} processors, best of {given.rounds} rounds in turns")
    print("| | s of processors | MB/s of a core | wall s |\n|---|---|---|---|")
    best = {name: min((r for r in rows if r["name"] == name), key=lambda r: r["cpu_seconds"]) for name in names}
    for name, row in best.items():
        wall = min(r["seconds"] for r in rows if r["name"] == name)
        print(f"| {name} | {row['cpu_seconds']:.1f} | {mb / row['cpu_seconds']:.2f} | {wall:.1f} |")
    if given.output:
        given.output.write_text(json.dumps({"mb": mb, "files": len(files), "runs": rows}, indent=1) + "\n")
    ours = best.pop(OURS)
    return int(all(row["cpu_seconds"] < ours["cpu_seconds"] for row in best.values()))


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


def _run(name: str, interpreter: str, folder: Path, run: str, listed: Path, model: Path, cpus: int) -> dict[str, Any]:
    """One run in a process of its own, watched with all that it starts."""
    from bench.data.watch import Watch

    output = str(folder / run)
    if name == OURS:
        command = [sys.executable, str(ENTRY), "rivals", "--ours", str(folder / "corpus")]
        command += [str(model), output, str(cpus)]
    else:
        script, tokenizer = RIVALS[name]
        command = [interpreter, str(HERE / script), str(listed), str(model / tokenizer), output, str(cpus)]
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
    from ray_ft.recipes import CodeRaw, Paragraph

    quiet_libraries()
    ray.init(address="local", num_cpus=int(cpus), include_dashboard=False, log_to_driver=False)
    prepare_training_set(
        DataConfig(sources=(corpus,), recipes=(Paragraph(), CodeRaw())),
        model=ModelConfig(name="builtin:tiny", max_seq_len=1024),
        model_path=model,
        output_path=output,
        seed=0,
        inputs_digest="",
    )
    ray.shutdown()
    return 0
