"""Questions against training, span by span: what overlaps how, what may, and in files of any number."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ray_ft.overlap import names_a_fact, overlaps, table
from ray_ft.rows import Question

TRAINED = (
    "The night ferry calls at Tern Rock, Gull Ness and Old Pier before it turns back to harbour.",
    "Captain Ada Lund keeps the log.",
    "A notice: all rates are subject to change without notice to the passenger.",
    "渡船在每年的十一月到三月之间不开往北岛。",
)


def trained(folder: Path, texts: tuple[str, ...] = TRAINED, split: str = "train", dropped: str = "") -> Path:
    """Examples of these texts, two files, each text also in a conversation's turn."""
    target = folder / "examples.parquet"
    target.mkdir(exist_ok=True)
    for i in range(2):
        told = [("", text, []) for text in texts[i::2]] + [("x", "y", [{"content": "What does a day ticket cost?"}])]
        rows = [
            {"prompt": prompt, "completion": text, "messages": turns, "split": split, "dropped": dropped}
            for prompt, text, turns in told
        ]
        pq.write_table(pa.Table.from_pylist(rows), target / f"part-{i}.parquet")
    return folder


def question(text: str, reference: str, stratum: str = "held_out") -> Question:
    return Question("q", "d", "", text, reference, stratum=stratum)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "reference", "kind"),
    [("What does a day ticket cost?", "Twelve crowns", "question"),
     ("Who keeps the log?", "Ada Lund", "reference"),
     ("Who keeps the log?", "the log", ""),  # no name and no number: it may stand anywhere
     ("Where does it call?", "It calls at TERN ROCK -- Gull Ness and Old Pier before it leaves.", "run"),
     ("Where does it call?", "It calls at Tern Rock and Gull Ness, then Old Pier and then the harbour.", ""),
     ("Which ferry calls at Tern Rock, Gull Ness and Old Pier before noon?", "None", "run"),
     ("Why?", "Because of the ice.", ""),
     ("哪个季节不开船？", "每年的十一月到三月之间", "run"),
     ("Where is the office?", "Beside the lighthouse", "")],
)  # fmt: skip
def test_held_out_questions_overlap_by_question_answer_or_run(
    tmp_path: Path, asked: str, reference: str, kind: str
) -> None:
    assert overlaps([question(asked, reference)], trained(tmp_path)) == [kind]


def test_seen_questions_must_only_not_be_trained_themselves(tmp_path: Path) -> None:
    folder = trained(tmp_path)
    asked = [question("Who keeps the log?", "Captain Ada Lund", "seen"),
             question("what does a day ticket cost", "12", "seen")]  # fmt: skip
    found = overlaps(asked, folder)
    assert found == ["", "question"]
    assert table(asked, found) == {"seen": {"looked at": 2, "question": 1, "reference": 0, "run": 0}}


def test_what_is_declared_as_common_may_stand_on_both_sides(tmp_path: Path) -> None:
    asked = [question("May rates change?", "Yes: all rates are subject to change without notice to the passenger.")]
    folder = trained(tmp_path)
    assert overlaps(asked, folder) == ["run"]
    assert overlaps(asked, folder, common=["all rates are subject to change without notice to the passenger"]) == [""]


@pytest.mark.parametrize(("split", "dropped"), [("test", ""), ("train", "too long")])
def test_only_what_is_trained_counts(tmp_path: Path, split: str, dropped: str) -> None:
    asked = [question("Who keeps the log?", "Captain Ada Lund"), question("What does a day ticket cost?", "")]
    assert overlaps(asked, trained(tmp_path, split=split, dropped=dropped)) == ["", ""]


def test_a_short_answer_names_a_fact_by_a_name_an_identifier_or_a_number_of_something() -> None:
    assert [names_a_fact(text) for text in ("Ada Lund", "max_wait", "30 days", "5", "yes", "the blue one")] == [
        True, True, True, False, False, False
    ]  # fmt: skip
