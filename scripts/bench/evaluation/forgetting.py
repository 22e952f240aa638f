"""`scripts/bench_evaluation forgetting`: a run made to overfit and one with replay, and what is said of either.

Both are the quickstart, its model and its handbook. Every step is a command of `ray-ft`, kept with its exit code and
what it printed; the last ones hold the two runs against each other.
"""

import argparse
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[3]
BENCHMARKS = REPOSITORY / "docs/benchmarks"
CONFIG = "configs/quickstart.yaml"
RECORDED = "configs/quickstart/answers.jsonl"
SHARED = ("evaluation.systems=[base,tuned]", "evaluation.num_retention=200", "evaluation.margin=0.1",
          "train.compile=false")  # fmt: skip
RUNS = {
    "overfit": ("data.datasets=[]", "train.learning_rate=5e-3", "train.num_epochs=6"),
    "replay": (),  # as it stands in the quickstart
}
TINY = ("evaluation.num_retention=30", "evaluation.num_questions=12", "evaluation.max_new_tokens=16",
        "evaluation.num_documents=1")  # fmt: skip
TINY_STEPS = {"overfit": "train.max_steps=30", "replay": "train.max_steps=15"}
LINES = "forgetting.jsonl"
VERBS = ("prepare", "train", "evaluate")
SYSTEMS = ("base", "tuned")


def main(arguments: list[str] | None = None) -> int:
    """Make both runs unless --report, then write the page."""
    parser = argparse.ArgumentParser(prog="scripts/bench_evaluation forgetting", description=__doc__)
    parser.add_argument("--output", type=Path, default=BENCHMARKS, help=f"folder of {LINES} and of forgetting.md")
    parser.add_argument("--tiny", action="store_true", help="few steps and questions: shows that it works, no more")
    parser.add_argument("--only-prepare", action="store_true", help="stop before anything is trained")
    parser.add_argument("--report", action="store_true", help=f"run nothing: the page from {LINES}")
    options = parser.parse_args(arguments)
    lines = options.output / LINES
    if not options.report:
        options.output.mkdir(parents=True, exist_ok=True)
        lines.unlink(missing_ok=True)
        make(lines, tiny=options.tiny, only_prepare=options.only_prepare)
    if not options.only_prepare:
        (options.output / "forgetting.md").write_text(page(read(lines)), encoding="utf-8")
        print(f"wrote {options.output / 'forgetting.md'}")
    return 0


def make(lines: Path, *, tiny: bool, only_prepare: bool) -> None:
    """Prepare, train and evaluate both; then compare them, and a gate for each."""
    folders = {name: f"outputs/forgetting-{name}" for name in RUNS}
    for name, settings in RUNS.items():
        given = [f"run_name=forgetting-{name}", *SHARED, *settings, *((*TINY, TINY_STEPS[name]) if tiny else ())]
        if not (REPOSITORY / folders[name] / "training_set.json").is_file():
            _run(lines, name, [sys.executable, "scripts/import_answers.py", CONFIG, RECORDED, *given], shown="import")
        for verb in VERBS[:1] if only_prepare else VERBS:
            _ray_ft(lines, name, verb, CONFIG, *given)
        if not only_prepare:
            report = json.loads((REPOSITORY / folders[name] / "report.json").read_text())["artifact"]
            _keep(lines, {"run": name, "report": report, "settings": given})
    if not only_prepare:
        _ray_ft(lines, "both", "compare", folders["overfit"], folders["replay"], "evaluation.margin=0.1",
          "train.compile=false")  # fmt: skip
        for name in RUNS:
            _ray_ft(lines, name, "gate", folders[name], "--max-loss", "0.1")
        _ray_ft(lines, "both", "gate", folders["replay"], "--max-loss", "0.1", "--against", folders["overfit"])


def _ray_ft(lines: Path, name: str, *arguments: str) -> None:
    _run(lines, name, [sys.executable, "-m", "ray_ft", *arguments], shown=f"ray-ft {shlex.join(arguments)}")


