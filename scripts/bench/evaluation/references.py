"""Writes tests/data/reference_scores.json: what other programs say of the same answers and rankings.

Run it where they are installed: `python references.py`, with rouge-score, sacrebleu and scikit-learn. SQuAD's F1 and
exact match are those of its official script, evaluate-v1.1.py, written out here.
"""

import json
import re
import string
from collections import Counter
from importlib.metadata import version
from pathlib import Path

PAIRS = (
    ("The ferry leaves at noon.", "The ferry leaves at noon"),
    ("a ferry leaves noon", "The ferry leaves at noon."),
    ("It leaves from pier 3 at 740 on Sundays", "The boat leaves pier 3 at 740"),
    ("cat sat on the mat and the dog sat too", "the dog sat on a mat"),
    ("No idea", "Ask the harbour office before Friday"),
    ("harbour harbour harbour", "the harbour"),
    ("tickets cost 12 euros for adults", "Adults pay 12 euros"),
    ("Der Fahrplan gilt ab Montag", "Der Plan gilt ab Montag"),
    ("the the the", "an answer"),
    ("Bring water food and a lamp", "bring a lamp food and water"),
)
RANKINGS = ((0, 5), (2, 5), (4, 5), (9, 10), (1, 3))
"""Place of the one gold passage, from 0, and passages looked at."""


def normalize(text: str) -> list[str]:
    """normalize_answer of evaluate-v1.1.py."""
    text = "".join(c for c in text.lower() if c not in set(string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def squad_f1(answer: str, reference: str) -> float:
    given, wanted = normalize(answer), normalize(reference)
    shared = sum((Counter(given) & Counter(wanted)).values())
    if not shared:
        return 0.0
    precision, recall = shared / len(given), shared / len(wanted)
    return 2 * precision * recall / (precision + recall)


def main() -> None:
    import numpy as np
    from rouge_score import rouge_scorer
    from sacrebleu.metrics import CHRF
    from sklearn.metrics import ndcg_score

    rouge = rouge_scorer.RougeScorer(["rougeL"])
    scores = [
        {
            "answer": answer,
            "reference": reference,
            "token_f1": squad_f1(answer, reference),
            "exact_match": float(normalize(answer) == normalize(reference)),
            "rouge_l": rouge.score(reference, answer)["rougeL"].fmeasure,
            "chrf": CHRF().sentence_score(answer, [reference]).score / 100,
        }
        for answer, reference in PAIRS
    ]
    rankings = [
        {"place": place, "k": k, "ndcg": float(ndcg_score(np.eye(20)[[place]], -np.arange(20.0)[None], k=k))}
        for place, k in RANKINGS
    ]
    versions = {name: version(name) for name in ("rouge-score", "sacrebleu", "scikit-learn")}
    target = Path(__file__).resolve().parents[3] / "tests/data/reference_scores.json"
    target.write_text(json.dumps({"versions": versions, "answers": scores, "rankings": rankings}, indent=1) + "\n")


if __name__ == "__main__":
    main()
