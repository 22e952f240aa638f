"""The page on which questions are looked through, in a browser."""

import json
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from exam_fixtures import write_training_set
from playwright.sync_api import expect

from ray_ft.artifacts import ReviewItem
from ray_ft.config import EvaluationConfig
from ray_ft.evaluation.exam.user_questions import read_user_questions
from ray_ft.evaluation.review.items import review_items
from ray_ft.evaluation.review.page import render_page

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> list[ReviewItem]:
    folder = tmp_path_factory.mktemp("run") / "data"
    return review_items(write_training_set(folder), EvaluationConfig(num_questions=6), seed=0)


@pytest.fixture
def url(items: list[ReviewItem], tmp_path: Path) -> str:
    (tmp_path / "review.html").write_text(render_page(items, run_name="handbook", file_name="kept.jsonl"))
    return (tmp_path / "review.html").as_uri()


def test_what_is_kept_comes_out_as_questions_for_an_exam(
    new_page: Any, url: str, items: list[ReviewItem], tmp_path: Path
) -> None:
    page = new_page(url, path="")
    state = page.get_by_role("status")
    expect(state).to_have_text("0 kept, 0 dropped, 6 undecided of 6")
    page.get_by_role("button", name="Save the kept questions").click()
    expect(state).to_contain_text("nothing to save")
    sections = page.locator(".question")
    sections.nth(0).get_by_label("kept").check()
    sections.nth(1).get_by_label("dropped").check()
    sections.nth(2).get_by_label("Question").fill("In other words?")
    sections.nth(2).get_by_label("kept").press("Space")  # by the keyboard
    page.reload()  # nothing is lost
    expect(state).to_have_text("2 kept, 1 dropped, 3 undecided of 6")
    expect(sections.nth(2).get_by_label("Question")).to_have_value("In other words?")
    with page.expect_download() as told:
        page.get_by_role("button", name="Save the kept questions").click()
    assert told.value.suggested_filename == "kept.jsonl"
    told.value.save_as(tmp_path / "kept.jsonl")
    kept = read_user_questions(tmp_path / "kept.jsonl", ())
    assert [(q.id, q.question) for q in kept] == [
        (items[0].question.id, items[0].question.question), (items[2].question.id, "In other words?"),
    ]  # fmt: skip
    assert [json.loads(line)["stratum"] for line in (tmp_path / "kept.jsonl").read_text().splitlines()] == [
        items[0].question.stratum, items[2].question.stratum,
    ]  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible_and_fits_a_phone(new_page: Any, url: str, scheme: str) -> None:
    page = new_page(
        url, path="", color_scheme=scheme, bypass_csp=True, viewport={"width": 360, "height": 740}
    )  # axe brings its own script
    page.locator(".question").nth(0).get_by_label("dropped").check()
    found = Axe().run(page).response["violations"]
    assert [(one["id"], [node["target"] for node in one["nodes"]]) for one in found] == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
