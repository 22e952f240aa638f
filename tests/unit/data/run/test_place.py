"""Where a run keeps what all nodes have to find: beside the set, or below its URI with a folder of this machine."""

from pathlib import Path

import pytest
import ray

from ray_ft.data import prepare
from ray_ft.data.run.lock import held
from ray_ft.data.run.place import GROUPS, Place
from ray_ft.errors import ConfigError
from ray_ft.storage import Store

STORED = "memory://sets/run"


def test_what_nodes_find_lies_beside_the_set_or_below_its_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_FT_CACHE", str(tmp_path / "cache"))
    with held(str(tmp_path / "data")) as (place, _):
        assert place.below(GROUPS) == str(tmp_path / "data.work" / "groups")
        assert Path(place.journals.folder) == place.journals.here == tmp_path / "data.work" / "parsed"
        assert place.tries == ""
    with held(STORED) as (place, still_held):
        assert place.below(GROUPS) == f"{STORED}/groups"
        assert place.journals.folder == f"{STORED}/parsed"
        assert place.here.is_relative_to(tmp_path / "cache" / "work")
        still_held()
    assert not place.here.exists()
    assert Store(STORED).list() == []


def test_what_one_machine_alone_has_is_refused_where_there_are_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "nodes", lambda: [{}, {}])
    prepare._refuse_other_machines(Place.of_folder(tmp_path), "data.rehearsal")
    with pytest.raises(ConfigError, match=r"^data\.rehearsal: .* where other machines do not see it; use one machine"):
        prepare._refuse_other_machines(Place(STORED, tmp_path), "data.rehearsal")
    monkeypatch.setattr(ray, "nodes", lambda: [{}])
    prepare._refuse_other_machines(Place(STORED, tmp_path), "data.rehearsal")
