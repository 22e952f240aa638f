"""Processes that measure, one for each GPU of a row; whoever hangs or dies costs the row and is started anew."""

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.estimator.configuration import Configuration, to_values
from bench.timed_steps.processes import SCRIPTS, free_port

LEFT_BYTES = 256 * 2**20  # more than this that does not come back would be in the next row's figures
PATIENCE_SECONDS = 10.0  # for the other ranks, once one has answered


class Workers:
    """`measure.py` on some GPUs (none: on the CPU), started when first needed and kept from row to row."""

    def __init__(self, gpus: list[int], *, num: int, folder: Path, scratch: Path, few_threads: bool = False) -> None:
        self.gpus, self.num, self.few_threads = gpus, num, few_threads
        self.scratch = scratch
        self.log = folder / f"{'gpu-' + '-'.join(map(str, gpus)) if gpus else 'cpu'}-x{num}.log"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._starts = 0

    def start(self) -> None:
        """Import everything, without touching a GPU."""
        if self._processes:
            return
        self._starts += 1
        scratch = self.scratch / f"start-{self._starts}"  # each start counts its rows from 0
        scratch.mkdir(parents=True, exist_ok=True)
        port = free_port()
        with self.log.open("ab") as log:
            self._processes = [
                subprocess.Popen(
                    [sys.executable, "-m", "bench.estimator.calibrate.measure", str(scratch)], stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE, stderr=log, cwd=scratch, start_new_session=True,
                    env=self._environment(rank, port),
                )
                for rank in range(self.num)
            ]  # fmt: skip

    def run(self, configuration: Configuration, *, predicted_seconds: float | None, timeout: float) -> dict[str, Any]:
        """The measured columns of a row: the largest of all ranks' memory, rank 0's time."""
        self.start()
        line = json.dumps(to_values(configuration) | {"predicted_seconds": predicted_seconds}) + "\n"
        began = time.monotonic()
        try:
            for process in self._processes:
                assert process.stdin is not None
                process.stdin.write(line.encode())
                process.stdin.flush()
            answers, missing = self._answers(began + timeout)
        except BrokenPipeError:
            answers, missing = {}, "died"
        row = merge(answers, self.num, missing=missing, seconds=time.monotonic() - began, log=self.log)
        broken = len(answers) < self.num or row["outcome"] == "error"
        if broken or max(answer["left_bytes"] for answer in answers.values()) > LEFT_BYTES:
            self.stop()
        return row

    def stop(self) -> None:
        """End the processes; the next row starts new ones."""
        for process in self._processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._processes = []

    def _answers(self, deadline: float) -> tuple[dict[int, dict[str, Any]], str]:
        """Answers by rank, and what became of the ranks that gave none."""
        found: dict[int, dict[str, Any]] = {}
        with selectors.DefaultSelector() as ready:
            for rank, process in enumerate(self._processes):
                assert process.stdout is not None
                ready.register(process.stdout, selectors.EVENT_READ, rank)
            while len(found) < self.num:
                left = deadline - time.monotonic()
                if left <= 0:
                    return found, "did not end"
                for key, _ in ready.select(left):
                    line = self._processes[key.data].stdout.readline()
                    if not line:
                        return found, "died"
                    found[key.data] = json.loads(line)
                    deadline = min(deadline, time.monotonic() + PATIENCE_SECONDS)
        return found, ""

    def _environment(self, rank: int, port: int) -> dict[str, str]:
        paths = [str(SCRIPTS), str(SCRIPTS.parent), os.environ.get("PYTHONPATH", "")]
        settings = {
            "PYTHONPATH": os.pathsep.join(path for path in paths if path), "PYTHONUNBUFFERED": "1",
            # Every rank's GPU is its first, so that what one GPU's rows have compiled serves the pairs too.
            "RANK": str(rank), "LOCAL_RANK": "0", "WORLD_SIZE": str(self.num),
            "LOCAL_WORLD_SIZE": str(self.num), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
            "CUDA_VISIBLE_DEVICES": str(self.gpus[rank]) if self.gpus else "", "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false", "FLASH_ATTENTION_CUTE_DSL_CACHE_ENABLED": "1",
        }  # fmt: skip
        if self.few_threads:
            settings |= {"TORCHINDUCTOR_COMPILE_THREADS": "4", "OMP_NUM_THREADS": "1"}
        return os.environ | settings


def merge(answers: dict[int, dict[str, Any]], num: int, *, missing: str, seconds: float, log: Path) -> dict[str, Any]:
    """One row from all ranks: any rank's failure is the row's, and the largest memory counts."""
    rows = [answers[rank] for rank in sorted(answers)]
    failed = [row for row in rows if row["outcome"] != "ok"]
    if missing and not failed:
        ranks = [rank for rank in range(num) if rank not in answers]
        failed = [{"outcome": "error", "error": f"rank {ranks[0]} {missing} after {seconds:.0f} s; see {log.name}"}]
    if failed:
        # One rank that runs out of memory takes the others with it.
        first = next((row for row in failed if row["outcome"] == "out of memory"), failed[0])
        rows = [*rows, first]
    memory = {name for row in rows for name in row if name.endswith("_bytes")}
    merged = (rows[0] if not failed else {}) | {
        name: max(row[name] for row in rows if name in row) for name in sorted(memory)
    }
    about = first if failed else rows[0]
    return merged | {"outcome": about["outcome"], "error": about["error"], "row_seconds": seconds}
