"""What the training tests share: a training set of random tokens, and processes that run the worker's loop on gloo."""

import json
import os
import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from worker_loop import Fault, outcome_of

from ray_ft.artifacts import Estimate, Memory, Plan, TrainingSet
from ray_ft.config import ModelConfig, TrainConfig
from ray_ft.models.tokenizer import tokenizer_digest
from ray_ft.strategies import Backend, Full, LoRA, QLoRA, Strategy
from ray_ft.training.fine_tune import make_task
from ray_ft.training.task import TrainingTask

MODULES = os.pathsep.join(map(str, Path(__file__).parents[:2]))
"""Folders with the modules of the tests, for a program of its own to import them."""
VOCABULARY = 4096
SEQUENCE = 64
NUM_ROWS = {"train": 22, "validation": 5}


def make_training_set(folder: Path, model_path: str) -> TrainingSet:
    """Packed rows of two or three random examples and some padding, in two shards for train."""
    random = np.random.default_rng(7)
    manifest: dict[str, Any] = {"version": 1, "max_seq_len": SEQUENCE, "data_digest": "random", "splits": {}}
    (folder / "shards").mkdir(parents=True)
    tokens: dict[str, int] = {}
    for split, num_rows in NUM_ROWS.items():
        rows = np.stack([_packed_row(random) for _ in range(num_rows)]).astype(np.int32)
        tokens[split] = int((rows[:, 0] != 0).sum())
        shards = []
        for number, part in enumerate(np.array_split(rows, 2 if split == "train" else 1)):
            name = f"{split}-{number:05d}"
            np.save(folder / "shards" / f"{name}.npy", part)
            lines = [json.dumps([f"doc-{split}-{number}-{i}#0"]) for i in range(len(part))]
            (folder / "shards" / f"{name}.chunks.jsonl").write_text("\n".join(lines) + "\n")
            shards.append({"file": f"{name}.npy", "num_rows": len(part), "sha256": ""})
        targets = int((rows[:, 1] != -100).sum())
        about = {"num_rows": num_rows, "num_tokens": tokens[split], "num_target_tokens": targets, "shards": shards}
        manifest["splits"][split] = about
    (folder / "shards" / "manifest.json").write_text(json.dumps(manifest))
    return TrainingSet(
        path=str(folder), recipes=("paragraph",), num_documents={}, num_examples={}, num_rows=dict(NUM_ROWS),
        num_tokens=tokens, num_target_tokens={}, num_questions=0, files={}, max_seq_len=SEQUENCE,
        tokenizer_digest=tokenizer_digest(model_path), template_digest="", data_digest="random", fingerprint="random",
    )  # fmt: skip


def _packed_row(random: np.random.Generator) -> np.ndarray:
    row = np.zeros((3, SEQUENCE), dtype=np.int64)
    row[1] = -100
    start = 0
    while start < SEQUENCE - 8:
        length = int(min(random.integers(8, 40), SEQUENCE - start))
        here = slice(start, start + length)
        # A random walk through few ids, so that there is something to learn.
        row[0, here] = 4 + np.cumsum(random.integers(1, 3, length)) % 200
        row[2, here] = np.arange(length)
        prompt = int(random.integers(1, 6))
        row[1, start + prompt : start + length] = row[0, start + prompt : start + length]
        start += length
    row[2, start:] = np.arange(SEQUENCE - start)
    return row


def make_plan(strategy: Strategy, *, num_workers: int, micro_batch_size: int, accumulation: int, **more: Any) -> Plan:
    """A plan for CPU workers; what it would cost is left out."""
    nothing = Memory(0, 0, 0, 0, 0, 0, 0, 0, phase="backward")
    estimate = Estimate(
        strategy, num_workers, micro_batch_size, accumulation, False, nothing, 0, 1.0, 0.0, 0.0, fits=True
    )  # fmt: skip
    values = {"gradient_checkpointing": False, **more}
    return Plan(
        model="builtin:tiny", gpu="cpu", strategy=strategy, num_workers=num_workers, micro_batch_size=micro_batch_size,
        gradient_accumulation_steps=accumulation, estimate=estimate, **values,
    )  # fmt: skip


