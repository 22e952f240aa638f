"""Files that were put aside because they or their parser failed: their table, and another attempt at them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ray_ft.data.documents import ReadFile
from ray_ft.data.ingest.items import Item
from ray_ft.data.ingest.kept import Kept, find_kept, load
from ray_ft.data.run.journal import strike
from ray_ft.data.schemas import DOCUMENTS

QUARANTINE = "quarantine.parquet"
COLUMNS = ("path", "reason", "note", "num_bytes", "id")


def write_quarantine(folder: Path) -> int:
    """Write the table of what the training set below `folder` put aside, in the order of paths; returns its rows."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    documents = pq.read_table(folder / DOCUMENTS, columns=[*COLUMNS, "status"])
    table = documents.filter(pc.equal(documents["status"], "quarantined")).select(COLUMNS).sort_by("path")
    pq.write_table(table, folder / QUARANTINE)
    return int(table.num_rows)


def release(folder: Path, kept: Mapping[int, Kept], items: Sequence[Item], keys: Sequence[bytes]) -> dict[int, Kept]:
    """What is kept without what is in quarantine, which the journals below `folder` forget: it will be read again."""
    held = {i for i, one in kept.items() if _is_quarantined(items[i], one)}
    if not held:
        return dict(kept)
    strike(folder, {keys[i] for i in held})
    return find_kept(folder, {keys[i]: i for i in kept if i not in held})  # some lie elsewhere now


def _is_quarantined(item: Item, kept: Kept) -> bool:
    if kept.ref is None or any(head.is_usable for head in kept.heads):
        return False
    return any(isinstance(one, ReadFile) and one.status == "quarantined" for one in load(item, kept.ref))
