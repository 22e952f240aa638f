"""Documents, code and datasets to the training set, as one streaming Ray Data job.

Files are listed once and put into groups of similar size, and datasets are cut into slices. Each group or slice is one
row of the job: read and parsed in one step, and in the next split, chunked, tokenised, packed and written, under names
that hold its number. So the driver sees only counts, a retried task overwrites its own files with equal bytes, and any
cluster writes the same set.
"""

import json
import logging
import pickle
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray_ft.artifacts import TrainingSet, digest, to_json, write_text
from ray_ft.base_model import load_tokenizer, template_digest, tokenizer_digest
from ray_ft.config import DataConfig, ModelConfig
from ray_ft.data.account import report, require_examples
from ray_ft.data.conversation import multi_turn_problem
from ray_ft.data.datasets import Slice, cut_into_slices, datasets_digest, list_datasets
from ray_ft.data.encode import ChatEncoder
from ray_ft.data.group import QUESTION_PARTS, SPLITS, GroupWriter, read_group, write_group
from ray_ft.data.job import GroupJob, GroupResult
from ray_ft.data.pack import manifest
from ray_ft.data.publish import merge_questions, put_in_place
from ray_ft.data.read import SourceFile, list_files, sources_digest
from ray_ft.data.split import Bounds
from ray_ft.engines import Engine
from ray_ft.errors import ConfigError, DataError
from ray_ft.quiet import quiet_ray_data

__all__ = ["datasets_digest", "prepare_training_set", "sources_digest"]

log = logging.getLogger("ray_ft")

Work = list[SourceFile] | Slice

ROWS_PER_GROUP = 256  # of packed training data for each recipe, about; the last row of a group is not full
BYTES_PER_TOKEN = 4
MIN_GROUP_BYTES, MAX_GROUP_BYTES = 512 * 2**10, 32 * 2**20
MAX_GROUP_FILES = 1000
SEEN_DOCUMENTS = 1000  # trained documents that get questions, about
SECONDS_BETWEEN_REPORTS = 10.0
MAX_QUESTIONS = 1000  # per stratum, drawn by the hash of their ids


def prepare_training_set(
    data: DataConfig, *, model: ModelConfig, model_path: str, output_path: str, seed: int, inputs_digest: str
) -> TrainingSet:
    """Make the training set below `output_path`, replacing what is there once the new one is whole. Ray must be up.

    Raises ConfigError for a missing source or a chat template that cannot be masked, DataError when the files give
    nothing to train on or cannot be written.
    """
    started = time.monotonic()
    work = list_work(data, model.max_seq_len)
    tokenizer = load_tokenizer(model_path, model.chat_template)
    encoder = ChatEncoder(tokenizer, system_prompt=model.system_prompt, max_seq_len=model.max_seq_len)
    chat_problem = _chat_problem(encoder, data)
    num_files = sum(len(group) for group in work if isinstance(group, list))
    partial = Path(f"{output_path}.partial")
    job = GroupJob(
        output_path=str(partial),
        model_path=model_path,
        chat_template=str(Path(model.chat_template).resolve()) if model.chat_template else None,
        system_prompt=model.system_prompt,
        max_seq_len=model.max_seq_len,
        recipes=data.recipes,
        passage_tokens=data.passage_tokens,
        bounds=Bounds.of(validation_fraction=data.validation_fraction, test_fraction=data.test_fraction),
        seed=seed,
        seen_fraction=min(1.0, SEEN_DOCUMENTS / max(num_files, 1)),
        chat_problem=chat_problem,
        multi_turn_problem=chat_problem or multi_turn_problem(encoder),
    )
    try:
        total = _run_with_all_splits(work, job, data.generator)
        require_examples(total, data)
        made = _complete(total, partial, Path(output_path), data, model, tokenizer, model_path, inputs_digest)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    report(total, made, time.monotonic() - started)
    return made


