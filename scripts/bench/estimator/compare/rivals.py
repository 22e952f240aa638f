"""What other estimators say of a run. None of them takes rows, their length, adapters or quantisation into account,
save that LLaMA-Factory's table has a line for each method."""

from dataclasses import dataclass

from ray_ft.models.shape import ModelShape
from ray_ft.strategies import Strategy


@dataclass(frozen=True)
class Run:
    """What the others can be told."""

    shape: ModelShape
    strategy: Strategy
    gpus: int
    pure_bf16: bool = False
    """Full fine-tuning without fp32 masters."""


def deepspeed_bytes(run: Run) -> float:
    """`estimate_zero2_model_states_mem_needs` below stage 3 and `estimate_zero3_model_states_mem_needs` at it, without
    offload, as DeepSpeed 0.19 has them: all weights train, and the largest layer is the largest module."""
    parameters = run.shape.num_parameters
    if run.strategy.zero_stage == 3:
        return 4 * largest_module(run.shape) + int(18 * parameters / run.gpus)
    return 2 * parameters + int(18 * parameters / run.gpus)


def accelerate_bytes(run: Run) -> float:
    """`accelerate estimate-memory --dtypes float16` 1.15, "Training using Adam": the largest of its four numbers, the
    optimizer's, twice the weights in fp32. Split evenly where the run splits weights, of which it knows nothing."""
    return 2 * 4 * run.shape.num_parameters / (run.gpus if run.strategy.zero_stage == 3 else 1)


def llama_factory_bytes(run: Run) -> float:
    """The README's table, in GB for x billion parameters: full 8x in pure bf16 and 18x else, LoRA 2x, QLoRA x in 8
    bits and x / 2 in 4. Split as above."""
    per_parameter = 8.0 if run.pure_bf16 else 18.0
    if run.strategy.is_quantised:
        per_parameter = getattr(run.strategy, "bits", 4) / 8
    elif run.strategy.is_adapter:
        per_parameter = 2.0
    return per_parameter * run.shape.num_parameters / (run.gpus if run.strategy.zero_stage == 3 else 1)


RIVALS = {
    "DeepSpeed's estimators": deepspeed_bytes,
    "accelerate estimate-memory": accelerate_bytes,
    "LLaMA-Factory's table": llama_factory_bytes,
}


def is_made_for(name: str, run: Run) -> bool:
    """DeepSpeed's and accelerate's know no adapters; accelerate's and LLaMA-Factory's no more than one GPU."""
    if name != "LLaMA-Factory's table" and run.strategy.is_adapter:
        return False
    return name == "DeepSpeed's estimators" or run.gpus == 1


def largest_module(shape: ModelShape) -> int:
    """Parameters of the largest module that has any of its own."""
    return max(shape.head_parameters, *(inputs * outputs for inputs, outputs in shape.linears.values()))


def differences_from_installed(run: Run) -> list[str]:
    """Where the formulas above no longer are those of the packages installed here; empty where they agree."""
    from accelerate.commands.estimate import estimate_training_usage  # type: ignore[import-untyped]
    from deepspeed.runtime.zero.stage3 import estimate_zero3_model_states_mem_needs
    from deepspeed.runtime.zero.stage_1_and_2 import estimate_zero2_model_states_mem_needs

    parameters, found = run.shape.num_parameters, []
    if run.strategy.zero_stage == 3:
        theirs = estimate_zero3_model_states_mem_needs(
            parameters, largest_module(run.shape), run.gpus, 1, cpu_offload=False, cpu_offload_params=False
        )[1]
    else:
        theirs = estimate_zero2_model_states_mem_needs(parameters, run.gpus, 1, cpu_offload=False)[1]
    if theirs != deepspeed_bytes(run):
        found.append(f"DeepSpeed says {theirs}, not {deepspeed_bytes(run)}")
    usage = max(estimate_training_usage(4 * parameters, "float16").values())
    if run.strategy.zero_stage < 3 and usage != accelerate_bytes(run):
        found.append(f"accelerate says {usage}, not {accelerate_bytes(run)}")
    return found
