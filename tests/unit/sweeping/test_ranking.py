"""What the table says: the order, the verdicts, and the sentences, from trials with known figures."""

import csv
import io
from collections.abc import Sequence
from dataclasses import replace

import pytest

from ray_ft.artifacts import Standing, Sweep
from ray_ft.config import EvaluationConfig, SweepConfig, parse_config
from ray_ft.errors import DataError
from ray_ft.sweeping.ranking import Outcome, rank, statements
from ray_ft.sweeping.scores import Items
from ray_ft.sweeping.space import Trial
from ray_ft.sweeping.table import render_csv, render_table

CONFIG = parse_config({"run_name": "t", "model": {"name": "m"}, "data": {"sources": ["d"], "recipes": ["qa"]}})
DOCUMENTS = [f"d{i}" for i in range(20)]


def outcome(r: int, value: float | None = None, *, seed: int = 0, items: Items | None = None, **more: str) -> Outcome:
    trial = Trial(f"r-{r}_seed-{seed}", f"r={r}", {"train.strategy.r": r}, seed, CONFIG)
    status = more.get("status", "finished")
    return Outcome(trial, status, more.get("reason", ""), items.value if items else value, items)  # type: ignore[arg-type]


def scored(shares: Sequence[float]) -> Items:
    """One question per document, with these scores in turn."""
    return Items({d: shares[i % len(shares)] for i, d in enumerate(DOCUMENTS)}, dict.fromkeys(DOCUMENTS, 1.0))


def standings(outcomes: list[Outcome], sweep: SweepConfig) -> list[Standing]:
    return rank(outcomes, sweep, EvaluationConfig(num_bootstrap=2_000), seed=0)


def test_the_lowest_loss_wins_and_one_seed_proves_nothing() -> None:
    sweep = SweepConfig()
    made = standings([outcome(4, 2.0), outcome(8, 1.5), outcome(16, 1.6)], sweep)
    assert [(s.setting, s.value, s.verdict) for s in made] == [
        ("r=8", 1.5, "winner"),
        ("r=16", 1.6, "not known"),
        ("r=4", 2.0, "not known"),
    ]
    said = " ".join(statements(made, sweep, num_documents=None))
    assert "r=8 has the lowest validation loss, 1.5000." in said
    assert "cannot tell a difference from chance" in said


def test_seeds_tell_a_large_difference_from_noise() -> None:
    sweep = SweepConfig(num_seeds=3)
    losses = {4: (2.0, 2.02, 1.98), 8: (1.50, 1.52, 1.48), 16: (1.51, 1.49, 1.53)}
    made = standings([outcome(r, x, seed=i) for r, values in losses.items() for i, x in enumerate(values)], sweep)
    assert [(s.setting, s.verdict) for s in made] == [("r=8", "winner"), ("r=16", "within noise"), ("r=4", "worse")]
    assert made[0].spread == pytest.approx(0.02)  # of 1.50, 1.52, 1.48
    assert "within noise: r=16." in " ".join(statements(made, sweep, num_documents=None))


def test_a_setting_that_lost_a_seed_cannot_win_and_says_why() -> None:
    sweep = SweepConfig(num_seeds=2)
    lost = outcome(8, seed=1, status="failed", reason="step 3: the loss is not finite")
    made = standings([outcome(4, 2.0), outcome(4, 2.1, seed=1), outcome(8, 1.0), lost], sweep)
    assert [(s.setting, s.verdict, s.num_seeds) for s in made] == [("r=4", "winner", 2), ("r=8", "not finished", 1)]
    assert made[1].reasons == ("r-8_seed-1: failed: step 3: the loss is not finite",)


def test_without_any_finished_setting_there_is_no_winner() -> None:
    made = standings([outcome(4, status="failed", reason="x"), outcome(8, status="stopped", reason="y")], SweepConfig())
    assert {s.verdict for s in made} == {"not finished"}
    assert statements(made, SweepConfig(), num_documents=None) == [
        "No setting finished all its trials, so there is no winner."
    ]