def _run(lines: Path, name: str, command: list[str], *, shown: str) -> None:
    """One command, kept; the gate's 3 is an answer, and any other failure ends the script with what was printed."""
    started = time.monotonic()
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    seconds = round(time.monotonic() - started, 1)
    _keep(lines, {"run": name, "command": shown, "exit": done.returncode, "seconds": seconds, "printed": done.stdout})
    print(f"{seconds:7.1f} s, exit {done.returncode}: {shown}", flush=True)
    if done.returncode not in (0, 3):
        raise SystemExit(done.stderr[-3000:])


def _keep(lines: Path, row: dict[str, Any]) -> None:
    with lines.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")


def read(lines: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]


def page(rows: list[dict[str, Any]]) -> str:
    """forgetting.md, from what was kept."""
    ran = [row for row in rows if "command" in row]
    parts = [HEAD]
    for row in (row for row in rows if "report" in row):
        report, own = row["report"], [r for r in ran if r["run"] == row["run"]]
        told = [c for c in report["contrasts"] if (c["treatment"], c["control"]) == ("tuned", "base")]
        parts += [f"\n## {TITLES[row['run']]}\n", _console(f"ray-ft run {CONFIG} {shlex.join(row['settings'])}")]
        parts += [
            "| group | items | base | tuned | tuned less base, 95% interval | verdict |",
            "|---|---|---|---|---|---|",
        ]
        parts += [_row(c, report["scores"]) for c in told if c["primary"] or c["metric"] == "bits_per_token"]
        parts.append(f"\nThe pack by kind, {report['details']['retention pack']}.")
        seconds = {verb: r["seconds"] for r in own for verb in VERBS if r["command"].startswith(f"ray-ft {verb} ")}
        parts.append(f"Seconds: {', '.join(f'{verb} {seconds[verb]:.0f}' for verb in VERBS)}.")
        found = next(r["printed"] for r in own if r["command"].startswith("ray-ft evaluate"))
        parts += ["\n```text", found.rstrip(), "```"]
    parts.append("\n## The two against each other, and the gate\n")
    for row in ran:
        if row["command"].startswith(("ray-ft compare", "ray-ft gate")):
            parts.append(_console(row["command"], f"{row['printed'].rstrip()}\n(exit code {row['exit']})"))
    return "\n".join(parts)


def _console(command: str, printed: str = "") -> str:
    return "\n".join(["```console", f"$ {command}", *([printed] if printed else []), "```\n"])


def _row(c: dict[str, Any], scores: list[dict[str, Any]]) -> str:
    means = {s["system"]: s["mean"] for s in scores if (s["stratum"], s["metric"]) == (c["stratum"], c["metric"])}
    is_share = c["metric"] != "bits_per_token"

    def shown(value: float, sign: str = "") -> str:
        return f"{100 * value:{sign}.1f}" if is_share else f"{value:{sign}.3f}"

    unit = " %" if is_share else " bits per token"
    cells = [c["stratum"].replace("_", " "), str(c["num_items"]), *(f"{shown(means[s])}{unit}" for s in SYSTEMS)]
    interval = f"{shown(c['difference'], '+')} [{shown(c['low'], '+')}, {shown(c['high'], '+')}]"
    return f"| {' | '.join([*cells, interval, c['verdict'] if is_share else 'none is given'])} |"


TITLES = {"overfit": "Made to overfit", "replay": "With replay"}
HEAD = """# A run made to overfit is told, one with replay is not

SmolLM2-135M-Instruct on the quickstart's handbook, twice: once without general data, at 2.5 times the rate and for 6
epochs instead of 3; once as the quickstart has it, with 60 general examples mixed in. Both are asked the handbook's
exam, the 20 general questions of the quickstart and the 200 of the package's retention pack, and both score
what the base itself says to generic prompts. The margin is 10 points. One seed each. Raw data:
[forgetting.jsonl](forgetting.jsonl), which has the whole reports; one command writes it and this page (`--report` the
page alone).

```console
$ scripts/bench_evaluation forgetting
```
"""
