"""The plan as a page: complete, self-contained, and true to the plan's figures."""

import re
from html.parser import HTMLParser

import pytest

from ray_ft.artifacts import Plan, Workload
from ray_ft.config import PlanConfig, TrainConfig
from ray_ft.hardware import GIB, hardware_for
from ray_ft.models.shape import load_model_shape
from ray_ft.planning.choice.choose import choose_plan
from ray_ft.planning.show.page import LEFT, RIGHT, WIDTH, render_page


def _plan(model: str = "meta-llama/Llama-3.1-8B", gpu: str = "A100-80GB") -> Plan:
    plan = PlanConfig(gpu=gpu, num_gpus=4 if gpu != "cpu" else None)
    return choose_plan(
        load_model_shape(model),
        hardware=hardware_for(plan),
        workload=Workload(10_000_000, 3.0, 512, 16),
        train=TrainConfig(global_batch_size=16),
        plan=plan,
        notes=("tokens < 10 & <b>assumed</b>",),
    )


@pytest.mark.parametrize(("model", "gpu"), [("meta-llama/Llama-3.1-8B", "A100-80GB"), ("builtin:tiny", "cpu")])
def test_every_tag_is_closed_and_nothing_is_fetched(model: str, gpu: str) -> None:
    text = render_page(_plan(model, gpu))
    open_tags: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag != "meta":
                open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

    Tags().feed(text)
    assert open_tags == []
    assert not re.search(r"https?:|<script|<img|<link|url\(", text)


def test_every_candidate_is_a_point_and_a_row_with_its_reason() -> None:
    made = _plan()
    text = render_page(made)
    assert text.count("<circle") == text.count("<tr") - 1 == 1 + len(made.rejected)
    assert all(row.reason in text for row in made.rejected)


def test_a_note_is_shown_as_it_was_written() -> None:
    assert "tokens &lt; 10 &amp; &lt;b&gt;assumed&lt;/b&gt;" in render_page(_plan())


def test_the_bars_of_a_phase_are_as_long_as_its_memory() -> None:
    made = _plan()
    memory = made.estimate.memory
    widths = {}
    for width, phase in re.findall(r"width='([\d.]+)' height='\d+'><title>([a-z ]+): ", render_page(made)):
        widths[phase] = widths.get(phase, 0.0) + float(width)
    assert widths.keys() == memory.phases.keys()
    per_gib = (WIDTH - LEFT - RIGHT) / 80  # 76.7 GiB are usable: the axis ends at 80
    for phase, size in memory.phases.items():
        assert widths[phase] == pytest.approx(size / GIB * per_gib, abs=0.5)


def test_what_a_roomy_gpu_shows_is_told_from_what_must_fit() -> None:
    plan = PlanConfig(gpu="A100-80GB", num_gpus=1)
    made = choose_plan(
        load_model_shape("meta-llama/Llama-3.1-8B"),
        hardware=hardware_for(plan),
        workload=Workload(10_000_000, 3.0, 8192, 16),
        train=TrainConfig(global_batch_size=16, gradient_checkpointing=True),
        plan=plan,
    )
    assert f"will show up to {made.estimate.memory.device / GIB:.1f} GiB" in render_page(made)
