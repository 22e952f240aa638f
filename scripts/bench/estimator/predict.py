"""What the estimator says of a configuration: the one place here that calls ray_ft.planning."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bench.estimator.configuration import Configuration
from ray_ft.artifacts import Estimate, Workload
from ray_ft.hardware import Hardware, cpu_hardware, gpu_hardware
from ray_ft.models.shape import shape_from_config
from ray_ft.planning.choice.estimate import Job, estimate, stack_for
from ray_ft.planning.memory.state import Candidate
from ray_ft.planning.profile import Profile, profile_for
from ray_ft.planning.speed.throughput import step_time
from ray_ft.strategies import STRATEGIES


def predict(configuration: Configuration, *, gpu: str, profile: Profile | None = None) -> dict[str, Any]:
    """The predicted columns of a row; `profile` None takes what the package knows of the GPU."""
    profile = profile_for(gpu) if profile is None else profile
    made = estimated(configuration, gpu=gpu, profile=profile)
    memory = made.memory
    return {
        "predicted_allocated_bytes": memory.allocated, "predicted_reserved_bytes": memory.reserved,
        "predicted_device_bytes": memory.device, "predicted_phase": memory.phase,
        "predicted_phase_bytes": memory.phases, "predicted_fits": made.fits,
        "predicted_seconds": configuration.tokens_per_step / made.tokens_per_second,
        "predicted_tokens_per_second": made.tokens_per_second,
    }  # fmt: skip


def seconds_by_profile(configuration: Configuration, *, gpu: str) -> Callable[[Profile], float]:
    """The predicted seconds of a step as a function of the profile alone, for fits that ask thousands of times."""
    candidate, job = asked(configuration, gpu=gpu, profile=profile_for(gpu))
    shape, hardware, workload = job.shape, job.hardware, job.workload
    stack = stack_for(candidate, job)
    return lambda profile: sum(
        step_time(shape, candidate, hardware=hardware, workload=workload, stack=stack, profile=profile)
    )


def estimated(configuration: Configuration, *, gpu: str, profile: Profile) -> Estimate:
    """The row as `ray-ft plan` sees it."""
    return estimate(*asked(configuration, gpu=gpu, profile=profile))


def asked(configuration: Configuration, *, gpu: str, profile: Profile) -> tuple[Candidate, Job]:
    """The row as the estimator's question."""
    strategy = replace(STRATEGIES[configuration.strategy](), zero_stage=configuration.zero_stage, offload="none")
    if strategy.is_adapter:
        strategy = replace(strategy, r=configuration.rank, lora_alpha=2 * configuration.rank)  # type: ignore[call-arg]
    candidate = Candidate(
        strategy, configuration.num_gpus, configuration.micro_batch, configuration.accumulation,
        configuration.checkpointing, backend=configuration.backend_of(strategy),
    )  # fmt: skip
    rows = configuration.micro_batch * configuration.num_gpus * configuration.accumulation
    workload = Workload(10_000_000, 1.0, configuration.sequence, rows)
    shape = shape_from_config(configuration.model_config(), configuration.model)
    return candidate, Job(shape, hardware_of(gpu, configuration.num_gpus), workload, profile=profile)


def hardware_of(gpu: str, num_gpus: int) -> Hardware:
    """So much of a catalogue's GPU, or a CPU."""
    return cpu_hardware(1, 2**34) if gpu == "cpu" else gpu_hardware(gpu, num_gpus)
