"""What `advise` looks at, what it does without, and how it refuses."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from advice_corpora import LLAMA, WIKI, PieceTokenizer, piece_tokenizer, sentences

import ray_ft
from ray_ft import artifacts
from ray_ft.advising.advise import merged, suggested
from ray_ft.advising.case import Case
from ray_ft.advising.corpus_rules import CORPUS_RULES
from ray_ft.advising.run_rules import forgetting
from ray_ft.advising.show import render_yaml
from ray_ft.api.base_model import shape_of_base
from ray_ft.api.fingerprints import data_inputs
from ray_ft.artifacts import Advice, Share, TrainingSet
from ray_ft.cli import main
from ray_ft.config import Config, parse_config
from ray_ft.data.report.profile import _is_transcript, profile_corpus
from ray_ft.data.schemas import DOCUMENTS, EXAMPLES, example_row, write_part
from ray_ft.errors import ConfigError, DataError
from ray_ft.rows import Example

CONFIGS = Path(__file__).parents[3] / "configs"
MANUAL = "# Boats\n\n## Engine\n\nThe engine takes diesel.\n\n## Crew\n\nThe crew has five people.\n"


def run_of(folder: Path, **sections: Any) -> Config:
    """A run on a folder with one document."""
    (folder / "docs").mkdir(exist_ok=True)
    (folder / "docs" / "boats.md").write_text(MANUAL)
    plain = {"run_name": "boats", "output_dir": str(folder / "outputs"), "model": {"name": LLAMA}}
    return parse_config(plain | {"data": {"sources": [str(folder / "docs")]}} | sections, draft=True)


def prepared(
    config: Config,
    *,
    prompts: int,
    config_of_set: Config | None = None,
    path: str = "boats.md",
    kind: str = "markdown",
    text: str = MANUAL,
    rehearsed: int = 0,
) -> None:
    """A training set beside the run, with so many wordings of one answer in it."""
    folder = config.run_path / "data"
    document = {
        "id": "1:boats.md", "path": path, "format": kind, "language": "", "split": "train", "status": "ok",
        "reason": "", "note": "", "cluster": "", "encoding": "utf-8", "num_bytes": len(text), "text": text,
    }  # fmt: skip
    write_part(folder, DOCUMENTS, 0, [document])
    examples = [Example(f"Wording {i}?", "Diesel.", "c", "1:boats.md", "qa", "generated") for i in range(prompts)]
    write_part(folder, EXAMPLES, 0, [example_row(e, split="train", num_tokens=9, repeats=1) for e in examples])
    made = TrainingSet(
        path=str(folder),
        recipes=("qa",),
        num_documents={"train": 1, "test": 3},
        num_examples={"train": prompts},
        num_rows={"train": 33},
        num_tokens={"train": 67_000},
        num_target_tokens={"train": 30_000},
        num_questions=0,
        files={"ok": 1},
        max_seq_len=2048,
        tokenizer_digest="",
        template_digest="",
        data_digest="",
        fingerprint="",
        records={"ok": 1 + rehearsed} if rehearsed else {},
        mixture={"rehearsal": Share(1.0, rehearsed)} if rehearsed else {},
    )
    artifacts.save(made, config.run_path, data_inputs(config_of_set or config))


def test_a_training_set_is_looked_at_where_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = run_of(tmp_path)
    prepared(config, prompts=5)
    (tmp_path / "docs" / "boats.md").unlink()  # the sources are not needed
    with piece_tokenizer():
        made = ray_ft.advise(config)
    profile = made.profile
    assert (profile.origin, profile.num_rows, profile.num_train_tokens, profile.num_held_out) == (
        "prepared", 33, 67_000, 3,
    )  # fmt: skip
    assert profile.wordings == 5.0
    assert profile.heading_share == 1.0
    said = {remark.rule: remark.say for remark in made.remarks}
    assert said["few_rows"] == "gist, not detail, from 33 rows"
    assert "one_wording" not in said  # there are five
    assert "num_tokens" not in made.suggested["plan"]  # plan counts the training set's own


def test_headings_of_a_pdf_in_a_training_set_are_seen(tmp_path: Path) -> None:
    """Its parser made the text, in which they are marked."""
    config = run_of(tmp_path)
    prepared(config, prompts=1, path="boats.pdf", kind="pdf", text=f"{MANUAL}\nboat | engine\none | diesel\n")
    with piece_tokenizer():
        made = ray_ft.advise(config)
    assert (made.profile.heading_share, made.profile.formats) == (1.0, {"pdf": 1})
    assert made.profile.table_share > 0.1


def test_one_wording_in_a_training_set_is_told(tmp_path: Path) -> None:
    config = run_of(tmp_path)
    prepared(config, prompts=1)
    with piece_tokenizer():
        made = ray_ft.advise(config)
    assert made.profile.wordings == 1.0
    assert "one_wording" in {remark.rule for remark in made.remarks}


def test_a_training_set_of_other_keys_is_not_taken_for_this_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = run_of(tmp_path)
    prepared(config, prompts=5, config_of_set=run_of(tmp_path, seed=7))
    with piece_tokenizer():
        assert ray_ft.advise(config).profile.origin == "sources"
    assert "another configuration (seed: 7 -> 0)" in caplog.text


def test_without_a_tokenizer_tokens_are_guessed_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = ray_ft.advise(run_of(tmp_path, model={"name": "Qwen/Qwen2.5-7B-Instruct", "revision": None}))
    assert made.profile.tokens_per_word == 0.0
    assert made.profile.num_tokens == round(1.4 * made.profile.num_words)
    assert "tokens are guessed from words" in caplog.text


def test_a_large_corpus_is_sampled_and_scaled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import random

    from ray_ft.data.report import profile as module

    (tmp_path / "docs").mkdir()
    for number in range(40):
        (tmp_path / "docs" / f"{number}.txt").write_text(sentences(random.Random(number), 20))
    config = run_of(tmp_path)
    whole = profile_corpus(config.data, max_seq_len=2048, seed=0, tokenizer=PieceTokenizer())
    monkeypatch.setattr(module, "SAMPLE_ITEMS", 10)
    part = profile_corpus(config.data, max_seq_len=2048, seed=0, tokenizer=PieceTokenizer())
    assert (whole.num_looked_at, part.num_looked_at) == (41, 10)
    assert part.num_documents == pytest.approx(41, abs=3)
    assert part.num_tokens == pytest.approx(whole.num_tokens, rel=0.1)


def test_people_who_take_turns_are_told_from_lines_with_colons() -> None:
    chat = "\n".join(f"[09:{i:02d}] {'Ann' if i % 2 else 'Bo'}: the ferry is late again" for i in range(10))
    notes = "\n".join(f"Step {i}: pull the rope\nand hold it\nuntil the mate calls" for i in range(10))
    assert _is_transcript(chat)
    assert not _is_transcript(notes)
    assert not _is_transcript(MANUAL)


def test_signs_of_code_are_no_foreign_script(tmp_path: Path) -> None:
    """Tokens of brackets and dots count for time and memory, and say nothing of how well words are known."""
    config = run_of(tmp_path)
    (tmp_path / "docs" / "tool.py").write_text("def f(x):\n    return {x[0]: (x[1], x[2])}\n\n\n" * 200)

    class Signs(PieceTokenizer):
        def __call__(self, texts: list[str], *, add_special_tokens: bool) -> dict[str, list[list[int]]]:
            return {"input_ids": [[0] * len(re.findall(r"\w+|[^\w\s]", text)) for text in texts]}

    profile = profile_corpus(config.data, max_seq_len=2048, seed=0, tokenizer=Signs())
    assert profile.tokens_per_word > 2
    assert profile.script_tokens["Latin"] < 2


def test_settings_of_the_same_recipe_join_and_own_keys_stay(tmp_path: Path) -> None:
    once = merged({}, {"data.recipes": [{"name": "qa", "phrasings": 4}]})
    twice = merged(once, {"data.recipes": ["qa", "heading"]})
    assert twice["data.recipes"] == [{"name": "qa", "phrasings": 4}, {"name": "heading"}]
    config = run_of(tmp_path)
    data = {"sources": list(config.data.sources), "recipes": [{"name": "qa", "max_chunk_tokens": 128}]}
    plain = suggested(run_of(tmp_path, data=data), twice)
    assert plain["data"]["recipes"][0] == {"name": "qa", "max_chunk_tokens": 128, "phrasings": 4}
    assert "train" not in plain  # nothing that is as by default


def test_where_no_method_fits_a_smaller_base_is_the_advice(tmp_path: Path) -> None:
    from ray_ft.advising.advise import advise as ask_rules

    config = run_of(tmp_path)
    made = ask_rules(Case(config, WIKI, shape_of_base(config)), lambda plain: None)
    said = {remark.rule: remark for remark in made.remarks}
    assert said["method"].say.startswith("a smaller base")
    assert "gpu" not in said


def test_what_the_base_will_answer_is_counted_and_is_no_longer_advised(tmp_path: Path) -> None:
    plain, docs = run_of(tmp_path), {"sources": [str(tmp_path / "docs")]}
    given = run_of(tmp_path, data={**docs, "rehearsal": {"num_examples": 200, "max_new_tokens": 60}})
    without, own = (Case(config, WIKI, shape_of_base(config), {"data.recipes": [{"name": "qa"}]})
                    for config in (plain, given))  # fmt: skip
    # 200 answers of 40 + 60 tokens, in rows of 2,048: 9.8 of them.
    assert own.num_epoch_tokens - without.num_epoch_tokens == 20_000
    assert own.num_rows - without.num_rows in (9, 10)
    assert forgetting(own) is None
    told = forgetting(without)
    assert told is not None
    assert "data.rehearsal" in told.say


def test_lines_that_the_base_answered_are_none_of_the_corpus(tmp_path: Path) -> None:
    config = run_of(tmp_path)
    prepared(config, prompts=2, rehearsed=9)
    with piece_tokenizer():
        assert ray_ft.advise(config).profile.num_records == 1


def test_a_rule_that_is_silent_says_none(tmp_path: Path) -> None:
    """A given goal of style takes the rules on facts away."""
    case = Case(run_of(tmp_path, goal="style"), WIKI, shape_of_base(run_of(tmp_path)))
    told = {remark.rule for rule in CORPUS_RULES if (remark := rule(case))}
    assert told.isdisjoint({"few_rows", "rare_facts", "one_wording"})


# --- the command line -------------------------------------------------------------------------------------------------


def written(folder: Path, text: str) -> str:
    (folder / "docs").mkdir(exist_ok=True)
    path = folder / "run.yaml"
    path.write_text(f"run_name: boats\noutput_dir: {folder}/outputs\nmodel: {{name: {LLAMA}}}\n{text}")
    return str(path)


def test_the_verb_prints_writes_and_answers_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, f"data: {{sources: [{tmp_path}/docs]}}\nplan: {{gpu: cpu}}\n")
    (tmp_path / "docs" / "boats.md").write_text(MANUAL)
    file = tmp_path / "suggested.yaml"
    with piece_tokenizer():
        assert main(["advise", path, "--goal", "style", "--write", str(file)]) == 0
        shown = capsys.readouterr().out
        assert main(["advise", path, "--write", str(file)]) == 0  # over a suggestion
        capsys.readouterr()
        assert main(["advise", path, "--json"]) == 0
    assert f"Written to {file}" in shown
    assert "for style:" in shown
    assert ray_ft.load_config(file).plan.gpu == "cpu"
    assert ray_ft.load_config(file).goal == "facts"
    told = json.loads(capsys.readouterr().out)
    assert told["goal"] == "facts"
    assert told["sources"]["2404.10779"].startswith("Raj J et al. 2024")


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("data: {sources: [DOCS/none]}\n", 2, "none' (No such file or directory"),
        ("data: {sources: [DOCS]}\n", 1, "holds no files; ray_ft reads"),
        ("data: {sources: [DOCS]}\ngoal: facs\n", 2, "goal"),
        ("data: [\n", 2, "not valid YAML"),
        ("", 2, "data.sources: [] must be a list with at least one file or folder"),
    ],
    ids=["no such source", "no documents", "unknown goal", "not YAML", "no data"],
)
def test_what_cannot_work_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, code: int, message: str
) -> None:
    path = written(tmp_path, text.replace("DOCS", str(tmp_path / "docs")))
    assert main(["advise", path]) == code
    error = capsys.readouterr().err.strip()
    assert error.startswith("ray-ft advise: ")
    assert message in error
    assert len(error.splitlines()) == 1


def test_a_file_of_somebody_else_is_not_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, f"data: {{sources: [{tmp_path}/docs]}}\n")
    (tmp_path / "docs" / "boats.md").write_text(MANUAL)
    before = Path(path).read_text()
    assert main(["advise", path, "--write", path]) == 2
    assert "is there and is no suggestion of `advise`" in capsys.readouterr().err
    assert Path(path).read_text() == before
    assert main(["advise", path, "--write", str(tmp_path / "docs")]) == 2
    assert "cannot write" in capsys.readouterr().err


def test_an_unknown_goal_names_the_known_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["advise", written(tmp_path, f"data: {{sources: [{tmp_path}/docs]}}\n"), "--goal", "facs"]) == 2
    wanted = "goal: Invalid value 'facs', expected one of ['facts', 'style', 'code', 'format']"
    assert capsys.readouterr().err.strip().endswith(wanted)


def test_files_without_text_are_refused(tmp_path: Path) -> None:
    config = run_of(tmp_path)
    (tmp_path / "docs" / "boats.md").write_text(" \n")
    with pytest.raises(DataError, match="none of the files and lines that were looked at holds text"):
        profile_corpus(config.data, max_seq_len=2048, seed=0)


def test_only_advice_takes_a_config_without_recipes(tmp_path: Path) -> None:
    path = written(tmp_path, f"data: {{sources: [{tmp_path}/docs]}}\n")
    with pytest.raises(ConfigError, match=r"data\.recipes"):
        ray_ft.load_config(path)
    assert ray_ft.load_config(path, draft=True).data.recipes == ()


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_suggestion_without_advice_is_the_configuration_itself(path: Path) -> None:
    """Every key of a user's file survives, whatever it holds."""
    raw = yaml.safe_load(path.read_text())
    raw["model"]["system_prompt"] = "Two lines:\n  'quoted', and {braced} # no comment"
    raw["data"]["generator"] = {"name": "openai", "model": "m", "base_url": "http://h/v1"}
    raw["train"]["trackers"] = []
    config = parse_config(raw)
    made = Advice("", "facts", True, WIKI, (), suggested(config, {}), {})
    assert parse_config(yaml.safe_load(render_yaml(made))) == config
