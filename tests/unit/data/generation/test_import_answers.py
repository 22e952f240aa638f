"""The quickstart asks nobody: every request of its recipes has a recording, and every recording a request."""

import json
import runpy
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ray_ft.config import Config, load_config
from ray_ft.data.build.plan import response_cache
from ray_ft.data.build.stage import make_examples
from ray_ft.data.dedup.splits import Bounds, content_key, position
from ray_ft.data.filters.apply import Cleaning
from ray_ft.data.generation.response_cache import Answered, NotAnswered
from ray_ft.data.ingest.listing import list_files
from ray_ft.data.ingest.stage import parse_item
from ray_ft.data.tokenization.chat import ChatEncoder, token_counter
from ray_ft.errors import ConfigError
from ray_ft.evaluation.exam.user_questions import SourceDocument, read_user_questions
from ray_ft.models.tokenizer import load_tokenizer
from ray_ft.rows import Example

REPOSITORY = Path(__file__).parents[4]
RECORDED = Path("configs/quickstart/answers.jsonl")


@pytest.fixture
def import_answers(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(REPOSITORY)
    return runpy.run_path("scripts/import_answers.py")["import_answers"]


def quickstart(tmp_path: Path) -> Config:
    return load_config(REPOSITORY / "configs" / "quickstart.yaml", [f"data.answers_path={tmp_path / 'answers'}"])


def examples(config: Config, model_path: str) -> list[Example]:
    """What prepare makes of the handbook, with nobody there to ask. Raises NotAnswered."""
    answers = response_cache(config.data, config.model, model_path, Path())
    assert answers is not None
    encoder = ChatEncoder(load_tokenizer(model_path), system_prompt=config.model.system_prompt, max_seq_len=512)
    files = list_files(config.data)
    read = [one for file in files for one in parse_item(file, Cleaning.of(config.data, files))]
    documents = [one.document for one in read if one.document is not None]
    assert len(documents) == len(files) == 19
    made = [make_examples(d, config.data.recipes, token_counter(encoder), Answered(answers)) for d in documents]
    return [edged.example for one in made for edged in one]


def test_every_request_of_the_quickstart_has_a_recording_that_passes_the_checks(
    import_answers: Any, tiny_model_path: str, tmp_path: Path
) -> None:
    config = quickstart(tmp_path)
    with pytest.raises(NotAnswered):
        examples(config, tiny_model_path)
    import_answers(config, RECORDED, tiny_model_path)
    made = examples(config, tiny_model_path)
    kept = [e for e in made if not e.dropped]
    assert len({e.completion for e in kept}) == 49  # facts
    assert len(made) == 49 * 8
    assert len(kept) >= 0.9 * len(
        made
    )  # some wordings, which were written without looking, name nothing of the passage
    wordings = Counter(e.completion for e in kept)
    assert min(wordings.values()) >= 4
    folder = tmp_path / "answers"
    before = sorted(folder.iterdir())
    import_answers(config, RECORDED, tiny_model_path)
    assert sorted(folder.iterdir()) == before  # what is there is not written twice


def test_the_exam_asks_in_other_words_than_the_training(tmp_path: Path) -> None:
    lines = (REPOSITORY / RECORDED).read_text().splitlines()
    trained = [r for r in map(json.loads, lines) if not r.get("exam")]
    wordings = {q.casefold() for r in trained for q in (r["question"], *r["rephrasings"])}
    exam = [json.loads(line) for line in (REPOSITORY / RECORDED).with_name("exam.jsonl").read_text().splitlines()]
    general = {json.loads(line)["prompt"] for line in (REPOSITORY / RECORDED).with_name("general.jsonl").open()}
    assert not {q["question"].casefold() for q in exam} & (wordings | {q.casefold() for q in general})
    assert len({q["question"] for q in exam}) == len(exam) == 134
    answers = {r["answer"] for r in trained}
    assert {q["reference"] for q in exam if "document_id" in q} == answers


def test_the_exam_has_the_strata_that_the_configuration_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that changes may change sides; then the seed has to be drawn again."""
    monkeypatch.chdir(REPOSITORY)
    config = load_config("configs/quickstart.yaml")
    files = list_files(config.data)
    bounds = Bounds.of(validation_fraction=0, test_fraction=config.data.test_fraction)
    read = [one for file in files for one in parse_item(file, Cleaning.of(config.data, files))]
    texts = {one.document.path: one.document.text for one in read if one.document is not None}
    sides = {path: bounds.split(position(content_key(text), seed=config.seed)) for path, text in texts.items()}
    assert Counter(sides.values()) == {"train": 13, "test": 6}
    sources = [SourceDocument(f"0:{path}", path, side) for path, side in sides.items()]
    questions = read_user_questions(Path(str(config.evaluation.questions)), sources)
    found = Counter(q.stratum if q.answerable else "unanswerable" for q in questions)
    assert found == {"seen": 74, "held_out": 20, "unanswerable": 20, "retention": 20}
    assert config.evaluation.num_questions == found.total()


def test_a_changed_heading_and_a_recording_without_a_passage_are_named(
    import_answers: Any, tiny_model_path: str, tmp_path: Path
) -> None:
    config = quickstart(tmp_path)
    handbook = tmp_path / "handbook"
    shutil.copytree("configs/quickstart/handbook", handbook)
    config = replace(config, data=replace(config.data, sources=(str(handbook),)))
    page = handbook / "groups.md"
    text = page.read_text()
    page.write_text(text.replace("## Schools", "## Pupils"))
    with pytest.raises(ConfigError, match=r"^no question is recorded for the passage 'Groups and schools > Pupils'"):
        import_answers(config, RECORDED, tiny_model_path)
    page.write_text(text.split("## Schools")[0])
    with pytest.raises(ConfigError, match=r"^2 recordings belong to no passage, such as those of 'Groups and sch"):
        import_answers(config, RECORDED, tiny_model_path)
    assert not (tmp_path / "answers").exists()
