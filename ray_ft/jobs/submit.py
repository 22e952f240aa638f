"""Runs a configuration as a Ray Job on a cluster that is there: submit, follow the log, stop."""

import importlib.metadata
import logging
import os
import queue
import re
import shlex
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from ray_ft.artifacts import Job
from ray_ft.config import Config, mask
from ray_ft.errors import ConfigError, JobError, last_line
from ray_ft.jobs.upload import CONFIG_FILE, FilesRead, pack_upload

PACKAGE = Path(__file__).parents[1]  # the cluster runs this very code, whatever its image holds
CONNECT_TIMEOUT_S = 5.0
CONNECT_PATIENCE_S = 5.0  # a refused connection is usually a wrong address; say so soon
AGENT_PATIENCE_S = 60.0  # a head that has just started takes jobs a little later than it answers
LOST_PATIENCE_S = 60.0  # a head or proxy that restarts while a job is followed
STOP_TIMEOUT_S = 120.0

T = TypeVar("T")


def submit_job(
    config: Config,
    *,
    config_path: str,
    overrides: list[str],
    verb: str,
    address: str,
    files_read: FilesRead,
    follow: bool = True,
    on_log: Callable[[str], None] = print,
    python: str = "python",
) -> Job:
    """Run `ray-ft VERB` with this configuration on the cluster; `follow` waits for its end and passes the log on.

    The job gets the configuration, the relative files that it names and this package's code; of the environment it gets
    nothing, so tokens must be set on the cluster. `python` is the interpreter on the cluster's head. An interrupt
    (Ctrl-C) while following stops the job. Raises ConfigError for a configuration that cannot run elsewhere, JobError
    when the cluster cannot be reached, or the job fails or is stopped.
    """
    if not Path(config.output_dir).is_absolute():
        raise ConfigError(
            f"{config_path}: output_dir: {config.output_dir!r} would vanish with the job's working directory; give an "
            "absolute path on storage that every node of the cluster sees, e.g. output_dir=/mnt/shared/outputs"
        )
    client = _connect(address)
    job_id = f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', config.run_name)}-{verb}-{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory(prefix="ray_ft-") as folder:
        archive = Path(folder) / "job.zip"
        upload = pack_upload(config, verb=verb, archive=archive, config_path=config_path, files_read=files_read)
        if upload.left_behind:
            on_log(f"left behind: {', '.join(upload.left_behind)}")
        request = {
            # -P: the working directory may hold a source folder that is called ray_ft
            "entrypoint": shlex.join([python, "-P", "-m", "ray_ft", verb, CONFIG_FILE]),
            "submission_id": job_id,
            "runtime_env": {
                "working_dir": str(archive),
                "py_modules": [str(PACKAGE)],
                "excludes": ["__pycache__"],
            },
            "metadata": _metadata(config, verb=verb, config_path=config_path, overrides=overrides),
        }
        _submit(client, request, address=address)
    on_log(f"Submitted {job_id} ({upload.num_files} files, {upload.num_bytes / 2**20:.1f} MiB) to {address}")
    on_log(f"Stop it:  ray-ft submit --stop {job_id} --address {address}")
    if not follow:
        return Job(id=job_id, address=address, status="PENDING")
    try:
        return _follow(client, job_id, address=address, on_log=on_log)
    except KeyboardInterrupt:
        on_log(f"Stopping {job_id} ...")
        stop_job(job_id, address=address)
        raise JobError(f"{job_id} was stopped.") from None


def stop_job(job_id: str, *, address: str) -> Job:
    """Ask a job to stop and wait until it has; a job that has already ended keeps its status.

    Raises JobError when the cluster cannot be reached, or knows no such job.
    """
    client = _connect(address)
    try:
        client.stop_job(job_id)
    except RuntimeError as error:
        if "does not exist" not in str(error) and "not found" not in str(error).lower():
            raise JobError(f"{job_id} could not be stopped: {last_line(error)}") from None
        known = sorted(job.submission_id for job in client.list_jobs() if job.submission_id)
        raise JobError(f"no job {job_id} at {address}; there are {', '.join(known) or 'none'}") from None
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while not (status := _info(client, job_id, address=address).status).is_terminal():
        if time.monotonic() > deadline:
            raise JobError(f"{job_id} was asked to stop but is still {status.value} after {STOP_TIMEOUT_S:.0f} s")
        time.sleep(0.3)
    return Job(id=job_id, address=address, status=status.value)


# --- the cluster ------------------------------------------------------------------------------------------------------


