"""The line about a GPU that was too small says what was planned and what to change."""

from types import SimpleNamespace
from typing import Any

from ray_ft.strategies import Full, LoRA, QLoRA, Strategy
from ray_ft.training.health.device_memory import out_of_memory, peak_memory, ways_out

CPU = SimpleNamespace(type="cpu")


def task(strategy: Strategy, **values: Any) -> Any:
    about = {"micro_batch_size": 4, "gradient_checkpointing": False, "planned_bytes": 41 * 2**30,
             "planned_phase": "backward start"}  # fmt: skip
    return SimpleNamespace(strategy=strategy, **{**about, **values})


def test_the_line_names_place_rank_and_plan() -> None:
    line = out_of_memory(task(LoRA(zero_stage=0)), place="forward of step 3", rank=1, device=CPU)
    assert line.startswith(
        "out of GPU memory in forward of step 3 on rank 1. The plan counted on 41.0 GiB (backward start). "
        "Try train.micro_batch_size=2 (now 4), train.gradient_checkpointing=true, train.strategy.name=qlora"
    )
    assert "\n" not in line


def test_only_what_is_left_is_proposed() -> None:
    smallest = task(QLoRA(zero_stage=3), micro_batch_size=1, gradient_checkpointing=True)
    assert ways_out(smallest) == "Try a smaller model.max_seq_len."
    assert "train.strategy.name=lora" in ways_out(task(Full(zero_stage=0)))


def test_on_a_cpu_the_peak_is_the_process_s_resident_memory() -> None:
    found = peak_memory(task(LoRA(zero_stage=0)), device=CPU)
    assert found["planned_memory_gib"] == 41.0
    assert 0.005 < found["peak_memory_gib"] < 1000  # a Python process, in GiB and not in KiB
