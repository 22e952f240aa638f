"""Questions and answers that an engine wrote, each with the reason why it is left out: rules first, then a judge."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ray_ft.recipes.grounding.check import off_topic, ungrounded
from ray_ft.recipes.questions.written import VERDICT, Pair, passage_of, read_verdict, verdict_request
from ray_ft.rows import Chunk, Example, Generate


@dataclass(frozen=True)
class Checked:
    """A pair about a passage, and why it is left out of training; "" for one that is kept."""

    chunk: Chunk
    pair: Pair
    reason: str = ""

    def rephrasing_reason(self, wording: str) -> str:
        """Why another wording of the question is left out: it was asked for in other words than the passage's."""
        return off_topic(wording, f"{self.pair.question}\n\n{passage_of(self.chunk)}", share=0)

    def examples(self, recipe: str, *, num_phrasings: int) -> list[Example]:
        """An example for each wording of the question."""
        c, pair = self.chunk, self.pair
        wordings = list(dict.fromkeys([pair.question, *pair.rephrasings]))[:num_phrasings]
        made = [(wording, self.reason or self.rephrasing_reason(wording)) for wording in wordings]
        return [
            Example(wording, pair.answer, c.id, c.document_id, recipe, "generated", reason, evidence=pair.evidence)
            for wording, reason in made
        ]


def check_pairs(pairs: Sequence[tuple[Chunk, Pair]], judge: Generate | None) -> list[Checked]:
    """Each pair with its reason: asked before, not about the passage, not grounded in it, or denied by the judge."""
    asked: set[str] = set()
    checked: list[Checked] = []
    for chunk, pair in pairs:
        # The headings were shown to the engine and belong to the passage; the evidence has to stand in its text.
        passage = f"{' > '.join(chunk.heading_path)}.\n\n{chunk.text}"
        plain = "".join(c for c in pair.question.lower() if c.isalnum())
        reason = "asked before" if plain in asked else off_topic(pair.question, passage)
        reason = reason or ungrounded(pair.answer, passage, question=pair.question, evidence=pair.evidence)
        asked.add(plain)
        checked.append(Checked(chunk, pair, reason))
    return _judged(checked, judge) if judge is not None else checked


def _judged(checked: Sequence[Checked], judge: Generate) -> list[Checked]:
    """The verdict of an engine on every pair that the rules kept."""
    kept = [one for one in checked if not one.reason]
    verdicts = iter(judge([verdict_request(k.chunk, k.pair) for k in kept], schema=VERDICT) if kept else [])
    reasons = {True: "", False: "judge: the passage does not support the answer", None: "judge gave no verdict"}
    return [one if one.reason else replace(one, reason=reasons[read_verdict(next(verdicts))]) for one in checked]
