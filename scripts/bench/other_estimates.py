"""What public estimators say of the same rows: DeepSpeed's and accelerate's own functions, and LLaMA-Factory's table.

None of them asks for the length, the micro-batch or checkpointing. Each is asked only for rows that it claims to
answer: DeepSpeed's and accelerate's know no adapters, accelerate's and LLaMA-Factory's one GPU only.
"""

from collections.abc import Callable, Iterator, Sequence

from bench.errors import Compared, percent, spread
from bench.measurements import Row, configuration_of
from ray_ft.model_shape import ModelShape, shape_from_config

Estimator = Callable[[Row, ModelShape], float | None]


def deepspeed(row: Row, shape: ModelShape) -> float | None:
    """Model states of full fine-tuning without offload; stages 0 and 1 have no function of their own."""
    from deepspeed.runtime.zero.stage3 import estimate_zero3_model_states_mem_needs
    from deepspeed.runtime.zero.stage_1_and_2 import estimate_zero2_model_states_mem_needs

    if row["strategy"] != "full" or (row["zero_stage"] in (0, 1) and row["num_gpus"] > 1):
        return None
    count, gpus = shape.num_parameters, row["num_gpus"]
    if row["zero_stage"] == 3:
        largest = max(shape.head_parameters, *(i * o for i, o in shape.linears.values()))
        found = estimate_zero3_model_states_mem_needs(
            count, largest, num_gpus_per_node=gpus, cpu_offload=False, cpu_offload_params=False
        )
        return float(found[1])
    return float(estimate_zero2_model_states_mem_needs(count, num_gpus_per_node=gpus, cpu_offload=False)[1])


def accelerate(row: Row, shape: ModelShape) -> float | None:
    """`accelerate estimate-memory` for training with Adam in bf16: the largest of its stages."""
    from accelerate.commands.estimate import estimate_training_usage

    if row["strategy"] != "full" or row["num_gpus"] > 1:
        return None
    return float(max(estimate_training_usage(4 * shape.num_parameters, "bfloat16").values()))


LLAMA_FACTORY = {"full": 18.0, "lora": 2.0, "qlora": 0.5}
"""Bytes per parameter: full in mixed precision, LoRA beside 16 bits, QLoRA beside 4; from its README's table."""


def llama_factory(row: Row, shape: ModelShape) -> float | None:
    return None if row["num_gpus"] > 1 else LLAMA_FACTORY[row["strategy"]] * shape.num_parameters


ESTIMATORS: dict[str, Estimator] = {
    "DeepSpeed": deepspeed, "accelerate estimate-memory": accelerate, "LLaMA-Factory's table": llama_factory,
}  # fmt: skip


def beside_others(compared: Sequence[Compared]) -> Iterator[str]:
    """Errors against the measured device memory of the rows that each estimator answers, ours on the same rows."""
    ran = [c for c in compared if c.ran]
    answers = [(c, {name: ask(c.row, shape_of(c.row)) for name, ask in ESTIMATORS.items()}) for c in ran]
    yield "| estimator | median | 95th percentile | largest too low | largest too high | rows |"
    yield "|---|---|---|---|---|---|"
    yield spread("ray_ft, all rows", [c.memory_error("device") for c in ran])
    for name in ESTIMATORS:
        some = [(c, found[name]) for c, found in answers]
        pairs = [(c, value) for c, value in some if value is not None]
        yield spread(name, [value / c.row["measured_device_bytes"] - 1 for c, value in pairs])
        yield spread(f"ray_ft, the rows of {name}", [c.memory_error("device") for c, _ in pairs])
    yield ""
    yield f"| configuration | device GiB | ray_ft | {' | '.join(ESTIMATORS)} |"
    yield f"|---|---|---|{'---|' * len(ESTIMATORS)}"
    for c, found in answers:
        name, measured = c.row["name"], c.row["measured_device_bytes"]
        cells = [percent(None if value is None else value / measured - 1) for value in found.values()]
        yield f"| {name} | {measured / 2**30:.1f} | {percent(c.memory_error('device'))} | {' | '.join(cells)} |"


def shape_of(row: Row) -> ModelShape:
    return shape_from_config(configuration_of(row).model_config(), row["model"])
