"""What a judge's verdicts come to: preferences over documents, how often the order decides, and length with it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray_ft.artifacts import Contrast, Judged
from ray_ft.engines import Engine
from ray_ft.errors import ConfigError
from ray_ft.evaluation.exam.tasks import Done
from ray_ft.evaluation.judging.asking import ask, prompt_of, read_verdict
from ray_ft.evaluation.scores.contrasts import contrasts_of
from ray_ft.evaluation.scores.metrics import tokens, without_thoughts
from ray_ft.evaluation.scores.scoring import JUDGED, PRIMARY_PAIRS, measure
from ray_ft.rows import STRATA, Question

MAX_NONSENSE = 0.1
"""Share of a judge's answers that may be no verdict: one that cannot keep to the form cannot be read at all."""
TIE = "tie"


@dataclass(frozen=True)
class Ruled:
    """Two answers to one question, and what the judge said with either of them first."""

    index: int
    treatment: str
    control: str
    orders: tuple[str, str]  # the system preferred, or "tie": treatment first, control first
    reasons: tuple[str, str]
    lengths: tuple[int, int]  # words of the treatment's and of the control's answer

    @property
    def preferred(self) -> str:
        """The system that is better in both orders, else a tie."""
        return self.orders[0] if self.orders[0] == self.orders[1] else TIE


def rule(done: Sequence[Done], questions: Sequence[Question], judge: Engine, *, kept: Path) -> tuple[list[Ruled], str]:
    """The judge's rulings on every primary pair of answers, and why there are none.

    Equal answers are a tie that nobody is asked about; questions without an answer are told by abstention. Raises
    GenerationError where the judge does not answer.
    """
    said: dict[tuple[int, str], str] = {
        (d.index, d.system): without_thoughts(d.answer)
        for d in done
        if d.kind == "question" and questions[d.index].answerable
    }
    pairs = [
        (index, treatment, control)
        for treatment, control in PRIMARY_PAIRS
        for index in range(len(questions))
        if (index, treatment) in said and (index, control) in said
    ]
    prompts: dict[tuple[int, str, str], str] = {}
    for index, *systems in pairs:
        for first, second in (systems, reversed(systems)):
            if said[index, first] != said[index, second]:
                question = questions[index]
                prompts[index, first, second] = prompt_of(
                    question=question.question,
                    reference=question.reference,
                    first=said[index, first],
                    second=said[index, second],
                )
    answers = ask(judge, list(prompts.values()), kept)
    verdicts = {key: read_verdict(answers[prompt]) for key, prompt in prompts.items()}
    nonsense = [answers[prompts[key]] for key, (better, _) in verdicts.items() if better is None]
    if len(nonsense) > MAX_NONSENSE * len(verdicts):
        first_words = " ".join(nonsense[0].split())[:60]
        return [], f"{len(nonsense)} of its {len(verdicts)} answers are no verdict, such as {first_words!r}"
    ruled = []
    for index, treatment, control in pairs:
        orders = [
            _named(verdicts.get((index, first, second), (TIE, "")), first, second)
            for first, second in ((treatment, control), (control, treatment))
        ]
        if all(system for system, _ in orders):
            lengths = len(tokens(said[index, treatment])), len(tokens(said[index, control]))
            (one, why), (other, why_other) = orders
            ruled.append(Ruled(index, treatment, control, (one, other), (why, why_other), lengths))
    return ruled, ""


def _named(verdict: tuple[str | None, str], first: str, second: str) -> tuple[str, str]:
    """The system that a verdict prefers; "" for none."""
    better, reason = verdict
    return {"first": first, "second": second, TIE: TIE}.get(better or "", ""), reason


def figures(
    ruled: Sequence[Ruled], questions: Sequence[Question], *, margin: float, num_bootstrap: int, seed: int
) -> tuple[list[Judged], list[Contrast]]:
    """Counts and the paired difference, preferred less not preferred, of every pair and stratum; exploratory."""
    judged, contrasts = [], []
    for pair in PRIMARY_PAIRS:
        for stratum in STRATA:
            some = [r for r in ruled if (r.treatment, r.control) == pair and questions[r.index].stratum == stratum]
            if not some:
                continue
            wins = [{r.treatment: 1.0, r.control: 0.0}.get(r.preferred, 0.5) for r in some]
            documents = [questions[r.index].document_id for r in some]
            columns = {(pair[0], JUDGED): wins, (pair[1], JUDGED): [1 - win for win in wins]}
            group = measure(stratum, columns, documents, num_bootstrap=num_bootstrap, seed=seed)
            contrasts += contrasts_of([group], margin=margin, num_bootstrap=num_bootstrap, seed=seed, pairs=[pair])
            decided = [r for r in some if r.preferred != TIE and r.lengths[0] != r.lengths[1]]
            longer = sum((r.preferred == r.treatment) == (r.lengths[0] > r.lengths[1]) for r in decided)
            judged.append(
                Judged(
                    stratum=stratum,
                    treatment=pair[0],
                    control=pair[1],
                    num_items=len(some),
                    num_wins=wins.count(1.0),
                    num_losses=wins.count(0.0),
                    num_flips=sum(r.orders[0] != r.orders[1] for r in some),
                    num_decided=len(decided),
                    num_longer=longer,
                )
            )
    return judged, contrasts


def rows_of(ruled: Sequence[Ruled], questions: Sequence[Question]) -> Iterator[dict[str, Any]]:
    """A line for each ruling; evaluation.preferences takes lines of the same form that people wrote."""
    for r in ruled:
        systems = [r.treatment, r.control]
        yield {
            "id": questions[r.index].id, "systems": systems, "preferred": r.preferred, "orders": list(r.orders),
            "reasons": list(r.reasons),
        }  # fmt: skip


def read_preferences(path: Path) -> dict[tuple[str, str, str], str]:
    """What people preferred, by question and pair of systems. ConfigError names the first line that is none."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"evaluation.preferences: cannot read {path}: {error}") from None
    found: dict[tuple[str, str, str], str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            name, (one, other), preferred = str(row["id"]), map(str, row["systems"]), str(row["preferred"])
            if preferred not in (one, other, TIE):
                raise ValueError(f"preferred is {preferred!r}, and neither of the systems nor tie")
        except (ValueError, TypeError, KeyError) as error:
            form = '{"id": "q1", "systems": ["tuned", "base"], "preferred": "tuned"}'
            raise ConfigError(f"evaluation.preferences: {path}:{number}: {error}; a line is like {form}") from None
        found[name, one, other] = found[name, other, one] = preferred
    return found


def agreement(
    ruled: Sequence[Ruled], questions: Sequence[Question], preferences: Mapping[tuple[str, str, str], str]
) -> str:
    """How often judge and people prefer the same, beyond chance as Cohen's kappa (1960) has it."""
    both = [
        (r, preferences[key]) for r in ruled if (key := (questions[r.index].id, r.treatment, r.control)) in preferences
    ]
    if not both:
        return "agreement with people: none of their preferences is about these answers"
    same = sum(r.preferred == people for r, people in both) / len(both)
    sides = [(_side(r.preferred, r), _side(people, r)) for r, people in both]
    chance = sum(
        sum(a == side for a, _ in sides) * sum(b == side for _, b in sides) / len(both) ** 2 for side in range(3)
    )
    kappa = (same - chance) / (1 - chance) if chance < 1 else 1.0
    return f"agreement with people on {len(both)} pairs: {same:.0%}, kappa {kappa:.2f}"


def _side(preferred: str, ruled: Ruled) -> int:
    return (ruled.treatment, ruled.control, TIE).index(preferred)
