"""The rows that flow through Ray Data, as frozen dataclasses; `as_row` and `from_row` make them Arrow-ready dicts."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, Protocol, TypeVar, dataclass_transform, get_args

BlockType = Literal["heading", "paragraph", "list", "code", "table"]
Origin = Literal["source", "extractive", "generated"]
Split = Literal["train", "validation", "test"]
Role = Literal["system", "user", "assistant"]
Stratum = Literal["held_out", "user", "seen", "retention"]
STRATA: tuple[Stratum, ...] = get_args(Stratum)
"""In the order in which questions are asked and figures stand; the first that exists gives the advice."""
Made = TypeVar("Made")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def row(cls: type[Made]) -> type[Made]:
    """A frozen dataclass for millions of rows: the type checker sees to it that nothing changes one.

    A check at run time would take most of the time of making one: 5 microseconds of a definition's, instead of 0.6.
    """
    return dataclass(unsafe_hash=True)(cls)


REHEARSAL: Literal["rehearsal"] = "rehearsal"
"""Recipe of examples, and name of the dataset, in which the base itself answers general prompts."""
MAX_NEW_TOKENS = 512
"""What an answer may take unless a recipe says otherwise."""


class Generate(Protocol):
    """What a recipe may ask of an engine: prompts in, one text for each out, in the same order.

    `schema` is a JSON schema, as text, for the answers of engines that can be held to one; others see it in the prompt
    only. An answer ends after `max_new_tokens`; one that an engine refused to give is "".
    """

    def __call__(self, prompts: list[str], /, *, schema: str = "", max_new_tokens: int = MAX_NEW_TOKENS) -> list[str]:
        """One text for each prompt."""
        ...


CountTokens = Callable[[str], int]
"""Number of tokens of a text under the tokenizer of the model that will be tuned."""


@row
class Block:
    """One structural unit of a document; spans count characters (start <= i < end) and 1-based lines of the text.

    Where the text is the file's own, `byte_start <= i < byte_end` are its bytes in the file, so that whatever is made
    of a block can be traced to them; a parser that rewrites (HTML, PDF, Office) leaves -1 and says the page instead.
    """

    type: BlockType
    text: str
    start: int
    end: int
    line_start: int
    line_end: int
    level: int = 0  # heading depth, 1 is the top; 0 for everything else
    page: int = 0  # 1-based page, slide, sheet or notebook cell; 0 where there are none
    byte_start: int = -1
    byte_end: int = -1


@row
class Definition:
    """A function, method or class of source code; spans are characters of the text and cover whole lines.

    `start` takes in decorators and the comment above that documents it; `body_start` is where the code after the
    header (and after a docstring that stands inside the body) begins.
    """

    name: str  # qualified by what it stands in, e.g. Ferry.board
    kind: str  # function, method or class (struct, trait, ...); in SQL and Terraform table, resource, ...
    start: int
    end: int
    body_start: int
    line_start: int
    line_end: int
    signature: str  # header without body and decorators, white space made single
    docstring: str = ""  # words of the docstring or documentation comment, their marks removed
    enclosing: str = ""  # signature of the class that it stands in
    is_trivial: bool = False  # nothing but pass, ..., a docstring or braces
    head_start: int = 0  # where its decorators or header begin, after the comment above


@row
class Document:
    """One source file after parsing. `id` is sha256(content)[:16] + ":" + path: renames and edits change it."""

    id: str
    text: str
    path: str
    format: str  # markdown, rst, html, text, python, ...
    language: str = ""  # programming language for code, else ""
    blocks: tuple[Block, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    definitions: tuple[Definition, ...] = ()  # of source code, in order


@row
class Chunk:
    """A passage of one document that recipes turn into examples and retrieval indexes."""

    id: str  # "<document id>#<recipe>-<index>"; "passage" for those of the retrieval index
    document_id: str
    text: str
    num_tokens: int
    heading_path: tuple[str, ...] = ()
    start: int = 0  # character span in Document.text
    end: int = 0
    metadata: dict[str, str] = field(default_factory=dict)  # for code: kind, name, signature, docstring


def passage_text(passage: Chunk) -> str:
    """A passage as it is shown to a model: its headings, then its text."""
    headings = " > ".join(passage.heading_path)
    return f"{headings}\n{passage.text}" if headings else passage.text


def user_message(question: str, passages: Sequence[str]) -> str:
    """The bare question, or the passages, numbered, and then the question: in training as in evaluation."""
    if not passages:
        return question
    numbered = "\n\n".join(f"[{i}] {passage}" for i, passage in enumerate(passages, start=1))
    return f"Answer the question with the help of these passages.\n\n{numbered}\n\nQuestion: {question}"


@row
class Message:
    """One turn of a conversation; only an assistant's turn can be trained on."""

    role: Role
    content: str
    trained: bool = False


