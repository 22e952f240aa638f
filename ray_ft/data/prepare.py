"""Documents and code to the training set, as one streaming Ray Data job.

Files are listed once and put into groups of similar size. Each group is one row of the job: read and parsed in one
step, and in the next split, chunked, tokenised, packed and written, under names that hold the group's number. So the
driver sees only counts, a retried task overwrites its own files with equal bytes, and any cluster writes the same set.
"""

import json
import logging
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ray_ft.artifacts import TrainingSet, digest, write_text
from ray_ft.base_model import load_tokenizer, template_digest, tokenizer_digest
from ray_ft.config import DataConfig, ModelConfig
from ray_ft.data.encode import ChatEncoder
from ray_ft.data.group import QUESTION_PARTS, SPLITS, GroupJob, GroupResult, GroupWriter, read_group, write_group
from ray_ft.data.pack import manifest
from ray_ft.data.publish import merge_questions, put_in_place
from ray_ft.data.read import SourceFile, list_files, sources_digest
from ray_ft.data.split import Bounds
from ray_ft.engines import Engine
from ray_ft.errors import DataError
from ray_ft.quiet import quiet_ray_data

__all__ = ["prepare_training_set", "sources_digest"]

log = logging.getLogger("ray_ft")

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
    files = list_files(data)
    tokenizer = load_tokenizer(model_path, model.chat_template)
    ChatEncoder(tokenizer, system_prompt=model.system_prompt, max_seq_len=model.max_seq_len).check()
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
        seen_fraction=min(1.0, SEEN_DOCUMENTS / len(files)),
    )
    try:
        total = _run_with_all_splits(files, job, data.generator)
        _require_examples(total, data)
        made = _complete(total, partial, Path(output_path), data, model, tokenizer, model_path, inputs_digest)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    _report(total, made, time.monotonic() - started)
    return made


def group_files(files: Sequence[SourceFile], max_seq_len: int) -> list[list[SourceFile]]:
    """Neighbours in the list, in groups that fill some hundred rows; the same list gives the same groups everywhere."""
    budget = min(max(ROWS_PER_GROUP * max_seq_len * BYTES_PER_TOKEN, MIN_GROUP_BYTES), MAX_GROUP_BYTES)
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


def _run_with_all_splits(files: Sequence[SourceFile], job: GroupJob, generator: Engine | None) -> GroupResult:
    """Run the job, and again with fitted bounds for the few corpora that are too small for every split to be met."""
    total = _run(files, job, generator)
    low, high = total.positions
    num_documents = total.documents.total()
    fitted = job.bounds.fitted(lowest=low, highest=high, num_documents=num_documents)
    if not num_documents or fitted == job.bounds:
        return total
    log.info("dividing %d documents again, so that no split is missing", num_documents)
    return _run(files, replace(job, bounds=fitted), generator)


def _run(files: Sequence[SourceFile], job: GroupJob, generator: Engine | None) -> GroupResult:
    """The Ray Data job over all groups; returns their sum."""
    groups = group_files(files, job.max_seq_len)
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
        _add(total, result)
        now = time.monotonic()
        if now - reported >= SECONDS_BETWEEN_REPORTS:
            reported, rate = now, total.num_bytes / 1e6 / (now - started)
            log.info("read %d of %d groups of files, %.2f MB/s", done, len(groups), rate)
    return total


def _results(groups: list[list[SourceFile]], job: GroupJob, generator: Engine | None) -> Iterator[GroupResult]:
    """Results of the groups, as they come."""
    import ray

    with quiet_ray_data():
        rows = [{"group": i, "files": json.dumps([asdict(f) for f in g])} for i, g in enumerate(groups)]
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


def _add(total: GroupResult, one: GroupResult) -> None:
    total.files += one.files
    total.documents += one.documents
    total.examples += one.examples
    total.dropped += one.dropped
    total.truncated += one.truncated
    total.num_bytes += one.num_bytes
    total.positions = (min(total.positions[0], one.positions[0]), max(total.positions[1], one.positions[1]))
    total.shards += one.shards


def _require_examples(total: GroupResult, data: DataConfig) -> None:
    if not total.documents:
        raise DataError(f"no file of data.sources can be used: {_counts(_skipped(total.files))}")
    if not total.examples["train"]:
        names = ", ".join(r.name for r in data.recipes)
        why = f"; {_counts(total.dropped)} dropped" if total.dropped else ""
        raise DataError(
            f"{total.documents.total()} documents gave no training example with data.recipes {names}{why}. "
            "Add recipes for what the sources hold: paragraph for text, code_raw for code."
        )


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
    about = manifest(shards, max_seq_len=model.max_seq_len, **digests)
    write_text(partial / "shards" / "manifest.json", json.dumps(about, indent=1) + "\n")
    try:
        num_questions = merge_questions(partial / QUESTION_PARTS, partial / "questions.jsonl", MAX_QUESTIONS)
        put_in_place(partial, output)
    except OSError as error:
        raise DataError(f"cannot write {error.filename or output}: {error.strerror}") from None
    per_split = {split: about["splits"].get(split, {}) for split in SPLITS}
    return TrainingSet(
        path=str(output),
        recipes=tuple(r.name for r in data.recipes),
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
        **digests,
    )


def _report(total: GroupResult, made: TrainingSet, seconds: float) -> None:
    skipped = _skipped(total.files)
    log.info(
        "prepared %s examples from %s documents (%s) in %.0f s",
        f"{total.examples.total():,}",
        f"{total.documents.total():,}",
        f"{skipped.total()} skipped: {_counts(skipped)}" if skipped else "0 skipped",
        seconds,
    )
    filled = made.num_tokens["train"] / max(1, made.num_rows["train"] * made.max_seq_len)
    log.info(
        "packed %s training tokens into %s rows of %s, %.1f%% full",
        f"{made.num_tokens['train']:,}",
        f"{made.num_rows['train']:,}",
        f"{made.max_seq_len:,}",
        100 * filled,
    )
    if total.dropped or total.truncated:
        log.info(
            "left out %s; cut %d answers at model.max_seq_len=%d (a smaller max_chunk_tokens keeps them whole)",
            _counts(total.dropped) or "no example",
            total.truncated,
            made.max_seq_len,
        )


def _skipped(files: Counter[str]) -> Counter[str]:
    return Counter({k.removeprefix("skipped: "): n for k, n in files.items() if k != "ok"})


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{n} {reason}" for reason, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])))
