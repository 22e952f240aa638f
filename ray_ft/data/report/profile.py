"""What a corpus holds, cheaply: a training set's tables where there is one, else the sources by the parsers of prepare.

A large corpus is looked at by a drawn sample, and a part of that is tokenised; nothing is kept and no cluster started.
"""

import random
import re
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ray_ft.artifacts import CorpusProfile, TrainingSet
from ray_ft.config import DataConfig
from ray_ft.data.dedup.clusters import Placing, place
from ray_ft.data.dedup.heads import Head, text_of
from ray_ft.data.dedup.placements import DUPLICATE, NEAR_DUPLICATE
from ray_ft.data.dedup.shingles import rough_hashes
from ray_ft.data.dedup.splits import Bounds
from ray_ft.data.documents import ReadFile, Record, SourceFile
from ray_ft.data.filters.apply import Cleaning
from ray_ft.data.formats import HEAD_BYTES, MARKDOWN, format_by_text, format_of, may_be_script
from ray_ft.data.ingest.items import Item, size_of
from ray_ft.data.ingest.manifest import list_items
from ray_ft.data.ingest.reading import parse
from ray_ft.data.ingest.sandbox import Limits
from ray_ft.data.ingest.stage import ParseJob, parse_and_sign
from ray_ft.data.report.inspection import table
from ray_ft.data.run.budget import budgets_in_turn
from ray_ft.data.schemas import DOCUMENTS, EXAMPLES
from ray_ft.data.sources.archive import keeping
from ray_ft.errors import DataError
from ray_ft.overlap import Runs
from ray_ft.rows import REHEARSAL, Document, Example, from_row

Drawn = TypeVar("Drawn")
SAMPLE_BYTES, SAMPLE_ITEMS = 8 * 2**20, 1000  # that are read, at most
TOKENISED_CHARACTERS = 200_000
GUESSED_TOKENS_PER_WORD, GUESSED_IN_CODE = 1.4, 2.5  # where there is no tokenizer; code has signs between its words
OWN_TEXT = ("markdown", "rst", "text", "csv")  # formats that a document shows as its file has them
COUNTED_EXAMPLES = 200_000  # of a training set, for the wordings of an answer
SPOKEN = re.compile(
    r"^\W{0,2}(?:\[?\d[\d:./ ,-]*(?:[AP]M)?\]?\W{0,3})?<?([\w.'-]{1,24}(?: [\w.'-]{1,24}){0,2})>?:\s+\S"
)
"""A line of a chat: perhaps a time, a name, a colon and words."""
CELLS = " | "  # between the cells of a row, where a parser makes the text
MIN_SPOKEN, MIN_LINES = 0.6, 6  # of the lines of a transcript


def profile_corpus(
    data: DataConfig, *, max_seq_len: int, seed: int, tokenizer: Any = None, made: TrainingSet | None = None
) -> CorpusProfile:
    """Look at the training set `made`, or at the sources and datasets; `tokenizer` None guesses what words weigh.

    Raises ConfigError for a source that does not exist, DataError where nothing can be used.
    """
    sample = _of_training_set(made, seed) if made is not None else _of_sources(data, max_seq_len, seed)
    if not sample.documents and not sample.records:
        raise DataError("advise: none of the files and lines that were looked at holds text; `ray-ft prepare` says why")
    return _profile(sample, data, max_seq_len=max_seq_len, seed=seed, tokenizer=tokenizer, made=made)


@dataclass
class _Sample:
    """What was looked at, and how much more there is."""

    documents: list[Document] = field(default_factory=list)
    records: list[tuple[Example, ...]] = field(default_factory=list)
    with_headings: int = 0
    duplicates: int = 0  # of num_files
    num_files: int = 0  # that could be used, copies among them
    scale: float = 1.0  # all there is, over what was looked at


