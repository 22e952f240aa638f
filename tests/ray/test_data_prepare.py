"""prepare as a whole: a mixed folder with bad files becomes a training set that says what became of each."""

import hashlib
import itertools
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ray_ft.artifacts import TrainingSet
from ray_ft.config import DataConfig, ModelConfig
from ray_ft.data.prepare import prepare_training_set
from ray_ft.engines import Deliver, Engine, GenerateRequest, TextDelta
from ray_ft.errors import ConfigError, DataError, GenerationError
from ray_ft.recipes import QA, CodeMetadata, CodeRaw, CodeSummary, Heading, Keyword, Paragraph

pytestmark = pytest.mark.ray

MAX_SEQ_LEN = 256
RECIPES = (Paragraph(), Heading(), Keyword(), QA(), CodeSummary(), CodeMetadata(), CodeRaw())


@dataclass(frozen=True)
class PassageEngine(Engine):
    """Stands in for a language model: asks about a passage's first words and answers with them."""

    name: str = "passage"

    def load(self, model_path: str, adapters: Mapping[str, str], *, chat_template: str | None = None) -> Any:
        assert Path(model_path).is_dir()
        return self

    def apply_chat_template(self, messages: list[dict[str, str]]) -> str:
        return messages[-1]["content"]

    @property
    def max_seq_len(self) -> int:
        return 10**6

    def count_tokens(self, text: str) -> int:
        return len(text)

    def submit(self, request: GenerateRequest, deliver: Deliver) -> Callable[[], None]:
        deliver(TextDelta(self._text(str(request.prompt)), "stop", 1, 1))
        return lambda: None

    def _text(self, prompt: str) -> str:
        if "Passage (" not in prompt:
            return "Does something."
        words = " ".join(prompt.split("):\n", 1)[1].split()[:6])
        kind = "exam" if "examiner" in prompt else "lesson"
        return f"Q: What says the {kind} of {words}?\nA: {words}\nQ: What of {words} flies?\nA: It flies to the moon."


