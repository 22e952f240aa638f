"""From answers to scores and contrasts: strata apart, one family for Holm, lower bits are better, gold found by id."""

import math
from dataclasses import replace

import pytest

from ray_ft.artifacts import Contrast, Score
from ray_ft.evaluation.exam.tasks import Done
from ray_ft.evaluation.report import findings
from ray_ft.evaluation.scores.contrasts import contrasts_of, withheld
from ray_ft.evaluation.scores.metrics import score_answer
from ray_ft.evaluation.scores.scoring import (
    PRIMARY_PAIRS,
    Measured,
    measure_answers,
    measure_documents,
    measure_retrieval,
    scores_of,
)
from ray_ft.rows import Chunk, Question

DRAWS = {"num_bootstrap": 500, "seed": 0}
SYSTEMS = ("base", "tuned", "base+rag", "tuned+rag")


def make_questions(stratum: str, number: int, *, answerable: bool = True) -> list[Question]:
    return [
        Question(
            f"{stratum}{i}", f"{stratum}{i}", "", "q", "red door", ("red door",), stratum=stratum, answerable=answerable
        )  # type: ignore[arg-type]
        for i in range(number)
    ]


def answered(questions: list[Question], right: dict[str, int]) -> list[Done]:
    """Each system answers its first `right` questions of every stratum well, and the others with one wrong word."""
    done = []
    for system in SYSTEMS:
        for i, q in enumerate(questions):
            answer = "red door" if int(q.id.removeprefix(q.stratum)) < right[system] else "window"
            scores = score_answer(answer, reference=q.reference, key_facts=q.key_facts, answerable=q.answerable)
            done.append(Done(i, "question", system, answer=answer, scores={**scores, "truncated": 0.0}))
    return done


def groups(right: dict[str, int], number: int = 20, **draws: int) -> list[Measured]:
    questions = make_questions("seen", number) + make_questions("held_out", number)
    return measure_answers(answered(questions, right), questions, **{**DRAWS, **draws})


RIGHT = {"base": 5, "tuned": 15, "base+rag": 15, "tuned+rag": 15}


def test_scores_are_means_by_stratum_system_and_metric() -> None:
    scores = [score for group in groups(RIGHT) for score in scores_of(group)]
    found = {(s.stratum, s.system, s.metric): s for s in scores}
    assert found["seen", "base", "key_fact_recall"].mean == 5 / 20
    assert found["held_out", "tuned", "exact_match"].mean == 15 / 20
    # wrong answers are one word long, the reference two: (5 * 1 + 15 * 0.5) / 20
    assert found["seen", "base", "length_ratio"].mean == pytest.approx(0.625)
    assert all(s.low <= s.mean <= s.high and s.num_items == s.num_documents == 20 for s in scores)


def test_holm_runs_over_the_primary_pairs_of_all_strata_together() -> None:
    contrasts = contrasts_of(groups(RIGHT), margin=0.02, **DRAWS)
    primary = [c for c in contrasts if c.primary]
    assert [(c.treatment, c.control) for c in primary] == [*PRIMARY_PAIRS] * 2
    assert all(c.p_holm is None for c in contrasts if not c.primary)
    smallest = min(primary, key=lambda c: c.p_value)
    assert smallest.p_holm == pytest.approx(6 * smallest.p_value)


def test_the_difference_is_paired_and_judged() -> None:
    contrast = contrasts_of(groups(RIGHT), margin=0.02, **DRAWS)[0]
    assert (contrast.treatment, contrast.control, contrast.metric) == ("tuned", "base", "key_fact_recall")
    assert contrast.difference == pytest.approx(0.5)
    assert contrast.verdict == "better"
    assert contrast.num_more is None


def test_two_systems_that_both_fail_are_undecided_and_not_equal() -> None:
    contrast = contrasts_of(groups(dict.fromkeys(SYSTEMS, 0)), margin=0.02, **DRAWS)[0]
    assert (contrast.verdict, contrast.num_more) == ("undecided", None)
    assert "too hard for either" in findings.verdict_sentence(contrast)
    assert findings.advice([contrast]).startswith("Nothing is shown: every system fails")


