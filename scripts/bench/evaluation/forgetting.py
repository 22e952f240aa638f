"""`scripts/bench_evaluation forgetting`: a run made to overfit and two that are mended, and what is told of each.

All are the quickstart, its model and its handbook. Every step is a command of `ray-ft`, kept with its exit code and
what it printed; the last ones hold the runs against each other. A run that is finished is not repeated.
"""

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
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
    "rehearsal": ("data.datasets=[]", "data.rehearsal.num_examples=400", "data.rehearsal.max_new_tokens=64"),
}
MENDED = tuple(name for name in RUNS if name != "overfit")
TINY = ("evaluation.num_retention=30", "evaluation.num_questions=12", "evaluation.max_new_tokens=16",
        "evaluation.num_documents=1")  # fmt: skip
TINY_STEPS = {"overfit": ("train.max_steps=30",), "replay": ("train.max_steps=15",),
              "rehearsal": ("train.max_steps=15", "data.rehearsal.num_examples=20",
                            "data.rehearsal.max_new_tokens=16")}  # fmt: skip
LINES = "forgetting.jsonl"
VERBS = ("prepare", "train", "evaluate")
SYSTEMS = ("base", "tuned")


def main(arguments: list[str] | None = None) -> int:
    """Make the runs unless --report; once all are finished, write the page."""
    parser = argparse.ArgumentParser(prog="scripts/bench_evaluation forgetting", description=__doc__)
    parser.add_argument("--output", type=Path, default=BENCHMARKS, help=f"folder of {LINES} and of forgetting.md")
    parser.add_argument("--tiny", action="store_true", help="few steps and questions: shows that it works, no more")
    parser.add_argument("--only", choices=RUNS, help="make this run alone; the page follows when all are finished")
    parser.add_argument("--only-prepare", action="store_true", help="stop before anything is trained")
    parser.add_argument("--report", action="store_true", help=f"run nothing: the page from {LINES}")
    options = parser.parse_args(arguments)
    lines = options.output / LINES
    if not options.report:
        options.output.mkdir(parents=True, exist_ok=True)
        names = [options.only] if options.only else list(RUNS)
        make(lines, names, tiny=options.tiny, only_prepare=options.only_prepare)
    if not options.only_prepare and not (left := unfinished(read(lines))):
        (options.output / "forgetting.md").write_text(page(read(lines)), encoding="utf-8")
        print(f"wrote {options.output / 'forgetting.md'}")
    elif not options.only_prepare:
        print(f"no page yet: {' and '.join(left)} to be made")
    return 0


def make(lines: Path, names: Sequence[str], *, tiny: bool, only_prepare: bool) -> None:
    """Prepare, train and evaluate those of the runs that are not finished; then compare, once all are."""
    given = {name: settings_of(name, tiny=tiny) for name in RUNS}
    done = kept_runs(read(lines) if lines.is_file() else [], given)
    lines.write_text("".join(json.dumps(row) + "\n" for row in done), encoding="utf-8")
    finished = {row["run"] for row in done}
    for name in (name for name in names if name not in finished):
        if not (REPOSITORY / folder_of(name) / "training_set.json").is_file():
            _run(lines, name, [sys.executable, "scripts/import_answers.py", CONFIG, RECORDED, *given[name]],
                 shown="import")  # fmt: skip
        for verb in VERBS[:1] if only_prepare else VERBS:
            _ray_ft(lines, name, verb, CONFIG, *given[name])
        if not only_prepare:
            report = json.loads((REPOSITORY / folder_of(name) / "report.json").read_text())["artifact"]
            _keep(lines, {"run": name, "report": report, "settings": given[name]})
    if only_prepare or unfinished(read(lines)):
        return
    for name in MENDED:
        _ray_ft(lines, "all", "compare", folder_of("overfit"), folder_of(name), "evaluation.margin=0.1")
    for name in RUNS:
        _ray_ft(lines, "all", "gate", folder_of(name), "--max-loss", "0.1")
    for name in MENDED:
        _ray_ft(lines, "all", "gate", folder_of(name), "--max-loss", "0.1", "--against", folder_of("overfit"))


def folder_of(name: str) -> str:
    return f"outputs/forgetting-{name}"


def settings_of(name: str, *, tiny: bool) -> list[str]:
    """Overrides of the quickstart's configuration that make a run."""
    return [f"run_name=forgetting-{name}", *SHARED, *RUNS[name], *((*TINY, *TINY_STEPS[name]) if tiny else ())]


def kept_runs(rows: Sequence[dict[str, Any]], given: Mapping[str, list[str]]) -> list[dict[str, Any]]:
    """The rows of runs that are finished and were made with these settings."""
    finished = {row["run"] for row in rows if "report" in row and row["settings"] == given[row["run"]]}
    return [row for row in rows if row["run"] in finished]