@dataclass(frozen=True)
class DyingEngine(PassageEngine):
    """Its process ends at the first request, as one does that has taken all memory."""

    def submit(self, request: GenerateRequest, deliver: Deliver) -> Callable[[], None]:
        os._exit(1)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty good files of all formats, and one of every bad kind."""
    root = tmp_path_factory.mktemp("corpus") / "ferry"
    files: dict[str, bytes] = {
        "picture.md": b"\x89PNG\r\n\x1a\n\0\0\0\0\0",
        "empty.md": b"",
        "blank.txt": b" \n \n",
        "half.txt": b"\xff\xfea\x00b",
        "cp1252.txt": "Die Fähre fährt über die Straße und täglich zurück, bei jedem Wetter.".encode("cp1252"),
        "python2.py": b"print 'hello'\nx = = 1\n",
        "photo.jpg": b"\xff\xd8",
        "pkg/__init__.py": b'"""The package."""\n',
        "page.html": b"<html><body><nav>menu</nav><h1>Bow ramp</h1><p>The bow ramp is opened by the deck crew. Before "
        b"the deck crew opens the bow ramp, the harbour pilot calls the bridge by radio. The harbour pilot leaves the "
        b"ferry when the deck crew has closed the bow ramp and the bridge has answered.</p></body></html>",
        "manual.rst": b"Manual\n======\n\nThe :ref:`ferry` manual tells how the ramp is opened.\n\n"
        b".. raw:: html\n\n   <x>\n",
    }
    for i in range(15):
        files[f"docs/guide_{i}.md"] = (
            f"# Guide {i}\n\nRoute {i} takes {i + 20} minutes and carries `car_{i}`.\n\n## Open the ramp\n\n"
            f"Press the green button {i + 1} times, wait until the lamp is lit, and report to harbour control.\n"
        ).encode()
        files[f"pkg/route_{i}.py"] = (
            f'def minutes_{i}(distance):\n    """Minutes that route {i} takes over a distance."""\n'
            f"    waiting = {i} + 1\n    return distance * {i} + waiting\n\n\ndef helper_{i}():\n    return {i}\n"
        ).encode()
    files["docs/copy.md"] = files["docs/guide_3.md"]
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    (root / "broken.md").symlink_to("nothing.md")
    os.mkfifo(root / "pipe.md")
    return root


def _prepare(sources: Path, output: Path, model_path: str, **settings: Any) -> TrainingSet:
    settings = {"recipes": RECIPES, "validation_fraction": 0.1, "test_fraction": 0.2, **settings}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ray_ft.data.ingest.manifest.MAX_GROUP_FILES", 9)  # several groups at the same time
        return prepare_training_set(
            DataConfig(sources=(str(sources),), **settings),
            model=ModelConfig(name="builtin:tiny", max_seq_len=MAX_SEQ_LEN),
            model_path=model_path,
            output_path=str(output),
            seed=0,
            inputs_digest="fingerprint",
        )


@pytest.fixture(scope="module")
def prepared(
    ray_cluster: None, sources: Path, tiny_model_path: str, tmp_path_factory: pytest.TempPathFactory
) -> TrainingSet:
    return _prepare(sources, tmp_path_factory.mktemp("run") / "data", tiny_model_path)


def _rows(made: TrainingSet, table: str) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(Path(made.path) / table).to_pylist()
    return rows


def _manifest(made: TrainingSet) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((Path(made.path) / "shards" / "manifest.json").read_text())
    return manifest


def _questions(made: TrainingSet) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(made.path) / "questions.jsonl").read_text().splitlines()]


def test_every_file_is_accounted_for(prepared: TrainingSet) -> None:
    assert prepared.files == {
        "ok": 35,  # 15 guides, 15 routes, __init__, page, manual, cp1252, python2
        "skipped: copy of another file": 1,
        "skipped: binary": 1,
        "skipped: empty": 2,
        "skipped: invalid encoding": 1,
        "skipped: not a regular file": 1,
        "skipped: unknown format": 1,
        "skipped: unreadable: No such file or directory": 1,
    }
    documents = _rows(prepared, "documents.parquet")
    assert len(documents) == sum(prepared.files.values())
    assert {d["path"]: d["encoding"] for d in documents}["ferry/cp1252.txt"] == "cp1252"
    assert all(bool(d["text"]) == (d["status"] == "ok") and bool(d["reason"]) != bool(d["text"]) for d in documents)
    assert {d["path"]: d["note"] for d in documents}["ferry/python2.py"] == "python: parts do not parse"


def test_no_document_is_in_two_splits(prepared: TrainingSet) -> None:
    documents = {d["id"]: d["split"] for d in _rows(prepared, "documents.parquet") if d["status"] == "ok"}
    for table in ("examples.parquet", "passages.parquet"):
        assert all(documents[r["document_id"]] == r["split"] for r in _rows(prepared, table) if not r.get("dropped"))
    assert set(documents.values()) == {"train", "validation", "test"}


def test_the_counts_are_those_of_the_tables(prepared: TrainingSet) -> None:
    examples = _rows(prepared, "examples.parquet")
    assert {e["recipe"] for e in examples} == set(prepared.recipes) == {r.name for r in RECIPES}
    for split in ("train", "validation", "test"):
        assert prepared.num_examples[split] == sum(e["split"] == split for e in examples)
        about = _manifest(prepared)["splits"][split]
        assert prepared.num_rows[split] == about["num_rows"] == sum(s["num_rows"] for s in about["shards"])
        assert prepared.num_tokens[split] == about["num_tokens"]
        assert prepared.num_tokens[split] == sum(e["num_tokens"] for e in examples if e["split"] == split)
    assert sum(prepared.num_documents.values()) == prepared.files["ok"]


def test_targets_of_the_packed_rows_are_the_completions_with_their_end_of_turn(
    prepared: TrainingSet, tiny_model_path: str
) -> None:
    from ray_ft.models.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(tiny_model_path)
    examples = {(e["recipe"], e["chunk_id"], e["prompt"]): e for e in _rows(prepared, "examples.parquet")}
    wanted: dict[str, int] = {}
    for e in examples.values():
        if e["prompt"] and e["split"] == "train":
            text = e["completion"].strip() + "<|im_end|>"
            wanted[text] = wanted.get(text, 0) + 1
    found: dict[str, int] = {}
    num_targets = 0
    for shard in _manifest(prepared)["splits"]["train"]["shards"]:
        for ids, labels, positions in np.load(Path(prepared.path) / "shards" / shard["file"]):
            starts = [*np.flatnonzero(positions == 0), MAX_SEQ_LEN]
            num_targets += int((labels != -100).sum())
            for start, end in itertools.pairwise(starts):
                targets = labels[start:end][labels[start:end] != -100]
                assert labels[start] == -100
                assert set(targets) <= set(ids[start:end])
                if (labels[start : start + 2] == -100).all() and len(targets):  # a masked prompt
                    text = tokenizer.decode(targets)
                    found[text] = found.get(text, 0) + 1
    assert sum(wanted.values()) > 20
    assert found == wanted
    assert num_targets == prepared.num_target_tokens["train"]


def test_passages_stand_in_their_documents(prepared: TrainingSet) -> None:
    texts = {d["id"]: d["text"] for d in _rows(prepared, "documents.parquet")}
    passages = _rows(prepared, "passages.parquet")
    assert {p["document_id"] for p in passages} == {d for d, text in texts.items() if text}
    assert all(p["text"] == texts[p["document_id"]][p["start"] : p["end"]] for p in passages)
    assert all(p["num_tokens"] <= 256 for p in passages)


def test_questions_ask_about_trained_and_held_out_documents_in_words_that_no_prompt_has(prepared: TrainingSet) -> None:
    splits = {d["id"]: d["split"] for d in _rows(prepared, "documents.parquet")}
    prompts = {e["prompt"] for e in _rows(prepared, "examples.parquet")}
    passages = {p["id"]: p for p in _rows(prepared, "passages.parquet")}
    questions = _questions(prepared)
    assert len(questions) == prepared.num_questions
    assert {q["stratum"] for q in questions} == {"seen", "held_out"}
    for q in questions:
        assert splits[q["document_id"]] == {"seen": "train", "held_out": "test"}[q["stratum"]]
        assert q["question"] not in prompts
        assert passages[q["chunk_id"]]["document_id"] == q["document_id"]
        assert q["key_facts"]
        assert all(fact.lower() in q["reference"].lower() for fact in q["key_facts"])


def test_a_second_run_writes_the_same_bytes(
    prepared: TrainingSet, sources: Path, tiny_model_path: str, tmp_path: Path
) -> None:
    again = _prepare(sources, tmp_path / "data", tiny_model_path)

    def contents(made: TrainingSet) -> dict[str, str]:
        root = Path(made.path)
        files = sorted(p for p in root.rglob("*") if p.is_file())
        return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    assert len(_manifest(again)["splits"]["train"]["shards"]) > 3
    assert contents(again) == contents(prepared)
    assert again.data_digest == prepared.data_digest
    assert not (tmp_path / "data.partial").exists()


def test_an_engine_writes_questions_and_what_is_not_grounded_is_listed_and_left_out(
    ray_cluster: None, sources: Path, tiny_model_path: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import sys

    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    made = _prepare(
        sources / "docs",
        tmp_path / "data",
        tiny_model_path,
        recipes=(QA(questions_per_chunk=4, max_chunk_tokens=64),),
        generator=PassageEngine(),
    )
    assert "constructor arguments in the object store" not in capfd.readouterr().err  # Ray's core, past all loggers
    examples = _rows(made, "examples.parquet")
    kept = [e for e in examples if not e["dropped"]]
    dropped = [e for e in examples if e["dropped"]]
    assert {e["origin"] for e in examples} == {"generated"}
    assert all(e["prompt"].startswith("What says the lesson of ") for e in kept)
    assert made.dropped_examples == {"answer not found in the passage": len(dropped)}
    assert 0 < len(dropped) <= len(kept) == sum(made.num_examples.values())
    assert all(e["split"] == "" for e in dropped)
    assert _questions(made)
    assert all(q["question"].startswith("What says the exam of ") for q in _questions(made))
    texts = {d["id"]: d["text"] for d in _rows(made, "documents.parquet")}
    assert all(e["completion"] in " ".join(texts[e["document_id"]][e["start"] : e["end"]].split()) for e in kept)
    # What was answered is not asked for again, even where all else is made anew.
    journals = {p: p.stat().st_size for p in (tmp_path / "answers").glob("*.log")}
    assert journals
    again = _prepare(
        sources / "docs",
        tmp_path / "data",
        tiny_model_path,
        recipes=(QA(questions_per_chunk=4, max_chunk_tokens=64, weight=2.0),),
        generator=PassageEngine(),
    )
    assert again.data_digest != made.data_digest
    assert {p: p.stat().st_size for p in (tmp_path / "answers").glob("*.log")} == journals


def test_an_engine_whose_process_dies_stops_prepare_with_one_line(
    ray_cluster: None, sources: Path, tiny_model_path: str, tmp_path: Path
) -> None:
    import sys

    import ray

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    recipes = (QA(questions_per_chunk=4, max_chunk_tokens=64),)
    with pytest.raises(GenerationError, match=r"^prepare stopped: the process that answers ended.*$"):
        _prepare(sources / "docs", tmp_path / "data", tiny_model_path, recipes=recipes, generator=DyingEngine())


def test_a_tiny_corpus_has_something_to_train_on_and_something_to_ask(
    ray_cluster: None, tiny_model_path: str, tmp_path: Path
) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    for i in range(3):
        (folder / f"{i}.md").write_text(f"# Part {i}\n\nThe part number {i} describes how the engine is started.\n")
    made = _prepare(folder, tmp_path / "data", tiny_model_path, recipes=(Paragraph(),), test_fraction=0.01)
    assert made.num_documents["train"] >= 1
    assert made.num_documents["test"] == 1


def test_files_that_give_nothing_end_in_one_line_with_the_reasons(
    ray_cluster: None, tiny_model_path: str, tmp_path: Path
) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "a.md").write_bytes(b"\0\1\2")
    (folder / "b.md").write_bytes(b"")
    (folder / "c.md").write_bytes(b"")
    with pytest.raises(DataError, match=r"^no file of data\.sources can be used: 2 empty, 1 binary$"):
        _prepare(folder, tmp_path / "data", tiny_model_path)
    (folder / "a.md").write_text("Some words without any heading or code.\n")
    with pytest.raises(DataError, match=r"gave no training example with data\.recipes code_raw"):
        _prepare(folder, tmp_path / "data", tiny_model_path, recipes=(CodeRaw(),))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad", "data.work"]


def test_a_template_that_cannot_be_masked_stops_before_any_work(
    ray_cluster: None, sources: Path, tiny_model_path: str, tmp_path: Path
) -> None:
    template = tmp_path / "template.jinja"
    template.write_text("{% for m in messages %}{{ m['role'] }}{% endfor %}")
    with pytest.raises(ConfigError, match=r"give another as model\.chat_template"):
        prepare_training_set(
            DataConfig(sources=(str(sources),), recipes=RECIPES),
            model=ModelConfig(name="x", max_seq_len=MAX_SEQ_LEN, chat_template=str(template)),
            model_path=tiny_model_path,
            output_path=str(tmp_path / "data"),
            seed=0,
            inputs_digest="x",
        )


def test_an_output_that_cannot_be_written_is_named(
    ray_cluster: None, sources: Path, tiny_model_path: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"^cannot write .*file/data\.work: Not a directory$"):
        _prepare(sources, tmp_path / "file" / "data", tiny_model_path)
