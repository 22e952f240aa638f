"""A file system without locks takes nobody's run away; one that fails otherwise is one line, on every rank."""

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch

from ray_ft.data.run.lock import locked
from ray_ft.errors import RayFTError
from ray_ft.training.driver import only_driver
from ray_ft.training.worker import _only_run


@pytest.fixture(scope="module", autouse=True)
def one_worker() -> Iterator[None]:
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


def rank_0(folder: Path) -> AbstractContextManager[None]:
    return _only_run(str(folder), enabled=True)


HOLDERS: list[Any] = [locked, only_driver, rank_0]


def break_locks(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def flock(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.parametrize(
    "number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL], ids=errno.errorcode.get
)
@pytest.mark.parametrize("hold", HOLDERS, ids=["prepare", "driver", "rank 0"])
def test_a_file_system_without_locks_is_worked_on_and_said(
    hold: Any, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    break_locks(monkeypatch, number)
    with caplog.at_level(logging.WARNING), hold(tmp_path / "run"):
        (tmp_path / "worked").touch()
    assert (tmp_path / "worked").exists()
    assert [record.getMessage().count("has no locks") for record in caplog.records] == [1]


@pytest.mark.parametrize("hold", HOLDERS, ids=["prepare", "driver", "rank 0"])
def test_any_other_failure_is_one_line(hold: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_locks(monkeypatch, errno.EIO)
    with pytest.raises(RayFTError, match=r"cannot write .*Input/output error"), hold(tmp_path / "run"):
        pass


@pytest.mark.parametrize("hold", HOLDERS[:2], ids=["prepare", "driver"])
def test_a_lock_that_is_taken_is_still_told(hold: Any, tmp_path: Path) -> None:
    with hold(tmp_path / "run"), pytest.raises(RayFTError, match="wait for it"), hold(tmp_path / "run"):
        pass


def test_rank_0_gives_up_on_a_run_folder_that_another_process_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray_ft.training.worker.LOCK_SECONDS", -1)
    said = r"another process is training in .*; stop it first"
    with rank_0(tmp_path), pytest.raises(RayFTError, match=said), rank_0(tmp_path):
        pass
