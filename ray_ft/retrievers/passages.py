"""Passages as a training set keeps them, and as a model is shown them by evaluation and serving alike."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ray_ft.errors import MissingArtifactError
from ray_ft.rows import Chunk, from_row, user_message
from ray_ft.storage import part_of

FILE = "passages.parquet"
NUM_PASSAGES = 3
"""Passages shown where evaluation.num_passages is chosen and nothing was there to choose by, and by serving."""


def read_passages(folder: str | Path) -> list[Chunk]:
    """All passages in one order that does not depend on how the files were written: by document, then by place.

    Raises MissingArtifactError where `folder`, a training set's, has none.
    """
    import pyarrow.parquet as pq

    path = part_of(folder, FILE)
    if not path.exists():
        raise MissingArtifactError(
            f"The training set lacks {path}. Run `ray-ft prepare CONFIG --force` to make it again."
        )
    passages = [from_row(Chunk, row) for row in pq.read_table(path).to_pylist()]
    return sorted(passages, key=lambda chunk: (chunk.document_id, chunk.start, chunk.id))


def user_messages(question: str, passages: Sequence[str]) -> Iterator[tuple[str, int]]:
    """What to say, and with how many passages: all, then ever fewer, the worst dropped first, down to none.

    The first that leaves room for an answer is the one to send.
    """
    for num_passages in range(len(passages), -1, -1):
        yield user_message(question, passages[:num_passages]), num_passages
