"""Functions, methods and classes of source code as spans that know what a recipe has to tell about them."""

import re
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache

from ray_ft.recipes.chunking.chunks import Span
from ray_ft.recipes.chunking.doc_marks import without_marks
from ray_ft.recipes.chunking.pieces import MAX_CHARACTERS_PER_TOKEN, exact_counter, trim
from ray_ft.recipes.chunking.summaries import told
from ray_ft.recipes.chunking.uses import Place, Uses, place_of, uses_of
from ray_ft.rows import Chunk, CountTokens, Definition, Document

COMMENT = re.compile(r"^[ \t]*+//[#/!: \t]*+(.+)$", re.MULTILINE)
HASH_COMMENT = re.compile(r"^[ \t]*+(?:#(?!\[|\w++;)|//)[#/!: \t]*+(.+)$", re.MULTILINE)
DASH_COMMENT = re.compile(r"^[ \t]*+--++(?!\[)[-!: \t]*+(.+)$", re.MULTILINE)
HASH_LANGUAGES = frozenset(
    {"python", "ruby", "bash", "php", "terraform"}
)  # elsewhere # begins directives and private members
DASH_LANGUAGES = frozenset({"lua", "sql"})
DIRECTIVE = re.compile(
    r"(?:type:|noqa|pragma|fmt:|mypy:|pylint|ruff:|eslint|clang-format|nolint|include\b|define\b|if|end|else)"
)
TEST_MACRO = re.compile(r"(?:\w{1,60}_)?TEST\w{0,60} ?\(")  # of C++
CLASS_WORD = re.compile(
    r"(?<![\w.@])(?:class|interface|struct|enum|trait|union|module|record|namespace|protocol|extension|actor|object)\b"
)
ANNOTATIONS = re.compile(r"\A(?:@[\w.]++(?:\((?:[^()\"]|\"[^\"]*+\")*+\))?+ )++(?=\w)")  # of a class that is not shown
DIRECTIVE_LINE = re.compile(
    r"^#[ \t]*(?:if|ifdef|ifndef|else|elif|endif|define|undef|include|pragma|error|region)\b", re.MULTILINE
)
MAX_COMMENTED = 20_000  # characters of a definition whose comments are looked for
MAX_CALLERS = 5


def definition_spans(
    document: Document, definitions: Iterable[Definition], *, head_only: bool = False, with_context: bool = False
) -> Iterator[Span]:
    """A span for each definition, with its kind, name and docstring in the metadata.

    `with_context` adds signature, class, imports, and what it calls and is called by in its file; `head_only` ends the
    span where the code begins: after the docstring, or the header with the comment above.
    """
    uses = uses_of(document) if with_context else {}
    callers = _callers(document.definitions, uses) if with_context else {}
    for d in definitions:
        metadata = {"kind": kind_of(document, d), "name": d.name}
        if docstring := told(d.docstring, d.name, document.language, d.kind == "class"):
            metadata["docstring"] = docstring
        if with_context:
            used = uses[place_of(d)]
            context = {
                "signature": d.signature,
                "enclosing": ANNOTATIONS.sub("", d.enclosing),
                "imports": "\n".join(used.imports),
                "calls": ", ".join(used.calls),
                "language": document.language,
                "callers": ", ".join(callers.get(place_of(d), ())[:MAX_CALLERS]),
                "comments": "\n".join(comments(_code(document, d), document.language)),
            }
            metadata |= {key: value for key, value in context.items() if value}
        yield Span(d.start, d.body_start if head_only else d.end, (document.path, d.name), metadata)


def _code(document: Document, definition: Definition) -> str:
    """A definition without its documentation; "" where it is too long for an example."""
    is_inside = document.language == "python" and definition.docstring
    start = definition.body_start if is_inside else max(definition.head_start, definition.start)
    return document.text[start : definition.end] if definition.end - start <= MAX_COMMENTED else ""


def whole_chunks(
    document: Document, spans: Iterable[Span], *, recipe: str, max_tokens: int, count_tokens: CountTokens
) -> list[Chunk]:
    """A chunk for each span that fits into `max_tokens`; the others give none, since half a function is no answer."""
    text, exactly = document.text, exact_counter(document.text, count_tokens)
    chunks: list[Chunk] = []
    for span in spans:
        start, end = trim(text, span.start, span.end)
        if not 0 < end - start <= MAX_CHARACTERS_PER_TOKEN * max_tokens:
            continue
        num_tokens = exactly(start, end)
        if num_tokens <= max_tokens:
            name = f"{document.id}#{recipe}-{len(chunks)}"
            metadata = {"path": document.path, **span.metadata}
            chunks.append(
                Chunk(name, document.id, text[start:end], num_tokens, span.heading_path, start, end, metadata)
            )
    return chunks


def dedented(code: str) -> str:
    """`textwrap.dedent`, several times as fast on code whose first line is indented least, as definitions are."""
    margin = code[: len(code) - len(code.lstrip(" \t"))]
    if "\n#" in code and margin:  # directives stand at the margin wherever they are
        code = DIRECTIVE_LINE.sub(lambda found: margin + found.group(), code)
        return textwrap.dedent(code)
    if code[:1] == "\n" or " \n" in code or "\t\n" in code or not code[-1:].strip() or _less_than(margin).search(code):
        return textwrap.dedent(code)
    return code[len(margin) :].replace(f"\n{margin}", "\n") if margin else code


@lru_cache(maxsize=64)
def _less_than(margin: str) -> re.Pattern[str]:
    """A line that is not blank and does not begin with the margin."""
    return re.compile(rf"\n(?!{re.escape(margin)}|\n)")


def kind_of(document: Document, definition: Definition) -> str:
    """What its language calls a definition: function, method, class, struct, trait, module, ..."""
    if definition.kind != "class":
        return "test" if TEST_MACRO.match(definition.signature) else definition.kind
    found = CLASS_WORD.search(definition.signature) or CLASS_WORD.match(document.text, definition.body_start)  # of Go
    return found.group() if found is not None else definition.kind


def comments(code: str, language: str) -> list[str]:
    """The words of the line comments in a piece of code; directives of tools are not for readers."""
    pattern = HASH_COMMENT if language in HASH_LANGUAGES else DASH_COMMENT if language in DASH_LANGUAGES else COMMENT
    found = [without_marks(words).strip() for words in pattern.findall(code)]
    return [words for words in found if not DIRECTIVE.match(words) and any(c.isalpha() for c in words)]


def _callers(definitions: Sequence[Definition], uses: Mapping[Place, Uses]) -> Mapping[Place, list[str]]:
    """Who in the file uses a definition: a method its class, and what speaks of that; only types could tell others."""
    callers: dict[str, dict[str, Uses]] = defaultdict(dict)
    scopes: dict[str, set[str]] = defaultdict(set)
    for d in definitions:
        scope, _, name = d.name.rpartition(".")
        scopes[name].add(scope)
        if d.kind != "class":
            for used in uses[place_of(d)].calls:
                callers[used][d.name] = uses[place_of(d)]
    found: dict[Place, list[str]] = {}
    for d in definitions:
        scope, _, name = d.name.rpartition(".")
        owner = scope.rpartition(".")[2].partition("<")[0]
        if name == owner:  # a constructor, which its class would be taken for
            continue
        users = (
            (c, made) for c, made in callers.get(name, {}).items() if not c.startswith(f"{d.name}.") and c != d.name
        )
        is_known = len(scopes[name]) == 1
        found[place_of(d)] = [
            c
            for c, made in users
            if c.rpartition(".")[0] == scope or (is_known and (not scope or d.kind == "class" or owner in made.calls))
        ]
    return found
