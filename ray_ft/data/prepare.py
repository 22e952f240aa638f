"""Documents, code and datasets to the training set, as two streaming Ray Data jobs with one look at everything between.

First every file is read, cleaned and signed, and kept in journals beside the run. Then copies are found and splits
drawn, from signatures. Last, groups of documents are chunked, tokenised, packed and written. Both jobs take over what
earlier runs finished, whether these were killed or ended; the driver sees only counts, and any cluster, after any
number of deaths, writes the same set.
"""

import fcntl
import json
import logging
import pickle
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ray_ft.artifacts import TrainingSet, digest, to_json, write_text
from ray_ft.base_model import load_tokenizer, template_digest, tokenizer_digest
from ray_ft.config import DataConfig, ModelConfig
from ray_ft.data.account import report, require_examples
from ray_ft.data.answers import AnswersAt
from ray_ft.data.asking import ask_engine
from ray_ft.data.cleaning import Cleaning
from ray_ft.data.contamination import read_evaluation_sets
from ray_ft.data.conversation import multi_turn_problem
from ray_ft.data.datasets import datasets_digest
from ray_ft.data.encode import ChatEncoder
from ray_ft.data.group import QUESTION_PARTS, RESULT, SPLITS, Placed, write_group
from ray_ft.data.isolation import Limits
from ray_ft.data.job import GroupJob, GroupResult
from ray_ft.data.journal import compact
from ray_ft.data.leaks import find_leaks
from ray_ft.data.pack import manifest
from ray_ft.data.parse import (
    Item,
    Kept,
    ParseJob,
    batches,
    find_kept,
    heads_of,
    load,
    parse_batch,
    parse_item,
    size_of,
    text_of,
)
from ray_ft.data.place import Placements, Placing, place
from ray_ft.data.progress import Progress
from ray_ft.data.publish import merge_questions, publish_group, published_shard, put_in_place
from ray_ft.data.quarantine import release, write_quarantine
from ray_ft.data.read import SourceFile, sources_digest
from ray_ft.data.split import Bounds
from ray_ft.data.work import code_digest, digest_of, group_items, keys_of, list_items, source_of
from ray_ft.engines import Engine
from ray_ft.errors import ConfigError, DataError
from ray_ft.quiet import quiet_ray_data

__all__ = ["datasets_digest", "prepare_training_set", "sources_digest"]

log = logging.getLogger("ray_ft")

PARSED, GROUPS, ANSWERS = "parsed", "groups", "answers"  # folders of what is kept between runs
RETRY_TIME, RETRY_MEMORY = 4, 2  # times what a parser gets at its first attempt
SEEN_DOCUMENTS = 1000  # trained documents that get questions, about
MAX_QUESTIONS = 1000  # per stratum, drawn by the hash of their ids


@dataclass(frozen=True)
class Work:
    """What there is to do, and where what is finished of it lies."""

    items: list[Item]
    keys: list[bytes]
    kept: list[Kept]
    folder: Path


def prepare_training_set(
    data: DataConfig,
    *,
    model: ModelConfig,
    model_path: str,
    output_path: str,
    seed: int,
    inputs_digest: str,
    retry_quarantined: bool = False,
) -> TrainingSet:
    """Make the training set below `output_path`, replacing what is there once the new one is whole. Ray must be up.

    What is finished on the way lies in OUTPUT_PATH.work, where a run after a crash or a change of some files finds it.
    Raises ConfigError for a missing source or a chat template that cannot be masked, DataError when the files give
    nothing to train on or cannot be written.
    """
    started = time.monotonic()
    items = list_items(data, model.max_seq_len)
    tokenizer = load_tokenizer(model_path, model.chat_template)
    encoder = ChatEncoder(tokenizer, system_prompt=model.system_prompt, max_seq_len=model.max_seq_len)
    chat_problem = _chat_problem(encoder, data)
    folder, partial = Path(f"{output_path}.work"), Path(f"{output_path}.partial")
    with _alone(folder):
        work = _parse(items, data, folder, retry_quarantined=retry_quarantined)
        placements = _place(work, data, seed)
        num_files = sum(len(kept.heads) for kept in work.kept if kept.ref and kept.heads and kept.heads[0].is_file)
        job = GroupJob(
            output_path=str(folder / GROUPS),
            model_path=model_path,
            chat_template=str(Path(model.chat_template).resolve()) if model.chat_template else None,
            system_prompt=model.system_prompt,
            max_seq_len=model.max_seq_len,
            recipes=data.recipes,
            passage_tokens=data.passage_tokens,
            seed=seed,
            seen_fraction=_seen_fraction(num_files),
            chat_problem=chat_problem,
            multi_turn_problem=chat_problem or multi_turn_problem(encoder),
            answers=_answers(data, model, model_path, Path(output_path).parent / ANSWERS),
        )
        groups = _groups(work, placements, model.max_seq_len, _job_digest(job, data, tokenizer, model_path))
        total = _write(groups, job, data.generator)
        require_examples(total, data)
        try:
            _publish(groups, folder / GROUPS, partial)
            made = _complete(total, partial, Path(output_path), data, model, tokenizer, model_path, inputs_digest)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        _tidy(work, groups, data)
    report(total, made, time.monotonic() - started)
    return made


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the work folder: two runs at once would clean up after each other."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise DataError(f"cannot write {folder}: {error.strerror}") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"another `ray-ft prepare` is at work in {folder.parent}; wait for it, or choose another run_name"
            ) from None
        yield