@pytest.mark.parametrize("number", [6, 20])
def test_a_few_equal_answers_do_not_show_that_nothing_changed(number: int) -> None:
    # Half of the questions are answered rightly, the same by both: nothing says that the next one would be.
    contrast = contrasts_of(groups(dict.fromkeys(SYSTEMS, number // 2), number), margin=0.02, **DRAWS)[0]
    assert (contrast.difference, contrast.verdict) == (0.0, "undecided")
    assert contrast.low < -0.02 < 0.02 < contrast.high
    assert contrast.num_more is not None
    assert contrast.num_more + number >= 237  # 0.98^237 is 0.05 / 6, of six primary contrasts
    (warning,) = warned(contrast)
    assert f"come from {number} documents; with fewer than 183" in warning


def test_many_equal_answers_do() -> None:
    found = groups(dict.fromkeys(SYSTEMS, 150), 300, num_bootstrap=10_000)
    contrast = contrasts_of(found, margin=0.02, **DRAWS)[0]
    assert contrast.verdict == "no meaningful difference"
    # 0.98^300 = 0.0023, times six contrasts
    assert contrast.p_equivalence == pytest.approx(6 * 0.98**300, abs=0.008)
    assert "±2.0 points, and a difference beyond has p = 0.0" in findings.verdict_sentence(contrast)


def test_systems_that_score_no_more_than_the_question_repeated_both_fail() -> None:
    # The question states the fact of every fourth: an echo scores 25%. Both systems state those and no others.
    questions = [
        replace(q, question="which red door?" if i % 4 == 0 else "q") for i, q in enumerate(make_questions("seen", 300))
    ]
    done = [
        Done(i, "question", system, answer=answer, scores={**scores, "truncated": 0.0})
        for system in ("base", "tuned")
        for i, q in enumerate(questions)
        for answer in ["red door" if i % 4 == 0 else "window"]
        for scores in [score_answer(answer, reference=q.reference, key_facts=q.key_facts)]
    ]
    found = measure_answers(done, questions, **DRAWS)
    means = {(s.system, s.metric): s.mean for s in scores_of(found[0])}
    assert (means["echo", "key_fact_recall"], means["empty", "key_fact_recall"]) == (0.25, 0.0)
    contrast = contrasts_of(found, margin=0.02, **DRAWS)[0]
    assert (contrast.verdict, contrast.num_more, contrast.floor) == ("undecided", None, 0.25)
    assert "both score no more than 25.0%, which repeating the question" in findings.verdict_sentence(contrast)


def test_silence_is_no_baseline_where_it_is_the_answer() -> None:
    questions = make_questions("user", 8, answerable=False)
    contrasts = contrasts_of(measure_answers(answered(questions, RIGHT), questions, **DRAWS), margin=0.02, **DRAWS)
    assert {c.floor for c in contrasts} == {0.02}


def test_an_undecided_difference_says_how_many_more() -> None:
    contrast = contrasts_of(groups({**RIGHT, "tuned": 6}), margin=0.02, **DRAWS)[0]
    # one of 20 questions differs: one sign pattern is as extreme as the other, p = 1
    assert (contrast.verdict, contrast.p_value) == ("undecided", 1.0)
    assert contrast.num_more is not None
    assert contrast.num_more > 100


def test_unanswerable_questions_are_a_stratum_of_their_own() -> None:
    questions = make_questions("user", 8) + make_questions("user", 8, answerable=False)
    done = answered(questions, dict.fromkeys(SYSTEMS, 8))
    found = measure_answers(done, questions, **DRAWS)
    assert [g.stratum for g in found] == ["user", "unanswerable"]
    assert found[1].mean("base", "abstention") == 0.0
    assert {metric for _, metric in found[1].sums} == {"abstention", "truncated"}


def test_bits_per_byte_are_over_all_bytes_and_lower_is_better() -> None:
    texts = ["a" * 10] * 8 + ["é" * 50] * 2  # 8 * 10 + 2 * 100 = 280 bytes
    ln2 = 0.6931471805599453
    done = [
        Done(i, "document", system, negative_log_likelihood=bits * ln2 * len(text.encode()))
        for system, bits in (("base", 2.0), ("tuned", 1.5))
        for i, text in enumerate(texts)
    ]
    measured = measure_documents(done, texts, **DRAWS)
    assert measured is not None
    assert measured.weights.sum() == 280
    assert measured.mean("base", "bits_per_byte") == pytest.approx(2.0)
    (contrast,) = contrasts_of([measured], margin=0.02, **DRAWS)
    assert contrast.difference == pytest.approx(-0.5)
    assert (contrast.verdict, contrast.primary, contrast.p_holm) == ("better", False, None)
    assert contrast.margin == pytest.approx(0.02 * 2.0)
    assert "tuned is better than base: bits per byte −0.500" in findings.verdict_sentence(contrast)


def test_bits_per_byte_divides_by_utf8_bytes() -> None:
    # "né" is 3 bytes; 3 ln 2 nats are 3 bits: 1 bit per byte
    done = [Done(0, "document", "tuned", negative_log_likelihood=3 * math.log(2))]
    measured = measure_documents(done, ["né"], **DRAWS)
    assert measured is not None
    assert measured.mean("tuned", "bits_per_byte") == pytest.approx(1.0)


def test_without_documents_there_are_no_bits() -> None:
    assert measure_documents([], [], **DRAWS) is None


def test_retrieval_is_scored_by_gold_passage_and_gold_document() -> None:
    passages = [Chunk(f"{d}#{i}", d, "t", 1) for d in "ab" for i in range(2)]
    question = Question("q", "a", "a#1", "q?", "r")
    unknown = Question("u", "z", "z#0", "q?", "r")  # gold not in the index: not counted
    ranking = [passages[2], passages[0], passages[1]]  # b#0, a#0, a#1
    found = measure_retrieval([question, unknown], [ranking, ranking], passages, num_passages=2, **DRAWS)
    values = {metric: group.mean("retriever", metric) for group in found for _, metric in group.sums}
    # The passage is third of three passages, its document second of two documents.
    assert values == pytest.approx({
        "recall@2 (passage)": 0.0, "MRR@10 (passage)": 1 / 3, "recall@2 (document)": 1.0, "MRR@10 (document)": 1 / 2,
        "nDCG@10 (passage)": 1 / 2, "nDCG@10 (document)": 1 / math.log2(3),
    })  # fmt: skip
    assert {group.num_items for group in found} == {1}


# --- words


def contrast(treatment: str, control: str, verdict: str, **changes: object) -> Contrast:
    values: dict[str, object] = {
        "metric": "key_fact_recall", "treatment": treatment, "control": control, "difference": 0.0, "low": -0.1,
        "high": 0.1, "p_value": 0.5, "num_items": 40, "verdict": verdict, "stratum": "held_out", "num_documents": 40,
        "primary": True, "p_holm": 0.9, "margin": 0.02, "num_more": 30,
    }  # fmt: skip
    return Contrast(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("alone", "with_retrieval", "instead", "advice"),
    [
        ("better", "better", "worse", "serve the tuned model with retrieval"),
        ("worse", "better", "worse", "serve the tuned model with retrieval"),
        ("better", "worse", "worse", "do not serve"),
        ("better", "undecided", "better", "serve the tuned model:"),
        ("better", "undecided", "worse", "retrieval answers better"),
        ("better", "undecided", "undecided", "tuning helps without retrieval"),
        ("undecided", "undecided", "undecided", "ask more questions"),
        (*["no meaningful difference"] * 3, "changed nothing that matters"),
    ],
)
def test_advice_follows_the_verdicts(alone: str, with_retrieval: str, instead: str, advice: str) -> None:
    verdicts = (alone, with_retrieval, instead)
    found = findings.advice([contrast(*pair, verdict) for pair, verdict in zip(PRIMARY_PAIRS, verdicts, strict=True)])
    assert found.startswith("Judged by held-out documents, ")
    assert advice in found


def test_every_verdict_is_said_with_its_figures() -> None:
    sentence = findings.verdict_sentence(contrast("tuned", "base", "undecided", difference=0.031, num_more=1234))
    assert sentence == (
        "On held-out documents, tuned against base is undecided: key-fact recall +3.1 points, "
        "95% interval −10.0 to +10.0, p = 0.900 after Holm; "
        "about 1,234 more questions from documents like these would decide."
    )


def warned(*contrasts: Contrast, length: float = 1.0, truncated: float = 0.0) -> list[str]:
    values = {"length_ratio": length, "truncated": truncated}
    scores = [
        Score(system, metric, value if system == "tuned" else min(value, 1.0), 0, 1, 40, "held_out")
        for system in ("base", "tuned")
        for metric, value in values.items()
    ]
    return findings.warnings(scores, contrasts)


def test_a_sound_comparison_raises_no_warning() -> None:
    assert warned(contrast("tuned", "base", "better")) == []


def test_a_loss_that_only_other_metrics_see_is_warned_of() -> None:
    loss = contrast("tuned", "base", "worse", metric="token_f1", primary=False)
    (warning,) = warned(contrast("tuned", "base", "no meaningful difference"), loss)
    assert warning == "On held-out documents, tuned is worse than base by token F1 (exploratory)."


def test_few_documents_wordiness_and_cut_answers_are_warned_of() -> None:
    (few,) = warned(contrast("tuned", "base", "undecided", num_documents=12))
    assert "12 documents; with fewer than 183, even equal answers cannot show" in few
    assert warned(contrast("tuned", "base", "undecided", num_documents=12, difference=0.03)) == []
    (hopeless,) = warned(contrast("tuned", "base", "undecided", num_documents=1))
    assert "1 document; with fewer than 6" in hopeless
    (wordy,) = warned(contrast("tuned", "base", "better"), length=2.0)
    assert "2.0 times as much" in wordy
    (cut,) = warned(contrast("tuned", "base", "better"), truncated=0.3)
    assert "base, tuned were cut off" in cut


def test_steps_are_scored_where_there_are_steps_and_copies_where_passages_were_found() -> None:
    steps = "1. Close the valve.\n2. Drain the tank."
    plain = make_questions("seen", 8)
    questions = [replace(q, reference=steps, key_facts=()) for q in plain[:4]] + plain[4:]
    copies = ["close the valve, drain the tank, and a lot of other words of no use"] * 7 + [""]
    found = measure_answers(answered(questions, {**RIGHT, "base": 8}), questions, copies=copies, **DRAWS)
    scores = {(s.system, s.metric): s for group in found for s in scores_of(group)}
    assert (scores["copy", "steps_in_order"].mean, scores["base", "steps_in_order"].mean) == (1.0, 0.0)
    assert (scores["copy", "steps_in_order"].num_items, scores["copy", "key_fact_recall"].num_items) == (4, 8)
    assert scores["copy", "key_fact_precision"].mean < 0.5
    assert (scores["echo", "net_score"].mean, scores["echo", "net_score"].low) == pytest.approx((-1, -1))


@pytest.mark.parametrize(("recall", "verdict"), [(0.69, "undecided"), (0.7, "better")])
def test_no_verdict_is_against_weak_retrieval(recall: float, verdict: str) -> None:
    found = contrasts_of(groups({**RIGHT, "base+rag": 2}), margin=0.02, **DRAWS)
    retrieval = Score("retriever", "recall@3 (passage)", recall, 0, 1, 40)
    judged = {(c.treatment, c.control): c for c in withheld(found, [retrieval], num_passages=3) if c.primary}
    assert judged["tuned", "base"].verdict == "better"
    assert judged["tuned", "base+rag"].verdict == verdict
    weak = "retrieval was weak, it showed the right passage for 69% of the questions and not 70%"
    assert (weak in findings.verdict_sentence(judged["tuned", "base+rag"])) == (verdict == "undecided")
    assert [c.verdict for c in withheld(found, [], num_passages=3)] == [c.verdict for c in found]
