"""Kills workers, nodes and drivers of prepare with SIGKILL at random moments, and compares what the next run ends with.

    scripts/bench_data kills [--kills 20] [--documents 300] [--seed 0] [--minutes 30] [--s3] [--json FILE]

Prints a line for each kill: what was killed, after how many seconds, how many documents were parsed twice in all runs
of the trial, and whether the bytes are those of an undisturbed run. Needs nothing but this machine. A trial is one or
two whole runs, so that twenty take some forty times as long as one. With --s3 sets go into storage, where a document
that a death lost leaves no trace: those are told that were kept twice.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
# A node that is gone is noticed after two seconds, not after half a minute.
os.environ.setdefault("RAY_health_check_initial_delay_ms", "500")
os.environ.setdefault("RAY_health_check_period_ms", "500")
os.environ.setdefault("RAY_health_check_timeout_ms", "2000")
os.environ.setdefault("RAY_health_check_failure_threshold", "4")

ENTRY = Path(__file__).resolve().parents[2] / "bench_data"
KINDS = ("worker", "driver", "node")
SERVER = """import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=int(sys.argv[1]), verbose=False)
server.start()
server._thread.join()
"""


def main(argv: list[str] | None = None) -> int:
    """0 where every trial ended with the same bytes and less than 2% parsed twice, else 1; 3 where time was short."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--documents", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=30.0, help="after which no trial begins")
    parser.add_argument("--s3", nargs="?", const="", help="into storage: an address that speaks S3, else moto's server")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--driver", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.driver:
        corpus, output, model = given.driver
        return _driver(Path(corpus), output, Path(model))
    with (
        tempfile.TemporaryDirectory() as folder,
        _bucket(given.s3) if given.s3 is not None else nullcontext() as bucket,
    ):
        return _trials(Path(folder), bucket, given)


@contextmanager
def _bucket(address: str) -> Iterator[str]:
    """URI of a new bucket of a server that speaks S3, which is started in a process of its own where there is none."""
    name = f"kills-{os.getpid()}"
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "testing")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "testing")
    with nullcontext(address) if address else _server() as at:
        urllib.request.urlopen(urllib.request.Request(f"{at}/{name}", method="PUT"), timeout=10).close()
        yield f"s3://{name}?endpoint_override={at}&scheme=http&region=us-east-1"


