"""Documents, code and datasets to the training set, as two streaming Ray Data jobs with one look at everything between.

First every file is read, cleaned and signed, and kept in journals beside the run. Then copies are found and splits
drawn, from signatures. Last, groups of documents are chunked, tokenised, packed and written. Both jobs take over what
earlier runs finished, whether these were killed or ended; the driver sees only counts, and any cluster, after any
number of deaths, writes the same set.
"""

import fcntl
import json
import logging
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray_ft.artifacts import TrainingSet, digest, to_json, write_text
from ray_ft.config import DataConfig, ModelConfig
from ray_ft.data.build.job import GroupJob, GroupResult
from ray_ft.data.build.packing import manifest
from ray_ft.data.build.publish import merge_questions, put_in_place
from ray_ft.data.build.stage import GROUPS, job_digest, name_groups, publish_groups, tidy, write_groups
from ray_ft.data.build.task import QUESTION_PARTS, SPLITS
from ray_ft.data.dedup.leakage import find_leaks
from ray_ft.data.generation.response_cache import AnswersAt
from ray_ft.data.ingest.datasets import datasets_digest
from ray_ft.data.ingest.listing import sources_digest
from ray_ft.data.ingest.manifest import digest_of, list_items
from ray_ft.data.ingest.quarantine import write_quarantine
from ray_ft.data.ingest.stage import place_documents, read_items
from ray_ft.data.report.summary import report, require_examples
from ray_ft.data.tokenization.chat import ChatEncoder
from ray_ft.data.tokenization.conversation import multi_turn_problem
from ray_ft.data.tokenization.tokenizer_cache import save_lean
from ray_ft.errors import ConfigError, DataError
from ray_ft.models.tokenizer import load_tokenizer, template_digest, tokenizer_digest

__all__ = ["datasets_digest", "prepare_training_set", "sources_digest"]

log = logging.getLogger("ray_ft")

TOKENIZER = "tokenizer"  # folder of the copy that workers load
ANSWERS = "answers"  # folder of what engines wrote, which all runs share
SEEN_DOCUMENTS = 1000  # trained documents that get questions, about
MAX_QUESTIONS = 1000  # per stratum, drawn by the hash of their ids


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
        work = read_items(items, data, folder, retry_quarantined=retry_quarantined)
        placements = place_documents(work, data, seed)
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
            tokenizer_path=_lean(tokenizer, folder / TOKENIZER),
        )
        groups = name_groups(work, placements, model.max_seq_len, job_digest(job, data, tokenizer, model_path))
        total = write_groups(groups, job, data.generator)
        require_examples(total, data)
        try:
            publish_groups(groups, folder / GROUPS, partial)
            made = _complete(total, partial, Path(output_path), data, model, tokenizer, model_path, inputs_digest)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        tidy(work, groups, data)
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


def _lean(tokenizer: Any, folder: Path) -> str | None:
    try:
        return save_lean(tokenizer, folder)
    except OSError as error:
        raise DataError(f"cannot write {folder}: {error.strerror}") from None


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


def _require_apart(folder: Path) -> None:
    """Raise DataError, and leave what was there before, when something is in two splits."""
    if leaks := find_leaks(folder):
        raise DataError(f"the splits overlap, so this set is not kept: {'; '.join(leaks[:3])} ({len(leaks)} in all)")


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
