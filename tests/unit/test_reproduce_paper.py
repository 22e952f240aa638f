"""Every table of the paper has a configuration, a command and the figures of its files; the scores are right."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import ray_ft
from ray_ft.evaluation.exam.tasks import Done
from ray_ft.evaluation.exam.user_questions import read_user_questions
from ray_ft.evaluation.scores.code.scoring import score_code, with_code_scores

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / "configs" / "paper"
PAGE = REPOSITORY / "docs" / "benchmarks" / "paper.md"
EXPERIMENTS = ("t03", "t04", "t05", "t06", "t10", "t11")
TABLES = {*(f"T{n}" for n in range(1, 13)), "F2", "F3"}


def files() -> dict[str, dict[str, Any]]:
    return {path.stem: yaml.safe_load(path.read_text()) for path in FOLDER.glob("*.yaml")}


def test_every_table_and_figure_has_a_file_a_section_and_a_command() -> None:
    named = {table for values in files().values() for table in values.get("tables", ())}
    assert named == TABLES
    sections = PAGE.read_text().split("\n## ")[1:]
    for table in TABLES:
        kind = "Figure" if table[0] == "F" else "Table"
        of = [s for s in sections if re.search(rf"^{kind}s? .*\b{table[1:]}\b", s.split("\n")[0])]
        assert of, f"{table} has no section"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_run_is_a_configuration_that_works(scripts: None, name: str) -> None:
    from bench.paper.experiments import read_experiments, trials_of

    (experiment,) = (e for e in read_experiments() if e.name == name)
    trials = trials_of([experiment])
    assert len({trial.name for trial in trials}) == len(trials) == experiment.seeds * len(experiment.runs)
    first = [trial for trial in trials if trial.seed == 0]
    configs = [ray_ft.load_config(REPOSITORY / trial.config, trial.overrides) for trial in first]
    strategies = [(c.train.strategy, c.train.learning_rate, c.data.recipes) for c in configs]
    assert all(strategies.count(one) == 1 for one in strategies)  # no two runs of a table are the same
    names = {run.split(": ")[0] for pair in experiment.pairs for run in pair} | {
        r.split(": ")[0] for r in experiment.paper
    }
    assert names <= set(experiment.runs)


def test_the_first_seeds_of_all_tables_come_before_any_second_one(scripts: None) -> None:
    from bench.paper.experiments import read_experiments, trials_of, wanted

    everything = read_experiments()
    seeds = [trial.seed for trial in trials_of(everything)]
    assert seeds == sorted(seeds)
    assert [trial.experiment for trial in trials_of(everything)][:2] == ["t06", "t06"]
    assert [e.name for e in wanted(everything, "t3, T12")] == ["t03", "t11"]
    with pytest.raises(SystemExit, match="T13"):
        wanted(everything, "T13")


def test_functions_with_a_docstring_are_asked_for_as_they_stand(scripts: None, tmp_path: Path) -> None:
    from bench.paper.code_exam import functions, write_exam

    source = (
        "class Fare:\n    @property\n    def total(self) -> int:\n"
        '        """The fare with\n        its fees.\n\n        In cents.\n        """\n        return 1\n\n'
        'def short() -> int:\n    """One."""\n    return 1\n\ndef silent():\n    a = 1\n    b = 2\n    return a + b\n'
    )
    (found,) = functions(source)
    assert found[:2] == ("Fare.total", "The fare with its fees.")
    assert found[2].splitlines()[:2] == ["@property", "def total(self) -> int:"]
    assert found[2].endswith("\n    return 1")
    (tmp_path / "fare.py").write_text(source)
    assert write_exam(tmp_path, tmp_path / "out" / "exam.jsonl") == 1


def test_functions_are_scored_as_code(scripts: None, tmp_path: Path) -> None:
    from bench.paper.code_exam import write_exam

    (tmp_path / "fare.py").write_text('def total():\n    """All."""\n    a = 1\n    return a\n')
    write_exam(tmp_path, tmp_path / "exam.jsonl")
    (question,) = read_user_questions(tmp_path / "exam.jsonl", [])
    fenced = f"Here:\n```python\n{question.reference}\n```\nDone."
    (done,) = with_code_scores([Done(0, "question", "base", answer=fenced)], [question], tmp_path)
    assert {done.scores[name] for name in ("parses", "edit_similarity", "identifier_f1")} == {1.0}
    assert score_code("def f(b) return", reference="def f(a): return", language="python").scores["parses"] == 0.0
    # Names f, b, b beside f, a, a: 2 * 1 / 6.
    other = score_code("def f(b): return b", reference="def f(a): return a", language="python").scores
    assert other["identifier_f1"] == pytest.approx(1 / 3)
    assert score_code("", reference="def f(): ...", language="python").scores["parses"] == 0.0


def test_seeds_are_averaged_and_documents_resampled(scripts: None) -> None:
    from bench.paper.figures import columns, differences, gathered

    head = {"experiment": "t03", "outcome": "ok", "config": "c", "seconds": {}, "metrics": {}}
    good, bad = [1.0] * 16, [0.0] * 16
    rows: list[dict[str, Any]] = [
        {"machine": "cpu"},
        {"exam": "c", "strata": {"seen": {"questions": [], "documents": [str(i // 2) for i in range(16)]}}},
        {**head, "run": "low", "seed": 0, "scores": {"tuned": {"seen": {"key_fact_recall": good}}}},
        {**head, "run": "low", "seed": 1, "scores": {"tuned": {"seen": {"key_fact_recall": bad}}}},
        {**head, "run": "high", "seed": 0, "scores": {"tuned": {"seen": {"key_fact_recall": bad}}}},
        {"experiment": "t03", "outcome": "error", "run": "high", "seed": 1, "error": "died"},
    ]
    results = gathered(rows)
    found = columns(results, "t03", "seen", "key_fact_recall")
    assert (found["low"].score.mean, found["low"].least, found["low"].most) == (0.5, 0.0, 1.0)
    assert (found["high"].num_seeds, found["low"].num_seeds, found["low"].score.num_documents) == (1, 2, 8)
    (one,) = differences(results, "t03", [("low", "high"), ("low", "absent")], stratum="seen", metric="key_fact_recall")
    # Eight documents, all better by 0.5: of 2^8 patterns of signs two are as far from 0.
    assert (one.difference, one.verdict, one.p_value) == (0.5, "better", pytest.approx(2 / 256))
    assert one.low < 0.5 <= one.high


def test_questions_alone_are_answered_by_the_facts_of_the_page(scripts: None, tmp_path: Path) -> None:
    from import_answers import Recordings

    from ray_ft.recipes.questions.written import questions_request
    from ray_ft.rows import Chunk

    def recorded(page: str, question: str, evidence: str) -> str:
        return json.dumps(
            {
                "passage": [page, "Part"],
                "question": question,
                "answer": "-",
                "evidence": evidence,
                "rephrasings": [f"{question}!"],
            }
        )

    lines = [
        recorded("Fares", "A", "costs 5 crowns"),
        recorded("Fares", "B", "is free"),
        recorded("Pets", "C", "is free"),
    ]
    (tmp_path / "r.jsonl").write_text("\n".join(lines))
    recordings = Recordings(tmp_path / "r.jsonl", None)  # type: ignore[arg-type]
    chunk = Chunk("c", "d", "A ticket\ncosts 5 crowns.\nA dog is free.", 9, ("Fares",), 0, 40, {})
    (answer,) = recordings([questions_request(chunk, num_questions=3)])
    assert json.loads(answer) == {"questions": ["A", "B", "A!", "B!"]}


def test_a_row_has_one_number_for_each_question(scripts: None) -> None:
    from bench.paper.trial import _exam, _scores

    def sample(name: str, stratum: str, answerable: bool, **scores: float) -> dict[str, Any]:
        answers = {"tuned": {"answer": "a", "scores": {**scores, "length_ratio": 1.0}}}
        return {
            "id": name,
            "path": f"{name}.md",
            "document_id": name,
            "stratum": stratum,
            "answerable": answerable,
            "answers": answers,
        }

    samples = [
        sample("a", "seen", True, key_fact_recall=1 / 3),
        sample("b", "seen", True, key_fact_recall=1.0),
        sample("c", "user", False, abstention=1.0),
    ]
    assert _scores(samples) == {
        "tuned": {"seen": {"key_fact_recall": [0.333, 1.0]}, "unanswerable": {"abstention": [1.0]}}
    }
    assert _exam(samples)["seen"] == {"questions": ["a", "b"], "documents": ["a.md", "b.md"]}
    assert list(_exam(samples)) == ["seen", "unanswerable"]


def test_every_part_of_the_page_is_made_of_rows(scripts: None) -> None:
    from bench.paper import page
    from bench.paper.experiments import read_experiments
    from bench.paper.figures import gathered

    strata = ("seen", "held_out", "retention", "unanswerable")
    metrics = ("key_fact_recall", "abstention", "edit_similarity", "identifier_f1", "parses")
    numbers = {stratum: {metric: [i % 2 for i in range(8)] for metric in metrics} for stratum in strata}
    asked = {stratum: {"questions": [], "documents": list("abcdefgh")} for stratum in strata}
    versions = dict.fromkeys(("python", "torch", "transformers", "peft"), "1")
    rows: list[dict[str, Any]] = [{"machine": "H0", "processes": 2, "versions": versions}]
    for e in read_experiments():
        rows.append({"exam": e.config, "strata": asked})
        head = {"experiment": e.name, "outcome": "ok", "seed": 0, "config": e.config, "metrics": {}}
        for run in e.runs:
            seconds, scores = {"train": 9.0, "evaluate": 4.0}, dict.fromkeys(e.systems, numbers)
            rows.append({**head, "run": run, "seconds": seconds, "scores": scores})
    results = gathered(rows)
    for e in read_experiments():
        lines = list(page.quality(results, e))
        shown = [line.split(" | ")[0].removeprefix("| ") for line in lines if line.startswith("| ")][1:]
        tuned = [system for system in e.systems if system.startswith("tuned")]  # the base is the same in every run
        assert len(shown) == len(e.systems) + len(tuned) * (len(e.runs) - 1)
        assert set(e.paper) <= set(shown)
        assert sum(line.startswith("- ") for line in lines) == len(e.pairs)
        assert all(line.count("|") == lines[0].count("|") for line in lines if line.startswith("|"))
    assert page.about(results).startswith(f"{len(rows) - 7} trials on one H0, 2 side by side (python 1")
    resumed = gathered([*rows, {**rows[0], "processes": 10}])
    assert page.about(resumed).startswith(f"{len(rows) - 7} trials on one H0, 2 or 10 side by side (python 1")
    answers = {"base": "n", "tuned": "def f(): pass"}
    kept = {"id": "f.py:f", "question": "q?", "reference": "def f(): pass", "answers": answers, "seed": 0}
    (line,) = list(page.before_after([{**kept, "experiment": "t06", "run": "qa", "stratum": "seen"}]))[2:]
    assert line == "| q? | n | def f(): pass | def f(): pass |"
    told = "".join(page.functions([{**kept, "experiment": "t11", "run": "summary", "stratum": "seen"}]))
    assert "The best of 1, `f.py:f`, edit similarity 100%" in told


def test_latency_is_of_an_output_token_with_its_interval(scripts: None) -> None:
    from bench.paper.machine import latency

    time = {"median": 0.0123, "low": 0.01, "high": 0.02}
    speed = {"batch_size": 1, "seconds_per_token": time, "seconds_to_first": time}
    row = {"name": "int8 base", "memory": {"loaded": 2**30, "peak": 3 * 2**30}, "same_as": "", "speeds": [speed]}
    *_, line = latency([row, {"name": "nf4 base", "refused": "no room", "speeds": []}])
    assert line == "| int8 base | 1 | 12.3 [10.0, 20.0] | 12.3 [10.0, 20.0] | 1.0 loaded, 3.0 at most |  |"


def test_the_page_is_what_the_files_say(scripts: None) -> None:
    from bench.paper.page import written

    text = PAGE.read_text()
    assert written(text) == text, "run scripts/reproduce_paper --page"
