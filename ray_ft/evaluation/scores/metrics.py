"""How one answer is scored against its reference, and one ranking against its gold passage; every function is pure."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

from ray_ft.evaluation.scores.abstaining import declines
from ray_ft.evaluation.scores.checks import passes
from ray_ft.quiet import import_bm25s
from ray_ft.words import pieces, split

ARTICLES = frozenset({"a", "an", "the"})
FUZZY_THRESHOLD = 90.0
"""Lowest partial ratio (0-100) at which a fact counts as stated: small words may differ, others may not."""
FUZZY_MIN_LENGTH = 8
"""Shorter facts and words must match exactly: in a few letters a typo makes another word."""
MANY_CAPITALS = 1 / 3
"""Where more of a text's words have a capital, as in German, capitals tell no names."""

_THOUGHT = re.compile(
    r"<(think(?:ing)?|thoughts?|reasoning)>.*?(?:</\1>|\Z)|\[THINK\].*?(?:\[/THINK\]|\Z)", re.S | re.I
)
_ENDED_THOUGHT = re.compile(r"\A.*(?:</(?:think(?:ing)?|thoughts?|reasoning)>|\[/THINK\])", re.S | re.I)
_STEP = re.compile(r"^[ \t]*(?:\d+[.)]|[-*•])[ \t]+(?=\S)", re.M)


def score_answer(
    answer: str,
    *,
    reference: str,
    key_facts: Sequence[str],
    answerable: bool = True,
    question: str = "",
    source: str = "",
    checks: Sequence[str] = (),
) -> dict[str, float]:
    """All metrics of one answer, without its thoughts; `source` is what supports details beside the reference.

    A question that the documents do not answer is scored by abstention alone; steps, where the reference has some. With
    `checks` an answer is right, all of them and all facts, or wrong: words of the reference prove nothing.
    """
    said = without_thoughts(answer)
    abstains = abstention(answer)
    if not answerable:
        return {"abstention": abstains}
    if checks:
        is_right = passes(said, checks, question=question) and all(states_fact(said, fact) for fact in key_facts)
        ratio = length_ratio(said, reference)
        return {"key_fact_recall": float(is_right), "declined": abstains, "length_ratio": ratio}
    facts = key_facts or (reference,)
    recall = key_fact_recall(said, facts)
    precision = key_fact_precision(said, " ".join((reference, *facts)), question=question)
    scores = {
        "key_fact_recall": recall,
        "key_fact_precision": precision,
        "key_fact_f1": 2 * recall * precision / (recall + precision) if recall + precision else 0.0,
        "net_score": net_score(recall, precision, abstains=bool(abstains)),
        "token_f1": token_f1(said, reference),
        "rouge_l": rouge_l(said, reference),
        "chrf": chrf(said, reference),
        "exact_match": exact_match(said, reference),
        "unsupported_details": unsupported_details(said, " ".join((reference, *facts, question, source))),
        "declined": abstains,
        "length_ratio": length_ratio(said, reference),
    }
    if steps := steps_of(reference):
        scores["steps_in_order"] = steps_in_order(said, steps)
    return scores


def without_thoughts(answer: str) -> str:
    """What is said to the reader: no <think>...</think>, finished or not, begun in the answer or in the prompt."""
    return _ENDED_THOUGHT.sub("", _THOUGHT.sub("", answer)).strip()


def tokens(text: str) -> list[str]:
    """Words of `ray_ft.words` without articles: SQuAD's normalisation (Rajpurkar et al. 2016) beyond English.

    A text of nothing but articles keeps them.
    """
    words = split(text)
    return [w for w in words if w not in ARTICLES] or words


def exact_match(answer: str, reference: str) -> float:
    """1 when the normalised tokens are equal, else 0 (SQuAD)."""
    return float(tokens(answer) == tokens(reference))


def token_f1(answer: str, reference: str) -> float:
    """2 P R / (P + R) over the multiset of tokens both share (SQuAD); two empty texts agree, one alone does not."""
    given, wanted = Counter(tokens(answer)), Counter(tokens(reference))
    if not given or not wanted:
        return float(given == wanted)
    return 2.0 * (given & wanted).total() / (given.total() + wanted.total())


def rouge_l(answer: str, reference: str) -> float:
    """2 LCS / (|answer| + |reference|), LCS the longest common subsequence of words (Lin 2004, with beta 1)."""
    from rapidfuzz.distance import LCSseq

    given, wanted = split(answer), split(reference)
    if not given or not wanted:
        return float(given == wanted)
    return 2.0 * LCSseq.similarity(given, wanted) / (len(given) + len(wanted))


def chrf(answer: str, reference: str) -> float:
    """Character n-grams up to six, recall twice the weight of precision (Popović 2015), as sacrebleu has it; 0 to 1."""
    return float(_chrf().sentence_score(answer, [reference]).score) / 100


@cache
def _chrf() -> Any:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()


def length_ratio(answer: str, reference: str) -> float:
    """Tokens of the answer per token of the reference: recall rewards long answers, and this shows them."""
    return len(tokens(answer)) / max(len(tokens(reference)), 1)


def key_fact_recall(answer: str, key_facts: Sequence[str]) -> float:
    """Share of the facts that the answer states; 0 when there is nothing to state."""
    return sum(states_fact(answer, fact) for fact in key_facts) / len(key_facts) if key_facts else 0.0


def key_fact_precision(answer: str, wanted: str, *, question: str = "") -> float:
    """Share of the answer's own words that are wanted: what recall does not see in copied passages.

    Words of the question and small words count on neither side unless they are wanted; where no others are left, 0.
    """
    right = set(tokens(wanted))
    free = (_small_words() | set(split(question))) - right
    own = [word for word in tokens(answer) if word not in free]
    return sum(word in right for word in own) / len(own) if own else 0.0


