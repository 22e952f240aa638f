"""How one answer is scored against its reference, and one ranking against its gold passage; every function is pure."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

ARTICLES = frozenset({"a", "an", "the"})
FUZZY_THRESHOLD = 90.0
"""Lowest partial ratio (0-100) at which a fact counts as stated: about one wrong letter in ten."""
FUZZY_MIN_LENGTH = 8
"""Shorter facts must match exactly: in a few letters a typo makes another word."""

_UNSPACED = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"  # kana and Han: scripts that are written without spaces
_TOKEN = re.compile(rf"\d+(?:[.,]\d+)*|[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_THOUSANDS = re.compile(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_DECLINES = re.compile(
    r"\b(?:i (?:do not|don't|cannot|can't|could not|couldn't) (?:know|answer|find|tell|say|determine)"
    r"|(?:is|are|was|were) not (?:mentioned|stated|specified|provided|described|documented|given)"
    r"|(?:isn't|aren't) (?:mentioned|stated|specified|provided|described|documented|given)"
    r"|(?:does not|do not|did not|doesn't|don't) (?:say|state|mention|specify|describe|contain|provide)"
    r"|no (?:information|mention|answer)|not enough information|(?:cannot|can't) be (?:answered|determined|found)"
    r"|unknown|unanswerable)\b"
)


def score_answer(answer: str, *, reference: str, key_facts: Sequence[str], answerable: bool = True) -> dict[str, float]:
    """All metrics of one answer; a question that the documents do not answer is scored by abstention alone."""
    if not answerable:
        return {"abstention": abstention(answer)}
    return {
        "key_fact_recall": key_fact_recall(answer, key_facts or (reference,)),
        "token_f1": token_f1(answer, reference),
        "rouge_l": rouge_l(answer, reference),
        "exact_match": exact_match(answer, reference),
        "length_ratio": length_ratio(answer, reference),
    }


def tokens(text: str) -> list[str]:
    """Words and numbers, NFKC-folded, without case, punctuation and articles.

    This is SQuAD's normalisation (Rajpurkar et al. 2016) with three changes: numbers keep their decimals and lose
    thousands separators and trailing zeros (1,204 = 1204, 3.50 = 3.5), Chinese and Japanese count by character as in
    MLQA (Lewis et al. 2020), and a text of nothing but articles keeps them.
    """
    found = _TOKEN.findall(unicodedata.normalize("NFKC", text).casefold())
    words = [_canonical(bare) for token in found if (bare := token.strip("_"))]
    return [w for w in words if w not in ARTICLES] or words


def _canonical(token: str) -> str:
    """A number in one spelling; other tokens as they are."""
    if not token[0].isdigit() or token.isdigit():
        return token
    if _THOUSANDS.fullmatch(token):
        token = token.replace(",", "")
    elif token.count(",") == 1 and "." not in token:
        token = token.replace(",", ".")  # decimal comma
    if token.count(".") == 1:
        token = token.rstrip("0").rstrip(".")
    return token


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
    """2 LCS / (|answer| + |reference|), LCS the longest common subsequence of tokens (Lin 2004, with beta 1)."""
    from rapidfuzz.distance import LCSseq

    given, wanted = tokens(answer), tokens(reference)
    if not given or not wanted:
        return float(given == wanted)
    return 2.0 * LCSseq.similarity(given, wanted) / (len(given) + len(wanted))


def length_ratio(answer: str, reference: str) -> float:
    """Tokens of the answer per token of the reference: recall rewards long answers, and this shows them."""
    return len(tokens(answer)) / max(len(tokens(reference)), 1)


def key_fact_recall(answer: str, key_facts: Sequence[str]) -> float:
    """Share of the facts that the answer states; 0 when there is nothing to state."""
    return sum(states_fact(answer, fact) for fact in key_facts) / len(key_facts) if key_facts else 0.0


def states_fact(answer: str, fact: str) -> bool:
    """Whether a fact's tokens stand in the answer in one piece, or nearly so with every number right.

    Nearly: rapidfuzz's partial ratio (best-aligned substring) of at least FUZZY_THRESHOLD. The comparison is of words,
    not of sense: a negated fact counts as stated.
    """
    from rapidfuzz import fuzz

    wanted, given = tokens(fact), tokens(answer)
    if not wanted:
        return False
    short, long = " ".join(wanted), " ".join(given)
    if f" {short} " in f" {long} ":
        return True
    numbers = {t for t in wanted if t[0].isdigit()}
    if len(short) < FUZZY_MIN_LENGTH or not numbers <= set(given):
        return False
    # The partial ratio slides the shorter text along the longer: an answer shorter than the fact would match itself.
    ratio = fuzz.partial_ratio(short, long) if len(long) >= len(short) else fuzz.ratio(short, long)
    return ratio >= FUZZY_THRESHOLD


def abstention(answer: str) -> float:
    """1 when the answer is empty or says that it cannot answer (English phrases), else 0."""
    folded = unicodedata.normalize("NFKC", answer).casefold().replace("’", "'")
    return float(not folded.strip() or _DECLINES.search(folded) is not None)


def nats_to_bits(nats: float) -> float:
    """Nats divided by ln 2."""
    return nats / 0.6931471805599453


def recall_at(ranking: Sequence[str], gold: str, k: int) -> float:
    """1 when the gold id is among the first k, else 0."""
    return float(gold in ranking[:k])


def reciprocal_rank(ranking: Sequence[str], gold: str) -> float:
    """1 / position of the gold id counted from 1, or 0 when it is absent; its mean over questions is the MRR."""
    return 1.0 / (ranking.index(gold) + 1) if gold in ranking else 0.0
