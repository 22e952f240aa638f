"""Rows of whole trees: drawn without a word on whose they are, scored by their grades, and searched for bad ones."""

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

pytestmark = pytest.mark.usefixtures("scripts")


def run_of(root: Path, tree: str, rows: list[tuple[str, str, str]], num_bytes: int = 2_000_000) -> Path:
    """A run of `prepare` with rows of (recipe, prompt, completion), and one that was dropped."""
    folder = root / tree / "data" / "examples.parquet"
    folder.mkdir(parents=True)
    table = [
        {"prompt": prompt, "completion": text, "chunk_id": f"0a1b:{tree}/page.html#{recipe}-{i}", "recipe": recipe,
         "messages": [], "dropped": ""}
        for i, (recipe, prompt, text) in enumerate(rows)
    ]  # fmt: skip
    dropped = table[0] | {"completion": "never shown", "dropped": "no target token"}
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([*table, dropped]), folder / "part-00000.parquet")
    said = {"inputs": {"sources": {"num_bytes": num_bytes}}}
    (root / tree / "training_set.json").write_text(json.dumps(said))
    return root


def passages(version: str, num: int) -> list[tuple[str, str, str]]:
    return [("paragraph", "", f"passage {i} of {version}") for i in range(num)]


def test_each_version_gives_as_many_rows_and_no_row_says_whose_it_is(tmp_path: Path) -> None:
    from bench.data.trees import draw

    before = run_of(tmp_path / "one", "manual", passages("one", 30))
    after = run_of(tmp_path / "two", "manual", passages("two", 8))
    shown, key = draw(before, after, seed=1, per_recipe=10)
    rows = shown["manual.paragraph"]
    versions = [key["ids"][row["id"]]["versions"] for row in rows]
    assert versions.count(["before"]) == 10
    assert versions.count(["after"]) == 8
    assert versions != sorted(versions)
    assert all(set(row) == {"id", "tree", "recipe", "path", "text"} for row in rows)
    assert {row["path"] for row in rows} == {"manual/page.html"}
    assert key["trees"] == {"manual": {"mb": 2.0, "rows": {"paragraph": {"before": 30, "after": 8}}}}
    assert draw(before, after, seed=1, per_recipe=10) == (shown, key)
    assert draw(before, after, seed=2, per_recipe=10) != (shown, key)


def test_a_row_of_both_versions_is_read_once_and_counts_for_both(tmp_path: Path) -> None:
    from bench.data.grades import score_rows
    from bench.data.trees import draw

    same = [("qa", "What is a buoy?", "A mark that floats.")]
    before = run_of(tmp_path / "one", "manual", same)
    after = run_of(tmp_path / "two", "manual", [*same, ("qa", "What is a lock?", "Home | Next")])
    shown, key = draw(before, after, seed=1, per_recipe=50)
    ids = {row["prompt"]: row["id"] for row in shown["manual.qa"]}
    assert key["ids"][ids["What is a buoy?"]]["versions"] == ["before", "after"]
    grades = {ids["What is a buoy?"]: "useful", ids["What is a lock?"]: "wrong"}
    table = {(r["tree"], r["version"]): r for r in score_rows(key, grades)}
    # 2 MB: one row before, which is useful, is 0.5 for each MB; after there are 2 rows, and half of them are
    assert [table["manual", v]["useful_per_mb"] for v in ("before", "after")] == [0.5, 0.5]
    assert [table["all", v]["rows_per_mb"] for v in ("before", "after")] == [0.5, 1.0]
    assert table["manual", "after"]["wrong_share"] == 0.5


def test_what_falls_short_is_told() -> None:
    from bench.data.grades import score_rows, shortfalls

    ids = {f"{version}{i}": {"tree": "manual", "recipe": "qa", "versions": [version]}
           for version in ("before", "after") for i in range(10)}  # fmt: skip
    drawn = {"trees": {"manual": {"mb": 1.0, "rows": {"qa": {"before": 100, "after": 40}}}}, "ids": ids}
    grades = dict.fromkeys(ids, "useful") | {"after0": "wrong", "after1": "poor"}
    # 100 rows for each MB were useful; of 40 now, 8 of 10 are: 32, which is less than half, and 80% and 10% are told
    assert [line for line in shortfalls(list(score_rows(drawn, grades))) if "manual" in line] == [
        "manual, qa: 80% are useful, below 85%",
        "manual, qa: 10% are wrong, above 3%",
        "manual, qa: 32.0 useful rows per MB, below half of those before",
    ]


def test_intervals_are_wilsons() -> None:
    from bench.data.grades import wilson

    # 45 of 50 by hand: middle (0.9 + 3.8415 / 100) / (1 + 3.8415 / 50) = 0.8715, half 0.0851
    assert wilson(45, 50) == pytest.approx((0.7864, 0.9565), abs=2e-4)
    assert wilson(0, 0) == (0.0, 1.0)


