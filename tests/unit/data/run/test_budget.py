"""A file that takes too long or too much memory costs itself: not the worker, and not the files beside it."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from keyed_items import hashed

from ray_ft.config import DataConfig, DatasetConfig
from ray_ft.data.formats.base import Parsed
from ray_ft.data.formats.text import parse_text
from ray_ft.data.ingest import reading
from ray_ft.data.ingest import stage as stage_module
from ray_ft.data.ingest.items import Item
from ray_ft.data.ingest.kept import find_kept
from ray_ft.data.ingest.manifest import list_items
from ray_ft.data.ingest.sandbox import Limits
from ray_ft.data.ingest.stage import ParseJob, load, parse_batch
from ray_ft.data.run.budget import OutOfTime, budget, renew
from ray_ft.data.run.digests import parse_digest
from ray_ft.data.run.keys import Keys
from ray_ft.data.run.typed import dump

SLOW = re.compile("(?:a|a)*b")  # takes for ever over a row of a's
ROW = "a" * 60
MEMORY = 2**30


def _hang(text: str) -> Parsed:
    if ROW in text:
        SLOW.match(text[text.index(ROW) :])
    return parse_text(text)


def _swell(text: str) -> Parsed:
    return parse_text(text * (2 * MEMORY // len(text)) if ROW in text else text)


def test_an_expression_that_never_ends_is_ended_and_what_follows_has_its_own_time() -> None:
    before = signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)[0] > 0
    started = time.monotonic()
    with pytest.raises(OutOfTime), budget(0.2, MEMORY):
        SLOW.match(ROW)
    assert time.monotonic() - started < 5
    with budget(0.2, MEMORY):
        pass
    assert (signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)[0] > 0) == before


def test_an_alarm_that_a_parser_swallows_rings_again() -> None:
    def stubborn() -> None:
        try:
            SLOW.match(ROW)
        except:  # noqa: E722 - as some parsers do
            SLOW.match(ROW)

    with pytest.raises(OutOfTime), budget(0.1, MEMORY):
        stubborn()


def test_a_sign_of_life_begins_the_time_anew() -> None:
    with budget(0.4, MEMORY):
        for _ in range(10):
            end = time.monotonic() + 0.08
            while time.monotonic() < end:
                pass
            renew()


def test_no_thread_ends_the_process_once_the_blocks_are_over() -> None:
    program = """
import time
from ray_ft.data.run.budget import budget, budgets_in_turn
with budgets_in_turn():
    for _ in range(3):
        with budget(0.05, 2**30):
            pass
with budget(0.05, 2**30):
    pass
time.sleep(1.5)  # three times as long as the thread would wait
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0


def test_memory_is_limited_within_and_not_behind() -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(MemoryError), budget(60, MEMORY):
        bytearray(2 * MEMORY)
    assert resource.getrlimit(resource.RLIMIT_AS) == before


@pytest.mark.parametrize("in_turn", [False, True])
def test_native_code_that_does_not_come_back_ends_its_process(in_turn: bool) -> None:
    program = """
import ctypes, signal
from ray_ft.data.run.budget import budget
with budget(0.2, 2**30):
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    ctypes.PyDLL(None).pause()  # with the interpreter's lock, so that no Python runs
"""
    program = (
        program if not in_turn else f"import ray_ft.data.run.budget as b\nb.budgets_in_turn().__enter__()\n{program}"
    )
    done = subprocess.run([sys.executable, "-c", program], timeout=60, capture_output=True, env={**os.environ})
    assert done.returncode == 1


@pytest.fixture
def items(tmp_path: Path) -> list[Item]:
    (tmp_path / "docs").mkdir()
    for name, words in (("a", "Stop the pump."), ("b", ROW), ("c", "Shut the valve.")):
        (tmp_path / "docs" / f"{name}.txt").write_text(f"{words}\n")
    lines = [json.dumps({"text": words}) for words in ("one", ROW, "three")]
    (tmp_path / "lines.jsonl").write_text("\n".join(lines) + "\n")
    data = DataConfig(sources=(str(tmp_path / "docs"),), datasets=(DatasetConfig(path=str(tmp_path / "lines.jsonl")),))
    return list(list_items(data, 64))


def _states(items: list[Item], folder: Path, limits: Limits) -> list[list[str]]:
    how = parse_digest({})
    todo = hashed(items, how)
    job = ParseJob(str(folder), "run", limits=limits, how=how)
    result: dict[str, Any] = json.loads(parse_batch({"work": dump(todo)}, job=job)["result"])
    assert not result["error"]
    assert not result["found"]
    kept = find_kept(folder, Keys.of(one.key for one in todo))
    return [[one.reason for one in load(item, kept.ref(i))] for i, item in enumerate(items)]


@pytest.mark.parametrize(
    ("parser", "reason"), [(_hang, "took too long"), (_swell, "parser ran out of memory")], ids=["time", "memory"]
)
def test_a_text_that_its_parser_cannot_end_is_put_aside_and_the_others_are_read(
    items: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parser: Any, reason: str
) -> None:
    text = reading.format_of("a.txt")
    assert text is not None
    monkeypatch.setattr(reading, "format_of", lambda path, head: replace(text, parse=parser))
    found = _states(items[:3], tmp_path / "parsed", Limits(0.5, MEMORY))
    assert found == [[""], [reason], [""]]


def test_cleaning_that_does_not_end_costs_a_file_or_a_line(
    items: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = stage_module.clean_file, stage_module.clean_record
    monkeypatch.setattr(stage_module, "clean_file", lambda read, how: _hang(read.document.text) and whole[0](read, how))
    monkeypatch.setattr(stage_module, "clean_record", lambda line, how: _hang(line.text) and whole[1](line, how))
    found = _states(items, tmp_path / "parsed", Limits(0.3, MEMORY))
    assert found == [[""], ["took too long"], [""], ["", "took too long", ""]]


def test_signing_that_does_not_end_costs_its_file(
    items: list[Item], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = stage_module.heads_of

    def sign(parsed: Any, evaluation: Any) -> Any:
        if any(one.document is not None for one in parsed):
            _hang(parsed[0].document.text)
        return whole(parsed, evaluation)

    monkeypatch.setattr(stage_module, "heads_of", sign)
    assert _states(items[:3], tmp_path / "parsed", Limits(0.3, MEMORY)) == [[""], ["took too long"], [""]]
