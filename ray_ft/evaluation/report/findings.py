"""What the figures say, in sentences: verdicts, advice, warnings and limits; the same words in HTML and Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ray_ft import rows
from ray_ft.artifacts import Contrast, Score, Share, TrainingSet
from ray_ft.config.keys import REHEARSAL_PROMPTS
from ray_ft.evaluation.scores.scoring import BITS_PER_BYTE, DRIFT, FLOOR, HARNESS, JUDGED, UNANSWERABLE
from ray_ft.evaluation.scores.statistics import MIN_DOCUMENTS, fewest_documents

WORDY = 1.5
"""A winner whose answers are this many times longer may owe its recall to their length."""
OFTEN_TRUNCATED = 0.2
MOST_PROMPTS = 0.8  # of those for rehearsal: a few answers are always left out


@dataclass(frozen=True)
class Metric:
    """How a metric is named, printed and explained."""

    title: str
    unit: Literal["percent", "times", "number"]
    meaning: str

    def format(self, value: float) -> str:
        """A figure of one system: 41.2%, 1.30×, 2.345."""
        return {"percent": f"{100 * value:.1f}%", "times": f"{value:.2f}×", "number": f"{value:.3f}"}[self.unit]

    def format_difference(self, value: float) -> str:
        """A difference with its sign: +3.1 points, -0.045."""
        text = f"{100 * value:+.1f}" if self.unit == "percent" else f"{value:+.3f}"
        return text.replace("-", "−") if float(text) else text[1:]


METRICS = {
    "key_fact_recall": Metric(
        "key-fact recall",
        "percent",
        "share of the reference's facts that the answer states, numbers exactly; of a question with checks, whether "
        "it passes them",
    ),
    "key_fact_precision": Metric(
        "precision",
        "percent",
        "share of the answer's own words that the reference holds; low for copied passages",
    ),
    "key_fact_f1": Metric("key-fact F1", "percent", "recall of the facts and precision of the words, balanced"),
    "net_score": Metric(
        "net score", "percent", "right facts minus invented words: 100% all right, 0% declined, -100% no fact right"
    ),
    "token_f1": Metric("token F1", "percent", "overlap of words with the reference, precision and recall balanced"),
    "rouge_l": Metric("ROUGE-L", "percent", "longest common word sequence with the reference"),
    "chrf": Metric("chrF", "percent", "overlap of runs of characters with the reference, for languages that inflect"),
    "steps_in_order": Metric("steps", "percent", "share of the reference's steps that are stated in their order"),
    "exact_match": Metric(
        "exact match", "percent", "share of answers equal to the reference but for case and articles"
    ),
    "abstention": Metric("abstention", "percent", "share of unanswerable questions that the system declines"),
    "unsupported_details": Metric(
        "unsupported", "percent", "numbers, names and identifiers that neither reference, question nor passages hold"
    ),
    "declined": Metric("declined", "percent", "share of answers that say they cannot tell; a guard, not a quality"),
    "length_ratio": Metric("length", "times", "answer's words per word of the reference; a guard, not a quality"),
    "truncated": Metric("cut off", "percent", "share of answers stopped at max_new_tokens; a guard, not a quality"),
    "parses": Metric("parses", "percent", "share of answers whose code is whole by its language's grammar"),
    "invented_symbols": Metric(
        "invented names",
        "percent",
        "names used that neither the corpus, the language and its library, the prompt nor the answer itself has",
    ),
    "edit_similarity": Metric("edit similarity", "percent", "characters in common with the reference, in order"),
    "identifier_f1": Metric("identifier F1", "percent", "names in common with the reference, both ways"),
    "tree_match": Metric("tree match", "percent", "subtrees in common with the reference, whatever the names"),
    "same_code": Metric("same code", "percent", "share of answers equal to the reference but for layout and comments"),
    JUDGED: Metric("judge's preference", "percent", "share of answers that a judge prefers in both orders, ties half"),
    BITS_PER_BYTE: Metric("bits per byte", "number", "surprise at the text of held-out documents; lower is better"),
    DRIFT: Metric(
        "bits per token",
        "number",
        "surprise at what the base itself says to generic prompts; its rise under tuned "
        "estimates how far the model has moved, KL(base || tuned)",
    ),
}
STRATA = {
    "held_out": ("held-out documents", "never trained on: does the model generalise, or bluff?"),
    "seen": ("seen documents", "trained on, the questions were not: did the model learn them?"),
    "user": ("user questions", "given by the user; whether their documents were trained on is not known"),
    "retention": ("general questions", "what the base could do before: did tuning cost it?"),
    UNANSWERABLE: ("unanswerable questions", "the documents do not hold the answer: does the system say so?"),
}
"""Title and meaning of each stratum, in the order of the report."""


def in_order(names: Iterable[str]) -> list[str]:
    """Metrics as a table has them; those that name themselves come last."""
    known = list(METRICS)
    return sorted(dict.fromkeys(names), key=lambda name: known.index(name) if name in METRICS else len(known))


def metric_of(name: str) -> Metric:
    """Figures of retrieval name themselves: `recall@3 (passage)` is a share, `MRR@10 (passage)` is not."""
    return METRICS.get(name) or Metric(name, "number" if name.startswith(("MRR", "nDCG")) else "percent", "")


def stratum_title(stratum: str) -> str:
    """A stratum as a reader knows it; what is not asked as questions says its own name."""
    return STRATA[stratum][0] if stratum in STRATA else stratum


def verdict_sentence(contrast: Contrast) -> str:
    """One contrast in words, with its difference, interval and p, or with what it would take to decide."""
    metric = metric_of(contrast.metric)
    where = stratum_title(contrast.stratum)
    unit = " points" if metric.unit == "percent" else ""
    difference = f"{metric.format_difference(contrast.difference)}{unit}"
    span = f"95% interval {metric.format_difference(contrast.low)} to {metric.format_difference(contrast.high)}"
    holm = "" if contrast.p_holm is None else " after Holm"
    figures = f"{metric.title} {difference}, {span}, p {p_text(contrast)}{holm}"
    pair = f"{contrast.treatment} against {contrast.control}"
    if contrast.verdict in ("better", "worse"):
        wide = "; the interval allows for a document that nobody asked about" * (contrast.low <= 0 <= contrast.high)
        return f"On {where}, {contrast.treatment} is {contrast.verdict} than {contrast.control}: {figures}{wide}."
    if contrast.verdict == "no meaningful difference":
        margin = metric.format_difference(contrast.margin).lstrip("+")
        tested = (
            "" if contrast.p_equivalence is None else f", and a difference beyond has p {_p(contrast.p_equivalence)}"
        )
        return (
            f"On {where}, {pair} makes no meaningful difference: {figures}; "
            f"the interval lies within ±{margin}{unit}{tested}{holm if tested else ''}."
        )
    if contrast.withheld:
        return f"On {where}, {pair} is undecided: {figures}, but {contrast.withheld}."
    if contrast.num_more is None:
        nothing = ", which repeating the question or saying nothing reaches" if contrast.floor > FLOOR else ""
        return (
            f"On {where}, {pair} is undecided: {figures}; both score no more than {metric.format(contrast.floor)}"
            f"{nothing}, so the questions are too hard for either to show a difference."
        )
    items = {BITS_PER_BYTE: "documents", DRIFT: "texts"}.get(contrast.metric, "questions")
    more = f"about {contrast.num_more:,} more {items} from documents like these would decide"
    return f"On {where}, {pair} is undecided: {figures}; {more}."


def p_text(contrast: Contrast) -> str:
    """The p that the verdict used, adjusted where there is a family: `= 0.031`, or `< 0.001`."""
    return _p(contrast.p_value if contrast.p_holm is None else contrast.p_holm)


def _p(p_value: float) -> str:
    return f"= {p_value:.3f}" if p_value >= 0.001 else "< 0.001"


def advice(contrasts: Iterable[Contrast]) -> str:
    """What to do, in a sentence, from the primary contrasts on held-out documents where there are any.

    Where something was lost a second sentence says so, whatever the first one found.
    """
    contrasts = list(contrasts)
    of_stratum = judged(contrasts)
    if not of_stratum:
        return "Compare tuned with base to get a verdict: evaluation.systems names only one of them."
    title = stratum_title(of_stratum[0].stratum)
    if all(c.verdict == "undecided" and c.num_more is None and not c.withheld for c in of_stratum):
        return f"Nothing is shown: every system fails the questions on {title}, tuned or not."
    verdicts = {(c.treatment, c.control): c.verdict for c in of_stratum}
    lost = any(kept.tag == "loss" for kept in forgetting(contrasts))
    cost = " But tuning cost what the base could do before: look at what was kept." if lost else ""
    return f"Judged by {title}, {_advice(verdicts)}{cost}"


@dataclass(frozen=True)
class Kept:
    """What one test says of what the base could do before: a tag of few words, whether it is bad news, a sentence."""

    tag: Literal["loss", "no evidence of loss", "open", "moved"]
    sentence: str


def forgetting(contrasts: Iterable[Contrast]) -> list[Kept]:
    """Whether tuned lost what the base could do before: a test of non-inferiority for each group, and its drift.

    A loss beyond the margin is ruled out where the near end of the 95% interval is above it, one-sided 2.5%: a question
    of its own, fixed in advance, beside the family of gains. It never says that nothing was forgotten.
    """
    pairs = [c for c in contrasts if (c.treatment, c.control) == ("tuned", "base")]
    return [_kept(c) for c in pairs if is_retention(c)] + [_moved(c) for c in pairs if c.metric == DRIFT]


def remedy(contrasts: Iterable[Contrast], training_set: TrainingSet) -> str:
    """The next step against a loss, by what training held and in the order of evidence; "" where nothing was lost.

    The base's own answers keep more than answers of others do (arXiv 2402.13669, 2403.01244), and more of them more;
    a lower rate and fewer epochs keep what they do not learn.
    """
    if not any(kept.tag == "loss" for kept in forgetting(contrasts)):
        return ""
    slower = "lower train.learning_rate or train.num_epochs"
    if rows.REHEARSAL not in training_set.recipes:
        return f"add data.rehearsal, which mixes in general prompts that the base itself answers; then {slower}"
    share = training_set.mixture.get(rows.REHEARSAL, Share(1.0))
    if share.num_available < MOST_PROMPTS * REHEARSAL_PROMPTS:
        return (
            f"raise data.rehearsal.num_examples: {share.num_available:,} answers of the base were mixed in, and there "
            f"are {REHEARSAL_PROMPTS:,} prompts; then {slower}"
        )
    return f"{slower}, or raise data.rehearsal.weight, which was {share.weight:g}"


def is_retention(c: Contrast) -> bool:
    """Whether a contrast says what was kept: general questions by their main metric, and tasks of others."""
    return c.primary if c.stratum == "retention" else c.stratum.startswith(HARNESS)


def _kept(c: Contrast) -> Kept:
    metric, where = metric_of(c.metric), stratum_title(c.stratum)
    points = f"{metric.format_difference(c.margin).lstrip('+')} points"
    low, high = metric.format_difference(c.low), metric.format_difference(c.high)
    figures = f"{metric.title} {metric.format_difference(c.difference)} points, 95% interval {low} to {high}"
    figures += f", {c.num_items:,} questions"
    if c.verdict == "worse":
        size = f"less than the margin of {points}" if c.low >= -c.margin else ""
        size = f"more than the margin of {points}" if c.high < -c.margin else size
        return Kept("loss", f"On {where}, tuned lost what base could do{f', {size}' if size else ''}: {figures}.")
    if (
        c.num_documents >= MIN_DOCUMENTS
        and c.low >= -c.margin
        and not (c.verdict == "undecided" and c.num_more is None)
    ):
        return Kept("no evidence of loss", f"On {where}, there is no evidence of a loss beyond {points}: {figures}.")
    if c.verdict == "undecided" and c.num_more is None and c.num_documents >= MIN_DOCUMENTS:
        return Kept("open", f"On {where}, base could do no more than tuned, next to nothing: {figures}.")
    return Kept("open", f"On {where}, a loss beyond {points} is not ruled out: {figures}.")


def _moved(c: Contrast) -> Kept:
    rise = f"{c.difference:.3f} bits per token, 95% interval {c.low:.3f} to {c.high:.3f}"
    asked = f"{c.num_items:,} texts on {c.num_documents:,} prompts"
    return Kept(
        "moved",
        f"Tuned finds what base itself says less likely than base does, by {rise}, over {asked}: an estimate of "
        "KL(base || tuned). It says how far the model has moved, not that its answers became worse.",
    )


def judged(contrasts: Iterable[Contrast]) -> list[Contrast]:
    """The primary contrasts of the stratum that decides: the first in the report's order with a verdict, held-out
    documents before others; the first of all where every verdict is open. All belong to one family of tests."""
    primary = [c for c in contrasts if c.primary]
    order = [s for s in rows.STRATA if any(c.stratum == s for c in primary)]
    decided = [s for s in order if any(c.stratum == s and c.verdict != "undecided" for c in primary)]
    return [c for c in primary if c.stratum == (decided or order)[0]] if order else []


def _advice(verdicts: Mapping[tuple[str, str], str]) -> str:
    """One sentence on the verdicts of one stratum by (treatment, control)."""
    with_retrieval = verdicts.get(("tuned+rag", "base+rag"))
    alone = verdicts.get(("tuned", "base"))
    instead = verdicts.get(("tuned", "base+rag"))
    if with_retrieval == "better":
        return "serve the tuned model with retrieval: tuning adds to what the passages give."
    if "worse" in (with_retrieval, alone):
        return "do not serve the tuned model yet: tuning made answers worse; look at the biggest regressions first."
    if instead == "better":
        return "serve the tuned model: it answers better than the base does with passages in front of it."
    if instead == "worse":
        return "retrieval answers better than tuning alone: serve with passages, and tune for what they cannot give."
    if alone == "better":
        return "tuning helps without retrieval; whether it replaces or improves retrieval is not shown here."
    if all(verdict == "no meaningful difference" for verdict in verdicts.values()):
        return "tuning changed nothing that matters here: the simpler system is the better choice."
    return "ask more questions before deciding: this sample cannot tell the systems apart."


def warnings(scores: Sequence[Score], contrasts: Sequence[Contrast]) -> list[str]:
    """What the figures themselves say against trusting them."""
    primary = [c for c in contrasts if c.primary]
    means = {(s.stratum, s.system, s.metric): s.mean for s in scores}
    strata = dict.fromkeys(c.stratum for c in sorted(primary, key=lambda c: c.stratum))
    few = [_few_documents([c for c in primary if c.stratum == stratum], len(primary)) for stratum in strata]
    doubts = [doubt for c in primary for doubt in (_wordy(c, means), _contradicted(c, contrasts))]
    cut = sorted({s.system for s in scores if s.metric == "truncated" and s.mean > OFTEN_TRUNCATED})
    truncated = (
        f"More than {OFTEN_TRUNCATED:.0%} of the answers of {', '.join(cut)} were cut off at evaluation.max_new_tokens."
    )
    return [warning for warning in (*few, *doubts, truncated if cut else None) if warning]


Means = Mapping[tuple[str, str, str], float]


def _few_documents(contrasts: Sequence[Contrast], family_size: int) -> str | None:
    """What the number of documents rules out, of one stratum's primary contrasts."""
    documents, stratum, margin = contrasts[0].num_documents, contrasts[0].stratum, contrasts[0].margin
    origin = f"The questions on {stratum_title(stratum)} come from {documents} document{'s' * (documents != 1)}"
    if documents < MIN_DOCUMENTS:
        return (
            f"{origin}; with fewer than {MIN_DOCUMENTS}, chance explains any difference and every verdict is undecided."
        )
    fewest = fewest_documents(margin, num_contrasts=family_size)
    small = any(c.verdict == "undecided" and c.num_more and abs(c.difference) < margin for c in contrasts)
    if small and fewest is not None and documents < fewest:
        return (
            f"{origin}; with fewer than {fewest}, even equal answers cannot show that no difference of "
            f"{100 * margin:g} points is there."
        )
    return None


def _contradicted(c: Contrast, contrasts: Sequence[Contrast]) -> str | None:
    """What the exploratory metrics see and the primary one does not."""
    same = (c.stratum, c.treatment, c.control)
    worse = [o for o in contrasts if (o.stratum, o.treatment, o.control) == same and o.verdict == "worse"]
    if not worse or c.verdict == "worse":
        return None
    titles = " and ".join(metric_of(o.metric).title for o in worse)
    return f"On {stratum_title(c.stratum)}, {c.treatment} is worse than {c.control} by {titles} (exploratory)."


def _wordy(c: Contrast, means: Means) -> str | None:
    treatment, control = (means[c.stratum, system, "length_ratio"] for system in (c.treatment, c.control))
    if c.verdict != "better" or treatment <= WORDY * control:
        return None
    return (
        f"On {stratum_title(c.stratum)} {c.treatment} writes {treatment / max(control, 0.01):.1f} times as much as "
        f"{c.control}: part of its recall may be length; compare token F1."
    )
