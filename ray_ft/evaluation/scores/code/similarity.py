"""How near an answer's code is to the reference's: as text, by its names, by its tree; every function is pure."""

import hashlib
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING

from ray_ft.evaluation.scores.code.reading import Code, leaves, names

if TYPE_CHECKING:
    from tree_sitter import Node


def edit_similarity(answer: str, reference: str) -> float:
    """2 LCS / (|answer| + |reference|) over characters, without blank lines and spaces at line ends; 0 to 1.

    The edit similarity of code completion benchmarks (CodeXGLUE, arXiv 2102.04664), which is fuzzywuzzy's ratio.
    """
    from rapidfuzz.distance import Indel

    return float(Indel.normalized_similarity(_plain(answer), _plain(reference)))


def identifier_f1(answer: Code, reference: Code) -> float:
    """2 P R / (P + R) over the multiset of names that both share; two pieces without names agree."""
    return _f1(names(answer), names(reference))


def tree_match(answer: Code, reference: Code) -> float:
    """2 P R / (P + R) over the multiset of subtrees of node kinds, whatever the names in them.

    CodeBLEU's syntactic match (arXiv 2009.10297) is the recall of these; here more code than asked for costs precision.
    """
    return _f1(subtrees(answer), subtrees(reference))


def same_code(answer: Code, reference: Code) -> float:
    """1 where the tokens and the shape of the trees are equal, whatever the layout and the comments, else 0."""
    same = leaves(answer) == leaves(reference) and subtrees(answer) == subtrees(reference)
    return float(same and bool(answer.text.strip()))


@lru_cache(maxsize=64)  # a reference is held against every system's answer
def subtrees(code: Code) -> Counter[str]:
    """Every node that is no leaf, as a digest of its kind and of those of the named nodes below it."""
    found: Counter[str] = Counter()
    digests: dict[int, str] = {}
    # Children before parents, without recursion: an answer may be nested as deep as it is long.
    stack: list[tuple[Node, bool]] = [(code.root, False)]
    while stack:
        node, is_done = stack.pop()
        children = [child for child in node.named_children if "comment" not in child.type]
        if not is_done and children:
            stack.append((node, True))
            stack.extend((child, False) for child in children)
            continue
        shape = f"{node.type}({' '.join(digests.pop(child.id) for child in children)})"
        digests[node.id] = hashlib.sha256(shape.encode()).hexdigest()[:16]
        if node.child_count:
            found[digests[node.id]] += 1
    return found


def _plain(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines() if line.strip())


def _f1(given: Counter[str], wanted: Counter[str]) -> float:
    if not given or not wanted:
        return float(given == wanted)
    return 2.0 * (given & wanted).total() / (given.total() + wanted.total())
