"""What an engine is asked to write about a passage, and how its answer is read: JSON where it keeps to it."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypedDict

from ray_ft.recipes.questions.loose_json import values_of, without_thoughts
from ray_ft.rows import MAX_NEW_TOKENS, Chunk
from ray_ft.words import script_language

# A model that repeats itself is made to end: a text that no one would write, and more items than were asked for.
_LINE = {"type": "string", "maxLength": 300}
_TEXT = {"type": "string", "maxLength": 700}
MAX_ROOM = 2048
"""Most tokens that an answer gets: servers refuse what their context cannot hold."""


def _schema(**properties: Any) -> str:
    """Schema of an object that has all these properties and no others."""
    return json.dumps(_object(properties))


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    required = list(properties)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _array(items: dict[str, Any], most: int) -> dict[str, Any]:
    return {"type": "array", "items": items, "maxItems": most}


class Form(TypedDict):
    """What `Generate` is told of an answer beside the question."""

    schema: str
    max_new_tokens: int


def pairs_form(num_questions: int, num_phrasings: int) -> Form:
    """That of `pairs_request`, for at most so many pairs; the longest fit where a token has four characters."""
    rephrasings = _array(_LINE, num_phrasings - 1)
    pair = _object({"question": _LINE, "answer": _TEXT, "evidence": _TEXT, "rephrasings": rephrasings})
    room = max(num_questions * (375 + 75 * num_phrasings), MAX_NEW_TOKENS)
    return Form(schema=_schema(pairs=_array(pair, num_questions)), max_new_tokens=min(room, MAX_ROOM))


def questions_schema(*, num_questions: int) -> str:
    """JSON schema of what `questions_request` asks for."""
    return _schema(questions=_array(_LINE, num_questions))


VERDICT = _schema(supported={"type": "boolean"}, reason=_TEXT)

REPLY = (
    'Reply with JSON alone: {"pairs": [{"question": ..., "answer": ..., '
    '"evidence": the words that prove the answer, copied from the passage, '
)
LINE = re.compile(  # with a number and marks of emphasis or of a heading around it, or none
    r"^[ \t>#*_-]*+(?:\d{1,3}[.)][ \t*_]*+)?(Q(?:uestion)?|A(?:nswer)?|Evidence)[ \t]*+#?\d*+[ \t*_]*+[:.)][*_]*+",
    re.MULTILINE | re.IGNORECASE,
)
TITLE = re.compile(r"^[ \t]*+(?:#{1,6}[ \t]*+|\*\*)(Question|Answer)[ \t]*+\d*+[ \t]*+(?:\*\*)?[ \t]*+$", re.M | re.I)
SEPARATOR = re.compile(r"^[ \t]*+[-*_=]{3,}[ \t]*+$|^[ \t]*+\d{1,3}[.)][ \t]*+$", re.MULTILINE)
EMPHASIS = re.compile(r"\*\*|__")
NUMBER = re.compile(r"^\s*(?:[-*]|Q?\d+[.):])\s*")
SAID = {"true": True, "yes": True, "false": False, "no": False}


@dataclass(frozen=True)
class Pair:
    """A question with its answer, the words that prove it, and other wordings of the question."""

    question: str
    answer: str
    evidence: str = ""
    rephrasings: tuple[str, ...] = ()


def pairs_request(chunk: Chunk, *, num_questions: int, num_phrasings: int) -> str:
    """Asks for questions with grounded answers; a passage is the last thing in a prompt, so that engines share it."""
    more = (
        f'"rephrasings": {num_phrasings - 1} other wording(s) of the question that share few words with it'
        if num_phrasings > 1
        else '"rephrasings": []'
    )
    return (
        f"Write {num_questions} different question(s) that this passage answers, each about another fact and clear to "
        "someone who does not see the passage. Take the words of each answer from the passage, and add nothing."
        f"{_in_its_language(chunk)}\n{REPLY}{more}}}, ...]}}\n\n{passage_of(chunk)}"
    )


def exam_request(chunk: Chunk) -> str:
    """Asks for the one question of an examiner, in other words than `pairs_request`."""
    return (
        "An examiner checks whether someone knows this passage without seeing it. Write one specific question that "
        f"names its subject, and the answer in the words of the passage.{_in_its_language(chunk)}\n"
        f'{REPLY}"rephrasings": []}}]}}\n\n{passage_of(chunk)}'
    )


def questions_request(chunk: Chunk, *, num_questions: int) -> str:
    """Asks for questions that the whole passage answers."""
    return (
        f"Write {num_questions} different question(s) that a reader could ask to be told what this passage says as a "
        f"whole. Name its subject, since the reader has not seen the passage.{_in_its_language(chunk)}\n"
        f'Reply with JSON alone: {{"questions": [...]}}\n\n{passage_of(chunk)}'
    )


def verdict_request(chunk: Chunk, pair: Pair) -> str:
    """Asks whether a passage supports an answer."""
    return (
        "Judge whether the passage says what the answer says, all of it, as an answer to the question. What is only "
        "likely, or known from elsewhere, is not supported.\n"
        'Reply with JSON alone: {"supported": true or false, "reason": ...}\n\n'
        f"Question: {pair.question}\nAnswer: {pair.answer}\n\n{passage_of(chunk)}"
    )


def _in_its_language(chunk: Chunk) -> str:
    """Where the script tells another language than the request's, engines are told to keep to it."""
    return " Write in the language of the passage." if script_language(chunk.text) else ""