def test_one_setting_with_several_seeds_says_how_far_trainings_differ() -> None:
    sweep = SweepConfig(num_seeds=3)
    made = standings([outcome(4, 2.0), outcome(4, 2.2, seed=1), outcome(4, 2.4, seed=2)], sweep)
    assert statements(made, sweep, num_documents=None) == [
        "r=4: validation loss 2.2000 on average over 3 trainings that differ by their seed alone, with a standard "
        "deviation of 0.2000."
    ]


def test_an_evaluation_metric_is_judged_over_documents() -> None:
    sweep = SweepConfig(metric="key_fact_recall")
    # 16 answers 3 of 4 documents, 8 the same but for one document in 20, 4 none.
    almost = Items({**scored([1, 1, 1, 0]).sums, "d0": 0.0}, scored([1]).weights)
    made = standings(
        [outcome(4, items=scored([0])), outcome(8, items=almost), outcome(16, items=scored([1, 1, 1, 0]))], sweep
    )
    assert [(s.setting, s.verdict) for s in made] == [("r=16", "winner"), ("r=8", "within noise"), ("r=4", "worse")]
    assert made[0].low is not None
    assert made[0].high is not None
    assert made[0].low < 0.75 < made[0].high
    assert "flatters" in " ".join(statements(made, sweep, num_documents=20))


def test_seeds_that_disagree_take_back_what_the_questions_show() -> None:
    sweep = SweepConfig(metric="key_fact_recall", num_seeds=2)
    good, bad = scored([1]), scored([0])
    made = standings(
        [outcome(4, items=bad), outcome(4, items=bad, seed=1), outcome(8, items=good), outcome(8, items=bad, seed=1)],
        sweep,
    )
    # Over documents 0.5 against 0 is clear; over seeds (1, 0) against (0, 0) it is not.
    assert [(s.setting, s.verdict) for s in made] == [("r=8", "winner"), ("r=4", "within noise")]


def test_trials_that_were_asked_other_questions_are_not_compared() -> None:
    other = Items({"x": 1.0}, {"x": 1.0})
    with pytest.raises(DataError, match="not asked the same questions"):
        standings([outcome(4, items=scored([1])), outcome(8, items=other)], SweepConfig(metric="token_f1"))


def test_the_table_is_aligned_and_tells_everything() -> None:
    sweep = SweepConfig()
    outcomes = [outcome(4, 2.0), outcome(16, 1.5), outcome(64, status="failed", reason="no room")]
    made = standings(outcomes, sweep)
    text = render_table(
        Sweep("validation_loss", tuple(made), tuple(statements(made, sweep, num_documents=None)), {}, "", "", None)
    )
    assert text.splitlines() == [
        "setting  validation loss  to winner  trials  verdict",
        "r=16              1.5000                1/1  winner",
        "r=4               2.0000    +0.5000     1/1  not known",
        "r=64                   -                0/1  not finished",
        "* r-64_seed-0: failed: no room",
        "r=16 has the lowest validation loss, 1.5000.",
        "One trial of each setting cannot tell a difference from chance: sweep.num_seeds=3 can.",
        "1 of 3 settings did not finish all their trials and cannot win.",
    ]


def test_the_csv_has_a_row_per_trial_with_its_values_and_its_reason() -> None:
    rows = list(
        csv.DictReader(
            io.StringIO(render_csv([outcome(4, 2.0), outcome(8, status="failed", reason="a, b")], "validation_loss"))
        )
    )
    assert rows[0] == {
        "trial": "r-4_seed-0", "train.strategy.r": "4", "seed": "0", "status": "finished", "validation_loss": "2.0",
        "reason": "",
    }  # fmt: skip
    assert (rows[1]["status"], rows[1]["validation_loss"], rows[1]["reason"]) == ("failed", "", "a, b")


def test_the_csv_leaves_out_where_the_schedule_ended() -> None:
    metrics = {"learning_rate": 1e-9, "grad_norm": 0.5, "validation_loss": 2.0, "loss": 2.5}
    header = render_csv([replace(outcome(4, 2.0), metrics=metrics)], "validation_loss").splitlines()[0]
    assert header == "trial,train.strategy.r,seed,status,validation_loss,loss,reason"
