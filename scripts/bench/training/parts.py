"""What is measured: the specs of every part, in the order in which they run."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bench.timed_steps import shards
from bench.timed_steps.shapes import SHAPES
from bench.training.spec import Spec

SHORT_MEAN, SHORT_EXAMPLES = 200, 512
WORLDS = (1, 2, 4, 8)


class Setting:
    """Sizes, paths and machine that all parts share."""

    def __init__(
        self, *, scratch: Path, rival_site: str, tiny: bool, gpus: int, micro_batch: int, sequence: int, warmup: int,
        steps: int,
    ) -> None:  # fmt: skip
        self.scratch, self.rival_site, self.tiny, self.gpus = scratch, rival_site, tiny, gpus
        self.base = Spec(
            part="", contender="", stack="", run="", shape="tiny" if tiny else "llama2-7b", sequence=sequence,
            micro_batch=micro_batch, warmup=warmup, steps=steps, scratch=str(scratch),
        )  # fmt: skip

    def spec(self, part: str, contender: str, stack: str, run: str, **changes: Any) -> Spec:
        """A spec whose data and base folder are in the scratch folder."""
        spec = replace(self.base, part=part, contender=contender, stack=stack, run=run, **changes)
        if self.tiny and spec.shape != "tiny":
            spec = replace(spec, shape="tiny")
        if spec.rival:
            spec = replace(spec, rival_site=self.rival_site)
        made = full_rows_of(spec) | {"base": str(base_of(spec))}
        return replace(spec, options=made | spec.options)


def base_of(spec: Spec) -> Path:
    folder = Path(spec.scratch) / f"base-{spec.shape}"
    if not folder.is_dir():
        shards.write_base_folder(folder, SHAPES[spec.shape])
    return folder


def full_rows_of(spec: Spec) -> dict[str, str]:
    """Rows that one example fills, as shards for us and as an array of the same batches for the others."""
    global_batch, steps = spec.micro_batch * spec.world_size, spec.warmup + spec.steps
    folder = Path(spec.scratch) / f"full-{spec.shape}-{spec.sequence}-{global_batch}-{steps}"
    if not folder.is_dir():
        vocabulary = SHAPES[spec.shape].vocabulary
        rows = shards.full_rows(global_batch * steps, sequence=spec.sequence, vocabulary=vocabulary, seed=spec.seed)
        shards.write_training_set(folder, rows)
        batches = shards.batches_in_order(rows, global_batch=global_batch, steps=steps, seed=spec.seed)
        np.save(folder / "batches.npy", batches)
    return {"training_set": str(folder), "batches": str(folder / "batches.npy")}


def lora(setting: Setting) -> list[Spec]:
    add = partial(setting.spec, "lora")
    return [
        add("peft", "transformers + PEFT, autocast, fp32 adapters", "peft"),
        add("peft-bf16", "the same with bf16 adapters", "peft", options={"bf16_adapters": True}),
        add(
            "peft-liger", "+ Liger kernels and fused loss", "peft", options={"bf16_adapters": True, "liger": True},
            needs_gpu=True,
        ),
        *unsloth(setting, "lora"),
        *ours(setting, "lora"),
    ]  # fmt: skip


def qlora(setting: Setting) -> list[Spec]:
    options = {"bf16_adapters": True, "liger": True}
    return [
        setting.spec(
            "qlora", "peft-liger", "transformers + PEFT, NF4 double-quantised, bf16 adapters, Liger", "peft",
            strategy="qlora", options=options, needs_gpu=True,
        ),
        *unsloth(setting, "qlora"),
        *ours(setting, "qlora"),
    ]  # fmt: skip


def unsloth(setting: Setting, strategy: str) -> list[Spec]:
    weights = {"weights": str(setting.scratch / f"weights-{setting.base.shape}")}
    common: dict[str, Any] = {"strategy": strategy, "rival": "unsloth", "needs_gpu": True, "options": weights}
    return [
        setting.spec(strategy, "unsloth", "Unsloth, no checkpointing", "unsloth", **common),
        setting.spec(
            strategy, "unsloth-checkpointing", "Unsloth, its offloading checkpointing", "unsloth", checkpointing=True,
            **common,
        ),
    ]  # fmt: skip


def ours(setting: Setting, strategy: str) -> list[Spec]:
    add = partial(setting.spec, strategy, strategy=strategy)
    return [
        add("bare", "a bare loop over ray_ft's model and kernels", "bare"),
        add("ours", "ray_ft", "fit"),
        add("ours-checkpointing", "ray_ft with activation checkpointing", "fit", checkpointing=True),
    ]


def full(setting: Setting) -> list[Spec]:
    add = partial(setting.spec, "full", strategy="full")
    specs = [
        add(
            "liger", "transformers, bf16 weights and states, Liger", "peft", options={"liger": True}, needs_gpu=True
        ),
        add("ours", "ray_ft, fp32 masters", "fit"),
        add("ours-checkpointing", "ray_ft, fp32 masters, activation checkpointing", "fit", checkpointing=True),
    ]  # fmt: skip
    if setting.gpus >= 2:
        specs.append(add("ours-zero2", "ray_ft, fp32 masters, ZeRO-2 on 2 GPUs", "fit", zero_stage=2, world_size=2))
    return specs


def short(setting: Setting) -> list[Spec]:
    """The same examples padded and packed; the padded run takes every batch once."""
    base = setting.base
    number = 24 if setting.tiny else SHORT_EXAMPLES
    examples = shards.short_examples(
        number, mean=12 if setting.tiny else SHORT_MEAN, limit=base.sequence, vocabulary=SHAPES[base.shape].vocabulary,
        seed=base.seed,
    )  # fmt: skip
    folder = setting.scratch / "short"
    shards.write_training_set(folder, shards.pack(examples, sequence=base.sequence))
    ids = np.concatenate([np.asarray(e.input_ids, dtype=np.int32) for e in examples])
    np.savez(folder / "examples.npz", ids=ids, ends=np.cumsum([len(e.input_ids) for e in examples]))
    padded, packed = {"examples": str(folder / "examples.npz")}, {"training_set": str(folder), "evaluate": True}
    stack = "transformers + PEFT, batches padded to the longest"
    return [
        setting.spec("short", "padded", stack, "short_padded", options=padded),
        setting.spec("short", "packed", "ray_ft, packed rows", "fit", options=packed),
    ]


def filling() -> dict[str, dict[str, float]]:
    """Token slots and filling of batches of four of the short examples: padded as they come, and grouped by length."""
    made = shards.short_examples(SHORT_EXAMPLES, mean=SHORT_MEAN, limit=2048, vocabulary=32_000, seed=Spec.seed)
    lengths = [len(example.input_ids) for example in made]
    found = {}
    for name, ordered in (("as they come", lengths), ("grouped by length", sorted(lengths))):
        batches = [ordered[i : i + 4] for i in range(0, len(ordered), 4)]
        slots = sum(max(batch) * len(batch) for batch in batches)
        found[name] = {"slots_per_step": slots / len(batches), "filled": sum(lengths) / slots, "tokens": sum(lengths)}
    return found


def curves(setting: Setting) -> list[Spec]:
    """Small models, 30 steps of 2 x `micro_batch` rows, beside two references each.

    QLoRA does half of them: bitsandbytes brings back every weight for every single example of the unpacked run.
    """
    steps, shape, sequence = (4, "tiny", 64) if setting.tiny else (30, "small", 512)
    folder = setting.scratch / "learnable"
    examples = shards.learnable_examples(
        40 if setting.tiny else 600, limit=sequence, vocabulary=SHAPES[shape].vocabulary, seed=setting.base.seed
    )
    shards.write_training_set(folder, shards.pack(examples, sequence=sequence))
    specs = []
    for strategy in ("full", "lora", "qlora"):
        base = setting.scratch / f"base-curve-{strategy}"
        shards.write_base_folder(base, SHAPES[shape])
        options = {"training_set": str(folder), "accumulation": 2, "base": str(base)}
        specs.append(
            setting.spec(
                "curves",
                strategy,
                f"ray_ft, {strategy}",
                "curves",
                strategy=strategy,
                shape=shape,
                sequence=sequence,
                steps=steps if strategy != "qlora" else steps // 2,
                options=options,
                micro_batch=2 if setting.tiny else 4,
            )
        )
    return specs


def scaling(setting: Setting) -> list[Spec]:
    """Full fine-tuning recomputes activations, so that one GPU has room for it."""
    specs = []
    for strategy, stage in (("lora", 0), ("lora", 1), ("full", 2), ("full", 3)):
        for gpus in WORLDS:
            if gpus <= setting.gpus:
                stack = f"ray_ft, {strategy}, ZeRO-{stage}, {gpus} GPU{'s' if gpus > 1 else ''}"
                specs.append(
                    setting.spec(
                        "scaling",
                        f"{strategy}-zero{stage}-{gpus}",
                        stack,
                        "fit",
                        strategy=strategy,
                        zero_stage=stage,
                        world_size=gpus,
                        checkpointing=strategy == "full",
                    )
                )
    return specs


def workers(setting: Setting) -> list[Spec]:
    """The same global batches from the same weights on one worker and on 2, 4 and 8, under every ZeRO stage."""
    steps, shape, sequence = (4, "tiny", 64) if setting.tiny else (20, "small", 512)
    folder, worlds = setting.scratch / "learnable-workers", [count for count in WORLDS if count <= setting.gpus]
    examples = shards.learnable_examples(
        60 if setting.tiny else 1200, limit=sequence, vocabulary=SHAPES[shape].vocabulary, seed=setting.base.seed
    )
    shards.write_training_set(folder, shards.pack(examples, sequence=sequence))
    weights = setting.scratch / "weights-workers"
    specs = []
    for strategy, stages in (("full", (0, 1, 2, 3)), ("lora", (0, 2, 3)), ("qlora", (0, 3))):
        for stage in stages:
            for world in worlds:
                options = {"training_set": str(folder), "weights": str(weights), "accumulation": worlds[-1] // world}
                specs.append(
                    setting.spec(
                        "workers",
                        f"{strategy}-zero{stage}-{world}",
                        f"ray_ft, {strategy}, ZeRO-{stage}, {world} worker{'s' if world > 1 else ''}",
                        "losses",
                        strategy=strategy,
                        zero_stage=stage,
                        world_size=world,
                        shape=shape,
                        sequence=sequence,
                        steps=steps,
                        micro_batch=1,
                        options=options,
                    )
                )
    return specs


def large(setting: Setting) -> list[Spec]:
    """A 70B: QLoRA on one GPU, whose base never exists in bf16, and LoRA with ZeRO-3 on all."""
    add = partial(setting.spec, "70b", shape="llama2-70b", checkpointing=True)
    specs = [add("qlora", "ray_ft, 70B QLoRA on 1 GPU", "fit", strategy="qlora", micro_batch=1)]
    if setting.gpus >= 2:
        stack = f"ray_ft, 70B LoRA, ZeRO-3 on {setting.gpus} GPUs"
        specs.append(add("lora-zero3", stack, "fit", zero_stage=3, world_size=setting.gpus, micro_batch=1))
    return specs


PARTS: dict[str, Callable[[Setting], list[Spec]]] = {
    "lora": lora,
    "qlora": qlora,
    "full": full,
    "short": short,
    "curves": curves,
    "scaling": scaling,
    "workers": workers,
    "70b": large,
}
