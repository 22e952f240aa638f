"""What is done of the items, and where it lies: found again by the next task and the next run."""

from dataclasses import dataclass
from pathlib import Path

from ray_ft.data.dedup.heads import Head
from ray_ft.data.documents import ReadFile, Record, SourceFile
from ray_ft.data.ingest.items import Item
from ray_ft.data.run.journal import Ref, read_body, read_journal

Parsed = list[ReadFile] | list[Record]


@dataclass(frozen=True)
class Kept:
    """An item that is done: what is told of its documents, and where they lie."""

    heads: tuple[Head, ...]
    ref: Ref | None  # None: nothing lies anywhere, since the item is not read at all


def find_kept(folder: Path, wanted: dict[bytes, int]) -> dict[int, Kept]:
    """Of the wanted keys, those that some journal holds: their number -> what is kept."""
    found: dict[int, Kept] = {}
    for path in sorted(folder.glob("*.log")):
        for entry in read_journal(path):
            number = wanted.get(entry.key)
            if entry.ref is not None and number is not None and number not in found:
                found[number] = Kept(entry.head, entry.ref)
    return found


def load(item: Item, ref: Ref | None) -> Parsed:
    """The documents of an item, from its journal; an item that is not read is its own account."""
    if ref is None:
        assert isinstance(item, SourceFile)
        return [ReadFile(item, "skipped", item.reason)]
    parsed: Parsed = read_body(ref)
    return parsed
