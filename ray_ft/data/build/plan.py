"""What the groups of a run are made with, and which document goes into which: all that names a group's folder."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ray_ft.artifacts import to_json
from ray_ft.config import DataConfig, ModelConfig
from ray_ft.data.build.job import GroupJob, Placed
from ray_ft.data.dedup.placements import Placement
from ray_ft.data.generation.response_cache import ResponseCache
from ray_ft.data.ingest.manifest import group_items
from ray_ft.data.ingest.sandbox import Limits
from ray_ft.data.ingest.stage import Work
from ray_ft.data.run.digests import code_digest, digest_of, source_of
from ray_ft.data.run.place import GROUPS, TOKENIZER, Place
from ray_ft.data.tokenization.chat import ChatEncoder
from ray_ft.data.tokenization.conversation import multi_turn_problem
from ray_ft.data.tokenization.tokenizer_cache import save_lean
from ray_ft.engines import Engine
from ray_ft.errors import ConfigError
from ray_ft.models.tokenizer import template_digest, tokenizer_digest
from ray_ft.storage import is_uri, joined, resolved

ANSWERS = "answers"  # folder of what engines wrote, which all runs share
SEEN_DOCUMENTS = 1000  # trained documents that get questions, about


def template_problem(encoder: ChatEncoder, data: DataConfig) -> str:
    """Why the chat template cannot be used; recipes and rehearsal need one at once, plain text does without."""
    try:
        encoder.check()
    except ConfigError as error:
        if data.sources or data.rehearsal is not None:
            raise
        return str(error)
    return ""


def group_job(
    work: Work,
    encoder: ChatEncoder,
    *,
    data: DataConfig,
    model: ModelConfig,
    model_path: str,
    output_path: str,
    seed: int,
    chat_problem: str,
) -> GroupJob:
    """What every group is made with, and a copy of the tokenizer for the workers."""
    return GroupJob(
        output_path=work.shared.below(GROUPS),
        model_path=model_path,
        chat_template=str(Path(model.chat_template).resolve()) if model.chat_template else None,
        system_prompt=model.system_prompt,
        max_seq_len=model.max_seq_len,
        recipes=data.recipes,
        passage_tokens=data.passage_tokens,
        seed=seed,
        seen_fraction=seen_fraction(work.num_files),
        drops_repeats=data.deduplicate != "none",
        chat_problem=chat_problem,
        multi_turn_problem=chat_problem or multi_turn_problem(encoder),
        answers=response_cache(data, model, model_path, answers_folder(output_path)),
        tokenizer_path=shared_lean(encoder.tokenizer, work.shared),
        limits=Limits(data.parse_seconds, int(data.parse_memory_gib * 2**30)),
    )


@dataclass(frozen=True)
class Groups:
    """The groups of a run in order; what each is made of is put together when it is asked for."""

    work: Work
    placements: Sequence[tuple[Placement, ...]]
    names: list[str]  # each holds all that its group is made of and with
    members: list[range]

    def __len__(self) -> int:
        return len(self.names)

    def placed(self, number: int) -> list[Placed]:
        """The items of a group."""
        return [Placed(self.work.items[i], self.work.ref(i), self.placements[i]) for i in self.members[number]]

    def sizes(self) -> list[int]:
        """Bytes of each group's items, [groups]."""
        ends = np.concatenate(([0], np.cumsum(self.work.items.sizes)))
        return [int(ends[one.stop] - ends[one.start]) for one in self.members]


def name_groups(
    work: Work, placements: Sequence[tuple[Placement, ...]], job: GroupJob, data: DataConfig, tokenizer: Any
) -> Groups:
    """The groups in order, by the name that holds all they are made of and with."""
    how = _digest(job, data, tokenizer)
    members = group_items(work.items, job.max_seq_len)
    keys = work.items.keys
    names = [digest_of([how, [[keys[i].hex(), placements[i]] for i in group]]) for group in members]
    return Groups(work, placements, names, members)


def seen_fraction(num_files: int) -> float:
    """Of trained documents that get questions; the same for about as many files, so that one more changes nothing."""
    return min(1.0, SEEN_DOCUMENTS / (1 << max(0, num_files - 1).bit_length()))


def _digest(job: GroupJob, data: DataConfig, tokenizer: Any) -> str:
    """Of all that groups are made with, but not where."""
    places = ("output_path", "model_path", "tokenizer_path", "chat_template", "answers", "limits")
    return digest_of(
        {
            "job": {f.name: to_json(getattr(job, f.name)) for f in fields(job) if f.name not in places},
            "tokenizer": tokenizer_digest(job.model_path),
            "template": template_digest(tokenizer),
            "generator": job.answers.identity if job.answers else "",
            "sources": [source_of(one) for one in data.recipes],
            "code": code_digest("write"),
        }
    )


def answers_folder(output_path: str) -> str:
    """Where engines' answers lie that belong to a set: beside it."""
    return joined(output_path, ANSWERS) if is_uri(output_path) else str(Path(output_path).parent / ANSWERS)


def shared_lean(tokenizer: Any, place: Place) -> str | None:
    """Where workers find the copy of a tokenizer; None where the copy would not be the same."""
    made = save_lean(tokenizer, place.here / TOKENIZER)
    if made is None or not place.is_stored:
        return made
    store = place.store.below(TOKENIZER, Path(made).name)
    for file in sorted(Path(made).iterdir()):
        store.send(file.name, file)
    return store.uri


def response_cache(data: DataConfig, model: ModelConfig, model_path: str, folder: str) -> ResponseCache | None:
    """Where the answers of data.generator lie, under what its answers depend on."""
    return None if data.generator is None else answers_of(data.generator, data, model, model_path, folder)


def answers_of(engine: Engine, data: DataConfig, model: ModelConfig, model_path: str, folder: str) -> ResponseCache:
    """Where the answers of an engine lie, under what they depend on."""
    identity = digest_of(engine.writer_identity(model_path, chat_template=model.chat_template))
    return ResponseCache(resolved(data.answers_path or folder), identity, uuid.uuid4().hex)
