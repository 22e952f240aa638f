"""Keys that came later say nothing where they are not used: reports of before stay what they are."""

from pathlib import Path
from typing import Any

import pytest
from exam_fixtures import tuned_model

from ray_ft.api.fingerprints import bench_inputs, evaluation_inputs
from ray_ft.config import parse_config


def section(folder: Path, **evaluation: Any) -> dict[str, Any]:
    raw = {"run_name": "r", "model": {"name": "builtin:tiny"}, "data": {"sources": ["x"], "recipes": ["qa"]}}
    inputs = evaluation_inputs(parse_config(raw | {"evaluation": evaluation}), tuned_model(folder))
    found: dict[str, Any] = inputs["evaluation"]
    return found


def test_a_report_without_judge_tests_and_lengths_is_told_by_the_keys_of_before(tmp_path: Path) -> None:
    assert sorted(section(tmp_path)) == [
        "margin", "max_new_tokens", "num_bootstrap", "num_documents", "num_passages", "num_questions", "questions",
        "retriever", "systems",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "given",
    [{"judge": {"name": "openai", "model": "big"}}, {"code_tests": {"command": "jail"}}, {"passage_tokens": [64, 128]}],
    ids=lambda given: next(iter(given)),
)
def test_what_changes_figures_changes_the_identity(given: dict[str, Any], tmp_path: Path) -> None:
    assert section(tmp_path, **given) != section(tmp_path)


def test_how_fast_a_judge_is_asked_does_not(tmp_path: Path) -> None:
    judge = {"name": "openai", "model": "big"}
    assert section(tmp_path, judge=judge | {"max_in_flight": 2}) == section(tmp_path, judge=judge)


def test_a_bench_notices_other_questions_in_the_same_file(tmp_path: Path) -> None:
    raw = {"run_name": "r", "model": {"name": "builtin:tiny"}, "data": {"sources": ["x"], "recipes": ["qa"]}}
    config = parse_config(raw | {"evaluation": {"questions": str(tmp_path / "exam.jsonl")}})
    found = []
    for text in ('{"question": "a"}', '{"question": "b"}'):
        (tmp_path / "exam.jsonl").write_text(text)
        found.append(bench_inputs(config, None, None))
    assert found[0] != found[1]
