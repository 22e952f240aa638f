"""What telling copies costs on one core, and how many of the true pairs it finds: on the files of a folder.

scripts/bench_data copies FOLDER [--suffix .py] [--max-mb 60]
"""

import argparse
import itertools
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ray_ft.data.dedup.minhash import NUM_PERMUTATIONS, NearDuplicates, signature
from ray_ft.data.dedup.shingles import Hashes, rough_hashes, shingles, similarity
from ray_ft.data.filters.apply import Cleaning, find
from ray_ft.overlap import Runs

THRESHOLD = 0.8
NUM_BASES, SHARES = 150, (0.0, 0.004, 0.008, 0.012, 0.016, 0.02, 0.03, 0.05)
NUM_RANDOM = 500_000


def main(argv: list[str] | None = None) -> int:
    """Print one line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--suffix", default=".py")
    parser.add_argument("--max-mb", type=float, default=60.0)
    given = parser.parse_args(argv)
    texts = list(_texts(given.folder, given.suffix, given.max_mb * 1e6))
    num_bytes = sum(len(text.encode()) for text in texts)
    print(f"{len(texts):,} files, {num_bytes / 1e6:.1f} MB")
    for name, function in _steps():
        print(f"{name}: {_rate(function, texts, num_bytes):.1f} MB/s of one core")
    print(_recall(texts))
    print(_clustering())
    return 0


def _steps() -> Iterator[tuple[str, Callable[[str], object]]]:
    runs = Runs({13: np.sort(np.random.default_rng(0).integers(0, 1 << 63, 100_000).astype(np.uint64))})
    cleaning = Cleaning()
    yield "shingles and signatures", lambda text: signature(shingles(text))
    yield "words of evaluation sets (100,000 runs)", runs.found_in
    yield "words alone", rough_hashes
    yield "secrets and personal data", lambda text: find(text, cleaning)
    try:
        from datasketch import MinHash
    except ImportError:
        return

    def by_datasketch(text: str) -> object:
        words = text.lower().split()
        made = MinHash(NUM_PERMUTATIONS)
        made.update_batch([" ".join(words[i : i + 5]).encode() for i in range(max(1, len(words) - 4))])
        return made

    yield "the same by datasketch", by_datasketch


def _rate(function: Callable[[str], object], texts: list[str], num_bytes: int) -> float:
    """MB per second of processor time; the first texts warm up."""
    for text in texts[:20]:
        function(text)
    started = time.process_time()
    for text in texts:
        function(text)
    return num_bytes / 1e6 / (time.process_time() - started)


def _recall(texts: list[str]) -> str:
    """Pairs at or above the threshold found, against brute force over all pairs of edited copies of these files."""
    draw = random.Random(0)
    bases = draw.sample([t for t in texts if 100 <= len(t.split()) <= 1500], NUM_BASES)
    words = sorted({word for text in bases for word in text.split()})
    copies = [
        " ".join(draw.choice(words) if draw.random() < share else word for word in base.split())
        for base in bases
        for share in SHARES
    ]
    sets = [np.unique(shingles(text)) for text in copies]
    pairs = itertools.combinations(range(len(copies)), 2)
    true = [(i, j) for i, j in pairs if _possible(sets[i], sets[j]) and similarity(sets[i], sets[j]) >= THRESHOLD]
    signatures = np.stack([s for hashes in sets if (s := signature(hashes)) is not None])
    labels = NearDuplicates(len(signatures), signatures.__getitem__, copies.__getitem__, THRESHOLD).clusters()
    found = sum(labels[i] == labels[j] for i, j in true)
    together = {(i, j) for i, j in itertools.combinations(range(len(copies)), 2) if labels[i] == labels[j]}
    wrong = sum(similarity(sets[i], sets[j]) < THRESHOLD / 2 for i, j in together)
    return (
        f"{found:,} of {len(true):,} pairs of Jaccard similarity {THRESHOLD} and more found: recall "
        f"{found / len(true):.4f}; {wrong} of {len(together):,} pairs put together are less than half as similar"
    )


def _possible(first: Hashes, second: Hashes) -> bool:
    """Sets of very different size cannot reach the threshold."""
    return min(len(first), len(second)) >= THRESHOLD * max(len(first), len(second))


def _clustering() -> str:
    """Clustering of random signatures of which every tenth is a copy of the one before."""
    signatures = np.random.default_rng(0).integers(0, 1 << 32, (NUM_RANDOM, NUM_PERMUTATIONS), dtype=np.uint32)
    signatures[10::10] = signatures[9:-1:10]
    started = time.process_time()
    labels = NearDuplicates(len(signatures), signatures.__getitem__, lambda i: "", THRESHOLD).clusters()
    seconds = time.process_time() - started
    assert (labels[10::10] == labels[9:-1:10]).all()
    return f"{NUM_RANDOM:,} signatures clustered in {seconds:.1f} s of one core"


def _texts(folder: Path, suffix: str, max_bytes: float) -> Iterator[str]:
    total = 0
    for path in sorted(folder.rglob(f"*{suffix}")):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        total += len(text)
        if total > max_bytes:
            return
        yield text
