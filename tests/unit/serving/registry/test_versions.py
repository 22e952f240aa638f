"""Versions of adapters: named by content, copied whole or not at all, from where they may be copied."""

import hashlib
import json
import os
from pathlib import Path

import pytest
from catalogue import Catalogue

from ray_ft.errors import ConfigError, ModelError
from ray_ft.serving.adapters import Restricted, ServedModel
from ray_ft.serving.refusals import ApiError
from ray_ft.serving.registry import versions
from ray_ft.serving.registry.names import Adapter, check_alias, draw
from ray_ft.serving.registry.registry import Registry, create
from ray_ft.serving.registry.versions import Version, content_id, copy_adapter


@pytest.fixture
def base(tmp_path: Path) -> str:
    folder = tmp_path / "base"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return str(folder)


def adapter(folder: Path, weights: bytes = b"weights") -> str:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    (folder / "adapter_model.safetensors").write_bytes(weights)
    return str(folder)


def registry(base: str, folder: Path, /, **adapters: str) -> Registry:
    folder.mkdir()
    return create(folder, base_path=base, base_name="base", adapters=adapters)


# --- copies -----------------------------------------------------------------------------------------------------------


def test_a_retrained_adapter_is_another_version(base: str, tmp_path: Path) -> None:
    first = registry(base, tmp_path / "1", x=adapter(tmp_path / "first")).find("x")
    same = registry(base, tmp_path / "2", x=adapter(tmp_path / "same")).find("x")
    other = registry(base, tmp_path / "3", x=adapter(tmp_path / "other", b"more training")).find("x")
    assert first.version == same.version
    assert first.version != other.version


def test_what_is_served_is_a_copy_that_outlives_its_folder(base: str, tmp_path: Path) -> None:
    folder = adapter(tmp_path / "x")
    served = registry(base, tmp_path / "store", x=folder)
    (Path(folder) / "adapter_model.safetensors").write_bytes(b"another run's")
    version = served.find("x").version
    assert content_id(served.folder / "versions" / version) == version


def test_an_adapters_own_chat_template_is_part_of_its_version(base: str, tmp_path: Path) -> None:
    plain = registry(base, tmp_path / "1", x=adapter(tmp_path / "plain")).find("x")
    in_file, in_config = adapter(tmp_path / "file"), adapter(tmp_path / "config")
    (Path(in_file) / "chat_template.jinja").write_text("[{{ messages }}]")
    (Path(in_config) / "tokenizer_config.json").write_text(json.dumps({"chat_template": "[{{ messages }}]"}))
    one, two = registry(base, tmp_path / "2", x=in_file), registry(base, tmp_path / "3", x=in_config)
    found = one.find("x")
    assert found.version == two.find("x").version != plain.version
    copy = one.folder / "versions" / found.version
    assert (copy / "chat_template.jinja").read_text() == "[{{ messages }}]"
    assert content_id(copy) == found.version
    assert (plain.about["chat_template"], found.about["chat_template"]) == (
        None, hashlib.sha256(b"[{{ messages }}]").hexdigest()[:12],
    )  # fmt: skip


def test_a_missing_adapter_folder_is_refused(base: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"'x' \(nowhere\): no such folder"):
        registry(base, tmp_path / "store", x="nowhere")


def test_a_damaged_adapter_config_is_refused(base: str, tmp_path: Path) -> None:
    folder = adapter(tmp_path / "x")
    (Path(folder) / "adapter_config.json").write_text("{")
    with pytest.raises(ModelError, match=r"adapter_config\.json"):
        registry(base, tmp_path / "store", x=folder)


@pytest.mark.parametrize("name", ["base", "a@b", "exp:a", "", "two words", "base:x"])
def test_names_that_would_mean_something_else_are_refused(base: str, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"serving\.adapters: .* cannot name an adapter"):
        registry(base, tmp_path / "store", **{name: adapter(tmp_path / "x")})


def test_a_missing_base_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"config\.json"):
        registry(str(tmp_path), tmp_path / "store")


