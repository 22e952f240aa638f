"""Loss curves of our loop beside transformers.Trainer's on the same batches, and beside the same examples unpacked."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.timed_steps.models import random_model
from bench.timed_steps.processes import device_and_dtype, start_process_group
from bench.timed_steps.shapes import SHAPES
from bench.training.ours import make_task, plain_strategy
from bench.training.rivals import autocast_to
from bench.training.spec import Spec

TOLERANCES = {"cpu": 1e-4, "cuda": 1e-2}
"""Largest relative difference of a step's loss: fp32 sums in another order, and bf16's rounding (2^-8) after Adam."""


def run_curves(spec: Spec) -> dict[str, Any]:
    """Three runs from the same weights, `spec.steps` steps each; on a GPU all compute in bf16 and update in fp32."""
    from ray_ft.training.reporting.metrics import METRICS_FILE, read_metrics
    from ray_ft.training.worker import fit

    device, dtype = device_and_dtype()
    start_process_group(device)
    weights = Path(spec.options["base"])
    random_model(SHAPES[spec.shape], device=device, dtype=dtype, seed=spec.seed).save_pretrained(weights)
    rate = 1e-3 if spec.strategy != "full" else 3e-4
    run_path = Path(spec.scratch) / f"run-{spec.file_name}"
    task = make_task(
        spec, plain_strategy(spec), run_path=run_path, max_steps=spec.steps, learning_rate=rate,
        lr_scheduler="linear", warmup_ratio=0.1,
    )  # fmt: skip
    trainer, _ = train_with_transformers(task, device)
    unpacked = unpacked_losses(task, device)
    fit(task, report=lambda *_: None)
    ours = [line["loss"] for line in read_metrics(run_path / METRICS_FILE) if "loss" in line]
    tolerance = TOLERANCES[device.type]
    found: dict[str, Any] = {"losses": ours, "trainer_losses": trainer, "unpacked_losses": unpacked}
    for name, other in (("trainer", trainer), ("unpacked", unpacked)):
        pairs = list(zip(ours, other, strict=True))
        found[f"{name}_difference"] = max(abs(a - b) / abs(b) for a, b in pairs)
    found["tolerance"] = tolerance
    found["within"] = max(found["trainer_difference"], found["unpacked_difference"]) <= tolerance
    found["fell"] = ours[0] - ours[-1]
    return found


def run_losses(spec: Spec) -> dict[str, Any]:
    """The losses of `spec.steps` steps from weights that every process of every run of the part reads."""
    from ray_ft.training.reporting.metrics import METRICS_FILE, read_metrics
    from ray_ft.training.worker import fit

    device, _ = device_and_dtype()
    start_process_group(device)
    run_path = Path(spec.scratch) / f"run-{spec.file_name}"
    spec = replace(spec, options=spec.options | {"base": spec.options["weights"]})
    task = make_task(spec, plain_strategy(spec), run_path=run_path, max_steps=spec.steps, learning_rate=1e-3)
    fit(task, report=lambda *_: None)
    losses = [line["loss"] for line in read_metrics(run_path / METRICS_FILE) if "loss" in line]
    return {"losses": losses, "tolerance": TOLERANCES[device.type]}


def reference_model(task: Any, device: Any) -> Any:
    """The strategy's model in PyTorch's and transformers' own kernels, with fp32 weights wherever something trains."""
    import torch

    _, dtype = device_and_dtype()
    wide = dtype if task.strategy.is_adapter else torch.float32
    model = task.strategy.load_model(task.base_path, dtype=wide, device=device, seed=task.seed)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model


def batches(task: Any) -> tuple[Any, list[list[int]]]:
    """The rows, and those of each step in our order."""
    from ray_ft.training.batches import PackedRows, RowOrder

    rows = PackedRows(task.training_set_path, "train")
    order = RowOrder(len(rows), global_batch_size=task.train.global_batch_size, seed=task.seed)
    return rows, [order.global_batch(step) for step in range(task.num_steps)]


def train_with_transformers(task: Any, device: Any) -> tuple[list[float], Any]:
    """Losses and model of transformers.Trainer on the packed rows, with the task's linear schedule and batch sizes.

    Position ids that restart make transformers keep examples apart.
    """
    import torch
    from transformers import Trainer, TrainerCallback, TrainingArguments

    rows, steps = batches(task)
    stream = [i for step in steps for i in step]
    losses: list[float] = []

    class Collect(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if "loss" in logs:
                losses.append(float(logs["loss"]))

    class InOrder(Trainer):  # type: ignore[misc]
        def _get_train_sampler(self, *_: Any) -> Any:
            return torch.utils.data.SequentialSampler(stream)

    arguments = TrainingArguments(
        output_dir=task.run_path, per_device_train_batch_size=task.micro_batch_size,
        gradient_accumulation_steps=task.gradient_accumulation_steps, max_steps=task.num_steps,
        learning_rate=task.learning_rate, lr_scheduler_type="linear", warmup_steps=warmup_steps(task),
        weight_decay=task.train.weight_decay, max_grad_norm=task.train.max_grad_norm, optim="adamw_torch",
        logging_steps=1, save_strategy="no", report_to="none", use_cpu=device.type == "cpu",
        bf16=device.type == "cuda", remove_unused_columns=False, disable_tqdm=True,
    )  # fmt: skip
    trainer = InOrder(
        model=reference_model(task, device), args=arguments, train_dataset=stream, callbacks=[Collect()],
        data_collator=lambda indices: plain_batch(rows, indices),
    )  # fmt: skip
    trainer.train()
    return losses, trainer.model


def unpacked_losses(task: Any, device: Any) -> list[float]:
    """Every example of a step by itself, without packing, padding or a mask; the same optimizer and schedule."""
    import torch

    rows, steps = batches(task)
    model = reference_model(task, device).train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=task.learning_rate, weight_decay=0.0)
    losses = []
    for step, indices in enumerate(steps):
        targets = rows.num_targets(indices)
        total = 0.0
        for example in examples(rows, indices):
            on_device = {name: value.to(device) for name, value in example.items()}
            with autocast_to(device, True):
                loss = model(**on_device, use_cache=False, num_items_in_batch=targets).loss
            loss.backward()
            total += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(trained, task.train.max_grad_norm)
        for group in optimizer.param_groups:
            group["lr"] = task.learning_rate * linear(step, task)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(total)
    return losses


def warmup_steps(task: Any) -> int:
    return int(task.num_steps * task.train.warmup_ratio)


def linear(step: int, task: Any) -> float:
    """transformers' linear schedule with warm-up, as a share of the peak."""
    warmup = warmup_steps(task)
    return step / warmup if step < warmup else (task.num_steps - step) / max(1, task.num_steps - warmup)


def plain_batch(rows: Any, indices: list[int]) -> dict[str, Any]:
    """Input ids, labels and restarting positions of whole rows."""
    import numpy as np
    import torch

    stacked = torch.from_numpy(np.stack([rows[i] for i in indices]).astype(np.int64))
    return {"input_ids": stacked[:, 0], "labels": stacked[:, 1], "position_ids": stacked[:, 2]}


def examples(rows: Any, indices: list[int]) -> list[dict[str, Any]]:
    """Each packed example as a row of its own; padding has no target and is left out."""
    import numpy as np
    import torch

    found = []
    for index in indices:
        row = np.asarray(rows[index], dtype=np.int64)
        for start, end in pairwise([*np.flatnonzero(row[2] == 0).tolist(), row.shape[1]]):
            if (row[1, start:end] != -100).any():
                part = torch.from_numpy(row[:, None, start:end])
                found.append({"input_ids": part[0], "labels": part[1]})
    return found