STRATEGY_CLASSES = {"full": Full, "lora": LoRA, "qlora": QLoRA}
TRAIN = TrainConfig(
    max_steps=6, global_batch_size=4, learning_rate=3e-3, lr_scheduler="linear", warmup_ratio=0.34, weight_decay=0.01,
    eval_every=6, checkpoint_every=6,
)  # fmt: skip


def task_for(
    training_set: TrainingSet, model_path: str, run_path: Path, *, strategy: Strategy, num_workers: int = 1,
    micro_batch_size: int = 2, train: TrainConfig = TRAIN, gradient_checkpointing: bool = False, seed: int = 5,
    backend: Backend = "native",
) -> TrainingTask:  # fmt: skip
    """The task that fine_tune would hand to its workers."""
    plan = make_plan(
        strategy,
        num_workers=num_workers,
        micro_batch_size=micro_batch_size,
        accumulation=train.global_batch_size // (micro_batch_size * num_workers),
        gradient_checkpointing=gradient_checkpointing,
        backend=backend,
    )
    task = make_task(
        training_set, plan, model=ModelConfig(name="builtin:tiny"), model_path=model_path, train=train,
        run_path=str(run_path), seed=seed, inputs={}, num_cpus=num_workers,
    )  # fmt: skip
    return replace(task, num_threads=1)


class Workers:
    """Processes that run tasks one after the other, for the whole session: importing takes longer than training here.

    They find no program but git, so that nothing can be compiled; `extensions` is where torch would put what is.
    """

    def __init__(self, num_workers: int, folder: Path) -> None:
        import multiprocessing

        self.extensions = folder / "extensions"
        programs = folder / "programs"
        programs.mkdir()
        if (git := shutil.which("git")) is not None:
            (programs / "git").symlink_to(git)
        context = multiprocessing.get_context("spawn")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._outcomes: Any = context.Queue()
        self._inboxes: list[Any] = [context.Queue() for _ in range(num_workers)]
        self._processes = []
        for rank, inbox in enumerate(self._inboxes):
            environment = {
                "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(num_workers), "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1", "PATH": str(programs),
                "TORCH_EXTENSIONS_DIR": str(self.extensions),
            }  # fmt: skip
            process = context.Process(target=_worker, args=(environment, inbox, self._outcomes), daemon=True)
            process.start()
            self._processes.append(process)

    def run(
        self,
        tasks: list[TrainingTask],
        *,
        limits: list[int | None] | None = None,
        faults: list[Fault | None] | None = None,
    ) -> list[Any]:
        """What the worker's loop returns for each task, or the exception that it raised.

        `limits` sets the largest file, in bytes, that a process may write during a task: a write beyond it fails as on
        a full disk. `faults` are functions of a module that the processes can import.
        """
        nothing = [None] * len(tasks)
        for order in zip(tasks, limits or nothing, faults or nothing, strict=True):
            for inbox in self._inboxes:
                inbox.put(order)
        return [self._outcomes.get(timeout=240) for _ in tasks]

    def close(self) -> None:
        for inbox in self._inboxes:
            inbox.put(None)
        for process in self._processes:
            process.join(20)
            process.kill()


def _worker(environment: dict[str, str], inbox: Any, outcomes: Any) -> None:
    os.environ |= environment
    import torch.distributed

    rank = int(environment["RANK"])
    torch.distributed.init_process_group("gloo", rank=rank, world_size=int(environment["WORLD_SIZE"]))
    while (order := inbox.get()) is not None:
        outcome = outcome_of(*order, rank=rank)
        if rank == 0:
            outcomes.put(outcome)
    torch.distributed.barrier()


def training_lines(run_path: Path) -> list[dict[str, Any]]:
    """The metrics lines of training steps."""
    lines = [json.loads(line) for line in (run_path / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "loss" in line]
