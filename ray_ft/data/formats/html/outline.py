"""The headings of a page as one tree: its title stands at the root, whatever levels its generator gave."""

from collections.abc import Sequence

from ray_ft.data.formats.assemble import Piece
from ray_ft.data.formats.content.navigation import is_left_alone

SEPARATORS = (" - ", " – ", " — ", " | ", " :: ", " · ", " » ", " « ", ": ", " : ")
NO_TITLES = frozenset(
    {"untitled", "untitled document", "untitled page", "document", "index", "home", "title", "new page"}
)
DEEPEST = 6


def rooted(pieces: Sequence[Piece], title: str) -> tuple[list[Piece], str]:
    """The pieces below one heading, and the document's title.

    A heading that the title names is the root, and what stands on its level behind it goes below it. Where no heading
    is above all others, the title itself is the root.
    """
    pieces = [piece for i, piece in enumerate(pieces) if not is_left_alone(pieces, i)]
    if pieces and pieces[0].type == "paragraph" and title and is_named(pieces[0].text, title):
        pieces = _with_title(pieces, title)
    places = [i for i, piece in enumerate(pieces) if piece.type == "heading"]
    made = list(pieces)
    if places:
        first, levels = pieces[places[0]], [pieces[i].level for i in places]
        if is_named(first.text, title):
            if levels.count(min(levels)) > 1 or first.level > min(levels):
                made[places[0]] = Piece("heading", first.text, level=1)
                if 1 in levels[1:]:
                    _lower(made, places[1:])
            return made, first.text
        if levels.count(min(levels)) == 1:
            root = pieces[places[levels.index(min(levels))]].text
            return made, root if is_named(root, title) else title
    if not pieces or not title or title.casefold() in NO_TITLES:
        return made, title
    if 1 in (pieces[i].level for i in places):
        _lower(made, places)
    return [Piece("heading", title, level=1), *made], title


def is_named(heading: str, title: str) -> bool:
    """Whether a page's title is a heading, or one with the name of the site before or behind it."""
    if heading == title:
        return True
    small, whole = heading.casefold(), title.casefold()
    if not small or small not in whole:
        return False
    before, _, behind = whole.partition(small)
    return (not before or before.endswith(SEPARATORS)) and (not behind or behind.startswith(SEPARATORS))


def _with_title(pieces: list[Piece], title: str) -> list[Piece]:
    """The first paragraph as the heading that the title names, where no other is: Doxygen's titles are no headings."""
    headings = [i for i, piece in enumerate(pieces) if piece.type == "heading"]
    if any(is_named(pieces[i].text, title) for i in headings):
        return pieces
    made = [Piece("heading", pieces[0].text, level=1), *pieces[1:]]
    if any(pieces[i].level == 1 for i in headings):
        _lower(made, headings)
    return made


def _lower(pieces: list[Piece], places: Sequence[int]) -> None:
    for i in places:
        piece = pieces[i]
        pieces[i] = Piece("heading", piece.text, level=min(DEEPEST, piece.level + 1))
