"""prepare on a cluster that grows while it runs, beside a run on one that does not: the bytes must be the same.

    scripts/bench_data autoscaling [--documents 600] [--nodes 2]

Starts a head of one processor with Ray's own autoscaler, whose nodes are processes of this machine (its fake multinode
provider). prepare asks for more than there is; nodes of one processor come up, and go again when they are idle. Prints
when each came and how much processor time its workers took.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

MEMORY = 100 * 2**20  # of an object store
MAX_WAIT = 120.0


def main(argv: list[str] | None = None) -> int:
    """0 where nodes came, worked, and the bytes are those of a run without them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=600)
    parser.add_argument("--nodes", type=int, default=2)
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        return _compare(Path(name), given.documents, given.nodes)


def _compare(folder: Path, num_documents: int, num_nodes: int) -> int:
    import ray

    from bench.data.kills import _contents, _corpus, _prepare
    from ray_ft.models.builtin import build_builtin
    from ray_ft.quiet import quiet_libraries

    quiet_libraries()
    corpus = _corpus(folder / "corpus", num_documents)
    model = build_builtin("tiny", folder / "models", pretrain_steps=0)
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=MEMORY)
    started = time.monotonic()
    _prepare(corpus, folder / "alone", model)
    print(f"one node of one processor: {time.monotonic() - started:.1f} s", flush=True)
    ray.shutdown()
    with _growing_cluster(folder, num_nodes) as (address, head):
        ray.init(address=address, log_to_driver=False)
        grown = _Grown(head)
        started = time.monotonic()
        _prepare(corpus, folder / "grown", model)
        print(f"a cluster that grows: {time.monotonic() - started:.1f} s", flush=True)
        grown.stop()
        ray.shutdown()
    same = _contents(folder / "alone") == _contents(folder / "grown")
    print(f"{grown.text()}\nbytes equal: {same}")
    return int(not same or grown.num_at_work < 2)


@contextmanager
def _growing_cluster(folder: Path, num_nodes: int) -> Iterator[tuple[str, int]]:
    """Address of a head that starts nodes when there is demand, and its process; all of it ends with the block."""
    import psutil  # type: ignore[import-untyped,unused-ignore]

    port, clients = _free_ports(2)
    address = f"{_own_address()}:{port}"
    config = folder / "autoscaler.json"
    config.write_text(json.dumps(_autoscaler(address, num_nodes)))
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}", "--num-cpus=1",
        f"--object-store-memory={MEMORY}", f"--autoscaling-config={config}", "--include-dashboard=false",
        f"--ray-client-server-port={clients}", f"--temp-dir={folder / 'r'}", "--disable-usage-stats",
    ]  # fmt: skip
    environment = {"AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_FAKE_CLUSTER": "1", "RAY_enable_autoscaler_v2": "0"}
    log = (folder / "head.log").open("w")
    head = subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=log, start_new_session=True)
    try:
        _wait_for(head, folder / "head.log")
        yield address, head.pid
    finally:
        if head.poll() is None:
            for process in [*psutil.Process(head.pid).children(recursive=True), psutil.Process(head.pid)]:
                with suppress(psutil.Error):
                    process.send_signal(signal.SIGKILL)
        head.wait()
        log.close()


def _free_ports(number: int) -> list[int]:
    """Ports that nobody listens on, all different."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("", 0))
        return [int(one.getsockname()[1]) for one in sockets]


def _own_address() -> str:
    import ray.util

    return str(ray.util.get_node_ip_address())


def _autoscaler(address: str, num_nodes: int) -> dict[str, object]:
    """A head that takes no part in growing, and workers of one processor."""
    unused: dict[str, object] = {
        name: [] for name in ("initialization_commands", "setup_commands", "head_setup_commands",
                              "worker_setup_commands", "head_start_ray_commands", "worker_start_ray_commands",
                              "cluster_synced_files", "rsync_exclude", "rsync_filter")
    }  # fmt: skip
    worker = {"CPU": 1, "object_store_memory": MEMORY}
    return unused | {
        "cluster_name": "growing", "max_workers": num_nodes, "head_node_type": "ray.head.default",
        "provider": {
            "type": "fake_multinode", "gcs_address": address, "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 1}, "node_config": {}, "max_workers": 0},
            "worker": {"resources": worker, "node_config": {}, "min_workers": 0, "max_workers": num_nodes},
        },
        "upscaling_speed": 100.0, "idle_timeout_minutes": 0.5, "auth": {}, "docker": {}, "file_mounts": {},
        "file_mounts_sync_continuously": False,
    }  # fmt: skip


def _wait_for(head: "subprocess.Popen[bytes]", log: Path) -> None:
    """Return when the head says that it is up."""
    until = time.monotonic() + MAX_WAIT
    while time.monotonic() < until and head.poll() is None:
        if "runtime started" in log.read_text():
            return
        time.sleep(0.2)
    raise SystemExit(f"no cluster came up:\n{log.read_text()[-2000:]}")


class _Grown:
    """Looks twice a second at the raylets below a process: when each came, and what its workers did."""

    def __init__(self, head: int) -> None:
        import psutil  # type: ignore[import-untyped,unused-ignore]

        self._head = psutil.Process(head)
        self._started = time.monotonic()
        self._came: dict[int, float] = {}
        self._taken: dict[int, dict[int, float]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No more looks."""
        self._stop.set()
        self._thread.join()

    @property
    def num_at_work(self) -> int:
        """Nodes whose workers took a second of processor time or more while they ran tasks of prepare."""
        return sum(sum(workers.values()) >= 1 for workers in self._taken.values())

    def text(self) -> str:
        """A line for each node."""
        lines = [
            f"node {number} came after {came:.1f} s, its workers took {sum(self._taken.get(pid, {}).values()):.1f} s "
            "of processors"
            for number, (pid, came) in enumerate(sorted(self._came.items(), key=lambda item: item[1]))
        ]
        return "\n".join(lines)

    def _look_on(self) -> None:
        import psutil  # type: ignore[import-untyped,unused-ignore]

        while not self._stop.wait(0.5):
            for process in self._head.children(recursive=True):
                try:
                    if process.name() == "raylet":
                        self._came.setdefault(process.pid, time.monotonic() - self._started)
                        self._note(process)
                except psutil.Error:
                    continue

    def _note(self, raylet: "object") -> None:
        """Processor time of the workers of a node that run, or have run, a task of prepare."""
        import psutil  # type: ignore[import-untyped,unused-ignore]

        workers = self._taken.setdefault(raylet.pid, {})  # type: ignore[attr-defined]
        for worker in raylet.children():  # type: ignore[attr-defined]
            try:
                if worker.pid in workers or "Map(" in " ".join(worker.cmdline()):
                    times = worker.cpu_times()
                    workers[worker.pid] = times.user + times.system
            except psutil.Error:
                continue
