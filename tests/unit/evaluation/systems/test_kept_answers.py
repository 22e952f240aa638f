"""Answers that have ended are kept at once, and an evaluation that goes on asks only for the others."""

import dataclasses
from pathlib import Path

import pytest
from exam_fixtures import KnowingModel, make_questions

from ray_ft.engines import GenerateRequest, GenerateResult
from ray_ft.errors import ConfigError
from ray_ft.evaluation.exam.tasks import Done, Task
from ray_ft.evaluation.systems.kept import Kept
from ray_ft.evaluation.systems.prompts import perform

TASKS = [
    Task(i, "question", system, question.question)
    for system in ("base", "tuned")
    for i, question in enumerate(make_questions()[:4])
]


class Counting(KnowingModel):
    """Notes what it is asked, and is killed in the middle of an answer."""

    def __init__(self, *, dies_at: int = 99) -> None:
        super().__init__("base", {"tuned": "folder"}, 120)
        self.asked: list[tuple[str | None, str]] = []
        self.dies_at = dies_at

    def _answer(self, request: GenerateRequest) -> GenerateResult:
        self.asked.append((request.adapter, str(request.prompt)))
        if len(self.asked) == self.dies_at:
            raise KeyboardInterrupt
        return super()._answer(request)


def answered(model: Counting, folder: Path, *, tasks: list[Task] = TASKS) -> list[Done]:
    return perform(tasks, model, tuned_adapter="tuned", system_prompt=None, max_new_tokens=8, kept=Kept(folder))  # type: ignore[arg-type]


def test_no_answer_that_has_ended_is_asked_for_twice(tmp_path: Path) -> None:
    first, second, undisturbed = Counting(dies_at=6), Counting(), Counting()
    with pytest.raises(KeyboardInterrupt):
        answered(first, tmp_path / "answers")
    (file,) = (tmp_path / "answers").iterdir()
    with file.open("a") as stream:
        stream.write(file.read_text().splitlines()[0][:40])  # a line that the kill cut short
    done = answered(second, tmp_path / "answers")
    whole = answered(undisturbed, tmp_path / "others")
    assert second.asked == undisturbed.asked[5:]  # five had ended; the sixth had only begun
    place = {(task.system, task.index): i for i, task in enumerate(TASKS)}
    done.sort(key=lambda d: place[d.system, d.index])
    assert [dataclasses.replace(d, seconds=0) for d in done] == [dataclasses.replace(d, seconds=0) for d in whole]
    assert [d.seconds > 0 for d in done] == [False] * 5 + [True] * 3  # how long the others took is not known
    assert answered(third := Counting(), tmp_path / "answers")
    assert third.asked == []


def test_another_prompt_is_another_question(tmp_path: Path) -> None:
    answered(Counting(), tmp_path)
    changed = [dataclasses.replace(TASKS[0], text=make_questions()[9].question)]
    model = Counting()
    answered(model, tmp_path, tasks=changed)
    assert len(model.asked) == 1


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"output_dir: cannot keep answers in .*file/answers: Not a directory"):
        Kept(tmp_path / "file" / "answers")
