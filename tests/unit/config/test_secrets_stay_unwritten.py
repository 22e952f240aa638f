"""What the environment gives through an interpolation is used, and neither written nor printed."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from ray_ft.api.fingerprints import data_inputs
from ray_ft.api.run_folder import save
from ray_ft.artifacts import changed_keys
from ray_ft.cli import main
from ray_ft.config import Config, load_config, mask, parse_config, to_identity, to_plain
from ray_ft.errors import ConfigError
from ray_ft.jobs.upload import CONFIG_FILE, pack_upload

SECRET = "s3cr3t-0123456789abcdef"
RAW: dict[str, Any] = {
    "run_name": "handbook",
    "output_dir": "/outputs/${run_name}",
    "model": {"name": "builtin:tiny"},
    "data": {
        "sources": ["s3://key:${oc.env:HANDBOOK_TOKEN}@bucket/docs", "notes"],
        "datasets": ["/data/${oc.env:HANDBOOK_TOKEN}/a.jsonl"],
        "recipes": ["paragraph"],
        "generator": {"name": "openai", "base_url": "https://host/${oc.env:HANDBOOK_TOKEN}", "model": "m"},
    },
    "serving": {"adapters": {"a": "${oc.env:HANDBOOK_TOKEN}"}},
}


@pytest.fixture
def config(monkeypatch: pytest.MonkeyPatch) -> Config:
    monkeypatch.setenv("HANDBOOK_TOKEN", SECRET)
    return parse_config(RAW)


def test_the_program_gets_what_an_interpolation_stands_for(config: Config) -> None:
    assert config.data.sources[0] == f"s3://key:{SECRET}@bucket/docs"
    assert config.data.datasets[0].path == f"/data/{SECRET}/a.jsonl"
    assert Path(config.output_dir) == Path("/outputs/handbook")
    assert pickle.loads(pickle.dumps(config)) == config
    assert to_plain(pickle.loads(pickle.dumps(config))) == to_plain(config)


def test_what_is_written_has_interpolations_as_they_were(config: Config) -> None:
    plain = to_plain(config)
    assert SECRET not in yaml.safe_dump(plain)
    assert plain["data"]["sources"] == RAW["data"]["sources"]
    assert plain["data"]["datasets"][0]["path"] == RAW["data"]["datasets"][0]
    assert plain["serving"]["adapters"] == RAW["serving"]["adapters"]
    assert parse_config(plain) == config  # and gives the same when it is read again


def test_a_section_that_is_an_interpolation_hides_what_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDBOOK_TOKEN", SECRET)
    config = parse_config({**RAW, "evaluation": {"questions": "${serving.adapters.a}"}, "serving": RAW["serving"]})
    assert config.evaluation.questions == SECRET
    assert SECRET not in yaml.safe_dump(to_plain(config))


def test_defaults_that_many_configurations_share_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDBOOK_TOKEN", "near")  # a default's own value
    parse_config(RAW)
    other = parse_config({**RAW, "data": {"sources": ["docs"], "recipes": ["paragraph"]}, "serving": {}})
    assert "oc.env" not in yaml.safe_dump(to_plain(other))


def test_neither_the_upload_nor_the_run_folder_holds_a_secret(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes").mkdir()
    pack_upload(config, verb="prepare", archive=tmp_path / "a.zip", config_path="c.yaml", files_read=lambda named: ())
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert SECRET not in archive.read(CONFIG_FILE).decode()
    monkeypatch.setattr(Config, "run_path", tmp_path / "run")
    monkeypatch.setattr("ray_ft.artifacts.save", lambda *arguments: None)
    save(object(), config, {})  # type: ignore[type-var]
    kept = (tmp_path / "run" / "config.yaml").read_text()
    assert SECRET not in kept
    assert load_config(tmp_path / "run" / "config.yaml") == config


def test_another_value_is_another_run_though_it_is_not_written(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    before = data_inputs(config)
    assert SECRET not in str(before)
    assert changed_keys(before, data_inputs(parse_config(RAW))) == []
    monkeypatch.setenv("HANDBOOK_TOKEN", "another-0123456789")
    changed = changed_keys(before, data_inputs(parse_config(RAW)))
    assert any(line.startswith("data.sources") for line in changed)
    assert "another-0123456789" not in str(changed)
    assert to_identity("plain") == "plain"


def test_a_run_whose_fingerprint_holds_what_was_given_is_known_again(config: Config) -> None:
    now = data_inputs(config)
    before = {
        **now,
        "data": {**now["data"], "sources": [str(source) for source in config.data.sources]},
    }  # as it was once written
    assert changed_keys(before, now) == []
    before["data"]["sources"] = ["s3://key:another@bucket/docs", "notes"]
    assert changed_keys(before, now) != []


def test_messages_do_not_quote_a_secret(
    monkeypatch: pytest.MonkeyPatch, config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({**RAW, "train": {"learning_rate": "${oc.env:HANDBOOK_TOKEN}"}})
    assert SECRET not in str(caught.value)
    assert "***" in str(caught.value)
    assert SECRET not in f"cannot read {config.data.sources[0]!r}"
    path = tmp_path / "c.yaml"
    literal = {**RAW, "data": {"sources": [f"s3://key:{SECRET}@bucket/docs"], "recipes": ["paragraph"]}}
    path.write_text(yaml.safe_dump(literal))
    assert main(["show", str(path)]) == 0
    assert main(["show", str(path), f"train.learning_rate=s3://key:{SECRET}@host"]) == 2
    shown = capsys.readouterr()
    assert SECRET not in shown.out + shown.err
    assert "s3://***@bucket/docs" in shown.out


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("c.yaml data.sources=[s3://key:abcdef@bucket]", "c.yaml data.sources=[s3://***@bucket]"),
        ("x.api_key=abcdef y=1", "x.api_key=*** y=1"),
        ("hub_token='abc'", "hub_token='abc'"),
        ("max_new_tokens=128 num_tokens=7", "max_new_tokens=128 num_tokens=7"),
        ("https://host:8265/path@x", "https://host:8265/path@x"),
    ],
)
def test_only_what_is_secret_is_masked(text: str, shown: str) -> None:
    assert mask(text) == shown


def test_where_a_set_lies_makes_no_other_one() -> None:
    here = parse_config({**RAW, "serving": {}, "data": {"sources": ["notes"], "recipes": ["paragraph"]}})
    there = parse_config(
        {**RAW, "serving": {}, "data": {"sources": ["notes"], "recipes": ["paragraph"], "storage_uri": "s3://b/sets"}}
    )
    assert data_inputs(here) == data_inputs(there)
