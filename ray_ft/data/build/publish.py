"""Last steps of prepare: the groups' files under their numbers, one file of questions, the finished folder in place."""

import hashlib
import heapq
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from ray_ft.artifacts import TrainingSet, digest, to_json, write_text
from ray_ft.config import DataConfig, ModelConfig
from ray_ft.data.build.finished import StoredGroups, numbered
from ray_ft.data.build.job import QUESTION_PARTS, RESULT, GroupResult, Shard
from ray_ft.data.dedup.leakage import find_leaks
from ray_ft.data.run.place import GROUPS, MADE, Place
from ray_ft.data.schemas import DOCUMENTS, SPLITS
from ray_ft.errors import DataError
from ray_ft.models.tokenizer import template_digest, tokenizer_digest
from ray_ft.overlap import overlaps, table
from ray_ft.rows import Question, from_row
from ray_ft.storage import MANIFEST, Part, parts_of, put_manifest

QUARANTINE, QUESTIONS, SHARDS = "quarantine.parquet", "questions.jsonl", "manifest.json"
QUARANTINE_COLUMNS = ("path", "reason", "note", "num_bytes", "id")
MAX_QUESTIONS = 1000  # per stratum, drawn by the hash of their ids
DRAWN = 2  # times as many are held against training, which leaves some out


def publish(
    names: Sequence[str],
    place: Place,
    output: str,
    total: GroupResult,
    *,
    data: DataConfig,
    model: ModelConfig,
    model_path: str,
    tokenizer: Any,
    inputs_digest: str,
    common: Sequence[str] = (),
) -> TrainingSet:
    """Make one training set of the groups at a place, and put it in the place of the one before.

    In storage the set is a manifest that names the groups' objects, and `output` the URI below which all of them lie.

    Questions that overlap with training are left out, but for what the `common` texts hold.
    Raises DataError, and leaves what was there before, when something is in two splits or cannot be written.
    """
    shards = sorted(total.shards, key=lambda s: s.file)
    shares = dict(sorted(total.mixture.shares.items()))
    digests = {
        "tokenizer_digest": tokenizer_digest(model_path),
        "template_digest": template_digest(tokenizer),
        "data_digest": digest([(s.file, s.sha256) for s in shards]),
    }
    about = manifest(
        shards, max_seq_len=model.max_seq_len, num_chat_examples=total.chats, mixture=to_json(shares), **digests
    )
    written = json.dumps(about, indent=1) + "\n"
    if place.is_stored:
        path, num_questions, overlap = publish_stored(names, place, written, common)
    else:
        path, num_questions, overlap = _publish_folder(names, place, Path(output), written, common)
    per_split = {split: about["splits"].get(split, {}) for split in SPLITS}
    return TrainingSet(
        path=path,
        recipes=(*(r.name for r in data.recipes), *sorted(total.formats)),
        num_documents={split: total.documents[split] for split in SPLITS},
        num_examples={split: total.examples[split] for split in SPLITS},
        num_rows={split: v.get("num_rows", 0) for split, v in per_split.items()},
        num_tokens={split: v.get("num_tokens", 0) for split, v in per_split.items()},
        num_target_tokens={split: v.get("num_target_tokens", 0) for split, v in per_split.items()},
        num_questions=num_questions,
        files=dict(sorted(total.files.items())),
        max_seq_len=model.max_seq_len,
        fingerprint=inputs_digest,
        dropped_examples=dict(sorted(total.dropped.items())),
        num_truncated=total.truncated,
        num_shortened=total.shortened,
        records=dict(sorted(total.records.items())),
        mixture=shares,
        overlap=overlap,
        **digests,
    )


def _publish_folder(
    names: Sequence[str], place: Place, output: Path, about: str, common: Sequence[str]
) -> tuple[str, int, dict[str, dict[str, int]]]:
    """The groups' files under their numbers in a new folder, which takes the old one's place."""
    partial = Path(f"{output}.partial")
    try:
        publish_groups(names, Path(place.below(GROUPS)), partial)
        write_text(partial / "shards" / "manifest.json", about)
        num_questions, overlap = _complete(partial, output, common)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return str(output), num_questions, overlap


