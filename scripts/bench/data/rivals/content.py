"""Words of marked pages that are kept: of their content all should be, and of their furniture none.

In the pages `<!--[-->` and `<!--]-->` stand around what is the site's; a parser sees comments. A word counts as often
as it stands there. `--rival-site` is a folder of packages with trafilatura, which reads the same pages.
"""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ray_ft.data.formats.html import parse_html

PAGES = Path(__file__).parents[4] / "tests" / "data" / "marked"
OPENS, CLOSES = "\ue010", "\ue011"  # stand for the marks once tags are gone
WORD = re.compile(r"\w++")
UNREAD = ["script", "style", "head", "template", "textarea"]
GOAL = {"content": 0.97, "furniture": 0.02}  # at least, and at most


def main(argv: list[str] | None = None) -> int:
    """Print a row for each page and the shares over all; 1 where ray_ft misses a goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path, nargs="?", default=PAGES, help="folder of marked pages")
    parser.add_argument("--rival-site", type=Path, help="folder of packages with trafilatura")
    given = parser.parse_args(argv)
    readers: dict[str, Callable[[str], str]] = {"ray_ft": lambda page: parse_html(page).text}
    if given.rival_site:
        sys.path.append(str(given.rival_site))
        readers["trafilatura"] = _trafilatura
    pages = {path.name: path.read_text() for path in sorted(given.path.glob("*.html"))}
    print(f"| page | words | {' | '.join(f'{name}: content, furniture' for name in readers)} |")
    print(f"|---|---|{'---|' * len(readers)}")
    kept = {
        reader: {name: shares(page, read(page)) for name, page in pages.items()} for reader, read in readers.items()
    }
    for name, page in pages.items():
        content, furniture = words_of(page)
        cells = " | ".join(_shown(kept[reader][name]) for reader in readers)
        print(f"| {name} | {content.total()}, {furniture.total()} | {cells} |")
    totals = {reader: [sum(column) for column in zip(*rows.values(), strict=True)] for reader, rows in kept.items()}
    print(f"| all | {len(pages)} pages | {' | '.join(_shown(totals[reader]) for reader in readers)} |")
    content, of_content, furniture, of_furniture = totals["ray_ft"]
    return int(content < GOAL["content"] * of_content or furniture > GOAL["furniture"] * of_furniture)


def words_of(page: str) -> tuple[Counter[str], Counter[str]]:
    """Words of a marked page's content and of its furniture."""
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(page.replace("<!--[-->", OPENS).replace("<!--]-->", CLOSES))
    tree.strip_tags(UNREAD)
    content, furniture = Counter[str](), Counter[str]()
    for number, part in enumerate(re.split(f"[{OPENS}{CLOSES}]", tree.text(separator=" "))):
        (furniture if number % 2 else content).update(WORD.findall(part.lower()))
    return content, furniture


def shares(page: str, text: str) -> tuple[int, int, int, int]:
    """Words of the content kept, and all; of the furniture kept, and all. What stands in both is the content's."""
    content, furniture = words_of(page)
    found = Counter(WORD.findall(text.lower()))
    return (found & content).total(), content.total(), ((found - content) & furniture).total(), furniture.total()


def _shown(counts: tuple[int, int, int, int] | list[int]) -> str:
    content, of_content, furniture, of_furniture = counts
    return f"{content / max(of_content, 1):.1%}, {furniture / max(of_furniture, 1):.1%}"


def _trafilatura(page: str) -> str:
    import trafilatura

    return trafilatura.extract(page, include_tables=True, include_comments=False, favor_recall=True) or ""
