"""The words of a documentation comment without what only tools read: inline tags, markup, authors, versions, tasks.

What such words are worth is summaries.py's.
"""

import html
import re

INHERITED = re.compile(r"\{?@inherit_?docs?\}?|</?inherit_?doc\b[^>]*+>|\binheritDoc\b", re.IGNORECASE)
NO_WORDS = re.compile(r"#\s*(?:noqa|type:|pylint:|pragma:|nosec|fmt:|mypy:|ruff:)[^\n]*+|\bNOLINT\w*+", re.IGNORECASE)
LINTERS = re.compile(
    r"\b(?:(?:swift|ts|style|ds|golangci-)lint:|eslint-[a-z]|rubocop:|phpcs:|ktlint-|detekt:|(?:prettier|biome)-ignore"
    r"|(?:istanbul|c8|v8) ignore|lint:ignore|cspell:|go:(?:build|generate|embed|linkname|noinline|nosplit)\b)[^\n]*+"
)
LINTED = ("lint:", "lint-", "cop:", "phpcs:", "detekt:", "-ignore", "l ignore", "8 ignore", "cspell:", "go:")
"""One of them stands in each."""
MARKERS = re.compile(r"^[ \t]*+:(?:end )?docstring\b[^:\n]*+:[ \t]*+$\n?", re.MULTILINE)  # of scripts of a shell
BREAKS = re.compile(r"<(?:/?p|br\s*/?|/?pre)>", re.IGNORECASE)
NO_HTML = frozenset({"python", "ruby", "go", "rust", "bash"})  # where a tag is what is spoken of
HTML = re.compile(
    r"</?(?:a|b|big|blockquote|br|caption|center|cite|code|dd|div|dl|dt|em|h[1-6]|i|kbd|ol|p|pre|s|small|span|strong"
    r"|sub|sup|table|tbody|td|tfoot|th|thead|tr|tt|u|ul|var)\b(?:[^<>\"]|\"[^<>\"]*+\")*+>",
    re.IGNORECASE,
)
ITEM_TAG = re.compile(r"<li>\s*+", re.IGNORECASE)
REFERENCE = re.compile(
    r"<(?:code|c|tt)>([^<>]*+)</(?:code|c|tt)>"
    r"|<(?:see|seealso|paramref|typeparamref)\s++\w++=\"(?:\w:)?([^\"<>]*+)\"\s*+/>"
)
IMAGE = re.compile(r"^[ \t]*+!\[[^\]\n]*+\]\([^()\n]*+\)[ \t]*+$\n?", re.MULTILINE)
STYLED = re.compile(r"^<span [^<>\n]*+>|</span>[ \t]*+$", re.MULTILINE)  # a paragraph
ROLE = re.compile(r":(?:[a-z]{1,20}:)?[a-z]{1,20}:`(?:([^`<>]{1,200}) <[^`<>]{1,200}>|(~)?([^`<>]{1,200}))`")
XML_TAGS = (
    (re.compile(r"<(?:type)?param name=\"(\w++)\"\s*+>\s*+([^<>]*+)</(?:type)?param>"), r"@param \1 \2"),
    (re.compile(r"<(returns|value|remarks|example)>\s*+([^<>]*+)</\1>"), r"@\1 \2"),
    (re.compile(r"<exception cref=\"(?:\w:)?([^\"<>]*+)\"\s*+>\s*+([^<>]*+)</exception>"), r"@throws \1 \2"),
)  # of .NET, as others write them
INLINE = re.compile(r"\{@(\w++)(?:\s++([^{}]*+(?:\{[^{}]*+(?:\{[^{}]*+\}[^{}]*+)*+\}[^{}]*+)*+))?\}")
TARGET = re.compile(r"([^\s()]++(?:\([^()]*+\))?)\s*+(.*)", re.DOTALL)  # of a link, and its label
NAMED = re.compile(r"^([ \t]*+)[@\\](?:brief|description|desc|summary|details|remarks?|short)\b[ \t]*+", re.MULTILINE)
ASIDE = re.compile(
    r"^[ \t]*+@(?:author|since|version|internal|private|protected|public|static|member[oO]f|category|access|package"
    r"|subpackage|api|override|final|readonly|serial\w*+|hide|ignore|function|method|name|class|constructor|constructs"
    r"|constant|global|namespace|lends|group|covers\w*+|dataProvider|test|depends|before|after|noinspection"
    r"|psalm-[\w-]++|phpstan-[\w-]++|codeCoverageIgnore\w*+|license|copyright|link)\b.*(?:\n[ \t]++(?!@)\S.*)*+\n?",
    re.MULTILINE,
)  # lines about the code's place, not about what it does
TASKS = ("TODO", "FIXME", "XXX", "HACK")
TASK = re.compile(
    r"(?:^[ \t]*+|(?<=[.!?:] ))(?:TODO|FIXME|XXX|HACK)\b(?:\([^()\n]*+\))?:?(?: .*)?(?:\n(?![ \t]*+$).+)*+", re.M
)


def without_marks(words: str) -> str:
    """Words without what only tools read, such as `# noqa` and {@inheritDoc}."""
    is_marked = "#" in words or "<" in words or "nherit" in words or "NOLINT" in words
    words = NO_WORDS.sub("", INHERITED.sub("", words)) if is_marked else words
    return LINTERS.sub("", words) if any(mark in words for mark in LINTED) else words


def plain_words(docstring: str, language: str = "") -> str:
    """A documentation comment as its readers see it; tags that tell of parameters and results stay."""
    words = without_marks(docstring)
    if ":`" in words:
        words = ROLE.sub(_role, words)
    if language == "bash" and ":" in words:
        words = MARKERS.sub("", words)
    if "{@" in words:
        words = INLINE.sub(_inline, words)
    if "<" in words:
        words = REFERENCE.sub(lambda found: found.group(1) or found.group(2) or "", words)
        if "</" in words and language == "csharp":
            for tag, spelled in XML_TAGS:
                words = tag.sub(spelled, words)
        if language == "java":
            words = HTML.sub("", ITEM_TAG.sub("- ", words))
        elif language not in NO_HTML:
            words = STYLED.sub("", BREAKS.sub("", words))
    if "![" in words:
        words = IMAGE.sub("", words)
    if "&" in words and language == "java":
        words = html.unescape(words)
    if language != "python" and ("@" in words or "\\" in words):
        words = ASIDE.sub("", NAMED.sub(r"\1", words))
    if any(mark in words for mark in TASKS):
        words = TASK.sub("", words)
    return docstring if words is docstring else _tidy(words)


def _role(found: re.Match[str]) -> str:
    """What a role of Sphinx shows: its label, or its target, the last name of one with a tilde."""
    label, short, target = found.groups()
    shown = label or (target.rpartition(".")[2] if short else target)
    return f"`{shown.lstrip('!')}`"


def _inline(found: re.Match[str]) -> str:
    """What an inline tag of Java or JavaScript shows: a link its label, or what it leads to."""
    kind, words = found.group(1), (found.group(2) or "").strip()
    if kind == "return":
        return f"Returns {words}"
    if kind not in ("link", "linkplain"):
        return words
    target = TARGET.match(words)
    if target is None:
        return words
    return " ".join(target.group(2).split()) or target.group(1).lstrip("#")


def _tidy(words: str) -> str:
    """Without spaces at line ends and more than one blank line in a row."""
    lines = "\n".join(line.rstrip() for line in words.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", lines).strip()
