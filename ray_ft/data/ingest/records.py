"""One line of a dataset to the examples in it, or to the reason why it gives none; reading files is datasets.py's."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ray_ft.data.documents import Record
from ray_ft.rows import REHEARSAL, Example, Message, Role, Split

TOOK_LONG, TOOK_MEMORY = "took too long", "took too much memory"
Format = Literal["messages", "prompt", "text"]
Turns = Literal["together", "apart"]
ROLES: Mapping[str, Role] = {
    "system": "system", "developer": "system", "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "model": "assistant", "bot": "assistant", "ai": "assistant",
    "chatgpt": "assistant", "bard": "assistant",
}  # fmt: skip
TOOL_ROLES = ("tool", "function", "function_call", "observation")
TOOL_KEYS = ("tools", "functions")
NEEDED = "needs `messages`, `conversations`, `prompt` and `completion`, `instruction` and `output`, or `text`"
CHATS = ("messages", "conversations", "conversation")
PAIRS = (
    ("prompt", "completion"), ("instruction", "output"), ("instruction", "response"), ("question", "answer"),
    ("prompt", "response"), ("query", "response"), ("input", "output"),
)  # fmt: skip
GIVENS = ("input", "context")  # what an instruction is about


class BadRecord(ValueError):
    """A line that gives no example: a reason to count by, and what is particular to this line."""

    def __init__(self, reason: str, note: str = "") -> None:
        super().__init__(reason)
        self.reason, self.note = reason, note


@dataclass(frozen=True)
class Origin:
    """Where a line comes from and how its dataset wants it taken."""

    name: str
    dataset: str
    format: Literal["auto", "messages", "prompt", "text", "rehearsal"] = "auto"
    split: Split | None = None
    weight: float = 1.0
    turns: Turns = "together"


def read_line(line: bytes, origin: Origin) -> Record:
    """The record in one line of JSON. Never raises."""
    try:
        value = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return _skipped(origin, BadRecord("not valid UTF-8", f"byte {error.start + 1}"), len(line))
    except (ValueError, RecursionError) as error:
        where = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        where = where or ("nested too deep" if isinstance(error, RecursionError) else "a number of thousands of digits")
        return _skipped(origin, BadRecord("not valid JSON", where), len(line))
    return read_value(value, origin, num_bytes=len(line))


def read_value(value: Any, origin: Origin, *, num_bytes: int) -> Record:
    """The record in one JSON value or row of a table. Never raises."""
    try:
        if not isinstance(value, dict):
            raise BadRecord("not an object", f"{NEEDED}, got {value!r:.40}")
        if origin.format == REHEARSAL:
            return _rehearsed(value, origin, num_bytes)
        there = {key: item for key, item in value.items() if item is not None}  # tables hold null for what is not there
        form, given = _format(there, origin.format)
        if form == "text":
            text = _words(given, "text")
            return _record(origin, form, _key(text), (Example("", text, "", "", form),), num_bytes, text=text)
        messages, note = _conversation(given) if form == "messages" or _is_chat(given["prompt"]) else ((), "")
        if messages:
            tools = any(given.get(key) not in (None, [], "", "[]") for key in TOOL_KEYS)
            note = "; ".join(filter(None, ("tools ignored" if tools else "", note)))
            key = _key(*(f"{m.role}\0{m.content}" for m in messages))
            return _record(origin, form, key, _examples(messages, form, origin.turns), num_bytes, note=note)
        prompt, completion = _words(given, "prompt"), _words(given, "completion")
        return _record(origin, form, _key(prompt, completion), (Example(prompt, completion, "", "", form),), num_bytes)
    except BadRecord as bad:
        return _skipped(origin, bad, num_bytes)


def _format(given: Mapping[str, Any], wanted: str) -> tuple[Format, Mapping[str, Any]]:
    """The format that the dataset names, or that the keys tell, with its keys; BadRecord when these are missing."""
    if wanted in ("auto", "messages") and (chat := next((key for key in CHATS if key in given), None)):
        if chat == "messages":
            return "messages", given
        return "messages", {**given, "messages": _with_system(given[chat], given.get("system"))}
    if wanted in ("auto", "prompt"):
        for asked, answered in PAIRS:
            if asked in given and answered in given:
                return _pair(given, asked, answered)
    if wanted in ("auto", "text") and "text" in given:
        return "text", given
    needed: dict[str, tuple[str, ...]] = {
        "messages": ("messages",), "prompt": ("prompt", "completion"), "text": ("text",)
    }  # fmt: skip
    if wanted != "auto":
        missing = [key for key in needed[wanted] if key not in given]
        raise BadRecord(f"no {' and no '.join(missing)}", f"has {_names(given)}")
    raise BadRecord("keys of no format", f"{NEEDED}, has {_names(given)}")


def _pair(given: Mapping[str, Any], asked: str, answered: str) -> tuple[Format, Mapping[str, Any]]:
    """A question with its answer, whatever the two are called; with what it is about, and what was said before."""
    prompt, completion = given[asked], given[answered]
    about = next((given[key] for key in GIVENS if asked == "instruction" and _is_said(given.get(key))), "")
    if isinstance(prompt, str) and about:
        prompt = f"{prompt}\n\n{about}" if prompt.strip() else about
    history = given.get("history") if asked == "instruction" else None
    if not isinstance(prompt, str) or not (_is_said(given.get("system")) or history):
        return "prompt", {**given, "prompt": prompt, "completion": completion}
    turns = [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
    said = [words for pair in history or () if isinstance(pair, list) and len(pair) == 2 for words in pair]
    earlier = [{"role": ("user", "assistant")[i % 2], "content": words} for i, words in enumerate(said)]
    return "messages", {**given, "messages": _with_system([*earlier, *turns], given.get("system"))}


def _with_system(turns: Any, system: Any) -> Any:
    """A conversation below the system message that its line holds apart from it."""
    turns = _decoded(turns)
    return [{"role": "system", "content": system}, *turns] if _is_said(system) and isinstance(turns, list) else turns


def _is_said(text: Any) -> bool:
    return isinstance(text, str) and bool(text.strip())


def _is_chat(prompt: Any) -> bool:
    """Whether a prompt is a list of messages, as such or as JSON text."""
    return isinstance(_decoded(prompt), list)


def _decoded(value: Any) -> Any:
    """Messages that a table holds as JSON text."""
    if not isinstance(value, str) or not value.lstrip().startswith("[{"):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _names(given: Mapping[str, Any]) -> str:
    return ", ".join(list(map(str, given))[:6]) or "no keys"


def _words(given: Mapping[str, Any], key: str) -> str:
    text = given[key]
    if not isinstance(text, str):
        raise BadRecord(f"{key} is no text", f"{text!r:.40}")
    if not text.strip():
        raise BadRecord(f"{key} is empty")
    return _whole(text, key)


def _whole(text: str, where: str) -> str:
    """The text, unless it holds half of a surrogate pair, as JSON may but no encoding of text does."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadRecord("half a character", f"{where}: character {error.start + 1}") from None
    return text


