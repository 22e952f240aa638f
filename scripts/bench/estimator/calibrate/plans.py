"""What `ray-ft plan` chooses and what it refuses, as configurations to run: does a plan hold, and was a no right?"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from bench.estimator.configuration import Configuration
from bench.estimator.measurements import Row
from bench.estimator.predict import hardware_of
from ray_ft.api import load_config, plan
from ray_ft.artifacts import Plan
from ray_ft.config import Config
from ray_ft.hardware import GPUS
from ray_ft.models.shape import load_model_shape
from ray_ft.planning.choice.choose import make_jobs
from ray_ft.planning.choice.estimate import Job, as_candidate, estimate
from ray_ft.planning.memory.state import Candidate
from ray_ft.planning.profile import profile_for

CONFIGS = Path(__file__).parents[4] / "configs"
CHOSEN, NEXT, MOST, BEYOND = "chosen", "next micro-batch", "most that fits", "one row more"
ROLES = (CHOSEN, NEXT, MOST, BEYOND)
GIB = 2**30
TRAINS, FAILS = "trains", "runs out of memory or comes within the headroom"
HAPPENED_OK = {TRAINS: ("trained",), FAILS: ("ran out of memory", "came within the headroom")}


@dataclass(frozen=True)
class Case:
    """A config of the repository as a user would start it, on so many GPUs."""

    name: str
    config: str
    overrides: tuple[str, ...]
    num_gpus: int = 1


CASES = (
    Case("7B LoRA", "handbook_qa_lora", ("model.name=meta-llama/Llama-2-7b-chat-hf", "train.global_batch_size=32")),
    Case("70B QLoRA", "llama2_70b_qlora", ("train.global_batch_size=4",)),
    Case("13B LoRA", "handbook_qa_lora", ("model.name=meta-llama/Llama-2-13b-chat-hf",)),
    Case("7B QLoRA", "code_summary_qlora", ("train.global_batch_size=32",)),
    Case("3B full", "full_7b_zero3",
         ("model.name=meta-llama/Llama-3.2-3B-Instruct", "train.strategy=full", "train.global_batch_size=16")),
    Case("8B full", "full_7b_zero3",
         ("model.name=meta-llama/Llama-3.1-8B-Instruct", "train.strategy=full", "train.global_batch_size=16"), 2),
)  # fmt: skip

TINY = (
    Case("tiny LoRA", "handbook_qa_lora",
         ("model.name=builtin:tiny", "model.max_seq_len=64", "train.global_batch_size=2")),
)  # fmt: skip


@dataclass(frozen=True)
class Planned:
    """One run that a plan speaks of."""

    case: Case
    role: str
    configuration: Configuration
    usable_bytes: int  # of a GPU, after the plan's headroom and confidence

    @property
    def expected(self) -> str:
        return TRAINS if self.role in (CHOSEN, MOST) else FAILS

    def columns(self) -> Row:
        """Its own columns of a row."""
        return {
            "plan": self.case.name, "config": self.case.config, "overrides": " ".join(self.case.overrides),
            "role": self.role, "expected": self.expected, "usable_bytes": self.usable_bytes,
        }  # fmt: skip


def planned_runs(cases: Sequence[Case], *, gpu: str) -> list[Planned]:
    """What every case's plan chose and the next micro-batch that it refused; after them all, the edge itself."""
    every = [_runs_of(case, gpu=gpu) for case in cases]
    ordered = sorted((run for runs in every for run in runs), key=lambda run: run.role in (MOST, BEYOND))
    seen: dict[str, Planned] = {}
    for run in ordered:
        seen.setdefault(run.configuration.name, run)
    return list(seen.values())


def _runs_of(case: Case, *, gpu: str) -> list[Planned]:
    with tempfile.TemporaryDirectory(prefix="plans-") as folder:
        config = configured(case, gpu=gpu, output_dir=folder)
        made = plan(config)
    job = job_of(config, made)
    chosen = as_candidate(made.estimate)
    runs = [(CHOSEN, chosen)]
    if after := next_micro_batch(chosen, job):
        runs.append((NEXT, after))
    if edge := most_that_fits(chosen, job):
        runs += [(MOST, edge), (BEYOND, replace(edge, micro_batch_size=edge.micro_batch_size + 1))]
    return [Planned(case, role, _configuration(config, c), job.usable_bytes) for role, c in runs]


def configured(case: Case, *, gpu: str, output_dir: str) -> Config:
    """The config with the machine's GPUs, all of which are to be used."""
    machine = [f"plan.gpu={gpu}", f"plan.num_gpus={case.num_gpus}", f"train.num_workers={case.num_gpus}"]
    if gpu in GPUS:  # as rows of the grid are predicted: by the kernel of the profile
        machine.append(f"plan.attention={profile_for(gpu).attention}")
    return load_config(str(CONFIGS / f"{case.config}.yaml"), [*case.overrides, *machine, f"output_dir={output_dir}"])


