"""What `ray-ft advise` says of five corpora, and that nothing in it is without a source."""

import re
from pathlib import Path

import pytest
from advice_corpora import CORPORA, PAGES, advice, pages

import ray_ft
from ray_ft.advising.corpus_rules import CORPUS_RULES
from ray_ft.advising.run_rules import PLAN_RULES, RUN_RULES
from ray_ft.advising.sources import SOURCES, label_of
from ray_ft.artifacts import Advice

REPOSITORY = Path(__file__).parents[3]
Said = dict[str, tuple[Advice, dict[str, str]]]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Said:
    """Of every corpus the advice and its pages."""
    found = {}
    for name in CORPORA:
        folder = tmp_path_factory.mktemp(name)
        made = advice(name, folder)
        found[name] = made, pages(made, folder)
    return found


@pytest.mark.parametrize("name", CORPORA)
def test_the_pages_are_the_kept_ones(name: str, said: Said) -> None:
    for suffix, page in said[name][1].items():
        kept = (PAGES / f"{name}.{suffix}").read_text(encoding="utf-8")
        assert page == kept, "`python tests/advice_corpora.py` writes tests/data/advice again"


@pytest.mark.parametrize("name", CORPORA)
def test_a_page_fits_a_terminal_and_every_entry_names_a_known_source(name: str, said: Said) -> None:
    made, shown = said[name]
    lines = shown["txt"].splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    start = next(i for i, line in enumerate(lines) if not line.startswith(" ") and i)  # behind the header
    entries = re.split(r"\n(?=\S)|\n +(?=but )", "\n".join(lines[start:]))
    for entry in [one for one in entries if not one.startswith(("A controlled", f"{len(made.remarks)}"))]:
        if re.match(r"\d+ more with --json", entry):
            continue
        found = re.search(r"\[([^\]]+)\]$", " ".join(entry.split()))
        assert found, entry
        cited = [one for one in found[1].split("; ") if one not in ("A", "B", "C")]
        assert cited, entry
        assert {label_of(one) for one in cited} <= SOURCES.keys(), entry
    assert {label_of(s) for r in made.remarks for s in (*r.sources, *r.other_sources)} == made.sources.keys()
    assert all(bool(r.other_side) == bool(r.other_sources) for r in made.remarks)


def test_every_rule_speaks_of_some_corpus(said: Said) -> None:
    rules = {rule.__name__ for rule in (*CORPUS_RULES, *RUN_RULES, *PLAN_RULES)}
    assert rules == {remark.rule for made, _ in said.values() for remark in made.remarks}


def test_every_source_is_cited_and_every_page_of_ours_is_there(said: Said, tmp_path: Path) -> None:
    small_gpu = advice("wiki", tmp_path, plan={"gpu": "L4", "num_gpus": 8})  # where all weights do not fit: rank 256
    cited = {label for made, _ in [*said.values(), (small_gpu, {})] for label in made.sources}
    assert cited == SOURCES.keys()
    named = [path for title in SOURCES.values() for path in re.findall(r"docs/\S+\.md", title)]
    assert len(named) >= 5
    assert [path for path in named if not (REPOSITORY / path).is_file()] == []


@pytest.mark.parametrize("name", CORPORA)
def test_plan_takes_the_suggested_configuration_and_says_the_same(name: str, said: Said, tmp_path: Path) -> None:
    made, shown = said[name]
    path = tmp_path / "suggested.yaml"
    path.write_text(shown["yaml"].replace("CORPUS", str(tmp_path)))
    config = ray_ft.load_config(path, [f"output_dir={tmp_path}"])
    assert config.goal == made.goal
    planned = ray_ft.plan(config)
    told = next(remark.say for remark in made.remarks if remark.rule == "gpu")
    assert told.startswith(f"{config.plan.num_gpus} x {planned.gpu}: ")
    assert f"{planned.estimate.memory.total / 2**30:.1f} GiB" in told or config.plan.num_gpus != planned.num_workers


def test_the_figures_of_our_pages_are_theirs(said: Said) -> None:
    """The README's table is held to the measurements; the advice has its figures from the same rows."""
    table = (REPOSITORY / "README.md").read_text()
    for figure, row in (("36.5", "LoRA without it"), ("27.6", "QLoRA without it"), ("111.6", "full, fp32 masters")):
        assert any(figure in line for line in table.splitlines() if row in line)
        assert any(figure in r.because for made, _ in said.values() for r in made.remarks)
    power = (REPOSITORY / "docs" / "benchmarks" / "verdicts.md").read_text()
    for documents, share in ((6, "1.3%"), (20, "63.9%"), (50, "97.3%")):
        assert f"| 10 | +30 | {documents} | {share} |" in power


def test_conversations_alone_are_taken_for_a_style(said: Said) -> None:
    made, _ = said["chats"]
    assert (made.goal, made.goal_is_guessed) == ("style", True)
    assert made.profile.mean_turns > 1