@row
class Example:
    """One training example; `prompt` is "" for plain language modelling, where every token is a target.

    A conversation has its turns in `messages`, and its first question and last answer as prompt and completion.
    """

    prompt: str
    completion: str
    chunk_id: str
    document_id: str
    recipe: str
    origin: Origin = "source"  # extractive: made by rule from the text; generated: written by an engine
    dropped: str = ""  # why it is left out of training, e.g. an answer that its passage does not support
    messages: tuple[Message, ...] = ()
    evidence: str = ""  # words of the passage that prove a generated answer, as the engine quoted them
    marks: tuple[str, ...] = ()  # special tokens of the tokenizer that stand in the completion, in order, each once
    is_cut: bool = False  # its completion stops where its writer's room ended: nothing may teach to stop there


@row
class Question:
    """One evaluation item.

    `stratum` says whether its document was trained on (`seen`) or held out; `user` marks a user's question about a
    document that the training set does not know, `retention` a general one that the base could answer before. A
    question that the documents do not answer has no reference. `language` is the programming language of a reference
    that is code, and `test` a program that tells whether an answer's code is right. `checks` are what the answer has to
    pass beside its facts, such as `json: name age` (`evaluation/scores/checks.py`): then it is right or wrong as a
    whole.
    """

    id: str
    document_id: str
    chunk_id: str
    question: str
    reference: str
    key_facts: tuple[str, ...] = ()
    kind: str = "definition"
    stratum: Stratum = "held_out"
    origin: Origin = "extractive"
    answerable: bool = True
    language: str = ""
    test: str = ""
    checks: tuple[str, ...] = ()


def stratum_named(name: str) -> str:
    """A stratum's name: files of earlier versions call the user's questions `own`."""
    return "user" if name == "own" else name


Row = TypeVar("Row", Block, Definition, Document, Chunk, Message, Example, Question)


def as_row(row: Any) -> dict[str, Any]:
    """Plain dict of a row: nested rows become dicts, tuples become lists, str maps become sorted key/value lists."""
    plain: dict[str, Any] = {}
    kind: Any = type(row)
    for name in _names(kind):
        value = getattr(row, name)
        if isinstance(value, dict):
            # Arrow would merge the keys of all rows into one struct; pairs keep each row's own.
            plain[name] = [{"key": k, "value": v} for k, v in sorted(value.items())]
        elif isinstance(value, tuple):
            plain[name] = [as_row(v) if dataclasses.is_dataclass(v) else v for v in value]
        else:
            plain[name] = value
    return plain


@cache
def _names(cls: Any) -> tuple[str, ...]:
    return tuple(f.name for f in dataclasses.fields(cls))


def from_row(cls: type[Row], row: Mapping[str, Any]) -> Row:
    """Inverse of `as_row`; columns that `cls` does not know are ignored."""
    values: dict[str, Any] = {}
    for f in dataclasses.fields(cls):
        if f.name not in row:
            continue
        value = row[f.name]
        if f.name == "metadata":
            values[f.name] = {str(p["key"]): str(p["value"]) for p in value}
        elif f.name == "blocks":
            values[f.name] = tuple(from_row(Block, b) for b in value)
        elif f.name == "messages":
            values[f.name] = tuple(from_row(Message, m) for m in value)
        elif f.name == "definitions":
            values[f.name] = tuple(from_row(Definition, d) for d in value)
        elif f.name in ("heading_path", "key_facts", "marks", "checks"):
            values[f.name] = tuple(str(v) for v in value)
        elif f.type is int or f.type == "int":
            values[f.name] = int(value)
        else:
            values[f.name] = value
    return cls(**values)
