"""The runs of the forgetting bench: which are made, which are finished, and what the page says of them."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("scripts")


def contrast(metric: str, stratum: str, difference: float, verdict: str) -> dict[str, Any]:
    return {
        "metric": metric, "treatment": "tuned", "control": "base", "stratum": stratum, "num_items": 220,
        "difference": difference, "low": difference - 0.07, "high": difference + 0.07, "verdict": verdict,
        "primary": metric == "key_fact_recall",
    }  # fmt: skip


def report_of(difference: float, verdict: str) -> dict[str, Any]:
    found = [contrast("key_fact_recall", "seen", 0.5, "better"),
             contrast("key_fact_recall", "retention", difference, verdict),
             contrast("bits_per_token", "own samples", 0.8, "undecided")]  # fmt: skip
    scores = [{"system": system, "metric": c["metric"], "stratum": c["stratum"], "mean": mean} for c in found
              for system, mean in (("base", 0.48), ("tuned", 0.48 + c["difference"]))]  # fmt: skip
    return {"contrasts": found, "scores": scores, "details": {"retention pack": "right answers: fact 9 and 3 of 70"}}


LOSSES = {"overfit": (-0.37, "worse"), "replay": (-0.17, "worse"), "rehearsal": (-0.02, "undecided")}


class Commands:
    """Stands in for the processes: notes what is asked, and leaves the files that `ray-ft` would."""

    def __init__(self, repository: Path) -> None:
        self.repository, self.asked, self.fails_at = repository, list[str](), ""

    def run(self, lines: Path, name: str, command: list[str], *, shown: str) -> None:
        from bench.evaluation import forgetting

        assert command[0] == sys.executable
        verb = shown.removeprefix("ray-ft ").split()[0]
        if self.fails_at == f"{verb} {name}":
            raise SystemExit("killed")
        self.asked.append(f"{verb} {name}")
        folder = self.repository / forgetting.folder_of(name)
        if verb == "prepare":
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "training_set.json").write_text("{}")
        if verb == "evaluate":
            (folder / "report.json").write_text(json.dumps({"artifact": report_of(*LOSSES[name])}))
        row = {"run": name, "command": shown, "exit": 0, "seconds": 2.0, "printed": f"{verb} says so\n"}
        forgetting._keep(lines, row)


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Commands:
    from bench.evaluation import forgetting

    made = Commands(tmp_path)
    monkeypatch.setattr(forgetting, "REPOSITORY", tmp_path)
    monkeypatch.setattr(forgetting, "_run", made.run)
    return made


def bench(folder: Path, *arguments: str) -> int:
    from bench.evaluation import main

    return main.main(["forgetting", "--output", str(folder / "out"), *arguments])


MADE = ["import {}", "prepare {}", "train {}", "evaluate {}"]
AT_THE_END = ["compare all"] * 2 + ["gate all"] * 5


def test_all_runs_are_made_and_held_against_each_other(tmp_path: Path, commands: Commands) -> None:
    assert bench(tmp_path) == 0
    made = [step.format(name) for name in LOSSES for step in MADE]
    assert commands.asked == made + AT_THE_END
    page = (tmp_path / "out" / "forgetting.md").read_text()
    title = "# A run made to overfit and one with replay are told as a loss, one with rehearsal is not\n"
    assert page.startswith(title)
    assert "| With rehearsal | 220 | 48.0 % | 46.0 % | -2.0 [-9.0, +5.0] | undecided |" in page
    assert page.count("\n## ") == 4
    before = page
    assert bench(tmp_path, "--report") == 0
    assert (tmp_path / "out" / "forgetting.md").read_text() == before


def test_one_run_is_made_alone_and_a_finished_one_is_not_repeated(
    tmp_path: Path, commands: Commands, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench(tmp_path, "--only", "rehearsal") == 0
    assert commands.asked == [step.format("rehearsal") for step in MADE]
    assert "no page yet: overfit and replay to be made" in capsys.readouterr().out
    commands.asked.clear()
    assert bench(tmp_path) == 0
    assert commands.asked == [step.format(name) for name in ("overfit", "replay") for step in MADE] + AT_THE_END
    commands.asked.clear()
    assert bench(tmp_path) == 0
    assert commands.asked == AT_THE_END
    assert (tmp_path / "out" / "forgetting.md").is_file()


def test_a_run_that_was_killed_goes_on_where_it_was(tmp_path: Path, commands: Commands) -> None:
    commands.fails_at = "evaluate replay"
    with pytest.raises(SystemExit):
        bench(tmp_path)
    commands.fails_at = ""
    commands.asked.clear()
    assert bench(tmp_path) == 0
    # Its training set is there, so nothing is imported; `ray-ft` itself takes over what it finished.
    again = [step.format("replay") for step in MADE[1:]]
    assert commands.asked == again + [step.format("rehearsal") for step in MADE] + AT_THE_END


def test_what_was_made_with_other_settings_is_made_anew(tmp_path: Path, commands: Commands) -> None:
    bench(tmp_path, "--tiny")
    commands.asked.clear()
    bench(tmp_path)
    assert [step for step in commands.asked if step.startswith("train")] == [f"train {name}" for name in LOSSES]


def test_preparing_alone_trains_nothing_and_forgets_no_finished_run(tmp_path: Path, commands: Commands) -> None:
    bench(tmp_path, "--only", "replay")
    commands.asked.clear()
    bench(tmp_path, "--only-prepare")
    assert commands.asked == [step.format(name) for name in ("overfit", "rehearsal") for step in MADE[:2]]
    assert not (tmp_path / "out" / "forgetting.md").exists()


@pytest.mark.parametrize(
    ("verdicts", "title"),
    [
        (("worse", "undecided", "undecided"),
         "A run made to overfit is told as a loss, one with replay and one with rehearsal are not"),
        (("worse", "worse", "worse"),
         "A run made to overfit and one with replay and one with rehearsal are told as a loss"),
        (("undecided", "undecided", "undecided"),
         "A run made to overfit and one with replay and one with rehearsal are not told as a loss"),
    ],
)  # fmt: skip
def test_the_title_is_what_was_found(verdicts: tuple[str, ...], title: str) -> None:
    from bench.evaluation.forgetting import title as title_of

    rows = [{"run": name, "report": report_of(0.0, v)} for name, v in zip(LOSSES, verdicts, strict=True)]
    assert title_of(rows) == title


def test_every_run_is_a_configuration_that_loads() -> None:
    from bench.evaluation.forgetting import CONFIG, RUNS, settings_of

    from ray_ft.config import load_config

    repository = Path(__file__).parents[2]
    for name in RUNS:
        for tiny in (False, True):
            settings = settings_of(name, tiny=tiny)
            config = load_config(repository / CONFIG, settings)
            assert (config.data.rehearsal is not None) == (name == "rehearsal")
            assert shlex.split(shlex.join(settings)) == settings
