"""A variant measured in this process, on a model that is there in a moment."""

from pathlib import Path
from typing import Any

import pytest
from random_adapter import write_random_adapter

from ray_ft.engines import TransformersEngine
from ray_ft.errors import ConfigError
from ray_ft.evaluation.bench.measure import IN_PROCESS, Lengths, Measurer, measure
from ray_ft.evaluation.bench.run import gather, measure_variants
from ray_ft.evaluation.bench.variants import Load

LENGTHS = Lengths(prompt_tokens=12, new_tokens=3, batch_size=2, repeats=6, seed=0)
SETTINGS: dict[str, Any] = {"chat_template": None, "system_prompt": None, "max_new_tokens": 4}
QUESTIONS = ("What is a tuple?", "What does open do?")


def test_all_figures_of_a_variant_come_from_one_load(tiny_model_path: str, tmp_path: Path) -> None:
    adapter = write_random_adapter(tiny_model_path, tmp_path / "adapter", seed=1)
    engine = TransformersEngine(batch_size=2)
    base = measure(Load("fp32 base", "base", engine, tiny_model_path), LENGTHS, QUESTIONS, SETTINGS)
    beside = Load("fp32 adapter", "adapter", engine, tiny_model_path, (("tuned", adapter),))
    tuned = measure(beside, LENGTHS, QUESTIONS, SETTINGS)
    for made in (base, tuned):
        assert made.refused == ""
        for figures in (made.first, made.per_token, made.per_second):
            assert {size: len(values) for size, values in figures.items()} == {1: 6, 2: 6}
        assert min(made.first[1] + made.per_second[2]) > 0
        assert made.memory_meaning == IN_PROCESS
        assert made.memory["peak"] >= made.memory["loaded"] // 2
        assert [d.num_completion_tokens <= 4 for d in made.done] == [True, True]
        assert made.exam_seconds > 0
    assert {d.system for d in base.done} == {"base"}
    assert {d.system for d in tuned.done} == {"tuned"}
    assert [d.answer for d in base.done] != [d.answer for d in tuned.done]  # its B matrices are not zero


def test_a_prompt_that_the_context_cannot_hold_is_told_by_its_keys(tiny_model_path: str) -> None:
    long = Lengths(prompt_tokens=2040, new_tokens=9, batch_size=2, repeats=6, seed=0)
    load = Load("fp32 base", "base", TransformersEngine(batch_size=1), tiny_model_path)
    with pytest.raises(ConfigError) as caught:
        measure(load, long, (), SETTINGS)
    assert str(caught.value) == (
        "bench.prompt_tokens: 2040 and bench.new_tokens=9 are more than the model's context of 2048"
    )


def test_what_a_library_cannot_do_here_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def no_kernel(*_: object, **__: object) -> None:
        raise RuntimeError("no kernel image\nfor this device")

    monkeypatch.setattr(TransformersEngine, "load", no_kernel)
    load = Load("int8 base", "base", TransformersEngine(), str(tmp_path))
    assert Measurer().measure(load, LENGTHS, (), SETTINGS).refused == "RuntimeError: no kernel image"


def test_variants_are_held_against_the_first_of_their_kind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ray_ft.config import BenchConfig, EvaluationConfig, ModelConfig
    from ray_ft.errors import DataError
    from ray_ft.evaluation.bench import run
    from ray_ft.evaluation.bench.measure import Measured
    from ray_ft.evaluation.exam.tasks import Done
    from ray_ft.rows import Question

    questions = [
        Question(f"q{i}", f"d{i}", "", f"Which port {i}?", f"port {i}", key_facts=(f"port {i}",)) for i in range(4)
    ]
    answers = {"bf16 base": ["no"] * 4, "nf4 base": ["no", "no", "no", "nay"],
               "bf16 adapter": [f"port {i}" for i in range(4)],
               "nf4 adapter": ["port 0", "port 1", "?", "?"]}  # fmt: skip

    def measured(loads: list[Load], *_: object) -> Any:
        for load in loads:
            if load.refused:
                yield load, Measured(refused=load.refused)
                continue
            done = tuple(
                Done(i, "question", load.system, prompt="", answer=a) for i, a in enumerate(answers[load.name])
            )
            values = {1: [2.0] * 6, 4: [10.0] * 6}
            yield load, Measured("", 1.0, {"peak": 5}, "", "d", True, values, values, values, done, 2.0)

    monkeypatch.setattr(run, "_measured", measured)
    loads = [Load(name, name.split()[1], TransformersEngine(), refused="") for name in answers]
    loads.append(Load("int8 base", "base", TransformersEngine(), refused="not here"))
    settings: dict[str, Any] = {
        "bench": BenchConfig(), "questions": questions, "model": ModelConfig(name="m"),
        "evaluation": EvaluationConfig(num_bootstrap=100), "seed": 0,
    }  # fmt: skip
    seen: list[str] = []
    rows = measure_variants(
        loads, **settings, price_per_hour=3.6, on_row=lambda variant, done: seen.append(f"{variant.name} {len(done)}")
    )
    told = {v.name: (v.same_as, v.num_same, v.quality.mean if v.quality else None) for v, _ in rows}
    assert told == {
        "bf16 base": ("bf16 base", 4, 0.0), "nf4 base": ("bf16 base", 3, 0.0),
        "bf16 adapter": ("bf16 adapter", 4, 1.0), "nf4 adapter": ("bf16 adapter", 2, 0.5), "int8 base": ("", 0, None),
    }  # fmt: skip
    assert seen == ["bf16 base 4", "nf4 base 4", "bf16 adapter 4", "nf4 adapter 4", "int8 base 0"]
    # 3.6 dollars an hour are 0.001 a second, in which 10 tokens are made: 100 dollars for a million.
    assert [s.dollars_per_million_tokens for s in rows[0][0].speeds] == [pytest.approx(500), pytest.approx(100)]
    assert rows[0][0].seconds_per_answer == 0.5
    made = gather(rows, model="m", bench=BenchConfig(), num_questions=4, fingerprint="f", notes=())
    assert [v.refused for v in made.variants] == ["", "", "", "", "not here"]
    with pytest.raises(DataError, match="no variant could be measured: int8 base: not here"):
        measure_variants(loads[-1:], **settings)
