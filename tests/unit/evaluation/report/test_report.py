"""The report on disk: one file that asks nothing of the network, holds every figure, and escapes every text."""

import dataclasses
import json
import re
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path

import html5lib
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from exam_fixtures import KnowingEngine, KnowingModel, make_questions, tuned_model, write_training_set

from ray_ft.artifacts import Cost, Report, load, save
from ray_ft.config import EvaluationConfig, ModelConfig, System
from ray_ft.engines import Engine, WriteRequest, Written
from ray_ft.errors import GenerationError
from ray_ft.evaluation import compare as stage
from ray_ft.evaluation.exam.tasks import Done, Task
from ray_ft.evaluation.report import findings
from ray_ft.evaluation.report.costs import costs_of
from ray_ft.evaluation.report.findings import metric_of
from ray_ft.evaluation.report.render import render_html
from ray_ft.evaluation.report.samples import Sample, choose_telling
from ray_ft.evaluation.scores.scoring import BASELINES, KNOWING_NOTHING
from ray_ft.evaluation.systems import answering
from ray_ft.evaluation.systems.prompts import perform

MODEL = ModelConfig(name="fake <img src=http://x> & co")
SETTINGS = EvaluationConfig(num_questions=24, max_new_tokens=32, num_bootstrap=200)


def without_a_cluster(tasks: list[Task], *, questions: list[object], **_: object) -> list[Done]:
    """What the Ray job does, in this process."""
    model = KnowingModel("base", {"tuned": "folder"}, 120)
    done = perform(tasks, model, tuned_adapter="tuned", system_prompt=None, max_new_tokens=SETTINGS.max_new_tokens)
    timed = [dataclasses.replace(d, seconds=0.5 * (d.kind == "question")) for d in done]  # the same in every run
    return [answering._scored(d, questions) for d in timed]  # type: ignore[arg-type]


@pytest.fixture
def make_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "ReportMaker":
    monkeypatch.setattr(stage, "answer_all", without_a_cluster)
    return ReportMaker(tmp_path)


class ReportMaker:
    def __init__(self, folder: Path) -> None:
        self.run_path = folder / "run"
        self.training_set = write_training_set(folder / "data")
        self.tuned = tuned_model(folder / "models")

    def __call__(self, evaluation: EvaluationConfig = SETTINGS) -> Report:
        return stage.compare(
            training_set=self.training_set, tuned=self.tuned, model=MODEL, evaluation=evaluation,
            engine=KnowingEngine(), run_path=str(self.run_path), seed=0, fingerprint="r" * 16,
        )  # fmt: skip

    @property
    def html(self) -> str:
        return (self.run_path / "report.html").read_text(encoding="utf-8")

    @property
    def samples(self) -> list[Sample]:
        """As written; answers stay dicts."""
        lines = (self.run_path / "evaluation" / "samples.jsonl").read_text().splitlines()
        return [Sample(**json.loads(line)) for line in lines]


