"""Near duplicates are found as brute force finds them, whatever the order, the layout or the script."""

import itertools
import random

import numpy as np
import numpy.typing as npt
import pytest

from ray_ft.data.dedup.minhash import MIN_SHINGLES, NearDuplicates, Signatures, rows_per_band, signature
from ray_ft.data.dedup.shingles import WINDOW, rough_hashes, shingles

THRESHOLD = 0.8
WORDS = [f"{a}{b}{c}" for a in "bdfglmnprst" for b in "aeiou" for c in "bdfklmnrst"]


def _corpus(seed: int) -> list[str]:
    """40 families of texts, each with copies of which 0 to 8% of the words are others."""
    draw = random.Random(seed)
    texts = []
    for _ in range(40):
        base = draw.choices(WORDS, k=draw.randint(60, 400))
        texts += [
            " ".join(draw.choice(WORDS) if draw.random() < share else word for word in base)
            for share in (0, 0.004, 0.008, 0.012, 0.016, 0.02, 0.03, 0.04, 0.06, 0.08)
        ]
    draw.shuffle(texts)
    return texts


def _near(texts: list[str]) -> NearDuplicates:
    signatures: Signatures = np.stack([s for t in texts if (s := signature(shingles(t))) is not None])
    assert len(signatures) == len(texts)
    return NearDuplicates(len(signatures), signatures.__getitem__, texts.__getitem__, THRESHOLD)


def _similarities(texts: list[str]) -> npt.NDArray[np.float64]:
    """Jaccard similarity of every pair, [texts, texts], from a table of which text has which shingle."""
    sets = [np.unique(shingles(text)) for text in texts]
    known = np.unique(np.concatenate(sets))
    has = np.zeros((len(texts), len(known)), dtype=np.float32)
    for row, own in zip(has, sets, strict=True):
        row[np.searchsorted(known, own)] = 1
    shared = np.rint(has @ has.T).astype(np.float64)
    sizes = np.diag(shared)
    similarities: npt.NDArray[np.float64] = shared / (sizes[:, None] + sizes - shared)
    return similarities


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_of_the_pairs_that_brute_force_finds_nearly_all_are_found_and_no_others_are_joined(seed: int) -> None:
    texts = _corpus(seed)
    similar = _similarities(texts) >= THRESHOLD
    true = {(i, j) for i, j in itertools.combinations(range(len(texts)), 2) if similar[i, j]}
    labels = _near(texts).clusters()
    found = {(i, j) for i, j in true if labels[i] == labels[j]}
    assert len(true) > 100
    assert len(found) >= 0.95 * len(true)
    # A cluster holds what a chain of true pairs joins, hence never more than brute force's own clusters.
    parent = list(range(len(texts)))
    for i, j in sorted(true):
        old, new = parent[j], parent[i]
        parent = [new if p == old else p for p in parent]
    assert all(parent[i] == parent[int(labels[i])] for i in range(len(texts)))


def test_clusters_are_the_same_in_any_order() -> None:
    texts = _corpus(3)
    order = list(range(len(texts)))
    random.Random(5).shuffle(order)
    labels = _near(texts).clusters()
    shuffled = _near([texts[i] for i in order]).clusters()
    clusters: dict[int, set[int]] = {}
    for place, label in enumerate(shuffled):
        clusters.setdefault(int(label), set()).add(order[place])
    wanted: dict[int, set[int]] = {}
    for i, label in enumerate(labels):
        wanted.setdefault(int(label), set()).add(i)
    assert {frozenset(c) for c in clusters.values()} == {frozenset(c) for c in wanted.values()}


def test_an_unclear_pair_is_settled_by_its_texts() -> None:
    words = [f"word{i}" for i in range(404)]
    asked = []

    def text_of(index: int) -> str:
        asked.append(index)
        return texts[index]

    # 400 runs of 5 words; a changed word alters 5 of them: 9 make 355 / 445 = 0.798, 8 make 360 / 440 = 0.818.
    for num_changed, expected in ((9, False), (8, True)):
        other = [f"other{i}" if i % 40 == 20 and i < 40 * num_changed else word for i, word in enumerate(words)]
        texts = [" ".join(words), " ".join(other)]
        signatures = np.stack([s for t in texts if (s := signature(shingles(t))) is not None])
        near = NearDuplicates(2, signatures.__getitem__, text_of, THRESHOLD)
        assert near.near(0, 1) is expected
    assert asked == [0, 1, 0, 1]


def test_layout_and_punctuation_do_not_hide_a_copy() -> None:
    assert rough_hashes("The ferry (no. 7)\n\tleaves!").tolist() == rough_hashes("the FERRY no 7 leaves").tolist()
    assert rough_hashes("ab c").tolist() != rough_hashes("a bc").tolist()


def test_each_character_of_a_script_without_spaces_is_a_word() -> None:
    assert len(rough_hashes("渡り板は朝に開く。")) == 8
    assert len(rough_hashes("Fähre über Ödland")) == 3
    assert rough_hashes("ÄÖ").tolist() == rough_hashes("äö").tolist()


def test_a_text_longer_than_a_window_hashes_as_its_words_do() -> None:
    words = [f"w{i}" for i in range(WINDOW // 4)]
    alone = [int(rough_hashes(word)[0]) for word in words]
    assert rough_hashes(" ".join(words)).tolist() == alone


def test_short_texts_have_no_near_copies() -> None:
    assert signature(shingles(" ".join(["word"] * (MIN_SHINGLES + 3)))) is None
    assert signature(shingles(" ".join(WORDS[: MIN_SHINGLES + 4]))) is not None
    assert len(shingles("")) == 0


def test_bands_are_as_long_as_recall_allows() -> None:
    # 21 bands of 6: 1 - (1 - 0.8**6)**21 = 0.998; 18 bands of 7: 0.985.
    assert rows_per_band(0.8) == 6
    assert rows_per_band(0.95) > rows_per_band(0.8) > rows_per_band(0.6)
