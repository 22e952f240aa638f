"""Rows on disk and on their way: what was written is read as it was, and nothing else is taken for it."""

import json
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ray_ft.data.build.job import Placed
from ray_ft.data.dedup.heads import Head
from ray_ft.data.dedup.placements import Placement
from ray_ft.data.documents import ReadFile, Record, SourceFile
from ray_ft.data.formats.base import Parsed
from ray_ft.data.ingest.datasets import DatasetFile, Slice
from ray_ft.data.ingest.items import Todo
from ray_ft.data.ingest.records import Origin
from ray_ft.data.run.journal import Ref
from ray_ft.data.run.typed import Malformed, dump, load
from ray_ft.rows import Block, Definition, Document, Example, Message

FILE = SourceFile("docs/größe \ud83d.md", "/docs/gr\udcc3.md", 12)
DOCUMENT = Document(
    "id:a.md", "# Ferry\n\n\u2028 🚢", "a.md", "markdown", blocks=(Block("heading", "Ferry", 2, 7, 1, 1, 1),),
    metadata={"title": "Ferry"}, definitions=(Definition("f", "function", 0, 1, 1, 1, 1, "f()", is_trivial=True),),
)  # fmt: skip
READ = ReadFile(FILE, "ok", document=DOCUMENT, redacted=(("email", 2),))
PART = Slice(DatasetFile("a.jsonl", "/a.jsonl", "lines", Origin("a", "d", split="test"), ((3, 4),)), 0, 9, 1)
EXAMPLE = Example("Why?", "So.", "c", "d", "prompt", messages=(Message("user", "Why?"),), marks=("<f>",))
RECORD = Record("a:1", "d", 3, split=None, weight=2, examples=(EXAMPLE,))
HEAD = Head("a.md", "k", 3, True, True, signature=b"\0\xff")
VALUES: list[tuple[Any, Any]] = [
    (list[ReadFile], [READ, ReadFile(FILE, "skipped", "binary")]),
    (list[Record], [RECORD]),
    (list[Todo], [Todo(b"\0" * 32, FILE, "c"), Todo(b"\1" * 32, PART)]),
    (list[Placed], [Placed(FILE, Ref("/j", 1, 2, 3), (Placement("train"),)), Placed(PART, None, ())]),
    (tuple[Head, ...], (HEAD, HEAD._replace(given="test"))),
    (Parsed, Parsed("t", DOCUMENT.blocks, {"a": "b"})),
    (tuple[str, str], ("run", "")),
    (str, "an answer \ud800"),
]


@pytest.mark.parametrize(("kind", "value"), VALUES, ids=str)
def test_what_is_read_is_what_was_written(kind: Any, value: Any) -> None:
    assert load(kind, dump(value)) == value


def test_nothing_of_another_shape_is_read() -> None:
    for kind, _ in VALUES:
        for other, wrong in VALUES:
            if kind is not other:
                with pytest.raises(Malformed):
                    load(kind, dump(wrong))


@pytest.mark.parametrize(
    "wrong",
    [
        replace(READ, status="fine"), replace(READ, reason=None), replace(READ, document=FILE),
        replace(READ, file=replace(FILE, num_bytes="12")), replace(READ, redacted=(("email", True),)),
        replace(READ, document=replace(DOCUMENT, blocks=(replace(DOCUMENT.blocks[0], type="exec"),))),
        replace(READ, document=replace(DOCUMENT, metadata={"a": 1})),
    ],
)  # fmt: skip
def test_a_field_of_another_type_is_refused_in_one_line(wrong: ReadFile) -> None:
    with pytest.raises(Malformed, match="is no") as caught:
        load(list[ReadFile], dump([wrong]))
    assert "\n" not in str(caught.value)


def test_any_bytes_are_refused_or_read_and_never_anything_else() -> None:
    draw = random.Random(0)
    whole = dump([READ])
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(draw.randrange(1, 4)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        try:
            found = load(list[ReadFile], bytes(data[: draw.randrange(len(data) + 1)] if draw.random() < 0.2 else data))
        except Malformed:
            continue
        assert all(type(one) is ReadFile and type(one.file.num_bytes) is int for one in found)
    for data in (b"", b"[" * 100_000, json.dumps({"py/object": "os.system"}).encode()):
        with pytest.raises(Malformed):
            load(list[ReadFile], bytes(data))


RUNS_WHAT_IT_READS = re.compile(
    r"^\s*(?:import|from)\s[^#\n]*\b(?:pickle|cloudpickle|marshal|shelve|dill|joblib)\b|allow_pickle=True|read_pickle|yaml\.load\(",
    re.MULTILINE,
)


def test_no_module_of_the_package_knows_formats_that_run_what_they_hold() -> None:
    assert RUNS_WHAT_IT_READS.search("def f():\n    from ray import cloudpickle\n")
    modules = list((Path(__file__).parents[4] / "ray_ft").rglob("*.py"))
    assert len(modules) > 200
    for module in modules:
        text = module.read_text()
        assert not RUNS_WHAT_IT_READS.search(text), module
        loads = re.findall(r"torch\.load\((?:[^()]|\([^()]*\))*\)", text)
        assert len(loads) == text.count("torch.load(")
        assert all("weights_only=True" in call for call in loads), module
