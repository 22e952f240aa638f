"""Keys are read from a file that holds no secret, and what is wrong in it is named without repeating it."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ray_ft.errors import ConfigError
from ray_ft.serving.access.keys import EVERYONE, NOBODY, SCOPES, ApiKey, KeyRing, load_keys, main

DIGEST = hashlib.sha256(b"rft-one").hexdigest()


def written(folder: Path, *entries: Any) -> str:
    path = folder / "keys.yaml"
    path.write_text(yaml.safe_dump({"keys": list(entries)}))
    return str(path)


def test_a_key_is_found_by_its_secret_alone(tmp_path: Path) -> None:
    ring = load_keys(written(tmp_path, {"id": "one", "sha256": DIGEST.upper(), "tokens_per_day": 5}), {})
    assert ring.keys == (ApiKey("one", DIGEST, tokens_per_day=5),)
    assert ring.find("rft-one") is ring.keys[0]
    assert [ring.find(secret) for secret in ("", "rft-on", DIGEST, "rft-one ", "\ud800")] == [None] * 5


def test_json_is_read_too_and_the_environment_adds_a_key_with_every_scope(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [{"id": "one", "sha256": DIGEST, "adapters": ["team-*"]}]}))
    ring = load_keys(str(path), {"RAY_FT_API_KEY": "mine\n"})
    assert [key.id for key in ring.keys] == ["one", "RAY_FT_API_KEY"]
    assert (found := ring.find("mine")) is not None
    assert found.scopes == SCOPES
    assert load_keys(None, {}) == KeyRing()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sha256": "rft-in-the-clear"}, r"keys\[0\]\.sha256: must be the 64 hex digits"),
        ({"id": "two words"}, r"keys\[0\]\.id: must be letters"),
        ({"id": None}, r"keys\[0\]\.id: must be"),
        ({"scope": ["infer"]}, "unknown key 'scope'; known are id, sha256, scopes"),
        ({"scopes": ["root"]}, r"scopes: must be a list out of infer, admin, metrics"),
        ({"scopes": []}, r"scopes: must be a list out of"),
        ({"adapters": "support"}, "adapters: must be a list of names"),
        ({"max_concurrent": 0}, "max_concurrent: must be a whole number above 0"),
        ({"tokens_per_minute": True}, "tokens_per_minute: must be a whole number above 0"),
    ],
)
def test_an_entry_that_is_wrong_is_named_but_never_repeated(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason) as raised:
        load_keys(written(tmp_path, {"id": "one", "sha256": DIGEST} | change), {})
    assert "in-the-clear" not in str(raised.value)


@pytest.mark.parametrize("text", ["", "keys: []", "one: two", "- a", "keys: {a: b}", "keys: [a]", "keys: [", "\x00"])
def test_a_file_of_another_shape_says_what_it_wants(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"serving\.keys_file: .*keys\.yaml"):
        load_keys(str(path), {})


def test_a_missing_file_and_keys_that_are_there_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"keys_file: nowhere\.yaml: No such file"):
        load_keys("nowhere.yaml", {})
    with pytest.raises(ConfigError, match="the id one is there twice"):
        load_keys(written(tmp_path, {"id": "one", "sha256": DIGEST}, {"id": "one", "sha256": "0" * 64}), {})
    with pytest.raises(ConfigError, match=r"the sha256 .* is there twice"):
        load_keys(written(tmp_path, {"id": "one", "sha256": DIGEST}, {"id": "two", "sha256": DIGEST}), {})


@pytest.mark.parametrize(
    ("adapters", "allowed"),
    [
        (None, ["support", "support@step-4", "team-a", "Support"]),
        (("support", "team-*"), ["support", "support@step-4", "team-a"]),
        ((), []),
    ],
)
def test_an_adapter_is_allowed_by_name_or_pattern_in_any_version(
    adapters: tuple[str, ...] | None, allowed: list[str]
) -> None:
    key = ApiKey("one", adapters=adapters)
    names = ["support", "support@step-4", "team-a", "Support"]
    assert [name for name in names if key.allows(name)] == allowed
    assert key.allows(None)
    assert EVERYONE.allows("support")
    assert not NOBODY.allows("support")


def test_the_command_prints_an_entry_that_lets_its_key_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluation"]) == 0
    told, _, entry = capsys.readouterr().out.partition("\n\n")
    path = tmp_path / "keys.yaml"
    path.write_text(entry)
    found = load_keys(str(path), {}).find(told.split(": ")[1])
    assert found is not None
    assert (found.id, found.scopes) == ("evaluation", ("infer",))
    assert main([]) == main(["two words"]) == 2