def _chat_problem(encoder: ChatEncoder, data: DataConfig) -> str:
    """Why the chat template cannot be used; recipes need one at once, a dataset of plain text does without."""
    try:
        encoder.check()
    except ConfigError as error:
        if data.sources:
            raise
        return str(error)
    return ""


def _answers(data: DataConfig, model: ModelConfig, model_path: str, folder: Path) -> AnswersAt | None:
    """Where the answers of data.generator lie, under what its answers depend on."""
    if data.generator is None:
        return None
    identity = digest_of(data.generator.writer_identity(model_path, chat_template=model.chat_template))
    return AnswersAt(str(Path(data.answers_path or folder).resolve()), identity, uuid.uuid4().hex)


def _seen_fraction(num_files: int) -> float:
    """Of trained documents that get questions; the same for about as many files, so that one more changes nothing."""
    return min(1.0, SEEN_DOCUMENTS / (1 << max(0, num_files - 1).bit_length()))


# --- reading ----------------------------------------------------------------------------------------------------------


def _parse(items: list[Item], data: DataConfig, folder: Path, *, retry_quarantined: bool) -> Work:
    """Parse what no earlier run kept."""
    evaluation = read_evaluation_sets(data.decontaminate)
    cleaning = Cleaning.of(data, [item for item in items if isinstance(item, SourceFile)])
    settings = {
        "evaluation": {size: runs.tobytes().hex() for size, runs in evaluation.hashes.items()},
        "cleaning": cleaning,
    }
    keys = keys_of(items, settings)
    wanted = {key: i for i, key in enumerate(keys) if not _is_unread(items[i])}
    kept = find_kept(folder / PARSED, wanted)
    limits = Limits(data.parse_seconds, int(data.parse_memory_gib * 2**30))
    if retry_quarantined:
        kept = release(folder / PARSED, kept, items, keys)
        limits = Limits(RETRY_TIME * limits.seconds, RETRY_MEMORY * limits.memory_bytes)
    left = [(key, items[i]) for key, i in wanted.items() if i not in kept]
    if kept and left:
        log.info("taking over %s of %s files, reading %s", f"{len(kept):,}", f"{len(wanted):,}", f"{len(left):,}")
    if left:
        job = ParseJob(str(folder / PARSED), uuid.uuid4().hex, evaluation, cleaning, limits)
        progress = Progress("read", num_files=len(left), num_bytes=sum(size_of(item) for _, item in left))
        rows = [{"work": pickle.dumps(batch)} for batch in batches(left)]
        for result in map(json.loads, _results(rows, parse_batch, job, retries=-1)):
            if result["error"]:
                raise DataError(f"prepare stopped: {result['error']}")
            progress.add(result["num_items"], result["num_bytes"], result["states"])
        kept |= find_kept(folder / PARSED, {key: i for key, i in wanted.items() if i not in kept})
    unread = {
        i: Kept(heads_of(parse_item(item, cleaning), evaluation), None)
        for i, item in enumerate(items)
        if _is_unread(item)
    }
    return Work(items, keys, [unread[i] if i in unread else kept[i] for i in range(len(items))], folder)


def _is_unread(item: Item) -> bool:
    return isinstance(item, SourceFile) and bool(item.reason)


def _place(work: Work, data: DataConfig, seed: int) -> list[tuple[Any, ...]]:
    """Splits and copies; the placements of each item's documents."""
    owners = [(i, number) for i, kept in enumerate(work.kept) for number in range(len(kept.heads))]

    def text(document: int) -> str:
        item, number = owners[document]
        return text_of(load(work.items[item], work.kept[item].ref)[number])

    how = Placing(
        Bounds.of(validation_fraction=data.validation_fraction, test_fraction=data.test_fraction),
        seed,
        data.deduplicate,
        data.near_copy_similarity,
    )
    placed = place([head for kept in work.kept for head in kept.heads], how=how, text_of=text)
    _say(placed)
    remaining = iter(placed.all)
    return [tuple(next(remaining) for _ in kept.heads) for kept in work.kept]


def _say(placed: Placements) -> None:
    if placed.num_clusters:
        log.info(
            "%s sets of copies, each in one split; %s documents have a near copy",
            f"{placed.num_clusters:,}",
            f"{placed.num_near:,}",
        )


# --- writing ----------------------------------------------------------------------------------------------------------


def _job_digest(job: GroupJob, data: DataConfig, tokenizer: Any, model_path: str) -> str:
    """Of all that groups are made with, but not where."""
    places = ("output_path", "model_path", "chat_template", "answers")
    return digest_of(
        {
            "job": {f.name: to_json(getattr(job, f.name)) for f in fields(job) if f.name not in places},
            "tokenizer": tokenizer_digest(model_path),
            "template": template_digest(tokenizer),
            "generator": job.answers.identity if job.answers else "",
            "sources": [source_of(one) for one in data.recipes],
            "code": code_digest(),
        }
    )


