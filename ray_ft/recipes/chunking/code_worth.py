"""Which definitions are worth being asked for: not those that hold nothing which their name does not tell."""

import re
from collections.abc import Mapping

from ray_ft.recipes.chunking.summaries import name_words, news_of, summary_of
from ray_ft.rows import Definition, Document

MIN_SUMMARY = 3  # words of a summary that asks by itself
MIN_TEST_NAME = 3  # words of the name of a test that nothing else tells of
MIN_TEST_LINES = 4
MIN_LINES, MIN_WORDS = 3, 10  # of a function that nothing tells of but its name
MIN_TOLD = 8  # words that are told of a function beside its name, where its body says nothing
MIN_LINES_ALONE = 12  # where nothing of its file uses it or is used by it
MIN_OF_LINE = 7  # words of a function of one line, and of what is told beside its name
MAX_BARE_CLASS = 5  # lines of a class that nothing tells of but its name
MAX_LOOKED_AT = 1500  # characters of code that may be short
WORD = re.compile(r"[^\W\d]\w*+")
HASH, DASH = ("#",), ("--",)
COMMENTS = {
    **dict.fromkeys(("python", "ruby", "bash", "perl", "terraform"), HASH),
    **dict.fromkeys(("lua", "sql"), DASH),
}
ENDS = frozenset({"", "{", "}", "};", "});", "})", "end"})
SHELLS = frozenset({"module", "namespace"})  # hold a file's classes
FIXTURE = re.compile(r"(?:set|tear)_?(?:up|down)(?:_?(?:class|method|module|function|test|all|each))?", re.IGNORECASE)
TEST = re.compile(r"_?test", re.IGNORECASE)
MAX_PLAIN = 300  # characters of a body
_PATH = r"[&*!]?+[$@]{0,2}+\w++(?:(?:\.|->|::|\?\.|:)[$@]?+\w++)*+[?!]?+"
_VALUE = rf"""(?:{_PATH}|-?[\d.]++\w*+|"[^"\n]*+"|'[^'\n]*+'|`[^`\n]*+`|\[\]|\{{\}}|\(\)|array\(\))"""
PLAIN = re.compile(
    rf"[\s{{:=>]*+(?:(?:return|yield)\b[ ]*+)?+(?:(?:{_PATH}\s*+=\s*+{_VALUE}[\s;]*+)++(?:(?:return[ ]++)?{_PATH})?+"
    rf"|(?:\+\+|--){_PATH}|{_PATH}(?:\+\+|--)"
    r"|(?:throw|raise)\b[ ]*+(?:new\b)?+[ ]*+\w{0,40}?(?:NotImplemented|Unsupported|NotSupported)\w*+(?:\([^()]*+\))?+"
    rf"|(?:panic|todo|unimplemented|unreachable)!?+\([^()]*+\)|{_VALUE})?+[\s;}})]*+(?:end\b)?+[\s;}})]*+"
)


def is_worth(document: Document, definition: Definition, known: Mapping[str, str]) -> bool:
    """Whether a definition's metadata ask for something: code or words that are more than its name."""
    if definition.kind not in ("function", "method", "class"):
        return True
    if known["kind"] in SHELLS and not has_functions(document, definition):
        return False
    if known.get("docstring") or known.get("comments"):
        return tells(document, definition, known.get("docstring", ""))
    is_used = bool(known.get("calls") or known.get("callers"))
    if FIXTURE.fullmatch(definition.name.rpartition(".")[2]) or (definition.kind == "class" and not is_used):
        return False
    is_long = definition.end - definition.body_start > MAX_LOOKED_AT
    code = [] if is_long else statements(document, definition)
    if definition.kind == "class":
        return is_long or len(code) > (MAX_BARE_CLASS if known["kind"] == "class" else 1)
    if TEST.match(definition.name.rpartition(".")[2]) is not None or known["kind"] == "test":
        words = [w for w in name_words(definition.name.rpartition(".")[2]) if w != "test"]
        is_placed = is_used or bool(known.get("enclosing"))
        return is_placed and len(words) >= MIN_TEST_NAME and (is_long or len(code) >= MIN_TEST_LINES)
    if is_long or len(code) < (MIN_LINES if is_used else MIN_LINES_ALONE):
        return is_long
    return sum(len(WORD.findall(line)) for line in code) >= MIN_WORDS


def tells(document: Document, definition: Definition, docstring: str) -> bool:
    """Whether code and what is told of it are more than its name says twice."""
    if definition.kind == "class" or definition.end - definition.body_start > MAX_PLAIN:
        return True
    if is_plain(document, definition):
        return news_of(summary_of(docstring), definition.name) >= MIN_TOLD
    code = statements(document, definition)
    if len(code) > 1:
        return True
    num_words = len(WORD.findall(" ".join(code)))
    return num_words >= MIN_OF_LINE or num_words + news_of(summary_of(docstring), definition.name) >= MIN_OF_LINE


def statements(document: Document, definition: Definition) -> list[str]:
    """The lines of a definition's code, without brackets alone and comments."""
    marks = COMMENTS.get(document.language, ("//", "/*", "* ", "*/"))
    lines = map(str.strip, document.text[definition.body_start : definition.end].split("\n"))
    return [line for line in lines if line not in ENDS and not line.startswith(marks)]


def has_functions(document: Document, definition: Definition) -> bool:
    """Whether a module holds functions itself, not only classes and other modules."""
    inside = f"{definition.name}."
    return any(d.kind != "class" and d.name.rpartition(".")[0] + "." == inside for d in document.definitions)


def is_plain(document: Document, definition: Definition) -> bool:
    """Whether a function only gives, sets or counts a field, gives a literal, or says that it is to be written.

    Operators and Python's special methods, which say what others see of an object, are never plain.
    """
    code = document.text[definition.body_start : min(definition.end, definition.body_start + MAX_PLAIN + 1)]
    is_function = definition.kind in ("function", "method") and not _is_special(definition)
    return is_function and len(code) <= MAX_PLAIN and PLAIN.fullmatch(code) is not None


def _is_special(definition: Definition) -> bool:
    """An operator, or a special method of Python's that is more than a constructor."""
    own = definition.name.rpartition(".")[2]
    return own.startswith("operator") or (own.startswith("__") and own.endswith("__") and own != "__init__")
