"""prepare on what comes again: conversations that grow, questions answered anew, sections of every page, bodies."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from ray_ft.artifacts import TrainingSet
from ray_ft.config import DataConfig, DatasetConfig, ModelConfig
from ray_ft.data.prepare import prepare_training_set
from ray_ft.recipes import CodeMetadata, Heading

pytestmark = pytest.mark.ray

SUPPORT = (
    "Open a ticket in the portal and name the serial number of the device. The desk answers within one working day."
)
LEGAL = "All names are trade marks of their owners. The maker is not liable for damage against this manual."
WORDS = ("hose", "valve", "lamp", "gate", "motor", "cable", "screw", "oil", "shaft", "tank", "seal", "night", "wheel")


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def growing(i: int) -> list[dict[str, Any]]:
    """A conversation, and every beginning of it."""
    turns = [
        t for j in range(3)
        for t in (turn("user", f"Customer {i} asks question {j} about boat {i * 7}."),
                  turn("assistant", f"Boat {i * 7} answer {j}: it leaves harbour {i} at {6 + j}:00."))
    ]  # fmt: skip
    return [{"messages": turns[:size]} for size in (2, 4, 6)]


def anew(i: int) -> list[dict[str, Any]]:
    """A question with several answers, as ShareGPT writes it."""
    asked = {"from": "human", "value": f"How do I reset device {i} of series {i % 3}?"}
    return [
        {"conversations": [asked, {"from": "gpt", "value": f"Hold button {i} for {n} seconds, variant {n}."}]}
        for n in range(3, 6)
    ]


@pytest.fixture(scope="module")
def made(ray_cluster: None, tiny_model_path: str, tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    root = tmp_path_factory.mktemp("told")
    draw = random.Random(0)
    (root / "docs").mkdir()
    for i in range(40):
        text = " ".join(draw.choice(WORDS) for _ in range(90)).capitalize()
        page = (
            f"# Product {i}\n\n## What it is\n\n{text}.\n\n## Get support\n\n{SUPPORT}\n\n## Legal notice\n\n{LEGAL}\n"
        )
        (root / "docs" / f"product{i}.md").write_text(page)
    classes = "".join(
        f"class Pump{i}(Machine):\n    size = {i}\n\n    def __str__(self):\n        return self.name\n\n\n"
        for i in range(20)
    )
    (root / "docs" / "models.py").write_text(classes)
    for name, lines in (("growing", growing), ("anew", anew)):
        rows = [row for i in range(25) for row in lines(i)]
        (root / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return prepare_training_set(
        DataConfig(
            sources=(str(root / "docs"),),
            datasets=tuple(DatasetConfig(path=str(root / f"{name}.jsonl")) for name in ("growing", "anew")),
            recipes=(Heading(), CodeMetadata()),
            validation_fraction=0.15,
            test_fraction=0.15,
        ),
        model=ModelConfig(name="builtin:tiny", max_seq_len=512),
        model_path=tiny_model_path,
        output_path=str(root / "run" / "data"),
        seed=0,
        inputs_digest="fingerprint",
    )


def examples(made: TrainingSet) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(Path(made.path) / "examples.parquet").to_pylist()
    return [row for row in rows if row["split"]]


def test_lines_of_a_conversation_and_answers_to_a_question_share_a_split(made: TrainingSet) -> None:
    splits: dict[str, set[str]] = {}
    for row in examples(made):
        if row["messages"]:
            splits.setdefault(row["messages"][0]["content"], set()).add(row["split"])
    assert len(splits) == 50
    assert all(len(found) == 1 for found in splits.values())
    assert {split for found in splits.values() for split in found} == {"train", "validation", "test"}


def test_a_section_of_every_page_is_trained_once_and_nothing_held_out_is_trained(made: TrainingSet) -> None:
    rows = [row for row in examples(made) if not row["messages"]]
    trained = [row["completion"] for row in rows if row["split"] == "train"]
    assert sum(SUPPORT in text for text in trained) == sum(LEGAL in text for text in trained) == 1
    held_out = [row["completion"] for row in rows if row["split"] != "train"]
    assert held_out
    assert not set(held_out) & set(trained)
    assert not any(SUPPORT in text or LEGAL in text for text in held_out)


def test_an_equal_body_counts_once(made: TrainingSet) -> None:
    bodies = [row["completion"] for row in examples(made) if row["completion"].startswith("def __str__")]
    assert len(bodies) <= 1