def _connect(address: str) -> Any:
    """A JobSubmissionClient for exactly this address; JobError in one line when nothing or something else answers."""
    import requests

    url = (address if "://" in address else f"http://{address}").rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise ConfigError(f"{address} is no dashboard address; give the head's, e.g. http://head:8265")
    try:
        # Ray's client sets no timeout, and waits for minutes where packets are dropped.
        _retrying(
            lambda: requests.get(f"{url}/api/version", timeout=CONNECT_TIMEOUT_S),
            while_=requests.RequestException,
            patience_s=CONNECT_PATIENCE_S,
        )
    except requests.RequestException as error:
        raise JobError(
            f"no Ray dashboard answers at {address} ({type(error).__name__}); give the head's address and dashboard "
            "port, e.g. http://head:8265"
        ) from None
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    chatty = (
        "ray.dashboard.modules.dashboard_sdk",
        "ray.dashboard.modules.job.sdk",
        "ray._private.runtime_env.packaging",
    )
    for name in chatty:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        with _without_ray_address():
            return JobSubmissionClient(url)
    except AuthenticationError:
        raise JobError(
            f"the cluster at {address} asks for a token; set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to its file"
        ) from None
    except (RuntimeError, ConnectionError, ValueError, requests.RequestException) as error:
        raise JobError(f"{address} is no Ray dashboard that takes jobs: {last_line(error)}") from None


def _submit(client: Any, request: dict[str, Any], *, address: str) -> None:
    """Submit, waiting for a head that has just started."""

    def attempt() -> None:
        try:
            client.submit_job(**request)
        except RuntimeError as error:
            if "No available agent" in str(error):
                raise ConnectionError(last_line(error)) from None
            # An answer that was lost on the way: the id is ours alone, so the earlier attempt has arrived.
            if "already exists" not in str(error):
                raise JobError(f"{address} refused the job: {last_line(error)}") from None

    try:
        _retrying(attempt, while_=OSError, patience_s=AGENT_PATIENCE_S)  # requests' errors are OSErrors too
    except OSError as error:
        raise JobError(
            f"{address} takes no jobs: {last_line(error)}. If several Ray clusters share the head's machine, start "
            "each with its own --dashboard-agent-listen-port."
        ) from None


def _follow(client: Any, job_id: str, *, address: str, on_log: Callable[[str], None]) -> Job:
    """Pass the log on until the job has ended; JobError unless it succeeded."""
    num_seen, last_said = 0, ""
    while True:
        for number, line in enumerate(_log_lines(client, job_id)):
            if number >= num_seen:  # a stream that was cut starts again at the first line
                on_log(line)
                num_seen, last_said = number + 1, line.strip() or last_said
        info = _info(client, job_id, address=address)
        if info.status.is_terminal():
            break
        time.sleep(0.3)
    if info.status.value == "SUCCEEDED":
        return Job(id=job_id, address=address, status="SUCCEEDED")
    if info.status.value == "STOPPED":
        raise JobError(f"{job_id} was stopped.")
    if info.driver_exit_code is not None:
        raise JobError(f"{job_id} failed with exit code {info.driver_exit_code}: {last_said}")
    raise JobError(f"{job_id} failed: {last_line(info.message or 'no reason given')}")


def _log_lines(client: Any, job_id: str) -> Iterator[str]:
    """Lines of the job's log until the stream ends; read in a thread, because a notebook already runs an event loop."""
    import asyncio

    chunks: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    async def tail() -> None:
        async for chunk in client.tail_job_logs(job_id):
            chunks.put(chunk)

    def read() -> None:
        import aiohttp

        try:
            asyncio.run(tail())
        except (aiohttp.ClientError, RuntimeError, OSError) as error:  # cut; the caller asks for the status, and again
            logging.getLogger("ray_ft").debug("log stream of %s ended: %s", job_id, error)
        finally:
            chunks.put(None)

    threading.Thread(target=read, daemon=True).start()
    rest = ""
    while (chunk := chunks.get()) is not None:
        *lines, rest = (rest + chunk).split("\n")
        yield from lines
    if rest:
        yield rest


def _info(client: Any, job_id: str, *, address: str) -> Any:
    try:
        return _retrying(lambda: client.get_job_info(job_id), while_=OSError, patience_s=LOST_PATIENCE_S)
    except (OSError, RuntimeError) as error:
        raise JobError(
            f"lost {address} while {job_id} was running ({last_line(error)}); the job goes on as long as its cluster"
        ) from None


def _metadata(config: Config, *, verb: str, config_path: str, overrides: list[str]) -> dict[str, str]:
    """What the dashboard shows beside the job."""
    metadata = {
        "run": config.run_name,
        "verb": verb,
        "config": mask(shlex.join([config_path, *overrides])),
    }
    with suppress(importlib.metadata.PackageNotFoundError):  # run from a checkout that is only on PYTHONPATH
        metadata["ray_ft"] = importlib.metadata.version("ray_ft")
    git = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    if git.returncode == 0:
        metadata["git"] = git.stdout.strip()
    return metadata


@contextmanager
def _without_ray_address() -> Iterator[None]:
    """Hide the variables that would override the address JobSubmissionClient is given."""
    names = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")
    hidden = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _retrying(action: Callable[[], T], *, while_: type[Exception], patience_s: float) -> T:
    """Repeat an action that fails with `while_`, waiting 0.5, 1, 2, 4, 4 ... s, until `patience_s` have passed."""
    deadline, delay_s = time.monotonic() + patience_s, 0.5
    while True:
        try:
            return action()
        except while_:
            if time.monotonic() + delay_s > deadline:
                raise
        time.sleep(delay_s)
        delay_s = min(2 * delay_s, 4.0)