def job_of(config: Config, made: Plan) -> Job:
    """What the plan's rows were estimated from, for questions about other micro-batches."""
    shape = load_model_shape(config.model.name)
    workload = _workload(config)
    (job,) = make_jobs(
        shape, hardware=hardware_of(made.gpu, made.num_workers), workload=workload, train=config.train, plan=config.plan
    )
    return job


def _workload(config: Config) -> Any:
    from ray_ft.artifacts import Workload

    return Workload(10_000_000, config.train.num_epochs, config.model.max_seq_len, config.train.global_batch_size)


def next_micro_batch(chosen: Candidate, job: Job) -> Candidate | None:
    """The next larger micro-batch that divides the global batch, if the plan refuses it."""
    share = chosen.micro_batch_size * chosen.gradient_accumulation_steps
    for micro in range(chosen.micro_batch_size + 1, share + 1):
        if share % micro == 0:
            after = replace(chosen, micro_batch_size=micro, gradient_accumulation_steps=share // micro)
            return None if estimate(after, job).fits else after
    return None


def most_that_fits(chosen: Candidate, job: Job, *, limit: int = 256) -> Candidate | None:
    """The largest micro-batch that fits in one go, whatever the global batch; None where memory is not the limit."""
    fitting = None
    for micro in range(1, limit + 1):
        tried = replace(chosen, micro_batch_size=micro, gradient_accumulation_steps=1)
        if not estimate(tried, job, detailed=False).fits:
            return fitting
        fitting = tried
    return None


def _configuration(config: Config, candidate: Candidate) -> Configuration:
    """The candidate as a row of the grid."""
    strategy = candidate.strategy
    return Configuration(
        config.model.name, strategy.name, config.model.max_seq_len, candidate.micro_batch_size,
        checkpointing=candidate.gradient_checkpointing, zero_stage=strategy.zero_stage, num_gpus=candidate.num_workers,
        accumulation=candidate.gradient_accumulation_steps, rank=getattr(strategy, "r", Configuration.rank),
    )  # fmt: skip


def judged(row: Row) -> Row:
    """The row with what happened, and whether the plan had said so.

    What runs although it was refused comes within the headroom if it takes more of the device than a plan may fill.
    """
    happened = {"out of memory": "ran out of memory", "error": "failed"}.get(row["outcome"], "trained")
    if happened == "trained" and row["expected"] == FAILS:
        taken = row["measured_device_bytes"]
        happened = "came within the headroom" if taken > row["usable_bytes"] else "would have fitted"
    return row | {"happened": happened, "as_expected": happened in HAPPENED_OK[row["expected"]]}


def report(rows: Sequence[Row]) -> str:
    """A table of all plans, and how many runs came as expected."""
    rows = [judged(row) for row in rows]
    lines = [
        "| plan | run | configuration | must be there GiB | allocated | device | s/step, planned | measured | expected "
        "| happened |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    ordered = sorted(rows, key=lambda row: (row["num_gpus"], row["plan"], ROLES.index(row["role"])))
    for row in ordered:
        ran = row["outcome"] == "ok"
        needed = max(row["predicted_phase_bytes"].values()) / GIB
        cells = [
            row["plan"], row["role"], row["name"], f"{needed:.1f} of {row['usable_bytes'] / GIB:.1f}",
            gib(row.get("measured_allocated_bytes")),
            gib(row.get("measured_device_bytes")),
            f"{row['predicted_seconds']:.2f}",
            f"{row['measured_seconds']:.2f}" if ran else "-",
            row["expected"], row["happened"] + ("" if row["as_expected"] else ": **not as planned**"),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    held = sum(row["as_expected"] for row in rows)
    return "\n".join([*lines, "", f"{held} of {len(rows)} as expected.", *_off(rows)])


def _off(rows: Sequence[Row]) -> list[str]:
    """How far memory and time were off where something ran; predicted before it did."""
    ran = [row for row in rows if row["outcome"] == "ok"]
    lines = []
    for what, name in (("allocated memory", "allocated_bytes"), ("device memory", "device_bytes"),
                       ("step time", "seconds")):  # fmt: skip
        errors = [row[f"predicted_{name}"] / row[f"measured_{name}"] - 1 for row in ran if f"measured_{name}" in row]
        if errors:
            middle = 100 * median(abs(error) for error in errors)
            lines.append(
                f"{what}: off by {middle:.1f}% in the median, {100 * min(errors):+.1f}% to {100 * max(errors):+.1f}%."
            )
    return lines


def gib(num_bytes: float | None) -> str:
    """GiB with one decimal, or a dash."""
    return "-" if num_bytes is None else f"{num_bytes / GIB:.1f}"
