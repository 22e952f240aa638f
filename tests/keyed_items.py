"""Items under keys of what they hold, as a run has them once everything was hashed."""

from collections.abc import Iterable
from dataclasses import replace

from ray_ft.data.ingest.items import UNREAD, Item, Todo, item_key
from ray_ft.data.ingest.known import Known, hash_stamped
from ray_ft.data.ingest.manifest import keyed


def hashed(items: Iterable[Item], how: str) -> list[Todo]:
    """Every item under its key."""
    return [_hashed(todo, how) for todo in keyed(items, Known(None), how)]


def _hashed(todo: Todo, how: str) -> Todo:
    if todo.content != UNREAD:
        return todo
    content, _ = hash_stamped(todo.item)  # type: ignore[arg-type]
    return replace(todo, key=item_key(todo.item, content, how), content=content)
