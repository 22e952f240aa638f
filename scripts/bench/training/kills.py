"""Do runs that are killed at random and gone on with end in the weights of runs that nothing happened to? On a CPU.

Every attempt is a fresh set of worker processes, forked from this one, in which all libraries are imported already. A
worker dies by SIGKILL at a random operation on the run folder's files or at a random step; its fellows die with it.
Then, now and then, a file of the newest checkpoint is lost, cut or has one bit flipped. The weights that come out are
compared byte by byte with those of a run without kills: with the same numbers of workers from the same steps on.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.timed_steps.shards import learnable_examples, pack, write_training_set
from bench.training.killed_worker import Kill, import_also, start_worker

STEPS, EVERY, SEQUENCE, ROWS = 6, 2, 64, 24
METHODS = {"full": {}, "lora": {"r": 4, "lora_alpha": 8}, "qlora": {"r": 4, "lora_alpha": 8}}
PRECISIONS = ("fp32", "bf16")
ATTEMPTS = 12  # of a run, most of them killed
SECONDS = 240.0  # for an attempt, which then counts as hanging


@dataclass(frozen=True)
class Setup:
    """What a run trains and how."""

    method: str
    precision: str
    zero_stage: int

    @property
    def name(self) -> str:
        return f"{self.method}-{self.precision}-zero{self.zero_stage}"


Segments = tuple[tuple[int, int], ...]  # (workers, the step they went on from)


class Bench:
    """A folder with a base, a training set, and what clean runs ended in."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._references = folder, {}
        if in_child(lambda: make_inputs(folder), folder / "inputs.log"):
            raise SystemExit(f"the inputs cannot be made: see {folder / 'inputs.log'}")

    def task(self, setup: Setup, run_path: Path, num_workers: int) -> Any:
        from ray_ft.artifacts import Estimate, Memory, Plan, TrainingSet
        from ray_ft.config import ModelConfig, TrainConfig
        from ray_ft.models.tokenizer import tokenizer_digest
        from ray_ft.strategies import STRATEGIES
        from ray_ft.training.fine_tune import make_task

        options: dict[str, Any] = dict(METHODS[setup.method])
        strategy = STRATEGIES[setup.method](zero_stage=setup.zero_stage, offload="none", **options)
        base = str(self.folder / "base")
        nothing = Memory(0, 0, 0, 0, 0, 0, 0, 0, phase="backward")
        plan = Plan(
            model="builtin:tiny", gpu="cpu", strategy=strategy, num_workers=num_workers, micro_batch_size=1,
            gradient_accumulation_steps=4 // num_workers, gradient_checkpointing=False,
            estimate=Estimate(strategy, num_workers, 1, 1, False, nothing, 0, 1.0, 0.0, 0.0, fits=True),
        )  # fmt: skip
        training_set = TrainingSet(
            path=str(self.folder / "data"), recipes=(), num_documents={}, num_examples={}, num_rows={"train": ROWS},
            num_tokens={}, num_target_tokens={}, num_questions=0, files={}, max_seq_len=SEQUENCE,
            tokenizer_digest=tokenizer_digest(base), template_digest="", data_digest="random", fingerprint="random",
        )  # fmt: skip
        train = TrainConfig(
            max_steps=STEPS, global_batch_size=4, learning_rate=3e-3, warmup_ratio=0.34, weight_decay=0.01,
            checkpoint_every=EVERY, eval_every=STEPS, trackers=(), precision=setup.precision,
        )  # fmt: skip
        made = make_task(
            training_set, plan, model=ModelConfig(name="builtin:tiny"), model_path=base, train=train,
            run_path=str(run_path), seed=5, inputs={}, num_cpus=num_workers,
        )  # fmt: skip
        return replace(made, num_threads=1)

    def attempt(self, setup: Setup, run_path: Path, num_workers: int, kill: Kill | None = None) -> dict[str, Any]:
        """What became of one set of workers: `start`, and `error`, `killed` or neither; `operations` of each rank."""
        return run_workers(self.task(setup, run_path, num_workers), num_workers, kill)

    def reference(self, setup: Setup, segments: Segments) -> tuple[Path, list[int]]:
        """The folder of a clean run with these numbers of workers, and how many operations on files each rank did."""
        if (setup, segments) not in self._references:
            run_path = self.folder / "clean" / setup.name / "-".join(f"{w}at{s}" for w, s in segments)
            workers, start = segments[-1]
            if len(segments) > 1:
                before, _ = self.reference(setup, segments[:-1])
                name = f"checkpoints/step-{start:06d}"
                shutil.copytree(before / name, run_path / name)
            outcome = self.attempt(setup, run_path, workers)
            if "error" in outcome or outcome.get("start") != start:
                raise SystemExit(f"{run_path}: a run that nothing happened to failed: {outcome}")
            self._references[setup, segments] = run_path, outcome["operations"]
        return self._references[setup, segments]


