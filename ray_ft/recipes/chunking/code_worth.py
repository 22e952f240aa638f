"""Which definitions are worth being asked for: not those that hold nothing which their name does not tell."""

import re
from collections.abc import Mapping

from ray_ft.recipes.chunking.summaries import name_words, summary_of
from ray_ft.rows import Definition, Document
from ray_ft.words import num_words

MIN_SUMMARY = 3  # words of a summary that asks by itself
MIN_TOLD = 6  # words of one that says more than a plain body
MIN_TEST_NAME = 3  # words of the name of a test that nothing else tells of
MIN_TEST_LINES = 2
ENDS = frozenset({"", "{", "}", "};", "});", "})", "end"})
SHELLS = frozenset({"module", "namespace"})  # hold a file's classes
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
    docstring = known.get("docstring", "")
    if definition.kind not in ("function", "method", "class"):
        return True
    if known["kind"] in SHELLS and not has_functions(document, definition):
        return False
    if _is_special(definition):
        return True
    if is_plain(document, definition):
        return num_words(summary_of(docstring)) >= MIN_TOLD
    if docstring or known.get("comments"):
        return True
    is_test = TEST.match(definition.name.rpartition(".")[2]) is not None or known["kind"] == "test"
    if definition.kind != "class" and not is_test and (known.get("calls") or known.get("callers")):
        return True
    code = document.text[definition.body_start : definition.end]
    lines = sum(1 for line in code.split("\n") if line.strip() not in ENDS)
    if not is_test:
        return lines > 1
    words = [w for w in name_words(definition.name.rpartition(".")[2]) if w != "test"]
    return lines >= MIN_TEST_LINES and len(words) >= MIN_TEST_NAME


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
