"""Lines of chat exports as tools write them: ShareGPT, Alpaca, questions with answers; and what of them is cut."""

import json
from pathlib import Path
from typing import Any

import pytest

from ray_ft.config import DataConfig, DatasetConfig
from ray_ft.data.documents import Record
from ray_ft.data.ingest.datasets import cut_into_slices, list_datasets
from ray_ft.data.ingest.records import Origin, read_line
from ray_ft.errors import DataError

HUMAN, GPT = {"from": "human", "value": "When does it leave?"}, {"from": "gpt", "value": "At nine."}
USER, ANSWER = {"role": "user", "content": "When does it leave?"}, {"role": "assistant", "content": "At nine."}
SAID = [("user", "When does it leave?"), ("assistant", "At nine.")]


def read(value: Any, **settings: Any) -> Record:
    return read_line(json.dumps(value).encode(), Origin("a.jsonl:7", "a.jsonl", **settings))


def turns(record: Record) -> list[tuple[str, str]]:
    (example,) = record.examples
    return [(m.role, m.content) for m in example.messages]


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ({"conversations": [HUMAN, GPT]}, SAID),
        ({"id": "1", "conversations": [HUMAN, GPT], "system": "Be brief.", "tools": "[]"},
         [("system", "Be brief."), *SAID]),
        ({"conversations": [{"from": "system", "value": "Be brief."}, HUMAN, GPT]}, [("system", "Be brief."), *SAID]),
        ({"conversation": [USER, ANSWER]}, SAID),
        ({"conversations": json.dumps([HUMAN, GPT])}, SAID),
        ({"messages": json.dumps([USER, ANSWER])}, SAID),
        ({"messages": [{**USER, "role": "Human"}, {**ANSWER, "role": "GPT"}]}, SAID),
        ({"messages": [{**USER, "role": "USER"}, {**ANSWER, "role": "model"}]}, SAID),
        ({"prompt": [USER], "completion": "At nine."}, SAID),
        ({"prompt": json.dumps([USER]), "completion": json.dumps([ANSWER])}, SAID),
        ({"instruction": SAID[0][1], "output": "At nine.", "system": "Be brief."}, [("system", "Be brief."), *SAID]),
        ({"instruction": SAID[0][1], "output": "At nine.", "history": [["Hi, who is there?", "The desk."]]},
         [("user", "Hi, who is there?"), ("assistant", "The desk."), *SAID]),
        ({"messages": [{"role": "system", "content": "A."}, {"role": "system", "content": "B."}, USER, ANSWER]},
         [("system", "A.\n\nB."), *SAID]),
    ],
)  # fmt: skip
def test_conversations_are_taken_however_their_parts_are_called(value: Any, wanted: list[tuple[str, str]]) -> None:
    record = read(value)
    assert (record.reason, record.note, record.format) == ("", "", "messages" if "prompt" not in value else "prompt")
    assert turns(record) == wanted
    assert [m.trained for m in record.examples[0].messages][-1]


@pytest.mark.parametrize(
    ("value", "prompt"),
    [
        ({"instruction": "Translate to German.", "input": "gate", "output": "Tor"}, "Translate to German.\n\ngate"),
        ({"instruction": "Translate `gate`.", "input": "", "output": "Tor"}, "Translate `gate`."),
        ({"instruction": "Translate.", "context": "gate", "response": "Tor", "category": "x"}, "Translate.\n\ngate"),
        ({"question": "What is a gate?", "answer": "Tor"}, "What is a gate?"),
        ({"prompt": "What is a gate?", "response": "Tor"}, "What is a gate?"),
        ({"query": "What is a gate?", "response": "Tor"}, "What is a gate?"),
        ({"input": "What is a gate?", "output": "Tor"}, "What is a gate?"),
    ],
)
def test_questions_with_answers_are_prompts_with_completions(value: Any, prompt: str) -> None:
    for settings in ({}, {"format": "prompt"}):
        record = read(value, **settings)
        assert (record.reason, record.format) == ("", "prompt")
        assert (record.examples[0].prompt, record.examples[0].completion) == (prompt, "Tor")


@pytest.mark.parametrize(
    ("last", "why"),
    [
        ([{"role": "assistant", "content": ""}], "an empty assistant turn"),
        ([{"role": "assistant", "content": None, "tool_calls": [{}]}, {"role": "tool", "content": "9"}], "tool calls"),
        ([{"role": "system", "content": "Now in German."}, USER, ANSWER], "a system message that is not the first"),
        ([{"role": "owl", "content": "Hu."}], "unknown role"),
    ],
)
def test_a_conversation_is_cut_before_what_cannot_be_taken_and_the_note_says_so(last: list[Any], why: str) -> None:
    record = read({"messages": [USER, ANSWER, USER, *last]})
    assert turns(record) == SAID
    assert record.note.startswith(f"cut before: {why}")
    alone = read({"messages": [USER, *last]})
    assert alone.reason.startswith(why)


def test_pairs_of_preferences_are_no_answers() -> None:
    assert read({"prompt": "a", "chosen": "b", "rejected": "c"}).reason == "keys of no format"


def test_a_line_that_is_broken_off_costs_itself_alone(tmp_path: Path) -> None:
    (tmp_path / "chats.jsonl").write_text('{\n{"messages": []}\n')
    files = list_datasets(DataConfig(datasets=(DatasetConfig(path=str(tmp_path / "chats.jsonl")),)))
    assert len(cut_into_slices(files, slice_bytes=1000)) == 1


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("chats.json", json.dumps([{"conversations": [HUMAN, GPT]}]), "jq -c '.[]' chats.json > chats.jsonl"),
        ("chats.jsonl", json.dumps({"messages": [USER, ANSWER]}, indent=1), "jq -c . chats.jsonl > chats-lines.jsonl"),
        ("chats.json", json.dumps({"messages": [USER, ANSWER]}, indent=4), "jq -c . chats.json > chats.jsonl"),
    ],
)
def test_json_that_is_not_by_lines_is_named_with_what_makes_it_so(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    (tmp_path / name).write_text(text)
    files = list_datasets(DataConfig(datasets=(DatasetConfig(path=str(tmp_path / name)),)))
    with pytest.raises(DataError, match="write an object on each line") as raised:
        cut_into_slices(files, slice_bytes=1000)
    assert words in str(raised.value)