def _groups(
    work: Work, placements: Sequence[tuple[Any, ...]], max_seq_len: int, job_digest: str
) -> Mapping[str, list[Placed]]:
    """The groups in order, by the name that holds all they are made of."""
    groups: dict[str, list[Placed]] = {}
    for members in group_items(work.items, max_seq_len):
        name = digest_of([job_digest, [[work.keys[i].hex(), placements[i]] for i in members]])
        groups[name] = [Placed(work.items[i], work.kept[i].ref, placements[i]) for i in members]
    return groups


def _write(groups: Mapping[str, list[Placed]], job: GroupJob, generator: Engine | None) -> GroupResult:
    """Write the groups that no earlier run finished; returns the sum of all."""
    folder = Path(job.output_path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot write {folder}: {error.strerror}") from None
    left = {name: group for name, group in groups.items() if not (folder / name / RESULT).is_file()}
    sizes = [size_of(placed.item) for group in left.values() for placed in group]
    progress = Progress("wrote", num_files=len(sizes), num_bytes=sum(sizes))
    rows = [{"name": name, "work": pickle.dumps(group)} for name, group in left.items()]
    if rows:
        if generator is not None:
            job = replace(job, answers=ask_engine(rows, job, generator))
        for result in map(GroupResult.from_text, _results(rows, write_group, job)):
            if result.error:
                raise DataError(f"prepare stopped: {result.error}")
            states = result.files + result.records
            progress.add(states.total(), result.num_bytes, states)
    total = GroupResult()
    for number, name in enumerate(groups):
        one = GroupResult.from_text((folder / name / RESULT).read_text(encoding="utf-8"))
        total.add(replace(one, shards=[published_shard(shard, number) for shard in one.shards]))
    return total


def _results(rows: list[dict[str, Any]], function: Any, job: Any, *, retries: int | None = None) -> Iterator[str]:
    """What the function says of each row, as it comes.

    Rows are tasks, as many at a time as the cluster has processors at the moment, and a task's process serves the next
    ones too.
    """
    import ray

    with quiet_ray_data():
        more = {} if retries is None else {"max_retries": retries}
        dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map(function, fn_kwargs={"job": job}, **more)
        for row in dataset.iter_rows():
            yield row["result"]


def _publish(groups: Mapping[str, list[Placed]], folder: Path, partial: Path) -> None:
    """The groups' files under their numbers, in a new folder."""
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for number, name in enumerate(groups):
            publish_group(folder / name, number, partial)
    except OSError as error:
        raise DataError(f"cannot write {error.filename or partial}: {error.strerror}") from None


def _require_apart(folder: Path) -> None:
    """Raise DataError, and leave what was there before, when something is in two splits."""
    if leaks := find_leaks(folder):
        raise DataError(f"the splits overlap, so this set is not kept: {'; '.join(leaks[:3])} ({len(leaks)} in all)")


def _tidy(work: Work, groups: Mapping[str, list[Placed]], data: DataConfig) -> None:
    """Keep what the next run can take over: no documents of files that are gone, no groups of another cut."""
    if not data.keep_parsed:
        shutil.rmtree(work.folder, ignore_errors=True)
        return
    live = {key for key, kept in zip(work.keys, work.kept, strict=True) if kept.ref}
    try:
        compact(work.folder / PARSED, live)
        for folder in (work.folder / GROUPS).iterdir():
            if folder.name not in groups:
                shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:  # the set itself is whole
        log.warning("cannot tidy up %s: %s", work.folder, error.strerror)


def _complete(
    total: GroupResult,
    partial: Path,
    output: Path,
    data: DataConfig,
    model: ModelConfig,
    tokenizer: Any,
    model_path: str,
    inputs_digest: str,
) -> TrainingSet:
    """Manifest and questions, and the new set in the old one's place."""
    shards = sorted(total.shards, key=lambda s: s.file)
    digests = {
        "tokenizer_digest": tokenizer_digest(model_path),
        "template_digest": template_digest(tokenizer),
        "data_digest": digest([(s.file, s.sha256) for s in shards]),
    }
    shares = dict(sorted(total.mixture.shares.items()))
    about = manifest(
        shards,
        max_seq_len=model.max_seq_len,
        num_chat_examples=total.chats,
        mixture=to_json(shares),
        **digests,
    )
    write_text(partial / "shards" / "manifest.json", json.dumps(about, indent=1) + "\n")
    try:
        _require_apart(partial)
        num_questions = merge_questions(partial / QUESTION_PARTS, partial / "questions.jsonl", MAX_QUESTIONS)
        write_quarantine(partial)
        put_in_place(partial, output)
    except OSError as error:
        raise DataError(f"cannot write {error.filename or output}: {error.strerror}") from None
    per_split = {split: about["splits"].get(split, {}) for split in SPLITS}
    return TrainingSet(
        path=str(output),
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
        **digests,
    )
