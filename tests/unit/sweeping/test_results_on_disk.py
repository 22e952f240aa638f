"""What a sweep reads from its trials' folders, and the picture that it draws."""

import json
from pathlib import Path

import pytest

from ray_ft.artifacts import Standing
from ray_ft.config import SweepConfig
from ray_ft.errors import DataError
from ray_ft.sweeping.plot import draw
from ray_ft.sweeping.record import Record, end, read_record, validation_losses, write_record
from ray_ft.sweeping.scores import read_items


def write_rows(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_scores_are_those_of_the_tuned_model_in_one_stratum_summed_by_document(tmp_path: Path) -> None:
    def row(document: str, stratum: str, score: float, *, answerable: bool = True) -> dict[str, object]:
        answers = {"base": {"scores": {"token_f1": 0.9}}, "tuned": {"scores": {"token_f1": score}}}
        return {"document_id": document, "stratum": stratum, "answerable": answerable, "answers": answers}

    rows = [row("a", "seen", 0.5), row("a", "seen", 0.25), row("b", "seen", 1.0), row("b", "held_out", 0.0)]
    write_rows(tmp_path / "evaluation" / "samples.jsonl", [*rows, row("c", "seen", 0.0, answerable=False)])
    items = read_items(tmp_path, SweepConfig(metric="token_f1", stratum="seen"))
    assert (items.sums, items.weights) == ({"a": 0.75, "b": 1.0}, {"a": 2, "b": 1})
    assert items.value == pytest.approx(1.75 / 3)  # over questions, not over documents


def test_scores_of_user_questions_that_were_called_own_are_read(tmp_path: Path) -> None:
    answers = {"tuned": {"scores": {"token_f1": 0.5}}}
    rows = [{"document_id": "a", "stratum": name, "answerable": True, "answers": answers} for name in ("own", "user")]
    write_rows(tmp_path / "evaluation" / "samples.jsonl", rows)
    assert read_items(tmp_path, SweepConfig(metric="token_f1", stratum="user")).weights == {"a": 2}


def test_bits_per_byte_are_over_all_bytes_together(tmp_path: Path) -> None:
    rows = [{"document_id": d, "system": s, "num_bytes": n, "bits": b} for d, s, n, b in (
        ("a", "tuned", 100, 200.0), ("b", "tuned", 300, 300.0), ("a", "base", 100, 900.0),
    )]  # fmt: skip
    write_rows(tmp_path / "evaluation" / "bits_per_byte.jsonl", rows)
    assert read_items(tmp_path, SweepConfig(metric="bits_per_byte")).value == pytest.approx(500 / 400)


def test_a_trial_without_such_questions_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no exact_match on user questions"):
        read_items(tmp_path, SweepConfig(metric="exact_match", stratum="user"))


def test_a_trials_end_is_noted_beside_what_it_was_made_from(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    write_record(tmp_path, Record("begun", inputs={"seed": 1}))
    end(tmp_path, "stopped", "behind at 50%")
    assert read_record(tmp_path) == Record("stopped", "behind at 50%", {"seed": 1})


def test_validation_losses_are_told_apart_from_the_training_log(tmp_path: Path) -> None:
    write_rows(tmp_path / "metrics.jsonl", [{"step": 1, "loss": 3.0}, {"step": 2, "validation_loss": 2.5}])
    assert validation_losses(tmp_path) == [(2, 2.5)]


@pytest.mark.parametrize("error_bars", ["spread", "interval", "none"])
def test_every_kind_of_sweep_can_be_drawn(error_bars: str, tmp_path: Path) -> None:
    standings = [
        Standing(
            f"r={r} strategy={name}",
            {"train.strategy.r": r, "train.strategy": name, "train.weight_decay": 0.0},
            "winner" if (r, name) == (4, "lora") else "within noise",
            value := 1.0 + r / 100,
            spread=0.1 if error_bars == "spread" else None,
            low=value - 0.1 if error_bars == "interval" else None,
            high=value + 0.2 if error_bars == "interval" else None,
        )
        for r in (4, 64)
        for name in ("lora", "qlora")
    ]
    unfinished = Standing("r=8 strategy=lora", {"train.strategy.r": 8, "train.strategy": "lora"}, "not finished", None)
    path = tmp_path / "sweep.png"
    draw([*standings, unfinished], metric="validation_loss", error_bars=error_bars, title="t", path=path)
    assert path.read_bytes().startswith(b"\x89PNG")