class Page(HTMLParser):
    """Tags, attributes that load something, and the visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.references: list[str] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in ("meta", "br", "img", "link", "input"):
            self.open.append(tag)
        self.references += [
            f"{k}={v}" for k, v in attrs if k in ("src", "href", "srcset", "action", "data", "xlink:href")
        ]
        assert not [k for k, _ in attrs if k.startswith("on")], "an event handler is a script"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_asks_nothing_of_the_network_and_runs_nothing(make_report: ReportMaker) -> None:
    make_report()
    page = Page(make_report.html)
    assert page.references == []
    assert not page.tags & {"script", "link", "img", "iframe", "object", "embed", "form", "base"}
    assert "url(" not in make_report.html
    assert "@import" not in make_report.html
    assert page.open == []  # well formed to the end


def test_the_page_is_html_without_a_parse_error(make_report: ReportMaker) -> None:
    make_report(dataclasses.replace(SETTINGS, num_retention=20))
    validator = html5lib.HTMLParser(strict=True)
    validator.parse(make_report.html)
    with pytest.raises(html5lib.html5parser.ParseError):  # it finds what is wrong with a page
        validator.parse(make_report.html.replace("</section>", "", 1))


def test_commands_that_sentences_name_are_set_as_code(make_report: ReportMaker) -> None:
    make_report()
    assert "<code>ray-ft sweep</code> with" in make_report.html


def test_answers_and_names_are_escaped(make_report: ReportMaker) -> None:
    make_report()
    page = Page(make_report.html)
    assert "b" not in {t for t in page.tags if t == "img"}
    assert "I <b>guess</b> & hope." in "".join(page.texts)  # the fake's answer, as text
    assert "I <b>guess</b>" not in make_report.html
    assert "<img" not in (make_report.run_path / "report.md").read_text()


def test_the_page_holds_every_figure_of_the_report(make_report: ReportMaker) -> None:
    report = make_report()
    text = " ".join(" ".join(Page(make_report.html).texts).split())
    for score in (*report.scores, *report.baselines):
        metric = metric_of(score.metric)
        shown = f"{metric.format(score.mean)} {metric.format(score.low)} – {metric.format(score.high)}"
        assert shown in text, score
    for c in report.contrasts:
        metric = metric_of(c.metric)
        difference, low, high = (metric.format_difference(x) for x in (c.difference, c.low, c.high))
        assert f"{difference} [{low}, {high}]" in text or f"{difference}, 95% interval {low} to {high}" in text, c
    for note in report.notes:
        assert note.replace("`", "") in text
    for value in report.details.values():
        assert " ".join(value.split()) in text


def test_the_short_report_holds_every_score_and_verdict(make_report: ReportMaker) -> None:
    report = make_report()
    text = (make_report.run_path / "report.md").read_text()
    for score in report.scores:
        assert metric_of(score.metric).format(score.mean) in text
    assert len(re.findall(r"^- \*\*(better|worse|no meaningful difference|undecided)\*\*: ", text, re.M)) == 6


def test_two_reports_of_the_same_are_the_same_bytes(make_report: ReportMaker) -> None:
    make_report()
    first = make_report.html
    make_report()
    assert make_report.html == first


def test_the_report_survives_its_json_form(make_report: ReportMaker) -> None:
    report = make_report()
    assert report.details["questions"] == "24 of 48: 12 held out, 12 seen"
    save(report, make_report.run_path)
    assert load(Report, make_report.run_path) == report


def test_every_prompt_and_answer_is_kept(make_report: ReportMaker) -> None:
    report = make_report()
    assert len(make_report.samples) == report.num_questions == 24
    for sample in make_report.samples:
        assert list(sample.answers) == list(SETTINGS.systems)
        assert all(a["prompt"] and a["scores"] and a["prompt_sha256"] for a in map(dict, sample.answers.values()))  # type: ignore[call-overload]
        assert len(sample.passages) == 3


@pytest.mark.parametrize("systems", [("base",), ("tuned", "base"), ("base+rag",), ("tuned", "base+rag")])
def test_any_choice_of_systems_gives_a_report(make_report: ReportMaker, systems: tuple[System, ...]) -> None:
    report = make_report(dataclasses.replace(SETTINGS, systems=systems))
    assert {s.system for s in report.scores} - {"retriever"} == set(systems)
    with_passages = any(system.endswith("+rag") for system in systems)
    assert {s.system for s in report.baselines} == set(BASELINES if with_passages else KNOWING_NOTHING)
    assert Page(make_report.html).open == []


def test_quality_stands_beside_what_the_answers_took(make_report: ReportMaker) -> None:
    report = make_report()
    tokens = {s: [a["num_completion_tokens"] for x in make_report.samples for n, a in x.answers.items() if n == s]  # type: ignore[index]
              for s in SETTINGS.systems}  # fmt: skip
    found = {c.system: (c.num_answers, c.seconds_per_answer, c.seconds_per_token) for c in report.costs}
    assert found == {s: (24, 0.5, pytest.approx(24 * 0.5 / sum(n))) for s, n in tokens.items()}
    assert all(cost.dollars_per_thousand is None for cost in report.costs)
    text = " ".join(" ".join(Page(make_report.html).texts).split())
    assert "Quality against cost" in text
    assert "$ per 1,000 answers" not in text
    short = (make_report.run_path / "report.md").read_text()
    assert re.search(r"^\| system \|.* s per answer .*\n\| ---.*\n\| base \|.* 0\.5 \|.*\n\| tuned \|", short, re.M)
    assert make_report.html.index("Quality against cost") > make_report.html.index("Answers side by side")
    # Half a second at 7.20 dollars an hour is a tenth of a cent.
    made = costs_of([Done(0, "question", "base", seconds=0.5, num_completion_tokens=4)], price_per_hour=7.2)
    assert made == [Cost("base", 1, 0.5, 0.125, 0.0, 4.0, pytest.approx(1.0))]
    priced = render_html(dataclasses.replace(report, costs=tuple(made)), [], seed=0)
    assert "$ per 1,000 answers" in priced
    assert "Quality against cost" not in render_html(dataclasses.replace(report, costs=()), [], seed=0)


def test_a_leak_is_the_first_thing_said(make_report: ReportMaker) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from exam_fixtures import document_id

    row = {"prompt": "", "completion": "x", "chunk_id": "", "document_id": document_id(1), "recipe": "paragraph",
           "origin": "source", "split": "train"}  # fmt: skip
    pq.write_table(pa.Table.from_pylist([row]), Path(make_report.training_set.path) / "examples.parquet" / "c.parquet")
    report = make_report()
    assert report.notes[0] == "Leak: 1 held-out documents are in the training examples, e.g. guide/01.md."
    assert "1 in both by id" in report.details["split"]


def test_telling_samples_are_ordered_by_what_tuning_changed(make_report: ReportMaker) -> None:
    make_report()
    samples = [sample_from(s) for s in make_report.samples]
    telling = choose_telling(samples, seed=0, num_shown=3)
    assert telling is not None
    assert (telling.treatment, telling.control) == ("tuned", "base")
    # The fake's tuned model knows seen documents and nothing else: wins are seen, and nothing gets worse.
    assert [s.stratum for s in telling.wins] == ["seen"] * 3
    assert telling.regressions == []
    assert len({s.id for s in (*telling.wins, *telling.at_random)}) == 6


def sample_from(sample: Sample) -> Sample:
    from ray_ft.evaluation.report.samples import Answer

    answers = {system: Answer(**dict(a)) for system, a in sample.answers.items()}  # type: ignore[call-overload]
    return dataclasses.replace(sample, answers=answers)


def test_code_has_a_table_of_its_own_and_only_where_it_is_asked_for(make_report: ReportMaker) -> None:
    report = make_report()
    assert "where code is asked for" not in make_report.html
    assert not {score.metric for score in report.scores} & {"parses", "invented_symbols"}
    path = Path(make_report.training_set.path) / "questions.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows[::2]:
        row |= {"language": "python", "reference": "turn(crank)"}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = make_report()
    scores = {(s.stratum, s.system, s.metric): s for s in report.scores}
    assert scores["seen", "base", "parses"].num_items < scores["seen", "base", "token_f1"].num_items
    assert scores["seen", "base", "parses"].mean == 0  # it guesses and hopes, in prose
    assert {c.metric for c in report.contrasts} >= {"parses", "edit_similarity", "identifier_f1", "tree_match"}
    markdown = (make_report.run_path / "report.md").read_text()
    for text in (" ".join(Page(make_report.html).texts), markdown):
        assert "seen documents, where code is asked for" in text
        assert "invented names" in text
    assert {frozenset(sample.answers["base"]["scores"]) >= {"parses"} for sample in make_report.samples} == {
        True,
        False,
    }


def test_a_judges_figures_stand_apart_and_without_them_the_report_is_whole(make_report: ReportMaker) -> None:
    report = make_report(dataclasses.replace(SETTINGS, judge=Preferring()))
    pairs = {(one.stratum, one.treatment, one.control) for one in report.judged}
    assert ("seen", "tuned", "base") in pairs
    assert {c.metric for c in report.contrasts if not c.primary} >= {"judge_preference"}
    assert "in both orders" in findings.METRICS["judge_preference"].meaning
    text = " ".join(Page(make_report.html).texts)
    for shown in (text, (make_report.run_path / "report.md").read_text()):
        assert "What a judge prefers" in shown
        assert report.details["judge"] in shown
    rulings = (make_report.run_path / "evaluation" / "judged.jsonl").read_text().splitlines()
    assert len(rulings) == sum(one.num_items for one in report.judged)
    assert load(Report, save(report, make_report.run_path).parent) == report
    down = make_report(dataclasses.replace(SETTINGS, judge=Preferring(model="down")))
    assert down.judged == ()
    assert any(note.startswith("The judge down has no figures here: it is down") for note in down.notes)
    assert "What a judge prefers" not in make_report.html
    assert down.scores == report.scores


@dataclasses.dataclass(frozen=True)
class Preferring(Engine):
    """A judge that prefers answers without a guess, or is down."""

    name: str = "preferring"
    model: str = "judge"

    def load_writer(self, model_path: str, *, chat_template: str | None = None) -> "Preferring":  # type: ignore[override]
        return self

    def writer_identity(self, model_path: str, *, chat_template: str | None = None) -> dict[str, object]:
        return {"model": self.model}

    def write(self, requests: Sequence[WriteRequest]) -> Iterator[tuple[int, Written]]:
        if self.model == "down":
            raise GenerationError("it is down")
        for place, request in enumerate(requests):
            first = request.prompt.split("First answer:")[1].split("Second answer:")[0]
            yield place, Written(json.dumps({"reason": "", "better": "second" if "guess" in first else "first"}))


def test_the_passages_that_validation_chose_are_shown_and_the_table_says_why(make_report: ReportMaker) -> None:
    open_number = dataclasses.replace(SETTINGS, num_passages=None)
    report = make_report(open_number)
    assert any("retrieval was not chosen by any: 3 passages" in note for note in report.notes)
    assert {len(sample.passages) for sample in make_report.samples} == {3}
    rows = [
        {"prompt": q.question, "completion": q.reference, "document_id": q.document_id, "recipe": "qa",
         "split": "train" if i % 3 else "validation"}
        for i, q in enumerate(make_questions())
    ]  # fmt: skip
    folder = Path(make_report.training_set.path) / "examples.parquet"
    for file in folder.iterdir():
        file.unlink()
    pq.write_table(pa.Table.from_pylist(rows), folder / "a.parquet")
    report = make_report(open_number)
    # Every question names its widget, and the first passage found states its fact.
    assert {len(sample.passages) for sample in make_report.samples} == {1}
    assert {s.metric for s in report.scores if s.metric.startswith("recall@")} == {
        "recall@1 (passage)", "recall@1 (document)",
    }  # fmt: skip
    chosen = report.details["retrieval chosen"]
    assert chosen.startswith("on 16 questions about validation documents, 1 as prepared: 100% of the facts")
    assert chosen in " ".join(Page(make_report.html).texts)
    assert "of 1 passages shown" in report.details["retrieval"]
