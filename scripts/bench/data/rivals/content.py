"""Words of marked pages and documents that are kept: of their content all should be, and of their furniture none.

In a page `<!--[-->` and `<!--]-->` stand around what is the site's; a parser sees comments. Beside any other document
lies a file with `.marks` behind its name, whose lines begin with `+ ` for content and `- ` for furniture. A word counts
as often as it stands there. `--rival-site` is a folder of packages with trafilatura, which reads the same pages, and
markitdown, which reads the documents.
"""

import argparse
import io
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ray_ft.data.formats import format_of

PAGES = Path(__file__).parents[4] / "tests" / "data" / "marked"
OPENS, CLOSES = "\ue010", "\ue011"  # stand for the marks once tags are gone
WORD = re.compile(r"[^\W\d_]++|\d++")
NUMBER_OF_ITEM = re.compile(r"^[ \t]*+\d++\.[ \t]", re.MULTILINE)
UNREAD = ["script", "style", "head", "template", "textarea"]
RAISED = str.maketrans(dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉", [f" {i % 10} " for i in range(20)], strict=True)))
GOAL = {"content": 0.97, "furniture": 0.02}  # at least, and at most
Words = Counter[str]


@dataclass(frozen=True)
class Marked:
    """A page or another document, with the words of its content and of its furniture."""

    path: Path
    content: Words
    furniture: Words

    def shares(self, text: str) -> tuple[int, int, int, int]:
        """Words of the content kept, and all; of the furniture kept, and all. What stands in both is the content's."""
        found = _counted(NUMBER_OF_ITEM.sub("", text))  # a page shows it, and does not say it
        kept, wrong = found & self.content, (found - self.content) & self.furniture
        return kept.total(), self.content.total(), wrong.total(), self.furniture.total()


def main(argv: list[str] | None = None) -> int:
    """Print a row for each page and document, and the shares over all; 1 where ray_ft misses a goal in either."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, nargs="?", default=PAGES, help="folder of marked pages and documents")
    parser.add_argument("--rival-site", type=Path, help="folder of packages with trafilatura and markitdown")
    given = parser.parse_args(argv)
    if given.rival_site:
        sys.path.append(str(given.rival_site))
    documents = [marked_document(path) for path in sorted(given.path.glob("*.marks"))]
    pages = [Marked(path, *words_of(path.read_text())) for path in sorted(given.path.glob("*.html"))]
    rivals = (("trafilatura", _trafilatura), ("markitdown", _markitdown)) if given.rival_site else (None, None)
    met = [_table("pages", pages, rivals[0]), _table("documents", documents, rivals[1])]
    return int(not all(met))


def words_of(page: str) -> tuple[Words, Words]:
    """Words of a marked page's content and of its furniture."""
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(page.replace("<!--[-->", OPENS).replace("<!--]-->", CLOSES))
    tree.strip_tags(UNREAD)
    content, furniture = Counter[str](), Counter[str]()
    for number, part in enumerate(re.split(f"[{OPENS}{CLOSES}]", tree.text(separator=" "))):
        (furniture if number % 2 else content).update(_counted(part))
    return content, furniture


def marked_document(marks: Path) -> Marked:
    """A document by the file beside it. Raises ValueError for a line that is neither content nor furniture."""
    words = {"+": Counter[str](), "-": Counter[str]()}
    for number, line in enumerate(marks.read_text().splitlines(), start=1):
        if line[:2] not in ("+ ", "- "):
            raise ValueError(f"{marks}:{number}: a line begins with `+ ` or `- `, not {line[:2]!r}")
        words[line[0]].update(_counted(line[2:]))
    return Marked(marks.with_suffix(""), words["+"], words["-"])


def _counted(text: str) -> Words:
    """The words of a text, and its figures, each for itself: `10⁵` is not 105, and H₂O is H2O."""
    return Counter(WORD.findall(text.translate(RAISED).lower()))


def _table(kind: str, marked: Sequence[Marked], rival: tuple[str, Callable[[Path], str]] | None) -> bool:
    readers = dict([("ray_ft", _ray_ft), *([rival] if rival else [])])
    print(f"| {kind} | words | {' | '.join(f'{name}: content, furniture' for name in readers)} |")
    print(f"|---|---|{'---|' * len(readers)}")
    rows = [[one.shares(read(one.path)) for read in readers.values()] for one in marked]
    for one, row in zip(marked, rows, strict=True):
        shown = " | ".join(map(_shown, row))
        print(f"| {one.path.name} | {one.content.total()}, {one.furniture.total()} | {shown} |")
    totals = [[sum(column) for column in zip(*cells, strict=True)] for cells in zip(*rows, strict=True)]
    if not totals:
        return True
    content, of_content, furniture, of_furniture = totals[0]
    print(f"| all {len(marked)} {kind} | {of_content}, {of_furniture} | {' | '.join(map(_shown, totals))} |\n")
    return content >= GOAL["content"] * of_content and furniture <= GOAL["furniture"] * of_furniture


def _shown(counts: Sequence[int]) -> str:
    content, of_content, furniture, of_furniture = counts
    return f"{content / max(of_content, 1):.1%}, {furniture / max(of_furniture, 1):.1%}"


def _ray_ft(path: Path) -> str:
    kind = format_of(path.name)
    if kind is None:
        raise ValueError(f"{path}: ray_ft reads no such files")
    return kind.parse(path.read_bytes() if kind.is_binary else path.read_text()).text


def _trafilatura(path: Path) -> str:
    import trafilatura

    page = path.read_text()
    return trafilatura.extract(page, include_tables=True, include_comments=False, favor_recall=True) or ""


def _markitdown(path: Path) -> str:
    from markitdown import MarkItDown, StreamInfo

    info = StreamInfo(extension=path.suffix, filename=path.name, charset="utf-8")
    return str(MarkItDown().convert_stream(io.BytesIO(path.read_bytes()), stream_info=info).text_content)
