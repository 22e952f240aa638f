"""One group of files without Ray: what is written, what is counted, and how failures come back."""

import errno
import json
import re
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from keyed_items import hashed
from word_encoder import WordEncoder

from ray_ft.config import DataConfig, DatasetConfig
from ray_ft.data.build import stage as group_module
from ray_ft.data.build.job import GroupJob, GroupResult, Placed, Shard
from ray_ft.data.build.publish import merge_questions, publish_group, put_in_place
from ray_ft.data.build.questions import evaluation_qa
from ray_ft.data.build.stage import write_group
from ray_ft.data.dedup.clusters import Placing, place
from ray_ft.data.dedup.heads import text_of
from ray_ft.data.dedup.splits import Bounds
from ray_ft.data.ingest.datasets import cut_into_slices, list_datasets
from ray_ft.data.ingest.items import Item
from ray_ft.data.ingest.kept import find_kept
from ray_ft.data.ingest.listing import list_files
from ray_ft.data.ingest.sandbox import Limits
from ray_ft.data.ingest.stage import ParseJob, load, parse_batch
from ray_ft.data.run.keys import Keys
from ray_ft.data.run.typed import dump
from ray_ft.data.tokenization.encoded import Encoded
from ray_ft.recipes import QA, Heading, Paragraph
from ray_ft.rows import Chunk, CountTokens, Document, Example, Split

TEXT = "# Ferry\n\nIt crosses the strait.\n\n## Open the ramp\n\nPress the green button until `lamp_on` is lit.\n"


@dataclass(frozen=True)
class Failing(Paragraph):
    """A recipe with a bug that one document shows."""

    name: str = "paragraph"

    def chunk(self, document: Document, count_tokens: CountTokens) -> list[Chunk]:
        if "strait" in document.text:
            raise KeyError("strait")
        return super().chunk(document, count_tokens)


@dataclass(frozen=True)
class Endless(Paragraph):
    """A recipe whose expression never ends on one document."""

    name: str = "paragraph"

    def chunk(self, document: Document, count_tokens: CountTokens) -> list[Chunk]:
        if "strait" in document.text:
            re.match("(?:a|a)*b", "a" * 60)
        return super().chunk(document, count_tokens)


@pytest.fixture(autouse=True)
def words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_module, "_encoder", lambda *arguments: WordEncoder(64))


def _job(output: Path, **settings: Any) -> GroupJob:
    defaults: dict[str, Any] = {
        "model_path": "",
        "chat_template": None,
        "system_prompt": None,
        "max_seq_len": 64,
        "recipes": (Paragraph(), Heading(), QA()),
        "passage_tokens": 32,
        "seed": 0,
        "seen_fraction": 1.0,
    }
    return GroupJob(output_path=str(output), **{**defaults, **settings})


def _parsed(folder: Path, items: list[Item], split: Split | None = "train") -> dict[str, Any]:
    """The row of a group of these items, parsed and placed; None leaves the split to the placement."""
    batch = hashed(items, "how")
    done = parse_batch({"work": dump(batch)}, job=ParseJob(str(folder), "run", how="how"))
    assert json.loads(done["result"])["error"] == ""
    kept = find_kept(folder, Keys.of(todo.key for todo in batch))
    heads = [kept.heads(i) for i in range(len(items))]
    texts = [text_of(one) for i, item in enumerate(items) for one in load(item, kept.ref(i))]
    how = Placing(Bounds(0.0, 0.0), seed=0)
    made = place([head for of_item in heads for head in of_item], how=how, text_of=lambda i: texts[i]).all
    placements = iter(p._replace(split=split or p.split) for p in made)
    placed = [Placed(item, kept.ref(i), tuple(next(placements) for _ in heads[i])) for i, item in enumerate(items)]
    return {"name": "group", "work": dump(placed)}


def _write(tmp_path: Path, row: dict[str, Any], **settings: Any) -> GroupResult:
    """Write a group anew and publish it as number 7."""
    shutil.rmtree(tmp_path / "groups", ignore_errors=True)
    result = GroupResult.from_text(write_group(row, job=_job(tmp_path / "groups", **settings))["result"])
    if not result.error:
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        publish_group(tmp_path / "groups" / "group", 7, tmp_path / "out")
    return result


