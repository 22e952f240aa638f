"""The plan as text: everything that matters is on it, and it fits the terminal."""

from dataclasses import replace

import pytest

from ray_ft.artifacts import Plan, Workload
from ray_ft.config import PlanConfig, TrainConfig
from ray_ft.hardware import hardware_for
from ray_ft.models.shape import load_model_shape
from ray_ft.planning.choice.choose import choose_plan
from ray_ft.planning.show.table import BAR, WIDTH, render_plan


def _plan(model: str, gpu: str) -> Plan:
    plan = PlanConfig(gpu=gpu, num_gpus=8 if gpu != "cpu" else None)
    return choose_plan(
        load_model_shape(model),
        hardware=hardware_for(plan),
        workload=Workload(10_000_000, 3.0, 512, 16),
        train=TrainConfig(global_batch_size=16),
        plan=plan,
        notes=("a note " * 40,),
    )


@pytest.mark.parametrize(
    ("model", "gpu"),
    [("meta-llama/Llama-3.1-8B", "A100-80GB"), ("meta-llama/Llama-2-70b-chat-hf", "L40S"), ("builtin:tiny", "cpu")],
)
def test_no_line_is_wider_than_the_terminal(model: str, gpu: str) -> None:
    assert max(len(line) for line in render_plan(_plan(model, gpu)).splitlines()) <= WIDTH


def test_the_chosen_row_and_every_rejected_row_with_its_reason_are_shown() -> None:
    made = _plan("meta-llama/Llama-3.1-8B", "A100-80GB")
    text = render_plan(made)
    flat = " ".join(text.split())
    stage = made.strategy.zero_stage
    assert text.startswith(f"meta-llama/Llama-3.1-8B on {made.num_workers} x A100-80GB: lora, ZeRO-{stage}\n")
    assert flat.count(" chosen ") == 1
    assert all(row.reason in flat for row in made.rejected)
    assert all(" ".join(note.split()) in flat for note in made.notes)
    assert flat.count(f"backend {made.backend_reason}") == 1
    assert "\n  backend" not in render_plan(replace(made, backend_reason=""))  # an older plan


def test_the_bars_fill_the_memory_that_may_be_used() -> None:
    text = render_plan(_plan("meta-llama/Llama-3.1-8B", "A100-80GB"))
    # Eight bars are rounded to whole blocks, so they may miss the whole by a block or two.
    assert abs(text.count("█") + text.count("░") - BAR) <= 3
