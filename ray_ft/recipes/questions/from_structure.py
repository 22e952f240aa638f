"""Questions that follow from a document's own structure, without a model: one wording to train on, another to ask.

A tuned model is asked about documents it saw in words that it did not see, or the answers would only show its memory.
"""

import re
from dataclasses import dataclass

from ray_ft.recipes.chunking.chunks import clean_title
from ray_ft.recipes.chunking.keywords import keywords
from ray_ft.recipes.questions.wordings import wording_of
from ray_ft.rows import Chunk
from ray_ft.words import num_words

VERBS = """
    add allow apply ask assign avoid build call change check choose clean compare compute configure connect control
    convert copy create customise customize cut debug declare define delete deploy describe detect disable download edit
    enable evaluate execute export extend extract filter find fine-tune fix generate get handle implement import improve
    include inspect install integrate join keep launch learn limit list load log look make manage merge migrate modify
    monitor move open optimize override pack parse pick plan prepare prevent print profile publish pull push read
    recover reduce register release remove rename replace report reset resolve restart restore resume retry return run
    save scale schedule search select send serve set share show simplify skip sort specify split start stop store submit
    switch test trace train tune turn uninstall update upgrade upload use validate verify view wait watch work write
"""
IMPERATIVES = frozenset(VERBS.split())
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
NUMBERING = re.compile(r"^(?:\d+\.)*\d+\.?\s+(?=\S)")
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
    """The wording that the `qa` recipe trains on."""
    if "name" in chunk.metadata:
        return f"What does the {chunk.metadata['kind']} `{chunk.metadata['name']}` in {chunk.metadata['path']} do?"
    title, topic, document = _topic(chunk)
    if title.endswith(ASKED) and not _instruction(title):
        return title
    if step := _instruction(title):
        return f"How do I {step}?"
    return wording_of(chunk.text).trained.format(document=document, topic=topic)


def evaluation_question(chunk: Chunk) -> str:
    """The wording that evaluation asks; for no chunk the same as `training_question`."""
    if "name" in chunk.metadata:
        kind, name, path = (chunk.metadata[key] for key in ("kind", "name", "path"))
        return f"Describe the purpose of the {kind} `{name}` ({path})."
    title, topic, document = _topic(chunk)
    wording = wording_of(chunk.text)
    if title.endswith(ASKED) and not _instruction(title):
        return wording.title.format(document=document, topic=title)
    if step := _instruction(title):
        return f"Which steps does “{document}” give to {step}?"
    return wording.asked.format(document=document, topic=topic)


def reference_answer(chunk: Chunk) -> str:
    """What a short, correct answer says: the docstring, or the section's leading prose; "" for too little."""
    text = (
        chunk.metadata.get("docstring", "").split("\n\n")[0] if "name" in chunk.metadata else leading_prose(chunk.text)
    )
    text = one_line(text)
    return text if MIN_REFERENCE_WORDS <= num_words(text) <= 2 * MAX_REFERENCE_WORDS else ""


def question_kind(chunk: Chunk) -> str:
    """`summarise` for code; `procedure`, `list` or `definition` for documents."""
    if "name" in chunk.metadata:
        return "summarise"
    title = _topic(chunk)[0]
    if _instruction(title):
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


def _topic(chunk: Chunk) -> tuple[str, str, str]:
    """Title of the passage, the topic in words, and the document's title."""
    path = [clean_title(p) for p in chunk.heading_path] or [chunk.metadata.get("path", "the document")]
    title, document = NUMBERING.sub("", path[-1]), NUMBERING.sub("", path[0])
    if len(path) == 1:
        found = keywords(chunk.text, 2)
        return title, wording_of(chunk.text).both.join(found) if found else "its subject", document
    return title, f"{title} ({NUMBERING.sub('', path[-2])})" if len(path) > 2 else title, document


def _instruction(title: str) -> str:
    """`Install Ray` or `How to install Ray` as `install Ray`; "" for titles that tell nobody to do something."""
    words = title.removeprefix("How to ").removeprefix("How To ").rstrip("?").split()
    is_told = len(words) > 1 and (len(words) < len(title.split()) or words[0].lower() in IMPERATIVES)
    return " ".join([words[0].lower(), *words[1:]]) if is_told else ""


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
