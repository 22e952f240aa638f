"""Kills workers, nodes and drivers of prepare with SIGKILL at random moments, and compares what the next run ends with.

    scripts/bench_data kills [--kills 20] [--documents 1000] [--seed 0]

Prints a line for each kill: what was killed, after how many seconds, how many documents were parsed twice in all runs
of the trial, and whether the bytes are those of an undisturbed run. Needs nothing but this machine.
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

ENTRY = Path(__file__).resolve().parents[2] / "bench_data"
KINDS = ("worker", "driver", "node")


def main(argv: list[str] | None = None) -> int:
    """0 where every trial ended with the same bytes and less than 2% parsed twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--driver", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.driver:
        return _driver(*map(Path, given.driver))
    with tempfile.TemporaryDirectory() as folder:
        return _trials(Path(folder), given.kills, given.documents, random.Random(given.seed))


def _trials(folder: Path, num_kills: int, num_documents: int, draw: random.Random) -> int:
    from ray_ft.models.builtin import build_builtin

    corpus = _corpus(folder / "corpus", num_documents)
    model = build_builtin("tiny", folder / "models", pretrain_steps=0)
    cluster = _Cluster()
    _prepare(corpus, folder / "warm", model)  # starts worker processes and loads tokenizers
    started = time.monotonic()
    _prepare(corpus, folder / "undisturbed", model)
    seconds = time.monotonic() - started
    wanted = _contents(folder / "undisturbed")
    print(f"{num_documents} documents, undisturbed in {seconds:.1f} s", flush=True)
    failures = 0
    for number in range(num_kills):
        kind, after = KINDS[number % len(KINDS)], draw.uniform(0.02, 0.95) * seconds
        output = folder / f"trial_{number}" / "data"
        output.parent.mkdir()
        if kind == "driver":
            _kill_driver(corpus, output, model, after)
            _prepare(corpus, output, model)
        else:
            kill = cluster.kill_node if kind == "node" else cluster.kill_worker
            thread = threading.Timer(after, kill, [draw])
            thread.start()
            _prepare(corpus, output, model)
            thread.join()
            assert cluster.killed.pop(), "nothing was killed"
            cluster.refill()
        twice = sum(n - 1 for n in _begun(output).values())
        same = _contents(output) == wanted
        failures += not same or twice >= 0.02 * num_documents
        share = 100 * twice / num_documents
        print(
            f"{kind} killed after {after:.1f} s: {twice} parsed twice ({share:.2f}%), bytes equal: {same}", flush=True
        )
        shutil.rmtree(output.parent)
    return int(failures > 0)


class _Cluster:
    """A head of one processor and two nodes beside it, all on this machine."""

    def __init__(self) -> None:
        import ray
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100 * 2**20})
        self.nodes: list[Any] = []
        self.killed: list[int] = []  # processes
        self.refill()
        ray.init(address=self.cluster.address, log_to_driver=False)

    def refill(self) -> None:
        """Two nodes beside the head, from the main thread, where Ray sets its signals."""
        while len(self.nodes) < 2:
            self.nodes.append(self.cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20))

    def kill_worker(self, draw: random.Random) -> None:
        """One of the processes that run tasks of prepare; any worker where none runs one at the moment."""
        workers = list(_workers())
        busy = [process for name, process in workers if "Map(" in name]
        victim = draw.choice(busy or [process for _, process in workers])
        victim.send_signal(signal.SIGKILL)
        self.killed.append(victim.pid)

    def kill_node(self, draw: random.Random) -> None:
        """A node with all its processes."""
        import psutil

        node = self.nodes.pop(draw.randrange(len(self.nodes)))
        raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
        for process in [raylet, *raylet.children(recursive=True)]:
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.NoSuchProcess:
                continue
        self.killed.append(raylet.pid)


def _workers() -> Iterator[tuple[str, Any]]:
    import psutil

    for process in psutil.Process().children(recursive=True):
        try:
            name = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if name.startswith("ray::"):
            yield name, process


def _kill_driver(corpus: Path, output: Path, model: Path, after: float) -> None:
    """A driver with a cluster of its own, from when it begins to work."""
    command = [sys.executable, str(ENTRY), "kills", "--driver", str(corpus), str(output), str(model)]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert run.stdout is not None
    while "begins" not in run.stdout.readline():
        assert run.poll() is None, "the driver died by itself"
    try:
        run.wait(after)
    except subprocess.TimeoutExpired:
        os.kill(run.pid, signal.SIGKILL)
    run.wait()


def _driver(corpus: Path, output: Path, model: Path) -> int:
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20)
    print("begins", flush=True)
    _prepare(corpus, output, model)
    return 0


def _prepare(corpus: Path, output: Path, model: Path) -> None:
    """Small batches and groups, so that a small corpus has many; journals stay as they were written, to be counted."""
    from ray_ft.config import DataConfig, ModelConfig
    from ray_ft.data import prepare
    from ray_ft.data.build import tidy
    from ray_ft.data.ingest import items, manifest
    from ray_ft.recipes import Heading, Paragraph

    items.BATCH_FILES, manifest.MAX_GROUP_FILES = 50, 50
    tidy.compact = lambda *arguments: None
    prepare.prepare_training_set(
        DataConfig(sources=(str(corpus),), recipes=(Paragraph(), Heading())),
        model=ModelConfig(name="builtin:tiny", max_seq_len=256),
        model_path=str(model),
        output_path=str(output),
        seed=0,
        inputs_digest="",
    )


def _corpus(root: Path, num_documents: int) -> Path:
    """reStructuredText of some thousand characters a document."""
    root.mkdir()
    for number in range(num_documents):
        draw = random.Random(number)
        parts = [
            f"Part {i}\n------\n\n{' '.join(f'word{draw.randrange(5000)}' for _ in range(60))}\n" for i in range(8)
        ]
        (root / f"page_{number:04d}.rst").write_text(f"Page {number}\n==========\n\n" + "\n".join(parts))
    return root


def _begun(output: Path) -> Counter[bytes]:
    """How often work on each document began, in all runs of a trial."""
    from ray_ft.data.run.journal import read_journal

    journals = Path(f"{output}.work", "parsed").glob("*.log")
    return Counter(entry.key for path in journals for entry in read_journal(path) if entry.ref is None)


def _contents(output: Path) -> dict[str, str]:
    files = sorted(path for path in output.rglob("*") if path.is_file())
    return {str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
