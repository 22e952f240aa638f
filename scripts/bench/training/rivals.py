"""The stacks that people use today, unmodified, in a plain loop; nothing here imports ray_ft."""

import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from bench.timed_steps.models import random_model
from bench.timed_steps.processes import device_and_dtype
from bench.timed_steps.shapes import SHAPES
from bench.timed_steps.stopwatch import Finished, Stopwatch
from bench.training.spec import Spec

LEARNING_RATE = 1e-4
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def run_peft(spec: Spec) -> dict[str, Any]:
    """transformers + PEFT; options: bf16_adapters, liger."""
    import torch
    from peft import LoraConfig, get_peft_model

    device, dtype = device_and_dtype()
    quantization = nf4(dtype) if spec.strategy == "qlora" else None
    model = random_model(SHAPES[spec.shape], device=device, dtype=dtype, seed=spec.seed, quantization=quantization)
    if spec.strategy != "full":
        torch.manual_seed(spec.seed)
        config = LoraConfig(r=spec.rank, lora_alpha=2 * spec.rank, target_modules="all-linear", task_type="CAUSAL_LM")
        narrow = bool(spec.options.get("bf16_adapters"))
        model = get_peft_model(model, config, autocast_adapter_dtype=not narrow)
    if spec.options.get("liger"):
        from liger_kernel.transformers import _apply_liger_kernel_to_instance

        _apply_liger_kernel_to_instance(model=model.get_base_model() if hasattr(model, "peft_config") else model)
    if spec.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    autocast = spec.strategy != "full" and not spec.options.get("bf16_adapters")
    return train(spec, model, device=device, autocast=autocast)


def run_unsloth(spec: Spec) -> dict[str, Any]:
    """Unsloth's model and adapters in a plain loop under autocast, as its trainer runs them."""
    os.environ |= {"UNSLOTH_COMPILE_LOCATION": f"{spec.scratch}/unsloth", "UNSLOTH_DISABLE_STATISTICS": "1"}
    from unsloth import FastLanguageModel  # first, because it replaces parts of the others

    device, dtype = device_and_dtype()
    model, _ = FastLanguageModel.from_pretrained(
        model_name=spec.options["weights"], max_seq_length=spec.sequence, dtype=dtype,
        load_in_4bit=spec.strategy == "qlora",
    )  # fmt: skip
    model = FastLanguageModel.get_peft_model(
        model, r=spec.rank, lora_alpha=2 * spec.rank, lora_dropout=0, bias="none", target_modules=TARGETS,
        use_gradient_checkpointing="unsloth" if spec.checkpointing else False, random_state=spec.seed,
    )  # fmt: skip
    return train(spec, model, device=device, autocast=True)


def run_save_weights(spec: Spec) -> dict[str, Any]:
    """The base in a folder: for Unsloth, which takes no model that is made, and for runs that begin with the same."""
    device, dtype = device_and_dtype()
    model = random_model(SHAPES[spec.shape], device=device, dtype=dtype, seed=spec.seed)
    model.save_pretrained(spec.options["weights"])
    return {"saved": spec.options["weights"]}


def run_short_padded(spec: Spec) -> dict[str, Any]:
    """Short examples in batches padded to their longest, with attention masks: the first row's stack."""
    import torch
    from peft import LoraConfig, get_peft_model

    device, dtype = device_and_dtype()
    model = random_model(SHAPES[spec.shape], device=device, dtype=dtype, seed=spec.seed)
    config = LoraConfig(r=spec.rank, lora_alpha=2 * spec.rank, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(model, config)
    batches = list(padded_batches(spec, device))
    tokens = [int(batch["attention_mask"].sum()) for batch in batches]
    model.eval()
    total, count = 0.0, 0
    with torch.no_grad(), autocast_to(device, True):
        for batch in batches:
            targets = int((batch["labels"][:, 1:] != -100).sum())
            total += float(model(**batch, use_cache=False).loss) * targets
            count += targets
    steps = len(batches) - spec.warmup
    watch = Stopwatch(device, warmup=spec.warmup, steps=steps)
    losses = loop(model, lambda step: batches[step % len(batches)], watch, device=device, autocast=True)
    found = watch.result(tokens_per_step=0)
    found["tokens_per_second"] = sum(tokens[spec.warmup :]) / (watch.seconds * steps)
    slots = sum(batch["input_ids"].numel() for batch in batches)
    return found | {
        "losses": losses, "loss_per_token": total / count, "filled": sum(tokens) / slots,
        "slots_per_step": slots / len(batches), "attention": model.config._attn_implementation,
    }  # fmt: skip


def padded_batches(spec: Spec, device: Any) -> Iterator[dict[str, Any]]:
    """The examples in their given order, `micro_batch` at a time, padded to the longest of each batch."""
    import numpy as np
    import torch

    with np.load(Path(spec.options["examples"])) as saved:
        ids, ends = saved["ids"], saved["ends"]
    examples = np.split(ids, ends[:-1])
    for start in range(0, len(examples) - spec.micro_batch + 1, spec.micro_batch):
        part = [torch.from_numpy(e.astype(np.int64)) for e in examples[start : start + spec.micro_batch]]
        padded = torch.nn.utils.rnn.pad_sequence(part, batch_first=True, padding_value=3)
        labels = torch.nn.utils.rnn.pad_sequence(part, batch_first=True, padding_value=-100)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(p) for p in part], batch_first=True)
        batch = {"input_ids": padded, "labels": labels, "attention_mask": mask}
        yield {name: value.to(device) for name, value in batch.items()}


def train(spec: Spec, model: Any, *, device: Any, autocast: bool) -> dict[str, Any]:
    """Steps over the batches of the spec, which are on the device before the first one."""
    import numpy as np
    import torch

    rows = torch.from_numpy(np.load(spec.options["batches"]).astype(np.int64)).to(device)
    watch = Stopwatch(device, warmup=spec.warmup, steps=spec.steps)
    # No positions and no mask: one example fills each row.
    losses = loop(
        model, lambda step: {"input_ids": rows[step][:, 0], "labels": rows[step][:, 1]}, watch, device=device,
        autocast=autocast,
    )  # fmt: skip
    # Unsloth replaces the layers' forward, whatever its configuration says.
    attention = f"{getattr(model.config, '_attn_implementation', 'not told')}{' (replaced)' * (spec.run == 'unsloth')}"
    found = watch.result(tokens_per_step=spec.micro_batch * spec.sequence)
    return found | {"losses": losses, "attention": attention}


def loop(
    model: Any, batch_of: Callable[[int], dict[str, Any]], watch: Stopwatch, *, device: Any, autocast: bool
) -> list[float]:
    """Forward, backward, clip, AdamW; returns the losses, read after the last step."""
    import torch

    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=0.0, fused=True)
    losses = []
    model.train()
    try:
        while True:
            watch.step()
            with autocast_to(device, autocast):
                loss = model(**batch_of(watch.done - 1), use_cache=False).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(loss.detach())
    except Finished:
        return [float(loss) for loss in losses]


def autocast_to(device: Any, enabled: bool) -> Any:
    import torch

    return torch.autocast(device.type, torch.bfloat16) if enabled and device.type == "cuda" else nullcontext()


def nf4(dtype: Any) -> Any:
    """NF4 with double quantisation."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )
