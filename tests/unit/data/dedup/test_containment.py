"""What is no near duplicate and yet the same: conversations' lines, a page in another, sections that come again."""

import random
from dataclasses import replace
from typing import Any

import numpy as np

from ray_ft.data.build.packing import Edged
from ray_ft.data.build.repeats import REPEATED, without_repeated
from ray_ft.data.dedup.clusters import Placing, place
from ray_ft.data.dedup.heads import SECTION, Head, heads_of, sections_of
from ray_ft.data.dedup.placements import Placement
from ray_ft.data.dedup.splits import Bounds, content_key
from ray_ft.data.documents import ReadFile, Record, SourceFile
from ray_ft.data.formats.text import parse_text
from ray_ft.overlap import Runs
from ray_ft.rows import Document, Example, Message

HOW = Placing(Bounds.of(validation_fraction=0.15, test_fraction=0.15), seed=0)
SUPPORT = "Open a ticket in the portal and name the serial number. The desk answers within one working day."


def placed(heads: list[Head], texts: list[str], how: Placing = HOW) -> list[Placement]:
    return place(heads, how=how, text_of=texts.__getitem__).all


def chat(name: str, *turns: str) -> Record:
    roles = ("user", "assistant")
    messages = tuple(Message(roles[i % 2], turn, trained=bool(i % 2)) for i, turn in enumerate(turns))  # type: ignore[arg-type]
    example = Example(turns[0], turns[-1], "", "", "chat", messages=messages)
    return Record(name, "d", 9, key=content_key(str(turns)), examples=(example,))


def heads_of_records(records: list[Record]) -> list[Head]:
    return list(heads_of(records, Runs({})))


def test_lines_of_one_conversation_share_a_split() -> None:
    turns = {i: [f"Customer {i} asks question {j} about boat {i}." if j % 2 == 0 else f"Answer {j} of boat {i}."
                 for j in range(6)] for i in range(60)}  # fmt: skip
    records = [chat(f"d:{i}-{size}", *turns[i][:size]) for i in turns for size in (2, 4, 6)]
    made = placed(heads_of_records(records), [""] * len(records))
    splits = {i: {made[3 * i + j].split for j in range(3)} for i in turns}
    assert all(len(found) == 1 for found in splits.values())
    assert len({next(iter(found)) for found in splits.values()}) == 3  # each split has some


def test_answers_to_one_question_share_a_split_and_a_greeting_joins_nothing() -> None:
    again = [chat(f"d:{i}-{j}", f"How do I reset device {i}?", f"Hold the button for {j} seconds.")
             for i in range(40) for j in range(3)]  # fmt: skip
    made = placed(heads_of_records(again), [""] * len(again))
    assert all(len({made[3 * i + j].split for j in range(3)}) == 1 for i in range(40))
    plain = [Record("d:p", "d", 9, key="a", examples=(Example("How do I reset device 1?", "Hold it.", "", "", "p"),))]
    assert heads_of_records(plain)[0].thread == heads_of_records(again)[3].thread != 0
    greetings = [chat(f"d:{i}", "Hi", "Hello!", f"My boat {i} is late.", "Sorry.") for i in range(40)]
    assert len({head.thread for head in heads_of_records(greetings)}) == 40


def words(seed: int, number: int) -> str:
    draw = random.Random(seed)
    return " ".join(f"word{draw.randrange(10_000)}" for _ in range(number))


def file(name: str, text: str) -> ReadFile:
    document = Document(name, text, name, "text", blocks=tuple(parse_text(text).blocks))
    return ReadFile(SourceFile(name, name, len(text)), "ok", sha256=name, document=document)


def test_a_page_that_stands_in_a_longer_one_is_left_out() -> None:
    page = "\n\n".join(words(i, 30) for i in range(3))
    texts = [page, "\n\n".join([page, *(words(i, 30) for i in range(10, 22))]), words(99, 90)]
    files = [file(f"{i}.txt", text) for i, text in enumerate(texts)]
    made = placed(list(heads_of(files, Runs({}))), texts)
    # a fifth of the longer one: far from near duplicates
    assert (made[0].reason, made[0].note) == ("near copy of another file", "of 1.txt")
    assert made[0].split == made[1].split
    assert made[2].reason == made[1].reason == ""
    kept = placed(list(heads_of(files, Runs({}))), texts, replace(HOW, deduplicate="exact"))
    assert not any(one.reason for one in kept)


def test_a_section_that_comes_again_is_given_once_and_in_training() -> None:
    texts = [f"{words(i, 60)}\n\n{SUPPORT}" for i in range(60)]
    files = [file(f"{i:02d}.txt", text) for i, text in enumerate(texts)]
    made = placed(list(heads_of(files, Runs({}))), texts)
    keepers = [one.split for one in made if not one.repeated]
    assert keepers == ["train"]
    assert {one.split for one in made} == {"train", "validation", "test"}
    assert not any(one.reason for one in made)
    assert not any(
        one.repeated for one in placed(list(heads_of(files, Runs({}))), texts, replace(HOW, deduplicate="none"))
    )

    document = files[0].document
    assert document is not None
    (own, support) = sections_of(document)
    edged = [
        Edged(Example("", document.text[s.start : s.end], "c", "d", "paragraph"), False, span=(s.start, s.end))
        for s in (own, support)
    ] + [Edged(Example("", document.text, "c", "d", "paragraph"), True, span=(0, len(document.text)))]
    left = without_repeated(edged, document, (support.key,))
    # the whole page is mostly its own
    assert [one.example.dropped for one in left] == ["", REPEATED, ""]


def test_sections_are_counted_without_holding_documents_against_each_other() -> None:
    def head(i: int, **settings: Any) -> Head:
        sections = np.array([(j, 120) for j in (i, i + 1, 7_000_000)], dtype=SECTION).tobytes()
        return Head(f"{i}", f"{i:09d}", 60, True, True, sections=sections, **settings)

    made = placed([head(i) for i in range(3_000)], [""] * 3_000)
    assert sum(7_000_000 not in one.repeated for one in made) == 1