def test_grades_come_as_lines_of_json_and_as_csv_and_no_row_has_two(tmp_path: Path) -> None:
    from bench.data.grades import read_grades

    lines, table = tmp_path / "a.jsonl", tmp_path / "b.csv"
    lines.write_text('{"id": "x", "grade": "useful"}\n\n{"id": "y", "grade": "poor", "why": "thin"}\n')
    table.write_text('id,grade,why\nz,wrong,"no, it is a footer"\nx,useful\n')
    assert read_grades([lines, table]) == {"x": "useful", "y": "poor", "z": "wrong"}
    table.write_text("x,poor\n")
    with pytest.raises(ValueError, match="x is poor, and was useful before"):
        read_grades([lines, table])
    table.write_text("x,good\n")
    with pytest.raises(ValueError, match="a grade is useful, poor, wrong"):
        read_grades([table])


def test_a_command_draws_scores_and_writes_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from bench.data.trees import main

    before = run_of(tmp_path / "one", "manual", passages("one", 3))
    after = run_of(tmp_path / "two", "manual", [*passages("two", 3), ("qa", "Why?", "x" * 5000)])
    drawn, grades, table = tmp_path / "drawn", tmp_path / "grades.csv", tmp_path / "table.csv"
    assert main(["draw", str(before), str(after), "--recipes", "qa,paragraph", "--output", str(drawn)]) == 0
    rows = [json.loads(line) for path in drawn.glob("*.jsonl") for line in path.read_text().splitlines()]
    assert len(rows) == 7
    assert sum("2,000 characters not shown" in row.get("completion", "") for row in rows) == 1
    grades.write_text("".join(f"{row['id']},useful\n" for row in rows[1:]))
    assert main(["score", str(drawn), "--grades", str(grades), "--output", str(table)]) == 1
    assert "1 of 7 rows have no grade yet" in capsys.readouterr().out
    grades.write_text("".join(f"{row['id']},useful\n" for row in rows))
    assert main(["score", str(drawn), "--grades", str(grades), "--output", str(table)]) == 0
    assert "manual,paragraph,after,3,3,0,0,1.0," in table.read_text()


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        ("navigation", "Some text.\nPrev | Up | Chapter 4. Locks | Home | Next"),
        ("navigation", "Prev |  | Next"),
        ("navigation", "Next: Buoys, Previous: Locks, Up: Top"),
        ("navigation", "- Previous\n- Next"),
        ("encoded", "![logo](data:image/png;base64,iVBORw0KGgo)"),
        ("encoded", "key: " + "aGVsbG8gd29ybGQ5" * 20),
        ("template", "Welcome to {{ site.title }}!"),
        ("template", "{% if user %} hello"),
        ("contents", "Contents\nBuoys ........ 3\nLocks ...... 14\nLights . . . . . 20"),
        ("contents", "- [Buoys](#buoys)\n- [Locks](#locks)\n- [Lights](#lights)\n- [Tides](#tides)"),
    ],
)
def test_bad_rows_are_found(bad: str, text: str) -> None:
    from bench.data.bad_rows import bad_in

    assert bad_in({"recipe": "paragraph", "prompt": "", "completion": text}) == [bad]


@pytest.mark.parametrize(
    "text",
    [
        "Next, open the lock. Go back up to the index of tides.",
        "previous | The page before | next to it",
        "```\n{{ page.title }}\n```\nA listing shows how a template is written, ``{{ so }}`` or `{% so %}`.",
        "A digest: " + "0123456789abcdef" * 20,
        "Wait ... and see [the tides](tides.md)\nfor more\non the subject\nof water.",
    ],
)
def test_rows_that_only_look_so_are_not(text: str) -> None:
    from bench.data.bad_rows import bad_in

    assert bad_in({"recipe": "paragraph", "prompt": "", "completion": text}) == []


def test_prompts_are_looked_at_and_patterns_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from bench.data.trees import main

    prompt = "Write the section “Locks (part 2 of 3)” of a.md."
    rows = [("heading", prompt, "Open it."), ("code_summary", "Fill it in.", "x = '{{ a }}'")]
    run_of(tmp_path / "runs", "manual", rows)
    assert main(["patterns", str(tmp_path / "runs"), "--output", str(tmp_path / "table.csv")]) == 0
    assert "| manual | heading | 1 | 0 | 0 | 0 | 1 (100.00%) | 0 |" in capsys.readouterr().out
    assert (tmp_path / "table.csv").read_text().splitlines()[1:] == [
        "manual,code_summary,1,0,0,0,0,0",
        "manual,heading,1,0,0,0,1,0",
    ]
