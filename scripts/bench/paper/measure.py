"""Trials side by side: some processes take them from one queue until it is empty or the time is over."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

from bench.paper.experiments import REPOSITORY, Trial
from bench.timed_steps.processes import versions

APART_SECONDS = 1.5
"""Between starts: clusters that start together may look for free ports together."""
HOPELESS = 6
"""So many trials that fail before any succeeds end the measurement."""
ROWS, ANSWERS = "paper.jsonl", "paper-answers.jsonl"


class Measurement:
    """A queue of trials, the file that rows are added to, and the time that is left."""

    def __init__(
        self, trials: list[Trial], output: Path, *, work: Path, processes: int, minutes: float, tiny: bool
    ) -> None:
        self.began, self.minutes, self.output, self.work, self.tiny = time.monotonic(), minutes, output, work, tiny
        done = {
            (row["experiment"], row["run"], row["seed"]) for row in read(output / ROWS) if row.get("outcome") == "ok"
        }
        self.waiting = deque(t for t in trials if (t.experiment, t.run, t.seed) not in done)
        self.processes = max(1, min(processes, len(self.waiting)))
        self.lock, self.failed, self.exams = threading.Lock(), 0, set[str]()
        self.ended, self.asked = 0, len(self.waiting)
        self.again = set[Trial]()
        self.running: dict[int, subprocess.Popen[str]] = {}

    @property
    def left(self) -> float:
        return 60 * self.minutes - (time.monotonic() - self.began)

    def run(self) -> int:
        """Number of trials that failed."""
        self._write(ROWS, {"machine": _gpu(), "versions": versions(), "processes": self.processes, "tiny": self.tiny})
        threads = [threading.Thread(target=self._work, args=(n,), daemon=True) for n in range(self.processes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(max(self.left, 0.1))
        for process in list(self.running.values()):  # what the end of the time has cut short
            os.killpg(process.pid, signal.SIGTERM)
        print(f"{self._clock()}: {self.failed} failed, {self.asked - self.ended} without a row", flush=True)
        return self.failed

    def _work(self, number: int) -> None:
        time.sleep(APART_SECONDS * number)
        while self.left > 0:
            with self.lock:
                if not self.waiting:
                    break
                trial = self.waiting.popleft()
            process = self.running.get(number) or self._start(number)
            made = self._ask(process, trial)
            if made is None:
                self.running.pop(number).wait()
                if trial not in self.again:  # its process may not have found the room to start
                    self.again.add(trial)
                    self.waiting.append(trial)
                    continue
                made = {"outcome": "error", "error": f"process {number} died; see its log"}
            self._add(trial, made)
        if process := self.running.pop(number, None):
            process.communicate()  # ends its input, and waits for its Ray to stop

    def _start(self, number: int) -> subprocess.Popen[str]:
        self.output.joinpath("logs").mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            str(REPOSITORY / "scripts" / "reproduce_paper"),
            "--trials",
            "--work",
            str(self.work),
        ]
        with (self.output / "logs" / f"{number}.log").open("a") as log:
            process = subprocess.Popen(
                [*command, *(["--tiny"] if self.tiny else [])], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=log, cwd=REPOSITORY, text=True, start_new_session=True,
                env=os.environ | {"OMP_NUM_THREADS": "2"},
            )  # fmt: skip
        self.running[number] = process
        return process

    def _ask(self, process: subprocess.Popen[str], trial: Trial) -> dict[str, Any] | None:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps({**trial.values(), "name": trial.name}) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            return None
        line = process.stdout.readline()
        return json.loads(line) if line else None

    def _add(self, trial: Trial, made: dict[str, Any]) -> None:
        exam, kept, systems = made.pop("exam", None), made.pop("kept", []), made.pop("systems", {})
        head = {"experiment": trial.experiment, "run": trial.run, "seed": trial.seed}
        with self.lock:
            if exam and (key := json.dumps(exam)) not in self.exams:
                self.exams.add(key)
                self._write(ROWS, {"exam": trial.config, "strata": exam})
            self._write(ROWS, {**head, "config": trial.config, "overrides": trial.overrides, **made, "scores": systems})
            for answer in kept:
                self._write(ANSWERS, {**head, **answer})
            self.failed += made["outcome"] != "ok"
            self.ended += 1
            if self.failed == self.ended == HOPELESS:
                self.waiting.clear()
            said = made.get("error") or {s: _mean(of, "seen") for s, of in systems.items()}
            name = f"{trial.experiment} {trial.run}, seed {trial.seed}"
            print(f"{self._clock()}: {name}: {said} {made.get('seconds', '')}", flush=True)

    def _write(self, name: str, values: dict[str, Any]) -> None:
        self.output.mkdir(parents=True, exist_ok=True)
        with (self.output / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(values, ensure_ascii=False, separators=(",", ":")) + "\n")

    def _clock(self) -> str:
        return f"{time.monotonic() - self.began:5.0f} s"


def read(path: Path) -> list[dict[str, Any]]:
    """Rows of a file; none where there is no file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def _mean(scores: dict[str, dict[str, list[float]]], stratum: str) -> float | None:
    values = next((v for m, v in scores.get(stratum, {}).items() if m in ("edit_similarity", "key_fact_recall")), [])
    return round(sum(values) / len(values), 3) if values else None


def _gpu() -> str:
    try:
        command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        return subprocess.check_output(command, text=True).splitlines()[0].strip()
    except (FileNotFoundError, subprocess.CalledProcessError, IndexError):
        return "cpu"
