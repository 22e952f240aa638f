"""What the second Ray Data job maps over groups: each is written to the end, or asked what it wants to know.

A group is written into a folder of its own, named by all that it is made of, which appears whole or not at all: what an
earlier run wrote of equal groups is taken as it is.
"""

import pickle
import shutil
import uuid
from collections.abc import Collection
from pathlib import Path
from typing import Any

from ray_ft.data.build.group import Group
from ray_ft.data.build.job import RESULT, GroupJob, GroupResult, Placed
from ray_ft.data.generation.response_cache import Answered, ResponseCache
from ray_ft.engines import WriteRequest
from ray_ft.errors import ConfigError, GenerationError
from ray_ft.rows import Generate


def write_group(row: dict[str, Any], *, job: GroupJob) -> dict[str, Any]:
    """Make and write a group; where recipes may ask an engine, it has answered."""
    return {"result": _finish(row, job, Answered(job.answers) if job.answers is not None else None).to_text()}


def requests_of(row: dict[str, Any], answers: ResponseCache, *, job: GroupJob) -> Collection[WriteRequest]:
    """What the recipes want to ask about a group's documents and no engine has answered yet."""
    engine = Answered(answers)
    Group(job, engine).ask(pickle.loads(row["work"]))
    return engine.missing.values()


def _finish(row: dict[str, Any], job: GroupJob, generate: Generate | None) -> GroupResult:
    """Write a group, unless it is there; a full disk or a failing engine ends the job with its own words."""
    placed: list[Placed] = pickle.loads(row["work"])
    folder = Path(job.output_path) / str(row["name"])
    if (folder / RESULT).is_file():  # its task is run again because the machine that held its answer is gone
        return GroupResult.from_text((folder / RESULT).read_text(encoding="utf-8"))
    partial = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        rows = Group(job, generate).make(placed)
        rows.write(partial)
        result = rows.result
        (partial / RESULT).write_text(result.to_text() + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)  # half of a removal
        partial.rename(folder)
        return result
    except OSError as error:
        return GroupResult(error=f"cannot write {error.filename or job.output_path}: {error.strerror}")
    except (GenerationError, ConfigError) as error:
        return GroupResult(error=str(error))
    finally:
        shutil.rmtree(partial, ignore_errors=True)