def publish_stored(
    names: Sequence[str], place: Place, about: str, common: Sequence[str]
) -> tuple[str, int, dict[str, dict[str, int]]]:
    """A manifest of the groups' objects and of what is made of them, put when all of them are there.

    What the set holds is looked through by way of a draft, a set that has the groups alone: each machine fetches what
    it reads of it, and the driver all tables but no rows. Raises DataError when something is in two splits.
    """
    store, parts = place.store, dict[str, Part]()
    for number, (_, files) in enumerate(StoredGroups(place.below(GROUPS)).with_parts(names)):
        for name, part in files.items():
            path = PurePosixPath(name)
            parts[str(path.parent / numbered(path.name, number))] = replace(part, object=f"{GROUPS}/{part.object}")
    draft = put_manifest(store, parts)
    try:
        folder = parts_of(draft)
        no_leaks(folder)
        made = place.here / "made"
        made.mkdir(parents=True, exist_ok=True)
        num_questions, overlap = decontaminate_questions(draft, folder / QUESTION_PARTS, made / QUESTIONS, common)
        write_quarantine(folder, made / QUARANTINE)
        (made / SHARDS).write_text(about, encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write {error.filename or place.here}: {error.strerror}") from None
    finally:
        store.delete([f"{store.name_of(draft)}/{MANIFEST}"])
    for file, name in ((QUESTIONS, QUESTIONS), (QUARANTINE, QUARANTINE), (SHARDS, f"shards/{SHARDS}")):
        content = (made / file).read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        parts[name] = Part(f"{MADE}/{sha256}", len(content), sha256)
        store.write(parts[name].object, content)
    kept = {name: part for name, part in parts.items() if not name.startswith(f"{QUESTION_PARTS}/")}
    return put_manifest(store, kept), num_questions, overlap


def manifest(
    shards: Sequence[Shard],
    *,
    max_seq_len: int,
    tokenizer_digest: str,
    template_digest: str,
    data_digest: str,
    num_chat_examples: Mapping[str, int] | None = None,
    mixture: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Content of shards/manifest.json: what the rows were made with, and each split's files in order.

    `num_chat_examples` counts, per split, those with a masked prompt; `mixture` holds the share of each recipe and
    dataset.
    """
    splits: dict[str, Any] = {}
    for shard in sorted(shards, key=lambda s: s.file):
        about = splits.setdefault(shard.split, {"num_rows": 0, "num_tokens": 0, "num_target_tokens": 0, "shards": []})
        for key in ("num_rows", "num_tokens", "num_target_tokens"):
            about[key] += getattr(shard, key)
        about["shards"].append({"file": shard.file, "num_rows": shard.num_rows, "sha256": shard.sha256})
    for split, about in splits.items():
        about["num_chat_examples"] = (num_chat_examples or {}).get(split, 0)
    return {
        "version": 1,
        "max_seq_len": max_seq_len,
        "tokenizer_digest": tokenizer_digest,
        "template_digest": template_digest,
        "data_digest": data_digest,
        "mixture": dict(mixture or {}),
        "splits": splits,
    }


def publish_groups(names: Iterable[str], folder: Path, partial: Path) -> None:
    """The groups' files under their numbers, in a new folder."""
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for number, name in enumerate(names):
            publish_group(folder / name, number, partial)
    except OSError as error:
        raise DataError(f"cannot write {error.filename or partial}: {error.strerror}") from None


def publish_group(folder: Path, number: int, target: Path) -> None:
    """Put a group's files into the training set under its number; the group keeps them too, without a second copy."""
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.name != RESULT:
            place = target / file.relative_to(folder).parent / numbered(file.name, number)
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(file, place)
            except OSError:  # file systems that know no links
                shutil.copyfile(file, place)


def _complete(partial: Path, output: Path, common: Sequence[str]) -> tuple[int, dict[str, dict[str, int]]]:
    """The questions and the table of the quarantine, then the new set in the old one's place.

    Returns the number of questions, and how many of those drawn overlapped with training. Raises DataError when
    something is in two splits.
    """
    try:
        no_leaks(partial)
        parts = partial / QUESTION_PARTS
        num_questions, overlap = decontaminate_questions(partial, parts, partial / QUESTIONS, common)
        shutil.rmtree(parts)
        write_quarantine(partial, partial / QUARANTINE)
        put_in_place(partial, output)
    except OSError as error:
        raise DataError(f"cannot write {error.filename or output}: {error.strerror}") from None
    return num_questions, overlap


def no_leaks(folder: Path) -> None:
    """Raises DataError when something is in two splits of the set that a folder holds."""
    if leaks := find_leaks(folder):
        raise DataError(f"the splits overlap, so this set is not kept: {'; '.join(leaks[:3])} ({len(leaks)} in all)")


def decontaminate_questions(
    training_set: str | Path, parts: Path, target: Path, common: Sequence[str]
) -> tuple[int, dict[str, dict[str, int]]]:
    """Write those of the groups' questions that a set does not train on; their number, and the table of overlaps."""
    merge_questions(parts, target, DRAWN * MAX_QUESTIONS)
    lines = [line for line in target.read_text(encoding="utf-8").split("\n") if line]
    questions = [from_row(Question, json.loads(line)) for line in lines]
    found = overlaps(questions, training_set, common=common)
    kept: Counter[str] = Counter()
    clean = []
    for line, question, kind in zip(lines, questions, found, strict=True):
        if not kind and kept[question.stratum] < MAX_QUESTIONS:
            kept[question.stratum] += 1
            clean.append(line + "\n")
    target.write_text("".join(clean), encoding="utf-8")
    return len(clean), table(questions, found)


def write_quarantine(folder: Path, target: Path) -> int:
    """Write the table of what the training set below `folder` put aside, in the order of paths; returns its rows."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds
    import pyarrow.parquet as pq

    documents = ds.dataset(folder / DOCUMENTS, format="parquet")
    put_aside = pc.field("status") == "quarantined"
    found = documents.scanner(
        columns=list(QUARANTINE_COLUMNS), filter=put_aside, batch_readahead=1, fragment_readahead=1
    )
    table = pa.Table.from_batches(found.to_batches(), schema=found.projected_schema).sort_by("path")
    pq.write_table(table, target)
    return int(table.num_rows)


def merge_questions(parts: Path, target: Path, max_per_stratum: int) -> int:
    """Draw questions by the hash of their ids from the groups' files; returns their number."""
    strata = ("held_out", "seen")
    lines: list[str] = []
    for stratum in strata:
        drawn = heapq.nsmallest(max_per_stratum, _lines(parts, stratum))
        lines += [line for _, line in drawn]
    target.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return len(lines)


def _lines(parts: Path, stratum: str) -> Iterator[tuple[str, str]]:
    for part in sorted(parts.glob("*.jsonl")):
        with part.open(encoding="utf-8") as stream:
            for line in stream:
                question = json.loads(line)
                if question["stratum"] == stratum:
                    yield question["id"], line.rstrip("\n")


def put_in_place(partial: Path, output: Path) -> None:
    """Put the finished folder in place; what was there goes only after that."""
    old = Path(f"{output}.old")
    shutil.rmtree(old, ignore_errors=True)
    if output.exists():
        output.rename(old)
    partial.rename(output)
    shutil.rmtree(old, ignore_errors=True)
