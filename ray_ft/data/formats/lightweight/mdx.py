"""MDX: Markdown once imports, exports, JSX tags and expressions are taken out; every line keeps its number."""

import re

from ray_ft.data.formats.base import Parsed
from ray_ft.data.formats.lightweight.markdown.parse import parse_markdown

FENCE = re.compile(r"[ \t]*+(`{3,}|~{3,})")
MODULE = re.compile(r"(?:import|export)\b(?:[ \t{*'\"]|$)")
COMPONENT = re.compile(r"</?(?:[A-Z][\w.]*+|>)(?:[^<>\"'{}]++|\"[^\"]*+\"|'[^']*+'|=>|\{(?:[^{}]|\{[^{}]*+\})*+\})*+>?")
EXPRESSION = re.compile(r"(?<!\\)\{(?:[^{}\n]|\{[^{}\n]*+\})*+\}")
COMMENT = re.compile(r"\{/\*(?:[^*]|\*(?!/))*+\*/\}")
LABEL = re.compile(r"\b(?:title|label|summary|heading)=(?:\"([^\"]++)\"|'([^']++)')")
INLINE_CODE = re.compile(r"(`++[^`\n]++`++)")


def parse_mdx(text: str) -> Parsed:
    """Markdown's blocks; what a component shows by its `title` or `label` stands where its tag did."""
    text = COMMENT.sub(lambda m: "\n" * m.group().count("\n"), text)
    lines, fence, is_module = text.split("\n"), "", False
    parts: list[str] = []
    prose: list[str] = []
    for number, line in enumerate(lines):
        opens = FENCE.match(line)
        if fence or opens is not None:
            if prose:
                parts.append(_without_jsx("\n".join(prose)))
                prose = []
            parts.append(line)
            if not fence and opens is not None:
                fence = opens.group(1)
            elif line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
            continue
        before = lines[number - 1] if number else ""
        if MODULE.match(line) and before.strip() in ("", "---"):  # after a blank line, or front matter
            is_module = True
        is_module = is_module and bool(line.strip())
        prose.append("" if is_module else line)
    if prose:
        parts.append(_without_jsx("\n".join(prose)))
    return parse_markdown("\n".join(parts))


def _without_jsx(text: str) -> str:
    """Prose without tags of components and expressions, code within a line being kept."""
    parts = INLINE_CODE.split(text)
    return "".join(
        part if n % 2 else EXPRESSION.sub("", COMPONENT.sub(_component, part)) for n, part in enumerate(parts)
    )


def _component(match: re.Match[str]) -> str:
    label = LABEL.search(match.group())
    words = (label.group(1) or label.group(2)) if label is not None else ""
    return words + "\n" * match.group().count("\n")
