"""Whether the words of a statement belong together in its passage as they do in the statement."""

from collections.abc import Mapping, Sequence, Set
from itertools import pairwise

from ray_ft.recipes.grounding.english import ADVERBIALS, SUBORDINATORS
from ray_ft.recipes.grounding.passage import Passage, best_sentence
from ray_ft.recipes.grounding.statements import MARKS, STEMMED_UNITS, Word, clauses, split_at_marks

MIN_WORDS = 3  # an answer with fewer is read together with its question

_Place = tuple[int, Sequence[Word]]  # number of a sentence, and one of its clauses


def joins_what_stands_apart(sentence: Sequence[Word], asked: Sequence[Word], passage: Passage) -> bool:
    """Whether a sentence takes words from different places of the passage and makes one statement of them."""
    whole = not _is_scattered(sentence, best_sentence(sentence, passage), passage)
    for statement in [list(sentence)] if whole else clauses(sentence):
        window = best_sentence(statement, passage)
        if (
            _is_scattered(statement, window, passage)
            or _is_reordered(statement, window)
            or _is_unrelated(statement, window)
        ):
            return True
    return _is_misbound([w for w in sentence if w.is_content], asked, passage)


def _is_scattered(statement: Sequence[Word], window: Sequence[Word], passage: Passage) -> bool:
    """Whether words of a statement stand elsewhere in the passage; what it speaks of throughout may be added."""
    keys = {w.key for w in window}
    return any(w.is_content and w.key not in keys and w.key in passage.local for w in statement)


def _is_misbound(content: Sequence[Word], asked: Sequence[Word], passage: Passage) -> bool:
    """Whether a word of the answer stands in the passage only beside another detail than the answer's.

    `The ferry carries 40 cars` of `leaves every 40 minutes and carries 120 cars`: `cars` has a rival of 40 beside it.
    """
    details = {w.key: w.kind for w in content if w.is_detail}
    named = details.keys() | {w.key for w in asked}
    words = [w.key for w in content]
    if len(words) - len(details) < MIN_WORDS:
        sentences = {n for d in details for n, _ in passage.places(d)}
        near = {w.key for n in sentences for c in passage.clauses[n] for w in c}
        words += [w.key for w in asked if w.is_content and w.key in near]
    return any(_has_rival(detail, kind, words, details, named, passage) for detail, kind in details.items())


def _has_rival(
    detail: str, kind: str, words: Sequence[str], details: Mapping[str, str], named: Set[str], passage: Passage
) -> bool:
    """Whether one of the words stands only beside other details of this kind."""
    homes = passage.places(detail)
    own = {w.key for _, c in homes for w in c}
    for other in words:
        if other in own or details.get(other) == kind:
            continue
        places = passage.places(other)
        if places and all(_is_rival(n, c, kind, passage, named) for n, c in places):
            may_be_left_out = places[0][0] <= max((n for n, _ in homes), default=-1)
            if not (may_be_left_out and _is_gapped(places, homes, words, detail)):
                return True
    return False


def _is_rival(number: int, clause: Sequence[Word], kind: str, passage: Passage, named: Set[str]) -> bool:
    """Whether a clause has details of a kind and none of the answer's, or the condition beside it where it has none."""
    own = {w.key for w in clause if w.kind == kind}
    part = passage.clauses[number]
    place = next(i for i, c in enumerate(part) if c[0].position == clause[0].position)
    beside = [c for c in part[max(0, place - 1) : place + 2] if c[0].text.lower() in SUBORDINATORS]
    around = own or {w.key for c in beside for w in c if w.kind == kind}
    return bool(around) and not around & (named - {"1"}) and around != {"1"}  # `25 euros a day` shares its day with all


def _is_gapped(places: Sequence[_Place], homes: Sequence[_Place], words: Sequence[str], detail: str) -> bool:
    """Whether a later clause of the same sentence leaves the word out, as in `old models arrive within five days, new

    ones within four weeks`. The clause then has a word of the answer that the first one has not.
    """
    for n, place in places:
        for m, home in homes:
            if n == m and place[0].position < home[0].position:
                own = {w.key for w in home if w.kind in ("word", "name", "identifier") and w.key not in STEMMED_UNITS}
                if (own - {detail}) & (set(words) - {w.key for w in place}):
                    return True
    return False


def _is_reordered(sentence: Sequence[Word], window: Sequence[Word]) -> bool:
    """Whether words stand the other way round than in the passage, as in `trucks board first, then cars` reversed.

    Passives (`by`, `of`), subordinate clauses, and adverbials at the beginning of an answer may move.
    """
    places: dict[str, list[int]] = {}
    for i, word in enumerate(window):
        places.setdefault(word.key, []).append(i)
    known = [
        (i, w)
        for i, w in enumerate(sentence)
        if w.is_content and w.kind != "relation" and len(places.get(w.key, ())) == 1
    ]
    reordered = False
    for n, ((i, a), (j, b)) in enumerate(pairwise(known)):
        at_a, at_b = places[a.key][0], places[b.key][0]
        if at_a <= at_b:
            continue
        between = {w.text.lower() for w in sentence[i + 1 : j]}
        if between & {"by", "of"} or {w.text.lower() for w in window[max(0, at_a - 4) : at_a]} & {"by", "of"}:
            return False
        is_moved = sentence[0].text.lower() in ADVERBIALS and not any(w.text in ";:.!?" for w in window[at_b:at_a])
        later = [places[w.key][0] for _, w in known[n + 2 :] if places[w.key][0] > at_a]
        is_gapped = any(not any(w.kind == "mark" for w in window[at_a:at_c]) for at_c in later)
        reordered |= not between & SUBORDINATORS and not is_moved and not is_gapped
    return reordered


def _is_unrelated(sentence: Sequence[Word], window: Sequence[Word]) -> bool:
    """Whether a small word such as `above` or `before` belongs to something else in the passage."""
    runs = [{w.key for w in run} for run in split_at_marks(window, MARKS)]
    for said in split_at_marks(sentence, MARKS):
        content = [w for w in said if w.is_content]
        for word, following in pairwise(content):
            if word.kind == "relation" and not any({word.key, following.key} <= run for run in runs):
                return True
    return False
