"""Our own loop, as its workers run it but without Ray around it, and the same model in a bare loop."""

import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from bench.timed_steps.models import random_model
from bench.timed_steps.processes import device_and_dtype, start_process_group
from bench.timed_steps.shapes import SHAPES
from bench.timed_steps.stopwatch import Finished, Stopwatch
from bench.training.rivals import LEARNING_RATE
from bench.training.spec import Spec


def run_fit(spec: Spec) -> dict[str, Any]:
    """`fit` of the training worker until enough steps are timed; nothing of it is replaced.

    The strategy makes its base from random weights instead of a folder, and a forward pre-hook counts the steps.
    """
    from ray_ft.training.batches import PackedRows
    from ray_ft.training.reporting.metrics import METRICS_FILE, read_metrics
    from ray_ft.training.worker import fit

    device, _ = device_and_dtype()
    start_process_group(device)
    found = {"loss_per_token": loss_per_token(spec, device)} if spec.options.get("evaluate") else {}
    watch = Stopwatch(device, warmup=spec.warmup, steps=spec.steps)
    strategy = random_base(spec, watch.before_forward)
    task = make_task(spec, strategy, run_path=Path(spec.scratch) / f"run-{spec.file_name}")
    try:
        fit(task, report=lambda *_: None)
    except Finished:
        pass
    else:
        raise RuntimeError(f"the run ended before {spec.warmup + spec.steps} steps were timed")
    rows = PackedRows(task.training_set_path, "train")
    tokens_per_step = spec.micro_batch * spec.world_size * rows.num_tokens / len(rows)
    lines = read_metrics(Path(task.run_path) / METRICS_FILE)
    losses = [line["loss"] for line in lines if "loss" in line]
    return found | watch.result(tokens_per_step=tokens_per_step) | {"losses": losses, "attention": attention_kernel()}


def run_bare(spec: Spec) -> dict[str, Any]:
    """The same accelerated model and batches in the shortest loop there is: what `fit` adds is measured against it."""
    import torch

    from ray_ft.training.batches import PackedRows, RowOrder, collate
    from ray_ft.training.worker import forward

    device, _ = device_and_dtype()
    start_process_group(device)
    model, task = accelerated_model(spec, device)
    rows = PackedRows(task.training_set_path, "train")
    order = RowOrder(len(rows), global_batch_size=spec.micro_batch, seed=spec.seed)
    steps = [order.global_batch(step) for step in range(spec.warmup + spec.steps)]
    batches = [{k: v.to(device) if hasattr(v, "to") else v for k, v in collate(rows, s).items()} for s in steps]
    targets = [rows.num_targets(step) for step in steps]
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=0.0, fused=True)
    watch = Stopwatch(device, warmup=spec.warmup, steps=spec.steps)
    losses = []
    model.train()
    try:
        while True:
            watch.step()
            at = watch.done - 1
            loss = forward(model, batches[at], num_targets=targets[at], device=device)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(loss.detach())
    except Finished:
        pass
    found = watch.result(tokens_per_step=spec.micro_batch * spec.sequence)
    return found | {"losses": [float(x) for x in losses], "attention": attention_kernel()}


def attention_kernel() -> str:
    """Which of ray_ft's kernels the last model took."""
    from ray_ft.kernels import attention

    return f"{attention.ATTENTION}, {attention._kernel}"


def loss_per_token(spec: Spec, device: Any) -> float:
    """Mean loss over all target tokens of the training set before training, through our kernels."""
    import torch

    from ray_ft.training.batches import PackedRows, collate
    from ray_ft.training.worker import forward

    model, task = accelerated_model(spec, device)
    rows = PackedRows(task.training_set_path, "train")
    targets = rows.num_targets(list(range(len(rows))))
    model.eval()
    total = 0.0
    with torch.no_grad():
        for start in range(0, len(rows), spec.micro_batch):
            indices = list(range(start, min(start + spec.micro_batch, len(rows))))
            total += float(forward(model, collate(rows, indices), num_targets=targets, device=device))
    return total


