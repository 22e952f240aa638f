"""Questions that follow from a document's own structure, without a model: one wording to train on, another to ask.

A tuned model is asked about documents it saw in words that it did not see, or the answers would only show its memory.
"""

import re
from dataclasses import dataclass

from ray_ft.recipes.chunking.keywords import keywords
from ray_ft.recipes.chunking.summaries import answers
from ray_ft.recipes.questions.orders import as_asked, lacks_object, order_of
from ray_ft.recipes.questions.topics import Topic, topic_of
from ray_ft.recipes.questions.usual import USUAL, of_its_document, usual_question
from ray_ft.recipes.questions.wordings import ENGLISH, wording_of
from ray_ft.rows import Chunk
from ray_ft.words import num_words

MAX_REFERENCE_WORDS = 80
MIN_REFERENCE_WORDS = 5
IDENTIFIER = re.compile(
    r"(?<!\w)--?[a-z][\w-]+(?:=\S+)?"
    r"|\b[A-Za-z](?:\w*+(?:\.[A-Za-z]\w*+)++|(?=\w*?_[A-Za-z])\w*+)(?:\(\))?"
    r"|\b[a-z]+[A-Z]\w*|\b[A-Z][a-z0-9]+[A-Z]\w*|\b[A-Z][A-Z0-9_]{2,}\b"
)
NUMBER = re.compile(
    r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?:\s?(?:%|(?:[KMGT]i?B|ms|s|seconds?|minutes?|hours?|days?|tokens?|bytes?)\b))?"
)
SENTENCE_END = re.compile(r"(?<=[.!?])(?<!\d\.)\s+(?=[A-Z`\"'(])|(?<=[。！？។။])\s*+")
WIDE = "\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff01-\uff60"
BETWEEN_WIDE = re.compile(f"(?<=[{WIDE}]) (?=[{WIDE}])")
ASKED = ("?", "？")
CODE_SPAN = re.compile(r"(?<!`)`{1,2}([^`\n]{2,60})`{1,2}(?!`)")


@dataclass(frozen=True)
class QuestionAnswer:
    """A question with the answer that the source gives, and the questions' kind."""

    question: str
    answer: str
    kind: str


def training_question(chunk: Chunk) -> str:
    """The wording that the `qa` recipe trains on; "" for a heading that nobody could ask about, and where none is."""
    if "name" in chunk.metadata:
        kind, name, path = (chunk.metadata[key] for key in ("kind", "name", "path"))
        is_function = kind in ("function", "method", "test", "procedure", "trigger")
        return (
            f"What does the {kind} `{name}` in {path} do?" if is_function else f"What is the {kind} `{name}` in {path}?"
        )
    topic = topic_of(chunk)
    if topic is None:
        return ""
    wording = wording_of(chunk)
    if wording is ENGLISH and (step := order_of(topic.title)):
        asked = f"ow do I {as_asked(step)}?"
        return f"According to “{topic.document}”, h{asked}" if lacks_object(step) else f"H{asked}"
    if topic.title.endswith(ASKED):
        return of_its_document(topic)
    if not topic.is_told:
        return ""
    if topic.title.lower() in USUAL and (wording is ENGLISH or "part" in chunk.metadata):
        return usual_question(chunk) if wording is ENGLISH else ""
    if topic.within:
        return wording.within.format(within=topic.within, document=topic.document, topic=topic.title)
    return question_about(topic, chunk)


def question_about(topic: Topic, chunk: Chunk) -> str:
    """What a passage's document says about a topic, asked in the passage's language."""
    return wording_of(chunk).trained.format(document=topic.document, topic=topic.words)


def evaluation_question(chunk: Chunk) -> str:
    """The wording that evaluation asks, never that of `training_question`; "" where that is."""
    if "name" in chunk.metadata:
        kind, name, path = (chunk.metadata[key] for key in ("kind", "name", "path"))
        return f"Describe the purpose of the {kind} `{name}` ({path})."
    topic, wording = topic_of(chunk), wording_of(chunk)
    if topic is None:
        return ""
    if wording is ENGLISH and (step := order_of(topic.title)):
        return f"Which steps does “{topic.document}” give to {step}?"
    if topic.title.endswith(ASKED):
        return wording.title.format(document=topic.document, topic=topic.title)
    return wording.asked.format(document=topic.document, topic=topic.words)


