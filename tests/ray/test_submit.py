"""Jobs on a cluster that this file starts for itself, with its own ports and processes."""

import json
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from ray_ft.config import Config, parse_config
from ray_ft.data.prepare import files_read
from ray_ft.errors import JobError
from ray_ft.jobs.submit import stop_job, submit_job
from ray_ft.jobs.upload import FilesRead

pytestmark = pytest.mark.ray
REPOSITORY = Path(__file__).parents[2]


def read_of(config: Config) -> FilesRead:
    """What prepare reads of each source."""
    return partial(files_read, config.data)


PROBE = """
    import json, os, ray, ray_ft
    ray.init(log_to_driver=False)
    assert len(ray.nodes()) == 2
    @ray.remote
    def home():
        import ray_ft.jobs.submit
        return ray_ft.jobs.submit.__file__
    print("PROBE " + json.dumps({
        "driver": ray_ft.__file__, "worker": ray.get(home.remote()), "secret": os.environ.get("RAY_FT_TEST_SECRET"),
        "files": sorted(os.path.relpath(os.path.join(d, f)) for d, _, files in os.walk(".") for f in files),
    }))
"""


@pytest.fixture(scope="module")
def dashboard() -> Iterator[str]:
    """Dashboard address of a cluster of two nodes, in a process group of its own."""
    with socket.socket() as gcs, socket.socket() as http:
        gcs.bind(("127.0.0.1", 0))
        http.bind(("127.0.0.1", 0))
        port, dashboard_port = gcs.getsockname()[1], http.getsockname()[1]
    environment = os.environ | {
        "RAY": str(Path(sys.executable).parent / "ray"), "RAY_AUTH_MODE": "disabled",
        "PORT": str(port), "DASHBOARD_PORT": str(dashboard_port),
    }  # fmt: skip
    process = subprocess.Popen(
        [REPOSITORY / "cluster" / "local.sh", "2", "1"], env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        output = []
        for line in process.stdout:
            output.append(line)
            if line.startswith("Ready: 2 nodes"):
                break
        else:
            pytest.fail("the cluster did not start:\n" + "".join(output))
        yield f"http://127.0.0.1:{dashboard_port}"
    finally:
        family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.terminate()
        process.wait(timeout=60)
        _, survivors = psutil.wait_procs(family, timeout=20)  # Ray's helpers notice their parent's end a little later
        for child in survivors:
            child.kill()
        assert survivors == [], "cluster/local.sh left processes behind"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A run whose sources include a folder that looks like this package."""
    for name, text in {
        "docs/a.md": "# A\n",
        "ray_ft/__init__.py": "raise RuntimeError('a document, not code')\n",
    }.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return parse_config({
        "run_name": "handbook qa",
        "output_dir": str(tmp_path / "outputs"),
        "model": {"name": "builtin:tiny"},
        "data": {"sources": ["docs", "ray_ft"], "recipes": ["paragraph"]},
    })  # fmt: skip


def as_python(tmp_path: Path, command: str) -> str:
    """An executable that runs `command` where a job runs Python, whatever its arguments."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\nexec {command}\n")
    path.chmod(0o755)
    return str(path)


def test_a_job_shows_its_configuration_and_its_log_is_followed(
    dashboard: str, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:1")  # must not win over the address that is given
    log: list[str] = []
    job = submit_job(
        config, config_path="c.yaml", overrides=[], verb="show", address=dashboard, files_read=read_of(config),
        on_log=log.append,
        python=sys.executable,
    )  # fmt: skip
    assert job.status == "SUCCEEDED"
    assert job.id.startswith("handbook-qa-show-")
    assert "run_name: handbook qa" in log


def test_a_job_runs_this_code_with_the_named_files_and_none_of_the_environment(
    dashboard: str, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_FT_TEST_SECRET", "hunter2")
    probe = tmp_path / "probe.py"
    probe.write_text(textwrap.dedent(PROBE))
    log: list[str] = []
    submit_job(
        config, config_path="c.yaml", overrides=[], verb="prepare", address=dashboard, files_read=read_of(config),
        on_log=log.append,
        python=as_python(tmp_path, f"{sys.executable} -P {probe}"),
    )  # fmt: skip
    seen = json.loads(next(line for line in log if line.startswith("PROBE ")).removeprefix("PROBE "))
    assert "py_modules_files" in seen["driver"]
    assert "py_modules_files" in seen["worker"]
    assert seen["files"] == [".ray_ft/config.yaml", "docs/a.md", "ray_ft/__init__.py"]
    assert seen["secret"] is None


def test_a_job_that_fails_gives_its_last_line(dashboard: str, config: Config) -> None:
    with pytest.raises(JobError, match=r"handbook-qa-train-\w+ failed with exit code 1: ray-ft train: No training set"):
        submit_job(
            config, config_path="c.yaml", overrides=[], verb="train", address=dashboard, files_read=read_of(config),
        on_log=lambda line: None,
            python=sys.executable,
        )  # fmt: skip


def test_a_job_stops_on_request(dashboard: str, config: Config, tmp_path: Path) -> None:
    job = submit_job(
        config, config_path="c.yaml", overrides=[], verb="show", address=dashboard, files_read=read_of(config),
        on_log=lambda line: None,
        follow=False, python=as_python(tmp_path, "sleep 600"),
    )  # fmt: skip
    assert job.status == "PENDING"
    assert stop_job(job.id, address=dashboard).status == "STOPPED"
    assert stop_job(job.id, address=dashboard).status == "STOPPED"  # once more changes nothing


def test_an_interrupt_while_following_stops_the_job(dashboard: str, config: Config, tmp_path: Path) -> None:
    log: list[str] = []

    def interrupt_once_it_runs(line: str) -> None:
        log.append(line)
        if line == "it runs":
            raise KeyboardInterrupt

    with pytest.raises(JobError, match="was stopped"):
        submit_job(
            config, config_path="c.yaml", overrides=[], verb="show", address=dashboard, files_read=read_of(config),
        on_log=interrupt_once_it_runs,
            python=as_python(tmp_path, "sh -c 'echo it runs; sleep 600'"),
        )  # fmt: skip
    job_id = next(line.split()[1] for line in log if line.startswith("Submitted "))
    assert stop_job(job_id, address=dashboard).status == "STOPPED"


def test_stopping_an_unknown_job_names_the_known_ones(dashboard: str) -> None:
    with pytest.raises(JobError, match=r"no job nobody at http://127.0.0.1:\d+; there are "):
        stop_job("nobody", address=dashboard)
