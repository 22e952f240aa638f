"""What an evaluation set holds is found in a text, word for word, and ordinary likeness is not."""

import json
from pathlib import Path

import pytest

from ray_ft.data.dedup.decontamination import read_evaluation_sets
from ray_ft.errors import ConfigError

QUESTION = "How many minutes does the night ferry take from the old harbour to the lighthouse in winter?"  # 17 words
SHORT = "Which lamp shows that the ramp is locked?"  # 8 words


@pytest.fixture
def evaluation_set(tmp_path: Path) -> str:
    path = tmp_path / "own.jsonl"
    items = [{"question": QUESTION, "reference": "It takes 40 minutes."}, {"question": SHORT, "key_facts": ["green"]}]
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
    return str(path)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"# FAQ\n\n{QUESTION.upper()}\n", True),
        ("It asks: " + " ".join(QUESTION.split()[2:15]) + "!", True),  # a run of 13 words
        ("It asks: " + " ".join(QUESTION.split()[2:14]) + "!", False),  # of 12
        ("First,\nwhich lamp shows\nthat the ramp is locked", True),
        ("Which lamp shows that the door is locked?", False),
        ("It takes 40 minutes.", False),  # too short to tell
        ("", False),
    ],
)
def test_runs_of_words_are_found(evaluation_set: str, text: str, found: bool) -> None:
    assert read_evaluation_sets([evaluation_set]).found_in(text) is found


def test_without_evaluation_sets_nothing_is_found() -> None:
    assert not read_evaluation_sets([]).found_in(QUESTION)


def test_text_and_parquet_files_are_read_too(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "a.txt").write_text(f"{QUESTION}\nshort\n")
    pq.write_table(pa.table({"messages": [[{"role": "user", "content": SHORT}]]}), tmp_path / "b.parquet")
    runs = read_evaluation_sets([str(tmp_path / "a.txt"), str(tmp_path / "b.parquet")])
    assert runs.found_in(QUESTION)
    assert runs.found_in(SHORT)


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.decontaminate: cannot read .*nothing\.jsonl"):
        read_evaluation_sets([str(tmp_path / "nothing.jsonl")])
    (tmp_path / "bad.jsonl").write_text('{"a": 1}\n{\n')
    with pytest.raises(ConfigError, match=r"bad\.jsonl:2: not valid JSON"):
        read_evaluation_sets([str(tmp_path / "bad.jsonl")])
    (tmp_path / "few.txt").write_text("three short words\n")
    with pytest.raises(ConfigError, match=r"holds no item of at least 8 words"):
        read_evaluation_sets([str(tmp_path / "few.txt")])
