"""What is in a training set: counts by recipe, split and reason, lengths, and examples beside their source passage.

Tables are read column by column, so that a set of any size is looked at in little memory.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ray_ft.artifacts import Inspection, RuleSpread, SourcedExample, TrainingSet
from ray_ft.data.dedup.leakage import find_leaks
from ray_ft.data.filters.quality import REASON, RULES, Text
from ray_ft.data.schemas import COLUMNS, DOCUMENTS, EXAMPLES
from ray_ft.errors import DataError, first_line
from ray_ft.storage import part_of, parts_of

if TYPE_CHECKING:
    from pyarrow.dataset import Dataset

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
MAX_RATED, RATED_CHARACTERS = 1000, 20_000  # documents whose quality is told, and of each its beginning
BINS = (0, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
"""Lower ends of the histogram's bins, in tokens; the last one is open."""


def inspect_training_set(made: TrainingSet, *, num_examples: int, dropped: bool, seed: int) -> Inspection:
    """Look through the tables of a training set; `dropped` draws its examples from those that were left out.

    Raises DataError when a table cannot be read.
    """
    recipes: dict[str, Counter[str]] = defaultdict(Counter)
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    generated: dict[str, Counter[str]] = defaultdict(Counter)
    histogram: Counter[int] = Counter()
    drawn: list[int] = []
    rng, num_seen = random.Random(seed), 0
    for place, row in enumerate(_rows(made, ("recipe", "split", "dropped", "origin", "num_tokens", "copies"))):
        if bool(row["dropped"]) == dropped:
            num_seen += 1
            if len(drawn) < num_examples:
                drawn.append(place)
            elif (slot := rng.randrange(num_seen)) < num_examples:  # reservoir sampling: each is as likely as any other
                drawn[slot] = place
        if row["origin"] == "generated":
            generated[row["recipe"]]["kept" if not row["dropped"] else "dropped"] += 1
        if row["dropped"]:
            reasons[row["recipe"]][row["dropped"]] += 1
            continue
        recipes[row["recipe"]][row["split"]] += row["copies"]
        histogram[max(b for b in BINS if b <= row["num_tokens"])] += row["copies"]
    rated, num_rated = quality_of(made, seed=seed)
    return Inspection(
        path=made.path,
        examples={name: dict(counts) for name, counts in sorted(recipes.items())},
        dropped={name: dict(counts.most_common()) for name, counts in sorted(reasons.items())},
        kept_rates={n: round(c["kept"] / c.total(), 4) for n, c in sorted(generated.items())},
        files=dict((Counter(made.files) + Counter(made.records)).most_common()),  # lines of datasets may be ok as well
        token_histogram={str(low): histogram[low] for low in BINS},
        samples=tuple(_samples(made, sorted(drawn))),
        leaks=tuple(find_leaks(parts_of(made.path), thorough=True)),
        quality=rated,
        num_rated=num_rated,
    )


def quality_of(made: TrainingSet, *, seed: int) -> tuple[tuple[RuleSpread, ...], int]:
    """How documents that are no code do at the rules of data.quality, and how many were looked at: a drawn part."""
    import numpy as np

    rng, drawn, num_seen, dropped = random.Random(seed), list[str](), 0, Counter[str]()
    for batch in table(made, DOCUMENTS).to_batches(columns=["text", "language", "reason"], batch_size=64):
        for row in batch.to_pylist():
            if row["reason"].startswith(REASON):
                dropped[row["reason"].removeprefix(REASON)] += 1
            if row["language"] or not row["text"]:
                continue
            num_seen += 1
            if len(drawn) < MAX_RATED:
                drawn.append(row["text"][:RATED_CHARACTERS])
            elif (slot := rng.randrange(num_seen)) < MAX_RATED:
                drawn[slot] = row["text"][:RATED_CHARACTERS]
    texts = [Text(text) for text in drawn]
    spreads = []
    for key, rule in RULES.items() if texts else ():
        values = [rule.measure(text) for text in texts]
        share = sum(rule.is_broken(key, value, rule.usual) for value in values) / len(values)
        quantiles = tuple(round(float(q), 4) for q in np.quantile(values, QUANTILES))
        spreads.append(RuleSpread(key, rule.paper, rule.usual, quantiles, round(share, 4), dropped[key]))
    return tuple(spreads), len(texts)


def table(made: TrainingSet, name: str) -> "Dataset":
    """One of the set's tables, opened. Raises DataError when it cannot be read or lacks columns."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    path = part_of(made.path, name)
    try:
        opened = ds.dataset(str(path), format="parquet")
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path} cannot be read: {first_line(error)}") from None
    if missing := [column for column in COLUMNS[name] if column not in opened.schema.names]:
        raise DataError(
            f"{path} is from an older version, without {', '.join(missing)}; run `ray-ft prepare --force` first"
        )
    return opened


def _rows(made: TrainingSet, columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    for batch in table(made, EXAMPLES).to_batches(columns=list(columns)):
        lists = [batch.column(name).to_pylist() for name in columns]
        for values in zip(*lists, strict=True):
            yield dict(zip(columns, values, strict=True))


def _samples(made: TrainingSet, places: Sequence[int]) -> Iterator[SourcedExample]:
    """The examples at these places, with the stretch of their document that they were made from."""
    import pyarrow.compute as pc

    if not places:
        return
    rows = table(made, EXAMPLES).take(places).to_pylist()
    ids = [row["document_id"] for row in rows]
    found = table(made, DOCUMENTS).to_table(columns=["id", "path", "text"], filter=pc.field("id").isin(ids))
    documents = {d["id"]: d for d in found.to_pylist()}
    for row in rows:
        document = documents.get(row["document_id"], {"path": "", "text": ""})
        yield SourcedExample(
            recipe=row["recipe"],
            split=row["split"],
            origin=row["origin"],
            dropped=row["dropped"],
            prompt=row["prompt"],
            completion=row["completion"],
            evidence=row["evidence"],
            path=document["path"],
            line=document["text"].count("\n", 0, row["start"]) + 1 if row["end"] else 0,
            passage=document["text"][row["start"] : row["end"]],
        )
