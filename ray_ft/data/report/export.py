"""A training set as others read it: JSONL of messages, Parquet, and a folder with a card that `load_dataset` opens."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ray_ft.artifacts import Inspection, TrainingSet
from ray_ft.data.report.inspection import table
from ray_ft.data.schemas import EXAMPLES, SPLITS
from ray_ft.errors import ConfigError, DataError

COLUMNS = ("prompt", "completion", "messages", "recipe", "origin", "evidence", "document_id", "start", "end", "copies")


def export_training_set(made: TrainingSet, about: Inspection, path: Path, *, facts: Mapping[str, Any]) -> Path:
    """Write README.md, data/SPLIT.parquet and messages/SPLIT.jsonl into an empty folder.

    Plain text has its words in the one turn of an assistant. Raises ConfigError when the folder is not empty.
    """
    import pyarrow.parquet as pq

    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConfigError(f"{path} is not an empty folder; choose another one")
    try:
        for folder in ("data", "messages"):
            (path / folder).mkdir(parents=True, exist_ok=True)
        for split in SPLITS:
            schema = table(made, EXAMPLES).schema
            fields = [schema.field(name) for name in COLUMNS]
            with (
                pq.ParquetWriter(path / "data" / f"{split}.parquet", _schema(fields), compression="zstd") as parquet,
                (path / "messages" / f"{split}.jsonl").open("w", encoding="utf-8") as lines,
            ):
                for batch in _batches(made, split):
                    parquet.write_batch(batch)
                    lines.writelines(map(_line, batch.to_pylist()))
        (path / "README.md").write_text(card(made, about, facts), encoding="utf-8")
    except OSError as error:
        raise DataError(f"cannot write {error.filename or path}: {error.strerror}") from None
    return path


def card(made: TrainingSet, about: Inspection, facts: Mapping[str, Any]) -> str:
    """The dataset card: what the set holds, what was left out and why, and all that it was made with."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("ray_ft.data.report"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["cell"] = lambda text: " ".join(str(text).split()).replace("|", "\\|")
    template = environment.get_template("dataset_card.md.jinja")
    return template.render(made=made, about=about, facts=facts, splits=SPLITS) + "\n"


def _schema(fields: list[Any]) -> Any:
    import pyarrow as pa

    return pa.schema(fields)


def _batches(made: TrainingSet, split: str) -> Iterator[Any]:
    import pyarrow.compute as pc

    kept = (pc.field("split") == split) & (pc.field("copies") > 0)
    for batch in table(made, EXAMPLES).to_batches(columns=list(COLUMNS), filter=kept):
        if batch.num_rows:
            yield batch


def _line(row: Mapping[str, Any]) -> str:
    """One line of JSONL: the turns, and where they come from."""
    turns = [{"role": m["role"], "content": m["content"]} for m in row["messages"] or ()]
    if not turns:
        asked = [{"role": "user", "content": row["prompt"]}] if row["prompt"] else []
        turns = [*asked, {"role": "assistant", "content": row["completion"]}]
    line = {"messages": turns, "recipe": row["recipe"], "source": row["document_id"]}
    return json.dumps(line, ensure_ascii=False) + "\n"