def unfinished(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Names of the runs without a report."""
    finished = {row["run"] for row in rows if "report" in row}
    return [name for name in RUNS if name not in finished]


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
    """forgetting.md, from what was kept; its title is what was found."""
    ran = [row for row in rows if "command" in row]
    reports = {row["run"]: row for name in RUNS for row in rows if row["run"] == name and "report" in row}
    parts = [f"# {title(rows)}\n", HEAD, *_table(SUMMARY)]
    parts += [_row(told(row["report"]), row["report"]["scores"], first=TITLES[name]) for name, row in reports.items()]
    for name, row in reports.items():
        report, own = row["report"], [r for r in ran if r["run"] == name]
        contrasts = [c for c in report["contrasts"] if (c["treatment"], c["control"]) == ("tuned", "base")]
        parts += [f"\n## {TITLES[name]}\n", _console(f"ray-ft run {CONFIG} {shlex.join(row['settings'])}")]
        parts += _table(GROUPS)
        parts += [_row(c, report["scores"]) for c in contrasts if c["primary"] or c["metric"] == "bits_per_token"]
        parts.append(f"\nThe pack by kind, {report['details']['retention pack']}.")
        seconds = {verb: r["seconds"] for r in own for verb in VERBS if r["command"].startswith(f"ray-ft {verb} ")}
        parts.append(f"Seconds: {', '.join(f'{verb} {seconds[verb]:.0f}' for verb in VERBS)}.")
        found = next(r["printed"] for r in own if r["command"].startswith("ray-ft evaluate"))
        parts += ["\n```text", found.rstrip(), "```"]
    parts.append("\n## The runs against each other, and the gate\n")
    for row in ran:
        if row["command"].startswith(("ray-ft compare", "ray-ft gate")):
            parts.append(_console(row["command"], f"{row['printed'].rstrip()}\n(exit code {row['exit']})"))
    return "\n".join(parts)


def told(report: dict[str, Any]) -> dict[str, Any]:
    """What a report says of the general questions: the contrast that tells a loss, or tells none."""
    pairs = (c for c in report["contrasts"] if (c["treatment"], c["control"]) == ("tuned", "base"))
    found: dict[str, Any] = next(c for c in pairs if c["stratum"] == "retention" and c["primary"])
    return found


def title(rows: Sequence[dict[str, Any]]) -> str:
    """Which runs are told as a loss and which are not, as a sentence."""
    verdicts = {row["run"]: told(row["report"])["verdict"] for row in rows if "report" in row}
    lost = [NAMES[name] for name in RUNS if verdicts[name] == "worse"]
    kept = [NAMES[name] for name in RUNS if verdicts[name] != "worse"]
    text = _said(lost, "told as a loss")
    if kept:
        text = f"{text}, {_said(kept, 'not')}" if lost else _said(kept, "not told as a loss")
    return text[0].upper() + text[1:]


def _said(names: Sequence[str], what: str) -> str:
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} {what}"


def _table(columns: Sequence[str]) -> list[str]:
    return [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]


def _console(command: str, printed: str = "") -> str:
    return "\n".join(["```console", f"$ {command}", *([printed] if printed else []), "```\n"])


def _row(c: dict[str, Any], scores: list[dict[str, Any]], *, first: str = "") -> str:
    means = {s["system"]: s["mean"] for s in scores if (s["stratum"], s["metric"]) == (c["stratum"], c["metric"])}
    is_share = c["metric"] != "bits_per_token"

    def shown(value: float, sign: str = "") -> str:
        return f"{100 * value:{sign}.1f}" if is_share else f"{value:{sign}.3f}"

    unit = " %" if is_share else " bits per token"
    cells = [
        first or c["stratum"].replace("_", " "),
        str(c["num_items"]),
        *(f"{shown(means[s])}{unit}" for s in SYSTEMS),
    ]
    interval = f"{shown(c['difference'], '+')} [{shown(c['low'], '+')}, {shown(c['high'], '+')}]"
    return f"| {' | '.join([*cells, interval, c['verdict'] if is_share else 'none is given'])} |"


TITLES = {"overfit": "Made to overfit", "replay": "With replay", "rehearsal": "With rehearsal"}
NAMES = {"overfit": "a run made to overfit", "replay": "one with replay", "rehearsal": "one with rehearsal"}
FIGURES = ("items", "base", "tuned", "tuned less base, 95% interval", "verdict")
GROUPS, SUMMARY = ("group", *FIGURES), ("general questions", *FIGURES)
HEAD = """SmolLM2-135M-Instruct on the quickstart's handbook, three times: without general data, at 2.5 times the rate
and for 6 epochs instead of 3; with replay, as the quickstart has it, 60 general examples mixed in; and with
rehearsal, as the quickstart but with 400 general prompts that the base itself answers in place of those 60. All are
asked the handbook's exam, the 20 general questions of the quickstart and the 200 of the package's retention pack, and
all score what the base itself says to generic prompts. The margin is 10 points. One seed each. Raw data:
[forgetting.jsonl](forgetting.jsonl), which has the whole reports; one command writes it and this page (`--report` the
page alone, `--only rehearsal` one run; a finished run is not repeated).

```console
$ scripts/bench_evaluation forgetting
```
"""
