"""One question after the other in the terminal: keep it, mend it, or drop it."""

import shutil
import textwrap
from collections.abc import Callable, Sequence

from ray_ft.artifacts import ReviewItem
from ray_ft.evaluation.review.items import Decisions, mended
from ray_ft.rows import Question

ASK = "keep (Enter), mend (m), drop (d), back (b), stop (s)? "


def go_through(
    items: Sequence[ReviewItem],
    decisions: Decisions,
    *,
    ask: Callable[[str], str] = input,
    say: Callable[[str], None] = print,
) -> None:
    """Go through what is undecided. Ends with the last one, at `s`, or where the input ends."""
    places = [i for i, item in enumerate(items) if not decisions.is_decided(item.question)]
    at = 0
    while at < len(places):
        item = items[places[at]]
        say(shown(item, number=places[at] + 1, of=len(items)))
        try:
            said = ask(ASK).strip().lower()
            if said in ("", "k"):
                decisions.keep(item.question)
            elif said == "m":
                decisions.keep(_mend(item.question, ask))
            elif said == "d":
                decisions.drop(item.question)
            elif said == "b":
                at = max(at - 1, 0)
                decisions.undo(items[places[at]].question)
                continue
            elif said == "s":
                return
            else:
                say(f"{said!r} is none of them.")
                continue
        except EOFError:
            say("")
            return
        at += 1


def shown(item: ReviewItem, *, number: int, of: int) -> str:
    """A question with its answer and its passage, in lines that fit the terminal."""
    question = item.question
    width = min(shutil.get_terminal_size().columns, 100)
    answer = question.reference if question.answerable else "none: the documents do not say it"
    lines = [
        f"\n[{number} of {of}] {question.stratum}, {question.kind}, {item.path}",
        *_wrapped("Question", question.question, width),
        *_wrapped("Answer", answer, width),
    ]
    if question.key_facts and question.key_facts != (question.reference,):
        lines += _wrapped("Facts", "; ".join(question.key_facts), width)
    if item.passage:
        place = " > ".join(item.headings)
        lines += _wrapped("Passage", f"{place}: {item.passage}" if place else item.passage, width)
    return "\n".join(lines)


def _wrapped(name: str, text: str, width: int) -> list[str]:
    return textwrap.wrap(
        " ".join(text.split()), width=width, initial_indent=f"  {name + ':':<10}", subsequent_indent=" " * 12
    )


def _mend(question: Question, ask: Callable[[str], str]) -> Question:
    """Ask for what is to be said otherwise; an empty line leaves it."""
    text = ask("  question (Enter leaves it): ").strip() or question.question
    if not question.answerable:
        return mended(question, text=text, reference="", key_facts=())
    reference = ask("  answer (Enter leaves it): ").strip() or question.reference
    facts = ask("  facts that an answer has to state, with ; between them (Enter leaves them): ").strip()
    return mended(question, text=text, reference=reference, key_facts=facts.split(";"))
