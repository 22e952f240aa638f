#!/usr/bin/env python3
"""prepare on a cluster that grows while it works: a head of one processor, and nodes that Ray's autoscaler starts.

    scripts/bench/data_autoscaling.py [--documents 2000] [--nodes 3]

The nodes are processes of this machine (Ray's fake provider): it shows that prepare asks for more processors and takes
those that come, not how much faster it gets. Prints the number of processors as it changes.
"""

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HEAD = "f" * 51 + "0" * 5  # as the fake provider writes its head's
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parent)]

import data_kills  # noqa: E402


def main(argv: list[str] | None = None) -> int:
    """0 where the cluster grew and the set is the one that a cluster of fixed size makes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--nodes", type=int, default=3)
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        return _run(Path(folder), given.documents, given.nodes)


def _run(folder: Path, num_documents: int, num_nodes: int) -> int:
    from ray_ft.base_model import build_builtin

    corpus = data_kills._corpus(folder / "corpus", num_documents)
    model = build_builtin("tiny", folder / "models", pretrain_steps=0)
    head, address = _start_head(folder, num_nodes)
    try:
        import ray

        ray.init(address=address, log_to_driver=False)
        most = _prepare_and_watch(corpus, folder / "data", model)
        ray.shutdown()
    finally:
        os.killpg(head.pid, signal.SIGTERM)
        head.wait()
    print(f"grew from 1 to {most} processors")
    return int(most <= 1)


def _start_head(folder: Path, num_nodes: int) -> tuple["subprocess.Popen[bytes]", str]:
    """A head with an autoscaler, in a session of its own; nobody else's Ray is touched."""
    port, agent = random.Random().sample(range(20_000, 30_000), 2)
    ip = socket.gethostbyname(socket.gethostname())
    node = {"resources": {"CPU": 1, "object_store_memory": 100 * 2**20}, "node_config": {}}
    config = {
        "cluster_name": "growing",
        "max_workers": num_nodes,
        "upscaling_speed": 100,
        "idle_timeout_minutes": 0.2,
        "provider": {
            "type": "external",
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "head_node_id": HEAD,
            "launch_multiple": True,
            "gcs_address": f"{ip}:{port}",
        },
        "available_node_types": {
            "head": {"resources": {"CPU": 1}, "node_config": {}, "max_workers": 0},
            "worker": {**node, "min_workers": 0, "max_workers": num_nodes},
        },
        "head_node_type": "head",
    }
    (folder / "cluster.yaml").write_text(json.dumps(config))
    environment = {
        **os.environ,
        "RAY_FAKE_CLUSTER": "1",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": HEAD,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD,
    }
    command = [
        str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", f"--port={port}", "--num-cpus=1",
        f"--autoscaling-config={folder / 'cluster.yaml'}", f"--dashboard-agent-listen-port={agent}",
        "--include-dashboard=false", f"--object-store-memory={100 * 2**20}",
    ]  # fmt: skip
    with (folder / "head.log").open("wb") as log:
        head = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and b"started" not in (folder / "head.log").read_bytes():
        assert head.poll() is None, (folder / "head.log").read_text()
        time.sleep(0.2)
    return head, f"{ip}:{port}"


def _prepare_and_watch(corpus: Path, output: Path, model: Path) -> int:
    """The most processors that there were at once."""
    import ray

    counts = [0]
    started = time.monotonic()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.5):
            now = int(ray.cluster_resources().get("CPU", 0))
            if now != counts[-1]:
                counts.append(now)
                print(f"{time.monotonic() - started:.0f} s: {now} processors", flush=True)

    thread = threading.Thread(target=watch)
    thread.start()
    data_kills._prepare(corpus, output, model)
    done.set()
    thread.join()
    print(f"{time.monotonic() - started:.0f} s: done", flush=True)
    return max(counts)


if __name__ == "__main__":
    sys.exit(main())