def passage_of(chunk: Chunk) -> str:
    """The passage with its headings, as every request shows it."""
    return f"Passage ({' > '.join(chunk.heading_path)}):\n{chunk.text}"


def read_pairs(text: str) -> list[Pair]:
    """The pairs of an engine's text: JSON, with whatever stands around it, or lines that begin with `Q:` and `A:`.

    Thoughts count for nothing. Of JSON that breaks off or is not quite right, the pairs that are whole.
    """
    text = without_thoughts(text)
    found = [
        Pair(
            _line(item.get("question")),
            _words(item.get("answer")),
            _words(item.get("evidence")),
            tuple(filter(None, map(_line, _list(item.get("rephrasings"))))),
        )
        for item in objects_with(text, "question")
    ]
    return [p for p in dict.fromkeys(found or _lines(text)) if _says(p.question) and _says(p.answer)]


def _says(text: str) -> bool:
    """Whether there is anything in it: a form that was repeated has dots."""
    return any(map(str.isalnum, text))


def _lines(text: str) -> list[Pair]:
    """Pairs written as lines that begin with Q: and A:; what follows belongs to the last of them."""
    found: list[Pair] = []
    _, *parts = LINE.split(TITLE.sub(r"\1:", text))
    for mark, words in zip(parts[::2], parts[1::2], strict=True):
        words = EMPHASIS.sub("", SEPARATOR.sub("", words)).strip()
        kind = mark[0].upper()
        if kind == "Q":
            found.append(Pair(" ".join(words.split()), ""))
        elif found and kind == "A":
            found[-1] = replace(found[-1], answer=f"{found[-1].answer}\n{words}".strip())
        elif found:
            found[-1] = replace(found[-1], evidence=words.strip('"“” '))
    return found


def read_questions(text: str) -> list[str]:
    """The questions of an engine's text: JSON, or lines that end with a question mark."""
    text = without_thoughts(text)
    found = [_line(item) for item in _first_list(text, "questions")]
    lines = [NUMBER.sub("", EMPHASIS.sub("", line)).strip() for line in text.split("\n")]
    return [q for q in found if q] or [line for line in lines if line.endswith(("?", "？")) and len(line) > 1]


def read_verdict(text: str) -> bool | None:
    """Whether the judge found an answer supported; None where it said neither."""
    values = values_of(without_thoughts(text), halves=True)  # a reason that was cut takes nothing from the verdict
    verdict = next((item["supported"] for value in values for item in objects_in(value, "supported")), None)
    return verdict if isinstance(verdict, bool) else SAID.get(str(verdict).lower())


def _first_list(text: str, key: str) -> list[Any]:
    """The first list that is not empty below a key, or that stands for itself."""
    for value in values_of(text):
        held = [value, *(item[key] for item in objects_in(value, key))]
        for one in held:
            if isinstance(one, list) and one and not isinstance(one[0], dict | list):
                return one
    return []


def objects_with(text: str, key: str) -> list[dict[str, Any]]:
    """The JSON objects of a text that have a key, one after the other; thoughts count for nothing."""
    return [item for value in values_of(without_thoughts(text)) for item in objects_in(value, key)]


def objects_in(value: Any, key: str) -> Iterator[dict[str, Any]]:
    """The objects in a value that have a key, whatever its case; their keys in lower case."""
    if isinstance(value, dict):
        lowered = {str(name).lower(): member for name, member in value.items()}
        if key in lowered:
            yield lowered
            return
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects_in(one, key)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _line(value: Any) -> str:
    return " ".join(_words(value).split())


def _words(value: Any) -> str:
    """A text without halves of characters, which JSON may spell and UTF-8 may not."""
    return value.encode("utf-8", "replace").decode().strip() if isinstance(value, str) else ""