def _run(tmp_path: Path, files: dict[str, str], *, split: Split = "train", **settings: Any) -> GroupResult:
    source = tmp_path / "s"
    source.mkdir(exist_ok=True)
    for name, text in files.items():
        (source / name).write_text(text)
    listed = list_files(DataConfig(sources=(str(source),)))
    return _write(tmp_path, _parsed(tmp_path / "parsed", [*listed], split), **settings)


def test_a_group_writes_its_tables_shards_and_questions_under_its_number(tmp_path: Path) -> None:
    result = _run(tmp_path, {"a.md": TEXT, "b.md": ""})
    assert result.error == ""
    assert dict(result.files) == {"ok": 1, "skipped: empty": 1}
    # One passage; the first section's 4 words are too few for heading and qa, the second's 8 are one example of each.
    assert dict(result.examples) == {"train": 3}
    written = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert written == [
        "documents.parquet/part-00007.parquet",
        "examples.parquet/part-00007.parquet",
        "passages.parquet/part-00007.parquet",
        "questions/00007.jsonl",
        "shards/train-00007-00.chunks.jsonl",
        "shards/train-00007-00.npy",
    ]


def test_questions_are_asked_of_the_drawn_share_of_trained_documents_and_of_no_validation_document(
    tmp_path: Path,
) -> None:
    def asked(**settings: Any) -> list[dict[str, Any]]:
        _run(tmp_path, {"a.md": TEXT}, **settings)
        lines = (tmp_path / "out" / "questions" / "00007.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    assert [q["question"] for q in asked()] == ["Which steps does “Ferry” give to open the ramp?"]
    assert {q["stratum"] for q in asked(split="test")} == {"held_out"}
    assert asked(seen_fraction=0.0) == []
    assert asked(split="validation") == []


def test_a_recipe_that_fails_on_a_document_skips_it_and_keeps_the_others(tmp_path: Path) -> None:
    result = _run(tmp_path, {"a.md": TEXT, "b.md": "Other words stand here."}, recipes=(Failing(),))
    assert dict(result.files) == {"ok": 1, "skipped: recipe failed: KeyError": 1}
    assert dict(result.documents) == {"train": 1}


def test_a_recipe_that_does_not_end_on_a_document_skips_it_and_keeps_the_others(tmp_path: Path) -> None:
    files = {"a.md": TEXT, "b.md": "Other words stand here."}
    result = _run(tmp_path, files, recipes=(Endless(),), limits=Limits(0.3, 2**30))
    assert dict(result.files) == {"ok": 1, "skipped: recipe took too long": 1}
    assert dict(result.documents) == {"train": 1}


def test_tokenising_that_does_not_end_on_a_document_skips_it_and_keeps_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encode(self: WordEncoder, example: Example, **settings: Any) -> list[Encoded] | str:
        if "lamp_on" in example.completion and started:  # its first example is whole by then
            re.match("(?:a|a)*b", "a" * 60)
        started.append(example)
        return whole(self, example, **settings)

    started: list[Example] = []
    whole = WordEncoder.encode
    monkeypatch.setattr(WordEncoder, "encode", encode)
    files = {
        "a.md": f"# Ropes\n\nThe rope is made fast at the bow before noon.\n\n{TEXT}",
        "b.md": "Other words stand here.",
    }
    result = _run(tmp_path, files, limits=Limits(0.3, 2**30))
    assert dict(result.files) == {"ok": 1, "skipped: tokenising took too long": 1}
    (whole_one,) = (row["id"] for row in _table(tmp_path, "documents") if row["status"] == "ok")
    assert {row["document_id"] for row in _table(tmp_path, "examples")} == {whole_one}


def test_a_long_document_has_its_time_for_each_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def encode(self: WordEncoder, example: Example, **settings: Any) -> list[Encoded] | str:
        until = time.monotonic() + 0.06
        while time.monotonic() < until:
            pass
        return whole(self, example, **settings)

    whole = WordEncoder.encode
    monkeypatch.setattr(WordEncoder, "encode", encode)
    sections = "\n\n".join(
        f"# Pier {n}\n\nThe ferry of pier {n} leaves at {n} sharp every day, and waits for no car that comes later."
        for n in range(24)
    )
    result = _run(tmp_path, {"a.md": sections}, limits=Limits(1.0, 2**30))
    assert dict(result.files) == {"ok": 1}
    assert sum(result.examples.values()) >= 24


def test_what_is_personal_reaches_no_table_and_is_counted(tmp_path: Path) -> None:
    result = _run(tmp_path, {"a.md": f"{TEXT}\nThen write to anna.berg@ferries.no at once.\n"})
    assert dict(result.redacted) == {"EMAIL": 1}
    for table in ("documents", "examples", "passages"):
        rows = json.dumps(_table(tmp_path, table))
        assert "anna.berg" not in rows
        assert "<EMAIL>" in rows


def test_copies_are_left_out_with_their_reason_and_share_a_cluster(tmp_path: Path) -> None:
    result = _run(tmp_path, {"a.md": TEXT, "b.md": TEXT.replace("\n\n", "\n\n\n")})
    assert dict(result.files) == {"ok": 1, "skipped: copy of another file": 1}
    rows = {row["path"].split("/")[1]: row for row in _table(tmp_path, "documents")}
    assert rows["b.md"]["note"] == "of s/a.md"
    assert rows["a.md"]["cluster"] == rows["b.md"]["cluster"] != ""
    assert (rows["b.md"]["split"], rows["b.md"]["text"]) == ("", "")


def test_an_example_that_cannot_be_encoded_is_counted_and_kept_out_of_the_shards(tmp_path: Path) -> None:
    result = _run(tmp_path, {"a.md": "word " * 200}, recipes=(Paragraph(max_chunk_tokens=150),))
    # 200 words are a chunk of 149 (the joint counts one), which is too long for a row of 64, and one of 51.
    assert (dict(result.dropped), dict(result.examples)) == ({"too long": 1}, {"train": 1})


def test_a_full_disk_comes_back_as_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any, **keywords: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/data/part")

    monkeypatch.setattr("ray_ft.data.build.packing.write_part", full)
    assert _run(tmp_path, {"a.md": TEXT}).error == "cannot write /data/part: No space left on device"


def test_a_result_survives_the_way_to_the_driver() -> None:
    result = GroupResult(shards=[Shard("train", "a.npy", 1, 2, 3, "00")])
    result.files["ok"] += 2
    assert GroupResult.from_text(result.to_text()) == result


def test_questions_are_drawn_evenly_by_hash_for_each_stratum(tmp_path: Path) -> None:
    parts = tmp_path / "questions"
    parts.mkdir()
    for part in range(2):
        rows = [{"id": f"{i}{part}", "stratum": "seen" if i % 2 else "held_out"} for i in range(6)]
        (parts / f"{part}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    assert merge_questions(parts, tmp_path / "questions.jsonl", 3) == 6
    kept = [json.loads(line)["id"] for line in (tmp_path / "questions.jsonl").read_text().splitlines()]
    assert kept == ["00", "01", "20", "10", "11", "30"]


def test_the_finished_folder_takes_the_old_ones_place(tmp_path: Path) -> None:
    for name in ("data", "data.partial"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "which").write_text(name)
    put_in_place(tmp_path / "data.partial", tmp_path / "data")
    assert (tmp_path / "data" / "which").read_text() == "data.partial"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data"]


def test_evaluation_asks_with_the_configured_qa_recipe_or_its_default() -> None:
    assert evaluation_qa((Heading(), QA(max_chunk_tokens=99)), 64).max_chunk_tokens == 99
    assert evaluation_qa((Heading(),), 64) == QA(max_chunk_tokens=64)


def _records(tmp_path: Path, rows: list[Any], dataset: DatasetConfig, **settings: Any) -> GroupResult:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (part,) = cut_into_slices(
        list_datasets(DataConfig(datasets=(replace(dataset, path=str(tmp_path / "a.jsonl")),))), slice_bytes=2**20
    )
    return _write(tmp_path, _parsed(tmp_path / "parsed", [part], None), **settings)


def _table(tmp_path: Path, name: str) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(tmp_path / "out" / f"{name}.parquet").to_pylist()
    return rows


PAIRS = [{"prompt": f"Question {i}?", "completion": f"Answer {i} is this."} for i in range(40)]


def test_a_weight_of_two_packs_every_example_twice_and_never_in_one_row(tmp_path: Path) -> None:
    result = _records(tmp_path, PAIRS[:10], DatasetConfig(weight=2))
    assert result.examples["train"] == 20
    assert result.mixture.shares["a.jsonl"].num_available == 10
    lines = (tmp_path / "out" / "shards" / "train-00007-00.chunks.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert sorted(name for row in rows for name in row) == sorted(2 * [f"a.jsonl:{i}" for i in range(1, 11)])
    assert all(len(set(row)) == len(row) for row in rows)
    assert {e["copies"] for e in _table(tmp_path, "examples")} == {2}


def test_a_weight_below_one_leaves_out_what_was_not_drawn_with_the_reason(tmp_path: Path) -> None:
    result = _records(tmp_path, PAIRS, DatasetConfig(weight=0.5))
    drawn = result.examples["train"]
    assert 8 <= drawn <= 32  # 20 expected, standard deviation 3.2
    assert dict(result.dropped) == {"not drawn at weight 0.5": 40 - drawn}
    share = result.mixture.shares["a.jsonl"]
    assert (share.num_available, share.num_examples) == (40, drawn)
    left_out = [e for e in _table(tmp_path, "examples") if e["dropped"]]
    assert all((e["split"], e["copies"], e["num_tokens"]) == ("", 0, 0) for e in left_out)


def test_held_out_examples_are_shown_once_whatever_the_weight(tmp_path: Path) -> None:
    result = _records(tmp_path, PAIRS[:4], DatasetConfig(weight=3, split="validation"))
    assert dict(result.examples) == {"validation": 4}
    assert result.mixture.shares == {}


def test_bad_lines_are_counted_named_and_listed(tmp_path: Path) -> None:
    rows = [*PAIRS[:2], {"prompt": "?"}, 7, {"text": "Words of their own."}]
    result = _records(tmp_path, rows, DatasetConfig())
    assert dict(result.records) == {"ok": 3, "skipped: keys of no format": 1, "skipped: not an object": 1}
    assert [line.split(": ")[:2] for line in result.bad_lines] == [
        ["a.jsonl:3", "keys of no format"],
        ["a.jsonl:4", "not an object"],
    ]
    assert [d["path"] for d in _table(tmp_path, "documents") if d["status"] == "skipped"] == ["a.jsonl:3", "a.jsonl:4"]
    assert dict(result.formats) == {"prompt": 2, "text": 1}
    assert [p["document_id"].split(":", 1)[1] for p in _table(tmp_path, "passages")] == ["a.jsonl:5"]


def test_held_out_prompts_become_questions_and_trained_ones_do_not(tmp_path: Path) -> None:
    _records(tmp_path, PAIRS[:3], DatasetConfig(split="test"))
    lines = (tmp_path / "out" / "questions" / "00007.jsonl").read_text().splitlines()
    asked = [json.loads(line) for line in lines]
    assert [(q["question"], q["reference"], q["key_facts"]) for q in asked] == [
        (row["prompt"], row["completion"], [row["completion"]]) for row in PAIRS[:3]
    ]
    _records(tmp_path, PAIRS[:3], DatasetConfig(split="train"))
    assert (tmp_path / "out" / "questions" / "00007.jsonl").read_text() == ""


def test_a_template_that_cannot_be_used_ends_the_job_at_the_first_line_that_needs_it(tmp_path: Path) -> None:
    assert _records(tmp_path, [{"text": "Plain words."}], DatasetConfig(), chat_problem="no template").error == ""
    assert _records(tmp_path, PAIRS[:1], DatasetConfig(), chat_problem="no template").error == "a.jsonl:1: no template"
    turns = [{"role": role, "content": "words"} for role in ("user", "assistant") * 2]
    several = _records(tmp_path, [{"messages": turns}], DatasetConfig(), multi_turn_problem="turns change")
    assert several.error == "a.jsonl:1: turns change"
    assert _records(tmp_path, [{"messages": turns[:2]}], DatasetConfig(), multi_turn_problem="turns change").error == ""