def test_only_folders_below_the_roots_are_read(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", adapter(tmp_path / "outside")
    inside = adapter(root / "inside")
    (root / "link").symlink_to(outside)
    copy_adapter("x", inside, tmp_path / "store", below=[root])
    for trick in (outside, f"{root}/../outside", f"{inside}/../../outside", str(root / "link"), "/proc/self/cwd", "\0"):
        with pytest.raises(ModelError, match="no such folder below"):
            copy_adapter("x", trick, tmp_path / "store", below=[root])


def test_files_that_lead_elsewhere_or_are_none_are_not_read(tmp_path: Path) -> None:
    root = tmp_path / "root"
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    linked, piped = (Path(adapter(root / name)) / "adapter_model.safetensors" for name in ("linked", "piped"))
    for file in (linked, piped):
        file.unlink()
    linked.symlink_to(secret)
    os.mkfifo(piped)
    for file in (linked, piped):
        with pytest.raises(ModelError, match=r"is a link|is no file"):
            copy_adapter("x", file.parent, tmp_path / "store", below=[root])
    assert list((tmp_path / "store" / "versions").iterdir()) == []


def test_pickled_weights_are_not_taken(tmp_path: Path) -> None:
    folder = Path(adapter(tmp_path / "x"))
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(ModelError, match="pickled weights are not loaded"):
        copy_adapter("x", folder, tmp_path / "store")


def test_a_folder_that_is_replaced_while_it_is_read_gives_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(adapter(tmp_path / "x"))
    original = versions._write

    def replace_meanwhile(path: Path, data: bytes) -> None:
        original(path, data)
        (folder / "adapter_model.safetensors").unlink()
        (folder / "adapter_model.safetensors").write_bytes(b"retrained")

    monkeypatch.setattr(versions, "_write", replace_meanwhile)
    with pytest.raises(ModelError, match="was written to while it was read"):
        copy_adapter("x", folder, tmp_path / "store")
    assert list((tmp_path / "store" / "versions").iterdir()) == []


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(versions, "_write", full)
    with pytest.raises(ModelError, match=r"cannot be copied to .*: No space left on device"):
        copy_adapter("x", adapter(tmp_path / "x"), tmp_path / "store")
    assert list((tmp_path / "store" / "versions").iterdir()) == []


# --- names ------------------------------------------------------------------------------------------------------------


def version(id: str, *, step: int | None = None) -> Version:
    return Version(id, "", 0, step, state="ready")


def test_a_version_is_found_by_alias_step_and_the_beginning_of_its_hash() -> None:
    adapter = Adapter((version("aaaa00000000", step=5), version("aaaabbbbbbbb", step=9)), {"latest": "aaaa00000000"})
    found = {word: v and v.step for word in ("latest", "step-9", "aaaab", "sha256:aaaa0", "aaaa", "aa", "step-1", "")
             for v in [adapter.find(word)]}  # fmt: skip
    assert found == {
        "latest": 5, "step-9": 9, "aaaab": 9, "sha256:aaaa0": 5, "aaaa": None, "aa": None, "step-1": None, "": None,
    }  # fmt: skip


@pytest.mark.parametrize("alias", ["deadbeef", "step-4", "a b", "", "a@b", "x" * 65, "../x"])
def test_aliases_that_could_mean_a_version_are_refused(alias: str) -> None:
    with pytest.raises(ApiError):
        check_alias(alias)


def test_arms_are_drawn_by_their_weights() -> None:
    arms = {"a": 3.0, "b": 1.0}
    drawn = [draw(arms, i / 100) for i in range(100)]
    assert (drawn.count("a"), drawn.count("b")) == (75, 25)


def test_a_key_without_a_right_to_an_adapter_does_not_hear_of_it() -> None:
    everything = Catalogue((
        ServedModel("base", None, None, "a", 1), ServedModel("x", "x@b", "base", "b", 1),
        ServedModel("y", "y@c", "base", "c", 1),
    ))  # fmt: skip
    some = Restricted(everything, lambda name: name == "x")
    assert (some.ids, some.find("x").version, some.base.id) == (("base", "x"), "b", "base")
    for name in ("y", "base:y"):
        with pytest.raises(ApiError, match=r"served are: base, x$"):
            some.find(name)


# --- the registry -----------------------------------------------------------------------------------------------------


def deployed(served: Registry, name: str, folder: str, *, step: int | None = None) -> str:
    made = served.adopt(name, copy_adapter(name, folder, served.folder), source=folder, step=step)
    served.settle(name, made.id, state="ready")
    return made.id


def test_a_registry_opened_again_goes_on_with_what_was_deployed(base: str, tmp_path: Path) -> None:
    served = registry(base, tmp_path / "store", x=adapter(tmp_path / "x"))
    first = served.find("x").version
    second = deployed(served, "x", adapter(tmp_path / "x2", b"more"), step=7)
    served.point("x", "stable", first)
    again = Registry(served.folder)
    assert (again.find("x").version, again.find("x@stable").version, again.find("base:x@step-7").version) == (
        second, first, second,
    )  # fmt: skip
    assert again.models == served.models


def test_a_version_in_use_is_kept_until_its_last_answer_has_ended(base: str, tmp_path: Path) -> None:
    served = registry(base, tmp_path / "store", x=adapter(tmp_path / "x"))
    key = served.find("x").adapter
    copy = served.folder / "versions" / served.find("x").version
    with served.lease(key), served.lease(key):
        served.remove("x")
        assert copy.is_dir()
        assert copy.name in served.state.wanted
    assert not copy.exists()
    assert served.state.wanted == set()


def test_old_versions_go_unless_something_points_at_them(base: str, tmp_path: Path) -> None:
    served = registry(base, tmp_path / "store")
    ids = [deployed(served, "x", adapter(tmp_path / str(i), bytes([i])), step=i) for i in range(5)]
    served.point("x", "stable", ids[0])
    served.prune("x", 2)
    assert [v.id for v in served.state.adapters["x"].versions] == [ids[0], ids[3], ids[4]]
    assert sorted(p.name for p in (served.folder / "versions").iterdir()) == sorted([ids[0], ids[3], ids[4]])


def test_the_same_content_under_two_names_is_one_copy(base: str, tmp_path: Path) -> None:
    served = registry(base, tmp_path / "store", x=adapter(tmp_path / "x"), y=adapter(tmp_path / "y"))
    served.remove("x")
    assert (served.folder / "versions" / served.find("y").version).is_dir()
    served.remove("y")
    assert list((served.folder / "versions").iterdir()) == []


def test_a_state_that_cannot_be_written_is_not_taken_for_the_state(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = registry(base, tmp_path / "store", x=adapter(tmp_path / "x"))
    before = served.state

    def full(self: Path, *args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ConfigError, match="No space left on device"):
        served.remove("x")
    assert served.state is before
    assert served.find("x").version == before.adapters["x"].versions[0].id


def test_a_load_that_ends_late_does_not_take_the_name_from_a_newer_version(base: str, tmp_path: Path) -> None:
    served = registry(base, tmp_path / "store")
    old, new = (
        served.adopt("x", copy_adapter("x", adapter(tmp_path / str(i), bytes([i])), served.folder), source="")
        for i in range(2)
    )
    served.settle("x", new.id, state="ready")
    served.settle("x", old.id, state="ready")
    assert served.find("x").version == new.id
