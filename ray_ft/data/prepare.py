"""Documents, code and datasets to the training set, as two streaming Ray Data jobs with one look at everything between.

First every file is read, cleaned and signed, and kept in journals beside the run. Then duplicates are found and splits
drawn, from signatures. Last, groups of documents are chunked, tokenised, packed and written. Both jobs take over what
earlier runs finished, whether these were killed or ended; the driver sees only counts, and any cluster, after any
number of deaths, writes the same set.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from ray_ft.artifacts import TrainingSet
from ray_ft.config import DataConfig, ModelConfig, RehearsalConfig
from ray_ft.data.build.plan import answers_folder, answers_of, group_job, name_groups, template_problem
from ray_ft.data.build.publish import publish
from ray_ft.data.build.stage import write_groups
from ray_ft.data.build.tidy import tidy
from ray_ft.data.dedup.decontamination import read_common
from ray_ft.data.dedup.stage import place_documents
from ray_ft.data.generation.rehearsal import rehearse
from ray_ft.data.ingest.datasets import datasets_digest
from ray_ft.data.ingest.items import Item
from ray_ft.data.ingest.known import KNOWN
from ray_ft.data.ingest.listing import require_sources, sources_digest
from ray_ft.data.ingest.manifest import files_read, list_items, slices_of
from ray_ft.data.ingest.stage import read_items
from ray_ft.data.report.summary import report, require_examples
from ray_ft.data.run.lock import folder_here, held, scratch
from ray_ft.data.run.place import SCRATCH, Place
from ray_ft.data.sources.archive import keeping
from ray_ft.data.tokenization.chat import ChatEncoder
from ray_ft.engines import Engine
from ray_ft.errors import ConfigError
from ray_ft.models.tokenizer import load_tokenizer
from ray_ft.storage import is_uri

__all__ = ["datasets_digest", "files_read", "prepare_training_set", "require_sources", "sources_found"]

log = logging.getLogger("ray_ft")


def sources_found(data: DataConfig, output_path: str) -> dict[str, Any]:
    """What the sources hold now: {"digest", "num_files", "num_bytes"}; what runs noted of files is not read again.

    Raises ConfigError for a source that does not exist, DataError for one without a file that ray_ft reads.
    """
    return sources_digest(data, _known(output_path), trusted=data.trust_times)


def _known(output_path: str) -> Path:
    """Where a run notes what files held: on this machine, also of a set in storage."""
    here = folder_here(output_path)
    return here.with_suffix(f".{KNOWN}") if is_uri(output_path) else here / KNOWN


def prepare_training_set(
    data: DataConfig,
    *,
    model: ModelConfig,
    model_path: str,
    output_path: str,
    seed: int,
    inputs_digest: str | Callable[[Mapping[str, Any]], str],
    engine: Engine | None = None,
    retry_quarantined: bool = False,
    begin: Callable[[], None] = lambda: None,
) -> TrainingSet:
    """Make the training set below `output_path`, replacing what is there once the new one is whole.

    What is finished on the way lies in OUTPUT_PATH.work, or below `output_path` where that is a URI; there a run after
    a crash or a change of some files finds it. The set's fingerprint is `inputs_digest`, or what that makes of the
    sources as they were read (`sources_found`). `engine` answers with the base for data.rehearsal. Ray must be up once
    `begin` was called, when all is listed.
    Raises ConfigError for a missing source or a chat template that cannot be masked, DataError when the files give
    nothing to train on or cannot be written, or a dataset changes meanwhile, GenerationError where an engine cannot
    go on.
    """
    started = time.monotonic()
    common = read_common(data.common)
    tokenizer = load_tokenizer(model_path, model.chat_template)
    encoder = ChatEncoder(tokenizer, system_prompt=model.system_prompt, max_seq_len=model.max_seq_len)
    chat_problem = template_problem(encoder, data)

    def rehearsed(rehearsal: RehearsalConfig, place: Place) -> Iterator[Item]:
        """What the base answers, asked once all else is listed."""
        assert engine is not None
        begin()
        _refuse_other_machines(place, "data.rehearsal")
        asked = rehearse(
            rehearsal,
            engine=engine,
            answers=answers_of(engine, data, model, model_path, answers_folder(output_path)),
            encoder=encoder,
            model_path=model_path,
            chat_template=model.chat_template,
            folder=place.here,
            seed=seed,
        )
        yield from slices_of([asked], model.max_seq_len)

    with held(output_path) as (place, still_held):
        folder = place.here
        with scratch(folder / SCRATCH), keeping(place.tasks):
            items = list_items(data, model.max_seq_len)
            if data.rehearsal is not None:
                items = chain(items, rehearsed(data.rehearsal, place))
            work = read_items(
                items,
                data,
                folder,
                retry_quarantined=retry_quarantined,
                place=place,
                known=_known(output_path),
                begin=begin,
            )
            fingerprint = inputs_digest if isinstance(inputs_digest, str) else inputs_digest(work.sources)
            if work.changed:
                log.warning(
                    "%d files changed while they were read and are taken as they were then, e.g. %s; run prepare again "
                    "with --force once they rest", len(work.changed), work.changed[0],
                )  # fmt: skip
            placements = place_documents(work.heads(), work.text, data, seed, folder / SCRATCH)
            job = group_job(
                work,
                encoder,
                data=data,
                model=model,
                model_path=model_path,
                output_path=output_path,
                seed=seed,
                chat_problem=chat_problem,
            )
            groups = name_groups(work, placements, job, data, tokenizer)
            total = write_groups(groups, job, data.generator)
            require_examples(total, data)
            still_held()
            made = publish(
                groups.names,
                place,
                output_path,
                total,
                data=data,
                model=model,
                model_path=model_path,
                tokenizer=tokenizer,
                inputs_digest=fingerprint,
                common=common,
            )
            still_held()
            tidy(work, groups.names, data, made.path)
    report(total, made, time.monotonic() - started)
    return made


def _refuse_other_machines(place: Place, key: str) -> None:
    """Raises ConfigError where a cluster's machines would look for what this one alone has."""
    import ray

    if place.is_stored and len(ray.nodes()) > 1:
        raise ConfigError(
            f"{key}: what it makes lies on the machine that runs prepare, where other machines do not see it; use "
            "one machine, or leave data.storage_uri out and give an output_dir that all of them mount"
        )