def net_score(recall: float, precision: float, *, abstains: bool) -> float:
    """Right facts minus invented words, from -1 to 1: all is right, 0: the answer says that it cannot tell.

    recall * precision - (1 - recall) * (1 - precision), and -1 where an answer states no fact at all: one that is
    fluent and invented must not stand above an honest abstention.
    """
    if abstains:
        return 0.0
    return recall * precision - (1 - recall) * (1 - precision) if recall else -1.0


def states_fact(answer: str, fact: str) -> bool:
    """Whether a fact's tokens stand in the answer in one piece, or nearly so.

    Nearly: rapidfuzz's partial ratio (best-aligned substring) of at least FUZZY_THRESHOLD, with every word there but
    small ones, numbers exactly and words of FUZZY_MIN_LENGTH letters up to one typo. The comparison is of words, not of
    sense: a negated fact counts as stated.
    """
    from rapidfuzz import fuzz

    wanted, given = tokens(fact), tokens(answer)
    if not wanted:
        return False
    short, long = " ".join(wanted), " ".join(given)
    if f" {short} " in f" {long} ":
        return True
    # The partial ratio slides the shorter text along the longer: an answer shorter than the fact would match itself.
    if len(short) < FUZZY_MIN_LENGTH or len(long) < FUZZY_THRESHOLD / 100 * len(short):
        return False
    found = fuzz.partial_ratio_alignment(short, long, score_cutoff=FUZZY_THRESHOLD)
    if found is None:
        return False
    start, end = (found.dest_start, found.dest_end) if len(long) >= len(short) else (0, len(long))
    window = long[long.rfind(" ", 0, start) + 1 : end + (long + " ").index(" ", end) - end].split()
    return all(any(_same(w, g) for g in window) for w in wanted if w not in _small_words())


def _same(wanted: str, given: str) -> bool:
    """Equal, or one typo apart in a long word."""
    from rapidfuzz.distance import OSA

    if wanted == given:
        return True
    long = min(len(wanted), len(given)) >= FUZZY_MIN_LENGTH and wanted.isalpha()
    return long and wanted[0] == given[0] and OSA.distance(wanted, given) <= 1


@cache
def _small_words() -> frozenset[str]:
    """English words that say nothing by themselves; those that deny say much."""
    return frozenset(import_bm25s().stopwords.STOPWORDS_EN) - {"no", "not"}


def steps_of(reference: str) -> list[str]:
    """The numbered or bulleted steps of a reference; [] where there are fewer than two."""
    steps = [step.strip() for step in _STEP.split(reference)[1:]]
    return steps if len(steps) > 1 else []


def steps_in_order(answer: str, steps: Sequence[str]) -> float:
    """Share of the steps that the answer states in their order: the longest run that rises over all steps."""
    long = tokens(answer)
    places = [place for step in steps if (place := _place(tokens(step), long)) is not None]
    longest: list[int] = []
    for i, place in enumerate(places):
        longest.append(1 + max((longest[j] for j in range(i) if places[j] < place), default=0))
    return max(longest, default=0) / len(steps)


def _place(wanted: list[str], given: list[str]) -> int | None:
    """Where a step's words stand together: the window of its length that has most of them, at least two thirds."""
    best, place = 0, None
    for start in range(max(1, len(given) - len(wanted) + 1)):
        shared = (Counter(wanted) & Counter(given[start : start + len(wanted)])).total()
        if shared > best:
            best, place = shared, start
    return place if wanted and best >= math.ceil(2 / 3 * len(wanted)) else None


def unsupported_details(answer: str, support: str) -> float:
    """Share of the answer's numbers, identifiers and names that stand nowhere in `support`; 0 without any."""
    found = details(answer)
    known = set(split(support))
    return sum(word not in known for word in found) / len(found) if found else 0.0


def details(text: str) -> set[str]:
    """Numbers, words with digits, underscores or inner capitals, and capitalised words that begin no sentence."""
    found: set[str] = set()
    names: set[str] = set()
    num_words = 0
    for sentence in re.split(r"[.!?:\n][\s\"'*_)]+|\n", text):
        for place, piece in enumerate(pieces(sentence)):
            num_words += 1
            inner = any(c.isdigit() or c == "_" or c.isupper() for c in piece.text[1:])
            if piece.is_number or (inner and piece.text[0].isalpha()):
                found.add(piece.word)
            elif place and piece.text[0].isupper() and len(piece.text) > 1:
                names.add(piece.word)
    is_telling = len(names) <= MANY_CAPITALS * num_words
    return found | names if is_telling else found


def abstention(answer: str) -> float:
    """1 when the answer is empty or says that it cannot answer, else 0; a thought that never ends says neither."""
    said = without_thoughts(answer)
    return float(declines(said) and bool(said or not answer.strip()))


def nats_to_bits(nats: float) -> float:
    """Nats divided by ln 2."""
    return nats / 0.6931471805599453


def ndcg_at(ranking: Sequence[str], gold: str, k: int) -> float:
    """Discounted gain of the one gold id among the first k, 1 / log2(1 + position), or 0 (Järvelin and Kekäläinen)."""
    return 1.0 / math.log2(2 + ranking[:k].index(gold)) if gold in ranking[:k] else 0.0


def recall_at(ranking: Sequence[str], gold: str, k: int) -> float:
    """1 when the gold id is among the first k, else 0."""
    return float(gold in ranking[:k])


def reciprocal_rank(ranking: Sequence[str], gold: str) -> float:
    """1 / position of the gold id counted from 1, or 0 when it is absent; its mean over questions is the MRR."""
    return 1.0 / (ranking.index(gold) + 1) if gold in ranking else 0.0
