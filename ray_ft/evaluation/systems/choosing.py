"""How many passages retrieval shows and how long they are, chosen on validation documents: never on the exam's.

Validation documents were not trained on and are not asked about. Their questions are the qa recipe's own examples of
them, which training only watched the loss of.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from ray_ft.config import EvaluationConfig
from ray_ft.evaluation.scores.metrics import states_fact
from ray_ft.evaluation.systems.gold import with_gold
from ray_ft.recipes.chunking.chunks import common_path
from ray_ft.recipes.chunking.pieces import PROSE, cut_span
from ray_ft.recipes.questions.from_structure import key_facts
from ray_ft.retrievers import Index
from ray_ft.retrievers.passages import NUM_PASSAGES
from ray_ft.rows import Chunk, Question, user_message
from ray_ft.storage import part_of

NUMBERS = (1, 2, 3, 5, 8)
"""Passages to try."""
MAX_QUESTIONS = 100
WITH_PASSAGES = user_message("", ("",)).partition("\n")[0]


@dataclass(frozen=True)
class Tried:
    """One way to retrieve, and what it shows of the answers to validation questions."""

    passage_tokens: int | None  # None: as they were prepared
    num_passages: int
    facts: float  # share of the key facts that the passages shown state
    recall: float  # share of the questions whose own passage is shown
    num_tokens: float  # of passages shown, mean over questions

    def told(self) -> str:
        """As a line of a table."""
        length = "as prepared" if self.passage_tokens is None else f"of {self.passage_tokens} tokens"
        return f"{self.num_passages} {length}: {self.facts:.0%} of the facts, {self.num_tokens:.0f} tokens"


@dataclass(frozen=True)
class Retrieval:
    """The passages, their index, and how many of them are shown; `table` has what was tried."""

    passages: list[Chunk]
    index: Index | None
    num_passages: int
    table: str = ""
    notes: tuple[str, ...] = ()


def choose_retrieval(
    passages: list[Chunk], evaluation: EvaluationConfig, training_set: str, *, room: int, seed: int
) -> Retrieval:
    """The configured retrieval, or the best on validation questions of those that fit into `room` tokens.

    Best: most facts stated; where several are within evaluation.margin of it, the one that shows the fewest tokens.
    """
    if not passages:
        return Retrieval(passages, None, evaluation.num_passages or NUM_PASSAGES)
    is_open = evaluation.num_passages is None or evaluation.passage_tokens
    asked = validation_questions(training_set, seed=seed) if is_open else []
    if not asked:
        note = "There are no questions about validation documents, so retrieval was not chosen by any: "
        number = evaluation.num_passages or NUM_PASSAGES
        note += f"{number} passages as they were prepared are shown. The qa recipe makes such questions."
        index = evaluation.retriever.index(passages)
        return Retrieval(passages, index, number, notes=(note,) if is_open else ())
    numbers = NUMBERS if evaluation.num_passages is None else (evaluation.num_passages,)
    lengths: tuple[int | None, ...] = evaluation.passage_tokens or (None,)
    ways: dict[int | None, tuple[list[Chunk], Index]] = {}
    tried: list[Tried] = []
    for length in lengths:
        cut = passages if length is None else of_length(passages, length)
        ways[length] = cut, evaluation.retriever.index(cut)
        tried += _try(ways[length][1], cut, asked, length, numbers)
    fitting = [one for one in tried if one.num_tokens <= room] or [min(tried, key=lambda one: one.num_tokens)]
    best = max(one.facts for one in fitting)
    chosen = min((one for one in fitting if one.facts >= best - evaluation.margin), key=lambda one: one.num_tokens)
    cut, index = ways[chosen.passage_tokens]
    table = "; ".join(one.told() for one in tried)
    table = f"on {len(asked)} questions about validation documents, {chosen.told()}; tried: {table}"
    return Retrieval(cut, index, chosen.num_passages, table)


def validation_questions(training_set: str, *, seed: int) -> list[Question]:
    """Questions of the qa recipe about validation documents, a fixed sample; [] where there are none."""
    import pyarrow.parquet as pq

    path = part_of(training_set, "examples.parquet")
    columns = ["prompt", "completion", "document_id", "recipe"]
    rows = pq.read_table(path, columns=columns, filters=[("split", "==", "validation")]).to_pylist()
    found: dict[str, Question] = {}
    for row in rows:
        prompt, answer = row["prompt"], row["completion"]
        # Other wordings of a question ask for the same passage, and those with passages show what is to be found.
        if row["recipe"] != "qa" or not prompt or prompt.startswith(WITH_PASSAGES):
            continue
        if facts := key_facts(answer):
            key = f"{row['document_id']}\0{answer}"
            found.setdefault(key, Question(key, row["document_id"], "", prompt, answer, facts))
    kept = [found[key] for key in sorted(found)]
    return random.Random(seed).sample(kept, MAX_QUESTIONS) if len(kept) > MAX_QUESTIONS else kept


def _try(
    index: Index, passages: Sequence[Chunk], asked: Sequence[Question], length: int | None, numbers: Sequence[int]
) -> Iterator[Tried]:
    rankings = [index.search(question.question, max(numbers)) for question in asked]
    gold = [with_gold(question, passages).chunk_id for question in asked]
    # Per question the place at which each of its facts is first stated, counted from 0.
    places = [
        [next((i for i, p in enumerate(found) if states_fact(p.text, fact)), len(found)) for fact in question.key_facts]
        for question, found in zip(asked, rankings, strict=True)
    ]
    held = [min(len(found), max(numbers)) for found in rankings]
    for number in numbers:
        facts = [
            sum(place < min(number, size) for place in of_one) / len(of_one)
            for of_one, size in zip(places, held, strict=True)
        ]
        recall = [name in [p.id for p in found[:number]] for name, found in zip(gold, rankings, strict=True)]
        tokens = [sum(p.num_tokens for p in found[:number]) for found in rankings]
        yield Tried(length, number, sum(facts) / len(facts), sum(recall) / len(recall), sum(tokens) / len(tokens))


def of_length(passages: Sequence[Chunk], most: int) -> list[Chunk]:
    """The passages of each document joined, or cut at ends of sentences and lines, to at most about `most` tokens.

    Tokens of a part are estimated by its characters; a joined passage keeps the headings that its parts share.
    """
    made: list[Chunk] = []
    for document, group in groupby(passages, key=lambda passage: passage.document_id):
        parts = [part for passage in group for part in _cut(passage, most)]
        joined: list[Chunk] = []
        for part in parts:
            last = joined[-1] if joined else None
            if last is not None and last.num_tokens + part.num_tokens <= most:
                path = common_path(last.heading_path, part.heading_path)
                if path or not part.heading_path:
                    joined[-1] = replace(
                        last,
                        text=f"{last.text}\n\n{part.text}",
                        num_tokens=last.num_tokens + part.num_tokens,
                        heading_path=path,
                        end=part.end,
                    )
                    continue
            joined.append(part)
        made += [replace(part, id=f"{document}#passage{most}-{i}") for i, part in enumerate(joined)]
    return made


def _cut(passage: Chunk, most: int) -> Iterator[Chunk]:
    if passage.num_tokens <= most:
        yield passage
        return
    per_character = passage.num_tokens / max(len(passage.text), 1)
    spans = cut_span(
        passage.text, 0, len(passage.text), most, lambda a, b: round((b - a) * per_character), PROSE, ()
    )  # fmt: skip
    for start, end, num_tokens in spans:
        yield replace(
            passage,
            text=passage.text[start:end],
            num_tokens=num_tokens,
            start=passage.start + start,
            end=passage.start + end,
        )
