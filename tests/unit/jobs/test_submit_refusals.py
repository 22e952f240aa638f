"""What submit refuses before it needs a cluster, and how it says so."""

import time
from pathlib import Path

import pytest

from ray_ft.config import Config, parse_config
from ray_ft.errors import ConfigError, JobError
from ray_ft.jobs.submit import stop_job, submit_job

NOBODY = "http://127.0.0.1:1"  # port 1 is reserved, and nothing listens there


def nothing(named: str) -> tuple[()]:
    """The files that prepare reads of a source: none."""
    return ()


def config_with(output_dir: str) -> Config:
    return parse_config({
        "run_name": "handbook",
        "output_dir": output_dir,
        "model": {"name": "builtin:tiny"},
        "data": {"sources": ["docs"], "recipes": ["paragraph"]},
    })  # fmt: skip


def test_a_relative_output_dir_would_vanish_with_the_job() -> None:
    with pytest.raises(ConfigError, match=r"handbook.yaml: output_dir: 'outputs' would vanish .*=/mnt/shared/outputs"):
        submit_job(
            config_with("outputs"),
            config_path="handbook.yaml",
            overrides=[],
            verb="run",
            address=NOBODY,
            files_read=nothing,
        )


def test_an_address_where_nobody_answers_is_named_in_one_line_and_soon(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(JobError) as caught:
        submit_job(
            config_with(str(tmp_path)),
            config_path="c.yaml",
            overrides=[],
            verb="plan",
            address=NOBODY,
            files_read=nothing,
        )
    assert "no Ray dashboard answers at http://127.0.0.1:1" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - start < 15


def test_an_address_that_is_no_dashboard_url_is_refused() -> None:
    with pytest.raises(ConfigError, match="ray://head:10001 is no dashboard address"):
        stop_job("some-job", address="ray://head:10001")