def list_work(data: DataConfig, max_seq_len: int) -> list[Work]:
    """Groups of files of data.sources, then slices of data.datasets; each is the work of one task."""
    groups: list[Work] = [*group_files(list_files(data), max_seq_len)] if data.sources else []
    return [*groups, *cut_into_slices(list_datasets(data), slice_bytes=group_bytes(max_seq_len))]


def _chat_problem(encoder: ChatEncoder, data: DataConfig) -> str:
    """Why the chat template cannot be used; recipes need one at once, a dataset of plain text does without."""
    try:
        encoder.check()
    except ConfigError as error:
        if data.sources:
            raise
        return str(error)
    return ""


def group_bytes(max_seq_len: int) -> int:
    """Bytes of source that fill some hundred rows."""
    return min(max(ROWS_PER_GROUP * max_seq_len * BYTES_PER_TOKEN, MIN_GROUP_BYTES), MAX_GROUP_BYTES)


def group_files(files: Sequence[SourceFile], max_seq_len: int) -> list[list[SourceFile]]:
    """Neighbours in the list, in groups that fill some hundred rows; the same list gives the same groups everywhere."""
    budget = group_bytes(max_seq_len)
    groups: list[list[SourceFile]] = []
    num_bytes = 0
    for file in files:
        size = 0 if file.reason else file.num_bytes
        if not groups or num_bytes + size > budget or len(groups[-1]) >= MAX_GROUP_FILES:
            groups.append([])
            num_bytes = 0
        groups[-1].append(file)
        num_bytes += size
    return groups


def _run_with_all_splits(work: Sequence[Work], job: GroupJob, generator: Engine | None) -> GroupResult:
    """Run the job, and again with fitted bounds for the few corpora that are too small for every split to be met.

    Only what is divided by lot counts: a dataset whose split is given needs no other.
    """
    total = _run(work, job, generator)
    low, high = total.positions
    fitted = job.bounds.fitted(lowest=low, highest=high, num_documents=total.num_placed)
    if not total.num_placed or fitted == job.bounds:
        return total
    log.info("dividing %d documents again, so that no split is missing", total.num_placed)
    return _run(work, replace(job, bounds=fitted), generator)


def _run(groups: Sequence[Work], job: GroupJob, generator: Engine | None) -> GroupResult:
    """The Ray Data job over all groups; returns their sum."""
    try:
        shutil.rmtree(job.output_path, ignore_errors=True)
        Path(job.output_path).mkdir(parents=True)
    except OSError as error:
        raise DataError(f"cannot write {job.output_path}: {error.strerror}") from None
    total = GroupResult()
    started = reported = time.monotonic()
    for done, result in enumerate(_results(groups, job, generator), start=1):
        if result.error:
            raise DataError(f"prepare stopped: {result.error}")
        total.add(result)
        now = time.monotonic()
        if now - reported >= SECONDS_BETWEEN_REPORTS:
            reported, rate = now, total.num_bytes / 1e6 / (now - started)
            log.info("read %d of %d groups of files, %.2f MB/s", done, len(groups), rate)
    return total


def _results(groups: Sequence[Work], job: GroupJob, generator: Engine | None) -> Iterator[GroupResult]:
    """Results of the groups, as they come."""
    import ray

    with quiet_ray_data():
        rows = [{"group": i, "work": pickle.dumps(group)} for i, group in enumerate(groups)]
        dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map(read_group)
        if generator is None:
            dataset = dataset.map(write_group, fn_kwargs={"job": job})
        else:
            num_gpus = int(ray.cluster_resources().get("GPU", 0))
            pool = ray.data.ActorPoolStrategy(size=min(max(num_gpus, 1), len(rows)))
            dataset = dataset.map(
                GroupWriter,
                fn_constructor_kwargs={"job": job, "engine": generator},
                compute=pool,
                num_gpus=1 if num_gpus else None,
            )
        for row in dataset.iter_rows():
            yield GroupResult.from_text(row["result"])


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
        num_questions = merge_questions(partial / QUESTION_PARTS, partial / "questions.jsonl", MAX_QUESTIONS)
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