def make_inputs(folder: Path) -> None:
    from ray_ft.models.builtin import build_builtin

    build_builtin("tiny", folder / "made", pretrain_steps=0).rename(folder / "base")
    examples = learnable_examples(4 * ROWS, limit=SEQUENCE, vocabulary=4096, seed=1)
    write_training_set(folder / "data", pack(examples, sequence=SEQUENCE)[:ROWS])


def in_child(work: Any, log: Path) -> int:
    """Exit status of a forked process that does it; this one stays without threads."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if (child := os.fork()) == 0:
        start_worker(work, log)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run_workers(task: Any, num_workers: int, kill: Kill | None) -> dict[str, Any]:
    """Start workers for a task, wait for them, and end all once one has died."""
    from bench.training.killed_worker import work_on

    run_path = Path(task.run_path)
    run_path.mkdir(parents=True, exist_ok=True)
    meeting = Path(tempfile.mkdtemp(prefix="meeting-"))
    children = {}
    for rank in range(num_workers):
        mine = kill if kill is not None and kill.rank == rank else None
        if (child := os.fork()) == 0:
            start_worker(lambda rank=rank, mine=mine: work_on(task, rank, num_workers, meeting, mine),
                         meeting / f"{rank}.log")  # fmt: skip
        children[child] = rank
    outcome: dict[str, Any] = {}
    deadline = time.monotonic() + SECONDS
    while children:
        child, status = os.waitpid(-1, os.WNOHANG)
        if child:
            rank, code = children.pop(child), os.waitstatus_to_exitcode(status)
            if code == 0:
                continue
            if code == -signal.SIGKILL:
                outcome["killed"] = rank
            elif "killed" not in outcome and "error" not in outcome:
                outcome["error"] = f"rank {rank}: {(meeting / f'{rank}.log').read_text()[-600:]}"
        elif time.monotonic() > deadline:
            outcome["error"] = f"no end within {SECONDS:.0f} s"
        else:
            time.sleep(0.01)
            continue
        if outcome:  # a worker's end ends its fellows, as Ray does it
            time.sleep(0.2)
            for other in children:
                os.kill(other, signal.SIGKILL)
            for other in children:
                os.waitpid(other, 0)
            children = {}
    told = [json.loads(path.read_text()) for path in sorted(meeting.glob("told-*.json"))]
    outcome["operations"] = [of_rank.get("operations", 0) for of_rank in told]
    if told:
        outcome["start"] = told[0]["start"]
    if "killed" in outcome and kill is not None:
        outcome.pop("error", None)
    import_also(meeting / "modules.json")
    shutil.rmtree(meeting)
    return outcome


def harm_newest(run_path: Path, dice: random.Random) -> str:
    """Spoil a file of the newest checkpoint where there are two; says which and how."""
    folders = sorted((run_path / "checkpoints").glob("step-*"))
    if len(folders) < 2:
        return ""
    path = dice.choice(sorted(p for p in folders[-1].rglob("*") if p.is_file()))
    how = dice.choice(("lost", "cut", "flipped"))
    content = bytearray(path.read_bytes())
    if how == "lost":
        path.unlink()
    elif how == "cut":
        path.write_bytes(content[: dice.randrange(len(content))])
    else:
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
        path.write_bytes(content)
    return f"{path.relative_to(run_path)} {how}"


def one_run(bench: Bench, number: int, setup: Setup, *, elastic: bool, dice: random.Random) -> dict[str, Any]:
    """A run through its kills to its end, beside the clean one."""
    started = time.monotonic()
    _, operations = bench.reference(setup, ((2, 0),))
    run_path = bench.folder / "runs" / f"{number:04d}"
    wanted = dice.randint(1, 3)
    story: list[str] = []
    segments: Segments = ()
    row: dict[str, Any] = {"number": number, "setup": setup.name, "elastic": elastic, "kills": 0, "harms": 0}
    for attempt in range(ATTEMPTS):
        workers = (2, 1)[attempt % 2] if elastic else 2
        kill = None
        if row["kills"] < wanted:
            by_step = dice.random() < 0.3
            rank = dice.randrange(workers)
            count = dice.randint(1, STEPS) if by_step else dice.randint(1, max(operations[rank], 1))
            kill = Kill(rank, "step" if by_step else "operation", count)
        outcome = bench.attempt(setup, run_path, workers, kill)
        start = outcome.get("start")
        if start is not None:
            segments = extended(segments, workers, start)
        story.append(f"{workers} workers from {start}" + (f", killed at {kill.kind} {kill.count}" if kill else ""))
        if "error" in outcome:
            row |= {"verdict": "error", "error": outcome["error"]}
            break
        if "killed" not in outcome:
            clean, _ = bench.reference(setup, segments)
            row["verdict"] = "same" if output(run_path) == output(clean) else "OTHER WEIGHTS"
            break
        row["kills"] += 1
        if dice.random() < 0.35 and (harm := harm_newest(run_path, dice)):
            row["harms"] += 1
            story.append(harm)
    else:
        row["verdict"] = "no end"
    shutil.rmtree(run_path)
    return row | {"segments": segments, "story": story, "seconds": round(time.monotonic() - started, 1)}


def extended(segments: Segments, workers: int, start: int) -> Segments:
    """Who trained which steps: what was trained after `start` is forgotten, and equal neighbours are one."""
    kept = tuple(s for s in segments if s[1] < start)
    return kept if kept and kept[-1][0] == workers else (*kept, (workers, start))


def output(run_path: Path) -> dict[str, bytes]:
    found = {p.name: p.read_bytes() for kind in ("adapter", "model") for p in (run_path / kind).glob("*.safetensors")}
    assert found, f"{run_path} holds no weights"
    return found


def main(arguments: list[str]) -> int:
    """0 if no run ended in other weights without an error."""
    parser = argparse.ArgumentParser(prog="bench_training kills", description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=600.0, help="no new run is begun after so long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("outputs/bench/kills.jsonl"), help="a line for each run")
    options = parser.parse_args(arguments)
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
                   "DS_ACCELERATOR": "cpu"}  # fmt: skip
    from bench.training.killed_worker import import_all

    import_all()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    setups = [Setup(m, p, z) for z in range(4) for p in PRECISIONS for m in METHODS]
    dice = random.Random(options.seed)
    dice.shuffle(setups)
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    verdicts: Counter[str] = Counter()
    until = time.monotonic() + 60 * options.minutes
    try:
        bench = Bench(folder)
        with options.output.open("w") as lines:
            for number in range(options.runs):
                if time.monotonic() > until:
                    break
                setup = setups[number % len(setups)]
                elastic = setup.zero_stage < 3 and dice.random() < 0.5
                row = one_run(bench, number, setup, elastic=elastic, dice=random.Random(f"{options.seed}-{number}"))
                verdicts[row["verdict"]] += 1
                print(json.dumps(row), file=lines, flush=True)
                print(f"{number:4} {setup.name:18} {row['verdict']:14} {'; '.join(row['story'])}", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{sum(verdicts.values())} runs: {dict(verdicts)}", file=sys.stderr)
    return int(any(verdict not in ("same", "error") for verdict in verdicts))