def reference_answer(chunk: Chunk) -> str:
    """What a short, correct answer says: the docstring, or the section's leading prose; "" for too little."""
    docstring = chunk.metadata.get("docstring", "")
    if "name" in chunk.metadata and not answers(docstring, chunk.metadata["name"]):
        return ""
    text = one_line(docstring.split("\n\n")[0] if "name" in chunk.metadata else leading_prose(chunk.text))
    return text if MIN_REFERENCE_WORDS <= num_words(text) <= 2 * MAX_REFERENCE_WORDS else ""


def question_kind(chunk: Chunk) -> str:
    """`summarise` for code; `procedure`, `list` or `definition` for documents."""
    if "name" in chunk.metadata:
        return "summarise"
    topic = topic_of(chunk)
    if topic is not None and order_of(topic.title):
        return "procedure"
    is_list = re.search(r"^[ \t]*+(?:[-*+]|\d+[.)])\s", reference_lines(chunk.text), re.MULTILINE)
    return "list" if is_list else "definition"


def leading_prose(text: str) -> str:
    """The first paragraphs of a passage, up to MAX_REFERENCE_WORDS words at a sentence's end; no code, no tables."""
    return one_line(reference_lines(text))


def reference_lines(text: str) -> str:
    """As `leading_prose`, with its lines kept apart."""
    kept: list[str] = []
    total = 0
    for paragraph in re.split(r"\n[ \t]*\n", _without_code(text)):
        lines = paragraph.strip().split("\n")
        if not lines[0] or any(line.lstrip().startswith(("|", "+--", "===", "..", ">>>")) for line in lines):
            continue
        if re.match(r"#{1,6}\s|[=\-~^\"'*#+]{4,}$", lines[0]) or " | " in lines[0]:
            continue
        for piece in _sentences(paragraph.strip()):
            size = num_words(piece)
            if total + size > MAX_REFERENCE_WORDS:
                return "\n".join(kept)
            kept.append(piece)
            total += size
        if total >= MAX_REFERENCE_WORDS / 4 and not kept[-1].endswith(":"):
            break
    return "\n".join(kept)


def key_facts(reference: str, max_facts: int = 5) -> tuple[str, ...]:
    """Details that a correct answer names: code words, identifiers, numbers, then key phrases of it."""
    spans = [m.group(1).strip() for m in CODE_SPAN.finditer(reference)]
    details = [m.group(0).strip(" ,.") for p in (IDENTIFIER, NUMBER) for m in p.finditer(reference)]
    facts: list[str] = []
    phrases = sorted(keywords(reference, 2 * max_facts), key=lambda phrase: " " not in phrase)  # single words last
    for fact in [*spans, *details, *phrases]:
        known = any(fact.lower() in other.lower() or other.lower() in fact.lower() for other in facts)
        if fact and not known and len(facts) < max_facts and fact.lower() in reference.lower():
            facts.append(fact)
    return tuple(facts)


def _without_code(text: str) -> str:
    return re.sub(r"^(```|~~~).*?(?:^\1|\Z)", "", text, flags=re.DOTALL | re.MULTILINE)


def _sentences(paragraph: str) -> list[str]:
    """Sentences of a paragraph; items of a list stay apart."""
    items = re.split(r"\n(?=[ \t]*+(?:[-*+]|\d+[.)])\s)", paragraph)
    return [s.strip() for item in items for s in SENTENCE_END.split(one_line(item)) if s.strip()]


def one_line(text: str) -> str:
    """A text without line ends, which are spaces but for those between characters of scripts without any."""
    line = " ".join(text.split())
    return line if line.isascii() else BETWEEN_WIDE.sub("", line)
