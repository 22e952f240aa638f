"""The command line: exit codes, one line on bad input, and what it must not import."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ray_ft.artifacts import Job
from ray_ft.cli import VERBS, build_parser, main

CONFIG = """
run_name: handbook
output_dir: {output_dir}
model: {{name: "builtin:tiny", max_seq_len: 128}}
data: {{sources: [{source}], recipes: [paragraph]}}
"""


@pytest.fixture
def config_path(tmp_path: Path) -> Path:
    path = tmp_path / "handbook.yaml"
    path.write_text(CONFIG.format(output_dir=tmp_path / "outputs", source=tmp_path / "docs"))
    return path


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_takes_flags_and_overrides_in_any_order(verb: str) -> None:
    needed = {"export": ["--to", "folder"], "compare": ["b.yaml"]}.get(verb, [])
    arguments = build_parser().parse_args([verb, "a.yaml", "--json", *needed, "run_name=b", "--verbose", "seed=1"])
    given = [getattr(arguments, "job_verb", None), *arguments.overrides]
    assert [o for o in given if o] == ["run_name=b", "seed=1"]
    assert arguments.json


@pytest.mark.parametrize("verb", ["train", "evaluate", "serve", "export"])
def test_a_verb_whose_input_is_missing_names_the_verb_that_makes_it(
    verb: str, config_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extra = ["--to", str(config_path.parent / "out")] if verb == "export" else []
    assert main([verb, str(config_path), "run_name=my handbook", *extra]) == 1
    error = capsys.readouterr().err.strip()
    made_by = "prepare" if verb in ("train", "evaluate") else "train"
    assert f"Run `ray-ft {made_by} {config_path} 'run_name=my handbook'` first." in error
    assert "Traceback" not in error
    assert len(error.splitlines()) == 1


def test_a_mistyped_key_exits_with_2_and_one_line(config_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(config_path), "train.lerning_rate=1"]) == 2
    error = capsys.readouterr().err
    assert "Did you mean 'learning_rate'?" in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize("verb", ["train", "run", "sweep", "evaluate"])
def test_ctrl_c_exits_with_130_and_says_how_to_go_on(
    verb: str, config_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ray_ft import api

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(api, verb, interrupted)
    assert main([verb, str(config_path)]) == 130
    assert ("--resume" in capsys.readouterr().err) == (verb != "evaluate")


def test_a_missing_source_exits_with_one_line_that_names_it(
    config_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare", str(config_path)]) in (1, 2)
    error = capsys.readouterr().err
    assert str(config_path.parent / "docs") in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize("name", ["builtin:huge", "./nowhere", "nobody/no-such-model"])
def test_a_model_that_does_not_exist_exits_with_one_line(
    name: str, config_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", str(config_path), f"model.name={name}", "plan.gpu=L4"]) == 1
    error = capsys.readouterr().err
    assert name.removeprefix("./") in error
    assert len(error.strip().splitlines()) == 1


def test_submit_without_an_address_says_so(
    config_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert main(["submit", str(config_path)]) == 2
    assert "--address" in capsys.readouterr().err


def test_a_submitted_jobs_log_leaves_standard_output_to_the_json(
    config_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def submit(*_: object, on_log: Callable[[str], None], **__: object) -> Job:
        on_log("step 1/10")
        return Job(id="handbook-1", address="http://head:8265", status="SUCCEEDED")

    monkeypatch.setattr("ray_ft.jobs.submit.submit_job", submit)
    assert main(["submit", str(config_path), "--address", "http://head:8265", "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["status"] == "SUCCEEDED"
    assert said.err == "step 1/10\n"


def test_show_lists_every_choice(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("paragraph", "qlora", "transformers", "bm25"))


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["show"], ["plan", "CONFIG", "plan.gpu=A100-80GB", "plan.num_gpus=8", "--json"]],
    ids=["help", "show", "plan"],
)
def test_light_verbs_import_neither_torch_nor_ray(arguments: list[str], config_path: Path) -> None:
    program = (
        "import sys\n"
        "from ray_ft.cli import main\n"
        "try:\n    code = main(sys.argv[1:])\nexcept SystemExit as stop:\n    code = stop.code\n"
        "heavy = {'torch', 'ray', 'transformers', 'deepspeed'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "sys.exit(code)\n"
    )
    given = [str(config_path) if a == "CONFIG" else a for a in arguments]
    done = subprocess.run([sys.executable, "-c", program, *given], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("flag", ["--resume", "--force"])
def test_a_dry_run_takes_no_flag_of_a_training(
    flag: str, config_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(config_path), "--dry-run", flag]) == 2
    assert capsys.readouterr().err.startswith("ray-ft train: --dry-run trains nothing")
