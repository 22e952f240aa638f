"""datatrove over the files of a list, in the interpreter of its own environment; scripts/bench_data rivals starts it.

    python rival_datatrove.py FILES.json TOKENIZER.json FOLDER PROCESSES

The four steps of its near-duplicate removal as its documentation has them, then personal data, text and tokens.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BANDS, ROWS = 21, 6  # those of ray_ft at similarity 0.8
WORDS = 5


class Read:
    """A generator of Documents: the share of one task, in the order of the list."""

    def __init__(self, files: list[str]) -> None:
        self.files = files

    def __call__(self, data: Any, rank: int = 0, world_size: int = 1) -> Iterator[Any]:
        """Texts as they stand; nothing is parsed."""
        from datatrove.data import Document  # type: ignore[import-not-found,unused-ignore]

        for file in self.files[rank::world_size]:
            yield Document(text=Path(file).read_text(encoding="utf-8", errors="replace"), id=file)


class Words:
    """Words by white space; punctuation is gone already."""

    def word_tokenize(self, text: str) -> list[str]:
        """As ray_ft takes words."""
        return text.split()


def main() -> int:
    """Run the steps one after the other."""
    from datatrove.executor import LocalPipelineExecutor  # type: ignore[import-not-found,unused-ignore]
    from datatrove.pipeline.dedup import minhash  # type: ignore[import-not-found,unused-ignore]
    from datatrove.pipeline.formatters import PIIFormatter  # type: ignore[import-not-found,unused-ignore]
    from datatrove.pipeline.tokens import DocumentTokenizer  # type: ignore[import-not-found,unused-ignore]
    from datatrove.pipeline.writers import JsonlWriter  # type: ignore[import-not-found,unused-ignore]

    files, tokenizer, folder, processes = sys.argv[1:]
    read, n = Read(json.loads(Path(files).read_text())), int(processes)
    config = minhash.MinhashConfig(n_grams=WORDS, num_buckets=BANDS, hashes_per_bucket=ROWS)
    minhash.load_word_tokenizer = lambda language: Words()  # its own need spaCy, and are slower
    steps: list[tuple[int, list[Any]]] = [
        (n, [read, minhash.MinhashDedupSignature(f"{folder}/signatures", config=config)]),
        (BANDS, [minhash.MinhashDedupBuckets(f"{folder}/signatures", f"{folder}/buckets", config=config)]),
        (1, [minhash.MinhashDedupCluster(f"{folder}/buckets", f"{folder}/removed", config=config)]),
        (
            n,
            [
                read,
                minhash.MinhashDedupFilter(f"{folder}/removed"),
                PIIFormatter(),
                JsonlWriter(f"{folder}/text", compression=None),
                DocumentTokenizer(f"{folder}/tokens", tokenizer, shuffle_documents=False),
            ],
        ),
    ]
    for number, (tasks, pipeline) in enumerate(steps):
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=n, logging_dir=f"{folder}/logs_{number}").run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
