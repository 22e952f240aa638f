"""The paper's full fine-tuning at its batches, measured as the estimator's grid is: random weights, without Ray."""

import argparse
import shutil
import tempfile
from pathlib import Path

from bench.estimator.calibrate.chosen import matching
from bench.estimator.calibrate.grid import LLAMA2_7B, LLAMA2_13B, TINY, one
from bench.estimator.calibrate.runs import Run
from bench.estimator.configuration import Configuration

SHAPES = (
    one(LLAMA2_7B, "full", "1x4096", accumulation=2),
    one(LLAMA2_7B, "full", "2x4096", "ckpt", accumulation=4),
    one(LLAMA2_7B, "full", "4x2048", "ckpt", accumulation=8),
    one(LLAMA2_7B, "full", "2x4096", "ckpt", accumulation=2),
    one(LLAMA2_7B, "lora", "1x2048"),
    one(LLAMA2_13B, "lora", "1x2048"),
    one(LLAMA2_7B, "qlora", "1x2048"),
)
"""Configurations A, B and C of Table 5 and the first one of Table 9, then one row a step, as so few rows would have."""


class PaperRun(Run):
    """One go at these."""

    csv = "paper-shapes.csv"

    def configurations(self) -> list[Configuration]:
        return matching(self.options, TINY[:1] if self.options.tiny else SHAPES, names=lambda c: (c.name,))


def measure(output: Path, *, minutes: float, tiny: bool) -> int:
    """Number of rows that failed, running out of memory aside."""
    output.mkdir(parents=True, exist_ok=True)
    options = argparse.Namespace(
        output=output,
        budget=60 * minutes,
        share_of_pairs=0.0,
        resume=True,
        only="*",
        tiny=tiny,
        timeout=100.0,
        precompile=0,
    )
    scratch = Path(tempfile.mkdtemp(prefix="paper-shapes-"))
    try:
        run = PaperRun(options, scratch=scratch)
        run.measure()
        return len(run.failed)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