def _conversation(given: Mapping[str, Any]) -> tuple[tuple[Message, ...], str]:
    """The turns up to the last that is trained on, as what follows teaches nothing; and what had to be left out.

    Of a prompt and a completion that are lists of messages, only the completion is trained on.
    """
    if "messages" in given:
        turns, note = _messages(given["messages"], "messages")
    else:
        asked, note = _messages(given["prompt"], "prompt")
        answer = _decoded(given["completion"])
        if isinstance(answer, str):
            answer = [{"role": "assistant", "content": answer}]
        answered, more = _messages(answer, "completion")
        turns, note = [Message(m.role, m.content) for m in asked] + answered, note or more
    if not any(m.role == "assistant" for m in turns):
        raise BadRecord("no assistant turn")
    trained = [i for i, m in enumerate(turns) if m.trained]
    if not trained:
        raise BadRecord("no trained assistant turn", "all have weight 0")
    return tuple(turns[: trained[-1] + 1]), note


def _messages(value: Any, key: str) -> tuple[list[Message], str]:
    """The turns up to the first that cannot be taken, where an answer stands before it; the note names that one."""
    value = _decoded(value)
    if not isinstance(value, list) or not value:
        raise BadRecord(f"{key} is no list of messages", f"{value!r:.40}")
    turns: list[Message] = []
    for i, given in enumerate(value):
        try:
            turn = _message(given, f"{key}[{i}]")
            if turn.role == "system" and any(m.role != "system" for m in turns):
                raise BadRecord("a system message that is not the first")
        except BadRecord as bad:
            if key == "completion" or not any(m.trained for m in turns):
                raise
            return turns, f"cut before: {bad.reason}"
        if turn.role == "system" and turns:  # two of them say what one would
            turn = Message("system", f"{turns.pop().content}\n\n{turn.content}")
        turns.append(turn)
    return turns, ""