def _profile(
    sample: _Sample, data: DataConfig, *, max_seq_len: int, seed: int, tokenizer: Any, made: TrainingSet | None
) -> CorpusProfile:
    prose = [d for d in sample.documents if not d.language]
    code = [d for d in sample.documents if d.language]
    spoken = [d.text for d in prose] + [_words_of(examples) for examples in sample.records]
    texts = spoken + [d.text for d in code]
    words, words_in_code = (sum(len(rough_hashes(text)) for text in one) for one in (spoken, [d.text for d in code]))
    num_words = words + words_in_code
    per_word, script_tokens = _tokens_per_word(spoken, tokenizer, seed)
    per_word_in_code, _ = _tokens_per_word([d.text for d in code], tokenizer, seed)
    weight = per_word or GUESSED_TOKENS_PER_WORD
    in_sample = words * weight + words_in_code * (per_word_in_code or GUESSED_IN_CODE)
    num_tokens = round(in_sample * sample.scale)
    characters = max(sum(map(len, texts)), 1)
    in_prose = max(sum(len(d.text) for d in prose), 1)
    definitions = [one for d in code for one in d.definitions if not one.is_trivial]
    conversations = [examples for examples in sample.records if any(e.messages for e in examples)]
    turns = [sum(m.role == "assistant" for m in examples[-1].messages) for examples in conversations]
    lengths = sorted(len(rough_hashes(_words_of(one))) * weight for one in sample.records)
    long_share = sum(length > max_seq_len for length in lengths) / max(len(lengths), 1)
    num_documents = round((sample.num_files - sample.duplicates) * sample.scale)
    num_records = _records_given(made) if made else round(len(sample.records) * sample.scale)
    trained = made.num_tokens.get("train", 0) if made else 0
    if made is not None:
        cut = made.num_truncated + made.num_shortened
        long_share = cut / max(sum(made.num_examples.values()), 1)
    return CorpusProfile(
        origin="prepared" if made else "sources",
        num_documents=num_documents,
        num_records=num_records,
        num_looked_at=len(sample.documents) + len(sample.records),
        num_words=round(num_words * sample.scale),
        num_tokens=num_tokens,
        num_train_tokens=trained,
        num_rows=made.num_rows.get("train", 0) if made else -(-num_tokens // max_seq_len),
        num_held_out=made.num_documents.get("test", 0) if made else _held_out(data, num_documents + num_records),
        tokens_per_word=round(in_sample / max(num_words, 1), 2) if tokenizer is not None else 0.0,
        formats=dict(Counter(d.language or d.format for d in sample.documents).most_common()),
        scripts=_scripts("".join(text[:20_000] for text in texts[:200])),
        script_tokens=script_tokens,
        code_share=round(sum(len(d.text) for d in code) / characters, 3),
        table_share=round(sum(_table_characters(d) for d in prose) / in_prose, 3),
        heading_share=round(sample.with_headings / max(len(prose), 1), 3),
        transcript_share=round(sum(len(d.text) for d in prose if _is_transcript(d.text)) / in_prose, 3),
        docstring_share=round(sum(bool(one.docstring) for one in definitions) / max(len(definitions), 1), 3),
        duplicate_share=round(sample.duplicates / max(sample.num_files, 1), 3),
        mean_turns=round(sum(turns) / len(turns), 1) if turns else 0.0,
        long_share=round(long_share, 3),
        long_tokens=round(lengths[min(int(0.99 * len(lengths)), len(lengths) - 1)]) if lengths else 0,
        wordings=_wordings_made(made) if made else _wordings_given(sample.records),
        has_chat_template=tokenizer is None or bool(tokenizer.chat_template),
    )


# --- from the sources -------------------------------------------------------------------------------------------------


def _of_sources(data: DataConfig, max_seq_len: int, seed: int) -> _Sample:
    """A drawn sample of the files and slices, read and cleaned as prepare does."""
    with tempfile.TemporaryDirectory() as folder, keeping(folder):
        return _of_listed(list_items(data, max_seq_len), data, seed)


def _of_listed(listed: Iterable[Item], data: DataConfig, seed: int) -> _Sample:
    items = [item for item in listed if not (isinstance(item, SourceFile) and item.reason)]
    cleaning = Cleaning.of(data, [item for item in items if isinstance(item, SourceFile)])
    limits = Limits(data.parse_seconds, int(data.parse_memory_gib * 2**30))
    job = ParseJob("", "", Runs({}), cleaning, limits)
    sample = _Sample()
    read: list[ReadFile | Record] = []
    heads: list[Head] = []
    num_bytes = 0
    with budgets_in_turn():
        for item in _drawn(items, seed, size_of):
            parsed, told = parse_and_sign(item, job)
            read += parsed
            heads += told
            num_bytes += size_of(item)
    sample.scale = max(sum(map(size_of, items)) / max(num_bytes, 1), 1.0)
    how = Placing(Bounds(0.0, 0.0), seed, "near", data.near_copy_similarity)
    placed = place(heads, how=how, text_of=lambda i: text_of(read[i])).all
    for one, where in zip(read, placed, strict=True):
        if isinstance(one, Record):
            sample.records += [one.examples] if one.examples and not one.reason else []
        elif one.document is not None:
            sample.num_files += 1
            if where.reason in (DUPLICATE, NEAR_DUPLICATE):
                sample.duplicates += 1
                continue
            sample.documents.append(one.document)
            sample.with_headings += not one.document.language and _has_headings(one.document)
    return sample


def _drawn(items: Sequence[Drawn], seed: int, size: Callable[[Drawn], int]) -> Iterator[Drawn]:
    """Items in an order by lot, as many as a sample takes of bytes and items; all of a small corpus."""
    order = list(items)
    random.Random(seed).shuffle(order)
    num_bytes = 0
    for number, item in enumerate(order):
        if number >= SAMPLE_ITEMS or (number and num_bytes + size(item) > SAMPLE_BYTES):
            return
        num_bytes += size(item)
        yield item


# --- from a training set ----------------------------------------------------------------------------------------------


def _of_training_set(made: TrainingSet, seed: int) -> _Sample:
    """A drawn sample of the documents and examples in its tables."""
    sample = _Sample()
    columns = ["id", "path", "format", "language", "status", "reason", "num_bytes"]
    rows = table(made, DOCUMENTS).to_table(columns=columns).to_pylist()
    files = {row["id"]: row for row in rows if _is_file(row)}
    usable = [row for row in files.values() if row["status"] == "ok"]
    sample.duplicates = sum(row["reason"] in (DUPLICATE, NEAR_DUPLICATE) for row in files.values())
    sample.num_files = len(usable) + sample.duplicates
    wanted = [row["id"] for row in _drawn(usable, seed, lambda row: int(row["num_bytes"]))]
    import pyarrow.compute as pc

    found = table(made, DOCUMENTS).to_table(filter=pc.field("id").isin(wanted)).to_pylist() if wanted else []
    sample.documents = [_parsed_again(row) for row in found]
    sample.with_headings = sum(not d.language and _has_headings(d) for d in sample.documents)
    in_sample = max(len(sample.documents), 1)
    given = _given_examples(made)
    sample.records = [(example,) for example in given]
    sample.scale = max(len(usable) / in_sample, 1.0)
    sample.num_files = round(sample.num_files / sample.scale)
    sample.duplicates = round(sample.duplicates / sample.scale)
    return sample


def _is_file(row: dict[str, Any]) -> bool:
    """Whether a document was a file that is read: by its name, or by what it was read as where that tells nothing."""
    if row["format"] in ("messages", "prompt"):
        return False
    return format_of(row["path"]) is not None or (may_be_script(row["path"]) and bool(row["language"]))


def _parsed_again(row: dict[str, Any]) -> Document:
    """A document of the table with its blocks and definitions.

    Where its parser made a text of its own, headings are marked in it as in Markdown.
    """
    kind = format_of(row["path"], row["text"][:HEAD_BYTES].encode())
    kind = format_by_text(kind, row["path"], row["text"]) if kind is not None else None
    if kind is None or kind.packed or not (kind.language or kind.name in OWN_TEXT):
        kind = MARKDOWN
    parsed, _ = parse(row["text"], kind)
    return Document(
        row["id"], row["text"], row["path"], row["format"], row["language"], parsed.blocks, {}, parsed.definitions
    )


def _given_examples(made: TrainingSet) -> list[Example]:
    """Examples that datasets gave, some of them."""
    names = ("messages", "prompt", "text")
    found: list[Example] = []
    for batch in table(made, EXAMPLES).to_batches(columns=["prompt", "completion", "recipe", "messages", "dropped"]):
        for row in batch.to_pylist():
            if row["recipe"] in names and not row["dropped"]:
                found.append(from_row(Example, {**row, "chunk_id": "", "document_id": ""}))
            if len(found) >= SAMPLE_ITEMS:
                return found
    return found


def _records_given(made: TrainingSet) -> int:
    """Lines of datasets, without the general prompts that the base answered."""
    rehearsed = made.mixture[REHEARSAL].num_available if REHEARSAL in made.mixture else 0
    return max(made.records.get("ok", 0) - rehearsed, 0)


def _wordings_made(made: TrainingSet) -> float:
    """Different prompts for one answer in the examples that ask, mean."""
    import pyarrow.compute as pc

    asked = pc.field("recipe").isin(["qa", "messages", "prompt"]) & (pc.field("dropped") == "")
    columns = ["document_id", "completion", "prompt"]
    rows = table(made, EXAMPLES).head(COUNTED_EXAMPLES, columns=columns, filter=asked)
    if not rows.num_rows:
        return 0.0
    groups = rows.group_by(["document_id", "completion"]).aggregate([("prompt", "count_distinct")])
    return round(float(pc.mean(groups["prompt_count_distinct"]).as_py()), 2)


def _wordings_given(records: Sequence[tuple[Example, ...]]) -> float:
    """The same of datasets' lines."""
    prompts: dict[str, set[str]] = {}
    for examples in records:
        for example in examples:
            if example.prompt:
                prompts.setdefault(example.completion, set()).add(example.prompt)
    return round(sum(map(len, prompts.values())) / len(prompts), 2) if prompts else 0.0


def _held_out(data: DataConfig, number: int) -> int:
    """How many of the documents and lines the test split will have: no split of a tiny corpus is empty."""
    return max(round(data.test_fraction * number), 1) if data.test_fraction else 0


# --- what a text is made of -------------------------------------------------------------------------------------------


def _words_of(examples: tuple[Example, ...]) -> str:
    """All words of a line, once."""
    last = examples[-1]
    return "\n".join([m.content for m in last.messages] or [last.prompt, last.completion])


def _tokens_per_word(texts: Sequence[str], tokenizer: Any, seed: int) -> tuple[float, dict[str, float]]:
    """Of a drawn part of the texts, of all and of those mostly in one script; 0 without a tokenizer or a text."""
    if tokenizer is None or not texts:
        return 0.0, {}
    order = list(texts)
    random.Random(seed).shuffle(order)
    each = max(TOKENISED_CHARACTERS // len(order), 400)
    parts = [text[:each] for text in order[: TOKENISED_CHARACTERS // each]]
    tokens, words = Counter[str](), Counter[str]()
    for part, ids in zip(parts, tokenizer(parts, add_special_tokens=False)["input_ids"], strict=True):
        script = next(iter(_scripts(part)), "")
        tokens[script] += len(ids)
        words[script] += len(rough_hashes(part))
    by_script = {name: round(tokens[name] / words[name], 2) for name in words if name and words[name]}
    return tokens.total() / max(words.total(), 1), by_script


def _scripts(text: str) -> dict[str, float]:
    """Scripts of the letters, by the first word of their Unicode names, with their shares."""
    counts: Counter[str] = Counter()
    for character, count in Counter(text).items():
        if character.isalpha():
            counts[unicodedata.name(character, "OTHER").split()[0].title()] += count
    total = max(counts.total(), 1)
    return {name: round(count / total, 3) for name, count in counts.most_common(4) if count >= total / 100}


def _has_headings(document: Document) -> bool:
    return sum(block.type == "heading" for block in document.blocks) >= 2


def _table_characters(document: Document) -> int:
    if document.format in ("csv", "xlsx"):
        return len(document.text)
    found = sum(len(block.text) for block in document.blocks if block.type == "table")
    if found or document.format in OWN_TEXT:
        return found
    return sum(len(line) for line in document.text.splitlines() if CELLS in line)  # a training set's, without blocks


def _is_transcript(text: str) -> bool:
    """Whether two or more people take turns in most lines."""
    lines = [line for line in text[:20_000].splitlines() if line.strip()]
    speakers = Counter(found.group(1) for line in lines if (found := SPOKEN.match(line)))
    return (
        len(lines) >= MIN_LINES
        and len(speakers) >= 2
        and speakers.total() >= MIN_SPOKEN * len(lines)
        and (max(speakers.values()) >= 2)
    )