@contextmanager
def _server() -> Iterator[str]:
    """Address of moto's server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(port)], **quiet)
    try:
        for _ in range(120):
            time.sleep(0.5)
            assert server.poll() is None, "moto does not start: pip install 'moto[s3]' flask flask-cors"
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def _trials(folder: Path, bucket: str | None, given: argparse.Namespace) -> int:
    from ray_ft.models.builtin import build_builtin

    began, draw = time.monotonic(), random.Random(given.seed)
    os.environ["RAY_FT_CACHE"] = str(folder / "cache")
    corpus = _corpus(folder / "corpus", given.documents)
    model = build_builtin("tiny", folder / "models", pretrain_steps=0)
    _say(began, "starting a cluster of three nodes")
    cluster = _Cluster()

    def place(name: str) -> str:
        if bucket is not None:
            return joined(bucket, name)
        (folder / name).mkdir()
        return str(folder / name / "data")

    from ray_ft.storage import joined

    _prepare(corpus, place("warm"), model)  # starts worker processes and loads tokenizers
    _say(began, "the cluster is warm")
    started = time.monotonic()
    undisturbed = _prepare(corpus, place("undisturbed"), model)
    seconds = time.monotonic() - started
    wanted = _contents(undisturbed)
    _say(began, f"{given.documents} documents, undisturbed in {seconds:.1f} s")
    rows: list[dict[str, Any]] = []
    if bucket is not None:
        (folder / "local").mkdir()
        equal = _contents(_prepare(corpus, str(folder / "local" / "data"), model)) == wanted
        _say(began, f"the set in storage equals that of a folder: {equal}")
        rows.append({"kind": "none", "equal": equal, "twice": 0, "after_s": 0, "seconds": round(seconds, 1)})
    for number in range(given.kills):
        if time.monotonic() - began > 60 * given.minutes:
            _say(began, f"{number} of {given.kills} trials, and no time for more")
            break
        kind, after = KINDS[number % len(KINDS)], draw.uniform(0.02, 0.95) * seconds
        output, started = place(f"trial_{number}"), time.monotonic()
        if kind == "driver":
            _kill_driver(corpus, output, model, after)
            path = _prepare(corpus, output, model)
        else:
            thread = threading.Timer(after, cluster.kill_node if kind == "node" else cluster.kill_worker, [draw])
            thread.start()
            path = _prepare(corpus, output, model)
            thread.join()
            assert cluster.killed.pop(), "nothing was killed"
            cluster.refill()
        twice = sum(n - 1 for n in _begun(output).values())
        row = {"kind": kind, "after_s": round(after, 1), "twice": twice, "equal": _contents(path) == wanted}
        rows.append({**row, "seconds": round(time.monotonic() - started, 1)})
        share = 100 * twice / given.documents
        told = f"{kind} killed after {after:.1f} s: {twice} {'kept' if bucket else 'parsed'} twice ({share:.2f}%)"
        _say(
            began, f"{number + 1} of {given.kills}: {told}, bytes equal: {row['equal']}, {rows[-1]['seconds']} s in all"
        )
        if bucket is None:
            shutil.rmtree(Path(output).parent)
    failures = sum(not row["equal"] or row["twice"] >= 0.02 * given.documents for row in rows)
    num_kills = sum(row["kind"] != "none" for row in rows)
    about = {
        "place": "s3" if bucket else "folder", "documents": given.documents, "undisturbed_s": round(seconds, 1),
        "kills": num_kills, "wanted": given.kills, "failures": failures, "trials": rows,
        "seconds": round(time.monotonic() - began, 1), "cpus": os.cpu_count(),
    }  # fmt: skip
    if given.json:
        given.json.write_text(json.dumps(about, indent=1) + "\n")
    _say(began, f"{num_kills} kills, {failures} failures")
    return 1 if failures else 3 if num_kills < given.kills else 0


def _say(began: float, line: str) -> None:
    print(f"{time.monotonic() - began:6.0f} s  {line}", flush=True)


HEAD = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}


class _Cluster:
    """A head of one processor and two nodes beside it, all on this machine."""

    def __init__(self) -> None:
        import ray
        from ray.cluster_utils import Cluster

        self.cluster = Cluster(initialize_head=True, head_node_args=HEAD)
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


def _kill_driver(corpus: Path, output: str, model: Path, after: float) -> None:
    """A driver with a cluster of its own, from when it begins to work."""
    command = [sys.executable, str(ENTRY), "kills", "--driver", str(corpus), output, str(model)]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert run.stdout is not None
    while "begins" not in run.stdout.readline():
        assert run.poll() is None, "the driver died by itself"
    try:
        run.wait(after)
    except subprocess.TimeoutExpired:
        os.kill(run.pid, signal.SIGKILL)
    run.wait()


def _driver(corpus: Path, output: str, model: Path) -> int:
    import ray

    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20)
    print("begins", flush=True)
    _prepare(corpus, output, model)
    return 0


def _prepare(corpus: Path, output: str, model: Path) -> str:
    """Where the set lies. Small batches and groups, so that a small corpus has many; journals stay, to be counted."""
    from ray_ft.config import DataConfig, ModelConfig
    from ray_ft.data import prepare
    from ray_ft.data.build import tidy
    from ray_ft.data.ingest import items, manifest
    from ray_ft.recipes import Heading, Paragraph

    items.BATCH_FILES, manifest.MAX_GROUP_FILES = 50, 50
    tidy.compact = lambda *arguments: None
    made = prepare.prepare_training_set(
        DataConfig(sources=(str(corpus),), recipes=(Paragraph(), Heading())),
        model=ModelConfig(name="builtin:tiny", max_seq_len=256),
        model_path=str(model),
        output_path=output,
        seed=0,
        inputs_digest="",
    )
    return made.path


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


def _begun(output: str) -> Counter[bytes]:
    """How often work on each document began, in all runs of a trial; in storage, how often its end was put."""
    from ray_ft.data.run.journal import read_journal
    from ray_ft.data.run.segments import entries_in
    from ray_ft.storage import is_uri, joined

    if is_uri(output):
        return Counter(entry.key for entry in entries_in(joined(output, "parsed")))
    journals = Path(f"{output}.work", "parsed").glob("*.log")
    return Counter(entry.key for path in journals for entry in read_journal(path) if entry.ref is None)


def _contents(path: str) -> dict[str, str]:
    """The SHA-256 of each file of a set."""
    from ray_ft.storage import is_uri, read_manifest

    if is_uri(path):
        return {name: part.sha256 for name, part in read_manifest(path).items()}
    files = sorted(file for file in Path(path).rglob("*") if file.is_file())
    return {str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