def accelerated_model(spec: Spec, device: Any) -> tuple[Any, Any]:
    """The model as a worker has it before it makes an optimizer, and the worker's task."""
    from ray_ft.training.backends.acceleration import accelerate

    strategy = random_base(spec)
    task = make_task(spec, strategy, run_path=Path(spec.scratch) / f"run-{spec.file_name}")
    _, dtype = device_and_dtype()
    return accelerate(strategy.load_model(task.base_path, dtype=dtype, device=device, seed=spec.seed), task), task


def plain_strategy(spec: Spec) -> Any:
    """The strategy as a plan would fix it."""
    from ray_ft.strategies import Full, LoRA, QLoRA

    offload = spec.options.get("offload", "none")
    if spec.strategy == "full":
        return Full(zero_stage=spec.zero_stage, offload=offload)
    cls = QLoRA if spec.strategy == "qlora" else LoRA
    return cls(r=spec.rank, lora_alpha=2 * spec.rank, zero_stage=spec.zero_stage, offload=offload)


def random_base(spec: Spec, before_forward: Callable[..., None] | None = None) -> Any:
    """The strategy, with a base of random weights made on the device in place of one read from a folder."""
    strategy = plain_strategy(spec)

    class RandomBase(type(strategy)):  # type: ignore[misc]
        def load_model(self, model_path: str, *, dtype: Any, device: Any, seed: int) -> Any:
            base = make_base(self, model_path, spec=spec, dtype=dtype, device=device)
            model = self.add_adapters(base, seed=seed) if self.is_adapter else base
            if before_forward is not None:
                model.register_forward_pre_hook(before_forward)
            return model

    return RandomBase(**{f.name: getattr(strategy, f.name) for f in fields(strategy)})


def make_base(strategy: Any, model_path: str, *, spec: Spec, dtype: Any, device: Any) -> Any:
    """Under ZeRO-3 each rank makes and keeps its part of every weight alone, as when it reads them."""
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.integrations import is_deepspeed_zero3_enabled

    quantization = strategy.quantization(dtype) if strategy.is_quantised else None
    if is_deepspeed_zero3_enabled() and quantization is None:
        config = AutoConfig.from_pretrained(model_path, use_cache=False)
        return AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="sdpa")
    return random_model(SHAPES[spec.shape], device=device, dtype=dtype, seed=spec.seed, quantization=quantization)


def make_task(spec: Spec, strategy: Any, *, run_path: Path, **train: Any) -> Any:
    """What `fine_tune` would tell its workers; `train` are keys of the config's train section."""
    import torch

    from ray_ft.config import TrainConfig
    from ray_ft.training.task import TrainingTask

    run_path.mkdir(parents=True, exist_ok=True)
    accumulation = int(spec.options.get("accumulation", 1))
    steps = spec.warmup + spec.steps + 1
    train = {
        "max_steps": steps, "learning_rate": LEARNING_RATE, "lr_scheduler": "constant", "warmup_ratio": 0.0,
        "global_batch_size": spec.micro_batch * spec.world_size * accumulation,
        **spec.options.get("train", {}), **train,
    }  # fmt: skip
    about_base = {"base_model": spec.options["base"], "base_digest": "random", "tokenizer_digest": "random"}
    identity = {"inputs": {}, "data_digest": "random", "base_digest": "random", "seed": spec.seed}
    return TrainingTask(
        training_set_path=spec.options["training_set"], base_path=spec.options["base"], about_base=about_base,
        chat_template=None, run_path=str(run_path), strategy=strategy, use_gpu=torch.cuda.is_available(),
        backend="deepspeed" if strategy.needs_deepspeed or train.get("backend") == "deepspeed" else "native",
        precision="bf16" if torch.cuda.is_available() else "fp32",
        num_threads=1 if spec.shape == "tiny" else os.cpu_count() or 1, micro_batch_size=spec.micro_batch,
        gradient_accumulation_steps=accumulation,
        gradient_checkpointing=spec.checkpointing, train=TrainConfig(**train), learning_rate=train["learning_rate"],
        num_steps=train["max_steps"], eval_every=10**9, checkpoint_every=10**9, seed=spec.seed, identity=identity,
        plan={}, planned_bytes=0, planned_phase="",
    )  # fmt: skip