def _message(value: Any, where: str) -> Message:
    if not isinstance(value, dict):
        raise BadRecord("a message is no object", f"{where} is {value!r:.40}")
    given = value.get("role", value.get("from"))
    given = given.lower() if isinstance(given, str) else given
    if given in TOOL_ROLES or value.get("tool_calls") or value.get("function_call"):
        raise BadRecord("tool calls are not supported", where)
    if not isinstance(given, str) or given not in ROLES:
        raise BadRecord("unknown role", f"{where}.role is {given!r:.40}; it must be system, user or assistant")
    role, content = ROLES[given], _content(value.get("content", value.get("value")), where)
    if role == "assistant" and not content.strip():
        raise BadRecord("an empty assistant turn", where)
    weight = value.get("weight")
    if weight is not None and weight not in (0, 1):
        raise BadRecord("a message's weight is neither 0 nor 1", f"{where}.weight is {weight!r:.40}")
    return Message(role, content, trained=role == "assistant" and weight != 0)


def _content(content: Any, where: str) -> str:
    """A text, or the texts of OpenAI's content parts one after another."""
    if isinstance(content, list):
        parts = [p.get("text") if isinstance(p, dict) and p.get("type") == "text" else None for p in content]
        if any(not isinstance(part, str) for part in parts):
            raise BadRecord("content other than text", where)
        return _whole("".join(map(str, parts)), where)
    if not isinstance(content, str):
        raise BadRecord("content is no text", f"{where}.content is {content!r:.40}")
    return _whole(content, where)


def _examples(messages: tuple[Message, ...], form: str, turns: Turns) -> tuple[Example, ...]:
    """The conversation as one example, or one for each trained turn with what stands before it."""
    if turns == "together":
        return (_example(messages, form),)
    ends = [i + 1 for i, message in enumerate(messages) if message.trained]
    return tuple(
        _example((*(Message(m.role, m.content) for m in messages[: end - 1]), messages[end - 1]), form) for end in ends
    )


def _example(messages: tuple[Message, ...], form: str) -> Example:
    question = next((m.content for m in messages if m.role == "user"), "")
    return Example(question, messages[-1].content, "", "", form, messages=messages)


def _record(
    origin: Origin, form: str, key: str, made: tuple[Example, ...], num_bytes: int, *, text: str = "", note: str = ""
) -> Record:
    """A record whose examples are named by file and line, and by the turn where a line gives several."""
    name = origin.name
    document_id = f"{key[:16]}:{name}"
    examples = tuple(
        Example(
            e.prompt, e.completion, name if len(made) == 1 else f"{name}#{i}", document_id, form, messages=e.messages
        )
        for i, e in enumerate(made, start=1)
    )
    return Record(
        name, origin.dataset, num_bytes, origin.split, origin.weight, form, "", note, key, text, examples
    )  # fmt: skip


def _rehearsed(value: dict[str, Any], origin: Origin, num_bytes: int) -> Record:
    """What the base answered to a prompt, as `data/generation/rehearsal` writes it."""
    prompt, completion = str(value["prompt"]), str(value["completion"])
    key = _key(prompt, completion)
    example = Example(
        prompt, completion, origin.name, f"{key[:16]}:{origin.name}", REHEARSAL, "generated", str(value["dropped"]),
        is_cut=bool(value["is_cut"]),
    )  # fmt: skip
    return Record(
        origin.name, origin.dataset, num_bytes, origin.split, origin.weight, REHEARSAL, key=key, examples=(example,)
    )


def _skipped(origin: Origin, bad: BadRecord, num_bytes: int) -> Record:
    return Record(origin.name, origin.dataset, num_bytes, reason=bad.reason, note=bad.note)


def _key(*texts: str) -> str:
    """Equal for contents that differ only in white space, so that duplicates land in one split."""
    return hashlib.sha256("\0\0".join(" ".join(text.split()) for text in texts).encode("utf-8", "replace")).hexdigest()
