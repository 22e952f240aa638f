"""One line of a dataset: what it gives, and the words for what it cannot give."""

import json
from typing import Any

import pytest

from ray_ft.data.documents import Record
from ray_ft.data.ingest.records import Origin, read_line, read_value
from ray_ft.rows import Message

QUESTION = {"role": "user", "content": "When does it leave?"}
ANSWER = {"role": "assistant", "content": "At nine."}


def _read(value: Any, **settings: Any) -> Record:
    return read_line(json.dumps(value).encode(), Origin("chats.jsonl:7", "chats.jsonl", **settings))


def test_a_conversation_is_one_example_whose_assistant_turns_are_trained() -> None:
    record = _read({"messages": [{"role": "system", "content": "Be brief."}, QUESTION, ANSWER, QUESTION, ANSWER]})
    assert (record.reason, record.format, record.dataset) == ("", "messages", "chats.jsonl")
    (example,) = record.examples
    assert [m.trained for m in example.messages] == [False, False, True, False, True]
    assert (example.prompt, example.completion) == ("When does it leave?", "At nine.")
    assert (example.chunk_id, example.document_id) == ("chats.jsonl:7", record.id)


def test_turns_apart_give_an_example_for_each_with_the_earlier_ones_as_prompt() -> None:
    record = _read({"messages": [QUESTION, ANSWER, QUESTION, {**ANSWER, "content": "At ten."}]}, turns="apart")
    assert [len(e.messages) for e in record.examples] == [2, 4]
    assert [[m.trained for m in e.messages] for e in record.examples] == [[False, True], [False, False, False, True]]
    assert [e.chunk_id for e in record.examples] == ["chats.jsonl:7#1", "chats.jsonl:7#2"]
    assert [e.completion for e in record.examples] == ["At nine.", "At ten."]


def test_what_follows_the_last_trained_turn_is_left_out() -> None:
    quiet = {**ANSWER, "weight": 0}
    (example,) = _read({"messages": [QUESTION, ANSWER, QUESTION, quiet, QUESTION]}).examples
    assert example.messages == (Message("user", "When does it leave?"), Message("assistant", "At nine.", True))


def test_prompt_and_completion_are_texts_or_messages() -> None:
    plain = _read({"prompt": "When?", "completion": "At nine."})
    assert (plain.format, plain.examples[0].messages) == ("prompt", ())
    assert (plain.examples[0].prompt, plain.examples[0].completion) == ("When?", "At nine.")
    listed = _read({"prompt": [QUESTION, ANSWER, QUESTION], "completion": [ANSWER]}).examples[0]
    assert [m.trained for m in listed.messages] == [False, False, False, True]


def test_text_is_plain_language_modelling() -> None:
    record = _read({"text": "The ferry.\n", "url": "x"})
    assert (record.format, record.text, record.examples[0].prompt) == ("text", "The ferry.\n", "")


def test_content_parts_of_text_are_joined_and_a_developer_is_a_system() -> None:
    parts = [{"type": "text", "text": "When does "}, {"type": "text", "text": "it leave?"}]
    record = _read(
        {"messages": [{"role": "developer", "content": "Be brief."}, {**QUESTION, "content": parts}, ANSWER]}
    )
    assert record.examples[0].messages[:2] == (Message("system", "Be brief."), Message("user", "When does it leave?"))


def test_tool_definitions_are_ignored_and_said() -> None:
    assert _read({"messages": [QUESTION, ANSWER], "tools": [{"type": "function"}]}).note == "tools ignored"


def test_null_columns_of_a_table_count_as_absent() -> None:
    origin = Origin("a.parquet:1", "a.parquet")
    value = {"messages": None, "prompt": None, "text": "words"}
    assert read_value(value, origin, num_bytes=1).format == "text"
    message = {**ANSWER, "tool_calls": None, "weight": None, "name": None}
    assert read_value({"messages": [QUESTION, message]}, origin, num_bytes=1).reason == ""


def test_copies_that_differ_in_white_space_have_one_key() -> None:
    one, two = _read({"text": "a  b"}), _read({"text": " a b\n"})
    assert one.key == two.key != _read({"text": "a c"}).key
    assert one.id.startswith(one.key[:16])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"messages": [', "not valid JSON: Expecting value at column 15"),
        (b"\xff\xfe", "not valid UTF-8: byte 1"),
        (b"[1, 2]", "not an object: needs `messages`, `conversations`, `prompt` and `completion`, `instruction`"),
        (b'{"prompt": "a", "chosen": "b"}', "keys of no format: needs `messages`, `conversations`, `prompt` and"),
        (b"{}", "has no keys"),
        (b'{"text": " "}', "text is empty"),
        (b'{"text": 3}', "text is no text: 3"),
        (b'{"text": "a \\ud83d b"}', "half a character: text: character 3"),
        (b'{"messages": [{"role": "user", "content": "\\udc00"}]}', "half a character: messages[0]: character 1"),
        (b'{"messages": []}', "messages is no list of messages: []"),
        (b'{"messages": ["hi"]}', "a message is no object: messages[0] is 'hi'"),
        (b'{"messages": [{"role": "owl", "content": "a"}]}', "unknown role: messages[0].role is 'owl'; it must be"),
        (b'{"messages": [{"role": "user", "content": "a"}]}', "no assistant turn"),
        (b'{"messages": [{"role": "assistant", "content": ""}]}', "an empty assistant turn: messages[0]"),
        (b'{"messages": [{"role": "assistant", "content": "a", "weight": 0}]}', "no trained assistant turn"),
        (b'{"messages": [{"role": "assistant", "content": "a", "weight": 2}]}', "weight is neither 0 nor 1"),
        (b'{"messages": [{"role": "tool", "content": "a"}]}', "tool calls are not supported: messages[0]"),
        (b'{"messages": [{"role": "assistant", "tool_calls": [1]}]}', "tool calls are not supported"),
        (b'{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}', "content other than text"),
        (b'{"messages": [{"role": "user", "content": 3}]}', "content is no text: messages[0].content is 3"),
        (
            b'{"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]}',
            "a system message that is not the first",
        ),
    ],
)
def test_a_bad_line_is_named_with_its_reason_and_never_raises(line: bytes, problem: str) -> None:
    record = read_line(line, Origin("chats.jsonl:7", "chats.jsonl"))
    assert record.problem.startswith("chats.jsonl:7: ")
    assert problem in record.problem
    assert record.examples == ()


def test_deep_nesting_is_a_bad_line_like_any_other() -> None:
    assert read_line(b"[" * 200_000, Origin("a:1", "a")).reason == "not valid JSON"


def test_a_named_format_asks_for_its_own_keys() -> None:
    assert _read({"text": "a"}, format="messages").problem == "chats.jsonl:7: no messages: has text"
    assert (
        _read({"prompt": "a", "text": "b"}, format="prompt").problem == "chats.jsonl:7: no completion: has prompt, text"
    )
