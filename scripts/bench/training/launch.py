"""Runs one spec in processes of its own and gives back what they wrote; a hang or a crash becomes a row as well."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.timed_steps.processes import SCRIPTS, free_port
from bench.training.spec import Spec, write_spec


def run_spec(spec: Spec, *, folder: Path, timeout: float) -> dict[str, Any]:
    """The result of one spec, or {"error": ...}; the processes' output goes to a log file in `folder`/logs."""
    logs = folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    spec_path, target = Path(spec.scratch) / f"{spec.file_name}.json", logs / f"{spec.file_name}.result.json"
    write_spec(spec, spec_path)
    target.unlink(missing_ok=True)
    command = [sys.executable, "-m", "bench.training.contender", str(spec_path), str(target)]
    port = free_port()
    began = time.monotonic()
    with (logs / f"{spec.file_name}.log").open("w") as log:
        processes = [
            subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, cwd=spec.scratch, start_new_session=True,
                env=environment(spec, rank=rank, port=port),
            )
            for rank in range(spec.world_size)
        ]  # fmt: skip
        ended = wait(processes, deadline=began + timeout)
    result = json.loads(target.read_text()) if target.is_file() else {}
    if not ended:
        result = {"error": f"did not end within {timeout:.0f} s"}
    elif not result:
        result = {"error": f"ended with status {processes[0].returncode} and no result; see {log.name}"}
    return asdict(spec) | result | {"wall_seconds": time.monotonic() - began}


def environment(spec: Spec, *, rank: int, port: int) -> dict[str, str]:
    """A rival sees its own packages and none of ours."""
    paths = [str(SCRIPTS)]
    paths += [spec.rival_site] if spec.rival else [str(SCRIPTS.parent), os.environ.get("PYTHONPATH", "")]
    few = {"OMP_NUM_THREADS": "1"} if spec.shape == "tiny" else {}  # threads would wait for each other longer than work
    return os.environ | few | {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path), "PYTHONUNBUFFERED": "1",
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(spec.world_size),
        "LOCAL_WORLD_SIZE": str(spec.world_size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
        "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
    }  # fmt: skip


def wait(processes: list[subprocess.Popen[bytes]], *, deadline: float) -> bool:
    """Until all have ended, one has failed, or the deadline; whoever is left is killed. False at the deadline."""
    ended = False
    while time.monotonic() < deadline and not ended:
        codes = [process.poll() for process in processes]
        ended = all(code is not None for code in codes) or any(code for code in codes)
        time.sleep(0.05)
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return ended
