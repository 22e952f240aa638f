"""User questions: JSON lines, checked one by one; the first bad line is named."""

import difflib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray_ft.errors import ConfigError
from ray_ft.fences import fenced_language
from ray_ft.grammars import GRAMMARS, language_named
from ray_ft.rows import STRATA, Question, Stratum, stratum_named

logger = logging.getLogger(__name__)

KEYS = (
    "question", "reference", "key_facts", "answerable", "document_id", "chunk_id", "id", "kind", "stratum", "language",
    "test", "checks",
)  # fmt: skip


@dataclass(frozen=True)
class SourceDocument:
    """One file of the training set, as evaluation sees it; `text` is empty where it was not asked for."""

    id: str
    path: str
    split: str
    text: str = ""

    @property
    def content(self) -> str:
        """The content's hash, which the id starts with: equal for copies of a file under other names."""
        return self.id.split(":", 1)[0]


def read_user_questions(path: Path, documents: Sequence[SourceDocument]) -> list[Question]:
    """One question per line of JSON; ConfigError names the first line that is not one.

    `question` and `reference` are required, `reference` not where `answerable` is false; `document_id` may be the
    path of a document, as the training set knows it. `language` says that the reference is code, and `test` is a
    program that fails where an answer's code is wrong.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"evaluation.questions: cannot read {path}: {error.strerror}") from None
    by_name = {name: document for document in documents for name in (document.id, document.path)}
    questions: list[Question] = []
    lines: dict[str, int] = {}
    says_own = False
    for number, line in enumerate(raw.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        where = f"evaluation.questions: {path}:{number}"
        value = _parse_line(line, where)
        says_own |= value.get("stratum") == "own"
        question = _user_question(value, number, by_name, where)
        if question.id in lines:
            raise ConfigError(f"{where}: id {question.id!r} is taken by line {lines[question.id]}; ids must differ")
        lines[question.id] = number
        questions.append(question)
    if says_own:
        logger.warning("evaluation.questions: %s: stratum own is called user now", path)
    if not questions:
        raise ConfigError(
            f'evaluation.questions: {path} holds no questions; write {{"question": ..., "reference": ...}}'
        )
    return questions


def _parse_line(line: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError:
        raise ConfigError(f"{where}: not valid UTF-8") from None
    except json.JSONDecodeError as error:
        raise ConfigError(f"{where}: not valid JSON: {error.msg} at column {error.colno}") from None
    if not isinstance(value, dict):
        raise ConfigError(
            f'{where}: expected an object, e.g. {{"question": "...", "reference": "..."}}, got {value!r:.60}'
        )
    return value


def _user_question(value: dict[str, Any], number: int, by_name: dict[str, SourceDocument], where: str) -> Question:
    answerable = value.get("answerable", True)
    if not isinstance(answerable, bool):
        raise ConfigError(f"{where}: answerable is {answerable!r:.60}; it must be true or false")
    text = _text(value, "question", where, required=True)
    reference = _text(value, "reference", where, required=answerable)
    facts = value.get("key_facts") or ([reference] if answerable and not value.get("checks") else [])
    if not isinstance(facts, list) or not all(isinstance(fact, str) and fact.strip() for fact in facts):
        raise ConfigError(f"{where}: key_facts is {facts!r:.60}; it must be a list of texts")
    checks = value.get("checks") or []
    if not isinstance(checks, list) or not all(isinstance(check, str) for check in checks):
        raise ConfigError(f"{where}: checks is {checks!r:.60}; it must be a list of texts")
    language = _language(value, reference, where)
    document = by_name.get(_text(value, "document_id", where))
    stratum = stratum_named(_text(value, "stratum", where)) or _stratum(document)
    if stratum not in STRATA:
        raise ConfigError(f"{where}: stratum is {stratum!r:.60}; it must be one of {', '.join(STRATA)}")
    return Question(
        # The sample is drawn by the hash of the ids: another prefix would ask other questions of a long file.
        id=_text(value, "id", where) or f"own-{number:05d}",
        # A question about an unnamed document stands for itself.
        document_id=document.id if document else _text(value, "document_id", where) or f"line {number}",
        chunk_id=_text(value, "chunk_id", where),
        question=text,
        reference=reference,
        key_facts=tuple(facts),
        kind=_text(value, "kind", where) or "user",
        stratum=stratum,
        origin="source",
        answerable=answerable,
        language=language,
        test=_text(value, "test", where),
        checks=tuple(checks),
    )


def _language(value: dict[str, Any], reference: str, where: str) -> str:
    """The language of a reference that is code, as the line says or as the reference's one fence does."""
    given = _text(value, "language", where)
    language = language_named(given) if given else fenced_language(reference)
    if given and not language:
        raise ConfigError(f"{where}: language is {given!r:.60}; it must be one of {', '.join(GRAMMARS)}")
    if value.get("test") and not language:
        raise ConfigError(f"{where}: test is given without language; say what the code is written in")
    return language


def _stratum(document: SourceDocument | None) -> Stratum:
    """What is known about a question's document: nothing, or on which side of the split it is."""
    if document is None:
        return "user"
    return "seen" if document.split == "train" else "held_out"


def _text(value: dict[str, Any], key: str, where: str, *, required: bool = False) -> str:
    if key not in value or value[key] is None:
        if not required:
            return ""
        near = difflib.get_close_matches(key, [k for k in value if k not in KEYS], n=1)
        hint = f" Did you mean {key!r} where it says {near[0]!r}?" if near else ""
        raise ConfigError(f"{where}: {key!r} is missing; a line needs question and reference.{hint}")
    text = value[key]
    if not isinstance(text, str) or (required and not text.strip()):
        raise ConfigError(f"{where}: {key} is {text!r:.60}; it must be a text" + (" with words" if required else ""))
    return text
