"""In which order a slide is read, and what of it is the master's: its number, its date and its footer."""

from collections.abc import Iterable, Mapping
from typing import Any

P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
Box = tuple[float, float, float, float]  # left, top, right, bottom
Place = tuple[Box, Any]  # of a shape

PLACEHOLDER = f"{P}nvPr/{P}ph"
PLACES = (f"{P}spPr/{A}xfrm", f"{P}grpSpPr/{A}xfrm", f"{P}xfrm")
FURNITURE = frozenset({"dt", "ftr", "sldNum", "hdr"})  # kinds of placeholders
TITLES = frozenset({"title", "ctrTitle"})
OVERLAP = 0.1  # share of a shape that may reach into the next row or column
MAX_SHAPES = 300  # that are put in order


def is_furniture(shape: Any) -> bool:
    """Whether a shape stands on each slide: the number, the date, the footer."""
    return _kind(shape._element) in FURNITURE


def is_title(shape: Any) -> bool:
    """Whether a shape is the slide's title."""
    return _kind(shape._element) in TITLES


def places_of(layout: Any) -> dict[str, Box]:
    """Where a layout of slides puts its placeholders, by their number."""
    found = ((_placeholder(node), _box(node)) for node in layout.shapes._spTree if len(node))
    return {node.get("idx", "0"): box for node, box in found if node is not None and box is not None}


def ordered(shapes: Iterable[Any], places: Mapping[str, Box]) -> list[Any]:
    """From top to bottom and, in a row, from left to right; a column that stands beside another is read as a whole.

    The order in a file is that in which shapes were drawn. `places` are the layout's, which a placeholder without one
    of its own has; a shape that has none keeps its turn among the others.
    """
    given = list(shapes)
    boxes = [_box(shape._element) or _inherited(shape._element, places) for shape in given]
    placed = [(box, shape) for box, shape in zip(boxes, given, strict=True) if box is not None]
    if not 2 <= len(placed) <= MAX_SHAPES:
        return given
    in_order = iter([shape for _, shape in _read(placed)])
    return [shape if box is None else next(in_order) for box, shape in zip(boxes, given, strict=True)]


def _read(boxes: list[Place]) -> list[Place]:
    """Cut where an empty stripe goes through; what cannot be cut lies one upon the other, in the order given.

    A grid is read by rows or by columns as the file has it, else two columns one after the other, and more by rows.
    """
    if len(boxes) < 2:
        return boxes
    rows, columns = _cut(boxes, 1), _cut(boxes, 0)
    if len(rows) == len(columns) == 1:
        return boxes
    if len(rows) == 1 or len(columns) == 1:
        return [place for part in (rows if len(columns) == 1 else columns) for place in _read(part)]
    by_rows, by_columns = ([place for part in parts for place in _read(part)] for parts in (rows, columns))
    if by_columns == boxes or (by_rows != boxes and len(columns) == 2):
        return by_columns
    return by_rows


def _cut(boxes: list[Place], axis: int) -> list[list[Place]]:
    """Groups that overlap along an axis by no more than a little of the smaller one; each keeps the order given."""
    parts: list[list[Place]] = []
    end = 0.0
    for place in sorted(boxes, key=lambda place: place[0][axis]):
        low, high = place[0][axis], place[0][axis + 2]
        if parts and end - low > OVERLAP * min(high - low, end - min(one[0][axis] for one in parts[-1])):
            parts[-1].append(place)
            end = max(end, high)
        else:
            parts.append([place])
            end = high
    numbers = {id(place[1]): i for i, place in enumerate(boxes)}
    return [sorted(part, key=lambda place: numbers[id(place[1])]) for part in parts]


def _box(node: Any) -> Box | None:
    place = next((found for path in PLACES if (found := node.find(path)) is not None), None)
    if place is None or len(place) < 2:
        return None
    try:
        left, top = float(place[0].get("x")), float(place[0].get("y"))
        return left, top, left + float(place[1].get("cx")), top + float(place[1].get("cy"))
    except (TypeError, ValueError):
        return None


def _inherited(node: Any, places: Mapping[str, Box]) -> Box | None:
    found = _placeholder(node)
    return places.get(found.get("idx", "0")) if found is not None else None


def _placeholder(node: Any) -> Any:
    return node[0].find(PLACEHOLDER) if len(node) else None


def _kind(node: Any) -> str:
    found = _placeholder(node)
    return found.get("type", "obj") if found is not None else ""
