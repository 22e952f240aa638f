"""The groups of a run that are finished: in folders of their own, or as objects below a URI; whole or not there.

What says that a group is whole comes last: its folder's name, or its result, which in storage tells each file's size
and hash. What an earlier run or a killed task left half is as if it were not there, and written again.
"""

import hashlib
import json
import shutil
import tempfile
import uuid
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ray_ft.data.build.job import NUMBER, RESULT, GroupResult, Shard
from ray_ft.data.build.packing import GroupRows
from ray_ft.errors import DataError
from ray_ft.storage import MissingObject, Part, Store, in_parallel, is_uri, shown

OWN = f"{NUMBER:05d}"


class GroupFolders:
    """Groups in a folder that all nodes share."""

    def __init__(self, root: str) -> None:
        self.root = Path(root)

    def prepare(self) -> None:
        """See to it that groups can be written. Raises DataError where they cannot."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"cannot write {self.root}: {error.strerror}") from None

    def whole(self, names: Sequence[str]) -> set[str]:
        """Those of the names whose groups are there."""
        return {name for name in names if (self.root / name / RESULT).is_file()}

    def result(self, name: str) -> GroupResult | None:
        """What a group became; None where it is not there."""
        path = self.root / name / RESULT
        return GroupResult.from_text(path.read_text(encoding="utf-8")) if path.is_file() else None

    def results(self, names: Sequence[str]) -> Iterator[GroupResult]:
        """What each became, which has to be there."""
        return (GroupResult.from_text((self.root / name / RESULT).read_text(encoding="utf-8")) for name in names)

    def put(self, name: str, rows: GroupRows) -> None:
        """Write a group; it appears by a rename."""
        folder = self.root / name
        partial = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}.partial")
        try:
            rows.write(partial)
            (partial / RESULT).write_text(rows.result.to_text() + "\n", encoding="utf-8")
            shutil.rmtree(folder, ignore_errors=True)  # half of a removal
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def keep_only(self, names: Collection[str]) -> None:
        """Remove the others."""
        for folder in self.root.iterdir():
            if folder.name not in names:
                # First what says that the group is whole: half of a removal must not look like a group.
                (folder / RESULT).unlink(missing_ok=True)
                shutil.rmtree(folder, ignore_errors=True)


class StoredGroups(GroupFolders):
    """Groups as objects below a URI."""

    def __init__(self, root: str) -> None:
        self.store = Store(root)

    def prepare(self) -> None:
        """Nothing: objects need no folder."""

    def whole(self, names: Sequence[str]) -> set[str]:
        """Those whose results are there, and every file that these tell of."""
        wanted = frozenset(names)
        sizes = {found.name: found.num_bytes for found in self.store.list()}
        told = [name.removesuffix(f"/{RESULT}") for name in sizes if name.endswith(f"/{RESULT}")]

        def files_are_there(name: str) -> bool:
            parts = self._read(name)
            return parts is not None and all(sizes.get(f"{name}/{file}") == p.num_bytes for file, p in parts[1].items())

        some = [name for name in told if name in wanted]
        return {name for name, is_whole in zip(some, in_parallel(files_are_there, some), strict=True) if is_whole}

    def result(self, name: str) -> GroupResult | None:
        """What a group became; None where it is not there."""
        found = self._read(name)
        return None if found is None else found[0]

    def results(self, names: Sequence[str]) -> Iterator[GroupResult]:
        """What each became, which has to be there."""
        return (result for result, _ in self.with_parts(names))

    def with_parts(self, names: Sequence[str]) -> Iterator[tuple[GroupResult, dict[str, Part]]]:
        """What each became, and its files with the objects that hold them."""

        def read(name: str) -> tuple[GroupResult, dict[str, Part]]:
            found = self._read(name)
            if found is None:
                raise DataError(f"{shown(self.store.uri_of(name))} was deleted while prepare ran; run it again")
            return found

        return in_parallel(read, names)

    def put(self, name: str, rows: GroupRows) -> None:
        """Write a group on this machine and put its files, the result last."""
        with tempfile.TemporaryDirectory(prefix="ray_ft-group-") as folder:
            rows.write(Path(folder))
            files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file()]
            rows_of = {str(path.relative_to(folder)): path for path in files}
            for _ in in_parallel(lambda file: self.store.send(f"{name}/{file}", rows_of[file]), rows_of, threads=4):
                pass
            about = {
                file: [path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()]
                for file, path in rows_of.items()
            }
        text = json.dumps({"result": rows.result.to_text(), "files": about})
        self.store.write(f"{name}/{RESULT}", text.encode())

    def keep_only(self, names: Collection[str]) -> None:
        """Delete the others, their results first."""
        others = [f.name for f in self.store.list() if f.name.partition("/")[0] not in names]
        self.store.delete(name for name in others if name.endswith(f"/{RESULT}"))
        self.store.delete(name for name in others if not name.endswith(f"/{RESULT}"))

    def _read(self, name: str) -> tuple[GroupResult, dict[str, Part]] | None:
        try:
            told = json.loads(self.store.read(f"{name}/{RESULT}"))
            files = {file: Part(f"{name}/{file}", *about) for file, about in told["files"].items()}
            return GroupResult.from_text(told["result"]), files
        except (MissingObject, ValueError, KeyError, TypeError, AttributeError):  # or not what a run writes
            return None


def groups_at(root: str) -> GroupFolders:
    """The groups of a folder, or below a URI."""
    return StoredGroups(root) if is_uri(root) else GroupFolders(root)


def numbered(name: str, number: int) -> str:
    """The name that a group's file has in the training set."""
    return name.replace(OWN, f"{number:05d}", 1)


def published_shard(shard: Shard, number: int) -> Shard:
    """A group's shard as the manifest lists it."""
    return replace(shard, file=numbered(shard.file, number))
